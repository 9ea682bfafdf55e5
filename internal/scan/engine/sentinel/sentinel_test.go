package sentinel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/simulator"
	"assay.dev/assay/internal/word/secret"
)

// direct is a dialer without a policy, which counts; the real one is egress's business.
type direct struct{ dials atomic.Int64 }

func (d *direct) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.dials.Add(1)
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// buffer is an artifact in memory.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	limit int
	cut   bool
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && b.b.Len()+len(p) > b.limit {
		b.cut = true
		return len(p), nil
	}
	return b.b.Write(p)
}

func (b *buffer) Truncated() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

// outcome is all that one run gave.
type outcome struct {
	verdict  engine.Verdict
	raw      string
	findings []finding.Observation
	assets   []asset.Observation
	coverage finding.Coverage
	packages []finding.Package
	steps    []int
	dials    int64
}

func order(t *testing.T, target string, options map[string]string) engine.Request {
	t.Helper()
	return orderOf(t, target, "", options)
}

func orderOf(t *testing.T, target string, typ asset.TargetType, options map[string]string) engine.Request {
	t.Helper()
	parsed, err := asset.ParseTarget(target, typ)
	if err != nil {
		t.Fatal(err)
	}
	raw := map[string]json.RawMessage{}
	for k, v := range options {
		raw[k] = json.RawMessage(v)
	}
	opts, err := engine.ParseOptions(New().Manifest(), raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	req := engine.Request{Scan: "test", Target: parsed, Options: opts}
	if a := parsed.Addr(); a.IsValid() {
		req.Addrs = []netip.Addr{a}
	} else if parsed.Host() != "" {
		req.Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}
	return req
}

func scan(ctx context.Context, t *testing.T, req engine.Request, limit int) outcome {
	t.Helper()
	return scanIn(ctx, t, req, limit, func(*engine.Env) {})
}

// scanIn is a scan with an Env that the test has changed.
func scanIn(ctx context.Context, t *testing.T, req engine.Request, limit int, change func(*engine.Env)) outcome {
	t.Helper()
	var out outcome
	var dial direct
	var mu sync.Mutex
	raw := &buffer{limit: limit}
	env := engine.Env{
		Dial: &dial, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Progress: func(percent int, _ string) {
			mu.Lock()
			defer mu.Unlock()
			out.steps = append(out.steps, percent)
		},
		Artifact:    func(string, string) (engine.Artifact, error) { return raw, nil },
		Fingerprint: func(string) string { return "s1:" + strings.Repeat("0123456789abcdef", 4) },
	}
	change(&env)
	var err error
	if out.verdict, err = New().Run(ctx, env, req); err != nil {
		t.Fatal(err)
	}
	out.raw, out.dials = raw.b.String(), dial.dials.Load()
	out.findings, out.assets, out.coverage = parse(t, out.raw, req)
	out.packages = packagesOf(t, out.raw, req)
	return out
}

func packagesOf(t *testing.T, raw string, req engine.Request) (out []finding.Package) {
	t.Helper()
	if _, err := New().Parse(strings.NewReader(raw), req, func(i engine.Item) error {
		if i.Package != nil {
			out = append(out, *i.Package)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func parse(t *testing.T, raw string, req engine.Request) (found []finding.Observation, assets []asset.Observation, cov finding.Coverage) {
	t.Helper()
	cov, err := New().Parse(strings.NewReader(raw), req, func(i engine.Item) error {
		switch {
		case i.Finding != nil && i.Asset == nil && i.Package == nil:
			found = append(found, *i.Finding)
		case i.Asset != nil && i.Finding == nil && i.Package == nil:
			assets = append(assets, *i.Asset)
		case i.Package == nil || i.Finding != nil || i.Asset != nil:
			t.Error("an item holds not exactly one thing")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, assets, cov
}

// expectation maps the weak target's flaws to the rules that see them. Flaws that are beyond these probes have none.
func expectation() map[string][2]string {
	return map[string][2]string{
		"csp-missing": {"http-csp-missing", "content-security-policy"}, "nosniff-missing": {"http-nosniff-missing", "x-content-type-options"},
		"framing-allowed": {"http-framing-allowed", "x-frame-options"}, "reflected-query": {"web-xss"},
		"referrer-policy-missing": {"http-referrer-missing", "referrer-policy"}, "banner-server": {"http-version", "Server"},
		"banner-powered-by": {"http-version", "X-Powered-By"}, "cookie-not-secure": {"http-cookie-insecure", "session"},
		"cookie-not-httponly": {"http-cookie-script", "session"}, "cookie-no-samesite": {"http-cookie-samesite", "session"},
		"no-https": {"http-no-https"}, "trace-enabled": {"http-trace"}, "cors-reflects": {"http-cors-any"}, "listing": {"http-listing"},
		"git-exposed": {"file-git"}, "env-exposed": {"file-env"}, "hsts-missing": {"http-hsts-missing", "strict-transport-security"},
		"banner-portal": {"http-version", "Server"}, "certificate-expired": {"cert-expired"}, "certificate-name": {"cert-name-mismatch"},
		"certificate-self-signed": {"cert-self-signed"}, "certificate-weak-key": {"cert-weak-key"},
		"certificate-weak-signature": {"cert-weak-signature"}, "tls10": {"tls-old-protocol", "TLS 1.0"},
		"tls11": {"tls-old-protocol", "TLS 1.1"}, "rc4": {"tls-weak-cipher", "RC4"}, "3des": {"tls-weak-cipher", "3DES"},
		"no-forward-secrecy": {"tls-no-forward-secrecy"}, "no-pq": {"tls-no-pq-kex"}, "redis-open": {"port-redis-open"},
		"banner-ssh": {"port-version"}, "banner-ftp": {"port-version"}, "ftp-cleartext": {"port-ftp-cleartext"},
	}
}

func weakTarget(t *testing.T) *simulator.WeakTarget {
	t.Helper()
	w, err := simulator.StartWeakTarget(t.Context(), simulator.WeakConfig{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestEveryPlantedFlawIsFoundOnce(t *testing.T) {
	w := weakTarget(t)
	req := order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(w.PortList())})
	got := scan(t.Context(), t, req, 0)
	if got.verdict.Outcome != engine.Complete {
		t.Errorf("outcome %s %q, want complete", got.verdict.Outcome, got.verdict.Reasons)
	}
	expect := expectation()
	for _, flaw := range w.Flaws() {
		want, inReach := expect[flaw.ID]
		if !inReach {
			t.Errorf("flaw %s is not expected by any rule", flaw.ID)
			continue
		}
		n := 0
		for _, o := range got.findings {
			discerned := o.Discern == want[1] || want[1] == "" && o.Certificate() != "" // certificates are known by their digest
			if o.Rule == "sentinel:"+want[0] && discerned && o.Location.Port == flaw.Port {
				n++
				if !got.coverage.Covers(o.Rule, o.Location) {
					t.Errorf("flaw %s: its own rule and place are not covered", flaw.ID)
				}
			}
		}
		if n != 1 {
			t.Errorf("flaw %s (%s %s on port %d) was found %d times, want once", flaw.ID, want[0], want[1], flaw.Port, n)
		}
	}
	for _, value := range []string{"fake-session-0001", "fake-db-password", "fake-app-key", "git.example.test"} {
		if strings.Contains(got.raw, value) {
			t.Errorf("the raw output holds the value %q", value)
		}
	}
	if !slices.IsSorted(got.steps) || len(got.steps) < 3 || got.steps[len(got.steps)-1] > 99 {
		t.Errorf("progress %v, want ascending up to 99", got.steps)
	}
	again, assets, cov := parse(t, got.raw, req)
	if len(again) != len(got.findings) || len(assets) != len(got.assets) || len(cov.Places) != len(got.coverage.Places) {
		t.Error("parsing the same raw output again gave something else")
	}
	kinds := map[asset.Kind]int{}
	for _, a := range got.assets {
		kinds[a.Kind]++
	}
	if kinds[asset.KindHost] != 1 || kinds[asset.KindService] != 5 || kinds[asset.KindURL] != 2 || kinds[asset.KindCertificate] != 1 {
		t.Errorf("assets by kind: %v, want one host, five services, two URLs, one certificate", kinds)
	}
}

// hardened is a site with nothing to say: TLS 1.3 with post-quantum key exchange, a sound certificate, every header.
func hardened(t *testing.T) netip.AddrPort {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "safe.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Server", "web")
		h.Set("Content-Type", "text/html")
		http.SetCookie(w, &http.Cookie{Name: "__Host-session", Value: "fake", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path != "/":
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte("<html><body>hello</body></html>"))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestHardenedServerHasNoneOfTheFlaws(t *testing.T) {
	at := hardened(t)
	for _, target := range []string{"127.0.0.1", "https://" + at.String() + "/"} {
		got := scan(t.Context(), t, order(t, target, map[string]string{"ports": strconv.Quote(strconv.Itoa(int(at.Port())))}), 0)
		if got.verdict.Outcome != engine.Complete {
			t.Errorf("outcome %s %q, want complete", got.verdict.Outcome, got.verdict.Reasons)
		}
		for _, o := range got.findings {
			// A private authority is one that no test machine trusts.
			if o.Severity != finding.Info && o.Rule != "sentinel:cert-untrusted" {
				t.Errorf("%s: %s %s: %s", target, o.Rule, o.Discern, o.Evidence)
			}
		}
		for _, rule := range []string{"sentinel:tls-weak-cipher", "sentinel:http-cors-any", "sentinel:file-env", "sentinel:cert-expired"} {
			if !got.coverage.Covers(rule, finding.Location{Host: "127.0.0.1", Port: int(at.Port())}) {
				t.Errorf("%s: %s is not covered", target, rule)
			}
		}
	}
}

// TestServerThatSaysYesToEverythingYieldsNoFiles covers both a fixed page and a text that would prove every kind.
func TestServerThatSaysYesToEverythingYieldsNoFiles(t *testing.T) {
	everything := "[core]\nDB_PASSWORD=fake\nref: refs/heads/main\n\"auths\" \"auth\" :_authToken=fake\nCREATE TABLE a\n" +
		"Apache Server Status for x Server uptime: PHP Version phpinfo() /debug/pprof/ profiles\n"
	for name, body := range map[string]string{"page": "<html>welcome</html>", "all proofs": everything, "zip": "PK\x03\x04xxxx"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(body + r.Header.Get("X-Nothing")))
		}))
		got := scan(t.Context(), t, order(t, s.URL+"/", nil), 0)
		s.Close()
		for _, o := range got.findings {
			if strings.HasPrefix(o.Rule, "sentinel:file-") {
				t.Errorf("%s: %s at %s", name, o.Rule, o.Location.URL)
			}
		}
	}
}

func TestNothingReachableIsNotClean(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	got := scan(t.Context(), t, order(t, "http://"+at+"/", nil), 0)
	if got.verdict.Outcome != engine.NothingReachable || len(got.findings) != 0 {
		t.Errorf("outcome %s with %d findings, want nothing_reachable without", got.verdict.Outcome, len(got.findings))
	}
}

func TestExcludedListenersAreNeverTouched(t *testing.T) {
	w := weakTarget(t)
	req := order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(w.PortList())})
	for _, name := range []string{simulator.WeakHTTP, simulator.WeakHTTPS, simulator.WeakRedis, simulator.WeakSSH, simulator.WeakFTP} {
		req.Excluded = append(req.Excluded, w.Addr(name))
	}
	got := scan(t.Context(), t, req, 0)
	if got.dials != 0 || len(got.findings) != 0 || len(got.verdict.Reasons) == 0 {
		t.Errorf("%d connections and %d findings, reasons %q; want none and a reason", got.dials, len(got.findings), got.verdict.Reasons)
	}
	for _, p := range got.coverage.Places {
		for _, r := range p.Ports {
			t.Errorf("covered %v although nothing was looked at", r)
		}
	}
}

func TestCancelEndsTheRunAsPartial(t *testing.T) {
	w := weakTarget(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := scan(ctx, t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(w.PortList())}), 0)
	if got.verdict.Outcome != engine.Partial {
		t.Errorf("outcome %s, want partial", got.verdict.Outcome)
	}
	if len(got.coverage.Places) != 0 {
		t.Errorf("coverage %v, want none", got.coverage)
	}
}

func TestTruncatedOutputIsPartialAndClosesNothingUnseen(t *testing.T) {
	w := weakTarget(t)
	got := scan(t.Context(), t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(w.PortList())}), 900)
	if got.verdict.Outcome != engine.Partial {
		t.Errorf("outcome %s, want partial", got.verdict.Outcome)
	}
	at := finding.Location{Host: "127.0.0.1", Port: int(w.Addr(simulator.WeakHTTP).Port())}
	if got.coverage.Covers("sentinel:file-env", at) {
		t.Error("a check whose record was lost counts as covered")
	}
}

func TestOwnHeadersAreSentButNeverKept(t *testing.T) {
	const value = "Bearer fake-token-of-the-test"
	var seen atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == value {
			seen.Add(1)
		}
		w.Header().Set("Server", r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("TRACE / HTTP/1.1\r\nAuthorization: " + r.Header.Get("Authorization")))
	}))
	defer s.Close()
	req := order(t, s.URL+"/", nil)
	req.Config.Headers = []engine.Header{{Name: "Authorization", Value: secret.New(value)}}
	got := scan(t.Context(), t, req, 0)
	if seen.Load() == 0 || strings.Contains(got.raw, "fake-token") {
		t.Errorf("header seen %d times; raw output holds its value: %v", seen.Load(), strings.Contains(got.raw, "fake-token"))
	}
}

func TestNetworkIsScannedAddressByAddress(t *testing.T) {
	w := weakTarget(t)
	port := int(w.Addr(simulator.WeakSSH).Port())
	req := order(t, "127.0.0.0/24", map[string]string{"ports": strconv.Quote(strconv.Itoa(port) + ",1"), "depth": `"quick"`})
	got := scan(t.Context(), t, req, 0)
	if got.verdict.Outcome != engine.Complete {
		t.Errorf("outcome %s %q, want complete", got.verdict.Outcome, got.verdict.Reasons)
	}
	var hosts []string
	for _, o := range got.findings {
		if o.Rule == "sentinel:port-open" && o.Location.Port == port {
			hosts = append(hosts, o.Location.Host)
		}
	}
	if !slices.Equal(hosts, []string{"127.0.0.1"}) {
		t.Errorf("port open at %v, want 127.0.0.1 only", hosts)
	}
	if !got.coverage.Covers("sentinel:port-redis-open", finding.Location{Host: "127.0.0.9", Port: 1}) {
		t.Error("a closed port of a living host is not covered")
	}
	if len(got.steps) < 10 || !slices.IsSorted(got.steps) {
		t.Errorf("progress %v, want many ascending steps", got.steps)
	}
}
