package rule

import "assay.dev/assay/internal/scan/finding"

func tls() []Rule {
	return []Rule{
		{
			ID: "tls-old-protocol", Check: CheckVersions, Title: "Deprecated TLS version accepted", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{327},
			Reason: "attacks on TLS 1.0 and 1.1 need a position on the way and much traffic; RFC 8996 forbids both",
			About:  "The server agrees to TLS 1.0 or 1.1, which rest on MD5 and SHA-1 and were deprecated in 2021.",
			Remedy: "Accept TLS 1.2 and 1.3 only.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8996", refTLS},
		},
		{
			ID: "tls-no-tls13", Check: CheckVersions, Title: "TLS 1.3 not offered", Severity: finding.Low, Category: finding.CategoryTLS,
			CWE: []int{327}, Reason: "TLS 1.2 is sound when set up well; 1.3 leaves less to set up wrongly and is needed for post-quantum key exchange",
			About:  "The server doesn't agree to TLS 1.3.",
			Remedy: "Turn TLS 1.3 on; update the TLS library if it doesn't know it.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8446"},
		},
		{
			ID: "tls-weak-cipher", Check: CheckSuites, Title: "Broken cipher accepted", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{327},
			Reason: "RC4's biases and 3DES's 64-bit blocks let an attacker on the way recover parts of long sessions",
			About:  "The server agrees to cipher suites with RC4 (forbidden by RFC 7465) or 3DES (SWEET32).",
			Remedy: "Take RC4 and 3DES suites out of the server's list.",
			Refs:   []string{"https://www.rfc-editor.org/rfc/rfc7465", "https://sweet32.info/", refRFC9325},
		},
		{
			ID: "tls-no-forward-secrecy", Check: CheckSuites, Title: "RSA key exchange accepted", Severity: finding.Low,
			Category: finding.CategoryTLS, CWE: []int{327},
			Reason: "harm comes only if the private key leaks later, or if the server's padding check is at fault",
			About:  "The server agrees to cipher suites without forward secrecy: recorded traffic can be read once the private key is known.",
			Remedy: "Allow ECDHE suites only.", Refs: []string{refRFC9325 + "#section-4.1"},
		},
		{
			ID: "tls-no-pq-kex", Check: CheckKEX, Title: "No post-quantum key exchange", Severity: finding.Low,
			Category: finding.CategoryCrypto, CWE: []int{327},
			Reason: "no present break, but traffic recorded today can be read when large quantum computers exist",
			About: "The server doesn't agree to a hybrid post-quantum group (X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024), " +
				"so that recorded sessions rest on classical key exchange alone.",
			Remedy: "Offer X25519MLKEM768 in TLS 1.3; current OpenSSL, BoringSSL and Go do.",
			Refs:   []string{"https://csrc.nist.gov/pubs/fips/203/final", "https://datatracker.ietf.org/doc/draft-ietf-tls-ecdhe-mlkem/"},
		},
	}
}

func certificates() []Rule {
	return []Rule{
		{
			ID: "cert-expired", Check: CheckCertificate, Title: "Certificate expired", Severity: finding.High, Category: finding.CategoryTLS,
			CWE: []int{298}, Reason: "clients refuse the service, or users learn to click the warning away, which opens it to impostors",
			About:  "The end of the certificate's validity lies in the past.",
			Remedy: "Renew the certificate and automate its renewal.", Refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			ID: "cert-expiring", Check: CheckCertificate, Title: "Certificate about to expire", Severity: finding.Low,
			Category: finding.CategoryTLS, CWE: []int{298},
			Reason: "nothing is broken yet; within 14 days it will be",
			About:  "The certificate's validity ends within 14 days.",
			Remedy: "Renew the certificate now and automate its renewal.", Refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			ID: "cert-not-yet-valid", Check: CheckCertificate, Title: "Certificate not yet valid", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{295}, Reason: "clients refuse the service until then; often a wrong clock",
			About:  "The beginning of the certificate's validity lies in the future.",
			Remedy: "Check the clocks of server and issuer; install a valid certificate.", Refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			ID: "cert-name-mismatch", Check: CheckCertificate, Title: "Certificate is for another name", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{297},
			Reason: "clients that check refuse the service; those that don't can't tell it from an impostor",
			About:  "None of the certificate's names is the one that the target was addressed by.",
			Remedy: "Use a certificate that lists the name under which the service is reached.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc9525"},
		},
		{
			ID: "cert-self-signed", Check: CheckCertificate, Title: "Self-signed certificate", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{295},
			Reason: "clients must trust it blindly or one by one, so that an impostor's looks just the same",
			About:  "The certificate was signed with its own key.",
			Remedy: "Use a certificate of an authority that the clients trust; an internal one will do.", Refs: []string{refTLS},
		},
		{
			ID: "cert-untrusted", Check: CheckCertificate, Title: "Certificate of an unknown authority", Severity: finding.Low,
			Category: finding.CategoryTLS, CWE: []int{295},
			Reason: "usual and sound with an internal authority, wrong on a public service",
			About:  "The chain doesn't lead to an authority that the scanning host trusts; it may be incomplete or of an internal authority.",
			Remedy: "Send the whole chain; on a public service use a publicly trusted authority.", Refs: []string{refRFC5280 + "#section-6"},
		},
		{
			ID: "cert-weak-key", Check: CheckCertificate, Title: "Weak certificate key", Severity: finding.High, Category: finding.CategoryTLS,
			CWE: []int{326}, Reason: "RSA below 2048 bits can be factored with money and time, and then the service be impersonated",
			About:  "The certificate's key is RSA below 2048 bits, an elliptic curve below 224 bits, or DSA.",
			Remedy: "Issue the certificate anew with ECDSA P-256 or RSA 2048 and more.",
			Refs:   []string{"https://csrc.nist.gov/pubs/sp/800/131/a/r2/final"},
		},
		{
			ID: "cert-weak-signature", Check: CheckCertificate, Title: "Certificate signed with a broken hash", Severity: finding.Medium,
			Category: finding.CategoryTLS, CWE: []int{328},
			Reason: "collisions in MD5 and SHA-1 are practical, but using one needs the issuer's help",
			About:  "A certificate of the chain is signed with MD5 or SHA-1.",
			Remedy: "Issue the certificate anew with SHA-256 or better.", Refs: []string{"https://shattered.io/", refRFC9325},
		},
	}
}
