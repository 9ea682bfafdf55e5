package app

import (
	"context"
	"io"
	"net/netip"
	"strings"

	"assay.dev/assay/internal/infra/blob"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/queue"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
	"assay.dev/assay/internal/worker"
)

// blobs is the artifact folder as scans see it.
type blobs struct{ store *blob.Store }

// Create implements scan.Blobs.
func (b blobs) Create(org uid.Org, id string) (scan.Blob, error) { return b.store.Create(org, id) }

// Open implements scan.Blobs.
func (b blobs) Open(ctx context.Context, org uid.Org, digest string) (io.ReadSeekCloser, error) {
	return b.store.Open(ctx, org, digest)
}

// events is the outbox as live streams read it.
type events struct{ store *store.Store }

// Events implements scanapi.Events.
func (e events) Events(ctx context.Context, org uid.Org, subject string, after int64, limit int) ([]event.Event, error) {
	return e.store.Events(ctx, org, subject, after, limit)
}

// Subscribe implements scanapi.Events.
func (e events) Subscribe(org uid.Org, subject string) (<-chan struct{}, func(), error) {
	return e.store.Hub().Subscribe(org, subject)
}

// scanGround is what scanning stands on beside the App's ground.
type scanGround struct {
	runner *runner.Runner
	own    []netip.AddrPort
	allow  []netip.Prefix // what the operator lets the server's own clients reach
	quota  *usage.Service
}

// scanning builds wing one: the service that takes orders, the dispatcher that lets them start, and the queue whose
// workers run them. Commits wake the dispatcher; the dispatcher's commits wake the queue.
func (a *App) scanning(ctx context.Context, p *parts, g scanGround) (*scan.Service, error) {
	fit, err := a.newOutfitter(g)
	if err != nil {
		return nil, err
	}
	gate := scan.Gate{
		Resolver:  egress.NewResolver(fit.lookup),
		Listeners: func() ([]netip.AddrPort, error) { return egress.Listeners(a.listeners()) },
		Folders:   folders(a.cfg.FilesystemRoot),
	}
	dispatcher := dispatch.New(dispatch.Deps{
		Line: a.store.Line(), Store: a.store.Scans(), Now: a.now, Log: a.log, Alone: a.cfg.Database == "",
	})
	available := engine.NewRoster(engine.RosterDeps{Engines: catalog.All(), Env: fit.check, Log: a.log})
	var phases *phase.Service
	changed := func() {
		dispatcher.Wake()
		phases.Wake()
	}
	ended := func(e scan.Ended) {
		p.metrics.ObserveScan(e.Engine, string(e.Status), string(e.Outcome), e.Took)
		for t, n := range e.Findings {
			p.metrics.ObserveFindings(e.Engine, strings.TrimPrefix(string(t), "finding."), n)
		}
	}
	executor := scan.NewExecutor(scan.ExecutorDeps{
		Store: a.store.Scans(), Engines: catalog.All(), Gate: gate, Equip: fit.equip, Blobs: blobs{p.blobs}, Sealer: a.sealer,
		Hub: a.store.Hub(), Capabilities: runner.Capabilities(), Now: a.now, Log: a.log, Changed: changed, Ended: ended,
	})
	jobs := worker.New(worker.Deps{Scans: executor, Log: a.log})
	if err := a.openQueue(ctx, p, jobs); err != nil {
		return nil, err
	}
	a.store.SetJobs(store.Jobs{Enqueue: p.queue.Enqueue, Complete: p.queue.Complete, Committed: p.queue.Committed})
	p.workers = append(p.workers, part{"queue", p.queue.Run})
	if a.cfg.Has("scheduler") {
		p.workers = append(p.workers, part{"dispatcher", dispatcher.Run})
	}
	p.workers = append(p.workers, part{"engine checks", available.Run})
	scans := scan.New(scan.Deps{
		Store: a.store.Scans(), Assets: a.store.Assets(), Engines: catalog.All(), Availability: available, Gate: gate, Quota: g.quota,
		Callbacks: p.hooks,
		Sealer:    a.sealer, Blobs: blobs{p.blobs}, Capabilities: runner.Capabilities(), Now: a.now, IDs: a.ids, Changed: changed,
	})
	phases = phase.New(phase.Deps{Store: a.store.Phases(), Orders: scans, Now: a.now, Log: a.log, Changed: dispatcher.Wake, Ended: ended})
	if a.cfg.Has("scheduler") {
		p.workers = append(p.workers, part{"phases", phases.Run})
	}
	return scans, nil
}

func (a *App) openQueue(ctx context.Context, p *parts, jobs *worker.Worker) (err error) {
	cfg := queue.Config{
		Workers: a.cfg.Workers, Drain: a.cfg.ShutdownTimeout, Logger: a.log, Now: a.now, SkipWork: !a.cfg.Has("worker"),
		Work: func(ctx context.Context, j job.Scan) job.Decision {
			d := jobs.RunScan(ctx, j)
			p.metrics.ObserveJob(string(job.RunScan), d.String())
			return d
		},
	}
	if a.cfg.Database != "" {
		p.queue, err = queue.OpenPostgres(ctx, a.store.Database(), a.cfg.Database, cfg)
		return err
	}
	p.queue, err = queue.OpenSQLite(ctx, a.store.Database(), cfg)
	return err
}

func folders(root string) []string {
	if root == "" {
		return nil
	}
	return []string{root}
}
