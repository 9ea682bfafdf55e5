package tls_test

import (
	"bufio"
	gotls "crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/infra/tls"
)

func TestHandshakesAgreeOnTLS13AndThePostQuantumGroupFirst(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	p := r.pair(t)
	files := p.open(t, deps(io.Discard))
	for name, tc := range map[string]struct {
		pqOnly bool
		client *gotls.Config
		want   gotls.CurveID // 0 = refused
	}{
		"a client without choices":                  {client: &gotls.Config{}, want: gotls.X25519MLKEM768},
		"a client that has both":                    {client: &gotls.Config{CurvePreferences: []gotls.CurveID{gotls.X25519, gotls.X25519MLKEM768}}, want: gotls.X25519MLKEM768},
		"a client with X25519 only":                 {client: &gotls.Config{CurvePreferences: []gotls.CurveID{gotls.X25519}}, want: gotls.X25519},
		"a client with P-256 only":                  {client: &gotls.Config{CurvePreferences: []gotls.CurveID{gotls.CurveP256}}},
		"TLS 1.2":                                   {client: &gotls.Config{MaxVersion: gotls.VersionTLS12}},
		"TLS 1.1":                                   {client: &gotls.Config{MinVersion: gotls.VersionTLS10, MaxVersion: gotls.VersionTLS11}},
		"post-quantum only, a client that has both": {pqOnly: true, client: &gotls.Config{}, want: gotls.X25519MLKEM768},
		"post-quantum only, X25519 only":            {pqOnly: true, client: &gotls.Config{CurvePreferences: []gotls.CurveID{gotls.X25519}}},
		"post-quantum only, TLS 1.2":                {pqOnly: true, client: &gotls.Config{MaxVersion: gotls.VersionTLS12}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan string, 1)
			address := serve(t, files, tls.Rules{PQOnly: tc.pqOnly, Seen: func(g string) { seen <- g }}, nil)
			cfg := tc.client.Clone()
			cfg.RootCAs = r.pool()
			got, err := shake(t, address, cfg)
			if tc.want == 0 {
				if err == nil {
					t.Fatalf("agreed on %s with %s", gotls.VersionName(got.Version), got.CurveID)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != gotls.VersionTLS13 || got.CurveID != tc.want {
				t.Errorf("agreed on %s with %s, want TLS 1.3 with %s", gotls.VersionName(got.Version), got.CurveID, tc.want)
			}
			if g := <-seen; g != tc.want.String() {
				t.Errorf("counted as %q", g)
			}
		})
	}
}

func TestAResumedSessionExchangesKeysAnew(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	p := r.pair(t)
	files := p.open(t, deps(io.Discard))
	address := serve(t, files, tls.Rules{PQOnly: true}, nil)
	cfg := &gotls.Config{RootCAs: r.pool(), ServerName: "localhost", ClientSessionCache: gotls.NewLRUClientSessionCache(4)}
	if _, err := shake(t, address, cfg); err != nil {
		t.Fatal(err)
	}
	chain, key := r.issue(t, nil)
	p.put(t, chain, key)
	files.Reload(t.Context())
	got, err := shake(t, address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !got.DidResume || got.CurveID != gotls.X25519MLKEM768 {
		t.Errorf("resumed: %t, key exchange %s", got.DidResume, got.CurveID)
	}
	cfg.CurvePreferences = []gotls.CurveID{gotls.X25519}
	if got, err := shake(t, address, cfg); err == nil {
		t.Errorf("a ticket let %s in", got.CurveID)
	}
}

func TestHTTP2IsSpoken(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	address := serve(t, r.pair(t).open(t, deps(io.Discard)), tls.Rules{}, nil)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &gotls.Config{RootCAs: r.pool()}, ForceAttemptHTTP2: true}}
	resp, err := c.Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ProtoMajor != 2 {
		t.Errorf("spoke %s", resp.Proto)
	}
}

func TestPlainHTTPOnTheTLSPortIsToldSo(t *testing.T) {
	t.Parallel()
	address := serve(t, newRoot(t).pair(t).open(t, deps(io.Discard)), tls.Rules{}, nil)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS") {
		t.Errorf("answered %s: %s", resp.Status, text)
	}
}

func TestAnIndependentClientAgrees(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("REQUIRE_ENGINES") != "" {
			t.Fatal("openssl is missing; run make deps")
		}
		t.Skip("openssl isn't installed")
	}
	r := newRoot(t)
	files := r.pair(t).open(t, deps(io.Discard))
	for name, tc := range map[string]struct {
		rules tls.Rules
		args  []string
		want  string
	}{
		"TLS 1.3 with X25519":                 {args: []string{"-tls1_3", "-groups", "X25519"}, want: "TLSv1.3"},
		"TLS 1.2":                             {args: []string{"-tls1_2"}, want: "alert protocol version"},
		"TLS 1.3 with P-384":                  {args: []string{"-tls1_3", "-groups", "P-384"}, want: "alert handshake failure"},
		"X25519 where post-quantum is a must": {rules: tls.Rules{PQOnly: true}, args: []string{"-tls1_3", "-groups", "X25519"}, want: "alert handshake failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, files, tc.rules, nil)
			cmd := exec.CommandContext(t.Context(), openssl, append([]string{"s_client", "-connect", address}, tc.args...)...)
			out, _ := cmd.CombinedOutput() // its exit code says less than its words
			if !strings.Contains(string(out), tc.want) {
				t.Errorf("no %q in what openssl says:\n%s", tc.want, out)
			}
		})
	}
}

func TestAnExpiredCertificateIsServedAndShown(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	p := r.pair(t)
	chain, key := r.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	p.put(t, chain, key)
	files := p.open(t, deps(io.Discard))
	if s := files.State(); s.Valid(time.Now()) || s.DaysLeft(time.Now()) >= 0 {
		t.Errorf("valid: %t, days left: %f", s.Valid(time.Now()), s.DaysLeft(time.Now()))
	}
	got := probe(t, serve(t, files, tls.Rules{}, nil), tls.Question{Name: "localhost", Roots: r.pool(), Now: time.Now})
	if !got.Expired || got.ChainValid || !strings.Contains(got.ChainProblem, "expired") {
		t.Errorf("shown as %+v", got)
	}
}

func probe(t *testing.T, address string, q tls.Question) tls.Negotiated {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tls.Probe(t.Context(), conn, q)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProbeTellsWhatWasNegotiated(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	address := serve(t, r.pair(t).open(t, deps(io.Discard)), tls.Rules{}, nil)
	got := probe(t, address, tls.Question{Name: "localhost", Roots: r.pool(), Now: time.Now})
	got.SHA256, got.NotBefore, got.NotAfter = "", time.Time{}, time.Time{}
	if d := cmp.Diff(tls.Negotiated{
		Version: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", KeyExchange: "X25519MLKEM768", PostQuantum: true, Protocol: "h2",
		Subject: "CN=Server of the tests", Issuer: "CN=Root of the tests", Names: []string{"localhost", "127.0.0.1"}, ChainValid: true,
	}, got); d != "" {
		t.Errorf("negotiated (-want +got):\n%s", d)
	}
	for name, q := range map[string]tls.Question{
		"another host":      {Name: "example.com", Roots: r.pool(), Now: time.Now},
		"another authority": {Name: "localhost", Roots: newRoot(t).pool(), Now: time.Now},
	} {
		if got := probe(t, address, q); got.ChainValid || got.ChainProblem == "" {
			t.Errorf("%s: the chain counts as valid", name)
		}
	}
}

func TestProbeOfAServerWithoutTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.Probe(t.Context(), conn, tls.Question{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "doesn't speak TLS") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkHandshake measures full handshakes, both ends, over loopback.
func BenchmarkHandshake(b *testing.B) {
	r := newRoot(b)
	files := r.pair(b).open(b, deps(io.Discard))
	for _, group := range []gotls.CurveID{gotls.X25519MLKEM768, gotls.X25519} {
		b.Run(group.String(), func(b *testing.B) {
			var n atomic.Int64
			address := serve(b, files, tls.Rules{Seen: func(string) { n.Add(1) }}, nil)
			cfg := &gotls.Config{RootCAs: r.pool(), ServerName: "localhost", CurvePreferences: []gotls.CurveID{group}}
			b.ReportAllocs()
			for b.Loop() {
				conn, err := gotls.Dial("tcp", address, cfg)
				if err != nil {
					b.Fatal(err)
				}
				_ = conn.Close()
			}
		})
	}
}
