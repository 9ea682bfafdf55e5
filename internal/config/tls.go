package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Challenges of ACME, as tls_acme_challenge names them.
const (
	ChallengeTLS  = "tls-alpn-01"
	ChallengeHTTP = "http-01"
)

// maxDomains is how many names public authorities put into one certificate.
const maxDomains = 100

// TLS reports whether the server speaks TLS itself.
func (c Config) TLS() bool { return c.TLSCert != "" || c.TLSKey != "" || c.ACME() }

// ACME reports whether the certificate comes from an authority.
func (c Config) ACME() bool { return len(c.TLSACMEDomains) > 0 }

func (c Config) checkTLS(bad func(key, format string, args ...any)) {
	files := c.TLSCert != "" || c.TLSKey != ""
	switch {
	case files && c.TLSCert == "":
		bad("tls_cert", "must be set beside tls_key")
	case files && c.TLSKey == "":
		bad("tls_key", "must be set beside tls_cert")
	case files && c.ACME():
		bad("tls_acme_domains", "can't be set beside tls_cert: the certificate comes from files or by ACME")
	case c.TLSPQOnly && !files && !c.ACME():
		bad("tls_pq_only", "needs a certificate here (tls_cert and tls_key, or tls_acme_domains); a proxy in front decides for itself")
	}
	if c.TLS() && strings.HasPrefix(c.PublicURL, "http:") {
		bad("public_url", "must begin with https:// where the server has a certificate")
	}
	if c.ACME() {
		c.checkACME(bad)
	}
}

func (c Config) checkACME(bad func(key, format string, args ...any)) {
	if len(c.TLSACMEDomains) > maxDomains || slices.ContainsFunc(c.TLSACMEDomains, func(d string) bool { return !domain(d) }) {
		bad("tls_acme_domains", "must hold up to 100 names such as assay.example.com; wildcards and addresses can't be validated here")
	}
	c.checkDirectory(bad)
	if c.TLSACMEEmail != "" && !strings.Contains(c.TLSACMEEmail, "@") {
		bad("tls_acme_email", "must be an e-mail address")
	}
	switch c.TLSACMEChallenge {
	case ChallengeTLS:
	case ChallengeHTTP:
		if _, _, err := net.SplitHostPort(c.TLSACMEHTTPListen); err != nil {
			bad("tls_acme_http_listen", "must be HOST:PORT, such as :80")
		}
	default:
		bad("tls_acme_challenge", "must be tls-alpn-01 or http-01")
	}
	if (c.TLSACMEAccountKeyID == "") != (c.TLSACMEAccountMAC == "") {
		bad("tls_acme_account_key_id", "goes with tls_acme_account_mac_file; set both or none")
	}
}

// checkDirectory finds a directory that egress would refuse, so that nobody waits for a certificate that never comes.
func (c Config) checkDirectory(bad func(key, format string, args ...any)) {
	u, err := url.Parse(c.TLSACMEDirectory)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		bad("tls_acme_directory", "must be an https address")
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return // a name; egress decides on what it resolves to
	}
	allow, err := Prefixes(c.EgressAllow)
	if err != nil {
		return // told at its key
	}
	allowed := slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
	if !allowed && (addr.IsPrivate() || addr.IsLoopback()) {
		bad("tls_acme_directory", "is a private address; name its network in egress_allow")
	}
}

// domain reports whether an authority could validate the name: two labels at least, in lower-case ASCII (Punycode).
func domain(s string) bool {
	labels := strings.Split(s, ".")
	if _, err := netip.ParseAddr(s); err == nil || len(labels) < 2 || len(s) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// withPort adds the port of the address that is listened on, where it isn't that of https.
func withPort(host, listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil || port == "443" || port == "0" {
		return host
	}
	return net.JoinHostPort(host, port)
}
