package app

import "assay.dev/assay/internal/org/usage"

// metering builds the reports of what organizations use: from the counters that the store keeps, and from the windows
// that refuse.
func (a *App) metering(p *parts, counter usage.Counter) {
	p.usage = usage.NewReports(usage.ReportsDeps{Ledger: a.store.Usage(), Counter: counter, Now: a.now})
}
