package scan

import (
	"context"
	"slices"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// What follows is submission in its steps, for packages that put scans into the line in a unit of their own: Judge,
// then Enter within the unit, then Entered.

// EntryTx are the writes that put scans into the line, a part of Tx.
type EntryTx interface {
	usage.Tx

	// InsertScans adds scans at the end of the line, in their order.
	InsertScans(ctx context.Context, list []Scan) error
	// EmitAll is Emit for many: data[i] is about subjects[i].
	EmitAll(ctx context.Context, t event.Type, subjects []string, data []any) error
}

// EndTx are the writes that cancel a scan, a part of Tx.
type EndTx interface {
	FamilyTx

	CancelScan(ctx context.Context, id uid.Scan, at time.Time) (Scan, error)
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}

// Check checks all of an order that lies within it, as Submit does, and returns the scan that it would become, which is
// nowhere kept. An order without a target is checked but for it: its type must be one that the engine takes.
func (s *Service) Check(a access.Actor, o Order) (Scan, error) {
	if o.Target != "" {
		out, _, err := s.prepare(a, o)
		return out, err
	}
	e, ok := s.engines[o.Engine]
	if !ok {
		return Scan{}, fault.Wrong("scanType", "must be one of "+s.engineIDs())
	}
	if err := a.MayEngine(o.Engine); err != nil {
		return Scan{}, err
	}
	m := e.Manifest()
	out, err := s.draft(a, m, o)
	if err != nil {
		return Scan{}, err
	}
	if out.TargetType = o.TargetType; out.TargetType != "" && !slices.Contains(m.Targets, out.TargetType) {
		return Scan{}, wrongType(m, out.TargetType)
	}
	_, err = s.settle(&out, m, o)
	return out, err
}

// Judge checks every order wholly, as SubmitBatch does, and changes nothing.
func (s *Service) Judge(ctx context.Context, a access.Actor, orders []Order) []BatchItem {
	return s.judge(ctx, a, orders)
}

// Plan returns the plan whose quota pays for the actor's scans.
func (s *Service) Plan(ctx context.Context, a access.Actor) (tenant.Plan, error) {
	return s.plan(ctx, a)
}

// Enter puts what Judge let pass into the line, within the caller's unit. What the plan's quota doesn't hold any more is
// refused in items, from the end. A unit may run twice: each time it needs a copy of the items.
func (s *Service) Enter(ctx context.Context, tx EntryTx, plan tenant.Plan, items []BatchItem) error {
	if err := s.charge(ctx, tx, plan, items); err != nil {
		return err
	}
	return Batch{Items: items}.enter(ctx, tx)
}

// Entered lets waiting scans start; call it after the unit has committed.
func (s *Service) Entered() { s.d.Changed() }

// End cancels a scan within the caller's unit; false where it had ended already.
func (s *Service) End(ctx context.Context, tx EndTx, id uid.Scan) (bool, error) {
	_, err := cancel(ctx, tx, id, instant(s.d.Now))
	if err != nil && fault.Of(err).Code == fault.CodeNotCancellable {
		return false, nil
	}
	return err == nil, err
}
