package asset_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

func scopeOf(t *testing.T, allow, deny []string) asset.Scope {
	t.Helper()
	rules := func(texts []string) []asset.Rule {
		var out []asset.Rule
		for _, text := range texts {
			out = append(out, asset.Rule{Value: text})
		}
		return out
	}
	s, err := asset.ParseScope(rules(allow), rules(deny))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func place(t *testing.T, host, rawURL, addr string) asset.Place {
	t.Helper()
	p := asset.Place{Host: host, Addr: netip.MustParseAddr(addr)}
	if rawURL != "" {
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		p.URL = u
	}
	return p
}

func TestScopePermitsWhatAnAllowRuleCovers(t *testing.T) {
	t.Parallel()
	s := scopeOf(t,
		[]string{"10.0.0.0/8", "2001:db8::/64", "example.org", "https://app.example.com/shop", "http://192.0.2.9:8080/"},
		[]string{"10.1.0.0/16", "secret.example.org", "https://app.example.com/shop/admin"})
	for _, c := range []struct {
		name      string
		host, url string
		addr      string
		want      bool
	}{
		{"address in an allowed network", "", "", "10.2.3.4", true},
		{"mapped form of it", "", "", "::ffff:10.2.3.4", true},
		{"address in a denied part", "", "", "10.1.3.4", false},
		{"mapped form of it", "", "", "::ffff:10.1.3.4", false},
		{"IPv6 in an allowed network", "", "", "2001:db8::9", true},
		{"address on no list", "", "", "192.0.2.1", false},
		{"allowed domain", "example.org", "", "192.0.2.1", true},
		{"below it", "a.b.example.org", "", "192.0.2.1", true},
		{"a name that only ends alike", "notexample.org", "", "192.0.2.1", false},
		{"a name that only begins alike", "example.org.evil.net", "", "192.0.2.1", false},
		{"denied below an allowed domain", "x.secret.example.org", "", "192.0.2.1", false},
		{"allowed domain that leads into a denied network", "example.org", "", "10.1.0.1", false},
		{"allowed domain that leads to metadata", "example.org", "", "169.254.169.254", false},
		{"URL under a prefix", "app.example.com", "https://app.example.com/shop/cart?x=1", "192.0.2.1", true},
		{"the prefix itself", "app.example.com", "https://app.example.com/shop", "192.0.2.1", true},
		{"a path that begins alike", "app.example.com", "https://app.example.com/shopping", "192.0.2.1", false},
		{"dot segments out of the prefix", "app.example.com", "https://app.example.com/shop/../other", "192.0.2.1", false},
		{"encoded dot segments out of the prefix", "app.example.com", "https://app.example.com/shop/%2e%2e/other", "192.0.2.1", false},
		{"dot segments into a denied prefix", "app.example.com", "https://app.example.com/shop/x/../admin", "192.0.2.1", false},
		{"encoded letters of a denied prefix", "app.example.com", "https://app.example.com/shop/%61dmin", "192.0.2.1", false},
		{"other scheme", "app.example.com", "http://app.example.com/shop", "192.0.2.1", false},
		{"other port", "app.example.com", "https://app.example.com:8443/shop", "192.0.2.1", false},
		{"no URL where only a URL is allowed", "app.example.com", "", "192.0.2.1", false},
		{"URL by address", "", "http://192.0.2.9:8080/x", "192.0.2.9", true},
	} {
		reason, got := s.Permits(place(t, c.host, c.url, c.addr))
		if got != c.want || got != (reason == "") {
			t.Errorf("%s: %v (%q), want %v", c.name, got, reason, c.want)
		}
	}
}

func TestScopeNeverPermitsBuiltInDenials(t *testing.T) {
	t.Parallel()
	all := scopeOf(t, []string{"0.0.0.0/0", "::/0", "example.org"}, nil)
	for _, addr := range []string{
		"0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "239.255.255.250",
		"ff02::1", "255.255.255.255", "240.0.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23",
		"fd20:ce::254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:a9fe:a9fe::1", "2001:0:1::1", "::169.254.169.254", "::ffff:0:a9fe:a9fe",
	} {
		for _, host := range []string{"", "example.org"} {
			if _, ok := all.Permits(place(t, host, "", addr)); ok {
				t.Errorf("%s (%q) is permitted", addr, host)
			}
		}
	}
	for _, addr := range []string{"127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd12::1", "8.8.8.8", "2606:4700::1"} {
		if reason, ok := all.Permits(place(t, "", "", addr)); !ok {
			t.Errorf("%s is refused: %s", addr, reason)
		}
	}
	if _, ok := all.Permits(asset.Place{Host: "example.org"}); ok {
		t.Error("a place without an address is permitted")
	}
	if _, ok := (asset.Scope{}).Permits(place(t, "example.org", "", "192.0.2.1")); ok {
		t.Error("an empty scope permits")
	}
}

func TestScopePermitsNetworksAsAWhole(t *testing.T) {
	t.Parallel()
	s := scopeOf(t,
		[]string{"10.0.0.0/23", "10.0.2.0/24", "10.0.3.0/25", "10.0.3.128/25", "192.0.2.0/25", "169.254.0.0/16", "127.0.0.0/8", "::1", "example.org"},
		[]string{"10.0.1.7"})
	for network, want := range map[string]bool{
		"10.0.0.0/24": true, "10.0.0.0/23": false, "10.0.1.0/29": false, "10.0.1.8/29": true, "10.0.2.0/23": true, "10.0.0.0/22": false,
		"10.0.2.0/22": false, "192.0.2.0/24": false, "192.0.2.0/25": true, "192.0.2.128/25": false, "169.254.169.0/24": false,
		"127.0.0.0/24": true, "::1/128": true, "::/120": false, "10.0.4.0/24": false,
	} {
		if reason, got := s.PermitsNetwork(netip.MustParsePrefix(network)); got != want {
			t.Errorf("%s: %v (%q), want %v", network, got, reason, want)
		}
	}
	if _, ok := s.PermitsNetwork(netip.Prefix{}); ok {
		t.Error("no network is permitted")
	}
}

func TestNetworkIsPermittedExactlyWhenAllItsAddressesAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		prefix := rapid.Custom(func(r *rapid.T) asset.Rule {
			bits := rapid.IntRange(20, 32).Draw(r, "bits")
			addr := netip.AddrFrom4([4]byte{10, 0, byte(rapid.IntRange(0, 3).Draw(r, "c")), byte(rapid.IntRange(0, 255).Draw(r, "d"))})
			return asset.Rule{Kind: asset.RuleCIDR, Value: netip.PrefixFrom(addr, bits).String()}
		})
		allow := rapid.SliceOfN(prefix, 0, 8).Draw(r, "allow")
		deny := rapid.SliceOfN(prefix, 0, 1).Draw(r, "deny")
		s, err := asset.ParseScope(allow, deny)
		if err != nil {
			r.Fatal(err)
		}
		network := netip.MustParsePrefix(prefix.Draw(r, "network").Value).Masked()
		want := true
		for a := network.Addr(); network.Contains(a) && want; a = a.Next() {
			_, want = s.Permits(asset.Place{Addr: a})
		}
		if reason, got := s.PermitsNetwork(network); got != want {
			r.Fatalf("%s: %v (%q), want %v", network, got, reason, want)
		}
	})
}

func TestParseScopeMakesRulesCanonical(t *testing.T) {
	t.Parallel()
	got, err := asset.ParseScope([]asset.Rule{
		{Value: "10.1.2.3/8"},
		{Kind: asset.RuleCIDR, Value: "192.0.2.7"},
		{Value: "::FFFF:192.0.2.7"},
		{Value: "Example.ORG."},
		{Value: "example.org"},
		{Value: "HTTPS://Example.org:443/App/../shop"},
		{Kind: asset.RuleDomain, Value: "bücher.example"},
		{Value: "::1"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := asset.Scope{Allow: []asset.Rule{
		{Kind: asset.RuleCIDR, Value: "10.0.0.0/8"},
		{Kind: asset.RuleCIDR, Value: "192.0.2.7/32"},
		{Kind: asset.RuleDomain, Value: "example.org"},
		{Kind: asset.RuleURL, Value: "https://example.org/shop"},
		{Kind: asset.RuleDomain, Value: "xn--bcher-kva.example"},
		{Kind: asset.RuleCIDR, Value: "::1/128"},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	again, err := asset.ParseScope(got.Allow, got.Deny)
	if err != nil || !again.Equal(got) {
		t.Errorf("canonical rules read back as %v (%v)", again, err)
	}
}

func TestParseScopeNamesEveryWrongRule(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "-x", "*.example.org", "10.0.0.0/33", "fe80::1%eth0", "http://user@example.org/", "ftp://example.org/", "https://example.org/?a=b",
		"127.1", "exa mple.org", "::ffff:10.0.0.0/104", "https://example.org/%2e%2e/x",
	} {
		_, err := asset.ParseScope([]asset.Rule{{Value: "example.org"}, {Value: value}}, nil)
		var f *fault.Error
		if !errors.As(err, &f) || len(f.Fields) != 1 || f.Fields[0].Location != "allow[1]" {
			t.Errorf("%q: %v, want a fault at allow[1]", value, err)
		}
		if len(value) > 4 && err != nil && strings.Contains(err.Error(), value) {
			t.Errorf("%q: the fault repeats the rule", value)
		}
	}
	if _, err := asset.ParseScope(nil, []asset.Rule{{Kind: "regexp", Value: "x"}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("unknown kind: %v", err)
	}
	if _, err := asset.ParseScope(make([]asset.Rule, asset.MaxRules+1), nil); fault.KindOf(err) != fault.Invalid {
		t.Errorf("too many rules: %v", err)
	}
	if _, err := asset.ParseRule(asset.Rule{Value: "10.0.0.0/8"}); err != nil {
		t.Errorf("a good rule: %v", err)
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "::1", "example.org", "https://example.org/a/../b", "*.x", "http://a@b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := asset.ParseRule(asset.Rule{Value: text})
		if err != nil {
			return
		}
		if again, err := asset.ParseRule(got); err != nil || again != got {
			t.Errorf("ParseRule(%q) = %v, which reads back as %v (%v)", text, got, again, err)
		}
	})
}

func BenchmarkPermitsNetwork(b *testing.B) {
	rules := make([]asset.Rule, 0, asset.MaxRules)
	for i := range asset.MaxRules {
		rules = append(rules, asset.Rule{Kind: asset.RuleCIDR, Value: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 128), byte(i * 2)}), 31).String()})
	}
	s := asset.Scope{Allow: rules, Deny: nil}
	network := netip.MustParsePrefix("10.0.0.0/22")
	for b.Loop() {
		s.PermitsNetwork(network)
	}
}

func TestNamesWithoutAddressNeedADomainRule(t *testing.T) {
	t.Parallel()
	s := scopeOf(t, []string{"0.0.0.0/0", "example.org", "https://app.example.com/"}, []string{"secret.example.org", "192.0.2.0/24", "https://b.example.org/x"})
	for name, want := range map[string]bool{
		"example.org": true, "mail.example.org": true, "b.example.org": true, "secret.example.org": false, "x.secret.example.org": false,
		"notexample.org": false, "app.example.com": false, "example.net": false, "": false,
	} {
		if reason, got := s.PermitsName(name); got != want || got != (reason == "") {
			t.Errorf("%q: %v (%q), want %v", name, got, reason, want)
		}
	}
	if _, ok := (asset.Scope{}).PermitsName("example.org"); ok {
		t.Error("an empty scope permits a name")
	}
}
