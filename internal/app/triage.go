package app

import "assay.dev/assay/internal/scan/triage"

// triaging makes the service of what people decide on findings. A scheduler ends acceptances when their time comes;
// whoever reads before is shown them as ended all the same.
func (a *App) triaging(p *parts) *triage.Service {
	service := triage.New(triage.Deps{Store: a.store.Triage(), Lapses: a.store.Lapses(), Now: a.now, Log: a.log})
	if a.cfg.Has("scheduler") {
		p.workers = append(p.workers, part{"ends of acceptances", service.Run})
	}
	return service
}
