package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/retention"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func batches(t *testing.T, h *house) {
	var list []scan.Scan
	var subjects []string
	var data []any
	b := scan.Batch{ID: uid.Batch(h.ids.New())}
	for i := range 130 {
		s := h.newScan(h.ours, "nmap", fmt.Sprintf("192.0.2.%d", i), "nightly", fmt.Sprint("t", i%3))
		list, subjects, data = append(list, s), append(subjects, string(s.ID)), append(data, map[string]int{"n": i})
		b.Items = append(b.Items, scan.BatchItem{Scan: s})
		if i%10 == 0 {
			b.Items = append(b.Items, scan.BatchItem{Refused: fault.Wrong("target", "is wrong").With("tags", "too")})
		}
	}
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		if err := tx.InsertScans(ctx, list); err != nil {
			return err
		}
		if err := tx.EmitAll(ctx, event.ScanQueued, subjects, data); err != nil {
			return err
		}
		return tx.KeepBatch(ctx, b, h.clock.Now())
	}))
	kept := got(h.s.Scans().Batch(t.Context(), h.ours, b.ID))(t)
	if len(kept.Items) != len(b.Items) {
		t.Fatalf("%d items", len(kept.Items))
	}
	for i, want := range b.Items {
		if want.Refused == nil {
			same(t, "scan of the batch", want.Scan, kept.Items[i].Scan)
			continue
		}
		if f := kept.Items[i].Refused; f == nil || f.Code != fault.CodeValidation || f.Kind != fault.Invalid || len(f.Fields) != 2 || f.Fields[1].Location != "tags" {
			t.Errorf("refusal %+v", f)
		}
	}
	same(t, "scans found by tag", 44, len(h.scanIDs(t, scan.Query{Tag: "t0"})))
	same(t, "scans found by word", 1, len(h.scanIDs(t, scan.Query{Q: "nightly 129"})))
	_, err := h.s.Scans().Batch(t.Context(), h.theirs, b.ID)
	wantMissing(t, err)
	_, err = h.s.Scans().Batch(t.Context(), h.ours, "x")
	wantMissing(t, err)
}

func editedScans(t *testing.T, h *house) {
	s := h.newScan(h.ours, "nmap", "192.0.2.7", "old", "stays")
	h.addScans(t, s)
	s.Name, s.Tags = "renamed", []string{"stays", "new"}
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		held, err := tx.ScanForUpdate(ctx, s.ID)
		if err != nil || held.Name != "nightly" {
			return fmt.Errorf("%+v: %w", held, err)
		}
		held.Name, held.Tags = s.Name, s.Tags
		return tx.EditScan(ctx, held)
	}))
	same(t, "edited scan", s, got(h.s.Scans().Scan(t.Context(), h.ours, s.ID))(t))
	for q, want := range map[string]int{"renamed": 1, "nightly": 0, "192": 1} {
		same(t, "found by "+q, want, len(h.scanIDs(t, scan.Query{Q: q})))
	}
	for tag, want := range map[string]int{"old": 0, "stays": 1, "new": 1} {
		same(t, "found by tag "+tag, want, len(h.scanIDs(t, scan.Query{Tag: tag})))
	}
	err := h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		_, err := tx.ScanForUpdate(ctx, uid.Scan(h.ids.New()))
		return err
	})
	wantMissing(t, err)
}

// seenAt is an observation of the n-th weakness at one of its places.
func seenAt(n, place, ordinal int, sev finding.Severity) scan.Seen {
	o := seen(n, "h")
	o.Severity, o.Ordinal = sev, ordinal
	o.Occurrence = fmt.Sprintf("o1:%d-%d", n, place)
	o.Location.URL = fmt.Sprintf("/%d", place)
	return o
}

// comparisons compares two scans of any findings with the same comparison in Go.
func comparisons(t *testing.T, h *house) {
	service := comparison.New(h.s.Comparisons())
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) (scan.Scan, map[string]scan.Seen) {
			s := h.running(t, h.ours, "nmap", "h")
			worst := map[string]scan.Seen{}
			var all []scan.Seen
			for i := range rapid.IntRange(0, 25).Draw(rt, name) {
				o := seenAt(rapid.IntRange(0, 12).Draw(rt, "weakness"), i, i, rapid.SampledFrom(finding.Severities()).Draw(rt, "severity"))
				all = append(all, o)
				if w, ok := worst[o.Fingerprint]; !ok || o.Severity.Rank() < w.Severity.Rank() {
					worst[o.Fingerprint] = o
				}
			}
			h.record(t, s, all...)
			h.finish(t, s, finding.Summary{})
			return s, worst
		}
		base, inBase := draw("base")
		other, inOther := draw("other")
		q := comparison.Query{
			Change:   rapid.SampledFrom(append(comparison.Changes(), "")).Draw(rt, "change"),
			Severity: rapid.SampledFrom(append(finding.Severities(), "")).Draw(rt, "only"),
		}
		var want []string
		add := func(c comparison.Change, in, than map[string]scan.Seen, shared bool) {
			var part []scan.Seen
			for print, o := range in {
				if _, both := than[print]; both == shared && (q.Change == "" || q.Change == c) && (q.Severity == "" || q.Severity == o.Severity) {
					part = append(part, o)
				}
			}
			slices.SortFunc(part, func(a, b scan.Seen) int {
				return (a.Severity.Rank()-b.Severity.Rank())*1000 + a.Ordinal - b.Ordinal
			})
			for _, o := range part {
				want = append(want, fmt.Sprint(c, " ", o.Fingerprint, " ", o.Location.URL, " ", o.Severity))
			}
		}
		add(comparison.Appeared, inOther, inBase, false)
		add(comparison.Gone, inBase, inOther, false)
		add(comparison.Unchanged, inOther, inBase, true)
		name := func(i comparison.Item) string {
			return fmt.Sprint(i.Change, " ", i.Fingerprint, " ", i.Location.URL, " ", i.Severity)
		}
		pair, err := service.Pair(t.Context(), h.ours, base.ID, other.ID)
		must(t, err)
		var streamed []string
		must(t, service.Each(t.Context(), pair, q, func(i comparison.Item) error {
			streamed = append(streamed, name(i))
			return nil
		}))
		same(t, "streamed comparison", want, streamed)
		paged := walk(t, func(p page.Request) ([]comparison.Item, page.Key, error) {
			q.Page = p
			l, err := service.List(t.Context(), pair, q)
			return l.Items, l.Next, err
		}, name, rapid.IntRange(1, 7).Draw(rt, "limit"))
		same(t, "paged comparison", want, paged)
		offset := rapid.IntRange(0, 30).Draw(rt, "offset")
		q.Page = page.Request{Limit: 5, Offset: offset, WantTotal: true}
		l, err := service.List(t.Context(), pair, q)
		must(t, err)
		from, to := min(offset, len(want)), min(offset+5, len(want))
		if len(l.Items) != to-from || l.Total.N != len(want) || !l.Total.Known {
			rt.Fatalf("%d items at offset %d of %d; total %+v", len(l.Items), offset, len(want), l.Total)
		}
		if to > from {
			same(t, "first of a page", want[from], name(l.Items[0]))
		}
		if s := pair.Summary; s.New.Total+s.Unchanged.Total != len(inOther) || s.Gone.Total+s.Unchanged.Total != len(inBase) {
			rt.Fatalf("summary %+v of %d and %d", s, len(inBase), len(inOther))
		}
		if rt.Failed() || t.Failed() {
			rt.FailNow()
		}
	})
	ended, live := h.running(t, h.ours, "nmap", "h"), h.running(t, h.ours, "nmap", "h")
	h.finish(t, ended, finding.Summary{})
	_, err := service.Pair(t.Context(), h.ours, ended.ID, live.ID)
	wantKind(t, err, fault.Conflict, fault.CodeResultsNotReady)
	_, err = service.Pair(t.Context(), h.ours, ended.ID, ended.ID)
	wantKind(t, err, fault.Invalid, fault.CodeValidation)
	_, err = service.Pair(t.Context(), h.theirs, ended.ID, live.ID)
	wantMissing(t, err)
}

// droppedScans lets scans expire: they go with all that hangs on them, the others and the lives of findings stay.
func droppedScans(t *testing.T, h *house) {
	old, young, live := h.running(t, h.ours, "nmap", "h"), h.running(t, h.ours, "nmap", "h"), h.running(t, h.ours, "nmap", "h")
	for i := range 3 {
		var many []scan.Seen
		for n := range 400 {
			many = append(many, seenAt(i*400+n, 0, i*400+n, finding.Low))
		}
		h.record(t, old, many...)
	}
	must(t, h.put(t, old, scan.Artifact{Name: "a", SHA256: "d1"}))
	must(t, h.put(t, old, scan.Artifact{Name: "b", SHA256: "d2"}))
	must(t, h.put(t, young, scan.Artifact{Name: "a", SHA256: "d1"}))
	h.finish(t, old, finding.Summary{Total: 1200})
	h.record(t, young, seen(1, "h"))
	cut := h.clock.Advance(time.Hour)
	h.finish(t, young, finding.Summary{Total: 1})
	st := h.s.ScanRetention()
	expired := got(st.Expired(t.Context(), h.ours, cut, 10))(t)
	same(t, "expired scans", []uid.Scan{old.ID}, expired)
	same(t, "expired scans of others", 0, len(got(st.Expired(t.Context(), h.theirs, cut, 10))(t)))
	unit := func(f func(context.Context, retention.Tx) error) {
		t.Helper()
		must(t, st.Change(t.Context(), h.ours, act(), f))
	}
	unit(func(ctx context.Context, tx retention.Tx) error {
		n, err := tx.DropScans(ctx, []uid.Scan{old.ID, live.ID})
		if n != 1 {
			t.Errorf("%d dropped", n)
		}
		return err
	})
	_, err := h.s.Scans().Results(t.Context(), h.ours, old.ID, scan.ResultQuery{})
	wantMissing(t, err)
	same(t, "expired scans after the drop", 0, len(got(st.Expired(t.Context(), h.ours, cut, 10))(t)))
	same(t, "dropped scans", []retention.Dropped{{Org: h.ours, Scan: old.ID}}, got(st.Dropped(t.Context(), 10))(t))
	for range 2 { // what isn't dropped isn't pruned
		unit(func(ctx context.Context, tx retention.Tx) error { _, err := tx.PruneScan(ctx, young.ID); return err })
		unit(func(ctx context.Context, tx retention.Tx) error {
			return tx.RemoveScans(ctx, []uid.Scan{young.ID, live.ID})
		})
	}
	rounds := 0
	for more := true; more; rounds++ {
		unit(func(ctx context.Context, tx retention.Tx) error {
			var err error
			more, err = tx.PruneScan(ctx, old.ID)
			return err
		})
	}
	same(t, "units to empty a scan of 1,200 results", 3, rounds)
	unit(func(ctx context.Context, tx retention.Tx) error { return tx.RemoveScans(ctx, []uid.Scan{old.ID}) })
	_, err = h.s.Scans().Scan(t.Context(), h.ours, old.ID)
	wantMissing(t, err)
	same(t, "digests that are still named", []string{"d1"}, got(st.Named(t.Context(), h.ours, []string{"d1", "d2", "d3"}))(t))
	same(t, "results of the other", 1, len(h.results(t, young)))
	if open := got(h.s.Scans().OpenFindings(t.Context(), h.ours, "nmap", "h", ""))(t); len(open) != 500 {
		t.Errorf("%d findings are left of the first 500", len(open))
	}
	orgs := got(st.Organizations(t.Context(), "", 10))(t)
	if len(orgs) < 2 || !slices.IsSortedFunc(orgs, func(a, b retention.Kept) int { return compare(string(a.Org), string(b.Org)) }) || orgs[0].Days != 365 {
		t.Errorf("organizations %+v", orgs)
	}
}

// behindTheHead checks that thousands of scans of one host, and thousands of one engine, hide nothing that could start,
// whatever they are due.
func behindTheHead(t *testing.T, h *house) {
	const many = 1200
	add := func(engine string, host func(int) string) {
		var list []scan.Scan
		for i := range many {
			list = append(list, h.newScan(h.ours, engine, host(i)))
		}
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScans(ctx, list) }))
	}
	add("nmap", func(int) string { return "busy" })
	add("nuclei", func(i int) string { return fmt.Sprint("host-", i) })
	last := h.newScan(h.ours, "zap", "idle")
	h.addScans(t, last, h.newScan(h.theirs, "nmap", "host"))
	if n := h.admit(t, greedy); n != 8 {
		t.Errorf("%d are let start; want 2 on the busy host, 4 of the busy engine, 1 behind them, 1 of theirs", n)
	}
	started := false
	for _, j := range h.taken() {
		started = started || j.Scan == last.ID
	}
	if !started {
		t.Error("what waits behind thousands doesn't start")
	}
	if n := h.admit(t, greedy); n != 0 {
		t.Errorf("%d more are let start over the limits", n)
	}
}
