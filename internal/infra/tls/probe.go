package tls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Question is what a probe asks a server.
type Question struct {
	Name   string           // the host as clients call it; empty = whatever the certificate is for
	Roots  *x509.CertPool   // nil = the system's
	Now    func() time.Time // for the dates
	Legacy bool             // offer TLS 1.2 too, to a server that isn't ours
}

// Negotiated is what a server and this client agreed on, and the certificate that it showed.
type Negotiated struct {
	Version      string    `json:"version"`
	CipherSuite  string    `json:"cipherSuite"`
	KeyExchange  string    `json:"keyExchange"`
	PostQuantum  bool      `json:"postQuantum"` // the key exchange is a hybrid with ML-KEM
	Protocol     string    `json:"protocol"`    // of the application: h2 or http/1.1
	Subject      string    `json:"subject"`
	Issuer       string    `json:"issuer"`
	Names        []string  `json:"names"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	SHA256       string    `json:"sha256"` // of the leaf
	ChainValid   bool      `json:"chainValid"`
	ChainProblem string    `json:"chainProblem,omitempty"`

	// Expired tells an outdated certificate from one that is only unknown here.
	Expired bool `json:"expired"`
}

// Probe shakes hands over conn, which it closes, and tells what came of it. A certificate that doesn't verify is told, not
// refused: nothing is sent to the server. A server that speaks no TLS or refuses is an Unavailable fault.
func Probe(ctx context.Context, conn net.Conn, q Question) (Negotiated, error) {
	defer conn.Close() //nolint:errcheck // nothing was sent
	cfg := &tls.Config{
		ServerName: q.Name, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13, Time: q.Now,
		InsecureSkipVerify: true, //nolint:gosec // verified below, so that a bad chain can be described
	}
	if q.Legacy {
		cfg.MinVersion = tls.VersionTLS12
	}
	client := tls.Client(conn, cfg)
	if err := client.HandshakeContext(ctx); err != nil {
		text := "no TLS handshake with the server"
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			text = "the server doesn't speak TLS"
		}
		return Negotiated{}, fault.New(fault.Unavailable, fault.CodeUnavailable, text).Because(err)
	}
	return describe(client.ConnectionState(), q), nil
}

func describe(s tls.ConnectionState, q Question) Negotiated {
	leaf := s.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	n := Negotiated{
		Version: tls.VersionName(s.Version), CipherSuite: tls.CipherSuiteName(s.CipherSuite), KeyExchange: s.CurveID.String(),
		Protocol: s.NegotiatedProtocol, Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: append([]string{}, leaf.DNSNames...),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, SHA256: hex.EncodeToString(sum[:]), Expired: q.Now().After(leaf.NotAfter),
	}
	for _, ip := range leaf.IPAddresses {
		n.Names = append(n.Names, ip.String())
	}
	switch s.CurveID {
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		n.PostQuantum = true
	case tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521:
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: q.Name, Roots: q.Roots, Intermediates: between, CurrentTime: q.Now()})
	n.ChainValid = err == nil
	if err != nil {
		n.ChainProblem = err.Error()
	}
	return n
}

// Roots reads authorities in PEM from a file, for clients that trust them instead of the system's. A file without any is
// an Invalid fault.
func Roots(path string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	return pool, AddRoots(pool, path)
}

// AddRoots adds the authorities in a file to a pool.
func AddRoots(pool *x509.CertPool, path string) error {
	text, err := readFile(path, "authority's certificate", 0)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(text) {
		return badPair("the authority's file holds no certificate in PEM")
	}
	return nil
}

// AccountMAC reads the key of an external account binding: base64url, in a file that is open to nobody but its owner and
// group.
func AccountMAC(path string) ([]byte, error) {
	text, err := readFile(path, "account MAC key", openKey)
	if err != nil {
		return nil, err
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(text)), "="))
	if err != nil || len(key) < 16 {
		return nil, badPair("the account MAC key file must hold the key in base64url, as the certificate authority gave it").Because(err)
	}
	return key, nil
}
