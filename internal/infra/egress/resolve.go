package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// MaxAddrs is how many addresses of a name a scan looks at; of more, the lowest ones are taken.
const MaxAddrs = 16

// resolveTimeout bounds one look-up, all of the resolver's own retries included.
const resolveTimeout = 10 * time.Second

// Resolver turns targets into addresses. It is safe for concurrent use.
type Resolver struct{ lookup Lookup }

// NewResolver takes the resolver to ask; nil means the system's.
func NewResolver(lookup Lookup) *Resolver {
	if lookup == nil {
		lookup = net.DefaultResolver
	}
	return &Resolver{lookup: lookup}
}

// Resolve returns the addresses of target, unmapped, distinct, in ascending order, at most MaxAddrs; for a network it
// returns none, because all of it is meant. It decides nothing: each address must still be permitted by the scope, and
// is again when it is dialled. A name without addresses is an Invalid fault on "target", a resolver that doesn't answer
// an Unavailable one; a folder, which is no place in a network, is Unsupported. Of an image it is the registry that is
// resolved, of a repository its server.
func (r *Resolver) Resolve(ctx context.Context, target asset.Target) ([]netip.Addr, error) {
	switch target.Type() {
	case asset.TypeNetwork:
		return nil, nil
	case asset.TypeHost, asset.TypeDomain, asset.TypeIP, asset.TypeURL, asset.TypeImage, asset.TypeRepository:
	case asset.TypeFilesystem:
		return nil, fault.New(fault.Unsupported, fault.CodeUnsupported, "a target of this type has no network address")
	default:
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the target was not parsed")
	}
	if a := target.Addr(); a.IsValid() {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return lookup(ctx, r.lookup, target.Host())
}

func lookup(ctx context.Context, l Lookup, host string) ([]netip.Addr, error) {
	addrs, err := l.LookupNetIP(ctx, "ip", host)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return nil, fault.Wrong("target", "has no address in the DNS").Because(err)
		}
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "the name could not be resolved now; try again").Because(err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	if len(addrs) == 0 {
		return nil, fault.Wrong("target", "has no address in the DNS")
	}
	if len(addrs) > MaxAddrs {
		addrs = addrs[:MaxAddrs]
	}
	return addrs, nil
}
