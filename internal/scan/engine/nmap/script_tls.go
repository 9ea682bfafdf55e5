package nmap

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/finding"
)

// certificateFlaws are told apart by the rule, "nmap:ssl-cert-" and one of these, since its digest discerns them.
func certificateFlaws() []string {
	return []string{"expired", "not-yet-valid", "weak-key", "weak-signature"}
}

// judgeCertificate reads ssl-cert. What has expired is decided by the scan's own time, so that the same raw output
// always reads the same.
func judgeCertificate(s node, end int64) []remark {
	var out []remark
	digest := certDigest(s.elem("pem"))
	add := func(flaw, title, description string, severity finding.Severity, cwe int, remediation string) {
		out = append(out, remark{
			rule: ruleOf(s) + "-" + flaw, discern: digest, title: title, description: description, severity: severity,
			confidence: finding.Certain, category: finding.CategoryTLS, cwe: []int{cwe}, evidence: s.text, remediation: remediation,
		})
	}
	validity := s.child("validity")
	now := time.Unix(end, 0)
	if after, ok := certTime(validity.elem("notAfter")); ok && end > 0 && after.Before(now) {
		add("expired", "The certificate has expired", "Clients refuse it or teach their users to click warnings away.",
			finding.Low, 298, "Renew the certificate and automate it.")
	}
	if before, ok := certTime(validity.elem("notBefore")); ok && end > 0 && before.After(now) {
		add("not-yet-valid", "The certificate isn't valid yet", "Clients refuse it, or a clock is wrong.",
			finding.Low, 298, "Check the clock of the machine that issued it.")
	}
	key := s.child("pubkey")
	if bits, err := strconv.Atoi(key.elem("bits")); err == nil && key.elem("type") == "rsa" && bits > 0 && bits < 2048 {
		add("weak-key", "The certificate's RSA key is too short", "Keys below 2,048 bits are within reach of well-equipped attackers.",
			finding.Medium, 326, "Issue a new certificate with an ECDSA key or an RSA key of at least 2,048 bits.")
	}
	if algorithm := strings.ToLower(s.elem("sig_algo")); strings.HasPrefix(algorithm, "md5") || strings.HasPrefix(algorithm, "sha1") {
		add("weak-signature", "The certificate is signed with a broken hash", "Certificates signed with MD5 or SHA-1 can be forged.",
			finding.Medium, 328, "Issue a new certificate signed with SHA-256 or better.")
	}
	return out
}

// certDigest returns the digest by which engines know one certificate, "sha256:" and hex; empty where the script has not
// printed the certificate itself.
func certDigest(text string) string {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) == 0 {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(block.Bytes))
}

// certTime reads the script's time, which has no zone and is UTC.
func certTime(s string) (time.Time, bool) {
	t, err := time.Parse("2006-01-02T15:04:05", prefix(s, len("2006-01-02T15:04:05")))
	return t, err == nil
}

// judgeCiphers reads ssl-enum-ciphers: one table per protocol version, each with its ciphers and their grades.
func judgeCiphers(s node) []remark {
	var out []remark
	var weak []string
	for _, version := range s.nodes {
		if !version.table {
			continue
		}
		if severity, old := oldProtocol(version.key); old {
			out = append(out, remark{
				rule: ruleOf(s), discern: version.key, title: label(version.key, 16) + " is accepted",
				description: "The protocol version is outdated (RFC 8996, RFC 7568): its ciphers and hashes no longer hold.",
				severity:    severity, confidence: finding.Certain, category: finding.CategoryTLS, cwe: []int{327},
				evidence: version.key + " was negotiated.", remediation: "Allow TLS 1.2 and 1.3 only.",
			})
		}
		for _, c := range version.child("ciphers").nodes {
			if grade := c.elem("strength"); grade >= "C" && grade <= "F" && len(weak) < 200 {
				weak = append(weak, version.key+" "+c.elem("name")+" ("+grade+")")
			}
		}
	}
	if len(weak) > 0 {
		out = append(out, remark{
			rule: ruleOf(s), discern: "ciphers", title: "Weak TLS ciphers are accepted",
			description: "Nmap grades some of the accepted ciphers C or worse (A is best).",
			severity:    finding.Medium, confidence: finding.Certain, category: finding.CategoryTLS, cwe: []int{327},
			evidence: strings.Join(weak, "\n"), remediation: "Allow AEAD ciphers with forward secrecy only.",
		})
	}
	return out
}

func oldProtocol(version string) (finding.Severity, bool) {
	switch version {
	case "SSLv2", "SSLv3":
		return finding.High, true
	case "TLSv1.0", "TLSv1.1":
		return finding.Low, true
	}
	return "", false
}

// judgeSSH reads ssh2-enum-algos: lists of algorithms under their kinds.
func judgeSSH(s node) []remark {
	var weak []string
	for _, kind := range []string{"kex_algorithms", "server_host_key_algorithms", "encryption_algorithms", "mac_algorithms"} {
		for _, name := range s.list(kind) {
			if weakSSH(name) {
				weak = append(weak, kind+": "+name)
			}
		}
	}
	if len(weak) == 0 {
		return nil
	}
	return []remark{{
		rule: ruleOf(s), title: "Weak SSH algorithms are accepted",
		description: "The server offers algorithms that are broken or too short: clients that know no better will use them.",
		severity:    finding.Low, confidence: finding.Certain, category: finding.CategoryCrypto, cwe: []int{327},
		evidence: strings.Join(weak, "\n"), remediation: "Take them out of the server's configuration.",
	}}
}

// weakSSH tells by name. hmac-sha1 is left out: its weakness doesn't touch HMAC.
func weakSSH(name string) bool {
	switch name {
	case "diffie-hellman-group1-sha1", "diffie-hellman-group-exchange-sha1", "diffie-hellman-group14-sha1", "ssh-dss", "ssh-rsa",
		"hmac-md5", "hmac-md5-96", "hmac-sha1-96", "none":
		return true
	}
	return strings.HasPrefix(name, "arcfour") || strings.HasSuffix(name, "-cbc") || strings.HasPrefix(name, "rsa1024")
}
