package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// always is a range that holds every counter.
func always() usage.Range {
	return usage.Range{Start: time.Unix(0, 0).UTC(), End: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// kept reads an organization's counters.
func kept(t *testing.T, s *store.Store, org uid.Org) []usage.CallPoint {
	t.Helper()
	list, err := s.Usage().CallCounts(t.Context(), org, always(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// proven counts an organization's calls again, from the entries of its log.
func proven(t *testing.T, s *store.Store, org uid.Org) []usage.CallPoint {
	t.Helper()
	if err := s.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge, err := s.LogRange(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	hours := map[time.Time]usage.CallCount{}
	err = s.EachLogged(t.Context(), org, 0, edge.Size(), func(e store.Logged) error {
		l, err := audit.ParseLeaf(e.Leaf)
		if err != nil {
			return err
		}
		if c, ok := usage.CallOf(l.Method, l.Status, l.DurationMicros); ok {
			at := usage.HourOf(l.Time)
			sum := hours[at]
			sum.Add(c)
			hours[at] = sum
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []usage.CallPoint
	for at, c := range hours {
		out = append(out, usage.CallPoint{CallCount: c, Start: at})
	}
	slices.SortFunc(out, func(a, b usage.CallPoint) int { return a.Start.Compare(b.Start) })
	return out
}

// wantProven fails unless the counters of both organizations are what their logs prove, and returns how many calls
// there are in the first.
func wantProven(t *testing.T, s *store.Store) (calls int64) {
	t.Helper()
	for _, org := range []uid.Org{orgA, orgB} {
		want := proven(t, s, org)
		if diff := cmp.Diff(want, kept(t, s, org)); diff != "" {
			t.Errorf("counters of %s differ from the log (-log +counters):\n%s", org, diff)
		}
		for _, p := range want {
			if org == orgA {
				calls += p.Calls
			}
		}
	}
	return calls
}

// randomCall is a call of some duration and answer.
func randomCall(org uid.Org, now time.Time) *audit.Call {
	c := call()
	c.Org, c.Start = org, now.Add(-time.Duration(mrand.IntN(5000))*time.Microsecond)
	c.Status = []int{200, 201, 204, 400, 403, 404, 409, 429, 500, 503}[mrand.IntN(10)]
	return c
}

// traffic makes n rounds of all kinds of entries, by several callers at once.
func traffic(ctx context.Context, s *store.Store, now func() time.Time, n int) error {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	refused := errors.New("no")
	for worker := range 8 {
		wg.Go(func() {
			org := []uid.Org{orgA, orgB}[worker%2]
			for range n {
				ctx := audit.WithCall(ctx, randomCall(org, now()))
				units := []error{
					s.Record(ctx, org, audit.Event{Type: event.AssetRead}),
					s.Unit(ctx, org, logged(), note), // of the same call: it has been counted
					s.Unit(audit.WithCall(ctx, randomCall(org, now())), org, audit.Event{Type: event.AssetCreated}, note),
					s.Unit(ctx, org, audit.Bookkeeping("progress"), note),
					s.RecordEntry(ctx, audit.Entry{Org: org, Type: event.RateRefused, Count: 9, Status: 429}),
					s.Record(context.WithoutCancel(context.Background()), org, audit.Event{Type: event.ScanFinished}), // an act of the server
				}
				err := s.Unit(audit.WithCall(ctx, randomCall(org, now())), org, logged(), func(context.Context, *store.Tx) error { return refused })
				if !errors.Is(err, refused) {
					units = append(units, fmt.Errorf("a refused unit answered %w", err))
				}
				if err := errors.Join(units...); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func TestCountersAreWhatTheLogProves(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		testkit.Run(t, s)
		now := func() time.Time { return clock.Advance(time.Duration(mrand.IntN(20)-3) * time.Second) } // hours pass, and now and then the clock is set back
		if err := traffic(t.Context(), s, now, 40); err != nil {
			t.Fatal(err)
		}
		if n := wantProven(t, s); n != 2*4*40 {
			t.Errorf("%d calls are counted, want %d", n, 2*4*40)
		}
	}, testkit.WithClock(clock), testkit.WithConfig(func(c *store.Config) { c.Budget = 1000 * time.Hour }))
}

// restarts opens a database again and again, as a server that restarts.
type restarts struct {
	path, dsn string
	now       func() time.Time
}

func (r restarts) open(t *testing.T) *store.Store {
	t.Helper()
	cfg := store.Config{
		Now: r.now, IDs: uid.NewSource(r.now, rand.Reader), Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		DSN: r.dsn, Budget: time.Minute,
	}
	if r.dsn == "" {
		cfg.Path = filepath.Join(r.path, "assay.db")
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eachRestarted(t *testing.T, f func(t *testing.T, r restarts)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, restarts{path: t.TempDir(), now: time.Now}) })
	t.Run("postgres", func(t *testing.T) { f(t, restarts{dsn: testkit.Database(t), now: time.Now}) })
}

func TestCountersGoOnAfterARestart(t *testing.T) { //nolint:tparallel // eachRestarted starts the subtests, which are parallel
	t.Parallel()
	eachRestarted(t, func(t *testing.T, r restarts) {
		t.Parallel()
		for range 3 {
			s := r.open(t)
			if err := traffic(t.Context(), s, time.Now, 5); err != nil {
				t.Fatal(err)
			}
			wantProven(t, s)
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCountersAreWhatTheLogProvesWhenTheProcessIsKilled(t *testing.T) { //nolint:tparallel // eachRestarted starts the subtests, which are parallel
	t.Parallel()
	eachRestarted(t, func(t *testing.T, r restarts) {
		t.Parallel()
		where := r.dsn
		if where == "" {
			where = r.path
		}
		acknowledged := map[string]bool{}
		for kill := range 4 {
			runAndKill(t, where, 100+kill*97, acknowledged)
		}
		s := r.open(t)
		defer s.Close(context.Background()) //nolint:errcheck // a test's database
		if n := wantProven(t, s); n < int64(len(acknowledged)) {
			t.Errorf("%d calls are counted, %d were answered", n, len(acknowledged))
		}
	})
}

func TestEntriesFromBeforeTheCountersAreCounted(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for range 3 {
			clock.Advance(50 * time.Minute)
			if err := traffic(t.Context(), s, clock.Now, 30); err != nil {
				t.Fatal(err)
			}
		}
		proven(t, s, orgA)                  // gives all of them their places
		for _, statement := range []string{ // as a server left it that knew no counters
			"DELETE FROM usage_call", "UPDATE log_state SET use_hour = 0, calls = 0, success = 0, errors = 0, micros = 0, max_micros = 0",
			"INSERT INTO usage_fill (org, next_idx, end_idx) SELECT org, 0, size FROM log_state",
		} {
			if err := s.Alter(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		s.Forget()
		if got := kept(t, s, orgA); len(got) != 0 {
			t.Fatalf("still counted: %+v", got)
		}
		if err := traffic(t.Context(), s, clock.Now, 2); err != nil { // newer ones count from the start
			t.Fatal(err)
		}
		if err := s.Sequence(t.Context()); err != nil { // on PostgreSQL they count with their places
			t.Fatal(err)
		}
		if err := s.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantProven(t, s)
	}, testkit.WithClock(clock))
}

func TestALogWhoseEdgeIsRebuiltIsCountedAgain(t *testing.T) { //nolint:tparallel // eachRestarted starts the subtests, which are parallel
	t.Parallel()
	eachRestarted(t, func(t *testing.T, r restarts) {
		t.Parallel()
		s := r.open(t)
		if err := traffic(t.Context(), s, time.Now, 3); err != nil {
			t.Fatal(err)
		}
		want := proven(t, s, orgA)
		if err := s.Alter(t.Context(), "DELETE FROM log_state"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = r.open(t)
		t.Cleanup(func() { _ = s.Close(context.Background()) })
		if err := s.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantProven(t, s)
		if diff := cmp.Diff(want, kept(t, s, orgA)); diff != "" {
			t.Errorf("counted again (-before +after):\n%s", diff)
		}
	})
}

func TestOldCountersGo(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for range 3 {
			if err := traffic(t.Context(), s, clock.Now, 1); err != nil {
				t.Fatal(err)
			}
			clock.Advance(200 * 24 * time.Hour)
		}
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := kept(t, s, orgA); len(got) != 1 {
			t.Errorf("%d hours are left, want the youngest", len(got))
		}
	}, testkit.WithClock(clock))
}
