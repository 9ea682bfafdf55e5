package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// ScanConfig is what one scan may reach.
type ScanConfig struct {
	Target   asset.Target
	Addrs    []netip.Addr // what the target resolved to, once, at the scan's start; ignored for a network target
	Scope    asset.Scope
	Excluded []netip.AddrPort // this server's own listeners, see Listeners
	Timeout  time.Duration    // of one connection attempt; 0 = 10 s
	// Site keeps a URL target's scan on its own port, 80 and 443: for programs that follow links and redirects, because
	// another server on the same machine is another target.
	Site bool
}

// ScanDialer connects within one scan's scope; it implements engine.Dialer. It resolves nothing: a name stands for the
// addresses that were pinned when the scan began, so a later DNS answer changes nothing. It is safe for concurrent use.
type ScanDialer struct {
	cfg     ScanConfig
	pinned  []netip.Addr
	connect func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error)
}

// NewScanDialer returns the dialer of one scan. It copies what it is given.
func NewScanDialer(cfg ScanConfig) *ScanDialer {
	if cfg.Timeout <= 0 {
		cfg.Timeout = connectTimeout
	}
	cfg.Excluded = slices.Clone(cfg.Excluded)
	d := &ScanDialer{cfg: cfg, connect: connect}
	for _, a := range cfg.Addrs {
		d.pinned = append(d.pinned, a.Unmap())
	}
	if a := cfg.Target.Addr(); a.IsValid() && len(d.pinned) == 0 {
		d.pinned = []netip.Addr{a}
	}
	return d
}

// DialContext connects to "address:port" or "name:port". The address must be one of the scan's, or within its network;
// the name must be the target's own. What isn't is a Forbidden fault with code TARGET_NOT_ALLOWED, decided before any
// packet; network errors are returned as they are. With several pinned addresses they are tried in order.
func (d *ScanDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := splitAddress(network, address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.addresses(host, network)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := d.permit(netip.AddrPortFrom(a, port)); err != nil {
			return nil, err // one forbidden address refuses the name: it is not ours to pick the harmless one
		}
	}
	var errs []error
	for _, a := range addrs {
		conn, cerr := d.connect(ctx, netip.AddrPortFrom(a, port), d.cfg.Timeout)
		if cerr == nil {
			return conn, nil
		}
		errs = append(errs, cerr)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// addresses returns what host stands for in this scan.
func (d *ScanDialer) addresses(host, network string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return nil, refused("the address names a zone")
		}
		a = a.Unmap()
		if n := d.cfg.Target.Network(); n.IsValid() && n.Contains(a) || slices.Contains(d.pinned, a) {
			return []netip.Addr{a}, nil
		}
		return nil, refused("the address is not one of the scan's target")
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" || name != d.cfg.Target.Host() {
		return nil, refused("the name is not the scan's target")
	}
	var fit []netip.Addr
	for _, a := range d.pinned {
		if network == "tcp" || (network == "tcp4") == a.Is4() {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "the scan's target has no address of the wanted family")
	}
	return fit, nil
}

// permit decides on one address and port.
func (d *ScanDialer) permit(to netip.AddrPort) error {
	if ours(d.cfg.Excluded, to) {
		return refused("it is one of this server's own listeners")
	}
	if d.cfg.Site && d.cfg.Target.Type() == asset.TypeURL && !ofSite(int(to.Port()), d.cfg.Target.Port()) {
		return refused("the port is not the target's")
	}
	p := asset.Place{Host: d.cfg.Target.Host(), Addr: to.Addr()}
	if int(to.Port()) == d.cfg.Target.Port() {
		p.URL = d.cfg.Target.URL() // a URL rule speaks for its own port only
	}
	if why, ok := d.cfg.Scope.Permits(p); !ok {
		return refused(why)
	}
	return nil
}

// ofSite reports whether a port is the site's own, or one of the two between which sites lead people on.
func ofSite(port, own int) bool { return port == own || port == 80 || port == 443 }
