package runner

import (
	"context"
	"net"
	"sync"

	"assay.dev/assay/internal/word/fault"
)

// onceProxy is a run's proxy on the host's loopback, begun when it is first asked for.
type onceProxy struct {
	mu   sync.Mutex
	l    net.Listener
	done chan struct{}
}

// ProxyAddress returns where this run's programs find their forward proxy, "127.0.0.1:PORT". The first call begins it.
func (l *Launcher) ProxyAddress(ctx context.Context) (string, error) {
	if l.run.Proxy == nil {
		return "", fault.New(fault.Internal, fault.CodeInternal, "this run has no proxy")
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
	p.l, p.done = listener, make(chan struct{})
	go func() {
		defer close(p.done)
		_ = l.run.Proxy(listener) // it ends with the listener
	}()
	return listener.Addr().String(), nil
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
