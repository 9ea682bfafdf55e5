// Package dispatch decides which waiting scans start next, lets them start, and takes scans back whose worker has died.
//
// It never runs a scan and never changes one that somebody else holds. Start with Dispatcher; Admission in decide.go is
// the pure decision.
package dispatch

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// round bounds what one unit of the dispatcher admits, so that it holds the writer only shortly.
const round = 64

// Deps is what the dispatcher works with.
type Deps struct {
	Line  scan.Line
	Store scan.Store
	Now   func() time.Time
	Log   *slog.Logger
	// Capacity is how many scans the installation runs at once, over all nodes; 0 = no bound. An admitted scan that no
	// worker takes loses its lease and goes back into the line.
	Capacity int
	// Alone says that no other process works on this database, so that every lease found at the start is a dead one.
	Alone bool
	Tick  time.Duration // between two looks without a wake; 0 = 5 seconds
}

// Dispatcher lets waiting scans start, and takes scans back whose worker has died. Several may run; their looks at the
// line exclude each other in the database.
type Dispatcher struct {
	d    Deps
	born time.Time
	wake chan struct{}
}

// New returns a dispatcher that isn't running. Make it before this process's workers start: who is Alone
// takes back the leases that were given before now.
func New(d Deps) *Dispatcher {
	if d.Tick <= 0 {
		d.Tick = 5 * time.Second
	}
	return &Dispatcher{d: d, born: instant(d.Now), wake: make(chan struct{}, 1)}
}

// Wake makes a sleeping dispatcher look now. It never blocks, and may be called before Run and after it.
func (d *Dispatcher) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run dispatches until ctx ends. What fails is logged and tried again at the next look.
func (d *Dispatcher) Run(ctx context.Context) error {
	if d.d.Alone {
		// A lease that one of our own workers has been given since ends later than one from before could.
		d.safely(ctx, func(ctx context.Context) error { return d.reap(ctx, d.born.Add(scan.Lease)) })
	}
	tick := time.NewTicker(d.d.Tick)
	defer tick.Stop()
	for {
		d.safely(ctx, d.admit)
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-tick.C:
			d.safely(ctx, func(ctx context.Context) error { return d.reap(ctx, d.d.Now()) })
		}
	}
}

// safely keeps a failure or defect from ending the dispatcher.
func (d *Dispatcher) safely(ctx context.Context, f func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil {
			d.d.Log.ErrorContext(ctx, "dispatcher panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if err := f(ctx); err != nil && ctx.Err() == nil {
		d.d.Log.ErrorContext(ctx, "dispatcher failed", slog.Any("error", err))
	}
}

// admit lets start what may, a bounded number at a time.
func (d *Dispatcher) admit(ctx context.Context) error {
	for ctx.Err() == nil {
		now := instant(d.d.Now)
		a := Admission{Now: now, Capacity: d.d.Capacity, Most: round}
		n, err := d.d.Line.Admit(ctx, now, now.Add(scan.Lease), func(w []scan.Waiting, r []scan.Slot, l map[uid.Org]tenant.Concurrency) []scan.Waiting {
			return a.Pick(w, r, l)
		})
		if err != nil || n < round {
			return err
		}
	}
	return nil
}

// reap takes back the scans whose lease ended before the given time.
func (d *Dispatcher) reap(ctx context.Context, before time.Time) error {
	for ctx.Err() == nil {
		dead, err := d.d.Line.Expired(ctx, before, round)
		if err != nil {
			return err
		}
		for _, s := range dead {
			if err := d.takeBack(ctx, s, before); err != nil {
				return err
			}
		}
		if len(dead) < round {
			return nil
		}
	}
	return nil
}

// takeBack puts an interrupted scan into the line again, or ends it after its last attempt. A scan that has gone on in
// the meantime is left alone, also where a worker of ours has just taken it up under the same fence.
func (d *Dispatcher) takeBack(ctx context.Context, s scan.Slot, before time.Time) error {
	ev := audit.Event{Type: event.ScanRequeued, Resource: resource(s.Scan), Reason: "its worker stopped answering"}
	unit := func(ctx context.Context, tx scan.Tx) error { return tx.RequeueScan(ctx, s.Scan, s.Fence, true) }
	if s.Attempt >= scan.MaxAttempts {
		ev.Type = event.ScanFinished
		unit = d.giveUp(s)
	}
	err := d.d.Store.Change(ctx, s.Org, ev, func(ctx context.Context, tx scan.Tx) error {
		now, err := tx.ScanForUpdate(ctx, s.Scan)
		if err != nil {
			return err
		}
		if now.Fence != s.Fence || !now.LeaseUntil.Before(before) {
			return fault.New(fault.Conflict, fault.CodeConflict, "the scan has gone on")
		}
		return unit(ctx, tx)
	})
	if err != nil && fault.KindOf(err) != fault.Conflict {
		return err
	}
	if err == nil {
		d.d.Log.WarnContext(ctx, "scan was interrupted", slog.String("scan", string(s.Scan)), slog.Int("attempt", s.Attempt))
	}
	return nil
}

func (d *Dispatcher) giveUp(s scan.Slot) func(context.Context, scan.Tx) error {
	const why = "the scan was interrupted three times; its worker stopped each time before the end"
	f := scan.Finish{
		Status: scan.Failed, At: instant(d.d.Now), Outcome: engine.Failed, Reasons: []string{why},
		Error: &scan.Error{Code: fault.CodeScanInterrupted, Message: why}, Free: true,
	}
	return func(ctx context.Context, tx scan.Tx) error {
		if err := tx.FinishScan(ctx, s.Scan, s.Fence, f); err != nil {
			return err
		}
		ended, err := tx.SummariseScan(ctx, s.Scan) // what its last attempt found can be read
		if err != nil {
			return err
		}
		return tx.Emit(ctx, event.ScanFailed, string(s.Scan), ended.Notice())
	}
}

// instant is the clock as the database keeps it.
func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }

func resource(id uid.Scan) audit.Resource { return audit.Resource{Kind: "scan", ID: string(id)} }
