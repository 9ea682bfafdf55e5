package mailpolicy

import (
	"strings"
)

// DMARC is one parsed policy.
type DMARC struct {
	Policy    string // none, quarantine, reject; empty = missing or wrong
	Subdomain string // for subdomains; empty = as Policy
	Percent   int    // of the mail that it holds for
	Reports   bool   // aggregate reports are wanted
	Errors    []string
}

// IsDMARC reports whether a TXT record is a DMARC policy (section 6.3).
func IsDMARC(text string) bool {
	name, value, ok := strings.Cut(text, "=")
	value, _, _ = strings.Cut(value, ";")
	return ok && strings.TrimSpace(name) == "v" && strings.TrimSpace(value) == "DMARC1"
}

// ParseDMARC reads a policy.
func ParseDMARC(text string) DMARC {
	t, order, fine := tags(text)
	out := DMARC{Percent: 100}
	if !fine {
		out.Errors = append(out.Errors, "the list of tags is malformed")
	}
	policy := func(tag string) string {
		p := strings.ToLower(t[tag])
		switch p {
		case "none", "quarantine", "reject", "":
			return p
		}
		out.Errors = append(out.Errors, tag+" is none of none, quarantine and reject")
		return ""
	}
	out.Policy, out.Subdomain = policy("p"), policy("sp")
	if out.Policy == "" {
		out.Errors = append(out.Errors, "p is missing")
	} else if len(order) > 1 && order[1] != "p" {
		out.Errors = append(out.Errors, "p must follow v")
	}
	if p, ok := t["pct"]; ok {
		if n, right := percent(p); right {
			out.Percent = n
		} else {
			out.Errors = append(out.Errors, "pct is no percentage")
		}
	}
	for _, tag := range []string{"rua", "ruf"} {
		for address := range strings.SplitSeq(t[tag], ",") {
			address = strings.TrimSpace(address)
			if address == "" {
				continue
			}
			if !strings.Contains(address, ":") {
				out.Errors = append(out.Errors, tag+" holds no URI")
				continue
			}
			out.Reports = out.Reports || tag == "rua"
		}
	}
	return out
}

// IsMTASTS reports whether a TXT record announces an MTA-STS policy (RFC 8461 section 3.1); id is its version, "" where
// the record is malformed.
func IsMTASTS(text string) (id string, ok bool) {
	t, order, _ := tags(text)
	if len(order) == 0 || order[0] != "v" || t["v"] != "STSv1" {
		return "", false
	}
	id = t["id"]
	if len(id) > 32 || strings.ContainsFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		id = ""
	}
	return id, true
}

// STSPolicy is a fetched MTA-STS policy (section 3.2).
type STSPolicy struct {
	Mode   string // enforce, testing, none
	MX     []string
	MaxAge bool // max_age is there
	Error  string
}

// ParseSTSPolicy reads the file of a policy.
func ParseSTSPolicy(text string) STSPolicy {
	var out STSPolicy
	version := false
	for line := range strings.Lines(text[:min(len(text), 64<<10)]) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if !ok {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "version":
			version = value == "STSv1"
		case "mode":
			out.Mode = strings.ToLower(value)
		case "mx":
			if len(out.MX) < 100 {
				out.MX = append(out.MX, strings.ToLower(strings.TrimSuffix(value, ".")))
			}
		case "max_age":
			out.MaxAge = true
		}
	}
	switch {
	case !version:
		out.Error = "the file isn't an STSv1 policy"
	case out.Mode != "enforce" && out.Mode != "testing" && out.Mode != "none":
		out.Error = "mode is none of enforce, testing and none"
	case !out.MaxAge:
		out.Error = "max_age is missing"
	case out.Mode != "none" && len(out.MX) == 0:
		out.Error = "mx is missing"
	}
	return out
}

// Covers reports whether a mail server's name is one that the policy allows (section 4.1).
func (p STSPolicy) Covers(server string) bool {
	server = strings.ToLower(strings.TrimSuffix(server, "."))
	for _, pattern := range p.MX {
		if rest, wild := strings.CutPrefix(pattern, "*."); wild {
			if _, tail, ok := strings.Cut(server, "."); ok && tail == rest {
				return true
			}
		} else if server == pattern {
			return true
		}
	}
	return false
}

// IsTLSReport reports whether a TXT record asks for TLS reports (RFC 8460 section 3).
func IsTLSReport(text string) bool {
	t, order, _ := tags(text)
	return len(order) > 1 && order[0] == "v" && t["v"] == "TLSRPTv1" && t["rua"] != ""
}
