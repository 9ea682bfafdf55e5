package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"time"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/checkout"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// outfitter equips engines for their runs: it joins the runner, egress and keys, which don't know each other.
type outfitter struct {
	app     *App
	runner  *runner.Runner
	out     *egress.Transport
	dns     *egress.DNS
	lookup  egress.Lookup
	mirrors map[string]*url.URL
}

func (a *App) newOutfitter(g scanGround) (*outfitter, error) {
	servers, err := config.ResolverAddresses(a.cfg.Resolvers)
	if err != nil {
		return nil, fmt.Errorf("resolvers: %w", err)
	}
	lookup := egress.LookupAt(servers)
	if len(servers) == 0 {
		if servers, err = egress.SystemResolvers(); err != nil {
			return nil, fmt.Errorf("reading the system's resolvers: %w", err)
		}
	}
	mirrors, err := config.Mirrors(a.cfg.SourceMirrors)
	if err != nil {
		return nil, fmt.Errorf("source_mirrors: %w", err)
	}
	return &outfitter{
		app: a, runner: g.runner, dns: egress.NewDNS(servers), lookup: lookup, mirrors: mirrors,
		out: egress.NewTransport(egress.TransportConfig{Allow: g.allow, Excluded: g.own}),
	}, nil
}

// equip implements scan.ExecutorDeps.Equip.
func (o *outfitter) equip(_ context.Context, f scan.Outfit) (engine.Env, func() error, error) {
	r := f.Reach
	reach := egress.ScanConfig{Target: r.Target, Addrs: r.Addrs, Scope: r.Scope, Excluded: r.Excluded}
	site := reach
	site.Site = true
	within := egress.NewScanDialer(site).DialContext
	if r.Target.Type() == asset.TypeImage {
		within = egress.NewRegistryDial(reach, o.lookup, within)
	}
	sources := o.chosen(f.Manifest, f.Scan.Options)
	proxy := egress.NewProxy(o.programDial(f.Manifest, sources, within), o.app.log)
	env, done, err := o.ground(string(f.Scan.ID), sources, proxy)
	if err != nil {
		return engine.Env{}, nil, err
	}
	env.Dial = egress.NewScanDialer(reach)
	key, err := o.app.sealer.FingerprintKey(f.Scan.Org)
	if err != nil {
		return engine.Env{}, nil, errors.Join(err, done())
	}
	env.Fingerprint = func(value string) string { return "s1:" + secret.Fingerprint(key, "leaked-secret", value) }
	t := &tree{target: r.Target, work: env.Work, proc: env.Proc, proxy: env.Proxy}
	env.Tree = t.open
	return env, func() error { return errors.Join(t.close(), done()) }, nil
}

// check equips an engine for being asked whether it can run, which connects to nothing.
func (o *outfitter) check() (engine.Env, func(), error) {
	env, done, err := o.ground("check-"+o.app.ids.New(), nil, egress.NewProxy(programs.Nowhere, o.app.log))
	if err != nil {
		return engine.Env{}, nil, err
	}
	return env, func() { _ = done() }, nil // what is left is cleared at the next start
}

// ground is what every run has, whatever its target.
func (o *outfitter) ground(id string, sources []egress.Source, proxy *egress.Proxy) (engine.Env, func() error, error) {
	work, remove, err := o.runner.Scratch(id)
	if err != nil {
		return engine.Env{}, nil, err
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		return engine.Env{}, nil, errors.Join(err, remove())
	}
	kept := programs.NewShelf(o.app.cfg)
	proc := o.runner.Launcher(runner.Run{Scan: id, Work: work, Proxy: proxy.Serve})
	env := engine.Env{
		Proc: proc, Work: work, Files: files, Now: time.Now, Log: o.app.log, Progress: func(int, string) {},
		Proxy: proc.ProxyAddress, Rand: rand.Reader, Web: o.web(sources), DNS: o.dns.Exchange, Data: kept.Data, SourceKey: o.sourceKey,
	}
	return env, func() error {
		return errors.Join(proc.Close(), proxy.Close(), files.Close(), kept.Close(), remove())
	}, nil
}

// tree opens the files of a target once.
type tree struct {
	target asset.Target
	work   string
	proc   engine.Launcher
	proxy  func(context.Context) (string, error)

	mu      sync.Mutex
	fetched engine.Tree // of a repository
	root    *os.Root
}

func (t *tree) open(ctx context.Context) (engine.Tree, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.target.Type() {
	case asset.TypeFilesystem:
	case asset.TypeRepository:
		if t.root != nil {
			return t.fetched, nil
		}
		var err error
		t.fetched, t.root, err = checkout.Fetch(ctx, checkout.Order{URL: t.target.String(), Work: t.work, Proc: t.proc, Proxy: t.proxy})
		return t.fetched, err
	case asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork, asset.TypeImage:
		return engine.Tree{}, fault.New(fault.Unsupported, fault.CodeTargetType, "a target of this type holds no files")
	}
	if t.root == nil {
		root, err := os.OpenRoot(t.target.String())
		if errors.Is(err, fs.ErrNotExist) {
			return engine.Tree{}, fault.Wrong("target", "doesn't exist where scans run")
		}
		if err != nil {
			return engine.Tree{}, fault.New(fault.Unavailable, fault.CodeUnavailable, "the folder can't be opened where scans run").Because(err)
		}
		t.root = root
	}
	return engine.Tree{Dir: t.root.Name(), FS: t.root.FS()}, nil
}

func (t *tree) close() error {
	if t.root == nil {
		return nil
	}
	return t.root.Close()
}
