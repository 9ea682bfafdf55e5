package sentinel

import (
	"crypto/x509"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/inspect/keyfile"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

// endpoint sums up the cryptography of one TLS port, post-quantum readiness among it.
func (j *judge) endpoint(rec tlsRecord, at finding.Location) {
	if !slices.Contains(rec.Checked, rule.CheckKEX) || len(rec.Agreed) == 0 {
		return // older records, or ones that say too little
	}
	var lines []string
	for _, a := range rec.Agreed[:min(len(rec.Agreed), 8)] {
		line := printable(a.Version, 16) + ": " + printable(a.Suite, 64)
		if a.Group != "" {
			line += " with " + printable(a.Group, 32)
		}
		lines = append(lines, line)
	}
	if len(rec.Groups) > 0 {
		lines = append(lines, "Groups accepted: "+printable(strings.Join(rec.Groups[:min(len(rec.Groups), 10)], ", "), 256))
	}
	authentication := "unknown"
	if leaf, err := x509.ParseCertificate(first(rec.Chain)); err == nil {
		key := keyfile.Of(leaf)
		lines = append(lines, "Certificate: "+algorithm(key)+", signed with "+printable(key.Signature, 64)+", until "+key.NotAfter.Format(time.DateOnly))
		if safe, known := key.QuantumSafe(); known {
			authentication = yes(safe)
			if !safe && slices.Contains(rec.Checked, rule.CheckCertificate) {
				j.add("pq-authentication", at, detail{evidence: "Key: " + algorithm(key) + "\n" + describe(leaf)})
			}
		}
		j.sawKey(key, key.KeyDigest, "")
	}
	lines = append(lines, "Quantum-safe: key exchange "+yes(rec.KEX != "")+", authentication "+authentication)
	j.add("crypto-endpoint", at, detail{evidence: strings.Join(lines, "\n")})
}

func first(chain [][]byte) []byte {
	if len(chain) == 0 {
		return nil
	}
	return chain[0]
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// algorithm is a key in a few words.
func algorithm(k keyfile.Fact) string {
	text := k.Algorithm
	if text == "" {
		text = "of an unknown algorithm"
	}
	if k.Bits > 0 {
		text += ", " + strconv.Itoa(k.Bits) + " bits"
	}
	return printable(text, 64)
}

func bits(k keyfile.Fact) any {
	if k.Bits == 0 {
		return nil
	}
	return k.Bits
}

// quantumSafe is an attribute: nil where nobody knows.
func quantumSafe(k keyfile.Fact) any {
	safe, known := k.QuantumSafe()
	if !known {
		return nil
	}
	return safe
}

// sawKey files a key as an asset, by the digest of its public half.
func (j *judge) sawKey(k keyfile.Fact, digest, kind string) {
	if len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return
	}
	j.saw(asset.KindKey, "sha256:"+digest, map[string]any{
		"algorithm": printable(k.Algorithm, 64), "bits": bits(k), "curve": printable(k.Curve, 32), "quantumSafe": quantumSafe(k), "half": kind,
	})
}

// ssh judges what an SSH server offers.
func (j *judge) ssh(rec portRecord, at finding.Location) {
	if rec.KEX == nil || !slices.Contains(rec.Checked, rule.CheckSSH) || len(rec.KEX.Exchange) == 0 {
		return
	}
	k := *rec.KEX
	list := func(names []string) string {
		return printable(strings.Join(names[:min(len(names), 40)], ", "), 1024)
	}
	hybrid := k.Hybrid()
	if len(hybrid) == 0 {
		j.add("pq-ssh-kex", at, detail{evidence: "Key exchanges: " + list(k.Exchange)})
	}
	weak := k.Weak()
	for _, kind := range slices.Sorted(maps.Keys(weak)) {
		j.add("ssh-weak-"+kind, at, detail{evidence: "Offered: " + list(weak[kind])})
	}
	j.add("crypto-ssh", at, detail{evidence: "Key exchanges: " + list(k.Exchange) + "\nHost keys: " + list(k.HostKeys) + "\nCiphers: " + list(k.Ciphers) +
		"\nQuantum-safe: key exchange " + yes(len(hybrid) > 0) + ", authentication no"})
}
