package rule

import "assay.dev/assay/internal/scan/finding"

const (
	refMLKEM  = "https://csrc.nist.gov/pubs/fips/203/final"
	refMLDSA  = "https://csrc.nist.gov/pubs/fips/204/final"
	refIR8547 = "https://csrc.nist.gov/pubs/ir/8547/ipd"
	refSSHKEX = "https://www.rfc-editor.org/rfc/rfc9142"
)

func crypto() []Rule {
	return []Rule{
		{
			ID: "crypto-endpoint", Check: CheckKEX, Title: "Cryptography of this endpoint", Severity: finding.Info, Category: finding.CategoryCrypto,
			Reason: "a line of the inventory, not a flaw by itself",
			About:  "What the endpoint agrees to: protocol versions, key exchange, ciphers, and the key that it proves itself with.",
			Remedy: "Nothing needs to be done; plan the change where a part isn't ready for quantum computers.", Refs: []string{refIR8547},
		},
		{
			ID: "pq-authentication", Check: CheckCertificate, Title: "Certificate key is not quantum-safe", Severity: finding.Info,
			Category: finding.CategoryCrypto, CWE: []int{327},
			Reason: "only a computer that exists later can forge with it, and only from then on: nothing recorded today is lost by it",
			About:  "The certificate's key is of an algorithm that a large quantum computer breaks (RSA, ECDSA, EdDSA). Public authorities don't issue others yet.",
			Remedy: "Keep keys and authorities replaceable; move to ML-DSA (FIPS 204) when clients and authorities support it.",
			Refs:   []string{refMLDSA, refIR8547},
		},
	}
}

func ssh() []Rule {
	return []Rule{
		{
			ID: "crypto-ssh", Check: CheckSSH, Title: "Cryptography of this SSH server", Severity: finding.Info, Category: finding.CategoryCrypto,
			Reason: "a line of the inventory, not a flaw by itself", About: "What the SSH server offers: key exchanges, host keys, ciphers.",
			Remedy: "Nothing needs to be done; plan the change where a part isn't ready for quantum computers.", Refs: []string{refIR8547},
		},
		{
			ID: "pq-ssh-kex", Check: CheckSSH, Title: "SSH without post-quantum key exchange", Severity: finding.Low, Category: finding.CategoryCrypto,
			CWE: []int{327}, Reason: "no present break, but traffic recorded today can be read when large quantum computers exist",
			About:  "The SSH server offers neither mlkem768x25519-sha256 nor sntrup761x25519-sha512.",
			Remedy: "Update the server: OpenSSH offers sntrup761x25519 since 9.0 and mlkem768x25519 since 9.9.",
			Refs:   []string{refMLKEM, "https://www.openssh.com/pq.html"},
		},
		{
			ID: "ssh-weak-kex", Check: CheckSSH, Title: "Weak SSH key exchange offered", Severity: finding.Low, Category: finding.CategoryCrypto,
			CWE: []int{327}, Reason: "clients choose better ones by themselves; old clients don't, and groups of 1024 bits can be broken by states",
			About: "The server offers key exchanges with SHA-1 or short groups.", Remedy: "Take them out of KexAlgorithms.", Refs: []string{refSSHKEX},
		},
		{
			ID: "ssh-weak-host-key", Check: CheckSSH, Title: "Weak SSH host key algorithm offered", Severity: finding.Low,
			Category: finding.CategoryCrypto, CWE: []int{327}, Reason: "a forged signature needs collisions in SHA-1 within a handshake, or a DSA key",
			About:  "The server signs with SHA-1 (ssh-rsa) or has a DSA key (ssh-dss).",
			Remedy: "Offer ssh-ed25519 and rsa-sha2-512 only (HostKeyAlgorithms).", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8332"},
		},
		{
			ID: "ssh-weak-cipher", Check: CheckSSH, Title: "Weak SSH cipher offered", Severity: finding.Low, Category: finding.CategoryCrypto,
			CWE: []int{327}, Reason: "attacks on CBC in SSH need a position on the way and many tries; clients choose better ones by themselves",
			About: "The server offers ciphers in CBC mode, 3DES, RC4 or none.", Remedy: "Allow chacha20-poly1305 and AES in GCM or CTR mode only (Ciphers).",
			Refs: []string{"https://www.rfc-editor.org/rfc/rfc8758"},
		},
		{
			ID: "ssh-weak-mac", Check: CheckSSH, Title: "Weak SSH message authentication offered", Severity: finding.Low,
			Category: finding.CategoryCrypto, CWE: []int{328}, Reason: "no practical forgery is known; the hashes are broken elsewhere",
			About: "The server offers message authentication with MD5 or shortened tags.", Remedy: "Allow hmac-sha2 with -etm@openssh.com only (MACs).",
			Refs: []string{refSSHKEX},
		},
	}
}
