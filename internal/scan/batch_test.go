package scan_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func (m *memory) Batch(_ context.Context, _ uid.Org, id uid.Batch) (scan.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.batches[id]
	if !ok {
		return b, fault.Missing("batch")
	}
	return b, nil
}

func (t *memoryTx) InsertScans(ctx context.Context, list []scan.Scan) error {
	for _, s := range list {
		if err := t.InsertScan(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) EmitAll(ctx context.Context, typ event.Type, subjects []string, data []any) error {
	for i, s := range subjects {
		if err := t.Emit(ctx, typ, s, data[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) KeepBatch(_ context.Context, b scan.Batch, _ time.Time) error {
	t.batches[b.ID] = b
	return nil
}

func (t *memoryTx) ScanForUpdate(_ context.Context, id uid.Scan) (scan.Scan, error) {
	r, ok := t.rows[id]
	if !ok || r.Org != t.org {
		return scan.Scan{}, fault.Missing("scan")
	}
	return r.Scan, nil
}

func (t *memoryTx) EditScan(_ context.Context, s scan.Scan) error {
	return t.transition(s.ID, func(row) bool { return true }, func(r *row) { r.Name, r.Tags = s.Name, s.Tags })
}

// outcomes are the codes of a batch, empty for what was accepted.
func outcomes(b scan.Batch) []fault.Code {
	out := make([]fault.Code, len(b.Items))
	for i, item := range b.Items {
		if item.Refused != nil {
			out[i] = item.Refused.Code
		}
	}
	return out
}

func TestABatchTakesWhatIsGoodAndSaysWhyNotTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	orders := []scan.Order{
		order(),
		{Engine: "nope", Target: "192.0.2.7"},
		{Engine: "stub", Target: "198.51.100.1"},
		{Engine: "stub", Target: "example.org", Name: "n"},
		{Engine: "gone", Target: "192.0.2.7"},
		{Engine: "stub", Target: "unknown.test"},
		{Engine: "stub", Target: "192.0.2.7", Asset: "x"},
	}
	b, err := r.service.SubmitBatch(t.Context(), actor(), orders, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []fault.Code{"", fault.CodeValidation, fault.CodeTargetForbidden, "", fault.CodeEngine, fault.CodeValidation, fault.CodeValidation}
	if diff := cmp.Diff(want, outcomes(b)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if a, refused := b.Counts(); a != 2 || refused != 5 || r.store.quota != 2 || len(r.store.events) != 2 || r.changed != 1 {
		t.Errorf("%d accepted, %d refused, quota %d, %d events, %d wakes", a, refused, r.store.quota, len(r.store.events), r.changed)
	}
	if got := r.store.row(b.Items[3].Scan.ID); got.Name != "n" || got.Target != "example.org" || got.Status != scan.Queued {
		t.Errorf("%+v", got)
	}
	again, err := r.service.Batch(t.Context(), orgA, b.ID)
	if err != nil || cmp.Diff(outcomes(b), outcomes(again)) != "" {
		t.Errorf("%v %v", again, err)
	}
	if len(r.store.audits) != 1 || r.store.audits[0].Type != event.ScanBatchSubmitted || r.store.audits[0].Resource.ID != string(b.ID) {
		t.Errorf("entered as %+v", r.store.audits)
	}
}

func TestABatchThatIsRefusedAsAWholeChangesNothing(t *testing.T) {
	t.Parallel()
	forbidden, unknown := scan.Order{Engine: "stub", Target: "198.51.100.1"}, scan.Order{Engine: "nope", Target: "192.0.2.7"}
	free := actor()
	free.Plan = string(tenant.Free)
	for name, c := range map[string]struct {
		orders []scan.Order
		free   bool
		atomic bool
		code   fault.Code
		fields int
	}{
		"one of an atomic batch": {orders: []scan.Order{order(), forbidden, order()}, atomic: true, code: fault.CodeTargetForbidden, fields: 1},
		"all, for one reason":    {orders: []scan.Order{forbidden, forbidden}, code: fault.CodeTargetForbidden, fields: 2},
		"all, for several":       {orders: []scan.Order{forbidden, unknown}, code: fault.CodeValidation, fields: 2},
		"the quota of an atomic": {orders: []scan.Order{order(), order(), order()}, free: true, atomic: true, code: fault.CodeQuota, fields: 1},
		"none":                   {code: fault.CodeValidation, fields: 1},
		"too many":               {orders: make([]scan.Order, scan.MaxBatch+1), code: fault.CodeValidation, fields: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, a := newRig(t), actor()
			if c.free {
				a = free
			}
			_, err := r.service.SubmitBatch(t.Context(), a, c.orders, c.atomic)
			f := fault.Of(err)
			if f == nil || f.Code != c.code || len(f.Fields) != c.fields {
				t.Fatalf("%+v", f)
			}
			if len(r.store.rows) != 0 || r.store.quota != 0 || len(r.store.events) != 0 || len(r.store.audits) != 0 {
				t.Errorf("%d scans, quota %d", len(r.store.rows), r.store.quota)
			}
		})
	}
}

func TestABatchTakesAsManyAsTheQuotaHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		r.store.quota = int64(rapid.IntRange(900, 1000).Draw(rt, "used"))
		var orders []scan.Order
		good := 0
		for range rapid.IntRange(1, 200).Draw(rt, "orders") {
			o := order()
			if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
				o.Engine = "nope"
			} else {
				good++
			}
			orders = append(orders, o)
		}
		fits := min(good, int(1000-r.store.quota))
		before := r.store.quota
		b, err := r.service.SubmitBatch(t.Context(), actor(), orders, false)
		if fits == 0 {
			if err == nil || r.store.quota != before {
				rt.Fatalf("%v, quota %d", err, r.store.quota)
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		if a, _ := b.Counts(); a != fits || r.store.quota != before+int64(fits) || len(r.store.rows) != fits {
			rt.Fatalf("%d accepted, %d rows, quota %d; %d fit", a, len(r.store.rows), r.store.quota, fits)
		}
		seen := 0
		for i, item := range b.Items { // the first that are good are taken
			if orders[i].Engine == "nope" {
				continue
			}
			if seen++; (item.Refused == nil) != (seen <= fits) {
				rt.Fatalf("order %d: %v", i, item.Refused)
			}
		}
	})
}

// counting counts look-ups of names.
type counting struct {
	names

	mu sync.Mutex
	n  int
}

func (c *counting) Resolve(ctx context.Context, t asset.Target) ([]netip.Addr, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.names.Resolve(ctx, t)
}

func TestABatchResolvesEachNameOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	look := &counting{names: r.names}
	r.gate.Resolver = look
	r.renew()
	var orders []scan.Order
	for i := range 300 {
		orders = append(orders, scan.Order{Engine: "stub", Target: fmt.Sprintf("https://example.org/%d", i)}, scan.Order{Engine: "stub", Target: "unknown.test"})
	}
	b, err := r.service.SubmitBatch(t.Context(), actor(), orders, false)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := b.Counts(); a != 300 || look.n != 2 {
		t.Errorf("%d accepted after %d look-ups", a, look.n)
	}
	last := uid.Scan("")
	for _, item := range b.Items {
		if item.Refused == nil {
			if item.Scan.ID <= last {
				t.Fatal("ids don't rise with the orders")
			}
			last = item.Scan.ID
		}
	}
}

func TestANameAndTagsCanBeChangedInAnyState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.submit(t, scan.Order{Engine: "stub", Target: "192.0.2.7", Name: "before", Tags: []string{"a"}})
	name, none, tags, bad := "after", "", []string{"b", "c", "b"}, []string{" "}
	got, err := r.service.Edit(t.Context(), actor(), s.ID, scan.Patch{Name: &name})
	if err != nil || got.Name != "after" || cmp.Diff([]string{"a"}, got.Tags) != "" {
		t.Errorf("%+v %v", got, err)
	}
	got, err = r.service.Edit(t.Context(), actor(), s.ID, scan.Patch{Name: &none, Tags: &tags})
	if err != nil || got.Name != "" || cmp.Diff([]string{"b", "c"}, r.store.row(s.ID).Tags) != "" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := r.service.Edit(t.Context(), actor(), s.ID, scan.Patch{Tags: &bad}); fault.Of(err).Code != fault.CodeValidation {
		t.Error(err)
	}
	stranger := actor()
	stranger.Org = orgB
	if _, err := r.service.Edit(t.Context(), stranger, s.ID, scan.Patch{Name: &name}); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}
