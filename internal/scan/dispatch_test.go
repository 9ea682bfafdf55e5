package scan_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// background runs something until the test's bubble ends.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestDispatcherAdmitsOnWakeAndOnTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.dispatcher()
		background(t, d.Run)
		synctest.Wait()
		r.submit(t, order())
		d.Wake()
		synctest.Wait()
		if len(r.store.jobs) != 1 {
			t.Error("a wake admits nothing")
		}
		for range 200 {
			r.submit(t, order())
		}
		time.Sleep(6 * time.Second)
		if len(r.store.jobs) != 100 {
			t.Errorf("%d scans run, want as many as the organization may", len(r.store.jobs))
		}
	})
}

func TestDeadWorkersScanIsStartedAgainAndFailsAfterThree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		background(t, r.dispatcher().Run)
		s := r.submit(t, order())
		for attempt := 1; attempt <= scan.MaxAttempts; attempt++ {
			died := time.Now()
			j := <-r.store.jobs
			if took := time.Since(died); took > time.Minute {
				t.Errorf("attempt %d came after %v", attempt, took)
			}
			if err := r.store.Change(t.Context(), orgA, audit.Event{}, func(ctx context.Context, tx scan.Tx) error {
				return tx.StartScan(ctx, j.Scan, j.Fence, time.Now())
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		got := r.store.row(s.ID)
		if got.Status != scan.Failed || got.Error.Code != fault.CodeScanInterrupted || got.Attempt != 3 {
			t.Errorf("ended as %+v", got.Scan)
		}
		if diff := cmp.Diff([]event.Type{event.ScanQueued, event.ScanFailed}, r.store.types(s.ID)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestScanThatNoWorkerTookKeepsItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		background(t, r.dispatcher().Run)
		s := r.submit(t, order())
		for range 6 {
			<-r.store.jobs
		}
		if got := r.store.row(s.ID); got.Status != scan.Queued || got.Attempt != 0 || !got.admitted {
			t.Errorf("after six admissions: %+v", got)
		}
	})
}

func TestProcessThatIsAloneTakesDeadLeasesBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := func() scan.Scan {
			s := r.submit(t, order())
			j := r.admit(t)[0]
			if err := r.store.Change(t.Context(), orgA, audit.Event{}, func(ctx context.Context, tx scan.Tx) error {
				return tx.StartScan(ctx, j.Scan, j.Fence, time.Now())
			}); err != nil {
				t.Fatal(err)
			}
			return s
		}
		dead := begin()
		time.Sleep(time.Second) // the restart
		d := dispatch.New(dispatch.Deps{
			Line: r.store, Store: r.store, Now: time.Now, Log: slog.New(slog.DiscardHandler), Alone: true,
		})
		ours := begin()
		background(t, d.Run)
		synctest.Wait()
		if got := r.store.row(dead.ID); got.Status != scan.Queued || len(r.store.jobs) != 1 {
			t.Errorf("the scan waits for its dead worker's lease: %s", got.Status)
		}
		if got := r.store.row(ours.ID); got.Status != scan.Running {
			t.Errorf("a scan of this process was taken back: %s", got.Status)
		}
	})
}

// late is a line whose list of dead leases is used only after something has happened.
type late struct {
	*memory

	meanwhile func()
}

func (l late) Expired(ctx context.Context, now time.Time, limit int) ([]scan.Slot, error) {
	dead, err := l.memory.Expired(ctx, now, limit)
	if len(dead) > 0 {
		l.meanwhile()
	}
	return dead, err
}

func TestAScanThatAWorkerHasJustTakenUpIsNotTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := r.submit(t, order())
		r.admit(t)
		time.Sleep(time.Second) // the restart
		taken := func() {       // the admitted scan's job is worked while the dispatcher looks at the leases of its forerunner
			r.store.edit(s.ID, func(x *row) {
				if x.Status == scan.Queued {
					x.Status, x.Attempt, x.LeaseUntil = scan.Running, x.Attempt+1, time.Now().Add(scan.Lease)
				}
			})
		}
		d := dispatch.New(dispatch.Deps{
			Line: late{r.store, taken}, Store: r.store, Now: time.Now, Log: slog.New(slog.DiscardHandler), Alone: true,
		})
		background(t, d.Run)
		synctest.Wait()
		if got := r.store.row(s.ID); got.Status != scan.Running || got.Attempt != 1 {
			t.Errorf("taken back as %s with attempt %d", got.Status, got.Attempt)
		}
	})
}

// world is several processes over one database: workers that come, stop, die and are cut off.
type world struct {
	*rig

	t   *testing.T
	rnd *rand.Rand

	mu      sync.Mutex
	running map[string]int // engine runs of living processes, by scan
	twice   int
}

// process is one server, whose store may be cut off.
type process struct {
	*memory

	mu  sync.Mutex
	cut bool
}

func (p *process) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, scan.Tx) error) error {
	p.mu.Lock()
	gone := p.cut
	p.mu.Unlock()
	if gone {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the database is gone")
	}
	return p.memory.Change(ctx, org, ev, unit)
}

// work is an engine run of some length that obeys its context within its grace.
func (w *world) work(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	w.mu.Lock()
	w.running[req.Scan]++
	if w.running[req.Scan] > 1 {
		w.twice++
	}
	w.mu.Unlock()
	length, grace := time.Duration(w.pick(90))*time.Second, time.Duration(w.pick(4000))*time.Millisecond
	err := output(env, port(22, finding.Low), port(80, finding.Low))
	select {
	case <-time.After(length):
	case <-ctx.Done():
		time.Sleep(grace)
	}
	w.mu.Lock()
	w.running[req.Scan]--
	w.mu.Unlock()
	return engine.Verdict{Outcome: engine.Complete}, err
}

// pick returns a number below n.
func (w *world) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.IntN(n)
}

// serve lets a process work jobs until it stops.
func (w *world) serve(ctx context.Context, p *process, all *sync.WaitGroup) {
	e := w.executor(p)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-w.store.jobs:
			all.Go(func() { _ = e.Run(ctx, j) }) // a store that is cut off fails runs; the leases decide
		}
	}
}

// TestScansEndOnceWhateverHappens runs scans while processes stop, are cut off from the database, and scans are
// cancelled at any moment.
func TestScansEndOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { interleave(t, seed) })
		})
	}
}

func interleave(t *testing.T, seed uint64) {
	t.Helper()
	w := &world{rig: newRig(t), t: t, rnd: rand.New(rand.NewPCG(seed, 1)), running: map[string]int{}}
	w.engine.run = w.work
	background(t, w.dispatcher().Run)
	background(t, w.dispatcher().Run)
	var all sync.WaitGroup
	type server struct {
		p    *process
		stop context.CancelFunc
	}
	start := func() server {
		ctx, stop := context.WithCancel(context.Background())
		p := &process{memory: w.store}
		all.Go(func() { w.serve(ctx, p, &all) })
		return server{p, stop}
	}
	servers := []server{start(), start()}
	var scans []uid.Scan
	cancelled := map[uid.Scan]bool{}
	for range 60 {
		time.Sleep(time.Duration(w.pick(6000)) * time.Millisecond)
		switch i := w.pick(len(servers)); w.pick(8) {
		case 0, 1, 2:
			scans = append(scans, w.submit(t, order()).ID)
		case 3:
			if len(scans) == 0 {
				continue
			}
			id := scans[w.pick(len(scans))]
			if _, err := w.service.Cancel(t.Context(), actor(), id); err == nil {
				cancelled[id] = true
			} else if fault.Of(err).Code != fault.CodeNotCancellable {
				t.Error(err)
			}
		case 4:
			servers[i].stop()
			servers[i] = start()
		case 5:
			servers[i].p.mu.Lock()
			servers[i].p.cut = !servers[i].p.cut
			servers[i].p.mu.Unlock()
		}
	}
	for _, s := range servers {
		s.p.mu.Lock()
		s.p.cut = false
		s.p.mu.Unlock()
	}
	time.Sleep(20 * time.Minute)
	for _, s := range servers {
		s.stop()
	}
	all.Wait()
	w.check(scans, cancelled)
}

// check holds what must be true when all is over.
func (w *world) check(scans []uid.Scan, cancelled map[uid.Scan]bool) {
	w.t.Helper()
	if w.twice > 0 {
		w.t.Errorf("an engine ran %d times beside itself", w.twice)
	}
	for _, id := range scans {
		s := w.store.row(id)
		if !s.Status.Terminal() || s.Attempt > scan.MaxAttempts || (s.Status == scan.Cancelled) != cancelled[id] {
			w.t.Errorf("%s ended as %s after %d attempts, cancelled %v", id, s.Status, s.Attempt, cancelled[id])
		}
		ends := 0
		for _, typ := range w.store.types(id) {
			if typ == event.ScanCompleted || typ == event.ScanFailed || typ == event.ScanCancelled {
				ends++
			}
		}
		if ends != 1 {
			w.t.Errorf("%s ended %d times: %v", id, ends, w.store.types(id))
		}
		if found := w.results(w.t, id); s.Status == scan.Completed && (len(found) != 2 || s.Summary.Total != 2) {
			w.t.Errorf("%s shows %d findings, counts %d", id, len(found), s.Summary.Total)
		}
	}
	w.clean(w.t)
}
