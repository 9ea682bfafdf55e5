package storetest

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func (h *house) phases(tb testing.TB, org uid.Org, unit func(context.Context, phase.Tx) error) error {
	tb.Helper()
	return h.s.Phases().Change(tb.Context(), org, act(), unit)
}

// family is a parent in its first phase with children, none of which has started.
func (h *house) family(tb testing.TB, org uid.Org, engines ...string) (scan.Scan, []scan.Scan) {
	tb.Helper()
	parent := h.newScan(org, "sentinel", "192.0.2.9")
	parent.Course = &scan.Course{Engines: engines, Phases: engine.Phases()}
	h.addScans(tb, parent)
	parent.Course.Begun, parent.Phase, parent.Progress, parent.StartedAt = 1, "inventory", 3, h.clock.Now()
	var children []scan.Scan
	for _, e := range engines {
		c := h.newScan(org, e, "192.0.2.9", "tag")
		c.Parent, c.Stage = parent.ID, engine.PhaseInventory
		children = append(children, c)
	}
	must(tb, h.phases(tb, org, func(ctx context.Context, tx phase.Tx) error {
		if err := tx.InsertScans(ctx, children); err != nil {
			return err
		}
		return tx.AdvanceParent(ctx, parent)
	}))
	return got(h.s.Scans().Scan(tb.Context(), org, parent.ID))(tb), got(h.s.Scans().Children(tb.Context(), org, parent.ID))(tb)
}

func (h *house) turn(tb testing.TB) []phase.Turn {
	tb.Helper()
	return got(h.s.Phases().Due(tb.Context(), h.clock.Now(), 10))(tb)
}

// begunChildren admits what waits and starts the children.
func (h *house) begunChildren(tb testing.TB, children []scan.Scan) []scan.Scan {
	tb.Helper()
	out := slices.Clone(children)
	for _, j := range h.admitAll(tb) {
		if i := slices.IndexFunc(out, func(c scan.Scan) bool { return c.ID == j.Scan }); i >= 0 {
			out[i] = h.start(tb, j)
		}
	}
	return out
}

func families(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Scans()
	parent, children := h.family(t, h.ours, "sentinel", "nmap")
	if parent.Status != scan.Running || parent.Attempt != 1 || parent.StartedAt.IsZero() || parent.Course.Begun != 1 || len(children) != 2 {
		t.Fatalf("the family is %+v with %d children", parent, len(children))
	}
	for q, want := range map[*scan.Query]int{{}: 1, {Children: true}: 3, {Parent: parent.ID}: 2, {Tag: "tag"}: 0, {Tag: "tag", Children: true}: 2, {Engine: "nmap"}: 0} {
		q.Page = pageAll()
		l := got(st.Scans(ctx, h.ours, *q))(t)
		if len(l.Items) != want || l.Total.N != want {
			t.Errorf("%+v lists %d of %d scans, want %d", *q, len(l.Items), l.Total.N, want)
		}
	}
	turns := h.turn(t)
	if len(turns) != 1 || turns[0].Scan != parent.ID || turns[0].Org != h.ours {
		t.Fatalf("due are %+v", turns)
	}
	settle := func(turn phase.Turn) {
		must(t, h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error {
			return tx.SettleTurn(ctx, turn, h.clock.Now().Add(time.Hour))
		}))
	}
	children = h.begunChildren(t, children)
	begun := h.turn(t)
	if len(begun) != 1 || begun[0].Seq == turns[0].Seq {
		t.Fatalf("the start of a child makes no turn: %+v", begun)
	}
	settle(turns[0]) // by somebody who hasn't seen that start
	if len(h.turn(t)) != 1 {
		t.Error("a turn was settled that was read before a child's start")
	}
	turns = begun
	settle(turns[0])
	if got := h.turn(t); len(got) != 0 {
		t.Errorf("a settled parent is due: %+v", got)
	}

	h.record(t, children[0], seen(1, "192.0.2.9"))
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		return tx.RecordAssets(ctx, children[0], []asset.Observation{{Kind: asset.KindHost, Name: "192.0.2.9", Source: "sentinel"}}, h.clock.Now())
	}))
	h.finish(t, children[0], finding.Summary{Total: 1})
	due := h.turn(t)
	if len(due) != 1 || due[0].Seq == turns[0].Seq {
		t.Fatalf("the end of a child makes no turn: %+v", due)
	}
	settle(turns[0]) // by somebody who hasn't seen that end
	if len(h.turn(t)) != 1 {
		t.Error("a turn was settled that was read before a child's end")
	}
	h.mergedFamily(t, parent, children)
}

// mergedFamily goes on to the parent's end.
func (h *house) mergedFamily(t *testing.T, parent scan.Scan, children []scan.Scan) {
	t.Helper()
	ctx, st := t.Context(), h.s.Scans()
	must(t, h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error {
		ended, err := tx.CancelChildren(ctx, parent.ID, h.clock.Now())
		if err == nil && (len(ended) != 1 || ended[0].ID != children[1].ID || ended[0].Status != scan.Cancelled) {
			t.Errorf("cancelled %+v", ended)
		}
		return err
	}))
	result := got(st.Results(ctx, h.ours, children[0].ID, scan.ResultQuery{}))(t).Items[0]
	result.Engines, result.Confidence = []string{"nmap", "sentinel"}, finding.Certain
	result.Members = []scan.Member{{Finding: result.ID, Engine: "sentinel", Rule: result.Rule, Scan: children[0].ID, Why: "the same"}}
	fence := func() (n int64) {
		must(t, h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error {
			var err error
			n, err = tx.RenewParent(ctx, parent.ID)
			return err
		}))
		return n
	}
	keep := func(fence int64) error {
		return h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error {
			return tx.RecordMerged(ctx, parent.ID, fence, []scan.Result{result})
		})
	}
	old := fence()
	must(t, keep(old))
	mine := fence()
	must(t, keep(mine))
	if err := keep(old); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a merge that another one has overtaken goes on: %v", err)
	}
	f := scan.Finish{
		Status: scan.Completed, At: h.clock.Now(), Outcome: engine.Partial, Reasons: []string{"nmap was cancelled"}, Version: "1.0",
		Summary: finding.Summary{Total: 1}, Looked: engine.Looked{Targets: []engine.TargetLook{{Target: "192.0.2.9", State: engine.LookPartial}}},
	}
	finish := func(fence int64) error {
		return h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error { return tx.FinishParent(ctx, parent.ID, fence, f) })
	}
	if err := finish(old); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a merge that another one has overtaken ends the parent: %v", err)
	}
	must(t, finish(mine))
	ended := got(st.Scan(ctx, h.ours, parent.ID))(t)
	if ended.Status != scan.Completed || ended.Progress != 100 || ended.Outcome != engine.Partial || ended.Version != "1.0" {
		t.Errorf("ended as %+v", ended)
	}
	same(t, "look", f.Looked, got(st.Looked(ctx, h.ours, parent.ID))(t))
	shown := got(st.Results(ctx, h.ours, parent.ID, scan.ResultQuery{}))(t).Items
	if len(shown) != 1 {
		t.Fatalf("%d results are shown", len(shown))
	}
	same(t, "merged result", result, shown[0])
	if assets := got(st.ScanAssets(ctx, h.ours, parent.ID))(t); len(assets) != 1 || assets[0].Name != "192.0.2.9" {
		t.Errorf("the parent's assets are %+v", assets)
	}
	h.clock.Advance(time.Hour)
	if due := h.turn(t); len(due) != 0 {
		t.Errorf("an ended parent is due: %+v", due)
	}
	if err := finish(mine); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a parent ends twice: %v", err)
	}
}

func cancelledFamilies(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Scans()
	parent, children := h.family(t, h.ours, "sentinel", "nmap", "zap")
	children = h.begunChildren(t, children[:2])
	h.record(t, children[0], seen(1, "192.0.2.9"))
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		if _, err := tx.CancelScan(ctx, parent.ID, h.clock.Now()); err != nil {
			return err
		}
		list, err := tx.CancelChildren(ctx, parent.ID, h.clock.Now())
		if err == nil && len(list) != 3 {
			t.Errorf("%d children were cancelled", len(list))
		}
		return err
	}))
	for _, c := range got(st.Children(ctx, h.ours, parent.ID))(t) {
		if c.Status != scan.Cancelled {
			t.Errorf("a child is %s", c.Status)
		}
	}
	if len(h.turn(t)) != 1 {
		t.Fatal("nobody merges what a cancelled parent has found")
	}
	var fence int64
	must(t, h.phases(t, h.ours, func(ctx context.Context, tx phase.Tx) error {
		var err error
		if fence, err = tx.RenewParent(ctx, parent.ID); err != nil {
			return err
		}
		return tx.FinishParent(ctx, parent.ID, fence, scan.Finish{Status: scan.Cancelled, At: h.clock.Now(), Outcome: engine.Partial})
	}))
	if s := got(st.Scan(ctx, h.ours, parent.ID))(t); s.Status != scan.Cancelled || s.Outcome != engine.Partial || s.Error != nil {
		t.Errorf("ended as %+v", s)
	}
	if due := h.turn(t); len(due) != 0 {
		t.Errorf("an ended parent is due: %+v", due)
	}
}

// phaseReaders are the reads of phases, by theirs, of what is ours.
func (h *house) phaseReaders(o estate) portTries {
	st := h.s.Phases()
	return portTries{port: reflect.TypeFor[phase.Store](), across: []string{"Due"}, tries: map[string]attempt{
		"Scan":       func(ctx context.Context) (any, error) { return st.Scan(ctx, h.theirs, o.parent.ID) },
		"Children":   func(ctx context.Context) (any, error) { return st.Children(ctx, h.theirs, o.parent.ID) },
		"Looked":     func(ctx context.Context) (any, error) { return st.Looked(ctx, h.theirs, o.scan.ID) },
		"ScanAssets": func(ctx context.Context) (any, error) { return st.ScanAssets(ctx, h.theirs, o.scan.ID) },
		"EachResult": func(ctx context.Context) (any, error) {
			n := 0
			err := st.EachResult(ctx, h.theirs, o.scan.ID, scan.ResultQuery{}, func(scan.Result) error { n++; return nil })
			return n, err
		},
	}}
}

// phaseWriters are the writes of phases, by theirs, with the ids of what is ours.
func (h *house) phaseWriters(o estate) portTries {
	at := h.clock.Now()
	in := func(f func(context.Context, phase.Tx) error) attempt {
		return func(ctx context.Context) (any, error) { return nil, h.s.Phases().Change(ctx, h.theirs, act(), f) }
	}
	return portTries{port: reflect.TypeFor[phase.Tx](), tries: map[string]attempt{
		"Consume":     in(func(ctx context.Context, tx phase.Tx) error { return tx.Consume(ctx, "scans", "2026-03", 1, 10) }),
		"InsertScans": in(func(ctx context.Context, tx phase.Tx) error { return tx.InsertScans(ctx, []scan.Scan{o.waiting}) }),
		"EmitAll": in(func(ctx context.Context, tx phase.Tx) error {
			return tx.EmitAll(ctx, event.ScanStarted, []string{string(o.scan.ID)}, []any{map[string]int{}})
		}),
		"Emit": in(func(ctx context.Context, tx phase.Tx) error {
			return tx.Emit(ctx, event.ScanStarted, string(o.scan.ID), map[string]int{})
		}),
		"CancelScan": in(func(ctx context.Context, tx phase.Tx) error { return second(tx.CancelScan(ctx, o.parent.ID, at)) }),
		"CancelChildren": in(func(ctx context.Context, tx phase.Tx) error {
			list, err := tx.CancelChildren(ctx, o.parent.ID, at)
			if len(list) > 0 {
				return tamperError("another's children were cancelled")
			}
			return err
		}),
		"HoldParent": in(func(ctx context.Context, tx phase.Tx) error {
			_, _, err := tx.HoldParent(ctx, o.parent.ID)
			return mustFail(err)
		}),
		"AdvanceParent": in(func(ctx context.Context, tx phase.Tx) error { return mustFail(tx.AdvanceParent(ctx, o.parent)) }),
		"RenewParent": in(func(ctx context.Context, tx phase.Tx) error {
			return mustFail(second(tx.RenewParent(ctx, o.parent.ID)))
		}),
		"RecordMerged": in(func(ctx context.Context, tx phase.Tx) error {
			return mustFail(tx.RecordMerged(ctx, o.parent.ID, o.parent.Fence, nil))
		}),
		"FinishParent": in(func(ctx context.Context, tx phase.Tx) error {
			return mustFail(tx.FinishParent(ctx, o.parent.ID, o.parent.Fence, scan.Finish{Status: scan.Completed, At: at}))
		}),
		"SettleTurn": in(func(ctx context.Context, tx phase.Tx) error {
			return tx.SettleTurn(ctx, phase.Turn{Org: h.ours, Scan: o.parent.ID}, at.Add(time.Hour))
		}),
		"EndTurn": in(func(ctx context.Context, tx phase.Tx) error { return tx.EndTurn(ctx, o.parent.ID) }),
	}}
}
