package scan

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// MaxBatch is how many orders one batch holds.
const MaxBatch = 1_000

// Of a batch: how many orders are judged at once, and how long names may take to be resolved altogether. Orders whose
// name has no answer by then are refused as unavailable.
const (
	judging       = 32
	resolvingTime = 30 * time.Second
)

// Batch is what became of orders given in one call, in their order.
type Batch struct {
	ID    uid.Batch
	Items []BatchItem
}

// BatchItem is one order of a batch: the scan that it became, or why it was refused.
type BatchItem struct {
	Scan    Scan
	Refused *fault.Error // nil = accepted
}

// BatchTx are the writes of a batch, in one unit.
type BatchTx interface {
	// InsertScans adds scans at the end of the line, in their order.
	InsertScans(ctx context.Context, list []Scan) error
	// EmitAll is Emit for many: data[i] is about subjects[i].
	EmitAll(ctx context.Context, t event.Type, subjects []string, data []any) error
	// KeepBatch notes what became of each order, for a call that is repeated under its idempotency key.
	KeepBatch(ctx context.Context, b Batch, at time.Time) error
}

// SubmitBatch judges 1 to MaxBatch orders as Submit does, each name being resolved once, and puts those that are good
// into the line in one unit: their quota, scans and events commit together. What the quota doesn't hold any more is
// refused from the end. With atomic, one refusal refuses all. Where nothing was accepted nothing was changed, and the
// fault names every refused order; its code is the refusals' own where they share one.
func (s *Service) SubmitBatch(ctx context.Context, a access.Actor, orders []Order, atomic bool) (Batch, error) {
	if len(orders) == 0 || len(orders) > MaxBatch {
		return Batch{}, fault.Wrong("scans", "must hold 1 to 1,000 orders")
	}
	judged := s.judge(ctx, a, orders)
	b := Batch{ID: uid.Batch(s.d.IDs.New()), Items: judged}
	if b.accepted() == 0 || (atomic && b.accepted() < len(judged)) {
		return Batch{}, b.refusal()
	}
	plan, err := s.plan(ctx, a)
	if err != nil {
		return Batch{}, err
	}
	ev := audit.Event{Type: event.ScanBatchSubmitted, Resource: audit.Resource{Kind: "scan_batch", ID: string(b.ID)}, Bulk: true}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		b.Items = append([]BatchItem(nil), judged...) // the unit may run twice
		if err := s.charge(ctx, tx, plan, b.Items); err != nil {
			return err
		}
		if b.accepted() == 0 || (atomic && b.accepted() < len(b.Items)) {
			return b.refusal()
		}
		return b.write(ctx, tx, instant(s.d.Now))
	})
	if err != nil {
		return Batch{}, err
	}
	s.d.Changed()
	return b, nil
}

// Batch returns what became of each order of a batch, the scans as they are now; NotFound once its time is over.
func (s *Service) Batch(ctx context.Context, org uid.Org, id uid.Batch) (Batch, error) {
	return s.d.Store.Batch(ctx, org, id)
}

// Counts returns how many orders were accepted and how many refused.
func (b Batch) Counts() (accepted, refused int) {
	accepted = b.accepted()
	return accepted, len(b.Items) - accepted
}

func (b Batch) accepted() int {
	n := 0
	for _, item := range b.Items {
		if item.Refused == nil {
			n++
		}
	}
	return n
}

// maxNamed bounds how many refusals a fault names.
const maxNamed = 100

// refusal is the fault of a batch of which nothing is accepted.
func (b Batch) refusal() error {
	_, refused := b.Counts()
	text := strconv.Itoa(refused) + " of " + strconv.Itoa(len(b.Items)) + " orders are refused, so none was accepted"
	var f *fault.Error
	one := true
	for i, item := range b.Items {
		r := item.Refused
		if r == nil {
			continue
		}
		if f == nil {
			f = fault.New(r.Kind, r.Code, text).After(r.RetryAfter)
		}
		one = one && f.Code == r.Code
		if len(f.Fields) < maxNamed {
			f = f.With("items["+strconv.Itoa(i)+"]", reason(r))
		}
	}
	if !one {
		mixed := fault.New(fault.Invalid, fault.CodeValidation, text)
		mixed.Fields = f.Fields
		return mixed
	}
	return f
}

// reason is a refusal in a line.
func reason(r *fault.Error) string {
	if len(r.Fields) == 0 {
		return string(r.Code) + ": " + r.Text
	}
	return string(r.Code) + ": " + r.Fields[0].Location + " " + r.Fields[0].Message
}

// charge counts the accepted orders against the plan. Where it doesn't hold all, the last ones are refused.
func (s *Service) charge(ctx context.Context, tx usage.Tx, plan tenant.Plan, items []BatchItem) error {
	left := Batch{Items: items}.accepted()
	var spent *fault.Error
	for step := left; left > 0 && step > 0; {
		step = min(step, left)
		err := s.d.Quota.ScansQuota(ctx, tx, plan, step)
		switch {
		case err == nil:
			left -= step
		case fault.Of(err).Code != fault.CodeQuota:
			return err
		default:
			spent = fault.Of(err)
			step /= 2
		}
	}
	for i := len(items) - 1; i >= 0 && left > 0; i-- {
		if items[i].Refused == nil {
			items[i] = BatchItem{Refused: spent}
			left--
		}
	}
	return nil
}

func (b Batch) write(ctx context.Context, tx Tx, at time.Time) error {
	if err := b.enter(ctx, tx); err != nil {
		return err
	}
	return tx.KeepBatch(ctx, b, at)
}

// enter puts the accepted scans into the line.
func (b Batch) enter(ctx context.Context, tx EntryTx) error {
	var list []Scan
	var subjects []string
	var notices []any
	for _, item := range b.Items {
		if item.Refused == nil {
			list = append(list, item.Scan)
			subjects = append(subjects, string(item.Scan.ID))
			notices = append(notices, item.Scan.Notice())
		}
	}
	if err := tx.InsertScans(ctx, list); err != nil {
		return err
	}
	return tx.EmitAll(ctx, event.ScanQueued, subjects, notices)
}

// judge checks every order, several at once. The scope is read, and each name and asset looked up, once for all.
func (s *Service) judge(ctx context.Context, a access.Actor, orders []Order) []BatchItem {
	limited, cancel := context.WithTimeout(ctx, resolvingTime)
	defer cancel()
	items := make([]BatchItem, len(orders))
	targets := make([]asset.Target, len(orders))
	for i, o := range orders { // ids rise in the order of the orders
		var err error
		if items[i].Scan, targets[i], err = s.prepare(a, o); err != nil {
			items[i] = BatchItem{Refused: fault.Of(err)}
		}
	}
	shared := s.sharing()
	next := make(chan int)
	var all sync.WaitGroup
	for range min(judging, len(orders)) {
		all.Go(func() {
			for i := range next {
				if err := shared.admit(limited, a.Org, targets[i], orders[i]); err != nil {
					items[i] = BatchItem{Refused: fault.Of(err)}
				}
			}
		})
	}
	for i := range orders {
		if items[i].Refused == nil {
			next <- i
		}
	}
	close(next)
	all.Wait()
	return items
}

// sharing is the service with what lies outside of orders asked once: for the time of one batch.
func (s *Service) sharing() *Service {
	c := *s
	c.d.Gate.Resolver = &onceResolver{of: s.d.Gate.Resolver, answers: map[string]func() ([]netip.Addr, error){}}
	c.d.Gate.Listeners = sync.OnceValues(s.d.Gate.Listeners)
	c.d.Assets = &onceAssets{of: s.d.Assets, answers: map[uid.Asset]func() (asset.Asset, error){}}
	c.d.Store = &onceScope{Store: s.d.Store}
	return &c
}

// onceResolver resolves each name once.
type onceResolver struct {
	of Resolver

	mu      sync.Mutex
	answers map[string]func() ([]netip.Addr, error)
}

// Resolve implements Resolver. The first caller's context is that of all: they are of one batch.
func (r *onceResolver) Resolve(ctx context.Context, t asset.Target) ([]netip.Addr, error) {
	if t.Host() == "" {
		return r.of.Resolve(ctx, t)
	}
	r.mu.Lock()
	f := r.answers[t.Host()]
	if f == nil {
		f = sync.OnceValues(func() ([]netip.Addr, error) { return r.of.Resolve(ctx, t) })
		r.answers[t.Host()] = f
	}
	r.mu.Unlock()
	return f()
}

// onceAssets looks each asset up once.
type onceAssets struct {
	of Assets

	mu      sync.Mutex
	answers map[uid.Asset]func() (asset.Asset, error)
}

// Asset implements Assets.
func (l *onceAssets) Asset(ctx context.Context, org uid.Org, id uid.Asset) (asset.Asset, error) {
	l.mu.Lock()
	f := l.answers[id]
	if f == nil {
		f = sync.OnceValues(func() (asset.Asset, error) { return l.of.Asset(ctx, org, id) })
		l.answers[id] = f
	}
	l.mu.Unlock()
	return f()
}

// onceScope reads the organization's scope once.
type onceScope struct {
	Store

	first sync.Once
	scope asset.Scope
	err   error
}

// ScanScope implements Store.
func (o *onceScope) ScanScope(ctx context.Context, org uid.Org) (asset.Scope, error) {
	o.first.Do(func() { o.scope, o.err = o.Store.ScanScope(ctx, org) })
	return o.scope, o.err
}
