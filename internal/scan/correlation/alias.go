package correlation

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// local is the canonical name of this machine as seen from itself.
const local = "localhost"

// Aliases says which hosts are one asset. The zero value knows the loopback addresses only. It is immutable.
type Aliases struct {
	of    map[string]string       // canonical host → name of its asset
	addrs map[string][]netip.Addr // asset → addresses known of it
}

// NewAliases takes sets of names and addresses, each known to be one asset: a target's name with what it resolved to,
// the names of one record. Names that meet in one set are one asset, and so are sets that share a name. An address is
// an alias of a name only while no other asset claims it: an address that serves several sites ties none of them
// together. Sets without a name tie addresses of one host.
func NewAliases(sets ...[]string) Aliases {
	f := forest{}
	claims := map[string][]string{} // address → names that claim it
	for _, set := range sets {
		names, addrs := split(set)
		for _, n := range names {
			f.join(names[0], n)
		}
		owner := ""
		if len(names) > 0 {
			owner = names[0]
		} else if len(addrs) > 1 {
			owner = "\x00" + slices.Min(addrs)
			f.join(owner, owner)
		}
		for _, a := range addrs {
			if owner != "" {
				claims[a] = append(claims[a], owner)
			}
		}
	}
	return resolve(f, claims)
}

// resolve gives every name the smallest name of its asset, and every address that one asset alone claims the asset's.
func resolve(f forest, claims map[string][]string) Aliases {
	out := Aliases{of: map[string]string{}, addrs: map[string][]netip.Addr{}}
	smallest := map[string]string{}
	for _, n := range slices.Sorted(maps.Keys(f)) {
		root := f.root(n)
		if _, ok := smallest[root]; !ok && n[0] != 0 {
			smallest[root] = n
		}
		if n[0] != 0 {
			out.of[n] = smallest[root]
		}
	}
	for _, a := range slices.Sorted(maps.Keys(claims)) {
		owners := map[string]bool{}
		for _, n := range claims[a] {
			owners[f.root(n)] = true
		}
		for root := range owners {
			name := smallest[root]
			if name == "" { // a host known by addresses only
				name = strings.TrimPrefix(root, "\x00")
			}
			if len(owners) == 1 {
				out.of[a] = name
			}
			if addr, err := netip.ParseAddr(a); err == nil {
				out.addrs[name] = append(out.addrs[name], addr)
			}
		}
	}
	return out
}

// Asset returns the name of the asset that a host is: the host itself, in canonical form, where nothing more is known.
func (a Aliases) Asset(host string) string {
	host = finding.CanonicalHost(host)
	if isLocal(host) {
		return local
	}
	if name, ok := a.of[host]; ok {
		return name
	}
	return host
}

// Addresses returns the addresses of a host as far as they are known; its own where it is one.
func (a Aliases) Addresses(host string) []netip.Addr {
	host = finding.CanonicalHost(host)
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}
	}
	if isLocal(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return a.addrs[a.Asset(host)]
}

// Hosts returns all hosts that are known to be the asset, itself among them, sorted.
func (a Aliases) Hosts(asset string) []string {
	hosts := []string{asset}
	for h, name := range a.of {
		if name == asset && h != asset {
			hosts = append(hosts, h)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// split tells canonical names and addresses apart; what stands for the machine itself is neither.
func split(set []string) (names, addrs []string) {
	for _, h := range set {
		h = finding.CanonicalHost(h)
		_, err := netip.ParseAddr(h)
		switch {
		case h == "" || isLocal(h):
		case err == nil:
			addrs = append(addrs, h)
		default:
			names = append(names, h)
		}
	}
	return names, addrs
}

// AliasPairs returns the name with each of its addresses in canonical form, each once; none where the name is an address
// or stands for the machine itself.
func AliasPairs(name string, addresses []string) [][2]string {
	names, _ := split([]string{name})
	if len(names) == 0 {
		return nil
	}
	_, addrs := split(addresses)
	slices.Sort(addrs)
	var out [][2]string
	for _, a := range slices.Compact(addrs) {
		out = append(out, [2]string{names[0], a})
	}
	return out
}

// isLocal reports whether a canonical host is the machine that looks.
func isLocal(host string) bool {
	if host == local || strings.HasSuffix(host, "."+local) {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// forest joins names into assets.
type forest map[string]string

func (f forest) root(n string) string {
	for f[n] != n {
		f[n] = f[f[n]]
		n = f[n]
	}
	return n
}

func (f forest) join(a, b string) {
	for _, n := range []string{a, b} {
		if _, ok := f[n]; !ok {
			f[n] = n
		}
	}
	a, b = f.root(a), f.root(b)
	f[max(a, b)] = min(a, b)
}
