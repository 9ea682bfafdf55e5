package rule

import "assay.dev/assay/internal/scan/finding"

const refTakeover = "https://owasp.org/www-project-web-security-testing-guide/latest/4-Web_Application_Security_Testing/02-Configuration_and_Deployment_Management_Testing/10-Test_for_Subdomain_Takeover"

func names() []Rule {
	return []Rule{
		{
			ID: "dns-dangling-ns", Check: CheckNames, Title: "Name server without an address", Severity: finding.High, Category: finding.CategoryConfig,
			CWE: []int{672}, Reason: "if its name can be registered, whoever does answers for the whole domain",
			About: "The domain is delegated to a server whose name leads nowhere.", Remedy: "Remove the NS record, at the parent too, or restore the server.",
			Refs: []string{refTakeover},
		},
		{
			ID: "dns-dangling-mx", Check: CheckNames, Title: "Mail server without an address", Severity: finding.Medium, Category: finding.CategoryConfig,
			CWE: []int{672}, Reason: "if its name can be registered, whoever does receives mail", About: "The domain's mail is sent to a name that leads nowhere.",
			Remedy: "Remove the MX record, or restore the server.", Refs: []string{refTakeover},
		},
		{
			ID: "dns-dangling-cname", Check: CheckNames, Title: "Alias of a name that doesn't exist", Severity: finding.Low, Category: finding.CategoryConfig,
			CWE: []int{672}, Reason: "harm needs that the missing name can be had by others, which isn't known", About: "A CNAME record points at a name that doesn't exist.",
			Remedy: "Remove the record.", Refs: []string{refTakeover},
		},
		{
			ID: "dns-takeover", Check: CheckNames, Title: "Name may be taken over", Severity: finding.High, Category: finding.CategoryConfig, CWE: []int{672},
			Reason: "whoever takes the free name at the service publishes under the domain, with its cookies and its trust",
			About:  "A CNAME record points at a free name of a service where anybody may take one. That the service would give it out was not tried.",
			Remedy: "Remove the record, or take the name at the service.", Refs: []string{refTakeover},
		},
		{
			ID: "dns-zone-transfer", Check: CheckNames, Title: "Zone can be transferred by anyone", Severity: finding.Medium, Category: finding.CategoryDisclosure,
			CWE: []int{200}, Reason: "it lists every name, internal ones too; no system is open by it", About: "A name server hands out the whole zone (AXFR).",
			Remedy: "Allow transfers to secondary servers only, by TSIG.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc5936#section-5"},
		},
		{
			ID: "dns-caa-missing", Check: CheckNames, Title: "No CAA record", Severity: finding.Info, Category: finding.CategoryConfig, CWE: []int{295},
			Reason: "authorities must prove control of the domain anyway; CAA narrows who may try", About: "Any authority may issue certificates for the name.",
			Remedy: "Publish CAA records for the authorities in use.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8659"},
		},
	}
}

func signatures() []Rule {
	ref := []string{"https://www.rfc-editor.org/rfc/rfc9364", "https://www.rfc-editor.org/rfc/rfc8624"}
	return []Rule{
		{
			ID: "dnssec-missing", Check: CheckNames, Title: "Zone is not signed", Severity: finding.Low, Category: finding.CategoryConfig, CWE: []int{345},
			Reason: "forged answers need a position on the way or luck against a resolver; TLS still protects what it covers",
			About:  "Answers of the zone can't be told from forged ones (no DNSSEC).", Remedy: "Sign the zone and have its DS record set at the parent.", Refs: ref,
		},
		{
			ID: "dnssec-unanchored", Check: CheckNames, Title: "Signed zone without DS record", Severity: finding.Low, Category: finding.CategoryConfig,
			CWE: []int{345}, Reason: "as if it weren't signed: nobody can check", About: "The zone has keys, but its parent doesn't vouch for them.",
			Remedy: "Have the DS record set at the parent.", Refs: ref,
		},
		{
			ID: "dnssec-broken", Check: CheckNames, Title: "Signatures of the zone don't verify", Severity: finding.High, Category: finding.CategoryConfig,
			CWE: []int{347}, Reason: "for everyone behind a validating resolver the domain is gone", About: "Keys, signatures and DS records of the zone don't fit together.",
			Remedy: "Sign the zone anew and set the DS record of its present key.", Refs: ref,
		},
		{
			ID: "dnssec-expired", Check: CheckNames, Title: "Signatures of the zone have expired", Severity: finding.High, Category: finding.CategoryConfig,
			CWE: []int{324}, Reason: "for everyone behind a validating resolver the domain is gone", About: "The zone's signatures are past their time.",
			Remedy: "Sign the zone anew and automate it.", Refs: ref,
		},
		{
			ID: "dnssec-weak-algorithm", Check: CheckNames, Title: "Zone signed with a weak algorithm", Severity: finding.Medium, Category: finding.CategoryCrypto,
			CWE: []int{327}, Reason: "collisions in SHA-1 are practical; many resolvers treat such zones as unsigned",
			About: "The zone's key or its DS record uses SHA-1, MD5, DSA or GOST.", Remedy: "Move to ECDSA P-256 (13) with DS records by SHA-256.", Refs: ref,
		},
		{
			ID: "dnssec-short-key", Check: CheckNames, Title: "Short key signs the zone", Severity: finding.Low, Category: finding.CategoryCrypto,
			CWE: []int{326}, Reason: "keys of 1024 bits can be factored with much money; zone keys are changed often", About: "A key of the zone is RSA below 2048 bits.",
			Remedy: "Move to ECDSA P-256 (13) or RSA of 2048 bits.", Refs: ref,
		},
	}
}
