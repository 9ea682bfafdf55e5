package egress

import (
	"net/netip"

	"assay.dev/assay/internal/asset"
)

// publicOnly decides on one resolved address of a receiver or cloud: public unicast addresses pass, everything else
// only within an allowed prefix. Metadata and other addresses that scans never touch either (asset.Always) need a
// prefix of that single address: a broad allow such as 0.0.0.0/0 must not open them by accident. Unspecified and
// multicast addresses are never let out.
func publicOnly(addr netip.Addr, allow []netip.Prefix) (reason string, ok bool) {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return "the address is not a unicast address without a zone", false
	}
	reason, broad := special(addr)
	if reason == "" {
		return "", true
	}
	for _, p := range allow {
		if p.Contains(addr) && (broad || p.IsSingleIP()) {
			return "", true
		}
	}
	return reason, false
}

// special names why addr is no public address, "" where it is one. broad says that a prefix of any length may allow it.
func special(addr netip.Addr) (reason string, broad bool) {
	switch {
	case addr.IsLoopback():
		return "it is a loopback address", true
	case addr.IsPrivate():
		if _, always := asset.Always(addr); !always {
			return "it is a private address", true
		}
	}
	if why, always := asset.Always(addr); always {
		return "it is " + why, false
	}
	for _, s := range specialPurpose() {
		if s.prefix.Contains(addr) {
			return "it is " + s.name, true
		}
	}
	// RFC 4291 section 2.4 and the IANA registry: global unicast is handed out of 2000::/3 only.
	if addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr) {
		return "it is outside of IPv6 global unicast", true
	}
	return "", true
}

type purpose struct {
	prefix netip.Prefix
	name   string
}

// specialPurpose lists what the IANA special-purpose registries (RFC 6890 and updates) hold beside private, loopback
// and link-local addresses.
func specialPurpose() []purpose {
	return []purpose{
		{netip.MustParsePrefix("100.64.0.0/10"), "a shared (carrier-grade NAT) address"},
		{netip.MustParsePrefix("192.0.0.0/24"), "an IETF protocol address"},
		{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
		{netip.MustParsePrefix("192.31.196.0/24"), "an AS112 address"},
		{netip.MustParsePrefix("192.52.193.0/24"), "an AMT address"},
		{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay address"},
		{netip.MustParsePrefix("192.175.48.0/24"), "an AS112 address"},
		{netip.MustParsePrefix("198.18.0.0/15"), "a benchmarking address"},
		{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
		{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
		{netip.MustParsePrefix("2001::/23"), "an IETF protocol address"},
		{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
		{netip.MustParsePrefix("2620:4f:8000::/48"), "an AS112 address"},
		{netip.MustParsePrefix("3fff::/20"), "a documentation address"},
	}
}
