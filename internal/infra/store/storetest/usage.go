package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// around is the range of hours about the clock of a test.
func (h *house) around() usage.Range {
	now := usage.HourOf(h.clock.Now())
	return usage.Range{Start: now.Add(-1000 * time.Hour), End: now.Add(1000 * time.Hour)}
}

// recounted counts scans again, from their records.
func (h *house) recounted(tb testing.TB, org uid.Org) []usage.EngineCount {
	tb.Helper()
	list := got(h.s.Scans().Scans(tb.Context(), org, scan.Query{Page: pageAll()}))(tb)
	counts := map[string]usage.ScanCount{}
	for _, s := range list.Items {
		c := usage.ScanCount{Submitted: 1}
		if s.Status.Terminal() {
			c.Findings = int64(s.Summary.Total)
			if !s.StartedAt.IsZero() {
				c.Ran, c.Micros = 1, s.EndedAt.Sub(s.StartedAt).Microseconds()
			}
		}
		switch s.Status {
		case scan.Completed:
			c.Completed = 1
		case scan.Failed:
			c.Failed = 1
			if s.Error != nil && s.Error.Code == fault.CodeScanInterrupted {
				c.Returned = 1
			}
		case scan.Cancelled:
			c.Cancelled = 1
		case scan.Queued, scan.Running:
		}
		c.Add(counts[s.Engine])
		counts[s.Engine] = c
	}
	var out []usage.EngineCount
	for engine, c := range counts {
		out = append(out, usage.EngineCount{Engine: engine, ScanCount: c})
	}
	slices.SortFunc(out, func(a, b usage.EngineCount) int {
		if a.Engine < b.Engine {
			return -1
		}
		return 1
	})
	return out
}

// usedScans ends scans in every way and compares the counters with the records.
func usedScans(t *testing.T, h *house) {
	ctx := t.Context()
	fail := func(s scan.Scan, f scan.Finish) {
		f.Status, f.At = scan.Failed, h.clock.Advance(time.Second)
		must(t, h.scans(t, s.Org, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, s.ID, s.Fence, f) }))
	}
	cancel := func(s scan.Scan) {
		must(t, h.scans(t, s.Org, func(ctx context.Context, tx scan.Tx) error {
			_, err := tx.CancelScan(ctx, s.ID, h.clock.Advance(time.Second))
			return err
		}))
	}
	for _, engine := range []string{"nmap", "zap"} {
		done := h.running(t, h.ours, engine, "a")
		h.record(t, done, seen(1, "a"), seen(2, "a"))
		h.clock.Advance(2 * time.Hour)
		h.finish(t, done, finding.Summary{Total: 2})
		fail(h.running(t, h.ours, engine, "b"), scan.Finish{Error: &scan.Error{Code: fault.CodeScanFailed}})
		fail(h.running(t, h.ours, engine, "c"), scan.Finish{Error: &scan.Error{Code: fault.CodeScanInterrupted}, Free: true})
		waiting := h.newScan(h.ours, engine, "d")
		h.addScans(t, waiting)
		cancel(waiting)
		live := h.running(t, h.ours, engine, "e")
		h.record(t, live, seen(1, "e"))
		cancel(live)
		h.record(t, live, seen(2, "e"), seen(3, "e"))
		last := scan.Finish{Status: scan.Cancelled, At: h.clock.Now(), Summary: finding.Summary{Total: 3}} // its worker's last words
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, live.ID, live.Fence, last) }))
		h.running(t, h.ours, engine, "f")
	}
	h.finish(t, h.running(t, h.theirs, "nikto", "a"), finding.Summary{})
	must(t, h.s.Sequence(ctx))
	for _, org := range []uid.Org{h.ours, h.theirs} {
		want := h.recounted(t, org)
		have := got(h.s.Usage().EngineCounts(ctx, org, h.around()))(t)
		same(t, "counters of engines", want, have)
		days := usage.Range{Start: h.around().Start.Truncate(24 * time.Hour), End: h.around().End.Truncate(24 * time.Hour)}
		same(t, "counters of days", want, got(h.s.Usage().EngineCounts(ctx, org, days))(t))
		for _, step := range []time.Duration{time.Hour, 24 * time.Hour} {
			for _, within := range []usage.Range{days, h.around()} {
				var all, sum int64
				for _, e := range want {
					all += e.Submitted
				}
				for _, p := range got(h.s.Usage().Submissions(ctx, org, within, step))(t) {
					if p.Start != p.Start.Truncate(step) {
						t.Errorf("a stretch begins at %v", p.Start)
					}
					sum += p.Scans
				}
				same(t, "submissions", all, sum)
			}
		}
	}
}

// givenBack checks that a scan that failed for the platform's own reasons leaves the quota as it was.
func givenBack(t *testing.T, h *house) {
	month := usage.Period(h.clock.Now())
	used := func() int64 { return got(h.s.Usage().Used(t.Context(), h.ours, usage.MetricScans, month))(t) }
	for _, free := range []bool{true, false} {
		before := used()
		s := h.newScan(h.ours, "nmap", "a")
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			if err := tx.Consume(ctx, usage.MetricScans, month, 1, 10); err != nil {
				return err
			}
			return tx.InsertScan(ctx, s)
		}))
		s = h.start(t, h.admitAll(t)[0])
		h.clock.Advance(40 * 24 * time.Hour) // the month in which it was charged counts
		end := scan.Finish{Status: scan.Failed, At: h.clock.Now(), Free: free, Error: &scan.Error{Code: fault.CodeScanInterrupted}}
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, s.ID, s.Fence, end) }))
		want := before
		if !free {
			want++
		}
		if have := used(); have != want {
			t.Errorf("free %t: %d used, want %d", free, have, want)
		}
		h.clock.Advance(-40 * 24 * time.Hour)
	}
}

// uncounted checks that no scan is counted without an entry of the log.
func uncounted(t *testing.T, h *house) {
	err := h.s.Scans().Change(t.Context(), h.ours, audit.Bookkeeping("rate windows"), func(ctx context.Context, tx scan.Tx) error {
		return tx.InsertScan(ctx, h.newScan(h.ours, "nmap", "a"))
	})
	wantKind(t, err, fault.Internal, fault.CodeInternal)
}

// caller is a call as the edge makes it.
func caller(org uid.Org, method, route string, status int, actor string) *audit.Call {
	return &audit.Call{
		Method: method, Route: route, Type: event.Audit("t" + route), Status: status, Org: org,
		Actor: audit.Actor{Kind: audit.ActorKey, ID: actor}, ClientAddress: "192.0.2.7",
	}
}

// callLog compares every filter with a plain look at all entries, page by page.
func callLog(t *testing.T, h *house) {
	ctx := t.Context()
	seed := uint64(1) // the same calls in every run
	draw := func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
	pick := func(list ...string) string { return list[draw(len(list))] }
	for i := range 700 {
		status := []int{200, 201, 404, 429, 503}[draw(5)]
		c := caller(h.ours, pick("GET", "POST"), pick("/a", "/b", "/ab"), status, pick("k1", "k2"))
		must(t, h.s.Record(audit.WithCall(ctx, c), h.ours, audit.Event{}))
		if i%7 == 0 {
			must(t, h.s.Record(ctx, h.ours, audit.Event{Type: event.ScanFinished})) // no call
			must(t, h.s.Record(audit.WithCall(ctx, caller(h.theirs, "GET", "/a", 200, "k1")), h.theirs, audit.Event{}))
		}
	}
	must(t, h.s.Sequence(ctx))
	all := got(h.s.LogEntries(ctx, h.ours, 0, 1<<40, 1000))(t)
	var leaves []audit.Leaf
	for _, e := range all {
		leaves = append(leaves, got(audit.ParseLeaf(e.Leaf))(t))
	}
	middle := leaves[len(leaves)/2].Time
	for _, q := range []usage.CallQuery{
		{},
		{EventType: "t/a"},
		{EventType: "t/"},
		{Actor: "k2", Method: "POST"},
		{Route: "/ab", Status: usage.Statuses{Least: 404, Most: 404}},
		{Status: usage.Statuses{Least: 400, Most: 499}},
		{Status: usage.Statuses{Least: 500, Most: 599}, Actor: "k1", Route: "/b"},
		{From: middle},
		{To: middle},
		{From: middle, To: middle},
		{From: middle.Add(-time.Hour), To: middle.Add(time.Hour), Method: "GET"},
		{From: middle.Add(time.Hour)},
		{Actor: "\xff\x00"},
	} {
		var want, have []uid.Entry
		for i := range slices.Backward(leaves) {
			if q.Matches(&leaves[i]) {
				want = append(want, leaves[i].ID)
			}
		}
		q.Limit = 1 + draw(50)
		for pages := 0; ; pages++ {
			p := got(h.s.Usage().CallLog(ctx, h.ours, q))(t)
			if len(p.Items) > q.Limit || pages > 1000 {
				t.Fatalf("%+v: page %d has %d calls", q, pages, len(p.Items))
			}
			for _, c := range p.Items {
				have = append(have, c.ID)
			}
			if q.Before = p.Next; p.Next == 0 {
				break
			}
		}
		same(t, fmt.Sprintf("calls of %+v", q), want, have)
	}
	if p := got(h.s.Usage().CallLog(ctx, uid.Org(h.ids.New()), usage.CallQuery{Limit: 10}))(t); len(p.Items) != 0 || p.Next != 0 {
		t.Errorf("an organization that isn't there has calls: %+v", p)
	}
}

// longAgo is a time at which only ours used anything.
func longAgo() time.Time { return time.Date(2001, time.May, 1, 0, 0, 0, 0, time.UTC) }

// furnishUsage uses something in ours alone, so that theirs must see nothing of it.
func (h *house) furnishUsage(tb testing.TB) {
	tb.Helper()
	s := h.newScan(h.ours, "ours-alone", "a")
	s.CreatedAt = longAgo()
	must(tb, h.scans(tb, h.ours, func(ctx context.Context, tx scan.Tx) error {
		if err := tx.Consume(ctx, usage.MetricScans, "2001-05", 1, 0); err != nil {
			return err
		}
		return tx.InsertScan(ctx, s)
	}))
	must(tb, h.s.Record(audit.WithCall(tb.Context(), caller(h.ours, "GET", "/ours", 200, "k1")), h.ours, audit.Event{}))
	must(tb, h.s.Sequence(tb.Context()))
}

// usageReaders are the reads of what was used, by theirs, where only ours did.
func (h *house) usageReaders() portTries {
	u := h.s.Usage()
	all := usage.Range{Start: longAgo(), End: longAgo().Add(24 * time.Hour)}
	return portTries{port: reflect.TypeFor[usage.Ledger](), tries: map[string]attempt{
		"CallCounts": func(ctx context.Context) (any, error) {
			return u.CallCounts(ctx, h.theirs, usage.Range{Start: longAgo(), End: longAgo().AddDate(200, 0, 0)}, time.Hour)
		},
		"Submissions":  func(ctx context.Context) (any, error) { return u.Submissions(ctx, h.theirs, all, time.Hour) },
		"EngineCounts": func(ctx context.Context) (any, error) { return u.EngineCounts(ctx, h.theirs, all) },
		"Used": func(ctx context.Context) (any, error) {
			return u.Used(ctx, h.theirs, usage.MetricScans, "2001-05")
		},
		"CallLog": func(ctx context.Context) (any, error) {
			p, err := u.CallLog(ctx, h.theirs, usage.CallQuery{Limit: 10})
			return p.Items, err
		},
	}}
}
