// Package tls is the server's own TLS: version 1.3 only, the hybrid post-quantum group X25519MLKEM768 before X25519, and
// a certificate that comes from files (Files) or from a certificate authority (ACME) and changes without a restart.
//
// A certificate that once worked is served until a better one is there: a broken pair of files, a directory that doesn't
// answer or a failed validation changes what State says, never what is served. The package must never write a private key
// in the clear, log one, or open a connection by itself: ACME leaves through the http.Client that it is handed. Start with
// Rules, then files.go, acme.go and renew.go.
package tls

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"time"
)

// Sources of a certificate, as State names them.
const (
	SourceFiles = "files"
	SourceACME  = "acme"
)

// day is how time left is counted.
const day = 24 * time.Hour

// Deps is what every source of certificates needs. All are required.
type Deps struct {
	Now  func() time.Time
	Rand io.Reader // cryptographically strong
	Log  *slog.Logger
}

// Rules are an operator's choices about handshakes. The zero value takes X25519 where a client has nothing better.
type Rules struct {
	PQOnly bool               // refuse clients without a post-quantum key exchange
	Seen   func(group string) // told the key exchange of each finished handshake; nil = nobody asks
}

// Groups lists the key exchanges that the rules allow, by name, the preferred first.
func (r Rules) Groups() []string {
	var names []string
	for _, g := range r.groups() {
		names = append(names, g.String())
	}
	return names
}

func (r Rules) groups() []tls.CurveID {
	if r.PQOnly {
		return []tls.CurveID{tls.X25519MLKEM768}
	}
	return []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
}

// config makes the server's configuration. It is one for the server's life, so that session tickets outlive a change of
// certificate; a resumed session exchanges keys anew, under the same rules.
func (r Rules) config(now func() time.Time, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	c := &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: r.groups(),
		NextProtos:       []string{"h2", "http/1.1"},
		GetCertificate:   get,
		Time:             now,
	}
	if r.Seen != nil {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			r.Seen(s.CurveID.String())
			return nil
		}
	}
	return c
}

// State is how a source of certificates stands.
type State struct {
	Source    string            // SourceFiles or SourceACME
	Leaf      *x509.Certificate // what is served
	Temporary bool              // the leaf is a stand-in of our own: no client trusts it
	Problem   string            // why the certificate couldn't be replaced; for everybody: no path, no address. Empty = all is well
	Cause     string            // more of it, for the operator only
	Since     time.Time         // when the problem began
	Next      time.Time         // when ACME tries again or renews; zero where nothing is planned
}

// Left is the time until the served certificate expires, negative once it has. A stand-in has none left.
func (s State) Left(now time.Time) time.Duration {
	if s.Leaf == nil || s.Temporary {
		return 0
	}
	return s.Leaf.NotAfter.Sub(now)
}

// DaysLeft is Left in days.
func (s State) DaysLeft(now time.Time) float64 { return float64(s.Left(now)) / float64(day) }

// Valid reports whether a client whose clock says now would take the certificate's dates.
func (s State) Valid(now time.Time) bool {
	return s.Leaf != nil && !s.Temporary && !now.Before(s.Leaf.NotBefore) && !now.After(s.Leaf.NotAfter)
}
