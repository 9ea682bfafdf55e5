package mailpolicy

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
)

// DKIM is one published key.
type DKIM struct {
	Algorithm string // "rsa" or "ed25519"
	Bits      int
	Revoked   bool // an empty key (section 3.6.1)
	Testing   bool
	SHA1      bool // nothing but SHA-1 is allowed for it
	Error     string
}

// ParseDKIM reads a key record; ok is false where the text is none.
func ParseDKIM(text string) (key DKIM, ok bool) {
	t, order, fine := tags(text)
	p, given := t["p"]
	if v, has := t["v"]; has && v != "DKIM1" || !given || !has && t["k"] == "" && len(order) > 4 {
		return DKIM{}, false
	}
	key.Algorithm = "rsa"
	if k := t["k"]; k != "" {
		key.Algorithm = strings.ToLower(k)
	}
	if !fine {
		key.Error = "the list of tags is malformed"
	}
	key.Testing = slices.Contains(strings.Split(t["t"], ":"), "y")
	if h := t["h"]; h != "" {
		key.SHA1 = strings.TrimSpace(h) == "sha1"
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p), ""))
	switch {
	case p == "":
		key.Revoked = true
	case err != nil:
		key.Error = "the key isn't base64"
	case key.Algorithm == "ed25519":
		key.Bits = 256
		if len(raw) != ed25519.PublicKeySize {
			key.Error = "the key hasn't Ed25519's size"
		}
	case key.Algorithm == "rsa":
		key.rsa(raw)
	default:
		key.Error = "the key's type is unknown"
	}
	return key, true
}

// rsa reads a SubjectPublicKeyInfo, or the bare key that some publish.
func (d *DKIM) rsa(raw []byte) {
	if k, err := x509.ParsePKIXPublicKey(raw); err == nil {
		if r, ok := k.(*rsa.PublicKey); ok {
			d.Bits = r.N.BitLen()
			return
		}
	}
	if k, err := x509.ParsePKCS1PublicKey(raw); err == nil {
		d.Bits = k.N.BitLen()
		return
	}
	d.Error = "the key can't be read"
}
