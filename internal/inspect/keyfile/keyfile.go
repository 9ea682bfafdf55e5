// Package keyfile says what keys and certificates a file holds and how they stand against quantum computers: files in,
// facts out.
//
// It reads PEM (RFC 7468), DER certificates and OpenSSH keys. Private keys are named by the digest of their public half;
// no byte of the private half leaves it, and nothing is decrypted. The package opens nothing and judges nothing but
// algorithms. Start with Read; Of reads one certificate that came from elsewhere, such as a handshake.
package keyfile

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // only to recognise such keys
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"strconv"
	"strings"
	"time"
)

// MaxFacts bounds what one file yields: bundles of authorities hold some 150.
const MaxFacts = 500

// Kind is what a fact is of.
type Kind string

// Kinds.
const (
	Certificate Kind = "certificate"
	PrivateKey  Kind = "private_key"
	PublicKey   Kind = "public_key"
	Request     Kind = "certificate_request"
)

// Fact is one key or certificate.
type Fact struct {
	Kind      Kind   `json:"kind"`
	Line      int    `json:"line,omitempty"`      // where it begins, from 1; 0 in DER
	Algorithm string `json:"algorithm,omitempty"` // of the key: "RSA", "ECDSA", "Ed25519", "ML-DSA-65"; empty = unknown
	Bits      int    `json:"bits,omitempty"`      // of RSA's and DSA's modulus and of curves
	Curve     string `json:"curve,omitempty"`
	Encrypted bool   `json:"encrypted,omitempty"` // a private key under a pass phrase
	Digest    string `json:"digest,omitempty"`    // SHA-256 in hex: of a certificate, or of a key's SubjectPublicKeyInfo
	KeyDigest string `json:"keyDigest,omitempty"` // of a certificate's SubjectPublicKeyInfo

	Subject   string    `json:"subject,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	Names     []string  `json:"names,omitempty"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	Signature string    `json:"signature,omitempty"` // algorithm of a certificate's signature
	Authority bool      `json:"authority,omitempty"`
	SelfMade  bool      `json:"selfMade,omitempty"` // issuer and subject are the same
}

// QuantumSafe reports whether the key's algorithm withstands quantum computers as far as is known (FIPS 204 and 205).
// known is false for algorithms that this package doesn't know.
func (f Fact) QuantumSafe() (safe, known bool) {
	switch {
	case f.Algorithm == "":
		return false, false
	case strings.HasPrefix(f.Algorithm, "ML-DSA"), strings.HasPrefix(f.Algorithm, "SLH-DSA"):
		return true, true
	}
	return false, true
}

// Weak says why the key is too weak even today (NIST SP 800-131A), "" where it isn't.
func (f Fact) Weak() string {
	switch {
	case f.Algorithm == "RSA" && f.Bits > 0 && f.Bits < 2048, f.Algorithm == "ECDSA" && f.Bits > 0 && f.Bits < 224:
		return f.Algorithm + ", " + strconv.Itoa(f.Bits) + " bits"
	case f.Algorithm == "DSA":
		return "DSA"
	}
	return ""
}

// Looks reports whether a file may hold keys, by its beginning and its name, so that others needn't be read.
func Looks(name string, content []byte) bool {
	if bytes.Contains(content, []byte("-----BEGIN ")) {
		return true
	}
	return der(name, content)
}

func der(name string, content []byte) bool {
	for _, suffix := range []string{".cer", ".crt", ".der", ".cert"} {
		if strings.HasSuffix(strings.ToLower(name), suffix) && len(content) > 4 && content[0] == 0x30 && content[1] == 0x82 {
			return true
		}
	}
	return false
}

// Read yields what a file holds, in its order, at most MaxFacts. What can't be read yields nothing, or a fact without
// an algorithm where the frame alone tells what it is.
func Read(name string, content []byte, yield func(Fact)) {
	if der(name, content) {
		if c, err := x509.ParseCertificate(content); err == nil {
			yield(Of(c))
		}
		return
	}
	rest, offset, line := content, 0, 1
	for range MaxFacts {
		start := bytes.Index(rest, []byte("-----BEGIN "))
		if start < 0 {
			return
		}
		line += bytes.Count(rest[:start], []byte("\n"))
		rest, offset = rest[start:], offset+start
		block, after := pem.Decode(rest)
		if block == nil {
			return
		}
		if f, ok := ofBlock(block); ok {
			f.Line = line
			yield(f)
		}
		line += bytes.Count(rest[:len(rest)-len(after)], []byte("\n"))
		rest = after
	}
}

func ofBlock(block *pem.Block) (Fact, bool) {
	switch block.Type {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Fact{}, false
		}
		return Of(c), true
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		r, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return Fact{}, false
		}
		f := Fact{Kind: Request, Subject: r.Subject.String(), Signature: r.SignatureAlgorithm.String()}
		f.key(r.PublicKey, r.RawSubjectPublicKeyInfo)
		return f, true
	case "PUBLIC KEY":
		f := Fact{Kind: PublicKey, Digest: digest(block.Bytes)}
		k, _ := x509.ParsePKIXPublicKey(block.Bytes) // of one that isn't known the algorithm's name is enough
		f.key(k, block.Bytes)
		return f, true
	case "RSA PUBLIC KEY":
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return Fact{}, false
		}
		f := Fact{Kind: PublicKey}
		f.public(k)
		return f, true
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return ofPrivate(block), true
	}
	return Fact{}, false
}

// ofPrivate names a private key by its public half.
func ofPrivate(block *pem.Block) Fact {
	f := Fact{Kind: PrivateKey}
	var key any
	var err error
	switch block.Type {
	case "ENCRYPTED PRIVATE KEY":
		f.Encrypted = true
	case "RSA PRIVATE KEY":
		f.Algorithm = "RSA"
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		f.Algorithm = "ECDSA"
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "DSA PRIVATE KEY":
		f.Algorithm = "DSA"
	case "OPENSSH PRIVATE KEY":
		ofOpenSSH(block.Bytes, &f)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			f.Algorithm = algorithmOf(pkcs8OID(block.Bytes))
		}
	}
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		f.Encrypted = true
	}
	if signer, ok := key.(interface{ Public() crypto.PublicKey }); ok && err == nil {
		f.public(signer.Public())
	}
	return f
}

// Of describes one certificate.
func Of(c *x509.Certificate) Fact {
	f := Fact{
		Kind: Certificate, Digest: digest(c.Raw), KeyDigest: digest(c.RawSubjectPublicKeyInfo), Subject: c.Subject.String(),
		Issuer: c.Issuer.String(), Names: c.DNSNames, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		Signature: c.SignatureAlgorithm.String(), Authority: c.IsCA, SelfMade: bytes.Equal(c.RawIssuer, c.RawSubject),
	}
	if c.SignatureAlgorithm == x509.UnknownSignatureAlgorithm {
		f.Signature = signatureOf(c.Raw)
	}
	f.key(c.PublicKey, c.RawSubjectPublicKeyInfo)
	return f
}

// public fills in a public key and its digest.
func (f *Fact) public(key any) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err == nil {
		f.Digest = digest(der)
	}
	f.key(key, der)
}

// key fills in what a key is; one that the library doesn't know is named by its algorithm's identifier.
func (f *Fact) key(key any, info []byte) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		f.Algorithm, f.Bits = "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		f.Algorithm, f.Bits, f.Curve = "ECDSA", k.Curve.Params().BitSize, k.Curve.Params().Name
	case ed25519.PublicKey:
		f.Algorithm, f.Bits = "Ed25519", 256
	case *ecdh.PublicKey:
		f.Algorithm, f.Bits = "X25519", 256
	case *dsa.PublicKey:
		f.Algorithm = "DSA"
		if k.P != nil {
			f.Bits = k.P.BitLen()
		}
	default:
		var spki struct {
			Algorithm algorithm
			Key       asn1.BitString
		}
		if _, err := asn1.Unmarshal(info, &spki); err == nil {
			f.Algorithm = algorithmOf(spki.Algorithm.OID)
		}
	}
}

type algorithm struct {
	OID        asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

func pkcs8OID(der []byte) asn1.ObjectIdentifier {
	var key struct {
		Version   int
		Algorithm algorithm
		Key       []byte
	}
	_, _ = asn1.Unmarshal(der, &key) // one that can't be read has no identifier
	return key.Algorithm.OID
}

func signatureOf(der []byte) string {
	var c struct {
		TBS       asn1.RawValue
		Algorithm algorithm
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return ""
	}
	return algorithmOf(c.Algorithm.OID)
}

// algorithmOf names the signature algorithms of FIPS 204 and 205 (RFC 9881, RFC 9909) and, for the rest, their dotted
// identifier.
func algorithmOf(oid asn1.ObjectIdentifier) string {
	if len(oid) == 0 {
		return ""
	}
	nist := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3}
	if len(oid) == 9 && nist.Equal(oid[:8]) {
		switch n := oid[8]; {
		case n == 17:
			return "ML-DSA-44"
		case n == 18:
			return "ML-DSA-65"
		case n == 19:
			return "ML-DSA-87"
		case n >= 20 && n <= 31:
			return "SLH-DSA"
		}
	}
	switch oid.String() {
	case "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10":
		return "RSA"
	case "1.2.840.10045.2.1":
		return "ECDSA"
	case "1.2.840.10040.4.1":
		return "DSA"
	case "1.3.101.113":
		return "Ed448"
	}
	return oid.String()
}

func digest(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
