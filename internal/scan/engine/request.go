package engine

import (
	"net/netip"
	"slices"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// Spares reports whether at is a listener of this server, which no engine may look at. A listener on the unspecified
// address spares its port everywhere; callers that know the server's addresses list them one by one instead.
func (r Request) Spares(at netip.AddrPort) bool {
	for _, x := range r.Excluded {
		if x.Port() == at.Port() && (x.Addr().IsUnspecified() || x.Addr().Unmap() == at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// SparedPorts returns the ports, ascending, of all listeners of this server within the target: for engines that take
// one port list for all of their addresses.
func (r Request) SparedPorts() []int {
	var ports []int
	for _, x := range r.Excluded {
		if x.Addr().IsUnspecified() || r.within(x.Addr().Unmap()) {
			ports = append(ports, int(x.Port()))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (r Request) within(addr netip.Addr) bool {
	if n := r.Target.Network(); n.IsValid() && n.Contains(addr) {
		return true
	}
	if r.Target.Addr() == addr {
		return true
	}
	return slices.ContainsFunc(r.Addrs, func(a netip.Addr) bool { return a.Unmap() == addr })
}

// Takes reports whether the engine can take the type of target; the scan service answers TARGET_TYPE_NOT_SUPPORTED
// where it can't.
func (m Manifest) Takes(typ asset.TargetType) bool { return slices.Contains(m.Targets, typ) }

// Missing is the fault for a program that isn't there: Unavailable, ENGINE_NOT_AVAILABLE, with how to get it.
func (m Manifest) Missing() *fault.Error {
	return fault.New(fault.Unavailable, fault.CodeEngine, m.Title+" is not installed where scans run. "+m.Install)
}
