package keyfile

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"strings"
)

// ofOpenSSH reads the clear head of an openssh-key-v1 file: cipher, key derivation and the public key.
func ofOpenSSH(raw []byte, f *Fact) {
	body, ok := bytes.CutPrefix(raw, []byte("openssh-key-v1\x00"))
	if !ok {
		return
	}
	cipher, body := field(body)
	_, body = field(body) // key derivation
	_, body = field(body) // and its options
	if len(body) < 4 {
		return
	}
	f.Encrypted = string(cipher) != "none"
	public, _ := field(body[4:]) // after the number of keys
	f.Digest = digest(public)
	ofSSH(public, f)
}

// ofSSH reads a public key as it goes over the wire (RFC 4253 section 6.6).
func ofSSH(public []byte, f *Fact) {
	kind, rest := field(public)
	switch name := string(kind); {
	case name == "ssh-rsa":
		_, rest = field(rest)
		n, _ := field(rest)
		f.Algorithm, f.Bits = "RSA", new(big.Int).SetBytes(n[:min(len(n), 4096)]).BitLen()
	case name == "ssh-dss":
		f.Algorithm = "DSA"
	case name == "ssh-ed25519", name == "sk-ssh-ed25519@openssh.com":
		f.Algorithm, f.Bits = "Ed25519", 256
	case strings.HasPrefix(name, "ecdsa-sha2-nistp"):
		f.Algorithm = "ECDSA"
		switch strings.TrimPrefix(name, "ecdsa-sha2-nistp") {
		case "256":
			f.Bits, f.Curve = 256, "P-256"
		case "384":
			f.Bits, f.Curve = 384, "P-384"
		case "521":
			f.Bits, f.Curve = 521, "P-521"
		}
	}
}

// field takes one length-prefixed field off; what is cut short is empty.
func field(b []byte) (value, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n > int64(len(b)-4) {
		return nil, nil
	}
	return b[4 : 4+n], b[4+n:]
}
