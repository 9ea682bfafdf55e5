package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of one connection to the server.
const (
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	maxIdle          = 16
)

// Transport returns a way to an Assay server: TLS 1.3, with X25519MLKEM768 offered first. ca holds the authorities to
// trust in PEM, instead of the system's; empty = the system's. A ca without any is an Invalid fault.
func Transport(ca []byte) (http.RoundTripper, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if len(ca) > 0 {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fault.Wrong("ca", "must be a file with certificates in PEM")
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, TLSHandshakeTimeout: handshakeTimeout,
		IdleConnTimeout: idleTimeout, MaxIdleConns: maxIdle, ForceAttemptHTTP2: true,
	}, nil
}

// checkPlain refuses to send a credential over plain HTTP to anywhere but this machine.
func checkPlain(u *url.URL) error {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	if u.Scheme != "http" || host == "localhost" || (err == nil && addr.IsLoopback()) {
		return nil
	}
	return fault.Wrong("server", "is plain HTTP and not on this machine, so the key would travel unprotected; use https://")
}

// unanswered says why no answer came.
func unanswered(base string, err error) error {
	text := "the server at " + base + " doesn't answer; is it running? start it with `assay serve`"
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	name, wrong := errors.AsType[x509.HostnameError](err)
	invalid, dated := errors.AsType[x509.CertificateInvalidError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	op, remote := errors.AsType[*net.OpError](err)
	switch {
	case unknown:
		text = "the certificate of the server at " + base + " isn't trusted here; name its authority with --ca FILE or ASSAY_CA_FILE"
	case wrong:
		text = "the certificate of the server at " + base + " is for other hosts: " + strings.Join(name.Certificate.DNSNames, " ")
	case dated && invalid.Reason == x509.Expired:
		text = "the certificate of the server at " + base + " has expired, or this machine's clock is wrong; `assay doctor` on the server says more"
	case dated:
		text = "the certificate of the server at " + base + " is not valid"
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		text = "the server at " + base + " speaks plain HTTP; use http:// on its own machine, or give it a certificate"
	case alert, remote && op.Op == "remote error", strings.Contains(err.Error(), "protocol version"):
		text = "the server at " + base + " refused the TLS handshake; it must offer TLS 1.3 with a key exchange that both sides know"
	}
	return fault.New(fault.Unavailable, fault.CodeUnavailable, text).Because(err)
}
