package egress

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// NewRegistryDial returns how a program that pulls an image connects: to the registry as the scan's dialer decides, and
// to the hosts to which public registries send their clients for tokens and layers (companions), over TLS's port and
// only where the organization's scope allows the host, on each of its resolved addresses. A registry on this machine's
// loopback interface also goes by engine.LoopbackName.
func NewRegistryDial(cfg ScanConfig, lookup Lookup, dial DialFunc) DialFunc {
	r := &registryDial{cfg: cfg, lookup: lookup, dial: dial}
	return r.connect
}

type registryDial struct {
	cfg    ScanConfig
	lookup Lookup
	dial   DialFunc
}

func (r *registryDial) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return r.dial(ctx, network, address)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case host == engine.LoopbackName && r.loopback():
		at := r.cfg.Target.Host()
		if a := r.cfg.Target.Addr(); a.IsValid() {
			at = a.String()
		}
		return r.dial(ctx, network, net.JoinHostPort(at, port))
	case host != r.cfg.Target.Host() && isCompanion(r.cfg.Target.Host(), host):
		if port != "443" {
			return nil, refused("registries send their clients to other hosts over TLS's port only")
		}
		return r.companion(ctx, network, host, port)
	}
	return r.dial(ctx, network, address)
}

// loopback reports whether the target lies on the loopback interface, by its pinned addresses.
func (r *registryDial) loopback() bool {
	addrs := r.cfg.Addrs
	if a := r.cfg.Target.Addr(); a.IsValid() && len(addrs) == 0 {
		addrs = []netip.Addr{a}
	}
	return len(addrs) > 0 && !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.Unmap().IsLoopback() })
}

// companion connects to a host beside the registry's own, under the same rules as to a target of that name.
func (r *registryDial) companion(ctx context.Context, network, host, port string) (net.Conn, error) {
	target, err := asset.ParseTarget(host, asset.TypeHost)
	if err != nil {
		return nil, refused("the registry's other host has no plain name")
	}
	addrs, err := NewResolver(r.lookup).Resolve(ctx, target)
	if err != nil {
		return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "a host of the registry could not be resolved").Because(err)
	}
	cfg := r.cfg
	cfg.Target, cfg.Addrs = target, addrs
	return NewScanDialer(cfg).DialContext(ctx, network, net.JoinHostPort(host, port))
}

// isCompanion reports whether a registry is known to send its clients to host.
func isCompanion(registry, host string) bool {
	for _, c := range companions() {
		if named(registry, c.registry) && slices.ContainsFunc(c.hosts, func(pattern string) bool { return named(host, pattern) }) {
			return true
		}
	}
	return false
}

// named compares a host with a name, or with ".name", which stands for everything below it.
func named(host, pattern string) bool {
	if pattern[0] == '.' {
		return strings.HasSuffix(host, pattern) && len(host) > len(pattern)
	}
	return host == pattern
}

type companionHosts struct {
	registry string
	hosts    []string
}

// companions lists where public registries give tokens and keep layers, by their own firewall documentation.
func companions() []companionHosts {
	return []companionHosts{
		{"docker.io", []string{
			"index.docker.io", "registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com", "production.cloudfront.docker.com",
			".r2.cloudflarestorage.com",
		}},
		{"ghcr.io", []string{"pkg-containers.githubusercontent.com"}},
		{"quay.io", []string{"cdn.quay.io", "cdn01.quay.io", "cdn02.quay.io", "cdn03.quay.io", "cdn04.quay.io", "cdn05.quay.io", "cdn06.quay.io"}},
		{"mcr.microsoft.com", []string{".data.mcr.microsoft.com"}},
		{".azurecr.io", []string{".azurecr.io", ".blob.core.windows.net"}},
		{"gcr.io", []string{"storage.googleapis.com"}},
		{".gcr.io", []string{"storage.googleapis.com"}},
		{".pkg.dev", []string{"storage.googleapis.com"}},
		{"registry.k8s.io", []string{".pkg.dev", "storage.googleapis.com", ".amazonaws.com"}},
		{"public.ecr.aws", []string{".cloudfront.net"}},
		{".amazonaws.com", []string{".amazonaws.com"}},
		{"registry.gitlab.com", []string{"gitlab.com", "cdn.registry.gitlab-static.net", "storage.googleapis.com"}},
		{"registry.access.redhat.com", []string{"access.redhat.com", "cdn.quay.io", "cdn01.quay.io", "cdn02.quay.io", "cdn03.quay.io", "cdn04.quay.io", "cdn05.quay.io", "cdn06.quay.io"}},
		{"registry.redhat.io", []string{"sso.redhat.com", "cdn.quay.io", "cdn01.quay.io", "cdn02.quay.io", "cdn03.quay.io", "cdn04.quay.io", "cdn05.quay.io", "cdn06.quay.io"}},
	}
}
