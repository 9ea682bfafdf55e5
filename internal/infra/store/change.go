package store

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// changer gives a noun's store its Change, with the noun's own Tx interface.
type changer[T any] struct{ s *Store }

// Change runs unit and commits what it wrote together with its audit entry, or nothing of either. When it returns nil
// all of it is durable. The unit may run twice: no outside effects, results assigned inside, no call of Change.
func (c changer[T]) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, T) error) error {
	return c.s.change(ctx, org, ev, func(ctx context.Context, tx *Tx) error {
		t, ok := any(tx).(T)
		if !ok {
			return internal("the unit's interface isn't the store's", nil)
		}
		return unit(ctx, t)
	})
}

// change is the unit of work in the scope of one organization.
func (s *Store) change(ctx context.Context, org uid.Org, ev audit.Event, run func(context.Context, *Tx) error) error {
	return s.submit(ctx, only(org), ev, run)
}

// changeAll is a unit over all organizations, for the server's own acts; its entry is the operator's.
func (s *Store) changeAll(ctx context.Context, ev audit.Event, run func(context.Context, *Tx) error) error {
	return s.submit(ctx, everyone(), ev, run)
}

// Record writes an audit entry that belongs to no change: of a read, before its first answer byte. It shares the
// commit of whatever is written at the same time.
func (s *Store) Record(ctx context.Context, org uid.Org, ev audit.Event) error {
	if ev.Unlogged() {
		return nil
	}
	return auditFault(s.submit(ctx, only(org), ev, nil))
}

// auditFault names what couldn't be done: no call is answered whose entry isn't durable.
func auditFault(err error) error {
	if err == nil || fault.KindOf(err) != fault.Unavailable {
		return err
	}
	return fault.New(fault.Unavailable, fault.CodeAuditUnavailable, "the audit log can't be written now; try again").After(retryAfter).Because(err)
}

// RecordEntry writes an entry as it is, for summaries and acts of the server. Org and Type are required; ID, Time and
// Salt are given where they are missing.
func (s *Store) RecordEntry(ctx context.Context, e audit.Entry) error {
	if !uid.Valid(string(e.Org)) || e.Type == "" {
		return internal("an audit entry needs an organization and a type", nil)
	}
	l, err := s.seal(e)
	if err != nil {
		return err
	}
	return auditFault(s.db.write(ctx, newUnit(ctx, only(e.Org), l, nil)))
}

func (s *Store) submit(ctx context.Context, sc scope, ev audit.Event, run func(context.Context, *Tx) error) error {
	if inUnit(ctx) {
		return internal("a change was asked for inside a unit", nil)
	}
	if !uid.Valid(string(sc.org)) {
		return internal("a change without an organization", nil)
	}
	call := audit.CallFrom(ctx)
	u := newUnit(ctx, sc, nil, run)
	u.bulk = ev.Bulk
	if !ev.Unlogged() {
		e := s.entry(sc.org, ev, call)
		if call != nil && call.Recorded() {
			e.Status = 0 // the call's first entry says what it was answered, and is counted; this one goes on with it
		}
		l, err := s.seal(e)
		if err != nil {
			return err
		}
		u.leaf = l
		if call != nil && call.Once != nil && !call.Recorded() && e.Status < 400 {
			u.once = newOnce(call, e, s.now())
		}
	}
	if run != nil {
		defer s.totals.changed(sc) // also after a failure: nobody may know that nothing was written
	}
	if err := s.db.write(ctx, u); err != nil {
		return err
	}
	if call != nil && u.leaf != nil {
		call.MarkRecorded()
	}
	return nil
}

// entry completes an event with what the edge knows of the call.
func (s *Store) entry(org uid.Org, ev audit.Event, call *audit.Call) audit.Entry {
	now := s.now()
	e := audit.Entry{Time: now, Org: org, Type: ev.Type, Resource: ev.Resource, Status: ev.Status, Reason: ev.Reason}
	if call == nil {
		e.Actor = audit.Actor{Kind: audit.ActorSystem, ID: "system"}
	} else {
		if e.Type == "" {
			e.Type = call.Type
		}
		if e.Status == 0 {
			e.Status = call.Status
		}
		e.Actor, e.ClientAddress, e.UserAgent = call.Actor, call.ClientAddress, call.UserAgent
		e.Method, e.Route, e.ClientRequestID = call.Method, call.Route, call.ClientRequestID
		if !call.Start.IsZero() {
			e.DurationMicros = now.Sub(call.Start).Microseconds()
		}
		if e.Actor.Kind == "" {
			e.Actor.Kind = audit.ActorAnonymous
		}
	}
	if ev.Actor != nil {
		e.Actor = *ev.Actor
	}
	return e
}

// leaf is a finished audit entry on its way to the log.
type leaf struct {
	id      uid.Entry
	org     uid.Org
	typ     event.Audit
	at      int64
	bytes   []byte
	hash    audit.Hash
	salt    [16]byte
	address string
	agent   string
	name    string

	called bool // it counts as a call
	use    usage.CallCount
}

// seal gives an entry what it lacks and forms its leaf. It runs in the caller's goroutine, so that the writer only
// writes.
func (s *Store) seal(e audit.Entry) (*leaf, error) {
	if e.ID == "" {
		e.ID = uid.Entry(s.cfg.IDs.New())
	}
	if e.Time.IsZero() {
		e.Time = s.now()
	}
	if e.Salt == [16]byte{} {
		if _, err := io.ReadFull(s.cfg.Rand, e.Salt[:]); err != nil {
			return nil, fault.New(fault.Unavailable, fault.CodeAuditUnavailable, "the audit log can't be written").Because(err)
		}
	}
	e = e.Normal()
	b := e.Leaf()
	use, called := usage.CallOf(e.Method, e.Status, e.DurationMicros)
	return &leaf{
		called: called, use: use, id: e.ID, org: e.Org, typ: e.Type, at: e.Time.UnixMicro(), bytes: b, hash: audit.LeafHash(b), salt: e.Salt,
		address: e.ClientAddress, agent: e.UserAgent, name: e.Actor.Name,
	}, nil
}

// unit is one change on its way through a backend.
type unit struct {
	ctx   context.Context //nolint:containedctx // the caller's values travel with the unit to the writer, its cancellation doesn't
	scope scope
	run   func(context.Context, *Tx) error // nil for a bare record
	leaf  *leaf                            // nil where the event leaves no entry
	once  *onceRow                         // nil where the call has no key
	bulk  bool

	state atomic.Uint32
	done  chan error
}

// States of a unit in the writer's queue.
const (
	unitWaiting uint32 = iota
	unitTaken
	unitWithdrawn
)

func newUnit(ctx context.Context, sc scope, l *leaf, run func(context.Context, *Tx) error) *unit {
	return &unit{
		ctx: context.WithValue(context.WithoutCancel(ctx), unitKey{}, true), scope: sc, leaf: l, run: run,
		done: make(chan error, 1),
	}
}

// claim takes the unit for the writer; false when its caller has withdrawn it.
func (u *unit) claim() bool { return u.state.CompareAndSwap(unitWaiting, unitTaken) }

// withdraw takes the unit back; false when the writer has it, and then only the writer's answer is true.
func (u *unit) withdraw() bool { return u.state.CompareAndSwap(unitWaiting, unitWithdrawn) }

type unitKey struct{}

// inUnit reports whether ctx is that of a running unit. Such a context must not reach another change: on SQLite it
// would wait for itself.
func inUnit(ctx context.Context) bool { return ctx.Value(unitKey{}) != nil }

// protect runs the unit's function; a panic becomes an error of this unit alone.
func (u *unit) protect(tx *Tx) (err error) {
	if u.run == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = internal("a change failed on our side", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return u.run(u.ctx, tx)
}

// newTx makes the unit's handle on a transaction.
func (s *Store) newTx(u *unit, h handle) *Tx {
	t := &Tx{handle: h, unit: u, started: s.now()}
	t.s, t.scope = s, u.scope
	t.guard, t.after = t.check, t.note
	return t
}

// check is asked before each statement.
func (t *Tx) check() error {
	if t.dead != nil {
		return t.dead
	}
	if t.s.now().Sub(t.started) > t.s.cfg.Budget {
		return unavailable("the change took too long and was given up", nil)
	}
	return nil
}

// note remembers an error after which the transaction may be gone.
func (t *Tx) note(err error) {
	if t.dead == nil && deadly(err) {
		t.dead = err
	}
}
