package asset

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"assay.dev/assay/internal/word/fault"
)

// parseURL reads an http or https URL into the one form that all its spellings share: lower-case ASCII host, the
// scheme's own port left out, dot segments resolved, no fragment. The query stays as it was written.
func parseURL(text string) (Target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return Target{}, fault.Wrong("target", "is not a URL; give one such as https://www.example.org/")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return Target{}, fault.Wrong("target", "must be an http or https URL")
	}
	if u.User != nil {
		return Target{}, fault.Wrong("target", "must not hold a user name or password; give credentials as config.authentication")
	}
	t := Target{typ: TypeURL}
	host := u.Hostname()
	if a, aerr := netip.ParseAddr(host); aerr == nil {
		if a.Zone() != "" {
			return Target{}, fault.Wrong("target", "must not name an address zone")
		}
		t.addr = a.Unmap()
		host = t.addr.String()
	} else {
		if t.host, err = canonicalName(host); err != nil {
			return Target{}, err
		}
		host = t.host
	}
	port := urlPort(u)
	if port == 0 {
		return Target{}, fault.Wrong("target", "names a port that is not within 1–65535")
	}
	u = (&url.URL{}).ResolveReference(u)
	u.Host = joinHost(host, port, u.Scheme)
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	if !plainPath(u.Path) {
		return Target{}, fault.Wrong("target", "has a path with encoded dot segments, backslashes or control characters")
	}
	t.url, t.text = u, u.String()
	if len(t.text) > maxTarget {
		return Target{}, fault.Wrong("target", "is too long; at most 2,048 bytes")
	}
	return t, nil
}

// plainPath reports whether a decoded path, its literal dot segments resolved, means the same to every server: it must
// hold none in disguise (%2e%2e, ..%2f, "..;"), by which a request could leave a URL rule of the scope, and no backslash
// or control character.
func plainPath(decoded string) bool {
	for segment := range strings.SplitSeq(decoded, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(decoded, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
}

// urlPort returns the URL's port or its scheme's, 0 where the port is out of bounds.
func urlPort(u *url.URL) int {
	p := u.Port()
	if p == "" {
		if strings.HasSuffix(u.Host, ":") {
			return 0
		}
		if u.Scheme == "https" {
			return 443
		}
		return 80
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// joinHost writes host and port the one way that all spellings of an origin share: the scheme's own port is left out.
func joinHost(host string, port int, scheme string) string {
	if (scheme == "http" && port == 80) || (scheme == "https" && port == 443) {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
