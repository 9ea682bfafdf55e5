package asset

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

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
