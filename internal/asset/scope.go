package asset

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// RuleKind is what a scope rule matches on.
type RuleKind string

// Rule kinds.
const (
	RuleCIDR   RuleKind = "cidr"   // resolved addresses within a prefix
	RuleDomain RuleKind = "domain" // a name and everything below it
	RuleURL    RuleKind = "url"    // a URL prefix
)

// Rule is one line of a scope: its canonical text and what it means.
type Rule struct {
	Kind  RuleKind
	Value string
}

// MaxRules bounds each list of a scope.
const MaxRules = 500

// Scope says what an organization's scans may touch (decisions C2): something is allowed when an allow rule matches
// and no deny rule does, on every address it resolves to. The built-in denials (Always) come first and can't be
// lifted. An empty scope allows nothing.
type Scope struct {
	Allow     []Rule
	Deny      []Rule
	UpdatedAt time.Time
}

// Always reports whether addr may never be a target: link-local (cloud metadata among it), the metadata addresses
// outside of it, multicast, unspecified, broadcast, and addresses that embed another (NAT64, 6to4, Teredo), which
// would hide the real one from the scope. The reason is text for the user.
func Always(addr netip.Addr) (reason string, denied bool) {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid():
		return "not an address", true
	case addr.Zone() != "":
		return "an address with a zone", true
	case addr.IsUnspecified():
		return "the unspecified address", true
	case addr.IsMulticast():
		return "a multicast address", true
	case addr.IsLinkLocalUnicast():
		return "a link-local address, where clouds serve metadata", true
	}
	for _, d := range alwaysDenied() {
		if d.prefix.Contains(addr) {
			return d.reason, true
		}
	}
	return "", false
}

type denied struct {
	prefix netip.Prefix
	reason string
}

func alwaysDenied() []denied {
	return []denied{
		{netip.MustParsePrefix("0.0.0.0/8"), "an address of \"this network\""},
		{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
		{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
		{netip.MustParsePrefix("100.100.100.200/32"), "a cloud metadata address"},
		{netip.MustParsePrefix("192.0.0.192/32"), "a cloud metadata address"},
		{netip.MustParsePrefix("168.63.129.16/32"), "a cloud platform address"},
		{netip.MustParsePrefix("fd00:ec2::254/128"), "a cloud metadata address"},
		{netip.MustParsePrefix("fd20:ce::254/128"), "a cloud metadata address"},
		{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address, which hides another"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address, which hides another"},
		{netip.MustParsePrefix("2002::/16"), "a 6to4 address, which hides another"},
		{netip.MustParsePrefix("2001::/32"), "a Teredo address, which hides another"},
		{netip.MustParsePrefix("::/96"), "an IPv4-compatible address, which hides another"},
	}
}

// loopback6 is let past the IPv4-compatible rule, under which ::1 would fall.
func loopback6() netip.Addr { return netip.IPv6Loopback() }

// Place is a target as the policy looks at it: the name it was given by, if any, the URL, if any, and one address.
type Place struct {
	Host string
	URL  *url.URL
	Addr netip.Addr
}

// Permits decides on one resolved place. Reason says why not, in words for the user.
func (s Scope) Permits(p Place) (reason string, ok bool) {
	addr := p.Addr.Unmap()
	if addr != loopback6() {
		if why, no := Always(addr); no {
			return "the target is " + why + ", which is never scanned", false
		}
	}
	for _, r := range s.Deny {
		if r.matches(p, addr) {
			return "the target is on the organization's deny list", false
		}
	}
	for _, r := range s.Allow {
		if r.matches(p, addr) {
			return "", true
		}
	}
	return "the target is not on the organization's allow list; an admin can add it with PUT /api/org/scan-scope", false
}

func (r Rule) matches(p Place, addr netip.Addr) bool {
	switch r.Kind {
	case RuleCIDR:
		prefix, err := netip.ParsePrefix(r.Value)
		return err == nil && prefix.Contains(addr)
	case RuleDomain:
		return p.Host != "" && (p.Host == r.Value || strings.HasSuffix(p.Host, "."+r.Value))
	case RuleURL:
		return p.URL != nil && underPrefix(p.URL, r.Value)
	}
	return false
}

// underPrefix compares origin exactly and path by whole segments, on cleaned forms, so that /app doesn't cover
// /apple and /app/../admin isn't covered by /app.
func underPrefix(u *url.URL, prefix string) bool {
	p, err := url.Parse(prefix)
	if err != nil || p.Scheme != u.Scheme || p.Host != u.Host {
		return false
	}
	want := strings.TrimSuffix(p.JoinPath().EscapedPath(), "/")
	got := u.JoinPath().EscapedPath()
	return got == want || strings.HasPrefix(got, want+"/")
}
