// Package egress is the only way out of the box. It decides on the resolved address at connect time, so that no name,
// spelling or second DNS answer reaches what the policy forbids.
//
// There are two ways out with two policies. ScanDialer serves one scan and reaches only what that scan's request and
// its organization's scope name. Transport serves receivers of webhooks, cloud APIs and other peers and reaches public
// addresses only, unless the operator allows a prefix. The package must never read proxies from the environment, follow
// a redirect by itself, or know what a scan or a receiver is for. Start with scan.go, then transport.go and address.go.
package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// connectTimeout bounds one connection attempt where the caller's context doesn't end earlier.
const connectTimeout = 10 * time.Second

// Lookup resolves names; *net.Resolver implements it. Its answers are not trusted: each address is checked.
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// connect opens a TCP connection to exactly one checked address. The control hook sees the address that the kernel is
// about to be given and refuses any other, so that nothing between the check and the socket can swap it.
func connect(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{
		Timeout:       timeout,
		FallbackDelay: -1, // one address, one attempt
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) != to {
				return refused("the connection would leave for another address than the one that was checked")
			}
			return nil
		},
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// splitAddress reads "host:port" strictly: a decimal port from 1 to 65535, no service names.
func splitAddress(network, address string) (host string, port uint16, err error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return "", 0, refused("only TCP leaves this box")
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, refused("the address is not a host and a port").Because(err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, refused("the port is not within 1–65535").Because(err)
	}
	return host, uint16(n), nil
}

// refused is the fault of everything that the policy doesn't let out. It names the rule, never the address.
func refused(why string) *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "connection refused by the egress policy: "+why)
}

// ours reports whether to is a listener of this server. Loopback counts as one address: a listener on all addresses
// answers on every one of 127.0.0.0/8, and which of them it was bound to is no business of a scan.
func ours(listeners []netip.AddrPort, to netip.AddrPort) bool {
	for _, l := range listeners {
		if l.Port() != to.Port() {
			continue
		}
		a := l.Addr().Unmap()
		if a == to.Addr() || (to.Addr().IsLoopback() && (a.IsLoopback() || a.IsUnspecified())) {
			return true
		}
	}
	return false
}

// Listeners returns the addresses at which this server's listeners answer, for ScanConfig.Excluded,
// TransportConfig.Excluded and engine.Request.Excluded: a listener on an unspecified address is replaced by one entry
// for each address of this host's interfaces. The interfaces are read once; call it when a scan starts.
func Listeners(bound []netip.AddrPort) ([]netip.AddrPort, error) {
	local, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("reading this host's addresses: %w", err)
	}
	var out []netip.AddrPort
	for _, b := range bound {
		if a := b.Addr().Unmap(); !a.IsUnspecified() {
			out = append(out, netip.AddrPortFrom(a, b.Port()))
			continue
		}
		for _, l := range local {
			if p, perr := netip.ParsePrefix(l.String()); perr == nil {
				out = append(out, netip.AddrPortFrom(p.Addr().Unmap(), b.Port()))
			}
		}
	}
	return out, nil
}
