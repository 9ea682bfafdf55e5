package sentinel

import "assay.dev/assay/internal/scan/finding"

func tlsRules() []rule {
	return []rule{
		{
			id: "tls-old-protocol", check: checkVersions, title: "Deprecated TLS version accepted", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{327},
			reason: "attacks on TLS 1.0 and 1.1 need a position on the way and much traffic; RFC 8996 forbids both",
			about:  "The server agrees to TLS 1.0 or 1.1, which rest on MD5 and SHA-1 and were deprecated in 2021.",
			remedy: "Accept TLS 1.2 and 1.3 only.", refs: []string{"https://www.rfc-editor.org/rfc/rfc8996", refTLS},
		},
		{
			id: "tls-no-tls13", check: checkVersions, title: "TLS 1.3 not offered", severity: finding.Low, category: finding.CategoryTLS,
			cwe: []int{327}, reason: "TLS 1.2 is sound when set up well; 1.3 leaves less to set up wrongly and is needed for post-quantum key exchange",
			about:  "The server doesn't agree to TLS 1.3.",
			remedy: "Turn TLS 1.3 on; update the TLS library if it doesn't know it.", refs: []string{"https://www.rfc-editor.org/rfc/rfc8446"},
		},
		{
			id: "tls-weak-cipher", check: checkSuites, title: "Broken cipher accepted", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{327},
			reason: "RC4's biases and 3DES's 64-bit blocks let an attacker on the way recover parts of long sessions",
			about:  "The server agrees to cipher suites with RC4 (forbidden by RFC 7465) or 3DES (SWEET32).",
			remedy: "Take RC4 and 3DES suites out of the server's list.",
			refs:   []string{"https://www.rfc-editor.org/rfc/rfc7465", "https://sweet32.info/", refRFC9325},
		},
		{
			id: "tls-no-forward-secrecy", check: checkSuites, title: "RSA key exchange accepted", severity: finding.Low,
			category: finding.CategoryTLS, cwe: []int{327},
			reason: "harm comes only if the private key leaks later, or if the server's padding check is at fault",
			about:  "The server agrees to cipher suites without forward secrecy: recorded traffic can be read once the private key is known.",
			remedy: "Allow ECDHE suites only.", refs: []string{refRFC9325 + "#section-4.1"},
		},
		{
			id: "tls-no-pq-kex", check: checkKEX, title: "No post-quantum key exchange", severity: finding.Low,
			category: finding.CategoryCrypto, cwe: []int{327},
			reason: "no present break, but traffic recorded today can be read when large quantum computers exist",
			about: "The server doesn't agree to a hybrid post-quantum group (X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024), " +
				"so that recorded sessions rest on classical key exchange alone.",
			remedy: "Offer X25519MLKEM768 in TLS 1.3; current OpenSSL, BoringSSL and Go do.",
			refs:   []string{"https://csrc.nist.gov/pubs/fips/203/final", "https://datatracker.ietf.org/doc/draft-ietf-tls-ecdhe-mlkem/"},
		},
	}
}

func certificateRules() []rule {
	return []rule{
		{
			id: "cert-expired", check: checkCertificate, title: "Certificate expired", severity: finding.High, category: finding.CategoryTLS,
			cwe: []int{298}, reason: "clients refuse the service, or users learn to click the warning away, which opens it to impostors",
			about:  "The end of the certificate's validity lies in the past.",
			remedy: "Renew the certificate and automate its renewal.", refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			id: "cert-expiring", check: checkCertificate, title: "Certificate about to expire", severity: finding.Low,
			category: finding.CategoryTLS, cwe: []int{298},
			reason: "nothing is broken yet; within 14 days it will be",
			about:  "The certificate's validity ends within 14 days.",
			remedy: "Renew the certificate now and automate its renewal.", refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			id: "cert-not-yet-valid", check: checkCertificate, title: "Certificate not yet valid", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{295}, reason: "clients refuse the service until then; often a wrong clock",
			about:  "The beginning of the certificate's validity lies in the future.",
			remedy: "Check the clocks of server and issuer; install a valid certificate.", refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			id: "cert-name-mismatch", check: checkCertificate, title: "Certificate is for another name", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{297},
			reason: "clients that check refuse the service; those that don't can't tell it from an impostor",
			about:  "None of the certificate's names is the one that the target was addressed by.",
			remedy: "Use a certificate that lists the name under which the service is reached.", refs: []string{"https://www.rfc-editor.org/rfc/rfc9525"},
		},
		{
			id: "cert-self-signed", check: checkCertificate, title: "Self-signed certificate", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{295},
			reason: "clients must trust it blindly or one by one, so that an impostor's looks just the same",
			about:  "The certificate was signed with its own key.",
			remedy: "Use a certificate of an authority that the clients trust; an internal one will do.", refs: []string{refTLS},
		},
		{
			id: "cert-untrusted", check: checkCertificate, title: "Certificate of an unknown authority", severity: finding.Low,
			category: finding.CategoryTLS, cwe: []int{295},
			reason: "usual and sound with an internal authority, wrong on a public service",
			about:  "The chain doesn't lead to an authority that the scanning host trusts; it may be incomplete or of an internal authority.",
			remedy: "Send the whole chain; on a public service use a publicly trusted authority.", refs: []string{refRFC5280 + "#section-6"},
		},
		{
			id: "cert-weak-key", check: checkCertificate, title: "Weak certificate key", severity: finding.High, category: finding.CategoryTLS,
			cwe: []int{326}, reason: "RSA below 2048 bits can be factored with money and time, and then the service be impersonated",
			about:  "The certificate's key is RSA below 2048 bits, an elliptic curve below 224 bits, or DSA.",
			remedy: "Issue the certificate anew with ECDSA P-256 or RSA 2048 and more.",
			refs:   []string{"https://csrc.nist.gov/pubs/sp/800/131/a/r2/final"},
		},
		{
			id: "cert-weak-signature", check: checkCertificate, title: "Certificate signed with a broken hash", severity: finding.Medium,
			category: finding.CategoryTLS, cwe: []int{328},
			reason: "collisions in MD5 and SHA-1 are practical, but using one needs the issuer's help",
			about:  "A certificate of the chain is signed with MD5 or SHA-1.",
			remedy: "Issue the certificate anew with SHA-256 or better.", refs: []string{"https://shattered.io/", refRFC9325},
		},
	}
}
