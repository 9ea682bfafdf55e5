package app_test

import (
	"bufio"
	"context"
	gotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/app/doctor"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/tls/acmetest"
)

// secured is a server with a certificate of its own authority.
func secured(t *testing.T) *house {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	made, err := app.SelfSigned(config.Config{Data: data}, []string{"localhost", "127.0.0.1"}, 30, false)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, "", func(c *config.Config) { c.Data, c.TLSCert, c.TLSKey = data, made.Cert, made.Key })
	h.web = trusting(t, made.CA)
	return h
}

func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	way := &http.Transport{TLSClientConfig: &gotls.Config{RootCAs: pool, MinVersion: gotls.VersionTLS13}, ForceAttemptHTTP2: true}
	t.Cleanup(way.CloseIdleConnections)
	return &http.Client{Transport: way}
}

// check is a part of the server's health.
type check struct {
	OK     bool
	Reason string
}

func (c caller) health() (status int, tls check) {
	c.t.Helper()
	a := c.call(http.MethodGet, "/health", nil)
	var doc struct{ Checks map[string]check }
	a.into(c.t, &doc)
	return a.status, doc.Checks["tls"]
}

// about returns the doctor's lines on TLS.
func about(t *testing.T, cfg config.Config, ca string) map[string]doctor.Check {
	t.Helper()
	out := map[string]doctor.Check{}
	for _, c := range doctor.Run(t.Context(), cfg, ca) {
		if strings.HasPrefix(c.Name, "tls") {
			out[c.Name] = c
		}
	}
	return out
}

func TestAServerWithACertificateSpeaksTLSOnly(t *testing.T) {
	t.Parallel()
	h := secured(t)
	if !strings.HasPrefix(h.url, "https://127.0.0.1:") {
		t.Fatalf("serves on %s", h.url)
	}
	a := h.must(http.MethodGet, scanAPI+"/scans", nil, nil)
	if got := a.header.Get("Strict-Transport-Security"); got != "max-age=31536000; includeSubDomains" {
		t.Errorf("Strict-Transport-Security: %q", got)
	}
	if status, tls := h.health(); status != http.StatusOK || !tls.OK || tls.Reason != "" {
		t.Errorf("health: %d, %+v", status, tls)
	}
	var doc struct {
		TLS struct {
			Version      string    `json:"version"`
			Certificate  string    `json:"certificate"`
			KeyExchanges []string  `json:"keyExchanges"`
			ExpiresAt    time.Time `json:"expiresAt"`
		} `json:"tls"`
	}
	if err := json.Unmarshal(h.call(http.MethodGet, "/api/status", nil).body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.TLS.Version != "TLS 1.3" || doc.TLS.Certificate != "files" || doc.TLS.ExpiresAt.IsZero() ||
		!slices.Equal(doc.TLS.KeyExchanges, []string{"X25519MLKEM768", "X25519"}) {
		t.Errorf("status: %+v", doc.TLS)
	}
	metrics := string(h.call(http.MethodGet, "/metrics", nil).body)
	for _, want := range []string{`assay_tls_handshakes_total{key_exchange="X25519MLKEM768"}`, "assay_tls_certificate_days_left 29."} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}

	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(h.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP got %s", resp.Status)
	}
}

func TestEventsAreStreamedOverHTTP2(t *testing.T) {
	t.Parallel()
	h := secured(t)
	id := h.submit(sentinel("127.0.0.1", tarpit(t, 1)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+scanAPI+"/scans/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", h.key)
	resp, err := h.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Proto, resp.Status)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line == "" {
		t.Errorf("%q, %v", line, err)
	}
	h.must(http.MethodPost, scanAPI+"/scans/"+id+"/cancel", nil, nil)
}

func TestABrokenNewPairIsShownAndHarmsNobody(t *testing.T) {
	t.Parallel()
	h := secured(t)
	good, err := os.ReadFile(h.cfg.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	if d := about(t, h.cfg, ""); d["tls"].State != doctor.Good || d["tls certificate"].State != doctor.Good || d["tls files"].State != doctor.Good {
		t.Errorf("the doctor says %+v", d)
	}
	if err := os.WriteFile(h.cfg.TLSKey, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.srv.Reload(t.Context())
	status, tls := h.health()
	if status != http.StatusOK || !tls.OK || !strings.Contains(tls.Reason, "private key") || !strings.Contains(tls.Reason, "29 days") {
		t.Errorf("health: %d, %+v", status, tls)
	}
	if strings.Contains(tls.Reason, h.cfg.Data) {
		t.Errorf("health tells a path: %s", tls.Reason)
	}
	if d := about(t, h.cfg, ""); d["tls files"].State != doctor.Broken || d["tls"].State != doctor.Good {
		t.Errorf("the doctor says %+v", d)
	}
	if !strings.Contains(h.log.String(), "the old one stays") {
		t.Error("the log says nothing")
	}
	h.log.drop("level=ERROR msg=\"the new certificate can't be served")
	if err := os.WriteFile(h.cfg.TLSKey, good, 0o600); err != nil {
		t.Fatal(err)
	}
	h.srv.Reload(t.Context())
	if _, tls := h.health(); tls.Reason != "" {
		t.Errorf("mended, and health says %q", tls.Reason)
	}
}

func TestAPlainServerTellsNothingOfTLS(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	if body := h.call(http.MethodGet, "/api/status", nil).body; strings.Contains(string(body), `"tls"`) {
		t.Errorf("status: %s", body)
	}
}

func TestAServerWithoutAGoodPairDoesNotStart(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data, cfg.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	cfg.TLSCert, cfg.TLSKey = "/nowhere/cert.pem", "/nowhere/key.pem"
	a, err := app.New(t.Context(), cfg, app.Seams{})
	if err == nil {
		_ = a.Close(context.Background())
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), "certificate file doesn't exist") {
		t.Errorf("%v", err)
	}
}

// The whole way: a real authority, asked through the way out, validates over the server's own ports.
func TestAServerGetsItsCertificateByItself(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{config.ChallengeTLS, config.ChallengeHTTP} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			gets(t, challenge)
		})
	}
}

// freed is an address that is free, for a server that has to be where the authority looks.
func freed(t *testing.T) (address string, port int) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

func gets(t *testing.T, challenge string) {
	t.Helper()
	listen, port := freed(t)
	plain, plainPort := freed(t)
	ports := acmetest.Config{TLSPort: port, Seconds: 86400}
	if challenge == config.ChallengeHTTP {
		ports = acmetest.Config{HTTPPort: plainPort, Seconds: 86400}
	}
	a := acmetest.Start(t, ports)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, "", func(c *config.Config) {
		c.Listen, c.TLSACMEDomains, c.TLSACMEDirectory, c.TLSACMECA = listen, []string{"assay.example.com"}, a.Directory, root
		c.EgressAllow, c.TLSPQOnly, c.TLSACMEChallenge, c.TLSACMEHTTPListen = []string{"127.0.0.1"}, true, challenge, plain
	})
	defer h.log.drop("route=/health status=503")
	if want := "https://assay.example.com:" + strconv.Itoa(port); h.url != want {
		t.Errorf("serves on %s, want %s", h.url, want)
	}
	h.caller.url = "https://" + listen
	h.web = &http.Client{Transport: &http.Transport{TLSClientConfig: &gotls.Config{InsecureSkipVerify: true}}}
	h.until("the certificate", patience, func() bool {
		_, tls := h.health()
		return tls.OK
	})
	d := about(t, h.cfg, "")
	if c := d["tls acme"]; c.State != doctor.Good || !strings.Contains(c.Detail, "renewal is due") {
		t.Errorf("the doctor says %+v", c)
	}
	if c := d["tls certificate"]; !strings.Contains(c.Detail, "assay.example.com") || !strings.Contains(c.Detail, "Pebble") {
		t.Errorf("the doctor says %+v", c)
	}
	if challenge != config.ChallengeHTTP {
		return
	}
	h.caller.url = "http://" + plain
	h.web = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if got := h.call(http.MethodGet, "/docs", nil); got.status != http.StatusBadRequest {
		t.Errorf("a key over plain HTTP got %d", got.status)
	}
	h.key = ""
	if got := h.call(http.MethodGet, "/docs", nil); got.status != http.StatusMovedPermanently || got.header.Get("Location") != h.url+"/docs" {
		t.Errorf("a reader got %d to %q", got.status, got.header.Get("Location"))
	}
}
