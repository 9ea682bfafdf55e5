package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

// proxied returns a proxy before the dialer of a scan of the target, and a client that goes through it.
func proxied(t *testing.T, target *url.URL) (*Proxy, string, *http.Client) {
	t.Helper()
	parsed, err := asset.ParseTarget(target.String(), asset.TypeURL)
	if err != nil {
		t.Fatal(err)
	}
	scope, err := asset.ParseScope([]asset.Rule{{Value: "127.0.0.1/32"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := NewScanDialer(ScanConfig{
		Target: parsed, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Scope: scope,
		Excluded: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}, Site: true,
	})
	p := NewProxy(dialer.DialContext, slog.New(slog.DiscardHandler))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	at := &url.URL{Scheme: "http", Host: l.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return p, l.Addr().String(), &http.Client{Transport: tr, CheckRedirect: NoRedirects}
}

func get(t *testing.T, c *http.Client, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestProgramsReachTheirTargetByTheProxyOnly(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Answer", "1")
		_, _ = fmt.Fprintf(w, "%s %s host=%s agent=%q via=%q forwarded=%q", r.Method, r.RequestURI, r.Host, r.Header.Values("User-Agent"), r.Header.Get("Via"), r.Header.Get("X-Forwarded-For"))
	})
	plain, secure := httptest.NewServer(echo), httptest.NewTLSServer(echo)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	at, err := url.Parse(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, _, c := proxied(t, at)

	status, body := get(t, c, plain.URL+"/a/../b//c?d=%27")
	want := fmt.Sprintf(`GET /a/../b//c?d=%%27 host=%s agent=["Go-http-client/1.1"] via="" forwarded=""`, at.Host)
	if status != http.StatusOK || body != want {
		t.Errorf("plain: %d %s\nwant %s", status, body, want)
	}
	at.Host = secure.Listener.Addr().String()
	_, _, tunnelled := proxied(t, at)
	if status, body = get(t, tunnelled, secure.URL+"/x"); status != http.StatusOK || !strings.HasPrefix(body, "GET /x") {
		t.Errorf("by CONNECT: %d %s", status, body)
	}
	for _, address := range []string{"http://127.0.0.2:80/", "http://169.254.169.254/", "http://other.example.org/", "http://127.0.0.1:9/", secure.URL} {
		if status, body = get(t, c, address); status != http.StatusForbidden && !strings.Contains(body, "Forbidden") {
			t.Errorf("%s answered %d %s", address, status, body)
		}
	}
	if _, body = get(t, c, "https://127.0.0.2/"); !strings.Contains(body, "Forbidden") {
		t.Errorf("CONNECT to another address: %s", body)
	}
	_, _, deserted := proxied(t, &url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	if status, _ = get(t, deserted, "http://127.0.0.1:1/"); status != http.StatusBadGateway {
		t.Errorf("a port where nobody listens answered %d", status)
	}
}

func TestTheProxyTakesNothingButProxyRequests(t *testing.T) {
	t.Parallel()
	_, proxy, _ := proxied(t, &url.URL{Scheme: "http", Host: "127.0.0.1:80"})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
		"GET ftp://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
		"GET https://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q answered %d", request, resp.StatusCode)
		}
		_ = resp.Body.Close()
		_ = conn.Close()
	}
}

func TestClosingTheProxyEndsItsTunnels(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	gone := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			gone <- err
			return
		}
		_, err = io.Copy(conn, conn) // what is sent comes back, until the tunnel ends
		gone <- err
		_ = conn.Close()
	}()
	p, proxy, _ := proxied(t, &url.URL{Scheme: "http", Host: l.Addr().String()})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", l.Addr())
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Fatalf("through the tunnel: %q, %v", line, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel still gives bytes")
	}
	if err := <-gone; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log("the far end was told:", err)
	}
}

func TestSourcesAdmitTheNamedOnesOnly(t *testing.T) {
	t.Parallel()
	var asked []string
	to := roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String())
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})
	base := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	s := NewSources(to, base("https://crt.example"), base("https://api.example/v1/"), &url.URL{})
	for address, want := range map[string]bool{
		"https://crt.example/?q=x": true, "https://CRT.example/a": true, "https://api.example/v1/x": true, "https://api.example/v1": true,
		"http://crt.example/": false, "https://crt.example:8443/": false, "https://api.example/v2/x": false, "https://api.example/v1/../v2": false,
		"https://api.example/v1x": false, "https://other.example/": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != want || (err != nil && fault.KindOf(err) != fault.Forbidden) {
			t.Errorf("%s: %v, want admitted %v", address, err, want)
		}
	}
	if len(asked) != 4 {
		t.Errorf("asked %v", asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// nameServer answers on loopback over UDP, cut, and over TCP in full; silent ones answer nothing.
func nameServer(t *testing.T, silent bool) netip.AddrPort {
	t.Helper()
	udp, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	at := netip.MustParseAddrPort(udp.LocalAddr().String())
	tcp, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			if silent {
				continue
			}
			forged := append([]byte(nil), buf[:n]...)
			forged[0] ^= 0xff // another query's
			_, _ = udp.WriteTo(reply(t, forged, false), from)
			_, _ = udp.WriteTo(reply(t, buf[:n], true), from)
		}
	}()
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err == nil {
				q := make([]byte, int(size[0])<<8|int(size[1]))
				if _, err := io.ReadFull(conn, q); err == nil {
					a := reply(t, q, false)
					_, _ = conn.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...))
				}
			}
			_ = conn.Close()
		}
	}()
	return at
}

func reply(t *testing.T, query []byte, cut bool) []byte {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		t.Error(err)
		return nil
	}
	m.Response, m.Truncated = true, cut
	if !cut {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.TXTResource{TXT: []string{"v=spf1 -all"}},
		}}
	}
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

func TestDNSAsksAgainOverTCPAndTheNextServer(t *testing.T) {
	t.Parallel()
	query, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("example.org."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}},
	}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	dead := netip.MustParseAddrPort("127.0.0.1:1") // refuses at once
	answer, err := NewDNS([]netip.AddrPort{dead, nameServer(t, false)}).Exchange(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil || m.ID != 7 || m.Truncated || len(m.Answers) != 1 {
		t.Errorf("answered %+v, %v", m, err)
	}
	if _, err := NewDNS(nil).Exchange(t.Context(), query); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without servers: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := NewDNS([]netip.AddrPort{nameServer(t, true)}).Exchange(ctx, query); err == nil {
		t.Error("a server that says nothing has answered")
	}
	if _, err := NewDNS(nil).Exchange(t.Context(), []byte("short")); fault.KindOf(err) != fault.Internal {
		t.Errorf("what is no message: %v", err)
	}
}
