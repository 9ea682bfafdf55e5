package targets

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"
)

// ExpiredTLS starts an HTTPS server whose certificate ran out long ago: self-signed, for another name, RSA of 1,024
// bits; it still speaks TLS 1.0 and weak ciphers. It ends with the test.
func ExpiredTLS(tb testing.TB) Target {
	tb.Helper()
	cert := expired(tb)
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", "nginx/1.4.6 (Ubuntu)")
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html><head><title>old portal</title></head><body>old portal</body></html>\n")
		}),
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, CipherSuites: suites},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(l, "", "") // it ends by Close
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatal("not a TCP listener")
	}
	t := target("tls", []int{addr.Port}, tlsFlaws(addr.Port))
	t.URL = "https://" + t.Addr + "/"
	return t
}

func expired(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024) // that is the point
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "old.example.test", Organization: []string{"Example Test"}},
		NotBefore:    time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames: []string{"old.example.test"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
