// Package mailpolicy reads what domains publish about their mail: SPF (RFC 7208), DKIM keys (RFC 6376), DMARC (RFC 7489),
// MTA-STS (RFC 8461) and TLS reporting (RFC 8460): text in, facts out.
//
// It asks nobody: who needs another record is told its name. Text is a stranger's and bounded. Start with ParseSPF; each
// record has its own file.
package mailpolicy

import (
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of one record.
const (
	maxRecord = 8 << 10
	maxTerms  = 200
)

// SPF is one parsed policy.
type SPF struct {
	All      byte     // qualifier of the "all" mechanism: '+', '-', '~', '?', or 0 where there is none
	Redirect string   // domain that the rest is taken from
	Includes []string // domains
	Lookups  int      // terms of this record that cost a DNS query (section 4.6.4)
	Wide     []string // ip4 and ip6 networks that are wider than an organization is
	PTR      bool     // the deprecated mechanism
	Errors   []string // what isn't of the grammar
}

// IsSPF reports whether a TXT record is an SPF policy (section 4.5).
func IsSPF(text string) bool {
	return strings.EqualFold(text, "v=spf1") || len(text) > 7 && strings.EqualFold(text[:7], "v=spf1 ")
}

// ParseSPF reads a policy; what is wrong in it is in Errors, in words of ours.
func ParseSPF(text string) SPF {
	var out SPF
	if len(text) > maxRecord {
		out.Errors = append(out.Errors, "the record is too long")
		text = text[:maxRecord]
	}
	terms := strings.Fields(text)
	for i, term := range terms[min(1, len(terms)):] {
		if i == maxTerms {
			out.Errors = append(out.Errors, "the record has too many terms")
			break
		}
		out.term(term)
	}
	return out
}

func (s *SPF) term(term string) {
	if name, value, ok := strings.Cut(term, "="); ok && !strings.ContainsAny(name, ":/") {
		if strings.EqualFold(name, "redirect") {
			s.Redirect = host(value)
			s.Lookups++
			if s.Redirect == "" {
				s.wrong("redirect without a domain")
			}
		}
		return // other modifiers are to be ignored
	}
	qualifier := byte('+')
	if strings.IndexByte("+-~?", term[0]) >= 0 {
		qualifier, term = term[0], term[1:]
	}
	name, value, given := strings.Cut(term, ":")
	if !given {
		name, _, _ = strings.Cut(name, "/")
	}
	switch strings.ToLower(name) {
	case "all":
		if s.All == 0 { // what stands behind the first is never reached
			s.All = qualifier
		}
	case "include":
		s.Lookups++
		if d := host(value); d != "" {
			s.Includes = append(s.Includes, d)
		} else {
			s.wrong("include without a domain")
		}
	case "a", "mx", "exists":
		s.Lookups++
		if strings.EqualFold(name, "exists") && value == "" {
			s.wrong("exists without a domain")
		}
	case "ptr":
		s.Lookups++
		s.PTR = true
	case "ip4":
		s.network(value, true, 16)
	case "ip6":
		s.network(value, false, 32)
	default:
		s.wrong("an unknown mechanism")
	}
}

// network checks an ip4 or ip6 mechanism and notes one that is wider than /bits.
func (s *SPF) network(value string, four bool, bits int) {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		a, aerr := netip.ParseAddr(value)
		if aerr != nil {
			s.wrong("an address that is none")
			return
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.Addr().Is4() != four:
		s.wrong("an address of the other family")
	case p.Bits() < bits:
		s.Wide = append(s.Wide, p.String())
	}
}

func (s *SPF) wrong(what string) {
	if len(s.Errors) < 10 {
		s.Errors = append(s.Errors, what)
	}
}

// host returns a name that can be asked for, "" where it is none; with macros only a resolver of mail could.
func host(s string) string {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 || strings.ContainsAny(s, "% /:@\"'()") {
		return ""
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return s
}

// tags reads "name=value; …" lists (RFC 6376 section 3.2). ok is false where a part has no name.
func tags(text string) (out map[string]string, order []string, ok bool) {
	out, ok = map[string]string{}, true
	for part := range strings.SplitSeq(text[:min(len(text), maxRecord)], ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, cut := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := out[name]; !cut || name == "" || twice || len(order) == maxTerms {
			ok = false
			continue
		}
		out[name] = strings.TrimSpace(value)
		order = append(order, name)
	}
	return out, order, ok
}

func percent(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= 100
}
