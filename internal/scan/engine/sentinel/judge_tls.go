package sentinel

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/inspect/keyfile"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

// soon is when an expiry is worth a word.
const soon = 14 * 24 * time.Hour

// tls takes how one port does TLS.
func (j *judge) tls(rec tlsRecord) {
	at, ok := j.place(rec.Addr, rec.Port)
	if !ok || rec.Port == 0 {
		j.damaged = true
		return
	}
	j.cover.Of(at.Host).Done(at.Port, rec.Checked)
	done := func(check string) bool { return slices.Contains(rec.Checked, check) }
	accepted := "Accepted: " + strings.Join(rec.Versions[:min(len(rec.Versions), 8)], ", ")
	for _, v := range []string{"TLS 1.0", "TLS 1.1"} {
		if slices.Contains(rec.Versions, v) {
			j.add("tls-old-protocol", at, detail{discern: v, evidence: accepted})
		}
	}
	if done(rule.CheckVersions) && !slices.Contains(rec.Versions, "TLS 1.3") {
		j.add("tls-no-tls13", at, detail{evidence: accepted})
	}
	if done(rule.CheckKEX) && rec.KEX == "" {
		j.add("tls-no-pq-kex", at, detail{evidence: accepted})
	}
	j.suites(rec, at)
	j.chain(rec, at)
	j.endpoint(rec, at)
}

func (j *judge) suites(rec tlsRecord, at finding.Location) {
	classes := map[string][]string{}
	for _, s := range rec.Suites[:min(len(rec.Suites), 64)] {
		broken, noSecrecy := weakness(s)
		if broken != "" {
			classes[broken] = append(classes[broken], s)
		}
		if noSecrecy {
			classes[""] = append(classes[""], s)
		}
	}
	for class, names := range classes {
		evidence := "Accepted: " + strings.Join(names, ", ")
		if class == "" {
			j.add("tls-no-forward-secrecy", at, detail{evidence: evidence})
			continue
		}
		j.add("tls-weak-cipher", at, detail{discern: class, evidence: evidence})
	}
}

// weakness says of a suite's IANA name which broken cipher it uses, and whether it lacks forward secrecy.
func weakness(suite string) (broken string, noSecrecy bool) {
	for _, class := range []string{"RC4", "3DES", "NULL", "EXPORT"} {
		if strings.Contains(suite, class) {
			broken = class
			break
		}
	}
	return broken, strings.HasPrefix(suite, "TLS_RSA_")
}

// chain judges the certificates at the time at which they were seen.
func (j *judge) chain(rec tlsRecord, at finding.Location) {
	var chain []*x509.Certificate
	for _, der := range rec.Chain[:min(len(rec.Chain), maxChain)] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			break
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return
	}
	leaf := chain[0]
	j.sawCertificate(leaf)
	about := detail{discern: digestOf(leaf), evidence: describe(leaf)}
	self := selfSigned(leaf)
	switch {
	case rec.At.After(leaf.NotAfter):
		j.add("cert-expired", at, about)
	case rec.At.Add(soon).After(leaf.NotAfter):
		j.add("cert-expiring", at, about)
	case rec.At.Before(leaf.NotBefore):
		j.add("cert-not-yet-valid", at, about)
	}
	switch {
	case self:
		j.add("cert-self-signed", at, about)
	case rec.Trust == untrusted:
		j.add("cert-untrusted", at, about)
	}
	if leaf.VerifyHostname(at.Host) != nil {
		d := about
		if j.req.Target.Host() == "" && j.req.Target.URL() == nil {
			d.confidence = finding.Tentative // addressed by number: its users may well use the name
		}
		j.add("cert-name-mismatch", at, d)
	}
	if weak := keyfile.Of(leaf).Weak(); weak != "" {
		j.add("cert-weak-key", at, detail{discern: about.discern, evidence: weak + "\n" + about.evidence})
	}
	for i, c := range chain {
		// Nobody checks a root's own signature: it is trusted by being there.
		if (i == 0 || !selfSigned(c)) && weakSignature(c.SignatureAlgorithm) {
			j.add("cert-weak-signature", at, detail{discern: digestOf(c), evidence: c.SignatureAlgorithm.String() + "\n" + describe(c)})
		}
	}
}

// digestOf is how a certificate is known, here and to other engines.
func digestOf(c *x509.Certificate) string { return "sha256:" + keyfile.Of(c).Digest }

func describe(c *x509.Certificate) string {
	names := strings.Join(c.DNSNames[:min(len(c.DNSNames), 20)], ", ")
	return fmt.Sprintf("Subject: %s\nIssuer: %s\nValid: %s to %s\nNames: %s", printable(c.Subject.String(), 256),
		printable(c.Issuer.String(), 256), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), printable(names, 1024))
}

// selfSigned reports whether a certificate was signed with its own key. The library refuses to check broken hashes;
// with those the names decide.
func selfSigned(c *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return false
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{
		x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1,
		x509.ECDSAWithSHA1,
	}, a)
}

func (j *judge) sawCertificate(c *x509.Certificate) {
	key := keyfile.Of(c)
	var names []string
	for _, n := range c.DNSNames[:min(len(c.DNSNames), 20)] {
		names = append(names, printable(n, 255))
	}
	j.saw(asset.KindCertificate, digestOf(c), map[string]any{
		"subject": printable(c.Subject.String(), 256), "issuer": printable(c.Issuer.String(), 256), "dnsNames": names,
		"notBefore": c.NotBefore.UTC().Format(time.RFC3339), "notAfter": c.NotAfter.UTC().Format(time.RFC3339),
		"keyAlgorithm": key.Algorithm, "keyBits": bits(key), "keyCurve": key.Curve, "keyDigest": key.KeyDigest,
		"signatureAlgorithm": printable(key.Signature, 64), "quantumSafe": quantumSafe(key),
	})
}
