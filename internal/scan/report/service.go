package report

import (
	"context"
	"io"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Deps is what the service works with. All are required but Changed.
type Deps struct {
	Store   Store
	Blobs   Blobs
	Engines []string // ids that a filter may name
	Zone    schedule.Zone
	Now     func() time.Time
	IDs     *uid.Source
	// Changed is called after a commit that may make something due; it must not block. nil = nobody listens.
	Changed func()
}

// Service keeps definitions and shows what became of them. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns the service.
func New(d Deps) *Service {
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Service{d: d}
}

func missing() error { return fault.Missing("report") }

func missingRun() error { return fault.Missing("report run") }

// now is the clock as the database keeps it.
func (s *Service) now() time.Time { return instant(s.d.Now) }

func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }

func resource(id uid.Report) audit.Resource { return audit.Resource{Kind: "report", ID: string(id)} }

// Create adds a definition that runs as the actor. Faults: Invalid, naming every wrong field; Forbidden where the actor
// may not read what the report tells of; Conflict where the organization has MaxReports.
func (s *Service) Create(ctx context.Context, a access.Actor, d Draft) (Report, error) {
	d, sched, err := s.check(d)
	if err != nil {
		return Report{}, err
	}
	if err := May(a, d.Kind); err != nil {
		return Report{}, err
	}
	now := s.now()
	r := Report{ID: uid.Report(s.d.IDs.New()), Org: a.Org, CreatedBy: a.Principal(), CreatedAt: now}
	r.take(d, sched, a, now)
	err = s.d.Store.Change(ctx, a.Org, audit.Event{Type: event.ReportCreated, Resource: resource(r.ID)}, func(ctx context.Context, tx Tx) error {
		return tx.InsertReport(ctx, r)
	})
	if err != nil {
		return Report{}, err
	}
	s.d.Changed()
	return r, nil
}

// take puts a checked draft into the definition. From now on it runs as the actor.
func (r *Report) take(d Draft, sched *schedule.Schedule, a access.Actor, now time.Time) {
	again := r.Schedule != nil && d.Schedule != nil && *r.Schedule == *d.Schedule && r.Enabled && d.Enabled
	r.Name, r.Kind, r.Format, r.Filter, r.Schedule, r.Enabled = d.Name, d.Kind, d.Format, d.Filter, d.Schedule, d.Enabled
	r.Owner, r.UpdatedAt, r.Stopped = a.Principal(), now, ""
	switch {
	case sched == nil || !d.Enabled:
		r.NextAt = time.Time{}
	case !again: // the same schedule keeps what is due
		r.NextAt = sched.Next(now)
	}
}

// May reports whether the actor may read what a report of the kind tells of; Forbidden otherwise.
func May(a access.Actor, k Kind) error {
	if err := a.May(access.FindingsRead); err != nil || k != Scans {
		return err
	}
	return a.May(access.ScansList)
}

// Get returns a definition; another organization's, and an id that is none, are NotFound faults.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Report) (Report, error) {
	if !uid.Valid(string(id)) {
		return Report{}, missing()
	}
	return s.d.Store.Report(ctx, org, id)
}

// List returns one page of definitions, newest first.
func (s *Service) List(ctx context.Context, org uid.Org, p page.Request) (List, error) {
	return s.d.Store.Reports(ctx, org, p)
}

// Update replaces a definition; from now on it runs as the actor. Faults as of Create, and NotFound.
func (s *Service) Update(ctx context.Context, a access.Actor, id uid.Report, d Draft) (Report, error) {
	if !uid.Valid(string(id)) {
		return Report{}, missing()
	}
	d, sched, err := s.check(d)
	if err != nil {
		return Report{}, err
	}
	if err := May(a, d.Kind); err != nil {
		return Report{}, err
	}
	now := s.now()
	var out Report
	err = s.d.Store.Change(ctx, a.Org, audit.Event{Type: event.ReportUpdated, Resource: resource(id)}, func(ctx context.Context, tx Tx) error {
		var err error
		if out, err = tx.ReportForUpdate(ctx, id); err != nil {
			return err
		}
		out.take(d, sched, a, now)
		return tx.UpdateReport(ctx, out)
	})
	if err != nil {
		return Report{}, err
	}
	s.d.Changed()
	return out, nil
}

// Delete removes a definition with its runs and documents; NotFound where there is none.
func (s *Service) Delete(ctx context.Context, org uid.Org, id uid.Report) error {
	if !uid.Valid(string(id)) {
		return missing()
	}
	return s.d.Store.Change(ctx, org, audit.Event{Type: event.ReportDeleted, Resource: resource(id)}, func(ctx context.Context, tx Tx) error {
		return tx.DeleteReport(ctx, id)
	})
}

// RunNow asks for a run beside the schedule, also of a disabled report. Where one was asked for already and hasn't
// ended, it is a Conflict fault.
func (s *Service) RunNow(ctx context.Context, a access.Actor, id uid.Report) (Run, error) {
	if !uid.Valid(string(id)) {
		return Run{}, missing()
	}
	run := Run{ID: uid.ReportRun(s.d.IDs.New()), Org: a.Org, Report: id, Status: Queued, AskedBy: a.Principal(), Due: s.now()}
	err := s.d.Store.Change(ctx, a.Org, audit.Event{Type: event.ReportRunAsked, Resource: resource(id)}, func(ctx context.Context, tx Tx) error {
		r, err := tx.ReportForUpdate(ctx, id)
		if err != nil {
			return err
		}
		if err := May(a, r.Kind); err != nil {
			return err
		}
		var sched *schedule.Schedule
		if r.Schedule != nil {
			got, err := schedule.Parse(*r.Schedule, s.d.Zone)
			if err != nil {
				return err
			}
			sched = &got
		}
		run.Kind, run.Format = r.Kind, r.Format
		run.From, run.To = r.period(sched, run.Due, run.Due)
		return tx.InsertReportRun(ctx, run)
	})
	if err != nil {
		return Run{}, err
	}
	s.d.Changed()
	return run, nil
}

// Run returns one run of a report.
func (s *Service) Run(ctx context.Context, org uid.Org, id uid.Report, run uid.ReportRun) (Run, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return Run{}, err
	}
	if !uid.Valid(string(run)) {
		return Run{}, missingRun()
	}
	return s.d.Store.ReportRun(ctx, org, id, run)
}

// Runs returns one page of a report's runs, newest first.
func (s *Service) Runs(ctx context.Context, org uid.Org, id uid.Report, p page.Request) (Runs, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return Runs{}, err
	}
	return s.d.Store.ReportRuns(ctx, org, id, p)
}

// Open opens the document of a run that is ready; the caller closes it. One that isn't ready is a Conflict fault, one
// whose document is kept no longer, or on another node, NotFound.
func (s *Service) Open(ctx context.Context, org uid.Org, id uid.Report, run uid.ReportRun) (Run, io.ReadCloser, error) {
	r, err := s.Run(ctx, org, id, run)
	if err != nil {
		return Run{}, nil, err
	}
	if r.Status != Ready {
		return Run{}, nil, fault.New(fault.Conflict, fault.CodeConflict, "this run has no document: it isn't ready")
	}
	doc, err := s.d.Blobs.Open(ctx, org, r.SHA256)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return Run{}, nil, fault.Missing("report document").Because(err)
	}
	if err != nil {
		return Run{}, nil, err
	}
	return r, doc, nil
}
