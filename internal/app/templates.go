package app

import (
	"time"
	_ "time/tzdata" // schedules know their zones on hosts that don't

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
)

// templating builds scan templates: the service that keeps and launches them, and the scheduler that starts those whose
// time has come.
func (a *App) templating(p *parts, scans *scan.Service) *template.Service {
	scheduler := template.NewScheduler(template.SchedulerDeps{
		Agenda: a.store.Templates(), Store: a.store.Templates(), Scans: scans, Owners: a.access, Sealer: a.sealer, Zone: time.LoadLocation,
		Now: a.now, IDs: a.ids, Log: a.log,
	})
	if a.cfg.Has("scheduler") {
		p.workers = append(p.workers, part{"schedules", scheduler.Run})
	}
	return template.New(template.Deps{
		Store: a.store.Templates(), Scans: scans, Sealer: a.sealer, Zone: time.LoadLocation, Now: a.now, IDs: a.ids, Changed: scheduler.Wake,
	})
}
