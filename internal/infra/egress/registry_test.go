package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// book answers look-ups from a list.
type book map[string]string

func (b book) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := b[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func imageTarget(t *testing.T, ref string) asset.Target {
	t.Helper()
	target, err := asset.ParseTarget(ref, asset.TypeImage)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestAPullReachesARegistrysOtherHostsOnlyWhereTheScopeAllowsThem(t *testing.T) {
	t.Parallel()
	own := errors.New("the scan's own dialer was asked")
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, own }
	scope := func(rules ...string) asset.Scope {
		var s asset.Scope
		for _, r := range rules {
			s.Allow = append(s.Allow, asset.Rule{Kind: asset.RuleDomain, Value: r})
		}
		return s
	}
	names := book{"auth.docker.io": "192.0.2.1", "production.cloudflare.docker.com": "192.0.2.2", "pkg-containers.githubusercontent.com": "169.254.169.254"}
	for _, c := range []struct {
		image, to string
		scope     asset.Scope
		own       bool // the scan's dialer decides
		refused   bool
	}{
		{image: "alpine:3", to: "docker.io:443", own: true},
		{image: "alpine:3", to: "evil.example.org:443", scope: scope("evil.example.org"), own: true},
		{image: "alpine:3", to: "production.cloudflare.docker.com:443", scope: scope("docker.io"), refused: true},
		{image: "alpine:3", to: "auth.docker.io:80", scope: scope("docker.io"), refused: true},
		{image: "ghcr.io/a/b:1", to: "auth.docker.io:443", scope: scope("docker.io"), own: true},
		{image: "ghcr.io/a/b:1", to: "pkg-containers.githubusercontent.com:443", scope: scope("githubusercontent.com"), refused: true}, // a metadata address
		{image: "registry.example.org/a:1", to: engine.LoopbackName + ":5000", own: true},
	} {
		d := egress.NewRegistryDial(egress.ScanConfig{Target: imageTarget(t, c.image), Scope: c.scope}, names, dial)
		_, err := d(t.Context(), "tcp", c.to)
		if errors.Is(err, own) != c.own || (fault.KindOf(err) == fault.Forbidden) != c.refused {
			t.Errorf("%s to %s: %v", c.image, c.to, err)
		}
	}
}

func TestARegistryOnLoopbackGoesByASecondName(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "registry")
			_ = c.Close()
		}
	}()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP listener")
	}
	port := strconv.Itoa(addr.Port)
	cfg := egress.ScanConfig{Target: imageTarget(t, "127.0.0.1:"+port+"/shop:1"), Scope: asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleCIDR, Value: "127.0.0.0/8"}}}}
	dial := egress.NewRegistryDial(cfg, book{}, egress.NewScanDialer(cfg).DialContext)
	c, err := dial(t.Context(), "tcp", engine.LoopbackName+":"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got, err := io.ReadAll(c); string(got) != "registry" {
		t.Errorf("%q, %v", got, err)
	}
}
