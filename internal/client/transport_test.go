package client_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

func TestAKeyIsNeverSentOverPlainHTTPToAnotherMachine(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, "http://[::1]:8080": true, "http://127.8.9.1": true,
		"https://assay.example.com": true, "https://192.0.2.1:8443": true,
		"http://assay.example.com": false, "http://192.0.2.1:8080": false, "http://localhost.example.com": false, "http://[2001:db8::1]": false,
		"http://0.0.0.0:8080": false,
	} {
		_, err := client.New(server, secret.New("asy_live_test"), nil)
		if (err == nil) != want {
			t.Errorf("%s: %v", server, err)
		}
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", server, err)
		}
		if _, err := client.New(server, secret.Text{}, nil); err != nil {
			t.Errorf("%s without a key: %v", server, err)
		}
	}
}

func healthy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) })
}

// start serves with TLS as change has it.
func start(t *testing.T, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(healthy())
	s.TLS = &tls.Config{}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func ca(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func ask(t *testing.T, base string, authority []byte) error {
	t.Helper()
	way, err := client.Transport(authority)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(base, secret.New("asy_live_test"), way)
	if err != nil {
		t.Fatal(err)
	}
	return c.Healthy(t.Context())
}

func TestAServerIsTrustedByItsAuthorityAlone(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if err := ask(t, s.URL, ca(s)); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	if err := ask(t, s.URL, nil); err == nil || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("without: %v", err)
	}
	name := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	if err := ask(t, name, ca(s)); err == nil || !strings.Contains(err.Error(), "other hosts") {
		t.Errorf("under a name that it doesn't hold: %v", err)
	}
	if _, err := client.Transport([]byte("no certificate")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a file without certificates: %v", err)
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	if err := ask(t, s.URL, ca(s)); err == nil || !strings.Contains(err.Error(), "TLS 1.3") {
		t.Errorf("got %v", err)
	}
}

func TestTheWrongSchemeIsExplained(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(healthy())
	t.Cleanup(plain.Close)
	if err := ask(t, strings.Replace(plain.URL, "http:", "https:", 1), nil); err == nil || !strings.Contains(err.Error(), "speaks plain HTTP") {
		t.Errorf("https to a plain server: %v", err)
	}
	s := start(t, nil)
	if err := ask(t, strings.Replace(s.URL, "https:", "http:", 1), nil); err == nil || !strings.Contains(err.Error(), "use https://") {
		t.Errorf("http to a TLS server: %v", err)
	}
}

func TestTheClientOffersThePostQuantumGroupFirst(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	offered := make(chan []tls.CurveID, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		server := tls.Server(conn, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			offered <- h.SupportedCurves
			return nil, nil
		}})
		_, _ = bufio.NewReader(server).ReadByte()
	}()
	_ = ask(t, "https://"+l.Addr().String(), nil)
	if got := <-offered; len(got) == 0 || got[0] != tls.X25519MLKEM768 {
		t.Errorf("offered %v", got)
	}
}
