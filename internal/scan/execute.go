package scan

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// Outfit says for which run an engine is equipped: what it is and what it may reach.
type Outfit struct {
	Scan     Scan
	Manifest engine.Manifest
	Reach    Reach
}

// Hub tells of committed outbox events about a subject: the channel gets a value when there may be something new. The
// returned function ends the subscription.
type Hub interface {
	Subscribe(org uid.Org, subject string) (<-chan struct{}, func(), error)
}

// ExecutorDeps is what running scans needs.
type ExecutorDeps struct {
	Store   Store
	Engines []engine.Engine
	Gate    Gate
	// Equip makes what an engine may use in one run, but for Now, Log, Progress and Artifact, which are the executor's, and
	// what clears it away. Its faults end the scan.
	Equip        func(context.Context, Outfit) (env engine.Env, done func() error, err error)
	Blobs        Blobs
	Sealer       Sealer
	Hub          Hub
	Capabilities engine.Capabilities
	Now          func() time.Time
	Log          *slog.Logger
	Changed      func() // as in Deps
	// Ended is told of each run whose end was written, for metrics; nil = nobody listens. It must not block.
	Ended func(Ended)
}

// Ended is how a run ended and what it made of findings, in numbers.
type Ended struct {
	Engine   string
	Status   Status
	Outcome  engine.Outcome
	Took     time.Duration
	Findings map[event.Type]int // by finding.* event
}

// Executor runs admitted scans, one at a time for each call of Run. It is safe for concurrent use.
type Executor struct {
	d       ExecutorDeps
	engines map[string]engine.Engine
}

// NewExecutor returns an executor.
func NewExecutor(d ExecutorDeps) *Executor {
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Executor{d: d, engines: byID(d.Engines)}
}

// Why a run's context ended.
var (
	errLost      = errors.New("the lease was lost")
	errCancelled = errors.New("the scan was cancelled")
)

// Bounds on what a run does after its engine has ended.
const (
	salvageTime = time.Minute      // to keep what a cancelled run has left
	finishTime  = 30 * time.Second // to write the end, tries included
)

// Run runs the scan that the job names, if it is still the one that was admitted under the job's fence: a job that
// comes twice, late, or for a cancelled scan does nothing and returns nil. However the scan ends, its end is written
// and nil returned. An error is a failure of the store: the scan is then taken back when its lease ends. When ctx ends
// (the process stops) the scan goes back into the line without counting the attempt.
func (e *Executor) Run(ctx context.Context, j job.Scan) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.d.Log.ErrorContext(ctx, "scan run panicked", slog.String("scan", string(j.Scan)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fault.New(fault.Internal, fault.CodeInternal, "the scan's run failed")
		}
	}()
	s, ok, err := e.begin(ctx, j)
	if err != nil || !ok {
		return err
	}
	r := &run{e: e, scan: s, log: e.d.Log.With(slog.String("scan", string(s.ID)), slog.String("engine", s.Engine))}
	defer e.d.Changed() // a place in the line is free
	return r.supervise(ctx)
}

// begin takes the admitted scan over: running, under lease, and announced.
func (e *Executor) begin(ctx context.Context, j job.Scan) (Scan, bool, error) {
	s, err := e.d.Store.Scan(ctx, j.Org, j.Scan)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return Scan{}, false, nil
	}
	if err != nil || s.Status != Queued || s.Fence != j.Fence {
		return Scan{}, false, err
	}
	now := instant(e.d.Now)
	s.Status, s.StartedAt, s.Progress, s.Phase = Running, now, 0, "starting"
	s.Attempt++
	s.LeaseUntil = now.Add(Lease)
	ev := audit.Event{Type: event.ScanStartedBy, Resource: resource(s.ID)}
	err = e.d.Store.Change(ctx, s.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := tx.StartScan(ctx, s.ID, s.Fence, now); err != nil {
			return err
		}
		if err := tx.KeepLease(ctx, s.ID, s.Fence, s.LeaseUntil, 0, s.Phase); err != nil {
			return err
		}
		return tx.Emit(ctx, event.ScanStarted, string(s.ID), s.Notice())
	})
	if err != nil && fault.KindOf(err) == fault.Conflict {
		return Scan{}, false, nil // cancelled or admitted anew since we looked
	}
	return s, err == nil, err
}

// run is one attempt at one scan.
type run struct {
	e    *Executor
	scan Scan
	log  *slog.Logger
}

// supervise runs the engine under the lease, keeps what it found and writes the end.
func (r *run) supervise(ctx context.Context) error {
	alive, end := context.WithCancelCause(ctx)
	beats := newHeart(r, end)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		beats.run(alive)
	}()
	defer func() {
		end(nil)
		<-stopped
	}()
	kept := &artifacts{blobs: r.e.d.Blobs, scan: r.scan}
	defer kept.drop()

	e := r.drive(alive, beats, kept)
	if fateOf(alive) == goesOn {
		beats.set(99, "reading results")
		if err := r.keep(alive, &e, kept); err != nil && alive.Err() == nil && !isConflict(err) {
			return err
		}
	}
	switch fateOf(alive) {
	case goesOn:
		return r.finish(ctx, e)
	case cancelled:
		return r.finishCancelled(ctx, e, kept)
	case stopping:
		return r.giveBack(ctx)
	case lost:
		r.log.WarnContext(ctx, "scan lease lost")
	}
	return nil
}

// fate says whether a run goes on, and if not, why.
type fate uint8

const (
	goesOn fate = iota
	cancelled
	stopping // the process is
	lost     // another worker's turn
)

func fateOf(alive context.Context) fate {
	switch cause := context.Cause(alive); {
	case cause == nil:
		return goesOn
	case errors.Is(cause, errCancelled):
		return cancelled
	case errors.Is(cause, errLost):
		return lost
	}
	return stopping
}

// change is Store.Change for what a run records: a store that is busy is asked again a few times, because the whole run
// would have to be repeated otherwise.
func (r *run) change(ctx context.Context, ev audit.Event, unit func(context.Context, Tx) error) error {
	wait := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := r.e.d.Store.Change(ctx, r.scan.Org, ev, unit)
		if err == nil || try == 5 || fault.KindOf(err) != fault.Unavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// isConflict reports whether the scan was no longer ours to write.
func isConflict(err error) bool { return err != nil && fault.KindOf(err) == fault.Conflict }

// keep stores raw output, findings and assets, and closes findings that a complete look no longer sees.
func (r *run) keep(ctx context.Context, e *end, kept *artifacts) error {
	if err := r.keepArtifacts(ctx, e, kept); err != nil {
		return err
	}
	in := newIntake(r, e)
	if err := in.read(ctx); err != nil {
		return err
	}
	if e.Status != Completed || in.cut {
		return nil // silence of a run that didn't come to its end says nothing
	}
	return r.closeUnseen(ctx, e)
}

// finishCancelled keeps what a cancelled run has left, for a bounded time, and adds it to the scan's end.
func (r *run) finishCancelled(ctx context.Context, e end, kept *artifacts) error {
	work, done := context.WithTimeout(context.WithoutCancel(ctx), salvageTime)
	defer done()
	e.Status, e.Error, e.Outcome = Cancelled, nil, engine.Partial
	e.Reasons = []string{"the scan was cancelled before its end"}
	if err := r.keep(work, &e, kept); err != nil && !isConflict(err) {
		r.log.WarnContext(ctx, "partial results not kept", slog.Any("error", err))
	}
	return r.finish(ctx, e)
}

// finish writes the end and tells of it. A store that doesn't answer is asked again for a while: what was found is
// recorded already, and would have to be found again.
func (r *run) finish(ctx context.Context, e end) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer done()
	e.At = instant(r.e.d.Now)
	s := r.scan
	s.Status, s.Outcome, s.Reasons, s.Error = e.Status, e.Outcome, e.Reasons, e.Error
	e.Looked = s.Own(e.Looked)
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		err := r.writeEnd(ctx, e)
		if isConflict(err) && e.Status != Cancelled {
			e.Status, e.Error = Cancelled, nil // if it was cancelled at the last moment; else this conflicts too
			continue
		}
		if err == nil || isConflict(err) || ctx.Err() != nil {
			return ignoreConflict(err)
		}
		r.log.WarnContext(ctx, "scan end not written yet", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func ignoreConflict(err error) error {
	if isConflict(err) {
		return nil // somebody else has ended or taken the scan
	}
	return err
}

func (r *run) writeEnd(ctx context.Context, e end) error {
	s := r.scan
	s.Status, s.Outcome, s.Error, s.Summary, s.Progress, s.Phase = e.Status, e.Outcome, e.Error, e.Summary, e.progress, ""
	typ := event.ScanFailed
	if e.Status == Completed {
		typ, s.Progress = event.ScanCompleted, 100
	}
	ev := audit.Event{Type: event.ScanFinished, Resource: resource(s.ID), Reason: string(e.Status)}
	err := r.e.d.Store.Change(ctx, s.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := tx.FinishScan(ctx, s.ID, s.Fence, e.Finish); err != nil {
			return err
		}
		for _, t := range e.turns() {
			if t.count == 0 {
				continue
			}
			n := FindingNotice{ScanID: s.ID, ParentID: s.Parent, ScanType: s.Engine, Count: t.count, FindingIDs: t.ids}
			if err := tx.Emit(ctx, t.typ, string(s.ID), n); err != nil {
				return err
			}
		}
		if e.Status == Cancelled {
			return nil // the cancellation was told when it was asked for
		}
		return tx.Emit(ctx, typ, string(s.ID), s.Notice())
	})
	if err == nil && r.e.d.Ended != nil {
		n := Ended{Engine: s.Engine, Status: e.Status, Outcome: e.Outcome, Took: e.At.Sub(s.StartedAt), Findings: map[event.Type]int{}}
		for _, t := range e.turns() {
			n.Findings[t.typ] = t.count
		}
		r.e.d.Ended(n)
	}
	return err
}

// giveBack puts the scan into the line again because the process stops.
func (r *run) giveBack(ctx context.Context) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer done()
	ev := audit.Event{Type: event.ScanRequeued, Resource: resource(r.scan.ID), Reason: "the server stops"}
	return ignoreConflict(r.e.d.Store.Change(ctx, r.scan.Org, ev, func(ctx context.Context, tx Tx) error {
		return tx.RequeueScan(ctx, r.scan.ID, r.scan.Fence, false)
	}))
}
