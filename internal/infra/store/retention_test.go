package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const years = 366 * 24 * time.Hour

// keeping makes an organization whose audit log is kept for so many days.
func keeping(tb testing.TB, s *store.Store, days int) uid.Org {
	tb.Helper()
	org := testkit.Org(tb, s, "Kept")
	settings := tenant.Defaults()
	settings.Retention.AuditDays = days
	err := s.Tenants().Change(tb.Context(), org, audit.Bookkeeping("test"), func(ctx context.Context, tx tenant.Tx) error {
		return tx.PutSettings(ctx, settings)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return org
}

func TestRetentionDropsWholeRangesThatAreOldAndNothingElse(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		org, other := keeping(t, s, 400), keeping(t, s, 3000)
		a := newAuditor(t, s, org)
		for _, o := range []uid.Org{org, other} {
			check(t, act(t.Context(), s, o, "u1", 600)) // and the entry of the organization's making: 601
		}
		clock.Advance(399 * 24 * time.Hour)
		check(t, act(t.Context(), s, org, "u1", 1))
		check(t, s.Sweep(t.Context()))
		if first, _, err := s.LogFirst(t.Context(), org); err != nil || first != 0 {
			t.Errorf("too early: first %d, %v", first, err)
		}
		old := list(t, s, org, 0, 10)
		clock.Advance(2 * 24 * time.Hour)
		check(t, s.Sweep(t.Context()))
		check(t, s.Sweep(t.Context())) // a second one finds nothing
		check(t, s.Sequence(t.Context()))
		first, newest, err := s.LogFirst(t.Context(), org)
		if err != nil || first != 512 || !newest.Equal(list(t, s, org, 512, 1)[0].Time) {
			t.Errorf("first %d up to %v, %v", first, newest, err)
		}
		if first, _, err := s.LogFirst(t.Context(), other); err != nil || first != 0 {
			t.Errorf("of another organization with a longer retention: first %d, %v", first, err)
		}
		rep, err := a.verify(t.Context(), nil)
		if err != nil || rep.First != 512 || rep.Entries != 602-512+2 {
			t.Errorf("%+v, %v", rep, err)
		}
		var drops []string
		for _, l := range list(t, s, org, 512, 1000) {
			if l.Type == event.LogRetained {
				drops = append(drops, string(l.ActorKind)+" "+l.Resource.ID+": "+l.Reason)
			}
		}
		want := []string{
			"system 0-255: 256 entries are past the retention of 400 days", "system 256-511: 256 entries are past the retention of 400 days",
		}
		if strings.Join(drops, "\n") != strings.Join(want, "\n") {
			t.Errorf("audited drops: %q", drops)
		}
		if _, err := s.LogEntry(t.Context(), org, old[3].ID); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "retention") {
			t.Errorf("a dropped entry: %v", err)
		}
		err = s.EachLogged(t.Context(), org, 100, 600, func(store.Logged) error { return nil })
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "retention") {
			t.Errorf("an export that was overtaken: %v", err)
		}
		// Nodes below the dropped ranges are gone, their roots and what is above stay: 512, 256 twice.
		if n := nodes(t, s, org, "idx < 512 >> CAST(level AS INTEGER)"); n != 3 {
			t.Errorf("%d nodes of the dropped ranges are left", n)
		}
	}, testkit.WithClock(clock))
}

// list returns the leaves from an index on.
func list(t *testing.T, s *store.Store, org uid.Org, from uint64, n int) []audit.Leaf {
	t.Helper()
	entries, err := s.LogEntries(t.Context(), org, from, from+uint64(n), n)
	check(t, err)
	out := make([]audit.Leaf, len(entries))
	for i, e := range entries {
		out[i], err = audit.ParseLeaf(e.Leaf)
		check(t, err)
	}
	return out
}

// nodes counts an organization's nodes under a condition.
func nodes(t *testing.T, s *store.Store, org uid.Org, condition string) (n int) {
	t.Helper()
	c, err := s.CountWhere(t.Context(), org, "log_node", condition)
	check(t, err)
	return c
}

func TestTheLastEntryOfALogIsNeverDropped(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		org := keeping(t, s, 400)
		check(t, act(t.Context(), s, org, "u1", 255)) // with the first entry a whole range, and nothing after it
		clock.Advance(3 * years)
		check(t, s.Sweep(t.Context()))
		if first, _, err := s.LogFirst(t.Context(), org); err != nil || first != 0 {
			t.Errorf("first %d, %v", first, err)
		}
		check(t, act(t.Context(), s, org, "u1", 1))
		check(t, s.Sweep(t.Context()))
		if first, _, err := s.LogFirst(t.Context(), org); err != nil || first != 256 {
			t.Errorf("first %d, %v", first, err)
		}
	}, testkit.WithClock(clock))
}

func TestWhatWasAlteredIsKeptAsEvidence(t *testing.T) {
	t.Parallel()
	tampers := map[string]string{
		"leaf":         "UPDATE audit_entry SET leaf = (SELECT e.leaf FROM audit_entry e WHERE e.org = $1 AND e.idx = 8) WHERE org = $1 AND idx = 7",
		"hash":         "UPDATE audit_entry SET leaf_hash = (SELECT e.leaf_hash FROM audit_entry e WHERE e.org = $1 AND e.idx = 8) WHERE org = $1 AND idx = 7",
		"node":         "UPDATE log_node SET hash = (SELECT n.hash FROM log_node n WHERE n.org = $1 AND n.level = 8 AND n.idx = 1) WHERE org = $1 AND level = 8 AND idx = 0",
		"missing":      "DELETE FROM audit_entry WHERE org = $1 AND idx = 7",
		"other number": "UPDATE audit_entry SET idx = 9000 WHERE org = $1 AND idx = 7",
	}
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		good := keeping(t, s, 400)
		check(t, act(t.Context(), s, good, "u1", 300))
		bad := map[string]uid.Org{}
		for name, text := range tampers {
			bad[name] = keeping(t, s, 400)
			check(t, act(t.Context(), s, bad[name], "u1", 600))
			check(t, s.Alter(t.Context(), text, string(bad[name])))
		}
		clock.Advance(2 * years)
		check(t, s.Sweep(t.Context()))
		for name, org := range bad {
			if first, _, err := s.LogFirst(t.Context(), org); err != nil || first != 0 {
				t.Errorf("%s: dropped up to %d, %v", name, first, err)
			}
		}
		if first, _, err := s.LogFirst(t.Context(), good); err != nil || first != 256 {
			t.Errorf("the good log beside them: first %d, %v", first, err)
		}
	}, testkit.WithClock(clock))
}

// reopened runs f with a function that opens the same database again, on both.
func reopened(t *testing.T, f func(t *testing.T, clock *testkit.Clock, open func() *store.Store)) {
	t.Helper()
	run := func(t *testing.T, place func(*store.Config)) {
		t.Helper()
		clock := testkit.NewClock()
		var last *store.Store
		f(t, clock, func() *store.Store {
			if last != nil {
				check(t, last.Close(t.Context()))
			}
			cfg := store.Config{Now: clock.Now, IDs: clock.IDs(), Rand: zeros{}, Logger: slog.New(slog.DiscardHandler)}
			place(&cfg)
			var err error
			last, err = store.Open(t.Context(), cfg)
			check(t, err)
			return last
		})
		check(t, last.Close(t.Context()))
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "assay.db")
		run(t, func(c *store.Config) { c.Path = path })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testkit.Database(t)
		run(t, func(c *store.Config) { c.DSN = dsn })
	})
}

func TestALogIsRebuiltFromTheRootsOfWhatWasDropped(t *testing.T) {
	t.Parallel()
	reopened(t, func(t *testing.T, clock *testkit.Clock, open func() *store.Store) {
		s := open()
		org := keeping(t, s, 400)
		a := newAuditor(t, s, org)
		check(t, act(t.Context(), s, org, "u1", 1000))
		clock.Advance(2 * years)
		check(t, act(t.Context(), s, org, "u1", 300))
		check(t, s.Sweep(t.Context()))
		check(t, s.Sequence(t.Context()))
		before, err := a.checkpoint(t.Context())
		check(t, err)
		count := nodes(t, s, org, "1 = 1")
		for _, damage := range []string{
			"UPDATE log_state SET size = 3 WHERE org = $1", // no difference: the state itself counts
			"DELETE FROM log_state WHERE org = $1",
			"DELETE FROM log_node WHERE org = $1",
			"DELETE FROM log_node WHERE org = $1 AND level > 8",
			"UPDATE log_node SET hash = (SELECT e.leaf_hash FROM audit_entry e WHERE e.org = $1 AND e.idx = 900) WHERE org = $1 AND level = 10",
		} {
			check(t, s.Alter(t.Context(), damage, string(org)))
			s = open()
			a.s = s
			after, err := a.checkpoint(t.Context())
			if err != nil || after != before {
				t.Errorf("%s: state %+v, %v, want %+v", damage, after, err, before)
			}
			if n := nodes(t, s, org, "1 = 1"); n != count {
				t.Errorf("%s: %d nodes, want %d", damage, n, count)
			}
			if rep, err := a.verify(t.Context(), &before); err != nil || rep.First != 768 {
				t.Errorf("%s: %+v, %v", damage, rep, err)
			}
		}
		check(t, act(t.Context(), s, org, "u1", 5))
		if _, err := a.verify(t.Context(), &before); err != nil {
			t.Errorf("after the rebuild the log can't grow: %v", err)
		}
	})
}

func TestADropThatFailsHalfwayIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"DELETE FROM audit_entry", "DELETE FROM log_node", "UPDATE log_drop"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock()
			fail := true
			var mu sync.Mutex
			testkit.Each(t, func(t *testing.T, s *store.Store) {
				org := keeping(t, s, 400)
				a := newAuditor(t, s, org)
				check(t, act(t.Context(), s, org, "u1", 300))
				clock.Advance(2 * years)
				if err := s.Sweep(t.Context()); err == nil {
					t.Error("the failure was swallowed")
				}
				check(t, s.Sequence(t.Context()))
				if _, err := a.verify(t.Context(), nil); err != nil {
					t.Errorf("after the failure: %v", err)
				}
				mu.Lock()
				fail = false
				mu.Unlock()
				check(t, s.Sweep(t.Context()))
				check(t, s.Sequence(t.Context()))
				if rep, err := a.verify(t.Context(), nil); err != nil || rep.First != 256 {
					t.Errorf("afterwards: %+v, %v", rep, err)
				}
				if n := nodes(t, s, org, "level < 8 AND idx < 256 >> CAST(level AS INTEGER)"); n != 0 {
					t.Errorf("%d nodes are left", n)
				}
				mu.Lock()
				fail = true
				mu.Unlock()
			}, testkit.WithClock(clock), testkit.WithConfig(func(cfg *store.Config) {
				store.Inject(cfg, func(statement string) error {
					mu.Lock()
					defer mu.Unlock()
					if fail && strings.HasPrefix(statement, at) {
						return fault.New(fault.Unavailable, fault.CodeUnavailable, "injected")
					}
					return nil
				})
			}))
		})
	}
}

func TestTwoProcessesDropARangeOnce(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	dsn := testkit.Database(t)
	same := testkit.WithConfig(func(cfg *store.Config) { cfg.DSN = dsn })
	stores := []*store.Store{
		testkit.Postgres(t, same, testkit.WithClock(clock)), testkit.Postgres(t, same, testkit.WithClock(clock)),
	}
	s := stores[0]
	org := keeping(t, s, 400)
	a := newAuditor(t, s, org)
	check(t, act(t.Context(), s, org, "u1", 2000))
	clock.Advance(2 * years)
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			if err := s.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	check(t, s.Sequence(t.Context()))
	rep, err := a.verify(t.Context(), nil)
	if err != nil || rep.First != 1792 || rep.Entries != 2001-1792+7 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func BenchmarkDropARange(b *testing.B) {
	clock := testkit.NewClock()
	s := testkit.SQLite(b, testkit.WithClock(clock))
	org := keeping(b, s, 400)
	for range b.N {
		check(b, act(b.Context(), s, org, "u1", audit.BlockSize)) // the organization's own first entry follows the last range
	}
	clock.Advance(2 * years)
	b.ResetTimer()
	check(b, s.Sweep(b.Context()))
	b.StopTimer()
	if first, _, err := s.LogFirst(b.Context(), org); err != nil || first != uint64(256*b.N) {
		b.Fatal(fmt.Errorf("first %d, %w", first, err))
	}
}
