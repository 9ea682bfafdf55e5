// Package phase carries out one order with many engines: a parent scan whose children are ordinary scans, made phase by
// phase (inventory, surface, vulnerability), later ones fed by what earlier ones found, and whose results are merged
// into one finding for each real issue.
//
// A parent is a row: nobody runs it, and the end of each child brings it on. It never widens the scope of its order:
// children look only at places that typed fields of earlier results name, that lie within the order's own target, and
// that pass the organization's scope anew. It must never call an engine or keep state of its own between two looks.
// Start with Decide, which is the whole state machine; plan.go is which engine looks at what, as data.
package phase

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Turn is a parent that is to be looked at. Seq tells whether a child has ended since it was read.
type Turn struct {
	Org  uid.Org
	Scan uid.Scan
	Seq  int64
}

// Store is what parents need of a database, scoped to org but for Due.
type Store interface {
	// Due returns parents of all organizations that are to be looked at, the longest due first.
	Due(ctx context.Context, now time.Time, limit int) ([]Turn, error)
	Scan(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error)
	Children(ctx context.Context, org uid.Org, id uid.Scan) ([]scan.Scan, error)
	Looked(ctx context.Context, org uid.Org, id uid.Scan) (engine.Looked, error)
	ScanAssets(ctx context.Context, org uid.Org, id uid.Scan) ([]asset.Observation, error)
	EachResult(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery, f func(scan.Result) error) error
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit. A unit may run twice, and holds at most 500 rows.
type Tx interface {
	scan.EntryTx
	scan.EndTx

	// HoldParent reads a parent and its children as they are inside this unit, and holds the parent until the unit ends.
	HoldParent(ctx context.Context, id uid.Scan) (scan.Scan, []scan.Scan, error)
	// AdvanceParent writes course, progress and phase of an open parent and, where s has started, that it runs; a Conflict
	// fault when it isn't open any more.
	AdvanceParent(ctx context.Context, s scan.Scan) error
	// RenewParent begins to merge: results are recorded under the fence that it returns.
	RenewParent(ctx context.Context, id uid.Scan) (fence int64, err error)
	// RecordMerged writes results of a parent; a Conflict fault when somebody else has begun to merge.
	RecordMerged(ctx context.Context, id uid.Scan, fence int64, list []scan.Result) error
	// FinishParent ends a parent, makes what was merged under the fence visible and ends its turns; with f.Status Cancelled
	// it completes one that was cancelled.
	FinishParent(ctx context.Context, id uid.Scan, fence int64, f scan.Finish) error
	// SettleTurn says when a parent is to be looked at next, unless a child has ended since the turn was read.
	SettleTurn(ctx context.Context, t Turn, next time.Time) error
	// EndTurn forgets a parent that needs nothing any more.
	EndTurn(ctx context.Context, id uid.Scan) error
}

// Orders is what children are made by.
type Orders interface {
	// Derive makes the child that an order of a parent would become, checked as any order; it keeps nothing.
	Derive(ctx context.Context, parent scan.Scan, o scan.Order) (scan.Scan, error)
	// Reach resolves a target and checks it against the organization's scope.
	Reach(ctx context.Context, org uid.Org, target asset.Target) (scan.Reach, error)
}

// Deps is what the service works with.
type Deps struct {
	Store  Store
	Orders Orders
	Now    func() time.Time
	Log    *slog.Logger
	// Changed is called after a commit that put children into the line; it must not block.
	Changed func()
	// Ended is told of each parent whose end was written, for metrics; nil = nobody listens.
	Ended func(scan.Ended)
	Tick  time.Duration // between two looks without a wake; 0 = 1 second
}

// Service brings parents on. Several may run, on several nodes: what one does is checked again inside its unit.
type Service struct {
	d    Deps
	wake chan struct{}
}

// New returns a service that isn't running.
func New(d Deps) *Service {
	if d.Tick <= 0 {
		d.Tick = time.Second
	}
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Service{d: d, wake: make(chan struct{}, 1)}
}

// Wake makes a sleeping service look now. It never blocks, and may be called before Run and after it.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

const (
	round    = 64               // parents of one look
	parallel = 4                // parents that are brought on at once
	pace     = 2 * time.Second  // between two looks at a parent of which no child begins or ends
	slow     = 10 * time.Second // the same, where none runs
	penalty  = 15 * time.Second
)

// Run brings parents on until ctx ends. What fails is logged and tried again later.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.d.Tick)
	defer tick.Stop()
	for {
		for s.Look(ctx) == round && ctx.Err() == nil {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Look brings on all parents whose turn it is, at most so many at a time, and returns how many those were.
func (s *Service) Look(ctx context.Context) int {
	turns, err := s.d.Store.Due(ctx, instant(s.d.Now), round)
	if err != nil {
		if ctx.Err() == nil {
			s.d.Log.ErrorContext(ctx, "parents not read", slog.Any("error", err))
		}
		return 0
	}
	next := make(chan Turn)
	var all sync.WaitGroup
	for range min(parallel, len(turns)) {
		all.Go(func() {
			for t := range next {
				s.safely(ctx, t)
			}
		})
	}
	for _, t := range turns {
		next <- t
	}
	close(next)
	all.Wait()
	return len(turns)
}

// safely keeps a failure or defect at one parent from the others, and puts the parent off.
func (s *Service) safely(ctx context.Context, t Turn) {
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				s.d.Log.ErrorContext(ctx, "parent panicked", slog.String("scan", string(t.Scan)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				err = fault.New(fault.Internal, fault.CodeInternal, "bringing the scan on failed")
			}
		}()
		return s.Advance(ctx, t)
	}()
	switch {
	case err == nil || ctx.Err() != nil:
		return
	case fault.KindOf(err) == fault.Conflict: // somebody else was faster, or it has changed meanwhile
		err = s.settle(ctx, t, s.d.Now().Add(s.d.Tick))
	default:
		s.d.Log.WarnContext(ctx, "scan not brought on", slog.String("scan", string(t.Scan)), slog.Any("error", err))
		err = s.settle(ctx, t, s.d.Now().Add(penalty))
	}
	if err != nil && ctx.Err() == nil {
		s.d.Log.WarnContext(ctx, "scan not put off", slog.String("scan", string(t.Scan)), slog.Any("error", err))
	}
}

func (s *Service) settle(ctx context.Context, t Turn, next time.Time) error {
	return s.d.Store.Change(ctx, t.Org, audit.Bookkeeping("when a scan of several engines is looked at next"), func(ctx context.Context, tx Tx) error {
		return tx.SettleTurn(ctx, t, next)
	})
}

// instant is the clock as the database keeps it.
func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }

func resource(id uid.Scan) audit.Resource { return audit.Resource{Kind: "scan", ID: string(id)} }

// tell emits the events of children that were put into the line.
func tell(ctx context.Context, tx Tx, children []scan.Scan) error {
	subjects, data := make([]string, len(children)), make([]any, len(children))
	for i, c := range children {
		subjects[i], data[i] = string(c.ID), c.Notice()
	}
	return tx.EmitAll(ctx, event.ScanQueued, subjects, data)
}
