package report_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// blobs keeps documents in memory.
type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
	all  int // documents ever committed
}

func (b *blobs) Create(uid.Org, string) (scan.Blob, error) { return &blob{all: b}, nil }

func (b *blobs) Open(_ context.Context, org uid.Org, digest string) (io.ReadSeekCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	doc, ok := b.kept[digest]
	if !ok || org == "" {
		return nil, fault.Missing("the artifact")
	}
	return closing{bytes.NewReader(doc)}, nil
}

type closing struct{ *bytes.Reader }

func (closing) Close() error { return nil }

type blob struct {
	bytes.Buffer
	all *blobs
}

func (b *blob) Size() int64  { return int64(b.Len()) }
func (b *blob) Abort() error { return nil }

func (b *blob) Commit() (string, error) {
	sum := sha256.Sum256(b.Bytes())
	digest := hex.EncodeToString(sum[:])
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	b.all.kept[digest] = bytes.Clone(b.Bytes())
	b.all.all++
	return digest, nil
}

// bundle is the product over a real database, with a clock that is moved by hand.
type bundle struct {
	t       *testing.T
	clock   *testkit.Clock
	store   *store.Store
	blobs   *blobs
	service *report.Service
	actor   access.Actor
	ids     *uid.Source

	mu     sync.Mutex
	owners error // what Owners answers
	render report.Render
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, clock: testkit.NewClock(), blobs: &blobs{kept: map[string][]byte{}}}
	b.store = testkit.SQLite(t, testkit.WithClock(b.clock), testkit.WithConfig(func(c *store.Config) { c.Budget = 1000 * time.Hour }))
	b.ids = b.clock.IDs()
	b.actor = access.Operator(testkit.Org(t, b.store, "Ours"))
	b.service = report.New(report.Deps{
		Store: b.store.Reports(), Blobs: b.blobs, Engines: []string{"nmap"}, Zone: time.LoadLocation, Now: b.clock.Now, IDs: b.ids,
	})
	b.render = func(w io.Writer, d report.Document) error {
		_, err := fmt.Fprintf(w, "%s %s %d", d.Report.Name, d.Run.ID, d.Run.Counts.Findings.Total)
		return err
	}
	return b
}

// runner returns a runner of this process or another node.
func (b *bundle) runner(change ...func(*report.RunnerDeps)) *report.Runner {
	d := report.RunnerDeps{
		Store: b.store.Reports(), Line: b.store.ReportLine(), Blobs: b.blobs, Zone: time.LoadLocation, IDs: b.ids, Now: b.clock.Now,
		Log: slog.New(slog.DiscardHandler), Schedules: true, Makes: true, Tick: time.Millisecond,
		Owners: func(context.Context, uid.Org, string, report.Kind) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.owners
		},
		Render: func(w io.Writer, d report.Document) error {
			b.mu.Lock()
			f := b.render
			b.mu.Unlock()
			return f(w, d)
		},
	}
	for _, c := range change {
		c(&d)
	}
	return report.NewRunner(d)
}

// until runs runners until done says so.
func (b *bundle) until(done func() bool, runners ...*report.Runner) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	var all sync.WaitGroup
	for _, r := range runners {
		all.Go(func() { _ = r.Run(ctx) })
	}
	deadline := time.After(time.Minute)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-deadline:
			b.t.Error("nothing came of it")
			cancel()
		case <-look.C:
			continue
		}
		break
	}
	cancel()
	all.Wait()
}

func (b *bundle) runs(id uid.Report) []report.Run {
	b.t.Helper()
	l, err := b.service.Runs(b.t.Context(), b.actor.Org, id, page.Request{Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	return l.Items
}

// ended waits for so many ended runs.
func (b *bundle) ended(id uid.Report, n int) func() bool {
	return func() bool {
		runs := b.runs(id)
		return len(runs) >= n && !slices.ContainsFunc(runs, func(r report.Run) bool { return r.EndedAt.IsZero() })
	}
}

func (b *bundle) events(id uid.Report) []event.Event {
	b.t.Helper()
	list, err := b.store.Events(b.t.Context(), b.actor.Org, string(id), 0, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func hourly() report.Draft {
	return report.Draft{
		Name: "Hourly", Kind: report.Changes, Format: report.CSV, Enabled: true, Schedule: &schedule.Spec{Cron: "0 * * * *", TimeZone: "Europe/Paris"},
	}
}

func (b *bundle) create(d report.Draft) report.Report {
	b.t.Helper()
	r, err := b.service.Create(b.t.Context(), b.actor, d)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestADraftNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.service.Create(t.Context(), b.actor, report.Draft{
		Name: " ", Kind: "odd", Format: "pdf", Schedule: &schedule.Spec{Cron: "x", TimeZone: "Local"},
		Filter: report.Filter{Severities: []finding.Severity{"bad"}, Engine: "zap", Tag: "a\n", Host: strings.Repeat("h", 300)},
	})
	var at []string
	for _, f := range fault.Of(err).Fields {
		at = append(at, f.Location)
	}
	want := []string{"name", "kind", "format", "filters.severity", "filters.engine", "filters.tag", "filters.host", "schedule.cron", "schedule.timeZone"}
	if !slices.Equal(at, want) {
		t.Errorf("%v", at)
	}
	d := hourly()
	d.Kind, d.Format = report.Scans, report.SARIF
	if _, err := b.service.Create(t.Context(), b.actor, d); fault.KindOf(err) != fault.Invalid {
		t.Error("scans have no SARIF form, but got", err)
	}
	d.Format, d.Filter.Severities = report.CSV, []finding.Severity{finding.Low, finding.Critical, finding.Low}
	if r := b.create(d); !slices.Equal(r.Filter.Severities, []finding.Severity{finding.Critical, finding.Low}) || !r.NextAt.Equal(testkit.Epoch().Add(time.Hour)) {
		t.Errorf("%+v", r)
	}
}

func TestOnlyWhoMayReadItMayDefineIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	poor := b.actor
	poor.Scopes = access.Scopes{access.FindingsWrite, access.FindingsRead}
	if _, err := b.service.Create(t.Context(), poor, hourly()); err != nil {
		t.Error(err)
	}
	d := hourly()
	d.Kind = report.Scans
	if _, err := b.service.Create(t.Context(), poor, d); fault.KindOf(err) != fault.Forbidden {
		t.Error(err)
	}
	r := b.create(d)
	if _, err := b.service.RunNow(t.Context(), poor, r.ID); fault.KindOf(err) != fault.Forbidden {
		t.Error(err)
	}
	if _, err := b.service.Update(t.Context(), poor, r.ID, d); fault.KindOf(err) != fault.Forbidden {
		t.Error(err)
	}
}

func TestADueTimeMakesOneDocumentOnHoweverManyNodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	nodes := []*report.Runner{b.runner(), b.runner(), b.runner(), b.runner()}
	for i := range 3 {
		b.clock.Advance(time.Hour)
		b.until(b.ended(r.ID, i+1), nodes...)
	}
	runs := b.runs(r.ID)
	if len(runs) != 3 || b.blobs.all != 3 {
		t.Fatalf("%d runs, %d documents", len(runs), b.blobs.all)
	}
	for i, run := range runs {
		due := testkit.Epoch().Add(time.Duration(3-i) * time.Hour)
		if run.Status != report.Ready || !run.Due.Equal(due) || run.Attempt != 1 || run.Size == 0 || run.AskedBy != "" {
			t.Errorf("%+v", run)
		}
		// Each goes on where the one before ended, and the first looks back over one interval.
		if !run.From.Equal(due.Add(-time.Hour)) || !run.To.Equal(due) {
			t.Errorf("period %v to %v", run.From, run.To)
		}
	}
	events := b.events(r.ID)
	if len(events) != 3 || events[0].Type != event.ReportReady {
		t.Fatalf("%+v", events)
	}
	var n report.Notice
	if err := json.Unmarshal(events[2].Data, &n); err != nil || n.Run != runs[0].ID || n.SHA256 != runs[0].SHA256 || n.Document != report.DocumentPath(r.ID, runs[0].ID) {
		t.Errorf("%+v, %v", n, err)
	}
	run, doc, err := b.service.Open(t.Context(), b.actor.Org, r.ID, runs[0].ID)
	if err != nil || run.ID != runs[0].ID {
		t.Fatal(err)
	}
	text, err := io.ReadAll(doc)
	if err != nil || !strings.HasPrefix(string(text), "Hourly "+string(run.ID)) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestMissedTimesMakeOneReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	b.clock.Advance(50*time.Hour + time.Minute)
	b.until(b.ended(r.ID, 1), b.runner())
	b.until(b.ended(r.ID, 1), b.runner())
	runs := b.runs(r.ID)
	after, err := b.service.Get(t.Context(), b.actor.Org, r.ID)
	if err != nil || len(runs) != 1 || !runs[0].Due.Equal(testkit.Epoch().Add(50*time.Hour)) || !after.NextAt.Equal(testkit.Epoch().Add(51*time.Hour)) {
		t.Errorf("%+v, next %v, %v", runs, after.NextAt, err)
	}
}

func TestAReportStopsWithTheRightOfItsOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	b.clock.Advance(time.Hour)
	b.owners = fault.New(fault.Unavailable, fault.CodeUnavailable, "not now")
	looked := 0
	b.until(func() bool { looked++; return looked > 20 }, b.runner())
	if got, _ := b.service.Get(t.Context(), b.actor.Org, r.ID); !got.Enabled || len(b.runs(r.ID)) > 0 {
		t.Fatalf("stopped or begun while the right can't be known: %+v", got)
	}
	b.owners = fault.New(fault.Forbidden, fault.CodeScope, "lost")
	b.until(func() bool {
		got, err := b.service.Get(t.Context(), b.actor.Org, r.ID)
		return err == nil && !got.Enabled
	}, b.runner(), b.runner())
	got, _ := b.service.Get(t.Context(), b.actor.Org, r.ID)
	events := b.events(r.ID)
	if got.Stopped == "" || !got.NextAt.IsZero() || len(events) != 1 || events[0].Type != event.ReportFailed || !strings.Contains(string(events[0].Data), `"stopped":true`) {
		t.Errorf("%+v, %v", got, events)
	}
	// Somebody who may writes it anew.
	b.owners = nil
	if _, err := b.service.Update(t.Context(), b.actor, r.ID, hourly()); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Hour)
	b.until(b.ended(r.ID, 1), b.runner())
	if runs := b.runs(r.ID); len(runs) != 1 || runs[0].Status != report.Ready {
		t.Errorf("%+v", runs)
	}
	// What was asked for needs the right too.
	b.owners = fault.New(fault.NotFound, fault.CodeNotFound, "gone")
	if _, err := b.service.RunNow(t.Context(), b.actor, r.ID); err != nil {
		t.Fatal(err)
	}
	b.until(b.ended(r.ID, 2), b.runner())
	if run := b.runs(r.ID)[0]; run.Status != report.Failed || run.Error.Code != fault.CodeNotFound {
		t.Errorf("%+v", run)
	}
}

func TestAFailureIsTriedAgainAndThenSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	tries := 0
	b.render = func(io.Writer, report.Document) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		tries++
		return errors.New("broken")
	}
	run, err := b.service.RunNow(t.Context(), b.actor, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.service.RunNow(t.Context(), b.actor, r.ID); fault.KindOf(err) != fault.Conflict {
		t.Error(err)
	}
	if _, _, err := b.service.Open(t.Context(), b.actor.Org, r.ID, run.ID); fault.KindOf(err) != fault.Conflict {
		t.Error(err)
	}
	ended := b.ended(r.ID, 1)
	b.until(func() bool { b.clock.Advance(10 * time.Second); return ended() }, b.runner(func(d *report.RunnerDeps) { d.Schedules = false }))
	got := b.runs(r.ID)[0]
	if tries != report.MaxAttempts || got.Status != report.Failed || got.Error.Code != fault.CodeInternal || strings.Contains(got.Error.Message, "broken") {
		t.Errorf("%d tries, %+v", tries, got)
	}
	if events := b.events(r.ID); len(events) != 1 || events[0].Type != event.ReportFailed || !strings.Contains(string(events[0].Data), string(run.ID)) {
		t.Errorf("%v", events)
	}
	// A document that can't ever be made isn't tried again.
	b.render = func(w io.Writer, _ report.Document) error {
		chunk := make([]byte, 64<<20)
		for {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
	}
	if _, err := b.service.RunNow(t.Context(), b.actor, r.ID); err != nil {
		t.Fatal(err)
	}
	b.until(b.ended(r.ID, 2), b.runner(func(d *report.RunnerDeps) { d.Schedules, d.Blobs = false, sink{} }))
	if got := b.runs(r.ID)[0]; got.Error == nil || got.Error.Code != fault.CodeTooLarge || got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}

// sink keeps nothing.
type sink struct{ report.Blobs }

func (sink) Create(uid.Org, string) (scan.Blob, error) { return nothing{}, nil }

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Size() int64                 { return 0 }
func (nothing) Abort() error                { return nil }
func (nothing) Commit() (string, error)     { return "", errors.New("kept") }

func TestARunThatWasCutOffIsMadeByTheNextProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	// A process that stops while it writes gives the run back; a process that dies doesn't.
	began := make(chan struct{}, 1)
	b.render = func(w io.Writer, _ report.Document) error {
		began <- struct{}{}
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				return err
			}
		}
	}
	if _, err := b.service.RunNow(t.Context(), b.actor, r.ID); err != nil {
		t.Fatal(err)
	}
	b.until(func() bool { return len(began) > 0 }, b.runner())
	if got := b.runs(r.ID)[0]; got.Status != report.Queued || got.Attempt != 0 {
		t.Errorf("after a stop: %+v", got)
	}
	dead := b.runs(r.ID)[0]
	err := b.store.Reports().Change(t.Context(), b.actor.Org, taken(), func(ctx context.Context, tx report.Tx) error {
		return tx.TakeReportRun(ctx, dead, b.clock.Now(), b.clock.Now().Add(report.Hold))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.render = func(w io.Writer, _ report.Document) error { _, err := w.Write([]byte("whole")); return err }
	looked := 0
	b.until(func() bool { looked++; return looked > 20 }, b.runner())
	if got := b.runs(r.ID)[0]; got.Status != report.Running {
		t.Errorf("another's run was taken while it is held: %+v", got)
	}
	b.until(b.ended(r.ID, 1), b.runner(func(d *report.RunnerDeps) { d.Alone = true }))
	if got := b.runs(r.ID)[0]; got.Status != report.Ready || got.Attempt != 2 || b.blobs.all != 1 {
		t.Errorf("after a death: %+v", got)
	}
}

func TestLookingInBetweenDoesNotShortenTheNextReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	b.clock.Advance(30 * time.Minute)
	if _, err := b.service.RunNow(t.Context(), b.actor, r.ID); err != nil {
		t.Fatal(err)
	}
	b.until(b.ended(r.ID, 1), b.runner())
	b.clock.Advance(30 * time.Minute)
	b.until(b.ended(r.ID, 2), b.runner())
	if due := b.runs(r.ID)[0]; !due.From.Equal(testkit.Epoch()) {
		t.Errorf("%+v", due)
	}
	// Without a schedule each run goes on where the one before ended.
	d := hourly()
	d.Schedule = nil
	free := b.create(d)
	for i := range 2 {
		if _, err := b.service.RunNow(t.Context(), b.actor, free.ID); err != nil {
			t.Fatal(err)
		}
		b.until(b.ended(free.ID, i+1), b.runner())
		b.clock.Advance(time.Minute)
	}
	if runs := b.runs(free.ID); !runs[0].From.Equal(runs[1].To) || runs[1].To.Sub(runs[1].From) != 7*24*time.Hour {
		t.Errorf("%+v", runs)
	}
}

func TestOldRunsGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(hourly())
	past := func(ctx context.Context, tx report.Tx) error {
		for i := range report.KeptRuns + 10 {
			run := report.Run{ID: uid.ReportRun(b.ids.New()), Report: r.ID, Kind: r.Kind, Format: r.Format, Status: report.Queued, Due: b.clock.Now().Add(-time.Duration(i+1) * time.Hour)}
			done := run
			done.Fence, done.Status, done.EndedAt = 1, report.Ready, b.clock.Now()
			err := errors.Join(tx.InsertReportRun(ctx, run), tx.TakeReportRun(ctx, run, b.clock.Now(), b.clock.Now()), tx.FinishReportRun(ctx, done, time.Time{}))
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := b.store.Reports().Change(t.Context(), b.actor.Org, taken(), past); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Hour)
	b.until(func() bool { runs := b.runs(r.ID); return b.ended(r.ID, 1)() && runs[0].Due.Equal(b.clock.Now()) }, b.runner())
	if n := len(b.runs(r.ID)); n != report.KeptRuns {
		t.Errorf("%d runs are kept", n)
	}
	b.clock.Advance((report.KeptDays + 1) * 24 * time.Hour)
	if err := b.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(b.runs(r.ID)); n != 0 {
		t.Errorf("%d runs are older than is kept", n)
	}
}

func taken() audit.Event { return audit.Bookkeeping("a report run is taken; its end is audited") }
