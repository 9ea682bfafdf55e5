package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/blob"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/queue"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/obs"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/scan/inventory"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/hookapi"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/web/api/scanapi"
	"assay.dev/assay/internal/web/api/vaultapi"
	"assay.dev/assay/internal/web/mw"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// parts are what a server has beyond its ground.
type parts struct {
	handler    http.Handler
	background []part // last to stop: what others write through
	workers    []part // first to stop
	blobs      *blob.Store
	traces     *obs.Traces
	metrics    *obs.Metrics
	queue      *queue.Queue
	usage      *usage.Reports
	hooks      *hook.Service
}

// build makes the parts, in order of rank.
func (a *App) build(ctx context.Context) (p parts, err error) {
	if p.blobs, err = blob.Open(filepath.Join(a.data, artifactsPath), a.sealer); err != nil {
		return p, err
	}
	own, err := egress.Listeners(a.listeners())
	if err != nil {
		return p, fmt.Errorf("finding this machine's addresses: %w", err)
	}
	p.metrics = obs.NewMetrics()
	allow, err := config.Prefixes(a.cfg.EgressAllow)
	if err != nil {
		return p, fmt.Errorf("egress_allow: %w", err)
	}
	out := egress.NewTransport(egress.TransportConfig{Allow: allow, Excluded: own})
	if p.traces, err = obs.NewTraces(ctx, a.cfg.OTLP, version, out); err != nil {
		return p, err
	}
	if err := a.secure(&p, own, allow); err != nil {
		return p, err
	}
	run, err := a.newRunner(ctx)
	if err != nil {
		return p, err
	}
	counter, err := a.counter(ctx, &p)
	if err != nil {
		return p, err
	}
	charges := usage.New(usage.Deps{Counter: counter, Now: a.now})
	a.metering(&p, counter)
	p.background = append(p.background, part{"last use", a.access.Run})
	p.metrics.Gauge("assay_log_backlog", "Audit entries that wait for their place in the log.", func() float64 {
		scrape, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		n, _, err := a.store.LogBacklog(scrape)
		if err != nil {
			return -1
		}
		return float64(n)
	})
	a.hooking(ctx, &p, own, allow)
	scans, err := a.scanning(ctx, &p, scanGround{runner: run, own: own, allow: allow, quota: charges})
	if err != nil {
		return p, err
	}
	a.retaining(&p)
	return p, a.edge(&p, scans, charges)
}

// newRunner makes the process launcher and ends what a killed server left running.
func (a *App) newRunner(ctx context.Context) (*runner.Runner, error) {
	mark := runner.Mark(a.data)
	run, err := runner.New(programs.RunnerConfig(a.cfg, filepath.Join(a.data, scratchPath), mark))
	if err != nil {
		return nil, err
	}
	n, err := runner.KillSurvivors(ctx, mark)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		a.log.WarnContext(ctx, "ended engine processes that an earlier server left running", slog.Int("processes", n))
	}
	if _, err := run.RemoveContainers(ctx); err != nil {
		a.log.WarnContext(ctx, "containers that an earlier server left running couldn't be looked for", slog.String("error", err.Error()))
	}
	if _, err := run.ClearScratch(); err != nil {
		return nil, err
	}
	return run, nil
}

// counter is the memory's on one node, the database's where several may share it.
func (a *App) counter(ctx context.Context, p *parts) (usage.Counter, error) {
	if a.cfg.Database != "" {
		return a.store.WindowCounter(), nil
	}
	memory := usage.NewMemory()
	saver := usage.NewSaver(usage.SaverDeps{Counter: memory, Keeper: a.store.Windows(), Now: a.now, Log: a.log})
	if err := saver.Load(ctx); err != nil {
		return nil, err
	}
	p.background = append(p.background, part{"rate windows", saver.Run})
	return memory, nil
}

// edge joins the services to the API.
func (a *App) edge(p *parts, scans *scan.Service, charges *usage.Service) error {
	book := logbook{signing: a.signing, store: a.store}
	table := scanapi.Routes(scanapi.Deps{
		Version: version, Scans: scans, Results: scans, Packages: inventory.New(scans, catalog.All()), Comparisons: a.comparing(), Events: events{a.store}, Keys: a.access,
		Now: a.now, Stopping: a.stopping,
		Usage: p.usage, Templates: a.templating(p, scans),
	})
	table = append(table, hookapi.Routes(hookapi.Deps{Webhooks: p.hooks, Deliveries: p.hooks, Now: a.now})...)
	table = append(table, platform.Routes(platform.Deps{
		Assets: a.assets, Organizations: a.tenants, Reports: a.reporting(p), Findings: a.triaging(p), Cases: a.correlating(p), Log: book, Health: health{a}, Metrics: p.metrics.Handler(), Intel: a.intelligence(), VEX: a.exchanging(scans),
		Build: platform.Build{Version: version, Go: Version().Go}, Started: a.now(), Now: a.now, TLS: a.tlsStatus,
	})...)
	table = append(table, vaultapi.Routes(vaultapi.Deps{
		Accounts: a.access, Organizations: licences{a.tenants, a.orgs}, Version: version,
	})...)
	routes, err := api.New(api.Deps{Replays: a.store}, table)
	if err != nil {
		return fmt.Errorf("building the API: %w", err)
	}
	trusted, err := config.Prefixes(a.cfg.TrustedProxies)
	if err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	chain, err := mw.New(mw.Deps{
		Router: routes, Auth: a.access, Windows: charges, Audit: a.store, Log: a.log, IDs: a.ids, Now: a.now,
		Observe: func(s mw.Seen) {
			p.metrics.ObserveRequest(s.Method, s.Route, s.Status, s.Duration)
			if s.Code != "" {
				p.metrics.ObserveRefusal(string(s.Code))
			}
		},
		Config: mw.Config{TrustedProxies: trusted, RequireTLS: a.cfg.BehindTLSProxy, Origins: a.cfg.CORSOrigins},
	})
	if err != nil {
		return err
	}
	p.background = append(p.background, part{"refusals", chain.Run})
	p.handler = p.traces.Handler(chain, func(r *http.Request) string { return r.Pattern })
	return nil
}

// shut closes what the parts hold, after everything stopped.
func (a *App) shut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.traces.Shutdown(ctx); err != nil {
		a.log.WarnContext(ctx, "the last traces weren't sent", slog.String("error", err.Error()))
	}
	return a.blobs.Close()
}
