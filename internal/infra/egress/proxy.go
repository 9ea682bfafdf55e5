package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of a scan's proxy.
const (
	proxyHeaderTime  = 30 * time.Second // to read a request's head
	proxyHeaderBytes = 256 << 10        // engines send long payloads in headers and paths
	proxyIdle        = 90 * time.Second
	proxyPerHost     = 256
)

// DialFunc connects to "host:port" as the policy of one scan decides; ScanDialer.DialContext is one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Proxy is the forward proxy of one scan's programs (RFC 9110 sections 7.3 and 9.3.6): requests in absolute form and
// CONNECT tunnels. Every connection is decided by the scan's dialer; nothing is cached, decrypted or kept. It is safe
// for concurrent use.
type Proxy struct {
	dial    DialFunc
	log     *slog.Logger
	server  *http.Server
	forward *httputil.ReverseProxy
	out     *http.Transport

	tunnels sync.WaitGroup
	ctx     context.Context //nolint:containedctx // ends the tunnels, which outlive their requests
	end     context.CancelFunc
}

// NewProxy returns a proxy that serves nothing yet.
func NewProxy(dial DialFunc, logger *slog.Logger) *Proxy {
	p := &Proxy{dial: dial, log: logger}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.out = &http.Transport{
		Proxy: nil, DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: proxyPerHost, IdleConnTimeout: proxyIdle,
		MaxResponseHeaderBytes: 1 << 20,
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = r.In.URL
			r.Out.Host = r.In.Host
			if _, sent := r.In.Header["User-Agent"]; !sent {
				r.Out.Header["User-Agent"] = nil // else the transport would put its own
			}
		},
		Transport: p.out,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.refuse(r.Context(), w, err)
		},
		ErrorLog:      log.New(io.Discard, "", 0),
		FlushInterval: -1,
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: proxyHeaderTime, IdleTimeout: proxyIdle, MaxHeaderBytes: proxyHeaderBytes,
		ErrorLog: log.New(io.Discard, "", 0), // what an engine sends is no news for the server's log
	}
	return p
}

// Serve takes connections from l until Close. It may be called for several listeners.
func (p *Proxy) Serve(l net.Listener) error {
	if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all connections and waits for the tunnels.
func (p *Proxy) Close() error {
	p.end()
	err := p.server.Close()
	p.tunnels.Wait()
	p.out.CloseIdleConnections()
	return err
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	if r.URL.Scheme != "http" || r.URL.Host == "" {
		http.Error(w, "this is a scan's forward proxy: it takes absolute http URLs and CONNECT", http.StatusBadRequest)
		return
	}
	p.forward.ServeHTTP(w, r)
}

// refuse answers for a connection that was not made: 403 where the policy says no, else 502.
func (p *Proxy) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if fault.KindOf(err) == fault.Forbidden {
		status = http.StatusForbidden
		p.log.InfoContext(ctx, "scan connection refused", slog.String("reason", fault.Of(err).Text))
	}
	http.Error(w, http.StatusText(status), status)
}

// tunnel joins two connections until one side ends.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	up, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		p.refuse(r.Context(), w, err)
		return
	}
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = up.Close()
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	p.tunnels.Add(1)
	defer p.tunnels.Done()
	stop := context.AfterFunc(p.ctx, func() { _ = errors.Join(up.Close(), down.Close()) }) //nolint:contextcheck // a tunnel ends with the proxy, not with the request that began it
	defer stop()
	_ = down.SetDeadline(time.Time{}) // the server's own deadline was for the head
	if _, err := io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		join(up, down, buffered.Reader)
	}
	_ = errors.Join(up.Close(), down.Close()) // both are at their end, whatever they say
}

// join copies both ways until both are done; the end of one direction is passed on as such.
func join(up, down net.Conn, fromDown io.Reader) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(down, up) // an error ends the direction as EOF does
		closeWrite(down)
	}()
	_, _ = io.Copy(up, fromDown)
	closeWrite(up)
	<-done
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the peer may be gone
		return
	}
	_ = c.Close()
}
