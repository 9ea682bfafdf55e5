package asset

import (
	"net/netip"
	"net/url"
	"path"
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
	case addr == netip.IPv6Loopback():
		return "", false // it lies within ::/96, but hides nothing
	}
	for _, d := range alwaysDenied() {
		if d.prefix.Contains(addr) {
			return d.reason, true
		}
	}
	return "", false
}

// alwaysWithin is Always for all addresses of a network.
func alwaysWithin(network netip.Prefix) (reason string, denied bool) {
	if network.IsSingleIP() {
		return Always(network.Addr())
	}
	for _, d := range alwaysDenied() {
		if d.prefix.Overlaps(network) {
			return d.reason, true
		}
	}
	return "", false
}

type denied struct {
	prefix netip.Prefix
	reason string
}

// alwaysDenied lists the built-in denials; the first that holds gives the reason.
func alwaysDenied() []denied {
	return []denied{
		{netip.MustParsePrefix("0.0.0.0/32"), "the unspecified address"},
		{netip.MustParsePrefix("::/128"), "the unspecified address"},
		{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
		{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
		{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds serve metadata"},
		{netip.MustParsePrefix("fe80::/10"), "a link-local address, where clouds serve metadata"},
		{netip.MustParsePrefix("0.0.0.0/8"), "an address of \"this network\""},
		{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
		{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
		{netip.MustParsePrefix("100.100.100.200/32"), "a cloud metadata address"},
		{netip.MustParsePrefix("192.0.0.192/32"), "a cloud metadata address"},
		{netip.MustParsePrefix("168.63.129.16/32"), "a cloud platform address"},
		{netip.MustParsePrefix("fd00:ec2::/32"), "a cloud metadata address"},
		{netip.MustParsePrefix("fd20:ce::254/128"), "a cloud metadata address"},
		{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address, which hides another"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address, which hides another"},
		{netip.MustParsePrefix("2002::/16"), "a 6to4 address, which hides another"},
		{netip.MustParsePrefix("2001::/32"), "a Teredo address, which hides another"},
		{netip.MustParsePrefix("::/96"), "an IPv4-compatible address, which hides another"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "an IPv4-mapped address, which hides another"},
		{netip.MustParsePrefix("::ffff:0:0:0/96"), "an IPv4-translated address, which hides another"},
	}
}

// Place is a target as the policy looks at it: the name it was given by, if any, the URL, if any, and one address.
type Place struct {
	Host string
	URL  *url.URL
	Addr netip.Addr
}

// notListed is the reason for everything that no allow rule covers.
const notListed = "the target is not on the organization's allow list; an admin can add it with PUT /api/org/scan-scope"

// Permits decides on one resolved place. Reason says why not, in words for the user.
func (s Scope) Permits(p Place) (reason string, ok bool) {
	p.Addr = p.Addr.Unmap()
	if why, no := Always(p.Addr); no {
		return "the target is " + why + ", which is never scanned", false
	}
	for _, r := range s.Deny {
		if r.denies(p) {
			return "the target is on the organization's deny list", false
		}
	}
	for _, r := range s.Allow {
		if r.allows(p) {
			return "", true
		}
	}
	return notListed, false
}

// PermitsName decides on a name that has no address, such as a domain that only receives mail: a domain rule must allow
// it and none may deny it. Rules about addresses and URLs say nothing of it. It permits no connection: whoever makes one
// asks Permits about its address.
func (s Scope) PermitsName(name string) (reason string, ok bool) {
	p := Place{Host: name}
	for _, r := range s.Deny {
		if r.Kind == RuleDomain && r.denies(p) {
			return "the target is on the organization's deny list", false
		}
	}
	for _, r := range s.Allow {
		if r.Kind == RuleDomain && r.allows(p) {
			return "", true
		}
	}
	return notListed, false
}

// PermitsNetwork decides on a network as a whole: each of its addresses must be allowed by a CIDR rule and none may be
// denied, so that nothing has to be left out silently.
func (s Scope) PermitsNetwork(network netip.Prefix) (reason string, ok bool) {
	network = network.Masked()
	if !network.IsValid() {
		return "the target is not a network", false
	}
	if why, no := alwaysWithin(network); no {
		return "the network holds " + why + ", which is never scanned", false
	}
	for _, p := range prefixes(s.Deny) {
		if p.Overlaps(network) {
			return "the network holds addresses on the organization's deny list", false
		}
	}
	if !covered(network, prefixes(s.Allow)) {
		return notListed, false
	}
	return "", true
}

// covered reports whether the union of the rules holds all of network.
func covered(network netip.Prefix, rules []netip.Prefix) bool {
	var within []netip.Prefix
	for _, r := range rules {
		switch {
		case r.Bits() <= network.Bits() && r.Contains(network.Addr()):
			return true
		case r.Overlaps(network):
			within = append(within, r)
		}
	}
	if len(within) == 0 {
		return false
	}
	low, high := halves(network)
	return covered(low, within) && covered(high, within)
}

// halves splits a network of more than one address, which the caller knows it to be: a rule lies within it.
func halves(network netip.Prefix) (low, high netip.Prefix) {
	bits := network.Bits() + 1
	b := network.Addr().AsSlice()
	b[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(network.Addr(), bits), netip.PrefixFrom(upper, bits)
}

// prefixes returns the networks of the CIDR rules.
func prefixes(rules []Rule) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range rules {
		if p, err := netip.ParsePrefix(r.Value); r.Kind == RuleCIDR && err == nil {
			out = append(out, p)
		}
	}
	return out
}

// allows and denies differ where a path can be read in two ways: both readings must be allowed, one is enough to deny.
func (r Rule) allows(p Place) bool {
	return r.matches(p, func(literal, decoded bool) bool { return literal && decoded })
}

func (r Rule) denies(p Place) bool {
	return r.matches(p, func(literal, decoded bool) bool { return literal || decoded })
}

func (r Rule) matches(p Place, both func(literal, decoded bool) bool) bool {
	switch r.Kind {
	case RuleCIDR:
		prefix, err := netip.ParsePrefix(r.Value)
		return err == nil && prefix.Contains(p.Addr)
	case RuleDomain:
		return p.Host != "" && (p.Host == r.Value || strings.HasSuffix(p.Host, "."+r.Value))
	case RuleURL:
		prefix, err := url.Parse(r.Value)
		if err != nil || p.URL == nil || prefix.Scheme != p.URL.Scheme || prefix.Host != p.URL.Host {
			return false
		}
		return both(underPath(p.URL.JoinPath().EscapedPath(), prefix.JoinPath().EscapedPath()),
			underPath(path.Clean("/"+p.URL.Path), path.Clean("/"+prefix.Path)))
	}
	return false
}

// underPath compares by whole segments of cleaned paths, so that /app doesn't cover /apple and /app/../admin isn't
// covered by /app.
func underPath(got, want string) bool {
	want = strings.TrimSuffix(want, "/")
	return strings.TrimSuffix(got, "/") == want || strings.HasPrefix(got, want+"/")
}
