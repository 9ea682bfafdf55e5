package egress_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/word/fault"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// loopback is a transport that the operator lets reach this host.
func loopback(t *testing.T) *egress.Transport {
	t.Helper()
	out := egress.NewTransport(egress.TransportConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(out.CloseIdleConnections)
	return out
}

func TestSourcesAreAskedAtTheirMirrors(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host + r.URL.String()
		_, _ = io.WriteString(w, "names")
	}))
	t.Cleanup(server.Close)
	crt, mirror := mustURL(t, "https://crt.example/api"), mustURL(t, server.URL+"/ct/")
	to := egress.NewSources(egress.NewMirrored(loopback(t), []egress.Source{{Public: crt, Asked: mirror}}), crt)
	client := http.Client{Transport: to}
	for given, want := range map[string]string{
		"https://crt.example/api":              "/ct/",
		"https://crt.example/api/a%20b?q=%25x": "/ct/a%20b?q=%25x",
		"https://CRT.example/api/x":            "/ct/x",
	} {
		resp, err := client.Get(given)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		_ = resp.Body.Close()
		if got := <-asked; got != mirror.Host+want {
			t.Errorf("%s was asked as %s", given, got)
		}
	}
	for _, other := range []string{"https://crt.example/other", "https://crt.example/api/../other", "http://crt.example/api", "https://crt.example:8443/api", "https://other.example/api"} {
		if resp, err := client.Get(other); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", other, err)
			if err == nil {
				_ = resp.Body.Close()
			}
		}
	}
}

func TestProgramsReachTheirSourcesAndNobodyElse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	t.Cleanup(server.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	here := mustURL(t, server.URL)
	sources := []egress.Source{
		{Public: mustURL(t, "https://crt.example"), Asked: here},
		{Public: mustURL(t, "https://private.example"), Asked: mustURL(t, "https://10.0.0.7")},
		{Public: mustURL(t, "https://meta.example"), Asked: mustURL(t, "https://169.254.169.254")},
	}
	dial := egress.NewSourceDialer(loopback(t), sources)
	for address, want := range map[string]bool{
		"crt.example:443": true, "CRT.example.:443": true, "crt.example:80": false, "crt.example:8443": false, "xcrt.example:443": false,
		"crt.example.evil.net:443": false, here.Host: false, strings.TrimPrefix(other.URL, "http://"): false, "private.example:443": false,
		"meta.example:443": false, "crt.example": false, "127.0.0.1:443": false, "": false,
	} {
		conn, err := dial.DialContext(t.Context(), "tcp", address)
		if (err == nil) != want {
			t.Errorf("%q: %v, want a connection: %v", address, err, want)
		}
		if err == nil {
			_ = conn.Close()
		} else if fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%q: %v isn't the policy's word", address, err)
		}
	}
	if !dial.Knows("crt.example:443") || dial.Knows("crt.example:80") {
		t.Error("Knows doesn't say what DialContext takes")
	}
	// Without the operator's word not even a source's own name leads to a private place.
	strict := egress.NewTransport(egress.TransportConfig{})
	if _, err := egress.NewSourceDialer(strict, sources).DialContext(t.Context(), "tcp", "crt.example:443"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("loopback without egress_allow: %v", err)
	}
}

func TestProxyOfSourcesTunnelsToThemOnly(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	t.Cleanup(server.Close)
	dial := egress.NewSourceDialer(loopback(t), []egress.Source{{Public: mustURL(t, "https://crt.example"), Asked: mustURL(t, server.URL)}})
	proxy := egress.NewProxy(dial.DialContext, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = proxy.Serve(l) }()
	t.Cleanup(func() { _ = proxy.Close() })
	for line, want := range map[string]int{
		"CONNECT crt.example:443 HTTP/1.1\r\nHost: crt.example:443\r\n\r\n":     http.StatusOK,
		"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n": http.StatusForbidden,
		"GET http://crt.example/ HTTP/1.1\r\nHost: crt.example\r\n\r\n":         http.StatusForbidden,
		"GET " + server.URL + "/ HTTP/1.1\r\nHost: x\r\n\r\n":                   http.StatusForbidden,
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(line)[0]})
		if err != nil || resp.StatusCode != want {
			t.Errorf("%q: %+v, %v; want %d", line, resp, err, want)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}

func TestLookupAtAsksTheGivenServers(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if q.Question[0].Name == "www.example.org." && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 9)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	got, err := egress.LookupAt([]netip.AddrPort{at}).LookupNetIP(t.Context(), "ip4", "www.example.org")
	if err != nil || len(got) != 1 || got[0].Unmap() != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("%v, %v", got, err)
	}
	if egress.LookupAt(nil) != net.DefaultResolver {
		t.Error("without servers it isn't the system's")
	}
}
