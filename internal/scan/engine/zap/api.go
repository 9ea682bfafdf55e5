package zap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of the API.
const (
	callTime  = 60 * time.Second
	maxAnswer = 64 << 20
)

// refusal is an answer with which ZAP says no. Codes are ZAP's: "url_not_found", "no_implementor", "does_not_exist".
type refusal struct {
	status int
	code   string
}

// Error implements error.
func (r *refusal) Error() string {
	return "ZAP refused a call with status " + strconv.Itoa(r.status) + ", code " + r.code
}

// refusedAs reports whether err is ZAP's refusal with one of the codes.
func refusedAs(err error, codes ...string) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains(codes, r.code)
}

// missing reports whether the part of ZAP that was called isn't installed.
func missing(err error) bool {
	return refusedAs(err, "no_implementor", "bad_view", "bad_action", "bad_type")
}

// client calls ZAP's REST API. Views are read by GET, actions sent by POST, so that nothing of them is in a URL.
type client struct {
	http *http.Client
	base string
	key  string
}

func newClient(dial func(context.Context) (net.Conn, error), port int, key string) *client {
	tr := &http.Transport{
		Proxy:               nil, // the program's own port is the only place it goes
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: 2, MaxConnsPerHost: 4, DisableCompression: true,
	}
	return &client{
		http: &http.Client{Transport: tr, Timeout: callTime, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		base: "http://127.0.0.1:" + strconv.Itoa(port) + "/JSON/",
		key:  key,
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// call sends one request; args are names and values in turn. The answer is a whole JSON object.
func (c *client) call(ctx context.Context, path string, args ...string) (json.RawMessage, error) {
	form := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		form.Set(args[i], args[i+1])
	}
	method, at, body := http.MethodGet, c.base+path+"/", io.Reader(nil)
	switch {
	case strings.Contains(path, "/action/"):
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	case len(form) > 0:
		at += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("X-ZAP-API-Key", c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var said struct {
			Code string `json:"code"`
		}
		_ = json.Unmarshal(b, &said) // what isn't JSON has no code
		return nil, &refusal{status: resp.StatusCode, code: brief(said.Code, 40)}
	}
	if b = bytes.TrimSpace(b); len(b) > maxAnswer || len(b) == 0 || b[0] != '{' {
		return nil, errors.New("ZAP's answer isn't a JSON object within bounds")
	}
	return b, nil
}

// view reads an answer into v.
func (c *client) view(ctx context.Context, path string, v any, args ...string) error {
	b, err := c.call(ctx, path, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// act sends an action whose answer says nothing.
func (c *client) act(ctx context.Context, path string, args ...string) error {
	_, err := c.call(ctx, path, args...)
	return err
}

// field reads one value of an answer as text; ZAP sends numbers as strings, but not all of them.
func (c *client) field(ctx context.Context, path, name string, args ...string) (string, error) {
	var object map[string]word
	if err := c.view(ctx, path, &object, args...); err != nil {
		return "", err
	}
	v, ok := object[name]
	if !ok {
		return "", errors.New("ZAP's answer lacks what it should hold")
	}
	return string(v), nil
}

// number reads one whole number of an answer.
func (c *client) number(ctx context.Context, path, name string, args ...string) (int, error) {
	s, err := c.field(ctx, path, name, args...)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// word is a JSON string, number or boolean as text; anything else is empty.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(b []byte) error {
	*w = ""
	switch {
	case len(b) == 0:
	case b[0] == '"' && len(b) > 1 && bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b): // most are plain
		*w = word(b[1 : len(b)-1])
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*w = word(s)
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9' || b[0] == 't' || b[0] == 'f':
		*w = word(b[:min(len(b), 32)])
	}
	return nil
}
