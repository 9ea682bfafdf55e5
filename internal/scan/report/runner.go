package report

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Making is how long the making of one document may take. A run is held a little longer, so that no other node begins
// it before it was given up.
const (
	Making = 10 * time.Minute
	Hold   = Making + time.Minute
)

// atOnce bounds what one look takes on.
const atOnce = 32

// RunnerDeps is what a Runner works with. All are required but Tick (0 = 5 seconds).
type RunnerDeps struct {
	Store  Store
	Line   Line
	Blobs  Blobs
	Owners Owners
	Render Render
	Zone   schedule.Zone
	IDs    *uid.Source
	Now    func() time.Time
	Log    *slog.Logger
	// Schedules says that this process makes runs of due reports, Makes that it makes their documents.
	Schedules, Makes bool
	// Alone says that no other process works on this database, so that every run found held at the start is a dead one.
	Alone bool
	Tick  time.Duration // between two looks without a wake
}

// Runner makes runs of what is due and documents of runs. Several may run, on several nodes: the database lets one of
// them have each due time and each run.
type Runner struct {
	d    RunnerDeps
	wake chan struct{}
}

// NewRunner returns a runner that isn't running.
func NewRunner(d RunnerDeps) *Runner {
	if d.Tick <= 0 {
		d.Tick = 5 * time.Second
	}
	return &Runner{d: d, wake: make(chan struct{}, 1)}
}

// Wake makes a sleeping runner look now. It never blocks, and may be called before Run and after it.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run works until ctx ends. What fails is logged and tried again at the next look. A document that is being made when
// ctx ends is given up and made again later.
func (r *Runner) Run(ctx context.Context) error {
	reach := time.Duration(0)
	if r.d.Alone {
		reach = Hold + time.Minute // what is held now was held by a process that is gone
	}
	tick := time.NewTicker(r.d.Tick)
	defer tick.Stop()
	for {
		if r.d.Schedules {
			r.safely(ctx, r.due)
		}
		if r.d.Makes {
			r.safely(ctx, func(ctx context.Context) error { return r.open(ctx, reach) })
			reach = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
	}
}

// safely keeps a failure or defect from ending the runner.
func (r *Runner) safely(ctx context.Context, f func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil {
			r.d.Log.ErrorContext(ctx, "reports panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if err := f(ctx); err != nil && ctx.Err() == nil {
		r.d.Log.ErrorContext(ctx, "reports failed", slog.Any("error", err))
	}
}

// due makes a run of each report whose time has come.
func (r *Runner) due(ctx context.Context) error {
	list, err := r.d.Line.DueReports(ctx, instant(r.d.Now), atOnce)
	if err != nil {
		return err
	}
	for _, rep := range list {
		err := r.begin(ctx, rep)
		if err != nil && fault.KindOf(err) != fault.Conflict && fault.KindOf(err) != fault.NotFound { // else it has gone on without us
			r.d.Log.ErrorContext(ctx, "a due report can't be begun", slog.String("report", string(rep.ID)), slog.Any("error", err))
		}
	}
	if len(list) > 0 {
		r.Wake()
	}
	return nil
}

// begin moves a report's due time on and makes the run of it, in one unit, unless another node has. A report whose
// owner has lost the right is stopped instead.
func (r *Runner) begin(ctx context.Context, rep Report) error {
	now := instant(r.d.Now)
	if rep.Schedule == nil {
		return nil
	}
	sched, err := schedule.Parse(*rep.Schedule, r.d.Zone)
	if err != nil { // a time zone that this machine doesn't know
		return r.stop(ctx, rep, "its schedule can't be read on this server")
	}
	due, following, ok := sched.Due(string(rep.ID), rep.NextAt, now)
	if !ok {
		return nil // its jitter hasn't passed
	}
	if err := r.d.Owners(ctx, rep.Org, rep.Owner, rep.Kind); err != nil {
		if !lost(err) {
			return err
		}
		return r.stop(ctx, rep, "whoever defined it may no longer read what it tells of")
	}
	run := Run{ID: uid.ReportRun(r.d.IDs.New()), Org: rep.Org, Report: rep.ID, Status: Queued, Due: due}
	return r.d.Store.Change(ctx, rep.Org, audit.Event{Type: event.ReportDue, Resource: resource(rep.ID)}, func(ctx context.Context, tx Tx) error {
		current, err := tx.ReportForUpdate(ctx, rep.ID)
		if err != nil {
			return err
		}
		if !current.NextAt.Equal(rep.NextAt) || !current.Enabled || current.Owner != rep.Owner || current.Kind != rep.Kind {
			return elsewhere()
		}
		run.Kind, run.Format = current.Kind, current.Format
		run.From, run.To = current.period(&sched, due, now)
		current.NextAt = following
		if err := tx.UpdateReport(ctx, current); err != nil {
			return err
		}
		return tx.InsertReportRun(ctx, run)
	})
}

// elsewhere undoes a unit whose work another node has done.
func elsewhere() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "the report has gone on meanwhile")
}

// lost reports whether an owner's right is gone for good, as far as can be known.
func lost(err error) bool {
	switch fault.KindOf(err) {
	case fault.Forbidden, fault.Unauthenticated, fault.NotFound:
		return true
	case fault.Internal, fault.Invalid, fault.Conflict, fault.Exhausted, fault.Unavailable, fault.Unsupported, fault.Canceled:
	}
	return false
}

// stop disables a report and says so.
func (r *Runner) stop(ctx context.Context, rep Report, why string) error {
	now := instant(r.d.Now)
	ev := audit.Event{Type: event.ReportStopped, Resource: resource(rep.ID), Reason: why}
	return r.d.Store.Change(ctx, rep.Org, ev, func(ctx context.Context, tx Tx) error {
		current, err := tx.ReportForUpdate(ctx, rep.ID)
		if err != nil {
			return err
		}
		if !current.Enabled || current.Owner != rep.Owner {
			return elsewhere()
		}
		current.Enabled, current.Stopped, current.NextAt, current.UpdatedAt = false, why, time.Time{}, now
		if err := tx.UpdateReport(ctx, current); err != nil {
			return err
		}
		return tx.Emit(ctx, event.ReportFailed, string(rep.ID), Notice{
			Report: rep.ID, Kind: current.Kind, Format: current.Format, Error: fault.CodeForbidden, Stopped: true,
		})
	})
}

// open makes the documents of runs that wait. reach looks at runs that are held for so much longer.
func (r *Runner) open(ctx context.Context, reach time.Duration) error {
	for ctx.Err() == nil {
		list, err := r.d.Line.OpenReportRuns(ctx, instant(r.d.Now).Add(reach), atOnce)
		if err != nil {
			return err
		}
		for _, run := range list {
			if ctx.Err() != nil {
				return nil
			}
			err := r.make(ctx, run)
			if err != nil && fault.KindOf(err) != fault.Conflict && fault.KindOf(err) != fault.NotFound {
				r.d.Log.ErrorContext(ctx, "a report run failed", slog.String("run", string(run.ID)), slog.Any("error", err))
			}
		}
		if reach > 0 || len(list) < atOnce {
			return nil
		}
	}
	return nil
}
