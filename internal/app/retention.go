package app

import (
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/retention"
)

// comparing makes the service that puts two scans beside each other.
func (a *App) comparing() *comparison.Service { return comparison.New(a.store.Comparisons()) }

// retaining adds the sweeper of scans and raw outputs that are kept no longer.
func (a *App) retaining(p *parts) {
	if !a.cfg.Has("scheduler") {
		return
	}
	sweeper := retention.New(retention.Deps{Store: a.store.ScanRetention(), Files: p.blobs, Now: a.now, Log: a.log})
	p.workers = append(p.workers, part{"scan retention", sweeper.Run})
}
