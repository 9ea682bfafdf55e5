package phase_test

import (
	"net/netip"
	"strings"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/testkit"
)

func target(tb testing.TB, text string, typ asset.TargetType) asset.Target {
	tb.Helper()
	t, err := asset.ParseTarget(text, typ)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// extents are orders of each kind.
func extents(tb testing.TB) []phase.Extent {
	tb.Helper()
	addr := []netip.Addr{netip.MustParseAddr("192.0.2.80")}
	return []phase.Extent{
		{Root: target(tb, "192.0.2.7", asset.TypeIP), Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}},
		{Root: target(tb, "example.org", asset.TypeHost), Addrs: addr},
		{Root: target(tb, "example.org", asset.TypeDomain), Addrs: addr},
		{Root: target(tb, "192.0.2.0/28", asset.TypeNetwork)},
		{Root: target(tb, "http://example.org:8080/app/", asset.TypeURL), Addrs: addr},
		{Root: target(tb, "https://192.0.2.7/app/?id=1", asset.TypeURL)},
		{Root: target(tb, "registry.example.org/app:1", asset.TypeImage), Addrs: addr},
	}
}

// FuzzTheScopeIsNeverWidened feeds what a hostile target or engine may say: whatever comes out lies within the order.
func FuzzTheScopeIsNeverWidened(f *testing.F) {
	for _, seed := range []string{
		"http://192.0.2.7:8080/?id=1", "http://evil.test/", "http://192.0.2.7@evil.test/", "http://evil.test#@192.0.2.7/", "//evil.test/",
		"http://192.0.2.7.evil.test/", "http://[::ffff:192.0.2.7]/", "http://0300.0.2.7/", "http://3221225991/", "http://example.org:8080/app/../other?x=1",
		"http://example.org:8080/app/..%2fother?x=1", "http://shop.example.org/", "http://example.org.evil.test/", "http://EXAMPLE.org:8080/app/x?y=--os-shell",
		"192.0.2.7:80/tcp", "evil.test:80/tcp", "192.0.2.99:443/tcp", "a\r\nb", "http://169.254.169.254/latest/?a=b", "http://127.0.0.1/?a=b", "-oX",
	} {
		f.Add(seed, seed, "id", "http")
	}
	f.Fuzz(func(t *testing.T, url, name, parameter, service string) {
		for _, e := range extents(t) {
			feed := phase.NewFeed(e)
			feed.Result(scan.Result{Finding: finding.Finding{Observation: finding.Observation{Location: finding.Location{URL: url, Host: name, Parameter: parameter}}}})
			for _, kind := range asset.Kinds() {
				feed.Asset(asset.Observation{Kind: kind, Name: name, Attributes: []byte(`{"service":"` + strings.ToValidUTF8(service, "") + `","tls":"true"}`)})
				feed.Asset(asset.Observation{Kind: kind, Name: url, Attributes: []byte(`{"service":"http"}`)})
			}
			for _, text := range append(feed.Origins, feed.Pages...) {
				within(t, e, text, asset.TypeURL)
			}
			for _, text := range feed.Names {
				within(t, e, text, asset.TypeDomain)
			}
		}
	})
}

// within checks a target by other means than the feed does.
func within(t *testing.T, e phase.Extent, text string, typ asset.TargetType) {
	t.Helper()
	got, err := asset.ParseTarget(text, typ)
	if err != nil || got.String() != text {
		t.Fatalf("%q is no canonical target (%v)", text, err)
	}
	root := e.Root
	ok := false
	switch root.Type() {
	case asset.TypeIP:
		ok = got.Addr() == root.Addr()
	case asset.TypeHost:
		ok = got.Host() == root.Host()
	case asset.TypeDomain:
		ok = got.Host() == root.Host() || strings.HasSuffix(got.Host(), "."+root.Host())
	case asset.TypeNetwork:
		ok = got.Addr().IsValid() && root.Network().Contains(got.Addr())
	case asset.TypeURL:
		ok = got.Host() == root.Host() && got.Addr() == root.Addr() && got.Port() == root.Port() &&
			got.URL().Scheme == root.URL().Scheme && strings.HasPrefix(got.URL().Path, "/app/")
	case asset.TypeImage, asset.TypeRepository, asset.TypeFilesystem:
	}
	if !ok {
		t.Fatalf("%s leads out of %s", text, root)
	}
}

func TestResultsNeverLeadElsewhere(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	h.answers = func(string, engine.Request) answer {
		var a answer
		// All of them within the organization's scope, none within the order.
		for _, host := range []string{"192.0.2.99", "198.51.100.1", "elsewhere.test", "shop.example.org"} {
			a.items = append(a.items, web(host, 80), flaw("x:redirect", 601, finding.High, finding.Location{Host: host, Port: 80, URL: "http://" + host + "/?a=b", Parameter: "a"}),
				engine.Item{Asset: &asset.Observation{Kind: asset.KindURL, Name: "http://" + host + "/?c=d"}})
		}
		return a
	}
	s := h.submit(order("192.0.2.7"))
	h.finish(s.ID)
	for _, c := range h.children(s.ID) {
		if c.Target != "192.0.2.7" {
			t.Errorf("%s looks at %s", c.Engine, c.Target)
		}
	}

	// What lies within the order and has left the scope since isn't looked at either.
	h.answers = shop
	s = h.submit(order("192.0.2.7"))
	h.look()
	for _, j := range h.admit() {
		h.run(j)
	}
	h.scope(asset.Rule{Value: "198.51.100.0/24"})
	h.finish(s.ID)
	if got := h.children(s.ID); len(got) != 2 {
		t.Errorf("children out of scope: %v", told(got))
	}
	var told bool
	for _, l := range h.looked(s.ID).Targets {
		told = told || (l.State == engine.LookSkipped && strings.Contains(l.Target, "8080"))
	}
	if !told {
		t.Errorf("nothing says that they were left out: %+v", h.looked(s.ID).Targets)
	}
}
