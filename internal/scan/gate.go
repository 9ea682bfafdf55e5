package scan

import (
	"context"
	"net/netip"
	"path"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Resolver turns a target into addresses: unmapped, distinct, none for a network. A name without addresses is an
// Invalid fault, a resolver that doesn't answer an Unavailable one. It decides nothing.
type Resolver interface {
	Resolve(ctx context.Context, target asset.Target) ([]netip.Addr, error)
}

// Gate decides whether a scan may touch its target: once when it is ordered, and again when it starts, because names
// and scopes change. It is safe for concurrent use.
type Gate struct {
	Resolver  Resolver
	Listeners func() ([]netip.AddrPort, error) // what this server itself listens at, its database's ports among it
	Folders   []string                         // clean absolute roots below which filesystem targets may lie
}

// Reach is what one run may connect to: the resolved addresses of its target, under the organization's scope.
type Reach struct {
	Target   asset.Target
	Addrs    []netip.Addr // empty for networks, folders and domains without an address
	Scope    asset.Scope
	Excluded []netip.AddrPort
}

// Open resolves the target and checks every address of it. What isn't allowed is a Forbidden fault of code
// TARGET_NOT_ALLOWED whose text says why.
func (g Gate) Open(ctx context.Context, target asset.Target, scope asset.Scope) (Reach, error) {
	r := Reach{Target: target, Scope: scope}
	switch target.Type() {
	case asset.TypeFilesystem:
		return r, g.folder(target.String())
	case asset.TypeNetwork:
		if why, ok := scope.PermitsNetwork(target.Network()); !ok {
			return Reach{}, refused(why)
		}
	case asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeImage, asset.TypeRepository:
		if err := g.resolve(ctx, &r); err != nil {
			return Reach{}, err
		}
	}
	var err error
	if r.Excluded, err = g.Listeners(); err != nil {
		return Reach{}, fault.New(fault.Internal, fault.CodeInternal, "this server's own addresses could not be read").Because(err)
	}
	for _, a := range r.Addrs {
		at := netip.AddrPortFrom(a, uint16(target.Port())) //nolint:gosec // ParseTarget holds ports within 1–65535
		if target.Port() != 0 && (engine.Request{Excluded: r.Excluded}).Spares(at) {
			return Reach{}, refused("the target is one of this server's own listeners, which are never scanned")
		}
	}
	return r, nil
}

func (g Gate) resolve(ctx context.Context, r *Reach) error {
	addrs, err := g.Resolver.Resolve(ctx, r.Target)
	if err == nil && len(addrs) == 0 {
		err = fault.Wrong("target", "has no address in the DNS")
	}
	if err != nil && fault.KindOf(err) == fault.Invalid && r.Target.Type() == asset.TypeDomain {
		return nameless(r)
	}
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if why, ok := r.Scope.Permits(asset.Place{Host: r.Target.Host(), URL: r.Target.URL(), Addr: a}); !ok {
			return refused(why)
		}
	}
	r.Addrs = addrs
	return nil
}

// nameless decides on a domain without addresses, such as one that only receives mail. There is nothing to connect to,
// but third parties and the DNS can be asked about it, so its name alone must be allowed.
func nameless(r *Reach) error {
	if why, ok := r.Scope.PermitsName(r.Target.Host()); !ok {
		return refused(why)
	}
	return nil
}

// folder holds filesystem targets below the configured roots. Links are the engine's business, which opens the folder.
func (g Gate) folder(dir string) error {
	for _, root := range g.Folders {
		if dir == root || strings.HasPrefix(dir, strings.TrimSuffix(path.Clean(root), "/")+"/") {
			return nil
		}
	}
	return refused("the folder is not below one that the operator has opened for scans")
}

func refused(why string) error { return fault.New(fault.Forbidden, fault.CodeTargetForbidden, why) }
