package egress

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
)

// LookupAt returns a Lookup that asks the given DNS servers, one after the other, instead of the system's. Without
// servers it is the system's.
func LookupAt(servers []netip.AddrPort) Lookup {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	servers = slices.Clone(servers)
	var turn atomic.Uint64
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		at := servers[int((turn.Add(1)-1)%uint64(len(servers)))] //nolint:gosec // an index within servers
		return (&net.Dialer{Timeout: dnsTimeout}).DialContext(ctx, network, at.String())
	}}
}
