package keyfile_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"assay.dev/assay/internal/inspect/keyfile"
)

func read(name string, content []byte) []keyfile.Fact {
	var out []keyfile.Fact
	keyfile.Read(name, content, func(f keyfile.Fact) { out = append(out, f) })
	return out
}

func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.example.test"}, DNSNames: []string{"shop.example.test"},
		NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(2e9, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysAndCertificatesAreDescribed(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	open, err := ssh.MarshalPrivateKey(edKey, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(rsaKey, "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	text := "# a bundle\n" + string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) + string(pem.EncodeToMemory(open)) + string(pem.EncodeToMemory(locked)) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(t, rsaKey)}))
	got := read("bundle.pem", []byte(text))
	want := []struct {
		kind      keyfile.Kind
		algorithm string
		bits      int
		encrypted bool
	}{
		{keyfile.PrivateKey, "RSA", 2048, false},
		{keyfile.PrivateKey, "ECDSA", 256, false},
		{keyfile.PrivateKey, "Ed25519", 256, false},
		{keyfile.PrivateKey, "RSA", 2048, true},
		{keyfile.Certificate, "RSA", 2048, false},
	}
	if len(got) != len(want) {
		t.Fatalf("%d facts, want %d: %+v", len(got), len(want), got)
	}
	line := 0
	for i, w := range want {
		f := got[i]
		if f.Kind != w.kind || f.Algorithm != w.algorithm || f.Bits != w.bits || f.Encrypted != w.encrypted || f.Line <= line || f.Digest == "" {
			t.Errorf("fact %d is %+v, want %+v", i, f, w)
		}
		if safe, known := f.QuantumSafe(); safe || !known {
			t.Errorf("%s counts as safe %v, known %v", f.Algorithm, safe, known)
		}
		line = f.Line
	}
	if got[0].Digest != got[4].KeyDigest {
		t.Error("a private key and its certificate don't meet")
	}
	if der := read("site.crt", certificate(t, ecKey)); len(der) != 1 || der[0].Subject != "CN=shop.example.test" || !der[0].SelfMade {
		t.Errorf("DER: %+v", der)
	}
}

func TestQuantumSafeKeysAreKnown(t *testing.T) {
	t.Parallel()
	spki, err := asn1.Marshal(struct {
		A struct{ OID asn1.ObjectIdentifier }
		K asn1.BitString
	}{struct{ OID asn1.ObjectIdentifier }{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}}, asn1.BitString{Bytes: make([]byte, 1952), BitLength: 1952 * 8}})
	if err != nil {
		t.Fatal(err)
	}
	got := read("k.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	if len(got) != 1 || got[0].Algorithm != "ML-DSA-65" {
		t.Fatalf("got %+v", got)
	}
	if safe, known := got[0].QuantumSafe(); !safe || !known {
		t.Error("ML-DSA isn't called safe")
	}
}

func TestWeakKeysAreNamed(t *testing.T) {
	t.Parallel()
	if got := (keyfile.Fact{Algorithm: "RSA", Bits: 1024}).Weak(); got != "RSA, 1024 bits" {
		t.Errorf("got %q", got)
	}
	if got := (keyfile.Fact{Algorithm: "RSA", Bits: 2048}).Weak(); got != "" {
		t.Errorf("got %q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a.pem", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"))
	f.Add("a.cer", []byte("\x30\x82\x01\x00"))
	f.Add("a", []byte(strings.Repeat("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 3)))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		n := 0
		keyfile.Read(name, content, func(k keyfile.Fact) {
			n++
			if k.Kind == "" || k.Line > strings.Count(string(content), "\n")+1 {
				t.Errorf("out of bounds: %+v", k)
			}
		})
		if n > keyfile.MaxFacts {
			t.Errorf("%d facts", n)
		}
	})
}
