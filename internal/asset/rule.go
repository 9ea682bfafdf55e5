package asset

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// ParseScope reads the lists of a scope into canonical rules, duplicates left out. A fault is Invalid and names each
// wrong rule as `allow[3]` or `deny[0]` (up to 20); it never repeats one.
func ParseScope(allow, deny []Rule) (Scope, error) {
	var wrong []fault.Field
	s := Scope{Allow: parseRules("allow", allow, &wrong), Deny: parseRules("deny", deny, &wrong)}
	if len(wrong) > 0 {
		f := fault.Wrong(wrong[0].Location, wrong[0].Message)
		for _, w := range wrong[1:min(len(wrong), 20)] {
			f = f.With(w.Location, w.Message)
		}
		return Scope{}, f
	}
	return s, nil
}

func parseRules(list string, rules []Rule, wrong *[]fault.Field) []Rule {
	if len(rules) > MaxRules {
		*wrong = append(*wrong, fault.Field{Location: list, Message: "holds too many rules; at most 500"})
		return nil
	}
	out := make([]Rule, 0, len(rules))
	seen := make(map[Rule]bool, len(rules))
	for i, r := range rules {
		parsed, message := parseRule(r)
		if message != "" {
			*wrong = append(*wrong, fault.Field{Location: list + "[" + strconv.Itoa(i) + "]", Message: message})
			continue
		}
		if !seen[parsed] {
			seen[parsed] = true
			out = append(out, parsed)
		}
	}
	return out
}

// ParseRule reads one rule; an empty kind is inferred: URLs by their scheme, networks and addresses as cidr, the rest
// as domain. A fault is Invalid and names the field "rule".
func ParseRule(r Rule) (Rule, error) {
	parsed, message := parseRule(r)
	if message != "" {
		return Rule{}, fault.Wrong("rule", message)
	}
	return parsed, nil
}

func parseRule(r Rule) (Rule, string) {
	if err := plain(r.Value); err != nil {
		return Rule{}, messageOf(err)
	}
	if r.Kind == "" {
		r.Kind = inferRule(r.Value)
	}
	switch r.Kind {
	case RuleCIDR:
		return parseCIDRRule(r.Value)
	case RuleDomain:
		if strings.HasPrefix(r.Value, "*") {
			return Rule{}, "must be a plain domain; it covers everything below it too"
		}
		name, err := canonicalName(r.Value)
		if err != nil {
			return Rule{}, "is not a domain; give one such as example.org"
		}
		return Rule{Kind: RuleDomain, Value: name}, ""
	case RuleURL:
		return parseURLRule(r.Value)
	}
	return Rule{}, "must be of kind cidr, domain or url"
}

func inferRule(text string) RuleKind {
	if strings.Contains(text, "://") {
		return RuleURL
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return RuleCIDR
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return RuleCIDR
	}
	return RuleDomain
}

func parseCIDRRule(text string) (Rule, string) {
	const wanted = "is not a network or address; give one such as 192.0.2.0/24 or 2001:db8::7"
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, aerr := netip.ParseAddr(text)
		if aerr != nil || addr.Zone() != "" {
			return Rule{}, wanted
		}
		addr = addr.Unmap()
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return Rule{}, "is an IPv4 network in IPv6 clothing; give it as IPv4"
	}
	return Rule{Kind: RuleCIDR, Value: prefix.Masked().String()}, ""
}

func parseURLRule(text string) (Rule, string) {
	t, err := parseURL(text)
	if err != nil {
		return Rule{}, messageOf(err)
	}
	u := t.url
	if u.RawQuery != "" || u.ForceQuery {
		return Rule{}, "must be a URL prefix without a query"
	}
	return Rule{Kind: RuleURL, Value: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()}, ""
}

// messageOf returns what a validation fault says of its first field.
func messageOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && len(f.Fields) > 0 {
		return f.Fields[0].Message
	}
	return "is wrong"
}

// Equal reports whether two scopes hold the same rules in the same order, whenever they were written.
func (s Scope) Equal(other Scope) bool {
	return slices.Equal(s.Allow, other.Allow) && slices.Equal(s.Deny, other.Deny)
}
