package programs

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

// checkTime bounds the question whether one engine can run.
const checkTime = 30 * time.Second

// Nowhere is what a program connects by while it is only asked: every address is refused.
func Nowhere(context.Context, string, string) (net.Conn, error) {
	return nil, fault.New(fault.Forbidden, fault.CodeTargetForbidden, "a check connects to nothing")
}

// bench is what engines are asked and installed with, without a server.
type bench struct {
	cfg     config.Config
	scratch string
	run     *runner.Runner
	install *install.Installer
}

// newBench makes a bench; the caller closes it. tell gets the progress of installations.
func newBench(cfg config.Config, tell func(string)) (*bench, error) {
	scratch, err := os.MkdirTemp("", "assay-engines-")
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "no folder for temporary files").Because(err)
	}
	b := &bench{cfg: cfg, scratch: scratch}
	if b.run, err = runner.New(RunnerConfig(cfg, filepath.Join(scratch, "runs"), runner.Mark(scratch))); err != nil {
		return nil, errors.Join(err, b.close())
	}
	allow, err := config.Prefixes(cfg.EgressAllow)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.install = install.New(install.Deps{
		Dir: Dir(cfg), Start: b.start, Web: egress.NewTransport(egress.TransportConfig{Allow: allow}), Now: time.Now,
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Root: os.Geteuid() == 0, Tell: tell,
	})
	return b, nil
}

func (b *bench) close() error { return os.RemoveAll(b.scratch) }

// start returns what the programs of an installation are started with: on the operator's word and as the operator, with
// the network, because they are to fetch and write.
func (b *bench) start(first string) (engine.Launcher, error) {
	path := b.cfg.EnginePath
	if first != "" {
		path = append([]string{first}, path...)
	}
	run, err := runner.New(runner.Config{
		Path: path, Scratch: filepath.Join(b.scratch, "install"), Mark: runner.Mark(b.scratch), Sandbox: runner.Off,
	})
	if err != nil {
		return nil, err
	}
	work, _, err := run.Scratch("install")
	if err != nil {
		return nil, err
	}
	return run.Launcher(runner.Run{Scan: "install", Work: work}), nil
}

// ask asks one engine whether it can run here.
func (b *bench) ask(ctx context.Context, e engine.Engine) engine.Availability {
	checker, ok := e.(engine.Checker)
	if !ok {
		return engine.Availability{Available: true}
	}
	id := "check-" + e.Manifest().ID
	work, remove, err := b.run.Scratch(id)
	if err != nil {
		return engine.Availability{Reason: fault.Of(err).Text}
	}
	defer func() { _ = remove() }()
	files, err := runner.OpenFolder(work)
	if err != nil {
		return engine.Availability{Reason: fault.Of(err).Text}
	}
	defer func() { _ = files.Close() }()
	log := slog.New(slog.DiscardHandler)
	proxy := egress.NewProxy(Nowhere, log)
	proc := b.run.Launcher(runner.Run{Scan: id, Work: work, Proxy: proxy.Serve})
	kept := NewShelf(b.cfg)
	defer func() { _ = errors.Join(proc.Close(), proxy.Close(), kept.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return checker.Check(ctx, engine.Env{
		Proc: proc, Proxy: proc.ProxyAddress, Work: work, Files: files, Now: time.Now, Log: log, Data: kept.Data, Progress: func(int, string) {},
	})
}

// state returns an engine's state.
func (b *bench) state(ctx context.Context, e engine.Engine) State {
	m := e.Manifest()
	a := b.ask(ctx, e)
	s := State{ID: m.ID, Title: m.Title, Program: m.Program, Available: a.Available, Version: a.Version, Reason: a.Reason}
	if r, ok, err := b.install.Installed(m.ID); ok && err == nil {
		s.Installed = &r
	}
	if _, err := b.install.Pick(m, ""); !a.Available && err == nil {
		s.Command = "assay engine install " + m.ID
	}
	return s
}

// states asks all engines, some at a time.
func (b *bench) states(ctx context.Context) []State {
	engines := catalog.All()
	out := make([]State, len(engines))
	var all sync.WaitGroup
	turns := make(chan struct{}, max(2, runtime.NumCPU()))
	for i, e := range engines {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			out[i] = b.state(ctx, e)
		})
	}
	all.Wait()
	return out
}
