package scan_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/fault"
)

// answers is a Resolver that knows one answer.
type answers struct {
	addrs []netip.Addr
	err   error
}

func (a answers) Resolve(context.Context, asset.Target) ([]netip.Addr, error) { return a.addrs, a.err }

func TestDomainsWithoutAddressPassByTheirNameOnly(t *testing.T) {
	t.Parallel()
	scope, err := asset.ParseScope([]asset.Rule{{Value: "example.org"}, {Value: "192.0.2.0/24"}}, []asset.Rule{{Value: "secret.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	none := fault.Wrong("target", "has no address in the DNS")
	forbidden := fault.New(fault.Forbidden, fault.CodeTargetForbidden, "")
	for _, c := range []struct {
		name    string
		target  string
		typ     asset.TargetType
		answers answers
		want    error // nil = it passes
	}{
		{"an allowed domain", "example.org", asset.TypeDomain, answers{err: none}, nil},
		{"an empty answer", "mail.example.org", asset.TypeDomain, answers{}, nil},
		{"a denied domain", "secret.example.org", asset.TypeDomain, answers{err: none}, forbidden},
		{"a domain on no list", "example.net", asset.TypeDomain, answers{err: none}, forbidden},
		{"a host is no domain", "example.org", asset.TypeHost, answers{err: none}, none},
		{"a URL is no domain", "https://example.org/", asset.TypeURL, answers{err: none}, none},
		{"a resolver that doesn't answer", "example.org", asset.TypeDomain, answers{err: fault.New(fault.Unavailable, fault.CodeUnavailable, "")}, fault.New(fault.Unavailable, fault.CodeUnavailable, "")},
		{"an allowed domain at a forbidden address", "example.org", asset.TypeDomain, answers{addrs: []netip.Addr{netip.MustParseAddr("169.254.169.254")}}, forbidden},
		{"a domain that only its address allows", "example.net", asset.TypeDomain, answers{addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}, nil},
	} {
		target, err := asset.ParseTarget(c.target, c.typ)
		if err != nil {
			t.Fatal(err)
		}
		gate := scan.Gate{Resolver: c.answers, Listeners: func() ([]netip.AddrPort, error) { return nil, nil }}
		reach, err := gate.Open(t.Context(), target, scope)
		if (c.want == nil) != (err == nil) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && len(reach.Addrs) != len(c.answers.addrs) {
			t.Errorf("%s: reaches %v", c.name, reach.Addrs)
		}
	}
}
