package hook_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func letter(address string) hook.Letter {
	return hook.Letter{
		Org: ours, ID: "d", Hook: "wh-1", Event: "evt_1", Body: []byte(`{"type":"x"}`), URL: address, Record: "r", Secrets: [][]byte{[]byte("r\x00key")},
	}
}

func TestHostileReceiversCostABoundedTimeAndNothingElse(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		status int
		error  string
		body   string
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/latest/meta-data", http.StatusTemporaryRedirect)
		}, 307, "redirect", ""},
		"an endless body": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("x", 1<<16))); err != nil {
					return
				}
			}
		}, 200, "", strings.Repeat("x", 1024)},
		"control characters": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte("\x1b]0;title\x07no\r\nSet-Cookie: x\xff"))
		}, 418, "answered 418", "·]0;title·no  Set-Cookie: x·"},
		"a length that lies": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("short"))
		}, 200, "", "short"},
		"a broken connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "broke the connection off", ""},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-garbage\r\n\r\n"))
			_ = conn.Close()
		}, 0, "can't be reached", ""},
		"gone": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, 410, "gone", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(c.answer))
			defer srv.Close()
			srv.Config.ErrorLog = nil
			o := hook.NewSender(&http.Transport{}, plainSealer{}, time.Now).Send(t.Context(), letter(srv.URL))
			if o.Status != c.status || !strings.Contains(o.Error, c.error) || (c.error == "") != o.OK() || o.Answer != c.body {
				t.Errorf("status %d, error %q, answer %.80q", o.Status, o.Error, o.Answer)
			}
		})
	}
	if stolen.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestAPlainReceiverUnderHTTPSIsNamedInWords(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	o := hook.NewSender(&http.Transport{}, plainSealer{}, time.Now).Send(t.Context(), letter("https"+strings.TrimPrefix(plain.URL, "http")))
	if o.Status != 0 || !strings.HasPrefix(o.Error, "TLS:") {
		t.Errorf("error %q", o.Error)
	}
	own := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(own.Close)
	o = hook.NewSender(&http.Transport{}, plainSealer{}, time.Now).Send(t.Context(), letter(own.URL))
	if !strings.Contains(o.Error, "unknown authority") {
		t.Errorf("error %q", o.Error)
	}
}

type wayFunc func(*http.Request) (*http.Response, error)

func (f wayFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAHangAndADripEndInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := wayFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		o := hook.NewSender(hang, plainSealer{}, time.Now).Send(t.Context(), letter("https://h.example/"))
		if took := time.Since(start); took != hook.SendTimeout || o.Took != took || o.Error != "no answer within 10 seconds" || o.OK() {
			t.Errorf("after %v: %+v", took, o.Attempt)
		}
		drip := wayFunc(func(r *http.Request) (*http.Response, error) {
			body, w := io.Pipe()
			go func() {
				for {
					if _, err := w.Write([]byte(".")); err != nil {
						return
					}
					select {
					case <-r.Context().Done():
						w.CloseWithError(r.Context().Err())
						return
					case <-time.After(300 * time.Millisecond):
					}
				}
			}()
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}, nil
		})
		start = time.Now()
		o = hook.NewSender(drip, plainSealer{}, time.Now).Send(t.Context(), letter("https://h.example/"))
		if took := time.Since(start); took > 3*time.Second || !o.OK() || o.Answer == "" {
			t.Errorf("after %v: %+v", took, o.Attempt)
		}
	})
}

func TestWhyNothingArrivedIsSaidInWordsOfOurOwn(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"connection refused by the egress policy: it is a private address": fault.New(fault.Forbidden, fault.CodeTargetForbidden, "connection refused by the egress policy: it is a private address"),
		"TLS: the receiver's certificate is for another name":              x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"},
		"the receiver can't be reached":                                    errors.New("dial tcp 10.0.0.7:443: secret detail"),
		"no answer within 10 seconds":                                      context.DeadlineExceeded,
	} {
		way := wayFunc(func(*http.Request) (*http.Response, error) { return nil, err })
		o := hook.NewSender(way, plainSealer{}, time.Now).Send(t.Context(), letter("https://h.example/"))
		if o.Error != want || o.Status != 0 {
			t.Errorf("%v is told as %q", err, o.Error)
		}
	}
}

type lostKey struct{}

func (lostKey) Open(uid.Org, string, []byte) ([]byte, error) {
	return nil, errors.New("wrong master key")
}

func TestNothingIsSentUnsigned(t *testing.T) {
	t.Parallel()
	way := wayFunc(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, errors.New("no")
	})
	none := letter("https://h.example/")
	none.Secrets = nil
	for name, o := range map[string]hook.Outcome{
		"no secret":   hook.NewSender(way, plainSealer{}, time.Now).Send(t.Context(), none),
		"a lost key":  hook.NewSender(way, lostKey{}, time.Now).Send(t.Context(), letter("https://h.example/")),
		"no real URL": hook.NewSender(way, plainSealer{}, time.Now).Send(t.Context(), letter("https://h.example/\x7f")),
	} {
		if o.OK() || o.Error == "" {
			t.Errorf("%s: %+v", name, o.Attempt)
		}
	}
}
