package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of one exchange with a receiver or cloud, beside the client's own timeout.
const (
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 30 * time.Second // until the first answer byte after the request was sent
	idleTimeout      = 60 * time.Second
	maxHeaderBytes   = 64 << 10
	maxIdle          = 64
)

// TransportConfig is the policy of receivers and clouds.
type TransportConfig struct {
	Allow    []netip.Prefix   // ASSAY_EGRESS_ALLOW: prefixes beyond public addresses
	Excluded []netip.AddrPort // this server's own listeners, never reached, allowed or not; see Listeners
	Lookup   Lookup           // nil = the system's resolver
	Roots    *x509.CertPool   // nil = the system's

	IdlePerHost int // connections kept open to one host; 0 = 2
}

// Transport is the http.RoundTripper for everything that isn't a scan. https goes to public addresses and to allowed
// prefixes, http to allowed prefixes only. Names are resolved for each connection; if any of a name's addresses is
// forbidden, none is dialled. There is no proxy. It is safe for concurrent use.
type Transport struct {
	https  *http.Transport
	http   *http.Transport
	policy TransportConfig
}

// NewTransport returns a transport that shares its connections between all its users.
func NewTransport(cfg TransportConfig) *Transport {
	if cfg.Lookup == nil {
		cfg.Lookup = net.DefaultResolver
	}
	cfg.Allow, cfg.Excluded = slices.Clone(cfg.Allow), slices.Clone(cfg.Excluded)
	return newTransport(cfg, connect)
}

type connectFunc func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error)

func newTransport(cfg TransportConfig, connect connectFunc) *Transport {
	build := func(plain bool) *http.Transport {
		g := guard{cfg: cfg, plain: plain, connect: connect}
		return &http.Transport{
			Proxy:                  nil, // never from the environment: a proxy would resolve where we can't look
			DialContext:            g.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
			TLSHandshakeTimeout:    handshakeTimeout,
			ResponseHeaderTimeout:  headerTimeout,
			IdleConnTimeout:        idleTimeout,
			MaxIdleConns:           max(maxIdle, 16*cfg.IdlePerHost),
			MaxIdleConnsPerHost:    cfg.IdlePerHost,
			MaxResponseHeaderBytes: maxHeaderBytes,
			ForceAttemptHTTP2:      true,
		}
	}
	return &Transport{https: build(false), http: build(true), policy: cfg}
}

// RoundTrip implements http.RoundTripper. What the policy refuses is a Forbidden fault inside the error chain.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.User != nil {
		return nil, closeBody(r, refused("the URL holds a user name or password"))
	}
	switch r.URL.Scheme {
	case "https":
		return t.https.RoundTrip(r)
	case "http":
		return t.http.RoundTrip(r)
	}
	return nil, closeBody(r, refused("the URL is neither https nor http"))
}

// closeBody keeps RoundTripper's promise that the body is closed, also on errors.
func closeBody(r *http.Request, err error) error {
	if r.Body == nil {
		return err
	}
	return errors.Join(err, r.Body.Close())
}

// CloseIdleConnections lets go of connections that nobody uses; http.Client calls it by this name.
func (t *Transport) CloseIdleConnections() {
	t.https.CloseIdleConnections()
	t.http.CloseIdleConnections()
}

// Client returns an http.Client on t that keeps no cookies and follows no redirect: a redirect's answer is returned as
// it is. timeout covers the whole exchange, the body's reading included; it must be positive.
func (t *Transport) Client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: t, Timeout: timeout, CheckRedirect: NoRedirects}
}

// NoRedirects is an http.Client.CheckRedirect that hands the redirect itself to the caller.
func NoRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// guard dials for one scheme under the policy.
type guard struct {
	cfg     TransportConfig
	plain   bool
	connect connectFunc
}

func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := splitAddress(network, address)
	if err != nil {
		return nil, err
	}
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := g.permit(netip.AddrPortFrom(a, port)); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, a := range addrs {
		conn, cerr := g.connect(ctx, netip.AddrPortFrom(a, port), connectTimeout)
		if cerr == nil {
			return conn, nil
		}
		errs = append(errs, cerr)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// resolve returns the addresses behind host. Spellings that some resolvers read as an address (127.1, 0x7f000001,
// 017700000001) are refused as names, because an operator's allow list and a person's eye read them differently.
func (g guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap().WithZone(a.Zone())}, nil
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || (last[0] >= '0' && last[0] <= '9') {
		return nil, refused("the host looks like an address but isn't one in dotted-decimal or IPv6 notation")
	}
	return lookup(ctx, g.cfg.Lookup, name)
}

func (g guard) permit(to netip.AddrPort) error {
	if ours(g.cfg.Excluded, to) {
		return refused("it is one of this server's own listeners")
	}
	if why, ok := publicOnly(to.Addr(), g.cfg.Allow); !ok {
		return refused(why)
	}
	if !g.plain {
		return nil
	}
	for _, p := range g.cfg.Allow {
		if p.Contains(to.Addr()) {
			return nil
		}
	}
	return refused("http goes only to an address that the operator allows; use https")
}

// Check judges a URL as far as it can be judged without asking for its name's addresses, so that a mistake is told when
// a receiver is registered; every connection is judged again. A refusal is a Forbidden fault that names the rule.
func (t *Transport) Check(u *url.URL) error {
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		if u.Scheme == "http" && len(t.policy.Allow) == 0 {
			return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "must begin with https://; http goes only to networks that the operator allows")
		}
		return nil
	}
	addr = addr.Unmap().WithZone(addr.Zone())
	why, ok := publicOnly(addr, t.policy.Allow)
	if ok && u.Scheme == "http" && !slices.ContainsFunc(t.policy.Allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		why, ok = "http goes only to networks that the operator allows; use https", false
	}
	if !ok {
		return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "leads where this server doesn't send: "+why)
	}
	return nil
}
