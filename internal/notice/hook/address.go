package hook

import (
	"net/url"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// MaxURL bounds a receiver's address in bytes.
const MaxURL = 2048

// Addresses judges a receiver's address as far as it can be judged without asking a name server; where it leads is
// judged again at every connection. An error is a fault whose text names the rule.
type Addresses interface {
	Check(u *url.URL) error
}

// ParseURL reads a receiver's address: absolute, https (http only where policy allows it), at most MaxURL bytes,
// without user name, password or fragment. A fault is Invalid, names the field, and doesn't repeat the address.
func ParseURL(field, s string, policy Addresses) (string, error) {
	if len(s) > MaxURL {
		return "", fault.Wrong(field, "is too long; at most 2,048 characters")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "", fault.Wrong(field, "must be plain ASCII without spaces; write other characters percent-encoded, a host name in its xn-- form")
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return "", fault.Wrong(field, "must be an absolute address such as https://hooks.example.org/assay")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fault.Wrong(field, "must begin with https://")
	case u.User != nil:
		return "", fault.Wrong(field, "must not hold a user name or password; verify the signature instead")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return "", fault.Wrong(field, "must not hold a fragment; it would never be sent")
	case u.Port() == "0" || strings.HasSuffix(u.Host, ":"):
		return "", fault.Wrong(field, "must name a port from 1 to 65,535, or none")
	}
	if err := policy.Check(u); err != nil {
		return "", fault.Wrong(field, fault.Of(err).Text).Because(err)
	}
	return s, nil
}
