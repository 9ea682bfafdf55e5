package rule

import "assay.dev/assay/internal/scan/finding"

const (
	refLeaks = "https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html"
	revoke   = "Revoke the credential where it is valid and make a new one; then take it out of the files and their history, and keep it in a vault."
)

func trees() []Rule {
	return []Rule{
		{
			ID: "secret-known", Check: CheckSecrets, Title: "Credential in a file", Severity: finding.High, Category: finding.CategorySecret, CWE: []int{798},
			Reason: "whoever can read the files can use it; whether it is still valid was not tried",
			About:  "A file holds a credential of a form that its issuer uses.", Remedy: revoke, Refs: []string{refLeaks},
		},
		{
			ID: "secret-generic", Check: CheckSecrets, Title: "Something like a credential in a file", Severity: finding.Medium,
			Category: finding.CategorySecret, CWE: []int{798}, Reason: "its name and its randomness speak for it, no known form does",
			About: "A file assigns a random-looking value to a name that speaks of a key, token or password.", Remedy: revoke, Refs: []string{refLeaks},
		},
		{
			ID: "secret-private-key", Check: CheckSecrets, Title: "Private key in a file", Severity: finding.High, Category: finding.CategorySecret,
			CWE: []int{798}, Reason: "whoever can read the files is the key's owner, to every server that trusts it",
			About: "A file holds a private key.", Remedy: "Replace the key everywhere it is trusted; then take it out of the files and their history, and keep it in a vault.",
			Refs: []string{refLeaks},
		},
		{
			ID: "keyfile-weak", Check: CheckKeys, Title: "Weak key in a file", Severity: finding.Medium, Category: finding.CategoryCrypto, CWE: []int{326},
			Reason: "the key can be broken with money and time; where it is used isn't known",
			About:  "A key or certificate in the tree is RSA below 2048 bits, an elliptic curve below 224 bits, or DSA.",
			Remedy: "Make a new key with ECDSA P-256 or RSA 2048 and more.", Refs: []string{"https://csrc.nist.gov/pubs/sp/800/131/a/r2/final"},
		},
		{
			ID: "keyfile-expired", Check: CheckKeys, Title: "Expired certificate in a file", Severity: finding.Info, Category: finding.CategoryCrypto,
			CWE: []int{298}, Reason: "it may be an example or a test's", About: "The end of a certificate's validity lies in the past.",
			Remedy: "Replace the certificate, or remove it where nothing uses it.", Refs: []string{refRFC5280 + "#section-4.1.2.5"},
		},
		{
			ID: "crypto-tree", Check: CheckKeys, Title: "Keys and certificates in the tree", Severity: finding.Info, Category: finding.CategoryCrypto,
			Reason: "a line of the inventory, not a flaw by itself", About: "How many keys and certificates the tree holds, by algorithm, and how many withstand quantum computers.",
			Remedy: "Nothing needs to be done; plan the change of those that aren't ready.", Refs: []string{refIR8547},
		},
	}
}
