package mw

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"

	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

// readBody reads the body of an operation that takes one, whole: bounded on the wire and after decompression, checked
// byte by byte before any decoder sees it, and hashed where the call is to take effect once.
func (c *Chain) readBody(q *Request) error {
	if !q.Route.Body {
		return nil
	}
	r, limit := q.r, q.Route.maxBody()
	if r.ContentLength > limit {
		return problem.TooLarge()
	}
	var b []byte
	if r.Body != nil && r.Body != http.NoBody {
		var err error
		if b, err = slurp(r.Body, r.ContentLength, limit); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		var err error
		if b, err = decode(r.Header, b, limit); err != nil {
			return err
		}
		if err := CheckJSON(b); err != nil {
			return err
		}
	}
	if q.call.Once != nil {
		q.call.Once.Body = onceHash(r.URL, b)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	r.ContentLength = int64(len(b))
	return nil
}

// onceHash is what a repeated call with an idempotency key must have in common with the first: the body, and the path and
// query too, because keys are kept by route and a route's path may name one of many resources.
func onceHash(u *url.URL, body []byte) [32]byte {
	h := sha256.New()
	for _, part := range []string{u.Path, u.RawQuery} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		_, _ = io.WriteString(h, part)
	}
	_, _ = h.Write(body)
	return [32]byte(h.Sum(nil))
}

// slurp reads at most limit bytes.
func slurp(r io.Reader, size, limit int64) ([]byte, error) {
	if size < 0 || size > limit {
		size = 512
	}
	buf := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, readFault(err)
	}
	if int64(buf.Len()) > limit {
		return nil, problem.TooLarge()
	}
	return buf.Bytes(), nil
}

func readFault(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return problem.Timeout()
	case errors.Is(err, context.Canceled):
		return fault.Of(err)
	}
	return problem.Malformed("body", "could not be read to its end")
}

// decode checks what the body says it is and unpacks it. No content type counts as JSON: the bytes are checked anyway.
func decode(h http.Header, b []byte, limit int64) ([]byte, error) {
	if ct := h.Get("Content-Type"); ct != "" {
		media, params, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" {
			return nil, problem.MediaType("send JSON in UTF-8 (Content-Type: application/json)")
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return nil, problem.MediaType("send JSON in UTF-8; no other charset is taken")
		}
	}
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding"))) {
	case "", "identity":
		return b, nil
	case "gzip":
		return gunzip(b, limit)
	}
	return nil, problem.MediaType("send the body as it is or with Content-Encoding: gzip")
}

func gunzip(b []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, problem.Malformed("body", "is not gzip")
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(io.LimitReader(z, limit+1)); err != nil {
		return nil, problem.Malformed("body", "is not whole gzip")
	}
	if int64(buf.Len()) > limit {
		return nil, problem.TooLarge()
	}
	return buf.Bytes(), nil
}
