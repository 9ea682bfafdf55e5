package scan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

func TestRunRecordsWhatTheEngineFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = writes(port(80, finding.Low), port(22, finding.High), port(80, finding.Low), outputLine{Asset: "192.0.2.7"}, outputLine{Asset: "-bad"})
		o := order()
		o.Options = map[string]json.RawMessage{"ports": json.RawMessage(`"1-1024"`)}
		o.Config = map[string]json.RawMessage{"headers": json.RawMessage(`{"X-Token":"hunter22"}`)}
		var got engine.Request
		inner := r.engine.run
		r.engine.run = func(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
			got = req
			return inner(ctx, env, req)
		}
		s := r.ran(t, o)
		if s.Status != scan.Completed || s.Outcome != engine.Complete || s.Version != "7.93" || s.Attempt != 1 || s.Error != nil {
			t.Errorf("ended as %+v", s.Scan)
		}
		if want := (finding.Summary{Total: 2, High: 1, Low: 1}); s.Summary != want {
			t.Errorf("summary %+v, want %+v", s.Summary, want)
		}
		found := r.results(t, s.ID)
		if len(found) != 2 || found[0].Location.Port != 22 || found[1].Location.Port != 80 || !strings.HasPrefix(found[0].Fingerprint, "w1:") {
			t.Errorf("results %+v", found)
		}
		if diff := cmp.Diff([]event.Type{event.ScanQueued, event.ScanStarted, event.FindingOpened, event.ScanCompleted}, r.store.types(s.ID)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got.Options.Ports("ports").String() != "1-1024" || got.Options.Int("level") != 2 || got.Config.Headers[0].Value.Reveal() != "hunter22" {
			t.Errorf("the engine was given %+v", got)
		}
		if len(got.Addrs) != 1 || len(got.Excluded) != 1 || len(r.reached) != 1 {
			t.Errorf("the engine may reach %v but %v", got.Addrs, got.Excluded)
		}
		assets, err := r.service.ScanAssets(t.Context(), orgA, s.ID)
		if diff := cmp.Diff([]asset.Observation{{Kind: asset.KindHost, Name: "192.0.2.7", Source: "stub"}}, assets); diff != "" || err != nil {
			t.Errorf("assets %v:\n%s", err, diff)
		}
		a, raw, err := r.service.Raw(t.Context(), orgA, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(raw)
		if err != nil || int64(len(data)) != a.Size || a.Name != "out.jsonl" || a.Truncated {
			t.Errorf("raw output %+v, %d bytes (%v)", a, len(data), err)
		}
		r.clean(t)
	})
}

func TestRescanOpensKeepsFixesAndReopens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		scanAgain := func(lines ...outputLine) []event.Type {
			time.Sleep(time.Minute)
			r.engine.run = writes(lines...)
			return r.store.types(r.ran(t, order()).ID)[2:]
		}
		for i, c := range []struct {
			lines []outputLine
			want  []event.Type
		}{
			{[]outputLine{port(22, finding.Low), port(80, finding.Low)}, []event.Type{event.FindingOpened, event.ScanCompleted}},
			{[]outputLine{port(80, finding.High), port(22, finding.Low)}, []event.Type{event.ScanCompleted}},
			{[]outputLine{port(22, finding.Low)}, []event.Type{event.FindingFixed, event.ScanCompleted}},
			{[]outputLine{port(22, finding.Low)}, []event.Type{event.ScanCompleted}},
			{[]outputLine{port(80, finding.Low)}, []event.Type{event.FindingReopened, event.FindingFixed, event.ScanCompleted}},
		} {
			if diff := cmp.Diff(c.want, scanAgain(c.lines...)); diff != "" {
				t.Errorf("scan %d (-want +got):\n%s", i, diff)
			}
		}
		r.engine.parse = func(io.Reader, engine.Request, func(engine.Item) error) (finding.Coverage, error) {
			return finding.Coverage{}, nil
		}
		if diff := cmp.Diff([]event.Type{event.ScanCompleted}, scanAgain()); diff != "" {
			t.Errorf("a scan that covered nothing (-want +got):\n%s", diff)
		}
	})
}

// waits is an engine run that leaves its output and then waits for its context, and for a grace beyond it.
func waits(grace time.Duration, lines ...outputLine) func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return func(ctx context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
		if err := output(env, lines...); err != nil {
			return engine.Verdict{}, err
		}
		<-ctx.Done()
		time.Sleep(grace)
		return engine.Verdict{Outcome: engine.Partial, Reasons: []string{"stopped"}, Version: "7.93"}, nil
	}
}

func TestTimeoutFailsAndKeepsWhatWasFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = writes(port(80, finding.Low))
		r.ran(t, order())
		r.engine.run = waits(time.Second, port(22, finding.Low))
		o := order()
		o.Timeout = 60
		start := time.Now()
		s := r.ran(t, o)
		if took := time.Since(start); took != 61*time.Second {
			t.Errorf("it took %v", took)
		}
		if s.Status != scan.Failed || s.Error.Code != fault.CodeScanTimeout || s.Outcome != engine.Partial || len(s.Reasons) != 2 {
			t.Errorf("ended as %+v, %+v", s.Scan, s.Error)
		}
		if found := r.results(t, s.ID); len(found) != 1 || s.Summary.Total != 1 {
			t.Errorf("results %+v", found)
		}
		if diff := cmp.Diff([]event.Type{event.FindingOpened, event.ScanFailed}, r.store.types(s.ID)[2:]); diff != "" {
			t.Errorf("events, where nothing may be closed (-want +got):\n%s", diff)
		}
		r.clean(t)
	})
}

// start submits an order and runs it in the background; the returned function waits for Run.
func (r *rig) start(t *testing.T, ctx context.Context, o scan.Order) (scan.Scan, func() error) {
	t.Helper()
	s := r.submit(t, o)
	jobs := r.admit(t)
	done := make(chan error, 1)
	go func() { done <- r.executor(r.store).Run(ctx, jobs[0]) }()
	synctest.Wait()
	return s, func() error { return <-done }
}

func TestCancelStopsTheEngineAndKeepsPartialResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stopped := make(chan time.Time, 1)
		inner := waits(time.Second, port(22, finding.High), outputLine{Asset: "192.0.2.7"})
		r.engine.run = func(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
			context.AfterFunc(ctx, func() { stopped <- time.Now() })
			return inner(ctx, env, req)
		}
		s, wait := r.start(t, t.Context(), order())
		time.Sleep(17*time.Second + 300*time.Millisecond)
		at := time.Now()
		got, err := r.service.Cancel(t.Context(), actor(), s.ID)
		if err != nil || got.Status != scan.Cancelled {
			t.Fatalf("cancel: %+v, %v", got, err)
		}
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		if late := (<-stopped).Sub(at); late > time.Second {
			t.Errorf("the engine was stopped %v after the cancellation", late)
		}
		end := r.store.row(s.ID)
		if end.Status != scan.Cancelled || end.Outcome != engine.Partial || end.Summary.Total != 1 || end.Error != nil {
			t.Errorf("ended as %+v", end.Scan)
		}
		if found := r.results(t, s.ID); len(found) != 1 {
			t.Errorf("results %+v", found)
		}
		if assets, err := r.service.ScanAssets(t.Context(), orgA, s.ID); err != nil || len(assets) != 1 {
			t.Errorf("assets %v (%v)", assets, err)
		}
		types := r.store.types(s.ID)
		if diff := cmp.Diff([]event.Type{event.ScanQueued, event.ScanStarted, event.ScanCancelled, event.FindingOpened}, types); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if _, err := r.service.Cancel(t.Context(), actor(), s.ID); fault.Of(err).Code != fault.CodeNotCancellable {
			t.Errorf("cancelled twice: %v", err)
		}
		r.clean(t)
	})
}

func TestLostLeaseStopsTheEngineAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = waits(0, port(22, finding.High))
		s, wait := r.start(t, t.Context(), order())
		time.Sleep(12 * time.Second)
		r.store.edit(s.ID, func(x *row) { x.Fence++ })
		before := time.Now()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(before); late > scan.Beat {
			t.Errorf("the engine was stopped after %v", late)
		}
		if got := r.store.row(s.ID); got.Status != scan.Running || len(r.store.results) != 0 || len(r.store.findings) != 0 {
			t.Errorf("the run that lost its lease wrote: %+v", got)
		}
		r.clean(t)
	})
}

// cutOff is a store that stops answering.
type cutOff struct {
	*memory

	dead atomic.Bool
}

func (c *cutOff) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, scan.Tx) error) error {
	if c.dead.Load() {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the database is gone")
	}
	return c.memory.Change(ctx, org, ev, unit)
}

func TestRunWithoutItsStoreStopsBeforeTheLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = waits(4*time.Second, port(22, finding.High))
		s := r.submit(t, order())
		cut := &cutOff{memory: r.store}
		done := make(chan error, 1)
		j := r.admit(t)[0]
		go func() { done <- r.executor(cut).Run(t.Context(), j) }()
		time.Sleep(7 * time.Second)
		cut.dead.Store(true)
		until := r.store.row(s.ID).LeaseUntil
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !time.Now().Before(until) {
			t.Errorf("the engine ended %v after the lease", time.Since(until))
		}
	})
}

func TestStoppingProcessGivesTheScanBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = waits(0, port(22, finding.High))
		ctx, stop := context.WithCancel(t.Context())
		s, wait := r.start(t, ctx, order())
		stop()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		got := r.store.row(s.ID)
		if got.Status != scan.Queued || got.admitted || got.Attempt != 0 || got.Due() != s.Due() {
			t.Errorf("given back as %+v", got)
		}
		r.engine.run = writes(port(22, finding.High))
		for _, j := range r.admit(t) {
			if err := r.executor(r.store).Run(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.store.row(s.ID); got.Status != scan.Completed || got.Attempt != 1 {
			t.Errorf("after the restart: %+v", got.Scan)
		}
		r.clean(t)
	})
}

func TestFailuresOfEnginesAreContained(t *testing.T) {
	t.Parallel()
	panics := func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) { panic("boom /etc/passwd") }
	for name, c := range map[string]struct {
		run     func(context.Context, engine.Env, engine.Request) (engine.Verdict, error)
		parse   func(io.Reader, engine.Request, func(engine.Item) error) (finding.Coverage, error)
		status  scan.Status
		code    fault.Code
		outcome engine.Outcome
	}{
		"engine panics":   {run: panics, status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed},
		"engine fails":    {run: fails(errors.New("open /secret/path")), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed},
		"program missing": {run: fails(fault.New(fault.Unavailable, fault.CodeEngine, "not installed")), status: scan.Failed, code: fault.CodeEngine, outcome: engine.Failed},
		"parser panics": {
			run: writes(port(1, finding.Low)), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed,
			parse: func(io.Reader, engine.Request, func(engine.Item) error) (finding.Coverage, error) { panic("boom") },
		},
		"parser stops half way": {
			run: writes(port(1, finding.Low)), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Partial,
			parse: func(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
				_, err := parseLines(raw, req, yield)
				return finding.Coverage{}, errors.Join(err, errors.New("garbage"))
			},
		},
		"nothing reachable":     {run: says(engine.NothingReachable), status: scan.Completed, outcome: engine.NothingReachable},
		"blocked":               {run: says(engine.Blocked), status: scan.Completed, outcome: engine.Blocked},
		"tool failed":           {run: says(engine.Failed), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed},
		"an outcome of no name": {run: says("odd"), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed},
		"no verdict":            {run: says(""), status: scan.Failed, code: fault.CodeScanFailed, outcome: engine.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.engine.run, r.engine.parse = c.run, c.parse
				s := r.ran(t, order())
				var code fault.Code
				if s.Error != nil {
					code = s.Error.Code
					if strings.Contains(s.Error.Message, "/") {
						t.Errorf("the message says too much: %q", s.Error.Message)
					}
				}
				if s.Status != c.status || code != c.code || s.Outcome != c.outcome {
					t.Errorf("ended as %s, %s, %s (%v)", s.Status, code, s.Outcome, s.Reasons)
				}
				r.clean(t)
			})
		})
	}
}

func fails(err error) func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
		return engine.Verdict{}, err
	}
}

func says(o engine.Outcome) func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
		return engine.Verdict{Outcome: o, Reasons: []string{"password=hunter22 \x1b[31mred"}}, output(env)
	}
}

func TestEngineThatDoesNotStopIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		release := make(chan struct{})
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			out, err := env.Artifact("out.jsonl", "application/jsonl")
			if err != nil {
				return engine.Verdict{}, err
			}
			<-release
			_, err = out.Write([]byte("late"))
			return engine.Verdict{Outcome: engine.Complete}, err
		}
		o := order()
		o.Timeout = 30
		s := r.ran(t, o)
		if s.Status != scan.Failed || s.Error.Code != fault.CodeScanTimeout {
			t.Errorf("ended as %+v", s.Scan)
		}
		if took := s.EndedAt.Sub(s.StartedAt); took > 45*time.Second {
			t.Errorf("it took %v", took)
		}
		close(release)
		synctest.Wait()
		if list, err := r.service.Artifacts(t.Context(), orgA, s.ID); err != nil || len(list) != 1 || list[0].Size != 0 {
			t.Errorf("artifacts %+v (%v)", list, err)
		}
		r.clean(t)
	})
}

func TestRunIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.limit.MaxFindings = 450
		var lines []outputLine
		for i := range 600 {
			lines = append(lines, port(i+1, finding.Info))
		}
		r.engine.run = writes(lines...)
		s := r.ran(t, order())
		if s.Summary.Total != 450 || s.Outcome != engine.Partial || len(s.Reasons) != 1 || len(r.results(t, s.ID)) != 450 {
			t.Errorf("%d findings, %s, %v", s.Summary.Total, s.Outcome, s.Reasons)
		}
		if r.store.largest > 500 {
			t.Errorf("a unit held %d rows", r.store.largest)
		}
		var told scan.FindingNotice
		for _, e := range r.store.events {
			if e.Type == event.FindingOpened {
				if err := json.Unmarshal(e.Data, &told); err != nil {
					t.Fatal(err)
				}
			}
		}
		if told.Count != 450 || len(told.FindingIDs) != scan.MaxNoticeIDs {
			t.Errorf("told of %d findings by %d ids", told.Count, len(told.FindingIDs))
		}

		r.engine.limit.MaxOutput = 100
		s = r.ran(t, order())
		list, err := r.service.Artifacts(t.Context(), orgA, s.ID)
		if err != nil || len(list) != 1 || list[0].Size != 100 || !list[0].Truncated {
			t.Errorf("artifacts %+v (%v)", list, err)
		}
		if s.Outcome == engine.Complete {
			t.Error("a run whose output was cut is complete")
		}
		r.clean(t)
	})
}

func TestFullDiskFailsTheScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.blobs.full = true
		r.engine.run = writes(port(1, finding.Low))
		if s := r.ran(t, order()); s.Status != scan.Failed || strings.Contains(s.Error.Message, "disk") {
			t.Errorf("ended as %+v, %+v", s.Status, s.Error)
		}
	})
}

func TestOutputsHaveRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			for _, name := range []string{"", "../x", "a/b", ".hidden", "sp ace", strings.Repeat("x", 65)} {
				if _, err := env.Artifact(name, "text/plain"); err == nil {
					t.Errorf("an output may be called %q", name)
				}
			}
			for i := range 16 {
				if _, err := env.Artifact(fmt.Sprint("out-", i), "text/plain"); err != nil {
					t.Errorf("output %d: %v", i, err)
				}
			}
			if _, err := env.Artifact("out-17", "text/plain"); err == nil {
				t.Error("a run may open any number of outputs")
			}
			return engine.Verdict{Outcome: engine.Complete}, nil
		}
		s := r.ran(t, order())
		if list, err := r.service.Artifacts(t.Context(), orgA, s.ID); err != nil || len(list) != 16 {
			t.Errorf("%d outputs (%v)", len(list), err)
		}
		r.clean(t)
	})
}

func TestStaleJobsDoNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ran := 0
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			ran++
			return engine.Verdict{Outcome: engine.Complete}, output(env)
		}
		s := r.submit(t, order())
		j := r.admit(t)[0]
		e := r.executor(r.store)
		for _, stale := range []job.Scan{
			{Org: j.Org, Scan: j.Scan, Fence: j.Fence - 1},
			{Org: j.Org, Scan: j.Scan, Fence: j.Fence + 1},
			{Org: orgB, Scan: j.Scan, Fence: j.Fence},
			{Org: j.Org, Scan: "gone", Fence: 1},
		} {
			if err := e.Run(t.Context(), stale); err != nil || ran != 0 {
				t.Errorf("%+v ran (%v)", stale, err)
			}
		}
		for range 2 {
			if err := e.Run(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		if ran != 1 {
			t.Errorf("the scan ran %d times", ran)
		}
		other := r.submit(t, order())
		k := r.admit(t)[0]
		if _, err := r.service.Cancel(t.Context(), actor(), other.ID); err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context(), k); err != nil || ran != 1 {
			t.Errorf("a cancelled scan ran (%v)", err)
		}
		if got := r.store.row(s.ID); got.Attempt != 1 {
			t.Errorf("%d attempts", got.Attempt)
		}
	})
}

func TestScopeIsCheckedAgainAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
			t.Error("the engine ran")
			return engine.Verdict{}, nil
		}
		o := order()
		o.Target = "example.org"
		s := r.submit(t, o)
		r.names["example.org"] = r.names["rebound.example.org"]
		for _, j := range r.admit(t) {
			if err := r.executor(r.store).Run(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.store.row(s.ID); got.Status != scan.Failed || got.Error.Code != fault.CodeTargetForbidden || got.Outcome != engine.Failed {
			t.Errorf("ended as %+v, %+v", got.Status, got.Error)
		}
	})
}

func TestProgressRisesAndIsToldOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			for i := range 300 {
				env.Progress(i-i%2*50, fmt.Sprintf("step \x1b%d", i))
				time.Sleep(50 * time.Millisecond)
			}
			return engine.Verdict{Outcome: engine.Complete}, output(env)
		}
		s := r.ran(t, order())
		last, lastAt := -1, time.Time{}
		told := 0
		for _, e := range r.store.events {
			if e.Type != event.ScanProgress {
				continue
			}
			told++
			var n scan.Notice
			if err := json.Unmarshal(e.Data, &n); err != nil {
				t.Fatal(err)
			}
			if n.Progress < last || n.Progress > 99 || strings.Contains(n.Phase, "\x1b") || e.At.Sub(lastAt) < time.Second {
				t.Errorf("progress %+v after %d, %v later", n, last, e.At.Sub(lastAt))
			}
			last, lastAt = n.Progress, e.At
		}
		if told < 10 || told > 17 {
			t.Errorf("%d progress events in 15 seconds", told)
		}
		if s.Status != scan.Completed {
			t.Errorf("ended as %s", s.Status)
		}
	})
}

func TestLeaseIsKeptWhileTheEngineRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			for range 120 {
				time.Sleep(10 * time.Second)
				if dead, err := r.store.Expired(t.Context(), time.Now().Add(10*time.Second), 10); err != nil || len(dead) != 0 {
					t.Errorf("the lease ran out: %v (%v)", dead, err)
				}
			}
			return engine.Verdict{Outcome: engine.Complete}, output(env)
		}
		if s := r.ran(t, order()); s.Status != scan.Completed {
			t.Errorf("ended as %s", s.Status)
		}
	})
}
