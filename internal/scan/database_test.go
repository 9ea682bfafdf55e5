package scan_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// real is scanning over a real database.
type real struct {
	*rig

	db       *store.Store
	org      uid.Org
	service  *scan.Service
	executor *scan.Executor
	dispatch *dispatch.Dispatcher

	mu   sync.Mutex
	jobs []job.Scan
}

func newReal(tb testing.TB, db *store.Store) *real {
	tb.Helper()
	r := &real{rig: newRig(tb), db: db, org: testkit.Org(tb, db, "Ours")}
	err := db.Assets().Change(tb.Context(), r.org, audit.Event{Type: event.ScopeUpdated}, func(ctx context.Context, tx asset.Tx) error {
		return tx.PutScanScope(ctx, testkit.OpenScope())
	})
	if err != nil {
		tb.Fatal(err)
	}
	db.SetJobs(store.Jobs{
		Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.jobs = append(r.jobs, j) // a unit that runs again makes a job that is stale: harmless
			return nil
		},
		Committed: func() {},
	})
	quiet := slog.New(slog.DiscardHandler)
	engines := []engine.Engine{r.engine}
	r.service = scan.New(scan.Deps{
		Store: db.Scans(), Assets: db.Assets(), Engines: engines, Availability: availabilityOf(engines...), Gate: r.gate,
		Quota: usage.New(usage.Deps{Now: time.Now}), Sealer: sealer{}, Blobs: r.blobs, Now: time.Now, IDs: testkit.NewClock().IDs(),
	})
	r.executor = scan.NewExecutor(scan.ExecutorDeps{
		Store: db.Scans(), Engines: engines, Gate: r.gate, Blobs: r.blobs, Sealer: sealer{}, Hub: db.Hub(),
		Equip: func(context.Context, scan.Outfit) (engine.Env, func() error, error) { return r.runner.equip() },
		Now:   time.Now, Log: quiet,
	})
	r.dispatch = dispatch.New(dispatch.Deps{Line: db.Line(), Store: db.Scans(), Now: time.Now, Log: quiet})
	return r
}

// admit lets what may start and returns the jobs.
func (r *real) admit(tb testing.TB) []job.Scan {
	tb.Helper()
	now := time.Now()
	if _, err := r.db.Line().Admit(tb.Context(), now, now.Add(scan.Lease), dispatch.Admission{Now: now, Most: 64}.Pick); err != nil {
		tb.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	jobs := r.jobs
	r.jobs = nil
	return jobs
}

func (r *real) run(tb testing.TB, o scan.Order) scan.Scan {
	tb.Helper()
	a := actor()
	a.Org = r.org
	s, err := r.service.Submit(tb.Context(), a, o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, j := range r.admit(tb) {
		if err := r.executor.Run(tb.Context(), j); err != nil {
			tb.Fatal(err)
		}
	}
	if s, err = r.service.Get(tb.Context(), r.org, s.ID); err != nil {
		tb.Fatal(err)
	}
	return s
}

// outbox returns the scan's events once each has its place.
func (r *real) outbox(tb testing.TB, id uid.Scan) []event.Event {
	tb.Helper()
	if err := r.db.Sequence(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	list, err := r.db.Events(tb.Context(), r.org, string(id), 0, 1000)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func (r *real) events(tb testing.TB, id uid.Scan) []event.Type {
	tb.Helper()
	var out []event.Type
	for _, e := range r.outbox(tb, id) {
		if e.Type != event.ScanProgress {
			out = append(out, e.Type)
		}
	}
	return out
}

func TestScanOverARealDatabase(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		r := newReal(t, db)
		o := order()
		o.Options = map[string]json.RawMessage{"ports": json.RawMessage(`"1-1024"`)}
		o.Config = map[string]json.RawMessage{"rateLimit": json.RawMessage(`5`)}
		r.engine.run = writes(port(80, finding.Low), port(22, finding.High), outputLine{Asset: "192.0.2.7"})
		s := r.run(t, o)
		if s.Status != scan.Completed || s.Outcome != engine.Complete || s.Progress != 100 || s.Summary != (finding.Summary{Total: 2, High: 1, Low: 1}) {
			t.Errorf("ended as %+v", s)
		}
		page, err := r.service.Results(t.Context(), r.org, s.ID, scan.ResultQuery{})
		if err != nil || len(page.Items) != 2 || page.Items[0].Location.Port != 22 || page.Items[0].Status != finding.Open {
			t.Errorf("results %+v (%v)", page.Items, err)
		}
		if diff := cmp.Diff([]event.Type{event.ScanQueued, event.ScanStarted, event.FindingOpened, event.ScanCompleted}, r.events(t, s.ID)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if s = r.run(t, order()); len(r.events(t, s.ID)) != 3 {
			t.Errorf("the same report again: %v", r.events(t, s.ID))
		}
		r.engine.run = writes(port(22, finding.High))
		if s = r.run(t, order()); !cmp.Equal(r.events(t, s.ID)[2:], []event.Type{event.FindingFixed, event.ScanCompleted}) {
			t.Errorf("one finding less: %v", r.events(t, s.ID))
		}
		r.engine.run = writes(port(22, finding.High), port(80, finding.Low))
		if s = r.run(t, order()); !cmp.Equal(r.events(t, s.ID)[2:], []event.Type{event.FindingReopened, event.ScanCompleted}) {
			t.Errorf("it is back: %v", r.events(t, s.ID))
		}
	})
}

func TestCancelOverARealDatabaseKeepsPartialResults(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		r := newReal(t, db)
		ready := make(chan struct{})
		inner := waits(0, port(22, finding.High))
		r.engine.run = func(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
			close(ready)
			return inner(ctx, env, req)
		}
		a := actor()
		a.Org = r.org
		s, err := r.service.Submit(t.Context(), a, order())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		j := r.admit(t)[0]
		go func() { done <- r.executor.Run(t.Context(), j) }()
		<-ready
		if _, err := r.service.Cancel(t.Context(), a, s.ID); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		page, err := r.service.Results(t.Context(), r.org, s.ID, scan.ResultQuery{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("results %+v (%v)", page.Items, err)
		}
		if s, err = r.service.Get(t.Context(), r.org, s.ID); err != nil || s.Status != scan.Cancelled || s.Outcome != engine.Partial || s.Summary.Total != 1 {
			t.Errorf("ended as %+v (%v)", s, err)
		}
	})
}

// dies starts the scan, records n findings and is never heard of again; the next process of this installation takes the
// scan back.
func (r *real) dies(t *testing.T, s scan.Scan, n int) {
	t.Helper()
	s.Fence = r.admit(t)[0].Fence
	seen := make([]scan.Seen, n)
	for i := range seen {
		seen[i] = scan.Seen{
			Observation: finding.Observation{
				Rule: "stub:open", Title: "A port is open", Severity: finding.Low, Confidence: finding.Certain,
				Category: finding.CategoryExposure, Location: finding.Location{Host: s.Host, Port: i + 1, Protocol: "tcp"},
			},
			Fingerprint: fmt.Sprint("w1:", i), Occurrence: fmt.Sprint("o1:", i), Ordinal: i,
		}
	}
	err := r.db.Scans().Change(t.Context(), r.org, audit.Bookkeeping("a worker's last words"), func(ctx context.Context, tx scan.Tx) error {
		if err := tx.StartScan(ctx, s.ID, s.Fence, time.Now()); err != nil {
			return err
		}
		_, err := tx.RecordFindings(ctx, s, seen, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	next := dispatch.New(dispatch.Deps{
		Line: closedLine{r.db.Line(), stop}, Store: r.db.Scans(), Alone: true, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	if err := next.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// closedLine lets nothing start, and ends its dispatcher at its first look.
type closedLine struct {
	scan.Line

	stop func()
}

func (l closedLine) Admit(context.Context, time.Time, time.Time, func([]scan.Waiting, []scan.Slot, map[uid.Org]tenant.Concurrency) []scan.Waiting) (int, error) {
	l.stop()
	return 0, nil
}

func TestScanInterruptedForGoodCountsWhatItShows(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		r := newReal(t, db)
		a := actor()
		a.Org = r.org
		s, err := r.service.Submit(t.Context(), a, order())
		if err != nil {
			t.Fatal(err)
		}
		for attempt := 1; attempt <= scan.MaxAttempts; attempt++ {
			r.dies(t, s, attempt)
		}
		if s, err = r.service.Get(t.Context(), r.org, s.ID); err != nil {
			t.Fatal(err)
		}
		if want := (finding.Summary{Total: 3, Low: 3}); s.Status != scan.Failed || s.Error.Code != fault.CodeScanInterrupted || s.Summary != want {
			t.Errorf("ended as %s with %+v; want a failed scan with %+v", s.Status, s.Summary, want)
		}
		page, err := r.service.Results(t.Context(), r.org, s.ID, scan.ResultQuery{})
		if err != nil || len(page.Items) != s.Summary.Total {
			t.Errorf("%d results are shown (%v), %d are counted", len(page.Items), err, s.Summary.Total)
		}
		events := r.outbox(t, s.ID)
		var n scan.Notice
		if err := json.Unmarshal(events[len(events)-1].Data, &n); err != nil || n.Findings == nil || n.Findings.Total != 3 || n.Priority != scan.Normal {
			t.Errorf("the end is told as %+v (%v)", n, err)
		}
	})
}

// BenchmarkIngest reads a report of 14,219 findings into an empty database, and again.
func BenchmarkIngest(b *testing.B) {
	const findings = 14_219
	for b.Loop() {
		b.StopTimer()
		r := newReal(b, testkit.SQLite(b))
		r.engine.limit = engine.Limits{MaxOutput: 1 << 30, MaxFindings: 100_000, CancelGrace: time.Second}
		lines := make([]outputLine, findings)
		for i := range lines {
			lines[i] = outputLine{Rule: fmt.Sprintf("stub:rule-%d", i/1000), Port: i + 1, Severity: finding.Medium}
		}
		r.engine.run = writes(lines...)
		b.StartTimer()
		start := time.Now()
		r.run(b, order())
		first := time.Since(start)
		start = time.Now()
		r.run(b, order())
		b.ReportMetric(findings/first.Seconds(), "first/s")
		b.ReportMetric(findings/time.Since(start).Seconds(), "again/s")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB")
	}
}

// BenchmarkFirstDispatch lets the first scans start out of a line of 10,000.
func BenchmarkFirstDispatch(b *testing.B) {
	r := newReal(b, testkit.SQLite(b))
	for batch := range 50 {
		err := r.db.Scans().Change(b.Context(), r.org, audit.Event{Type: event.ScanSubmitted}, func(ctx context.Context, tx scan.Tx) error {
			for i := range 200 {
				at := time.Now().Add(-time.Hour)
				err := tx.InsertScan(ctx, scan.Scan{
					ID: uid.Scan(testkit.NewClock().IDs().New()), Engine: "stub", Target: "192.0.2.7", TargetType: asset.TypeIP,
					Host: fmt.Sprint(batch, "-", i), Priority: scan.Normal, Timeout: 60, CreatedBy: "key:1", CreatedAt: at,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if len(r.admit(b)) > 0 {
			b.ReportMetric(float64(b.Elapsed().Milliseconds()), "ms-to-first")
		}
	}
}
