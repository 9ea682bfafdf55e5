package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func fill(t *testing.T, s *store.Store, org uid.Org, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := s.Record(t.Context(), org, logged()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Sequence(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStoredNodesProveEveryEntry(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		const n = 75
		fill(t, s, orgB, 5) // another log beside it
		fill(t, s, orgA, n)
		r, err := s.LogRange(t.Context(), orgA)
		if err != nil || r.Size() != n {
			t.Fatalf("size %d, %v", r.Size(), err)
		}
		root := r.Root()
		list, err := s.LogEntries(t.Context(), orgA, 0, n, 0)
		if err != nil || len(list) != n {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		nodes := s.LogNodes(orgA)
		for i := range list {
			path, err := audit.Inclusion(t.Context(), n, uint64(i), nodes)
			if err != nil {
				t.Fatal(err)
			}
			if err := audit.VerifyInclusion(uint64(i), n, list[i].LeafHash[:], path, root[:]); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
			if i == 0 {
				continue
			}
			old, err := audit.LoadRange(t.Context(), uint64(i), nodes)
			if err != nil {
				t.Fatal(err)
			}
			oldRoot := old.Root()
			path, err = audit.Consistency(t.Context(), uint64(i), n, nodes)
			if err != nil {
				t.Fatal(err)
			}
			if err := audit.VerifyConsistency(uint64(i), n, path, oldRoot[:], root[:]); err != nil {
				t.Errorf("size %d: %v", i, err)
			}
		}
	})
}

func TestReadersOfTheLogSeeOneOrganization(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		fill(t, s, orgA, 3)
		mine, err := s.LogNewest(t.Context(), orgA, 0, 10)
		if err != nil || len(mine) != 3 {
			t.Fatalf("%d, %v", len(mine), err)
		}
		if mine[0].Index != 2 || mine[2].Index != 0 {
			t.Errorf("not newest first: %d … %d", mine[0].Index, mine[2].Index)
		}
		older, err := s.LogNewest(t.Context(), orgA, mine[0].Index, 10)
		if err != nil || len(older) != 2 {
			t.Errorf("before the newest: %d, %v", len(older), err)
		}
		if got, err := s.LogEntry(t.Context(), orgA, mine[1].ID); err != nil || got.Index != 1 || got.Pending {
			t.Errorf("by id: %+v, %v", got, err)
		}
		if _, err := s.LogEntry(t.Context(), orgB, mine[1].ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization's: %v", err)
		}
		if list, err := s.LogEntries(t.Context(), orgB, 0, 10, 0); err != nil || len(list) != 0 {
			t.Errorf("another organization's: %d, %v", len(list), err)
		}
		if r, err := s.LogRange(t.Context(), orgB); err != nil || r.Size() != 0 {
			t.Errorf("another organization's: %d, %v", r.Size(), err)
		}
	})
}

func TestAnExportReadsTheWholeLogInOrder(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for i := range 3 {
			fill(t, s, orgA, 100+i)
		}
		n := 0
		err := s.EachLogged(t.Context(), orgA, 0, 303, func(l store.Logged) error {
			if l.Index != uint64(n) {
				return fmt.Errorf("index %d at %d", l.Index, n)
			}
			n++
			return nil
		})
		if err != nil || n != 303 {
			t.Errorf("%d entries, %v", n, err)
		}
	})
}

func TestEntriesArePendingUntilTheSequencerHasPlacedThem(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t) // its background work isn't running
	for range 3 {
		if err := s.Unit(t.Context(), orgA, logged(), note); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.LogNewest(t.Context(), orgA, 0, 10)
	if err != nil || len(list) != 3 || !list[0].Pending {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	if n, oldest, err := s.LogBacklog(t.Context()); err != nil || n != 3 || oldest.IsZero() {
		t.Errorf("backlog %d since %v, %v", n, oldest, err)
	}
	if events, err := s.Events(t.Context(), orgA, "s", 0, 10); err != nil || len(events) != 0 {
		t.Errorf("%d events have a place, %v", len(events), err)
	}
	wantRows(t, s, 3, 3)
	if n, _, err := s.LogBacklog(t.Context()); err != nil || n != 0 {
		t.Errorf("backlog %d, %v", n, err)
	}
	got, err := s.LogEntry(t.Context(), orgA, list[0].ID)
	if err != nil || got.Pending {
		t.Errorf("placed: %+v, %v", got, err)
	}
}

func TestTwoProcessesShareOneSequencer(t *testing.T) {
	t.Parallel()
	dsn := testkit.Database(t)
	same := testkit.WithConfig(func(cfg *store.Config) { cfg.DSN = dsn })
	stores := []*store.Store{testkit.Postgres(t, same), testkit.Postgres(t, same)}
	for _, s := range stores {
		testkit.Run(t, s)
	}
	woken, end, err := stores[1].Hub().Subscribe(orgA, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	const each = 200
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 8 {
			wg.Go(func() {
				for range each / 8 {
					if err := s.Unit(t.Context(), orgA, logged(), note); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	// A follower that only remembers the last position misses nothing.
	var after int64
	got := 0
	for got < 2*each {
		events, err := stores[1].Events(t.Context(), orgA, "s", after, 50)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Seq <= after {
				t.Fatalf("position %d after %d", e.Seq, after)
			}
			after = e.Seq
			got++
		}
		if len(events) == 0 {
			select {
			case <-woken:
			case <-t.Context().Done():
				t.Fatal("no wake")
			}
		}
	}
	wantRows(t, stores[0], 2*each, 2*each)
}

func TestSubscribersAreWokenAfterTheCommit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		testkit.Run(t, s)
		mine, end, err := s.Hub().Subscribe(orgA, "s")
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		other, endOther, err := s.Hub().Subscribe(orgB, "s")
		if err != nil {
			t.Fatal(err)
		}
		defer endOther()
		drain(mine)
		drain(other)
		var after int64
		for i := range 5 {
			if err := s.Unit(t.Context(), orgA, audit.Bookkeeping("test"), func(ctx context.Context, tx *store.Tx) error {
				return tx.Note(ctx, "s", map[string]int{"n": i})
			}); err != nil {
				t.Fatal(err)
			}
			for found := false; !found; {
				<-mine
				events, err := s.Events(t.Context(), orgA, "s", after, 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					if string(e.Data) != fmt.Sprintf(`{"n":%d}`, i) {
						t.Errorf("event %d: %s", i, e.Data)
					}
					after, found = e.Seq, true
				}
			}
		}
		if events, err := s.Events(t.Context(), orgB, "s", 0, 10); err != nil || len(events) != 0 {
			t.Errorf("another organization sees %d events, %v", len(events), err)
		}
	})
}

// drain takes a wake that came with the subscription's beginning.
func drain(ch <-chan struct{}) {
	select {
	case <-ch:
	default:
	}
}

func TestAnEndedSubscriptionIsForgotten(t *testing.T) {
	t.Parallel()
	s := testkit.SQLite(t)
	ch, end, err := s.Hub().Subscribe(orgA, "s")
	if err != nil {
		t.Fatal(err)
	}
	end()
	end() // twice is fine
	if err := s.Unit(t.Context(), orgA, audit.Bookkeeping("test"), note); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ch:
		t.Error("woken after the end")
	default:
	}
}
