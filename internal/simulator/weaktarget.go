// Package simulator stands in for the outside world on loopback: for `assay demo` and for tests that need something
// real to talk to.
//
// It speaks protocols over real sockets, so that engines and SDKs can't tell. It must never listen on anything but
// loopback, hold a real credential, or need a file. Start with weaktarget.go.
package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Service names of the weak target, keys of WeakConfig.Ports and values of Flaw.Service.
const (
	WeakHTTP  = "http"
	WeakHTTPS = "https"
	WeakRedis = "redis"
	WeakSSH   = "ssh"
	WeakFTP   = "ftp"
)

// Bounds of the weak target: it may face a hostile scanner too.
const (
	weakConns   = 128              // per service; more wait
	weakTimeout = 10 * time.Second // for a whole request or a line of a text protocol
)

// WeakConfig says where the weak target listens. The zero value of all but Rand is usable.
type WeakConfig struct {
	Host  netip.Addr        // a loopback address; the zero Addr means 127.0.0.1
	Ports map[string]uint16 // by service name; absent or 0 = any free port
	Rand  io.Reader         // strong randomness for the throw-away TLS key; required
}

// WeakTarget is a running, deliberately weak host: a web application, an HTTPS portal and three text services. It is
// safe for concurrent use.
type WeakTarget struct {
	addrs map[string]netip.AddrPort
	stop  context.CancelFunc
	web   []*http.Server
	lists []net.Listener
	wg    sync.WaitGroup
	once  sync.Once
}

// StartWeakTarget starts every service and returns once all listen. It ends with Close or with ctx. A host that isn't
// loopback is an Invalid fault; a port in use is Unavailable.
func StartWeakTarget(ctx context.Context, cfg WeakConfig) (*WeakTarget, error) {
	if !cfg.Host.IsValid() {
		cfg.Host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if !cfg.Host.IsLoopback() || cfg.Host.Is4In6() || cfg.Host.Zone() != "" {
		return nil, fault.Wrong("host", "must be a loopback address: the weak target is never offered to a network")
	}
	if cfg.Rand == nil {
		return nil, fault.Wrong("rand", "is required")
	}
	secure, err := weakTLS(cfg.Rand)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &WeakTarget{addrs: map[string]netip.AddrPort{}, stop: stop}
	for _, name := range weakServices() {
		l, err := w.listen(ctx, cfg, name)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		switch name {
		case WeakHTTP:
			w.serveWeb(l, weakApp(), nil)
		case WeakHTTPS:
			w.serveWeb(l, weakPortal(), secure)
		default:
			w.serveText(ctx, l, weakTalk(name))
		}
	}
	context.AfterFunc(ctx, func() { _ = w.Close() })
	return w, nil
}

func weakServices() []string { return []string{WeakHTTP, WeakHTTPS, WeakRedis, WeakSSH, WeakFTP} }

func (w *WeakTarget) listen(ctx context.Context, cfg WeakConfig, name string) (net.Listener, error) {
	at := netip.AddrPortFrom(cfg.Host, cfg.Ports[name])
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "the weak target's "+name+" port can't be opened").Because(err)
	}
	bound, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	w.addrs[name] = bound
	w.lists = append(w.lists, l)
	return limit{l, make(chan struct{}, weakConns)}, nil
}

func (w *WeakTarget) serveWeb(l net.Listener, h http.Handler, secure *tls.Config) {
	s := &http.Server{
		Handler: h, TLSConfig: secure, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: weakTimeout, ReadTimeout: weakTimeout, WriteTimeout: weakTimeout, IdleTimeout: weakTimeout,
		ErrorLog: log.New(io.Discard, "", 0), // scanners break handshakes on purpose
	}
	w.web = append(w.web, s)
	w.wg.Go(func() {
		if secure != nil {
			_ = s.ServeTLS(l, "", "") // ends with ErrServerClosed
			return
		}
		_ = s.Serve(l)
	})
}

func (w *WeakTarget) serveText(ctx context.Context, l net.Listener, talk func(net.Conn)) {
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				talk(c)
			})
		}
	})
}

// Close stops every service, ends open connections and waits for them. It may be called more than once.
func (w *WeakTarget) Close() error {
	var errs []error
	w.once.Do(func() {
		w.stop()
		for _, s := range w.web {
			errs = append(errs, s.Close())
		}
		for _, l := range w.lists {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	})
	w.wg.Wait()
	return errors.Join(errs...)
}

// Host returns the loopback address that all services share.
func (w *WeakTarget) Host() netip.Addr { return w.addrs[WeakHTTP].Addr() }

// Addr returns where a service listens, the zero AddrPort for an unknown name.
func (w *WeakTarget) Addr(service string) netip.AddrPort { return w.addrs[service] }

// URL returns the root of the web application ("http") or the portal ("https"), "" for other services.
func (w *WeakTarget) URL(service string) string {
	if service != WeakHTTP && service != WeakHTTPS {
		return ""
	}
	return service + "://" + w.addrs[service].String() + "/"
}

// PortList returns the open ports as an engine's port option takes them: "21001,21002".
func (w *WeakTarget) PortList() string {
	var out []string
	for _, name := range weakServices() {
		out = append(out, strconv.Itoa(int(w.addrs[name].Port())))
	}
	return strings.Join(out, ",")
}

// limit is a listener that hands out a bounded number of connections at a time.
type limit struct {
	net.Listener
	free chan struct{}
}

// Accept waits for a connection, then for a free place. A scanner that holds them all can only stall itself: each is
// closed at its timeout.
func (l limit) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.free <- struct{}{}
	return &limited{Conn: c, done: sync.OnceFunc(func() { <-l.free })}, nil
}

type limited struct {
	net.Conn
	done func()
}

// Close closes the connection and frees its place.
func (c *limited) Close() error {
	c.done()
	return c.Conn.Close()
}
