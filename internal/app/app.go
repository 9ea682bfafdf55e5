// Package app is the composition root: it builds every part by hand, in order of rank, joins adapters with functions
// where two must meet, runs them under one group and stops them in good order. The operator's acts on a data folder are
// here too, since they need the same parts.
//
// It holds no rule of the product: what is decided here belongs into a domain package. It never imports doctor, which asks
// it. Start with New and Run; folder.go builds what needs no server, parts.go the rest, and package programs says how
// engines' programs are started.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/word/fault"
)

// Seams are the places where tests take hold of a server.
type Seams struct {
	Log io.Writer // where the log goes; nil = nowhere
}

// Limits of a connection. Streams extend their own write deadline.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 32 << 10
)

// gcPercent lets the heap grow to three times what lives before it is collected, unless GOGC says otherwise: little
// lives, so it costs 2 MiB of an idle server and saves a tenth of the processor time of a busy one.
const gcPercent = 200

// App is a server, built and not yet running.
type App struct {
	*ground
	parts

	listener net.Listener
	tls      security
	socket   net.Listener
	ready    chan struct{}
	stopping chan struct{}
	broken   chan error
	state    atomic.Int32
}

// States of an App.
const (
	starting int32 = iota
	serving
	stopped
)

// New opens the data folder and builds a server on it. The address is bound at once, so that a taken port is known
// before anything runs; nothing is served before Run. A caller that never calls Run must call Close.
func New(ctx context.Context, cfg config.Config, seams Seams) (*App, error) {
	if seams.Log == nil {
		seams.Log = io.Discard
	}
	a := &App{ready: make(chan struct{}), stopping: make(chan struct{}), broken: make(chan error, 1)}
	g, err := openGround(ctx, cfg, seams.Log, a.breakDown)
	if err != nil {
		return nil, err
	}
	a.ground = g
	g.tell = a.tell
	if err := a.bind(ctx); err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	if a.parts, err = a.build(ctx); err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	return a, nil
}

// bind opens the server's address and the operator's socket.
func (a *App) bind(ctx context.Context) (err error) {
	if a.cfg.Has("api") {
		if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Listen); err != nil {
			return fault.New(fault.Unavailable, fault.CodeUnavailable,
				"the address "+a.cfg.Listen+" can't be served on; does another program hold it? choose one with --listen").Because(err)
		}
	}
	if err = a.bindChallenges(ctx); err == nil {
		a.socket, err = listenSocket(ctx, a.data)
	}
	if err != nil {
		err = errors.Join(err, closeAll(a.listener, a.tls.challenges))
	}
	return err
}

// closeAll closes the listeners that there are.
func closeAll(all ...net.Listener) error {
	var errs []error
	for _, l := range all {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// breakDown is told that the database lost its promise: the process must end, and says why.
func (a *App) breakDown(err error) {
	select {
	case a.broken <- err:
	default:
	}
}

// Ready is closed once requests are answered.
func (a *App) Ready() <-chan struct{} { return a.ready }

// URL is the address under which the server answers; with port 0 in the settings, the one it got.
func (a *App) URL() string {
	cfg := a.cfg
	if a.listener != nil {
		cfg.Listen = a.listener.Addr().String()
	}
	return cfg.URL()
}

// listeners returns the addresses that this server listens on, which no scan may touch.
func (a *App) listeners() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range []net.Listener{a.listener, a.tls.challenges} {
		if l == nil {
			continue
		}
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			out = append(out, tcp.AddrPort())
		}
	}
	return append(out, store.Addresses(a.cfg.Database)...)
}

// Close ends a server that never ran.
func (a *App) Close(ctx context.Context) error {
	return errors.Join(closeAll(a.listener, a.tls.challenges, a.socket), a.close(ctx))
}

// Run serves until ctx ends, then stops in order: no new requests, no new scans, what runs may finish within the
// shutdown timeout, what doesn't goes back to the line, and the database closes last.
func (a *App) Run(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// Parts outlive ctx: they are told to stop one after the other.
	lasting := context.WithoutCancel(ctx)
	base, stopBase := context.WithCancel(lasting) // store, counters: last to go
	defer stopBase()
	work, stopWork := context.WithCancel(lasting) // dispatcher, queue, checks
	defer stopWork()

	var bottom, top errgroup.Group
	failed := make(chan error, 1)
	start := func(g *errgroup.Group, ctx context.Context, name string, run func(context.Context) error) {
		g.Go(func() error {
			err := run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				select {
				case failed <- err:
				default:
				}
			}
			return err
		})
	}
	start(&bottom, base, "store", a.store.Run)
	for _, p := range a.background {
		start(&bottom, base, p.name, p.run)
	}
	for _, p := range a.workers {
		start(&top, work, p.name, p.run)
	}
	start(&top, work, "operator's socket", func(ctx context.Context) error { return a.serveSocket(ctx, a.socket) })

	srv := a.server(base)
	if a.listener != nil {
		start(&top, work, "http", func(context.Context) error { return a.serve(srv) })
	}
	a.state.Store(serving)
	close(a.ready)
	a.log.InfoContext(ctx, "server started", slog.String("address", a.URL()), slog.String("version", version))

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	case err := <-a.broken:
		cause = fmt.Errorf("the database can't be trusted any more: %w", err)
	}
	a.log.InfoContext(lasting, "server stops")
	a.state.Store(stopped)
	close(a.stopping) // ends streams, which Shutdown would wait for
	drain, cancel := context.WithTimeout(lasting, a.cfg.ShutdownTimeout)
	defer cancel()
	shutdown := srv.Shutdown(drain)
	if shutdown != nil {
		shutdown = srv.Close() // whoever is still talking had the whole timeout
	}
	stopWork()
	errs := []error{cause, shutdown, ignoring(top.Wait(), cause)}
	stopBase()
	errs = append(errs, ignoring(bottom.Wait(), cause), a.shut(lasting), a.close(lasting))
	return errors.Join(errs...)
}

// ignoring drops the error that is reported as the cause already.
func ignoring(err, cause error) error {
	if errors.Is(err, cause) {
		return nil
	}
	return err
}

// server makes the HTTP server. Requests live as long as the base: a stop lets them finish.
func (a *App) server(base context.Context) *http.Server {
	return &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}
