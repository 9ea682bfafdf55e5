package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/word/fault"
)

// errNoServer says that no server listens on the data folder's socket.
var errNoServer = errors.New("no server runs on this data folder")

// maxOrder bounds an operator's order.
const maxOrder = 1 << 20

// socketError is a fault on its way through the socket. The operator may see the cause.
type socketError struct {
	Kind   fault.Kind    `json:"kind"`
	Code   fault.Code    `json:"code"`
	Text   string        `json:"text"`
	Fields []socketField `json:"fields,omitempty"`
	Cause  string        `json:"cause,omitempty"`
}

// socketField is one wrong place of an order.
type socketField struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// listenSocket opens DIR/admin.sock with mode 0600. A socket that a dead process left is removed: the caller holds the
// folder's lock, so nobody else can be listening. Paths over the kernel's limit are bound through a short link.
func listenSocket(ctx context.Context, data string) (net.Listener, error) {
	path := filepath.Join(data, socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clearing the operator's socket: %w", err)
	}
	old := syscall.Umask(0o177) // the socket must never be open to others, not even before a chmod
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", shortPath(path))
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("opening the operator's socket: %w", err)
	}
	return l, nil
}

// shortPath returns a path of the socket that fits into sockaddr_un (107 bytes): relative to the working folder where
// that is shorter.
func shortPath(path string) string {
	if len(path) <= 100 {
		return path
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
			return rel
		}
	}
	return path
}

// serveSocket answers operators until ctx ends.
func (g *ground) serveSocket(ctx context.Context, l net.Listener) error {
	known, long := acts(), feeds()
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := strings.TrimPrefix(r.URL.Path, "/")
			do, ok := known[name]
			fed, takes := long[name]
			if !ok && !takes || r.Method != http.MethodPost {
				http.NotFound(w, r)
				return
			}
			out := &started{w: w}
			var err error
			if takes {
				err = g.feed(name, fed, r, out)
			} else {
				err = g.act(name, do, r, out)
			}
			if err == nil {
				return
			}
			if out.any {
				panic(http.ErrAbortHandler) // half a document must not look whole
			}
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(toSocket(err))
		}),
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the operator's socket: %w", err)
	}
	return nil
}

// act serves an act whose order is the whole body.
func (g *ground) act(name string, do act, r *http.Request, out io.Writer) error {
	order, err := io.ReadAll(io.LimitReader(r.Body, maxOrder+1))
	if err != nil {
		return err
	}
	if len(order) > maxOrder {
		return fault.New(fault.Invalid, fault.CodeValidation, "the order is too long")
	}
	return do(asOperator(r.Context(), g.now(), name), g, order, out)
}

// started notes whether an answer has begun.
type started struct {
	w   io.Writer
	any bool
}

func (s *started) Write(p []byte) (int, error) {
	s.any = true
	return s.w.Write(p)
}

func toSocket(err error) socketError {
	f := fault.Of(err)
	e := socketError{Kind: f.Kind, Code: f.Code, Text: f.Text}
	for _, field := range f.Fields {
		e.Fields = append(e.Fields, socketField(field))
	}
	if cause := f.Unwrap(); cause != nil {
		e.Cause = cause.Error()
	}
	return e
}

// callSocket sends an order to the running server and streams its answer; errNoServer where none listens.
func callSocket(ctx context.Context, cfg config.Config, name string, order []byte, out io.Writer) error {
	return streamSocket(ctx, cfg, name, bytes.NewReader(order), out)
}

// streamSocket is callSocket for an order of any length, which is read only when a server listens.
func streamSocket(ctx context.Context, cfg config.Config, name string, order io.Reader, out io.Writer) error {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return fmt.Errorf("finding the data folder: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", shortPath(filepath.Join(data, socketFile)))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errNoServer
	}
	if err != nil {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server's socket in the data folder can't be reached; are you its owner?").Because(err)
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://assay/"+name, order)
	if err != nil {
		return errors.Join(fmt.Errorf("making the order: %w", err), conn.Close())
	}
	resp, err := client.Do(req)
	if err != nil {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server ended while it worked on the order; look at its log").Because(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		if _, err := io.Copy(out, resp.Body); err != nil {
			return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server's answer broke off").Because(err)
		}
		return nil
	}
	var e socketError
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxOrder)).Decode(&e); err != nil {
		return fault.New(fault.Unsupported, fault.CodeUnsupported, "the running server doesn't know this order; is it of the same version?").Because(err)
	}
	f := fault.New(e.Kind, e.Code, e.Text)
	for _, field := range e.Fields {
		f = f.With(field.Location, field.Message)
	}
	if e.Cause != "" {
		f = f.Because(errors.New(e.Cause))
	}
	return f
}
