package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// hostileHosts are spellings of addresses that must not be reached by whoever may only reach public ones: each stands
// for loopback, private, link-local, metadata, shared, reserved, or hides one of these.
func hostileHosts() []string {
	return []string{
		// loopback, plain and in every base and length that inet_aton reads
		"127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "0x7f.0.0.1", "0x7f.1", "0x7f000001", "0X7F000001",
		"0177.0.0.1", "0177.1", "017700000001", "2130706433", "127.0.0.01", "127.000.000.001", "0x7f.0x0.0x0.0x1",
		"00000177.0.0.1", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.",
		"１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1",
		// IPv6 loopback and what embeds IPv4
		"[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:0001::1]",
		"[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[::ffff:0:127.0.0.1]", "[::1%25lo]", "[fe80::1%25eth0]",
		// unspecified
		"0.0.0.0", "0", "0x0", "00", "[::]", "[::ffff:0.0.0.0]", "0.1.2.3",
		// private, shared, link-local
		"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255", "3232235521",
		"0xc0a80001", "100.64.0.1", "100.127.255.254", "169.254.0.1", "[::ffff:10.0.0.1]", "[::ffff:192.168.0.1]", "[fc00::1]",
		"[fd12:3456:789a::1]", "[fe80::1]", "[febf::1]", "[fec0::1]",
		// cloud metadata
		"169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:169.254.169.254]",
		"[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200", "192.0.0.192",
		"168.63.129.16", "169.254.170.2",
		// the rest of the special-purpose registries
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255", "[ff02::1]", "[100::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[2001:2::1]", "192.88.99.1",
	}
}

// counted returns a connectFunc that counts attempts and never connects.
func counted(n *atomic.Int64) connectFunc {
	return func(context.Context, netip.AddrPort, time.Duration) (net.Conn, error) {
		n.Add(1)
		return nil, errors.New("a packet would have left")
	}
}

// cgo answers as the C library's resolver does, which reads every inet_aton form as an address.
type cgo struct{ addr netip.Addr }

func (c cgo) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{c.addr}, nil
}

func TestHostileSpellingsSendNothingFromTransport(t *testing.T) {
	if n := len(hostileHosts()); n < 60 {
		t.Fatalf("the table holds %d spellings, want at least 60", n)
	}
	var attempts atomic.Int64
	tr := newTransport(TransportConfig{Lookup: cgo{netip.MustParseAddr("127.0.0.1")}}, counted(&attempts))
	for _, scheme := range []string{"http", "https"} {
		for _, host := range hostileHosts() {
			for _, port := range []string{"", ":8080"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+host+port+"/hook", nil)
				if err != nil {
					continue // net/url refuses the spelling: nothing to send
				}
				if resp, err := tr.RoundTrip(req); err == nil {
					_ = resp.Body.Close()
					t.Errorf("%s://%s answered", scheme, host)
				} else if k := fault.KindOf(err); k != fault.Forbidden {
					t.Errorf("%s://%s: kind %v, want forbidden: %v", scheme, host, k, err)
				}
			}
		}
	}
	if n := attempts.Load(); n != 0 {
		t.Errorf("%d connection attempts, want 0", n)
	}
}

func TestHostileSpellingsSendNothingFromScanDialer(t *testing.T) {
	var attempts atomic.Int64
	target, err := asset.ParseTarget("shop.example.org", asset.TypeHost)
	if err != nil {
		t.Fatal(err)
	}
	everything := asset.Scope{Allow: []asset.Rule{
		{Kind: asset.RuleCIDR, Value: "0.0.0.0/0"}, {Kind: asset.RuleCIDR, Value: "::/0"}, {Kind: asset.RuleDomain, Value: "org"},
	}}
	d := NewScanDialer(ScanConfig{Target: target, Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.7")}, Scope: everything})
	d.connect = counted(&attempts)
	for _, host := range append(hostileHosts(), "www.shop.example.org", "example.org", "", "8.8.8.8", "[2606:4700::1111]") {
		if host == "198.51.100.7" {
			continue
		}
		conn, err := d.DialContext(t.Context(), "tcp", host+":80")
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s connected", host)
		} else if k := fault.KindOf(err); k != fault.Forbidden {
			t.Errorf("%s: kind %v, want forbidden: %v", host, k, err)
		}
	}
	for _, bad := range []struct{ network, address string }{
		{"udp", "198.51.100.7:80"},
		{"unix", "/run/docker.sock"},
		{"tcp", "198.51.100.7:http"},
		{"tcp", "198.51.100.7:0"},
		{"tcp", "198.51.100.7:65536"},
		{"tcp", "198.51.100.7:-1"},
		{"tcp", "198.51.100.7"},
		{"ip", "198.51.100.7:1"},
	} {
		if _, err := d.DialContext(t.Context(), bad.network, bad.address); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s %s: %v, want forbidden", bad.network, bad.address, err)
		}
	}
	if n := attempts.Load(); n != 0 {
		t.Errorf("%d connection attempts, want 0", n)
	}
}

// TestNeverTargetsAreRefusedWithinAnyScope pins addresses that a hostile name may resolve to.
func TestNeverTargetsAreRefusedWithinAnyScope(t *testing.T) {
	var attempts atomic.Int64
	target, _ := asset.ParseTarget("shop.example.org", asset.TypeHost)
	scope := asset.Scope{Allow: []asset.Rule{
		{Kind: asset.RuleCIDR, Value: "0.0.0.0/0"},
		{Kind: asset.RuleCIDR, Value: "::/0"},
		{Kind: asset.RuleDomain, Value: "example.org"},
	}}
	for _, a := range []string{
		"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "100.100.100.200",
		"fe80::1", "224.0.0.1", "0.0.0.0", "::", "255.255.255.255", "2002:a9fe:a9fe::1", "::169.254.169.254",
	} {
		d := NewScanDialer(ScanConfig{
			Target: target, Scope: scope,
			Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr(a)},
		})
		d.connect = counted(&attempts)
		if _, err := d.DialContext(t.Context(), "tcp", "shop.example.org:80"); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v, want forbidden", a, err)
		}
	}
	if n := attempts.Load(); n != 0 {
		t.Errorf("%d connection attempts, want 0", n)
	}
}

// sentinel listens on loopback and counts the connections that reach it.
func sentinel(t *testing.T) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return netip.MustParseAddrPort(l.Addr().String()), &n
}

func TestScanDialerReachesItsTargetAndNothingOfOurs(t *testing.T) {
	own, ownHits := sentinel(t)
	want, hits := sentinel(t)
	target, _ := asset.ParseTarget("127.0.0.0/24", asset.TypeNetwork)
	for _, listener := range []netip.AddrPort{
		own, netip.AddrPortFrom(netip.IPv4Unspecified(), own.Port()),
		netip.AddrPortFrom(netip.IPv6Unspecified(), own.Port()),
	} {
		excluded, err := Listeners([]netip.AddrPort{listener})
		if err != nil {
			t.Fatal(err)
		}
		d := NewScanDialer(ScanConfig{
			Target: target, Excluded: excluded,
			Scope: asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleCIDR, Value: "127.0.0.0/8"}}},
		})
		if _, err := d.DialContext(t.Context(), "tcp", own.String()); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("own listener %v: %v, want forbidden", listener, err)
		}
		if _, err := d.DialContext(t.Context(), "tcp", "127.0.1.1:80"); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("outside of the network: %v, want forbidden", err)
		}
		conn, err := d.DialContext(t.Context(), "tcp", want.String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 1)) // returns when the listener has counted and closed
		_ = conn.Close()
	}
	if ownHits.Load() != 0 || hits.Load() != 3 {
		t.Errorf("own listener hit %d times, target %d; want 0 and 3", ownHits.Load(), hits.Load())
	}
}

func TestURLRuleSpeaksForItsOwnPort(t *testing.T) {
	var attempts atomic.Int64
	target, _ := asset.ParseTarget("http://shop.example.org:8080/app", asset.TypeURL)
	d := NewScanDialer(ScanConfig{
		Target: target, Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.7")},
		Scope: asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleURL, Value: "http://shop.example.org:8080/app"}}},
	})
	d.connect = counted(&attempts)
	if _, err := d.DialContext(t.Context(), "tcp", "shop.example.org:8080"); fault.KindOf(err) == fault.Forbidden {
		t.Errorf("the target's own port: %v", err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "shop.example.org:22"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("another port: %v, want forbidden", err)
	}
	if attempts.Load() != 1 {
		t.Errorf("%d attempts, want 1", attempts.Load())
	}
}

func TestConnectRefusesAnotherAddressThanTheCheckedOne(t *testing.T) {
	at, hits := sentinel(t)
	// A mapped spelling reaches the kernel as another family; the control hook compares the unmapped form.
	conn, err := connect(t.Context(), at, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1))
	_ = conn.Close()
	if hits.Load() != 1 {
		t.Errorf("%d connections, want 1", hits.Load())
	}
}

// rebinder is a DNS server that gives another answer to every question.
func rebinder(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var asked int
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(answers[asked%len(answers)]).As4()},
				}}
				asked++
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = pc.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestRebindingNeverReachesTheSentinel(t *testing.T) {
	forbidden, hits := sentinel(t)
	resolver := rebinder(t, "127.0.0.2", "127.0.0.1") // the first answer is allowed, the second isn't
	const rounds = 1000
	t.Run("transport", func(t *testing.T) {
		var allowed atomic.Int64
		tr := newTransport(TransportConfig{Lookup: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}},
			func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
				if to.Addr() != netip.MustParseAddr("127.0.0.2") {
					return connect(ctx, to, timeout) // the sentinel would count it
				}
				allowed.Add(1)
				return nil, errors.New("the allowed address has no listener")
			})
		g := guard{
			cfg: TransportConfig{Lookup: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}},
			connect: func(context.Context, netip.AddrPort, time.Duration) (net.Conn, error) {
				allowed.Add(1)
				return nil, errors.New("the allowed address has no listener")
			},
		}
		address := netip.AddrPortFrom(forbidden.Addr(), forbidden.Port())
		var refusals int
		for range rounds {
			_, err := g.dial(t.Context(), "tcp", net.JoinHostPort("rebind.example.org", "8443"))
			if fault.KindOf(err) == fault.Forbidden {
				refusals++
			}
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://rebind.example.org:"+portOf(address)+"/", nil)
		if resp, err := tr.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Error("the rebound name answered")
		}
		if refusals != rounds/2 || allowed.Load() < rounds/2 {
			t.Errorf("%d refusals and %d allowed attempts of %d rounds, want half each", refusals, allowed.Load(), rounds)
		}
	})
	t.Run("scan", func(t *testing.T) {
		target, _ := asset.ParseTarget("rebind.example.org", asset.TypeHost)
		var addrs []netip.Addr
		for addrs == nil || addrs[0] != netip.MustParseAddr("127.0.0.2") {
			var err error
			if addrs, err = NewResolver(resolver).Resolve(t.Context(), target); err != nil {
				t.Fatal(err)
			}
		}
		d := NewScanDialer(ScanConfig{
			Target: target, Addrs: addrs, Timeout: time.Second,
			Scope: asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleCIDR, Value: "127.0.0.0/8"}}},
		})
		for range rounds {
			if conn, err := d.DialContext(t.Context(), "tcp", "rebind.example.org:"+portOf(forbidden)); err == nil {
				_ = conn.Close()
				t.Fatal("the pinned address has no listener, yet something answered")
			}
		}
	})
	if n := hits.Load(); n != 0 {
		t.Errorf("%d connections at the sentinel, want 0", n)
	}
}

func portOf(a netip.AddrPort) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}
