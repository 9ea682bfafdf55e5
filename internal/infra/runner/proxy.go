package runner

import (
	"context"
	"net"
	"strconv"
	"sync"

	"assay.dev/assay/internal/word/fault"
)

// onceProxy is a run's proxy on the host's loopback, begun when it is first asked for.
type onceProxy struct {
	mu   sync.Mutex
	l    net.Listener
	done <-chan struct{}
}

// ProxyAddress returns where this run's programs find their forward proxy: "127.0.0.1:3128" where each has a network
// of its own, else "127.0.0.1:PORT" on the host's, which the first call begins. Where some programs start in
// containers, the port is the host's in both.
func (l *Launcher) ProxyAddress(ctx context.Context) (string, error) {
	if l.run.Proxy == nil {
		return "", fault.New(fault.Internal, fault.CodeInternal, "this run has no proxy")
	}
	own, err := l.runner.ownNetworks(ctx)
	if err != nil {
		return "", err
	}
	if own && len(l.runner.containers.Images) == 0 {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(ProxyPort)), nil
	}
	p := &l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		return p.l.Addr().String(), nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fault.New(fault.Internal, fault.CodeInternal, "the scan's proxy can't be started").Because(err)
	}
	p.l, p.done = listener, l.serveProxy(listener)
	return listener.Addr().String(), nil
}

// serveProxy serves the run's proxy until the listener is closed; then the channel is.
func (l *Launcher) serveProxy(listener net.Listener) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.run.Proxy(listener) // it ends with the listener
	}()
	return done
}

// proxyPort is the port of the forward proxy in networks of programs' own.
func (l *Launcher) proxyPort() int {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.l != nil {
		if addr, ok := l.proxy.l.Addr().(*net.TCPAddr); ok {
			return addr.Port
		}
	}
	return ProxyPort
}

// Close ends the run's proxy.
func (l *Launcher) Close() error {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.l == nil {
		return nil
	}
	err := l.proxy.l.Close()
	<-l.proxy.done
	l.proxy.l = nil
	return err
}
