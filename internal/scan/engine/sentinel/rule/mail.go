package rule

import "assay.dev/assay/internal/scan/finding"

const (
	refSPF   = "https://www.rfc-editor.org/rfc/rfc7208"
	refDMARC = "https://www.rfc-editor.org/rfc/rfc7489"
	refDKIM  = "https://www.rfc-editor.org/rfc/rfc6376"
	refSTS   = "https://www.rfc-editor.org/rfc/rfc8461"
)

// policyRule fills in what all rules about mail share.
func policyRule(r Rule) Rule {
	r.Check, r.Category = CheckMail, finding.CategoryConfig
	if len(r.CWE) == 0 {
		r.CWE = []int{290}
	}
	return r
}

func mail() []Rule {
	out := []Rule{
		{
			ID: "mail-spf-missing", Title: "No SPF policy", Severity: finding.Medium, Reason: "receivers have less to tell forged mail by; DMARC still can",
			About:  "The domain doesn't say which servers send its mail. One that sends none should say so too.",
			Remedy: "Publish a policy that ends in -all; for a domain without mail just \"v=spf1 -all\".", Refs: []string{refSPF},
		},
		{
			ID: "mail-spf-multiple", Title: "More than one SPF policy", Severity: finding.Medium, Reason: "receivers treat it as an error, as if there were none",
			About: "The domain has several SPF records.", Remedy: "Merge them into one.", Refs: []string{refSPF + "#section-4.5"},
		},
		{
			ID: "mail-spf-syntax", Title: "SPF policy is malformed", Severity: finding.Low, Reason: "receivers may treat it as an error, as if there were none",
			About: "The policy holds something that isn't of the grammar.", Remedy: "Correct the record.", Refs: []string{refSPF + "#section-4.6"},
		},
		{
			ID: "mail-spf-open", Title: "SPF policy lets everybody send", Severity: finding.High, Reason: "it vouches for forged mail, which is worse than no policy",
			About: "The policy ends in +all.", Remedy: "End the policy in -all or ~all.", Refs: []string{refSPF + "#section-5.1"},
		},
		{
			ID: "mail-spf-neutral", Title: "SPF policy says nothing of others", Severity: finding.Low, Reason: "receivers have less to tell forged mail by",
			About: "The policy ends in ?all or in nothing.", Remedy: "End the policy in -all or ~all.", Refs: []string{refSPF + "#section-5.1"},
		},
		{
			ID: "mail-spf-lookups", Title: "SPF policy needs too many lookups", Severity: finding.Medium,
			Reason: "receivers give up after ten and treat it as an error", About: "Evaluating the policy takes more than ten DNS queries.",
			Remedy: "Drop includes that aren't used; name networks directly.", Refs: []string{refSPF + "#section-4.6.4"},
		},
		{
			ID: "mail-spf-wide", Title: "SPF policy allows huge networks", Severity: finding.Low, Reason: "whoever rents a host there may send",
			About: "The policy allows networks wider than /16 (IPv4) or /32 (IPv6).", Remedy: "Name the sending hosts.", Refs: []string{refSPF},
		},
		{
			ID: "mail-dmarc-missing", Title: "No DMARC policy", Severity: finding.Medium, Reason: "receivers take mail with a forged sender, as far as they check nothing else",
			About:  "The domain doesn't say what receivers should do with mail that fails SPF and DKIM.",
			Remedy: "Publish p=none with reports, then move to quarantine and reject.", Refs: []string{refDMARC},
		},
		{
			ID: "mail-dmarc-syntax", Title: "DMARC policy is malformed", Severity: finding.Medium, Reason: "receivers ignore what they can't read",
			About: "The policy isn't of the grammar, or there are several.", Remedy: "Correct the record.", Refs: []string{refDMARC + "#section-6.3"},
		},
		{
			ID: "mail-dmarc-none", Title: "DMARC policy only watches", Severity: finding.Low, Reason: "right while it is being introduced; forged mail still arrives",
			About: "The policy is p=none.", Remedy: "Move to quarantine and then reject, once the reports are clean.", Refs: []string{refDMARC + "#section-6.3"},
		},
		{
			ID: "mail-dmarc-partial", Title: "DMARC policy holds for a part of the mail", Severity: finding.Low, Reason: "the rest of forged mail arrives",
			About: "pct is below 100.", Remedy: "Raise pct to 100.", Refs: []string{refDMARC + "#section-6.3"},
		},
		{
			ID: "mail-dmarc-subdomains", Title: "DMARC policy leaves subdomains open", Severity: finding.Low, Reason: "senders below the domain can be forged",
			About: "sp=none weakens the policy for subdomains.", Remedy: "Remove sp or set it to reject.", Refs: []string{refDMARC + "#section-6.3"},
		},
		{
			ID: "mail-dkim-weak", Title: "DKIM key can be broken", Severity: finding.High, CWE: []int{326}, Reason: "keys below 1024 bits are factored in days; then mail is signed in the domain's name",
			About: "A DKIM key is RSA below 1024 bits.", Remedy: "Make a key of 2048 bits under a new selector and remove this one.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8301"},
		},
		{
			ID: "mail-dkim-short", Title: "Short DKIM key", Severity: finding.Low, CWE: []int{326}, Reason: "1024 bits are within reach of states",
			About: "A DKIM key is RSA below 2048 bits.", Remedy: "Make a key of 2048 bits under a new selector.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc8301"},
		},
		{
			ID: "mail-dkim-revoked", Title: "Revoked DKIM key", Severity: finding.Info, CWE: []int{324}, Reason: "as it should be after a key was changed",
			About: "A selector publishes an empty key.", Remedy: "Remove the record when no mail signed with it is on its way.", Refs: []string{refDKIM + "#section-3.6.1"},
		},
		{
			ID: "mail-dkim-broken", Title: "DKIM key can't be read", Severity: finding.Low, CWE: []int{347}, Reason: "mail signed with it fails",
			About: "A selector publishes a key that isn't one.", Remedy: "Publish the key again; long ones must be split into strings.", Refs: []string{refDKIM + "#section-3.6.1"},
		},
		{
			ID: "mail-dkim-testing", Title: "DKIM key in test mode", Severity: finding.Info, Reason: "receivers may ignore its signatures", About: "A selector has t=y.",
			Remedy: "Remove t=y once signing works.", Refs: []string{refDKIM + "#section-3.6.1"},
		},
		{
			ID: "mail-sts-missing", Title: "No MTA-STS policy", Severity: finding.Info, CWE: []int{319}, Reason: "without it, or DANE, mail can be made to travel in clear by who sits on the way",
			About: "The domain doesn't tell senders to insist on TLS.", Remedy: "Publish a policy, first in mode testing.", Refs: []string{refSTS},
		},
		{
			ID: "mail-sts-broken", Title: "MTA-STS policy doesn't work", Severity: finding.Low, CWE: []int{319}, Reason: "senders ignore it, or mail to unlisted servers fails",
			About: "The record announces a policy that is missing, malformed, or doesn't fit the mail servers.", Remedy: "Correct the record and the policy file.",
			Refs: []string{refSTS + "#section-3"},
		},
		{
			ID: "mail-sts-testing", Title: "MTA-STS policy is not enforced", Severity: finding.Info, CWE: []int{319}, Reason: "right while it is being introduced",
			About: "The policy's mode is testing or none.", Remedy: "Set mode to enforce once the reports are clean.", Refs: []string{refSTS},
		},
		{
			ID: "mail-tlsrpt-missing", Title: "No TLS reports wanted", Severity: finding.Info, CWE: []int{778}, Reason: "failures of TLS on the way go unseen",
			About: "The domain doesn't ask senders for reports about TLS.", Remedy: "Publish _smtp._tls with an address for reports.",
			Refs: []string{"https://www.rfc-editor.org/rfc/rfc8460"},
		},
	}
	for i := range out {
		out[i] = policyRule(out[i])
	}
	return out
}
