// Package client is the Go client of the REST API: what the command line and the end-to-end tests use, so that both go
// the way of every user.
//
// It speaks HTTP only through the transport it is given, follows no redirects, bounds every answer it holds, and turns
// the errors of all families back into faults. It must never log or print a credential. Start with Client.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// maxAnswer bounds an answer that is held in memory; documents are streamed.
const maxAnswer = 32 << 20

// Client talks to one server as one principal. It is safe for concurrent use.
type Client struct {
	base string
	key  secret.Text
	http *http.Client
}

// New returns a client of the server at base ("http://127.0.0.1:8080") that signs its calls with key, an API key or a
// session token. transport is the way out; nil means Transport(nil). A key is never sent over plain HTTP to another
// machine: such a server is an Invalid fault.
func New(base string, key secret.Text, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fault.Wrong("server", "must be an http or https address without credentials, such as http://127.0.0.1:8080")
	}
	if !key.Empty() {
		if err := checkPlain(u); err != nil {
			return nil, err
		}
	}
	if transport == nil {
		if transport, err = Transport(nil); err != nil {
			return nil, err
		}
	}
	return &Client{
		base: strings.TrimSuffix(base, "/"), key: key,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// call is one request.
type call struct {
	method  string
	path    string
	query   url.Values
	in      any // sent as JSON
	headers map[string]string
}

func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	var body io.Reader
	if k.in != nil {
		b, err := json.Marshal(k.in)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	target := c.base + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("User-Agent", "assay-cli")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range k.headers {
		req.Header.Set(name, value)
	}
	if !c.key.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fault.Of(ctx.Err())
		}
		return nil, unanswered(c.base, err)
	}
	if resp.StatusCode >= 300 {
		defer func() { _ = resp.Body.Close() }()
		return nil, failure(resp)
	}
	return resp, nil
}

// do sends a call and decodes the answer into out (nil = ignored).
func (c *Client) do(ctx context.Context, k call, out any) error {
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server's answer can't be read; is this an Assay server?").Because(err)
	}
	return nil
}

// envelope is the scan API's form of success.
type envelope[T any] struct {
	Success bool `json:"success"`
	Data    T    `json:"data"`
}

// scanDo is do for the scan API: it takes the envelope off.
func scanDo[T any](ctx context.Context, c *Client, k call) (T, error) {
	var e envelope[T]
	k.path = "/scan-api/api/v1" + k.path
	err := c.do(ctx, k, &e)
	return e.Data, err
}

// refused is an error document of either family.
type refused struct {
	Error  string `json:"error"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

func failure(resp *http.Response) error {
	var doc refused
	err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&doc)
	if err != nil || doc.Code == "" {
		if resp.ProtoMajor == 1 && resp.ProtoMinor == 0 && resp.StatusCode == http.StatusBadRequest {
			// What net/http says on a TLS port to a caller that speaks none.
			return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server speaks TLS on this port; use https://")
		}
		return fault.New(fault.Unavailable, fault.CodeUnavailable,
			"the server answered "+resp.Status+"; is this an Assay server?").Because(err)
	}
	text := doc.Detail
	if text == "" {
		text = doc.Error
	}
	f := fault.New(kindOf(resp.StatusCode), fault.Code(doc.Code), text)
	for _, e := range doc.Errors {
		f = f.With(e.Location, e.Message)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		f = f.After(time.Duration(s) * time.Second)
	}
	return f
}

// kindOf reads a status back into a kind.
func kindOf(status int) fault.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return fault.Invalid
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusConflict:
		return fault.Conflict
	case http.StatusTooManyRequests:
		return fault.Exhausted
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return fault.Unavailable
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fault.Unsupported
	}
	return fault.Internal
}

// Healthy reports whether the server answers 200 on /health.
func (c *Client) Healthy(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodGet, path: "/health"}, nil)
}

// IsDown reports whether err says that no server answered.
func IsDown(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Kind == fault.Unavailable
}
