package app

import (
	"context"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/word/uid"
)

// exchanging makes the service of VEX documents. It never makes acceptances, so nobody need be told when they end.
func (a *App) exchanging(scans *scan.Service) *vex.Service {
	return vex.New(vex.Deps{
		Store: a.store.VEX(), Scans: scanFindings{scans}, Now: a.now, IDs: a.ids,
		Decider: triage.New(triage.Deps{Store: a.store.Triage(), Lapses: a.store.Lapses(), Now: a.now, Log: a.log}),
	})
}

// scanFindings tells which findings a scan saw.
type scanFindings struct{ scans *scan.Service }

// FindingsOf implements vex.Scans.
func (s scanFindings) FindingsOf(ctx context.Context, org uid.Org, id uid.Scan) (map[uid.Finding]bool, error) {
	sc, err := s.scans.Get(ctx, org, id)
	if err != nil {
		return nil, err
	}
	if err := sc.Ready(); err != nil {
		return nil, err
	}
	seen := map[uid.Finding]bool{}
	return seen, s.scans.EachResult(ctx, org, id, scan.ResultQuery{}, func(r scan.Result) error {
		if len(r.CVE) > 0 {
			seen[r.ID] = true
		}
		return nil
	})
}
