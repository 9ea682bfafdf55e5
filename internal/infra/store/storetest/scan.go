package storetest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func scanQuery(q string) scan.Query { return scan.Query{Q: q} }

func (h *house) scanIDs(tb testing.TB, q scan.Query) []string {
	tb.Helper()
	return walk(tb, func(p page.Request) ([]scan.Scan, page.Key, error) {
		q.Page = p
		l, err := h.s.Scans().Scans(tb.Context(), h.ours, q)
		return l.Items, l.Next, err
	}, func(s scan.Scan) string { return string(s.ID) }, 7)
}

func scans(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Scans()
	full := h.newScan(h.ours, "nmap", "192.0.2.7", "a", "b")
	full.Options, full.Config = attributes(`{"ports":"1-1024"}`), attributes(`{"headers":["***"]}`)
	full.Sealed, full.Asset, full.Priority = []byte{1, 0, 2}, uid.Asset(h.ids.New()), scan.Critical
	bare := h.newScan(h.ours, "sentinel", "example.org")
	h.addScans(t, full, bare)
	same(t, "scan", full, got(st.Scan(ctx, h.ours, full.ID))(t))
	same(t, "a scan without options", bare, got(st.Scan(ctx, h.ours, bare.ID))(t))
	_, err := st.Scan(ctx, h.ours, uid.Scan(h.ids.New()))
	wantMissing(t, err)
	if o := got(st.Organization(ctx, h.ours))(t); o.Name != "Ours" {
		t.Errorf("organization = %+v", o)
	}

	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		for i := range 3 {
			if err := tx.Emit(ctx, event.ScanProgress, string(full.ID), map[string]int{"progress": i}); err != nil {
				return err
			}
		}
		return tx.Emit(ctx, event.ScanQueued, string(bare.ID), map[string]int{})
	}))
}

// scanLists compares every filter, alone and combined, with the same filter in Go.
func scanLists(t *testing.T, h *house) {
	var all []scan.Scan
	engines := []string{"nmap", "sentinel"}
	for i := range 40 {
		s := h.newScan(h.ours, engines[i%2], fmt.Sprintf("host-%d", i%5))
		if i%3 == 0 {
			s.Tags = []string{"t3"}
		}
		s.CreatedAt = testkit.Epoch().Add(time.Duration(i/4) * time.Second)
		if i%10 == 0 {
			s.Priority, s.Asset = scan.High, "asset"
		}
		all = append(all, s)
	}
	h.addScans(t, all...)
	h.addScans(t, h.newScan(h.theirs, "nmap", "host-1", "t3"))
	for i := range all {
		if i%6 == 0 {
			at := h.clock.Now()
			must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
				_, err := tx.CancelScan(ctx, all[i].ID, at)
				return err
			}))
			all[i].Status = scan.Cancelled
		}
	}
	slices.SortFunc(all, func(a, b scan.Scan) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return -compare(string(a.ID), string(b.ID))
	})
	from, to := testkit.Epoch().Add(2*time.Second), testkit.Epoch().Add(8*time.Second)
	queries := []scan.Query{
		{}, {Priority: scan.High}, {Asset: "asset"}, {From: from}, {To: to}, {From: from, To: to, Tag: "t3"},
	}
	for _, engine := range []string{"", "nmap"} {
		for _, status := range []scan.Status{"", scan.Queued, scan.Cancelled} {
			for _, tag := range []string{"", "t3"} {
				for _, target := range []string{"", "host-3"} {
					queries = append(queries, scan.Query{Engine: engine, Status: status, Tag: tag, Target: target},
						scan.Query{Engine: engine, Status: status, Tag: tag, Target: target, From: from, To: to})
				}
			}
		}
	}
	for _, q := range queries {
		var want []string
		for _, s := range all {
			if scanMatches(s, q) {
				want = append(want, string(s.ID))
			}
		}
		same(t, fmt.Sprintf("list %+v", q), want, h.scanIDs(t, q))
		oldest := q
		oldest.Oldest = true
		slices.Reverse(want)
		same(t, fmt.Sprintf("list %+v", oldest), want, h.scanIDs(t, oldest))
		q.Page = page.Request{WantTotal: true}
		total := page.Total{N: len(want), Known: true}
		if q.Priority != "" || q.Asset != "" {
			total = page.Total{}
		}
		same(t, fmt.Sprintf("total of %+v", q), total, got(h.s.Scans().Scans(t.Context(), h.ours, q))(t).Total)
	}
}

func scanMatches(s scan.Scan, q scan.Query) bool {
	return (q.Engine == "" || s.Engine == q.Engine) && (q.Status == "" || s.Status == q.Status) &&
		(q.Tag == "" || slices.Contains(s.Tags, q.Tag)) && (q.Target == "" || s.Target == q.Target) &&
		(q.Priority == "" || s.Priority == q.Priority) && (q.Asset == "" || s.Asset == q.Asset) &&
		(q.From.IsZero() || !s.CreatedAt.Before(q.From)) && (q.To.IsZero() || s.CreatedAt.Before(q.To))
}

func (h *house) put(tb testing.TB, s scan.Scan, a scan.Artifact) error {
	tb.Helper()
	return h.scans(tb, s.Org, func(ctx context.Context, tx scan.Tx) error { return tx.PutArtifact(ctx, s.ID, s.Attempt, a) })
}

func scanLife(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Scans()
	s := h.running(t, h.ours, "nmap", "192.0.2.7")
	if s.Status != scan.Running || s.Attempt != 1 || s.Fence != 1 || s.StartedAt.IsZero() || s.LeaseUntil.IsZero() {
		t.Fatalf("a started scan is %+v", s)
	}
	until := h.clock.Advance(time.Minute)
	keep := func(progress int, phase string) error {
		return h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			return tx.KeepLease(ctx, s.ID, s.Fence, until, progress, phase)
		})
	}
	must(t, keep(40, "ports"))
	must(t, keep(30, "services"))
	now := got(st.Scan(ctx, h.ours, s.ID))(t)
	if now.Progress != 40 || now.Phase != "services" || !now.LeaseUntil.Equal(until) {
		t.Errorf("after two heartbeats: progress %d, phase %s, lease %v", now.Progress, now.Phase, now.LeaseUntil)
	}
	xml := scan.Artifact{Name: "nmap.xml", MediaType: "application/xml", Size: 10, SHA256: "ab"}
	log := scan.Artifact{Name: "a.log", MediaType: "text/plain", Size: 3, SHA256: "cd"}
	must(t, h.put(t, s, xml))
	must(t, h.put(t, s, log))
	xml.Size, xml.Truncated = 20, true
	must(t, h.put(t, s, xml))
	obs := []asset.Observation{
		{Kind: asset.KindService, Name: "192.0.2.7:22/tcp", Attributes: attributes(`{"banner":"ssh"}`), Source: "nmap"},
		{Kind: asset.KindHost, Name: "192.0.2.7", Source: "nmap"},
	}
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		return tx.RecordAssets(ctx, s, obs, h.clock.Now())
	}))
	if n := len(got(st.Artifacts(ctx, h.ours, s.ID))(t)); n != 0 {
		t.Errorf("%d artifacts are shown before the end", n)
	}
	sum := finding.Summary{Total: 3, High: 1, Info: 2}
	f := scan.Finish{
		Status: scan.Failed, At: h.clock.Advance(time.Second), Outcome: "partial", Reasons: []string{"cut short"},
		Error: &scan.Error{Code: fault.CodeScanTimeout, Message: "took too long"}, Version: "7.93", Summary: sum,
	}
	finish := func() error {
		return h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, s.ID, s.Fence, f) })
	}
	must(t, finish())
	wantConflict(t, finish())
	wantConflict(t, keep(50, "late"))
	wantConflict(t, h.put(t, s, log))
	end := got(st.Scan(ctx, h.ours, s.ID))(t)
	want := now
	want.Status, want.EndedAt, want.Outcome, want.Reasons, want.Error = f.Status, f.At, f.Outcome, f.Reasons, f.Error
	want.Version, want.Summary, want.LeaseUntil = f.Version, sum, time.Time{}
	same(t, "ended scan", want, end)
	same(t, "artifacts", []scan.Artifact{xml, log}, got(st.Artifacts(ctx, h.ours, s.ID))(t))
	same(t, "assets of the scan", []asset.Observation{obs[1], obs[0]}, got(st.ScanAssets(ctx, h.ours, s.ID))(t))
	if n := len(got(h.s.Assets().Assets(ctx, h.ours, asset.Query{}))(t).Items); n != 2 {
		t.Errorf("the inventory has %d assets; want 2", n)
	}
	done := h.running(t, h.ours, "nmap", "192.0.2.8")
	h.finish(t, done, finding.Summary{})
	if p := got(st.Scan(ctx, h.ours, done.ID))(t).Progress; p != 100 {
		t.Errorf("a completed scan shows %d %%", p)
	}
}

func cancelling(t *testing.T, h *house) {
	cancel := func(id uid.Scan) (scan.Scan, error) {
		var out scan.Scan
		at := h.clock.Advance(time.Second)
		err := h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			var err error
			out, err = tx.CancelScan(ctx, id, at)
			return err
		})
		return out, err
	}
	waiting := h.newScan(h.ours, "nmap", "192.0.2.1")
	h.addScans(t, waiting)
	s := got(cancel(waiting.ID))(t)
	if s.Status != scan.Cancelled || s.EndedAt.IsZero() {
		t.Errorf("a cancelled scan is %+v", s)
	}
	same(t, "cancelled scan", s, got(h.s.Scans().Scan(t.Context(), h.ours, s.ID))(t))
	_, err := cancel(waiting.ID)
	wantKind(t, err, fault.Conflict, fault.CodeNotCancellable)
	_, err = cancel(uid.Scan(h.ids.New()))
	wantMissing(t, err)
	if jobs := h.admitAll(t); len(jobs) != 0 {
		t.Errorf("a cancelled scan is let start: %v", jobs)
	}

	admitted := h.newScan(h.ours, "nmap", "192.0.2.2")
	h.addScans(t, admitted)
	jobs := h.admitAll(t)
	got(cancel(admitted.ID))(t)
	wantConflict(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		return tx.StartScan(ctx, admitted.ID, jobs[0].Fence, h.clock.Now())
	}))

	// The worker of a running scan may still say what it had, and nothing else.
	run := h.running(t, h.ours, "nmap", "192.0.2.3")
	h.record(t, run, seen(0, run.Host))
	c := got(cancel(run.ID))(t)
	if want := (finding.Summary{Total: 1, Critical: 1}); c.Summary != want {
		t.Errorf("summary of a cancelled scan = %+v; want %+v", c.Summary, want)
	}
	h.record(t, run, seen(1, run.Host))
	must(t, h.put(t, run, scan.Artifact{Name: "partial.xml"}))
	f := scan.Finish{Status: scan.Cancelled, Outcome: "partial", Version: "7.93", Summary: finding.Summary{Total: 2, Critical: 1, High: 1}}
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, run.ID, run.Fence, f) }))
	end := got(h.s.Scans().Scan(t.Context(), h.ours, run.ID))(t)
	if end.Status != scan.Cancelled || !end.EndedAt.Equal(c.EndedAt) || end.Outcome != "partial" || end.Summary.Total != 2 {
		t.Errorf("a scan cancelled while it ran ends as %+v", end)
	}
	if n := len(got(h.s.Scans().Results(t.Context(), h.ours, run.ID, scan.ResultQuery{}))(t).Items); n != 2 {
		t.Errorf("%d partial results are shown; want 2", n)
	}
	f.Status = scan.Completed
	wantConflict(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, run.ID, run.Fence, f) }))
}

// leases checks that a worker which has lost its scan can't write, whatever it tries.
func leases(t *testing.T, h *house) {
	ctx := t.Context()
	s := h.running(t, h.ours, "nmap", "192.0.2.7")
	h.record(t, s, seen(0, s.Host))
	slots := got(h.s.Line().Expired(ctx, s.LeaseUntil, 10))(t)
	if len(slots) != 0 {
		t.Fatalf("a living lease counts as expired: %v", slots)
	}
	slots = got(h.s.Line().Expired(ctx, s.LeaseUntil.Add(time.Microsecond), 10))(t)
	same(t, "expired", []scan.Slot{{Org: h.ours, Scan: s.ID, Engine: "nmap", Host: s.Host, Fence: s.Fence, Attempt: 1}}, slots)
	requeue := func(fence int64, counted bool) error {
		return h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.RequeueScan(ctx, s.ID, fence, counted) })
	}
	must(t, requeue(s.Fence, true))
	wantConflict(t, requeue(s.Fence, true))
	h.wantPowerless(t, s)
	if now := got(h.s.Scans().Scan(ctx, h.ours, s.ID))(t); now.Status != scan.Queued || now.Attempt != 1 || now.Progress != 0 {
		t.Errorf("a requeued scan is %+v", now)
	}
	second := h.start(t, h.admitAll(t)[0])
	if second.Attempt != 2 || second.Fence <= s.Fence {
		t.Errorf("the second try has attempt %d, fence %d", second.Attempt, second.Fence)
	}
	h.wantPowerless(t, s)
	must(t, requeue(second.Fence, false))
	third := h.start(t, h.admitAll(t)[0])
	if third.Attempt != 2 {
		t.Errorf("after a requeue that doesn't count the attempt is %d; want 2", third.Attempt)
	}
	must(t, requeue(third.Fence, true))
	admitted := h.admitAll(t)[0]
	must(t, requeue(admitted.Fence, false))
	if now := got(h.s.Scans().Scan(ctx, h.ours, s.ID))(t); now.Attempt != 2 {
		t.Errorf("an admission that was given back changed the attempt to %d", now.Attempt)
	}
	last := h.start(t, h.admitAll(t)[0])
	h.record(t, last, seen(1, s.Host), seen(2, s.Host))
	h.finish(t, last, finding.Summary{})
	h.wantPowerless(t, last)
	var counted scan.Scan
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) (err error) {
		counted, err = tx.SummariseScan(ctx, s.ID)
		return err
	}))
	if want := (finding.Summary{Total: 2, High: 1, Medium: 1}); counted.Summary != want {
		t.Errorf("what the last try has left is counted as %+v; want %+v", counted.Summary, want)
	}
	same(t, "scan summarised after its end", counted, got(h.s.Scans().Scan(ctx, h.ours, s.ID))(t))
	found := got(h.s.Scans().Results(ctx, h.ours, s.ID, scan.ResultQuery{Page: page.Request{WantTotal: true}}))(t)
	if len(found.Items) != 2 || found.Total.N != 2 {
		t.Errorf("%d results are shown; want the 2 of the last try", len(found.Items))
	}
}

// wantPowerless fails unless every write of the worker that holds s is refused.
func (h *house) wantPowerless(t *testing.T, s scan.Scan) {
	t.Helper()
	at := h.clock.Now()
	for name, unit := range map[string]func(context.Context, scan.Tx) error{
		"start":   func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, s.ID, s.Fence, at) },
		"keep":    func(ctx context.Context, tx scan.Tx) error { return tx.KeepLease(ctx, s.ID, s.Fence, at, 1, "") },
		"requeue": func(ctx context.Context, tx scan.Tx) error { return tx.RequeueScan(ctx, s.ID, s.Fence, true) },
		"finish": func(ctx context.Context, tx scan.Tx) error {
			return tx.FinishScan(ctx, s.ID, s.Fence, scan.Finish{Status: scan.Completed, At: at})
		},
		"record": func(ctx context.Context, tx scan.Tx) error {
			_, err := tx.RecordFindings(ctx, s, []scan.Seen{seen(9, s.Host)}, at)
			return err
		},
		"assets": func(ctx context.Context, tx scan.Tx) error {
			return tx.RecordAssets(ctx, s, []asset.Observation{{Kind: asset.KindHost, Name: "late"}}, at)
		},
	} {
		if err := h.scans(t, s.Org, unit); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s by a worker without lease: %v; want a conflict", name, err)
		}
	}
}

// takeovers lets one scan be taken from its worker again and again; only the newest may ever write.
func takeovers(t *testing.T, h *house) {
	s := h.newScan(h.ours, "nmap", "192.0.2.7")
	h.addScans(t, s)
	var last scan.Scan
	n := 300
	if os.Getenv("ASSAY_TEST_LONG") == "1" { //nolint:forbidigo // a long run is asked for beside the test's code
		n = 10_000
	}
	for range n {
		j := h.admitAll(t)[0]
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			if err := tx.StartScan(ctx, j.Scan, j.Fence, h.clock.Now()); err != nil {
				return err
			}
			if last.ID != "" { // nobody who was here before gets a word in, inside the same unit either
				if err := tx.KeepLease(ctx, j.Scan, last.Fence, h.clock.Now(), 1, ""); fault.KindOf(err) != fault.Conflict {
					return fmt.Errorf("fence %d still writes under %d: %w", last.Fence, j.Fence, err)
				}
			}
			return tx.RequeueScan(ctx, j.Scan, j.Fence, false)
		}))
		if j.Fence <= last.Fence {
			t.Fatalf("fence went from %d to %d", last.Fence, j.Fence)
		}
		last.ID, last.Fence = j.Scan, j.Fence
	}
}
