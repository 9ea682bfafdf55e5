package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

// sqliteError stands for an error of the driver.
type sqliteError int

func (e sqliteError) Error() string { return "injected" }
func (e sqliteError) Code() int     { return int(e) }

// Errors of SQLite, by their result codes.
const (
	errFull  = sqliteError(13)
	errFsync = sqliteError(1034) // SQLITE_IOERR_FSYNC
)

// commits counts COMMITs that carry something, and lets a test fail them.
type commits struct {
	n    atomic.Int64
	fail func(statement string) error
}

func (c *commits) hook(cfg *store.Config) {
	store.Inject(cfg, func(statement string) error {
		if statement == "COMMIT" {
			c.n.Add(1)
		}
		if c.fail != nil {
			return c.fail(statement)
		}
		return nil
	})
}

// hold blocks the writer in a unit until release is called, so that a test can line units up behind it.
func hold(t *testing.T, s *store.Store) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	arrived := sync.OnceFunc(func() { close(in) }) // the unit may run twice
	go func() {
		done <- s.Unit(context.WithoutCancel(t.Context()), orgA, audit.Bookkeeping("test"), func(context.Context, *store.Tx) error {
			arrived()
			<-out
			return nil
		})
	}()
	<-in
	return func() {
		close(out)
		if err := <-done; err != nil {
			t.Errorf("the holding unit: %v", err)
		}
	}
}

// lined starts units and returns when all of them wait.
func lined(t *testing.T, s *store.Store, units ...func() error) (wait func() []error) {
	t.Helper()
	errs := make([]error, len(units))
	var wg sync.WaitGroup
	for i, u := range units {
		before := s.Waiting()
		wg.Go(func() { errs[i] = u() })
		for s.Waiting() == before {
			time.Sleep(50 * time.Microsecond) // the queue has no other sign that a caller has arrived
		}
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

func repeat(n int, u func() error) []func() error {
	list := make([]func() error, n)
	for i := range list {
		list[i] = u
	}
	return list
}

func TestConcurrentUnitsShareOneCommit(t *testing.T) {
	t.Parallel()
	var c commits
	clock := testkit.NewClock() // it stands still, so the batch stays open
	s := testkit.SQLite(t, testkit.WithClock(clock), testkit.WithConfig(c.hook))
	release := hold(t, s)
	wait := lined(t, s, repeat(100, func() error { return s.Unit(t.Context(), orgA, logged(), note) })...)
	before := c.n.Load()
	release()
	for _, err := range wait() {
		if err != nil {
			t.Error(err)
		}
	}
	if n := c.n.Load() - before; n > 2 {
		t.Errorf("101 units took %d commits", n)
	}
	wantRows(t, s, 100, 100)
}

func TestALoneCallerDoesNotWaitForCompany(t *testing.T) {
	t.Parallel()
	// The clock stands still: a batch that waited for its time to pass would wait for ever.
	s := testkit.SQLite(t, testkit.WithClock(testkit.NewClock()))
	for range 20 {
		if err := s.Unit(t.Context(), orgA, logged(), note); err != nil {
			t.Fatal(err)
		}
	}
	wantRows(t, s, 20, 20)
}

func TestAUnitThatDestroysTheTransactionCostsOnlyItself(t *testing.T) {
	t.Parallel()
	culprits := map[string]func(context.Context, *store.Tx) error{
		"rolls back": func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(note(ctx, tx), tx.Run(ctx, "ROLLBACK"))
		},
		"ignores a full disk": func(ctx context.Context, tx *store.Tx) error {
			_ = tx.Run(ctx, "/* full */ SELECT 1")
			if err := note(ctx, tx); err == nil {
				return errors.New("a statement ran after the transaction had ended")
			}
			return nil // and hides it all
		},
		"ends its own context": func(ctx context.Context, tx *store.Tx) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return note(ctx, tx)
		},
	}
	for name, culprit := range culprits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := commits{fail: func(statement string) error {
				if strings.Contains(statement, "/* full */") {
					return errFull
				}
				return nil
			}}
			s := testkit.SQLite(t, testkit.WithClock(testkit.NewClock()), testkit.WithConfig(c.hook))
			release := hold(t, s)
			good := func() error { return s.Unit(t.Context(), orgA, logged(), note) }
			bad := func() error { return s.Unit(t.Context(), orgA, logged(), culprit) }
			wait := lined(t, s, good, good, bad, good, good)
			release()
			for i, err := range wait() {
				if (err != nil) != (i == 2) {
					t.Errorf("unit %d: %v", i, err)
				}
			}
			wantRows(t, s, 4, 4)
		})
	}
}

func TestAFailedCommitRunsEveryUnitAgainAlone(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	c := commits{fail: func(statement string) error {
		if statement == "COMMIT" && armed.CompareAndSwap(true, false) {
			return errFull
		}
		return nil
	}}
	s := testkit.SQLite(t, testkit.WithClock(testkit.NewClock()), testkit.WithConfig(c.hook))
	release := hold(t, s)
	var runs atomic.Int64
	wait := lined(t, s, repeat(5, func() error {
		return s.Unit(t.Context(), orgA, logged(), func(ctx context.Context, tx *store.Tx) error {
			runs.Add(1)
			return note(ctx, tx)
		})
	})...)
	armed.Store(true)
	release()
	for _, err := range wait() {
		if err != nil {
			t.Error(err)
		}
	}
	if runs.Load() != 10 {
		t.Errorf("the units ran %d times, want each twice", runs.Load())
	}
	wantRows(t, s, 5, 5)
}

func TestAFailedFlushStopsTheProcess(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	c := commits{fail: func(statement string) error {
		if statement == "COMMIT" && armed.Load() {
			return errFsync
		}
		return nil
	}}
	stopped := make(chan error, 1)
	s := testkit.SQLite(t, testkit.WithConfig(c.hook), testkit.WithConfig(func(cfg *store.Config) {
		cfg.Stop = func(err error) { stopped <- err }
	}))
	armed.Store(true)
	for range 2 {
		call := call()
		if err := s.Unit(audit.WithCall(t.Context(), call), orgA, logged(), note); fault.KindOf(err) != fault.Unavailable || call.Recorded() {
			t.Errorf("err = %v", err)
		}
	}
	if err := <-stopped; err == nil {
		t.Error("no reason to stop")
	}
	armed.Store(false)
	wantRows(t, s, 0, 0)
}

func TestACallerThatGivesUpWhileWaitingIsWithdrawn(t *testing.T) {
	t.Parallel()
	s := testkit.SQLite(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	wait := lined(t, s, func() error { return s.Unit(ctx, orgA, logged(), note) })
	cancel()
	if err := wait()[0]; fault.KindOf(err) != fault.Canceled {
		t.Errorf("err = %v", err)
	}
	release()
	wantRows(t, s, 0, 0)
}

func TestACallerThatGivesUpInsideAUnitLearnsTheTruth(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Unit(ctx, orgA, logged(), func(ctx context.Context, tx *store.Tx) error {
			cancel()
			return note(ctx, tx)
		})
		if err != nil {
			t.Errorf("err = %v", err)
		}
		wantRows(t, s, 1, 1)
	})
}

func TestTooManyWaitingUnitsAreRefused(t *testing.T) {
	t.Parallel()
	s := testkit.SQLite(t, testkit.WithConfig(func(cfg *store.Config) { cfg.Waiting = 2 }))
	release := hold(t, s)
	u := func() error { return s.Unit(t.Context(), orgA, logged(), note) }
	wait := lined(t, s, u, u)
	if f := fault.Of(u()); f == nil || f.Kind != fault.Unavailable || f.RetryAfter <= 0 {
		t.Errorf("err = %v", f)
	}
	release()
	for _, err := range wait() {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestBulkUnitsGoLastAndOneABatch(t *testing.T) {
	t.Parallel()
	var c commits
	s := testkit.SQLite(t, testkit.WithClock(testkit.NewClock()), testkit.WithConfig(c.hook))
	var mu sync.Mutex
	var order []string
	unit := func(name string, bulk bool) func() error {
		return func() error {
			ev := logged()
			ev.Bulk = bulk
			return s.Unit(t.Context(), orgA, ev, func(ctx context.Context, tx *store.Tx) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return note(ctx, tx)
			})
		}
	}
	release := hold(t, s)
	wait := lined(t, s, unit("bulk", true), unit("bulk", true), unit("small", false), unit("small", false))
	before := c.n.Load()
	release()
	for _, err := range wait() {
		if err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(order, " "); got != "small small bulk bulk" {
		t.Errorf("order = %s", got)
	}
	if n := c.n.Load() - before; n != 2 {
		t.Errorf("two bulk units took %d commits, want one each", n)
	}
}

func TestARunawayUnitIsStoppedBetweenStatements(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		err := s.Unit(t.Context(), orgA, logged(), func(ctx context.Context, tx *store.Tx) error {
			if err := note(ctx, tx); err != nil {
				return err
			}
			clock.Advance(6 * time.Second)
			return note(ctx, tx)
		})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("err = %v", err)
		}
		wantRows(t, s, 0, 0)
	}, testkit.WithClock(clock), testkit.WithConfig(func(c *store.Config) { c.Budget = 0 })) // the default
}

func TestCloseFinishesWhatWaits(t *testing.T) {
	t.Parallel()
	s := testkit.SQLite(t)
	release := hold(t, s)
	wait := lined(t, s, repeat(10, func() error { return s.Unit(t.Context(), orgA, logged(), note) })...)
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.WithoutCancel(t.Context())) }()
	release()
	for _, err := range wait() {
		if err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestJobsAreEnqueuedInTheUnitAndToldAfterCommit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		var told atomic.Int64
		s.SetJobs(store.Jobs{Enqueue: enqueueNote, Committed: func() { told.Add(1) }})
		boom := errors.New("boom")
		for _, end := range []error{nil, boom} {
			err := s.Unit(t.Context(), orgA, logged(), func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.Enqueue(ctx), end)
			})
			if !errors.Is(err, end) {
				t.Errorf("err = %v, want %v", err, end)
			}
		}
		if told.Load() != 1 {
			t.Errorf("told %d times", told.Load())
		}
		wantRows(t, s, 1, 1)
	})
}

// TestWhateverUnitsDoTheRowsAgree runs units with every end at once and compares what was acknowledged with what is
// there.
func TestWhateverUnitsDoTheRowsAgree(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		var entries, outbox int64
		rapid.Check(t, func(rt *rapid.T) {
			ends := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 40).Draw(rt, "ends")
			var e, o atomic.Int64
			var wg sync.WaitGroup
			for _, end := range ends {
				wg.Go(func() {
					de, do := someUnit(t, s, end)
					e.Add(de)
					o.Add(do)
				})
			}
			wg.Wait()
			entries += e.Load()
			outbox += o.Load()
			c := settled(t, s)
			if c.Entries != entries || c.Outbox != outbox {
				rt.Fatalf("there are %d entries and %d outbox rows, acknowledged were %d and %d", c.Entries, c.Outbox, entries, outbox)
			}
		})
	})
}

// someUnit runs a unit that ends as told, and returns how many entries and outbox rows were acknowledged.
func someUnit(t *testing.T, s *store.Store, end int) (entries, outbox int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if end == 5 {
		if s.Record(ctx, orgA, audit.Event{Type: event.AssetRead}) == nil {
			return 1, 0
		}
		return 0, 0
	}
	err := s.Unit(ctx, orgA, logged(), func(ctx context.Context, tx *store.Tx) error {
		if err := note(ctx, tx); err != nil {
			return err
		}
		switch end {
		case 1:
			return errors.New("no")
		case 2:
			panic("no")
		case 3:
			cancel()
		case 4:
			_ = tx.Run(ctx, "INSERT INTO nowhere VALUES (1)") // and goes on
		case 6:
			gone, stop := context.WithCancel(ctx)
			stop()
			return note(gone, tx)
		}
		return nil
	})
	if err == nil {
		return 1, 1
	}
	return 0, 0
}

func TestSQLiteFlushesEveryCommit(t *testing.T) {
	t.Parallel()
	s := testkit.SQLite(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		if got := column(t, s.Database(), "PRAGMA "+pragma); len(got) != 1 || got[0] != want {
			t.Errorf("%s = %v, want %s", pragma, got, want)
		}
	}
}

func TestReadersCanNotWrite(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.ReadText(t.Context(), orgA, "INSERT INTO outbox (org, type, subject, at, data) VALUES ('x', 't', 's', 0, '')"); err == nil {
			t.Error("a reader wrote")
		}
	})
}
