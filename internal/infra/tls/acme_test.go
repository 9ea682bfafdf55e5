package tls_test

import (
	"bytes"
	"context"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/infra/tls"
	"assay.dev/assay/internal/infra/tls/acmetest"
)

// customer is a server that gets its certificate from an authority.
type customer struct {
	t      *testing.T
	deps   tls.ACMEDeps
	cfg    tls.ACMEConfig
	out    *logs
	ahead  atomic.Int64 // how far its clock is ahead
	source *tls.ACME
	now    atomic.Pointer[tls.ACME] // the source, for the server
	addr   string
}

// newCustomer serves on l with what it gets from the authority. change may spoil the configuration.
func newCustomer(t *testing.T, l net.Listener, a *acmetest.Authority, change func(*tls.ACMEConfig)) *customer {
	t.Helper()
	sealer, err := keys.NewSealer(bytes.Repeat([]byte{7}, keys.KeySize), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &customer{t: t, out: &logs{}, addr: l.Addr().String()}
	base := deps(c.out)
	base.Now = func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
	c.deps = tls.ACMEDeps{Deps: base, Sealer: sealer, HTTP: a.Client()}
	c.cfg = tls.ACMEConfig{
		Folder: filepath.Join(t.TempDir(), "tls"), Domains: []string{"assay.example.com", "www.assay.example.com"},
		Directory: a.Directory, Email: "operator@example.com",
	}
	if change != nil {
		change(&c.cfg)
	}
	c.open()
	serveOn(t, l, c, tls.Rules{PQOnly: true}, nil)
	return c
}

// ServerConfig follows the source through restarts.
func (c *customer) ServerConfig(r tls.Rules) *gotls.Config {
	cfg := c.source.ServerConfig(r)
	cfg.GetConfigForClient = func(h *gotls.ClientHelloInfo) (*gotls.Config, error) {
		now := c.now.Load().ServerConfig(r)
		if special, err := now.GetConfigForClient(h); special != nil || err != nil {
			return special, err
		}
		return now, nil
	}
	return cfg
}

func (c *customer) open() {
	c.t.Helper()
	s, err := tls.NewACME(c.deps, c.cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.source = s
	c.now.Store(s)
}

// run runs the source until the function that it returns is called.
func (c *customer) run() (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	source := c.source
	go func() { ended <- source.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	}
}

// until waits for a state.
func (c *customer) until(what string, ok func(tls.State) bool) tls.State {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s := c.source.State(); ok(s) {
			return s
		}
	}
	c.t.Fatalf("waited for %s; state %+v, log:\n%s", what, c.source.State(), c.out)
	return tls.State{}
}

func issued(s tls.State) bool { return !s.Temporary && s.Problem == "" }

// shows returns the leaf that a client gets.
func (c *customer) shows() *x509.Certificate {
	c.t.Helper()
	got, err := shake(c.t, c.addr, &gotls.Config{ServerName: c.cfg.Domains[0], InsecureSkipVerify: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return got.PeerCertificates[0]
}

func TestACertificateIsGotByTLSALPNAndRenewed(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 24 * 3600})
	c := newCustomer(t, l, a, nil)
	if leaf := c.shows(); leaf.Subject.CommonName != "Assay waits for its certificate" {
		t.Errorf("shows %q before the first certificate", leaf.Subject.CommonName)
	}
	if s := c.source.State(); s.Valid(time.Now()) || s.Problem == "" || s.DaysLeft(time.Now()) != 0 {
		t.Errorf("before the first certificate: %+v", s)
	}
	stop := c.run()
	first := c.until("a certificate", issued).Leaf
	if !slices.Equal(first.DNSNames, c.cfg.Domains) {
		t.Errorf("for %v, want %v", first.DNSNames, c.cfg.Domains)
	}
	if !c.shows().Equal(first) {
		t.Error("not what is served")
	}
	// Two thirds through its life it is renewed, without a word from anybody; the wake-up only spares the test the hour.
	c.ahead.Store(int64(12 * time.Hour))
	c.source.Reload(t.Context())
	c.ahead.Store(int64(17 * time.Hour))
	c.source.Reload(t.Context())
	second := c.until("the renewal", func(s tls.State) bool { return issued(s) && !s.Leaf.Equal(first) }).Leaf
	if !c.shows().Equal(second) {
		t.Error("the renewed one isn't served")
	}
	c.ahead.Store(0)
	stop()
	if n := a.Orders.Load(); n != 2 {
		t.Errorf("%d orders for two certificates", n)
	}

	// What it got outlives a restart, and nothing is asked for.
	c.open()
	stop = c.run()
	stop()
	if s := c.source.State(); !s.Leaf.Equal(second) || a.Orders.Load() != 2 {
		t.Errorf("after a restart: %+v, %d orders", s, a.Orders.Load())
	}
	if s, err := tls.Peek(c.cfg.Folder, c.cfg.Directory); err != nil || !s.Leaf.Equal(second) {
		t.Errorf("the doctor sees %+v, %v", s, err)
	}
}

func TestKeysLieSealedInAClosedFolder(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 3600})
	c := newCustomer(t, l, a, nil)
	stop := c.run()
	c.until("a certificate", issued)
	stop()
	files := 0
	err := filepath.WalkDir(c.cfg.Folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if d.IsDir() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("BEGIN PRIVATE KEY")) || bytes.Contains(text, []byte("BEGIN EC PRIVATE KEY")) {
			t.Errorf("%s holds a private key in the clear", path)
		}
		return nil
	})
	if err != nil || files != 3 {
		t.Errorf("%d files, %v", files, err)
	}

	// Another master key opens none of it: a stand-in is served and the reason told.
	other, err := keys.NewSealer(bytes.Repeat([]byte{8}, keys.KeySize), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.deps.Sealer = other
	c.open()
	if s := c.source.State(); !s.Temporary || !strings.Contains(s.Problem, "can't be read") {
		t.Errorf("with another master key: %+v", s)
	}
	if err := os.Chmod(c.cfg.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.NewACME(c.deps, c.cfg); err == nil {
		t.Error("a folder that is open to others is taken")
	}
}

func TestACertificateIsGotByHTTPAndOthersAreSentToHTTPS(t *testing.T) {
	t.Parallel()
	l, _ := listen(t)
	plain, httpPort := listen(t)
	a := acmetest.Start(t, acmetest.Config{HTTPPort: httpPort, Seconds: 3600})
	c := newCustomer(t, l, a, func(cfg *tls.ACMEConfig) { cfg.HTTP01 = true })
	srv := &http.Server{Handler: c.source.Challenges(tls.Redirect("https://assay.example.com"))}
	go func() { _ = srv.Serve(plain) }()
	t.Cleanup(func() { _ = srv.Close() })
	defer c.run()()
	c.until("a certificate", issued)

	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, tc := range map[string]struct {
		method string
		header [2]string
		want   int
	}{
		"a reader":           {method: http.MethodGet, want: http.StatusMovedPermanently},
		"a reader with key":  {method: http.MethodGet, header: [2]string{"X-API-Key", "x"}, want: http.StatusBadRequest},
		"one who signs in":   {method: http.MethodPost, want: http.StatusBadRequest},
		"one with a session": {method: http.MethodGet, header: [2]string{"Cookie", "a=b"}, want: http.StatusBadRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+plain.Addr().String()+"//evil.example/a?b=c", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.header[0] != "" {
			req.Header.Set(tc.header[0], tc.header[1])
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, tc.want)
		}
		if to := resp.Header.Get("Location"); tc.want == http.StatusMovedPermanently && to != "https://assay.example.com//evil.example/a?b=c" {
			t.Errorf("%s: sent to %q", name, to)
		}
	}
}

func TestAnAuthorityMayWantAnAccountOfItsOwn(t *testing.T) {
	t.Parallel()
	mac := bytes.Repeat([]byte{3}, 32)
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 3600, AccountKey: base64.RawURLEncoding.EncodeToString(mac)})
	c := newCustomer(t, l, a, func(cfg *tls.ACMEConfig) { cfg.AccountKeyID, cfg.AccountMAC = "kid-1", mac })
	stop := c.run()
	c.until("a certificate", issued)
	stop()

	c.cfg.AccountKeyID, c.cfg.AccountMAC, c.cfg.Folder = "", nil, filepath.Join(t.TempDir(), "other")
	c.open()
	stop = c.run()
	defer stop()
	s := c.until("a refusal", func(s tls.State) bool { return !s.Since.IsZero() })
	if !s.Temporary || !strings.Contains(s.Problem, "refused") {
		t.Errorf("without the binding: %+v", s)
	}
}

// The last good certificate is served, even expired, for as long as the authority gives no other.
func TestAFailingDirectoryTakesNothingAway(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 24 * 3600})
	c := newCustomer(t, l, a, nil)
	stop := c.run()
	first := c.until("a certificate", issued).Leaf
	stop()
	a.Config.SetKeepAlivesEnabled(false)
	c.deps.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no way at 192.0.2.1") })}
	c.open()
	defer c.run()()
	for _, age := range []time.Duration{17 * time.Hour, 30 * time.Hour} {
		c.ahead.Store(int64(age))
		before := strings.Count(c.out.String(), "no certificate was issued")
		c.source.Reload(t.Context())
		for end := time.Now().Add(patience); strings.Count(c.out.String(), "no certificate was issued") == before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nothing was tried")
			}
		}
		s := c.until("a failure", func(s tls.State) bool { return s.Problem != "" && !s.Since.IsZero() })
		if s.Temporary || !s.Leaf.Equal(first) || !c.shows().Equal(first) {
			t.Errorf("after %s: the last good certificate is gone", age)
		}
		if strings.Contains(s.Problem, "192.0.2.1") || !strings.Contains(s.Cause, "192.0.2.1") || !s.Next.After(c.deps.Now()) {
			t.Errorf("after %s: %+v", age, s)
		}
		if valid := s.Valid(c.deps.Now()); valid != (age < 24*time.Hour) {
			t.Errorf("after %s: valid is %t", age, valid)
		}
		if seen, err := tls.Peek(c.cfg.Folder, c.cfg.Directory); err != nil || seen.Problem != s.Problem || !seen.Leaf.Equal(first) {
			t.Errorf("after %s the doctor sees %+v, %v", age, seen, err)
		}
	}
	c.deps.HTTP.Transport = a.Client().Transport
	c.ahead.Store(int64(20 * time.Hour))
	c.source.Reload(t.Context())
	c.until("the recovery", func(s tls.State) bool { return issued(s) && !s.Leaf.Equal(first) })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAFailedValidationIsToldAndTriedAgainLater(t *testing.T) {
	t.Parallel()
	l, _ := listen(t)
	a := acmetest.Start(t, acmetest.Config{Seconds: 3600}) // looks where nobody answers
	c := newCustomer(t, l, a, nil)
	stop := c.run()
	s := c.until("a failure", func(s tls.State) bool { return !s.Since.IsZero() })
	stop()
	if !strings.Contains(s.Problem, "could not confirm") || strings.Contains(s.Problem, "assay.example.com") {
		t.Errorf("the problem is %q", s.Problem)
	}
	if pause := s.Next.Sub(s.Since); pause != 2*time.Minute {
		t.Errorf("the next try comes after %s", pause)
	}
	// A restart doesn't hurry it.
	orders := a.Orders.Load()
	c.open()
	stop = c.run()
	stop()
	if a.Orders.Load() != orders {
		t.Error("a restart asked the authority at once")
	}
}

func TestADirectoryThatIsNotTrustedIsToldSo(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 3600})
	c := newCustomer(t, l, a, nil)
	c.deps.HTTP = &http.Client{Transport: &http.Transport{}}
	c.open()
	defer c.run()()
	s := c.until("a failure", func(s tls.State) bool { return !s.Since.IsZero() })
	if !strings.Contains(s.Problem, "tls_acme_ca") {
		t.Errorf("the problem is %q", s.Problem)
	}
}

func TestOneWhoAsksForAValidationThatIsNotOpenGetsNone(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	c := newCustomer(t, l, acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 3600}), nil)
	for _, name := range []string{"assay.example.com", "other.example.com", ""} {
		cfg := &gotls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}
		if _, err := shake(t, c.addr, cfg); err == nil {
			t.Errorf("%q: got a certificate", name)
		}
	}
	cfg := &gotls.Config{ServerName: "assay.example.com", NextProtos: []string{"acme-tls/1", "http/1.1"}, InsecureSkipVerify: true}
	if got, err := shake(t, c.addr, cfg); err != nil || got.NegotiatedProtocol != "http/1.1" {
		t.Errorf("an ordinary client got %q, %v", got.NegotiatedProtocol, err)
	}
}

func TestWhatIsStoredMayBeBroken(t *testing.T) {
	t.Parallel()
	l, port := listen(t)
	a := acmetest.Start(t, acmetest.Config{TLSPort: port, Seconds: 3600})
	c := newCustomer(t, l, a, nil)
	stop := c.run()
	c.until("a certificate", issued)
	stop()
	all, err := filepath.Glob(filepath.Join(c.cfg.Folder, "acme-*", "certificate.pem"))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	put(t, all[0], []byte("half a cert"))
	c.open()
	if s := c.source.State(); !s.Temporary {
		t.Errorf("serves %+v", s)
	}
	defer c.run()()
	c.until("another certificate", issued)
	if _, err := io.WriteString(io.Discard, c.out.String()); err != nil || strings.Contains(c.out.String(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
}
