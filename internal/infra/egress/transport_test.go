package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

func TestPublicOnlyAllowsByPrefix(t *testing.T) {
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		addr  string
		allow []netip.Prefix
		want  bool
	}{
		{"public IPv4", "8.8.8.8", nil, true},
		{"public IPv4 in mapped form", "::ffff:8.8.8.8", nil, true},
		{"public IPv6", "2606:4700:4700::1111", nil, true},
		{"last address before a private range", "172.15.255.255", nil, true},
		{"first address after a private range", "172.32.0.0", nil, true},
		{"last address before the shared range", "100.63.255.255", nil, true},
		{"first address after the shared range", "100.128.0.0", nil, true},
		{"private within an allowed prefix", "10.1.2.3", prefixes("10.0.0.0/8"), true},
		{"private outside of the allowed prefix", "10.1.2.3", prefixes("10.2.0.0/16"), false},
		{"mapped private within an allowed prefix", "::ffff:10.1.2.3", prefixes("10.0.0.0/8"), true},
		{"loopback allowed", "127.0.0.1", prefixes("127.0.0.0/8"), true},
		{"IPv6 loopback allowed", "::1", prefixes("::1/128"), true},
		{"metadata under a broad allow", "169.254.169.254", prefixes("0.0.0.0/0"), false},
		{"metadata under its own allow", "169.254.169.254", prefixes("169.254.169.254/32"), true},
		{"IPv6 metadata under a broad allow", "fd00:ec2::254", prefixes("fd00::/8"), false},
		{"NAT64 under a broad allow", "64:ff9b::7f00:1", prefixes("::/0"), false},
		{"unspecified under its own allow", "0.0.0.0", prefixes("0.0.0.0/32"), false},
		{"multicast under its own allow", "224.0.0.1", prefixes("224.0.0.1/32"), false},
		{"zone", "fe80::1%eth0", prefixes("fe80::/10"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if why, ok := publicOnly(netip.MustParseAddr(tc.addr), tc.allow); ok != tc.want {
				t.Errorf("publicOnly = %v (%s), want %v", ok, why, tc.want)
			}
		})
	}
}

func TestTransportDeliversToAllowedReceiversOnly(t *testing.T) {
	var hits atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}
	})
	secure, plain := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	defer secure.Close()
	defer plain.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	allow := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	own := netip.MustParseAddrPort(plain.Listener.Addr().String())
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")

	status := func(cfg TransportConfig, url string) (int, error) {
		cfg.Roots = roots
		tr := NewTransport(cfg)
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		resp, err := tr.Client(5 * time.Second).Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	for _, tc := range []struct {
		name string
		cfg  TransportConfig
		url  string
		want int // 0 = refused by the policy
	}{
		{"https, allowed", TransportConfig{Allow: allow}, secure.URL, 200},
		{"http, allowed", TransportConfig{Allow: allow}, plain.URL, 200},
		{"redirect is handed over", TransportConfig{Allow: allow}, plain.URL + "/moved", 302},
		{"https, not allowed", TransportConfig{}, secure.URL, 0},
		{"http, not allowed", TransportConfig{}, plain.URL, 0},
		{"http to a public address", TransportConfig{Allow: allow}, "http://8.8.8.8/", 0},
		{"own listener, though allowed", TransportConfig{Allow: allow, Excluded: []netip.AddrPort{own}}, plain.URL, 0},
		{"userinfo", TransportConfig{Allow: allow}, strings.Replace(plain.URL, "//", "//user:pass@", 1), 0},
		{"other scheme", TransportConfig{Allow: allow}, "ftp://127.0.0.1/", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := hits.Load()
			got, err := status(tc.cfg, tc.url)
			if got != tc.want {
				t.Errorf("status %d (%v), want %d", got, err, tc.want)
			}
			if tc.want == 0 && (fault.KindOf(err) != fault.Forbidden || hits.Load() != before) {
				t.Errorf("error %v with %d requests received; want a forbidden fault and none", err, hits.Load()-before)
			}
		})
	}
}

func TestResolveIsBoundedAndClassifiesFailures(t *testing.T) {
	name, _ := asset.ParseTarget("many.example.org", asset.TypeHost)
	many := rebinder(t, "192.0.2.1")
	got, err := NewResolver(many).Resolve(t.Context(), name)
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("Resolve = %v, %v", got, err)
	}
	var list listed
	for i := range 40 {
		list.addrs = append(list.addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(40 - i)}), netip.AddrFrom4([4]byte{192, 0, 2, 1}))
	}
	got, err = NewResolver(&list).Resolve(t.Context(), name)
	if err != nil || len(got) != MaxAddrs || got[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("Resolve = %v, %v; want %d ascending", got, err, MaxAddrs)
	}
	ip, _ := asset.ParseTarget("192.0.2.9", asset.TypeIP)
	if got, err = NewResolver(&listed{err: errors.New("must not be asked")}).Resolve(t.Context(), ip); err != nil || len(got) != 1 {
		t.Errorf("Resolve of an address = %v, %v", got, err)
	}
	network, _ := asset.ParseTarget("192.0.2.0/24", asset.TypeNetwork)
	if got, err = NewResolver(nil).Resolve(t.Context(), network); err != nil || got != nil {
		t.Errorf("Resolve of a network = %v, %v", got, err)
	}
	image, _ := asset.ParseTarget("registry.example.org/shop:1", asset.TypeImage)
	if got, err = NewResolver(&list).Resolve(t.Context(), image); err != nil || len(got) != MaxAddrs {
		t.Errorf("Resolve of an image's registry = %v, %v", got, err)
	}
	folder, _ := asset.ParseTarget("/srv/shop", asset.TypeFilesystem)
	if _, err = NewResolver(nil).Resolve(t.Context(), folder); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("Resolve of a folder: %v, want unsupported", err)
	}
	if _, err = NewResolver(&listed{err: errors.New("SERVFAIL")}).Resolve(t.Context(), name); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a failing resolver: %v, want unavailable", err)
	}
	if _, err = NewResolver(&listed{}).Resolve(t.Context(), name); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no addresses: %v, want invalid", err)
	}
}

type listed struct {
	addrs []netip.Addr
	err   error
}

func (l *listed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return l.addrs, l.err
}
