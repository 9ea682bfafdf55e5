package tls_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/tls"
)

// patience bounds waits for things that come by themselves; a test that reaches it has failed.
const patience = 30 * time.Second

// logs collects a log.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func deps(out io.Writer) tls.Deps {
	return tls.Deps{Now: time.Now, Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(out, nil))}
}

// root is an authority of the tests.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newRoot(tb testing.TB) root {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Root of the tests"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "Root of the tests"}}, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return root{cert: cert, key: key}
}

func (r root) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(r.cert)
	return p
}

// issue returns a chain and a key in PEM. change may spoil the certificate.
func (r root) issue(tb testing.TB, change func(*x509.Certificate)) (chain, key []byte) {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return r.issueFor(tb, k, change)
}

func (r root) issueFor(tb testing.TB, k crypto.Signer, change func(*x509.Certificate)) (chain, key []byte) {
	tb.Helper()
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Server of the tests"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(leaf)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, r.cert, k.Public(), r.key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// pair are files that a server follows.
type pair struct{ cert, key string }

func (r root) pair(tb testing.TB) pair {
	tb.Helper()
	dir := tb.TempDir()
	p := pair{cert: filepath.Join(dir, "server.pem"), key: filepath.Join(dir, "server.key")}
	chain, key := r.issue(tb, nil)
	p.put(tb, chain, key)
	return p
}

func (p pair) put(tb testing.TB, chain, key []byte) {
	tb.Helper()
	put(tb, p.cert, chain)
	put(tb, p.key, key)
}

func put(tb testing.TB, path string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (p pair) open(tb testing.TB, d tls.Deps) *tls.Files {
	tb.Helper()
	f, err := tls.NewFiles(d, tls.FilesConfig{Cert: p.cert, Key: p.key})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// source is where a served certificate comes from.
type source interface {
	ServerConfig(r tls.Rules) *gotls.Config
}

// serve answers "hello" with the source's certificate until the test ends, and returns the address.
func serve(tb testing.TB, s source, r tls.Rules, opened func()) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	serveOn(tb, l, s, r, opened)
	return l.Addr().String()
}

func serveOn(tb testing.TB, l net.Listener, s source, r tls.Rules, opened func()) {
	tb.Helper()
	srv := &http.Server{
		TLSConfig: s.ServerConfig(r), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew && opened != nil {
				opened()
			}
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeTLS(l, "", "")
	}()
	tb.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

// shake makes a handshake and returns what was agreed on.
func shake(tb testing.TB, address string, cfg *gotls.Config) (gotls.ConnectionState, error) {
	tb.Helper()
	conn, err := (&gotls.Dialer{Config: cfg}).DialContext(tb.Context(), "tcp", address)
	if err != nil {
		return gotls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return gotls.ConnectionState{}, err
	}
	if _, err := io.ReadAll(conn); err != nil { // a TLS 1.3 server's refusal may come with the first read
		return gotls.ConnectionState{}, err
	}
	return conn.(*gotls.Conn).ConnectionState(), nil
}

func weakRSA(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	tb.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// listen opens a port and says which.
func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	return l, n
}
