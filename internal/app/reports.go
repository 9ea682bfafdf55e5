package app

import (
	"context"
	"time"

	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/web/api/platform"
	forms "assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/uid"
)

// reporting builds recurring reports: the service that keeps definitions and the runner that makes what is due. The
// forms of documents belong to the edge; they are handed in.
func (a *App) reporting(p *parts) platform.Reports {
	var engines []string
	for _, e := range catalog.All() {
		engines = append(engines, e.Manifest().ID)
	}
	kept := blobs{p.blobs}
	runner := report.NewRunner(report.RunnerDeps{
		Store: a.store.Reports(), Line: a.store.ReportLine(), Blobs: kept, Owners: a.mayReport, Render: forms.Recurring(version),
		Zone: time.LoadLocation, IDs: a.ids, Now: a.now, Log: a.log, Schedules: a.cfg.Has("scheduler"), Makes: a.cfg.Has("worker"),
		Alone: a.cfg.Database == "",
	})
	if a.cfg.Has("scheduler") || a.cfg.Has("worker") {
		p.workers = append(p.workers, part{"reports", runner.Run})
	}
	return report.New(report.Deps{
		Store: a.store.Reports(), Blobs: kept, Engines: engines, Zone: time.LoadLocation, Now: a.now, IDs: a.ids, Changed: runner.Wake,
	})
}

// mayReport implements report.Owners: whether the principal may still read what a report of the kind tells of.
func (a *App) mayReport(ctx context.Context, org uid.Org, principal string, kind report.Kind) error {
	actor, err := a.access.Standing(ctx, org, principal)
	if err != nil {
		return err
	}
	return report.May(actor, kind)
}
