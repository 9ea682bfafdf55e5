package banner

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// KEX is what an SSH server offers in its SSH_MSG_KEXINIT (RFC 4253 section 7.1).
type KEX struct {
	Exchange []string `json:"exchange,omitempty"`
	HostKeys []string `json:"hostKeys,omitempty"`
	Ciphers  []string `json:"ciphers,omitempty"` // from server to client
	MACs     []string `json:"macs,omitempty"`
}

// Bounds of a KEXINIT.
const (
	maxPacket = 35_000 // RFC 4253 section 6.1
	maxNames  = 100    // of one list
	maxName   = 64
)

// ReadKEX reads what a server said after the banners were exchanged: lines, and then a packet. ok is false where the
// packet isn't there as a whole or isn't one.
func ReadKEX(said []byte) (kex KEX, ok bool) {
	for range 50 { // lines before the banner are allowed
		line, rest, found := bytes.Cut(said, []byte("\n"))
		if !found {
			return KEX{}, false
		}
		said = rest
		if bytes.HasPrefix(line, []byte("SSH-")) {
			break
		}
	}
	if len(said) < 6 {
		return KEX{}, false
	}
	length := binary.BigEndian.Uint32(said)
	if length < 22 || length > maxPacket || int64(len(said)) < int64(length)+4 || said[5] != 20 {
		return KEX{}, false
	}
	body := said[6+16 : 4+length] // after padding length, message number and cookie
	var lists [8][]string
	for i := range lists {
		if lists[i], body, ok = nameList(body); !ok {
			return KEX{}, false
		}
	}
	return KEX{Exchange: lists[0], HostKeys: lists[1], Ciphers: lists[3], MACs: lists[5]}, true
}

// nameList takes one comma-separated list off (RFC 4251 section 5).
func nameList(b []byte) (names []string, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n > int64(len(b)-4) {
		return nil, nil, false
	}
	for name := range strings.SplitSeq(string(b[4:4+n]), ",") {
		if len(names) == maxNames {
			break
		}
		if name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
			names = append(names, name)
		}
	}
	return names, b[4+n:], true
}

// Hybrid returns the offered key exchanges that withstand quantum computers as far as is known.
func (k KEX) Hybrid() []string {
	return pick(k.Exchange, func(n string) bool { return strings.HasPrefix(n, "mlkem") || strings.HasPrefix(n, "sntrup") })
}

// Weak returns what of the offer is broken or deprecated (RFC 8758, RFC 9142), by kind.
func (k KEX) Weak() map[string][]string {
	out := map[string][]string{}
	note := func(kind string, names []string) {
		if len(names) > 0 {
			out[kind] = names
		}
	}
	note("kex", pick(k.Exchange, func(n string) bool {
		return strings.HasPrefix(n, "diffie-hellman-") && strings.HasSuffix(n, "-sha1") || strings.HasPrefix(n, "rsa1024")
	}))
	note("host-key", pick(k.HostKeys, func(n string) bool { return n == "ssh-dss" || n == "ssh-rsa" || n == "ssh-rsa-cert-v01@openssh.com" }))
	note("cipher", pick(k.Ciphers, func(n string) bool {
		return strings.HasPrefix(n, "arcfour") || strings.HasPrefix(n, "3des") || strings.HasPrefix(n, "des-") || strings.HasPrefix(n, "blowfish") ||
			strings.HasPrefix(n, "cast128") || strings.HasPrefix(n, "rc4") || n == "none" || strings.HasSuffix(n, "-cbc")
	}))
	note("mac", pick(k.MACs, func(n string) bool { return strings.Contains(n, "md5") || strings.Contains(n, "-96") || n == "none" }))
	return out
}

func pick(names []string, want func(string) bool) []string {
	var out []string
	for _, n := range names {
		if want(n) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
