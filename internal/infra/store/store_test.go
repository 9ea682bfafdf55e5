package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func logged() audit.Event {
	return audit.Event{Type: event.AssetCreated, Resource: audit.Resource{Kind: "asset", ID: "1"}, Status: 201}
}

// note is the smallest unit: one outbox row.
func note(ctx context.Context, tx *store.Tx) error { return tx.Note(ctx, "s", nil) }

// settled waits until every entry has its place and returns the organization's rows, which must agree.
func settled(t *testing.T, s *store.Store) store.Counts {
	t.Helper()
	if err := s.Sequence(t.Context()); err != nil {
		t.Fatalf("Sequence: %v", err)
	}
	c, err := s.Count(t.Context(), orgA)
	if err != nil {
		t.Fatalf("Count: %v", err)
	}
	if int64(c.Size) != c.Entries || c.StoredRoot != c.LeavesRoot {
		t.Errorf("the log holds %d of %d entries, or its root isn't that of its leaves", c.Size, c.Entries)
	}
	return c
}

func wantRows(t *testing.T, s *store.Store, entries, outbox int64) {
	t.Helper()
	c := settled(t, s)
	if c.Entries != entries || c.Outbox != outbox {
		t.Errorf("there are %d entries and %d outbox rows, want %d and %d", c.Entries, c.Outbox, entries, outbox)
	}
}

func TestChangeCommitsDataEntryAndLeafTogether(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		c := call()
		c.Start = clock.Now().Add(-3 * time.Millisecond)
		if err := s.Unit(audit.WithCall(t.Context(), c), orgA, audit.Event{Type: event.AssetUpdated, Resource: audit.Resource{Kind: "asset", ID: "7"}, Reason: "why"}, note); err != nil {
			t.Fatal(err)
		}
		if !c.Recorded() {
			t.Error("the call isn't marked as recorded")
		}
		wantRows(t, s, 1, 1)
		list, err := s.LogEntries(t.Context(), orgA, 0, 10, 0)
		if err != nil || len(list) != 1 {
			t.Fatalf("LogEntries = %d entries, %v", len(list), err)
		}
		got, err := audit.ParseLeaf(list[0].Leaf)
		if err != nil {
			t.Fatal(err)
		}
		want := (audit.Entry{
			ID: got.ID, Time: clock.Now(), Org: orgA, Type: event.AssetUpdated, Actor: c.Actor, ClientAddress: c.ClientAddress,
			UserAgent: c.UserAgent, Method: "POST", Route: "/api/assets", Resource: audit.Resource{Kind: "asset", ID: "7"}, Status: 201,
			DurationMicros: 3000, ClientRequestID: c.ClientRequestID, Reason: "why", Count: 1, Salt: list[0].Personal.Salt,
		}).Sealed()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entry differs (-want +got):\n%s", diff)
		}
		if list[0].LeafHash != audit.LeafHash(list[0].Leaf) {
			t.Error("the stored hash isn't the leaf's")
		}
		p := *list[0].Personal
		if p.ActorName != "bench" || p.ClientAddress != "192.0.2.7" || p.UserAgent != "bench/1.0" {
			t.Errorf("personal data beside the leaf: %+v", p)
		}
	}, testkit.WithClock(clock))
}

func TestEachLoggedChangeOfACallHasItsEntryAndBookkeepingHasNone(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		ctx := audit.WithCall(t.Context(), call())
		for _, ev := range []audit.Event{logged(), logged(), audit.Bookkeeping("progress")} {
			if err := s.Unit(ctx, orgA, ev, note); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Record(ctx, orgA, audit.Event{Type: event.AssetRead}); err != nil {
			t.Fatal(err)
		}
		if err := s.RecordEntry(ctx, audit.Entry{Org: orgA, Type: event.RateRefused, Count: 17}); err != nil {
			t.Fatal(err)
		}
		wantRows(t, s, 4, 3)
	})
}

func TestAFailedUnitLeavesNothing(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	units := map[string]func(context.Context, *store.Tx) error{
		"error": func(ctx context.Context, tx *store.Tx) error { return errors.Join(note(ctx, tx), boom) },
		"panic": func(ctx context.Context, tx *store.Tx) error {
			if err := note(ctx, tx); err != nil {
				return err
			}
			panic("at the disco")
		},
		"bad statement": func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(note(ctx, tx), tx.Run(ctx, "INSERT INTO nowhere VALUES (1)"))
		},
	}
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for name, u := range units {
			c := call()
			err := s.Unit(audit.WithCall(t.Context(), c), orgA, logged(), u)
			if err == nil || c.Recorded() {
				t.Errorf("%s: err = %v, recorded = %v", name, err, c.Recorded())
			}
			if name == "error" && !errors.Is(err, boom) {
				t.Errorf("the unit's error came back as %v", err)
			}
		}
		wantRows(t, s, 0, 0)
		if err := s.Unit(t.Context(), orgA, logged(), note); err != nil {
			t.Errorf("the store doesn't go on: %v", err)
		}
	})
}

func TestAViolatedKeyIsAConflict(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		err := s.UnitOfAll(t.Context(), audit.Bookkeeping("test"), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.Run(ctx, "INSERT INTO log_state (org, size, state) VALUES ('x', 0, '')"),
				tx.Run(ctx, "INSERT INTO log_state (org, size, state) VALUES ('x', 0, '')"))
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("err = %v, want a conflict", err)
		}
	})
}

func TestAChangeInsideAUnitIsRefused(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		err := s.Unit(t.Context(), orgA, logged(), func(ctx context.Context, _ *store.Tx) error {
			return s.Unit(ctx, orgA, logged(), note)
		})
		if fault.KindOf(err) != fault.Internal {
			t.Errorf("err = %v", err)
		}
		wantRows(t, s, 0, 0)
	})
}

func TestAUnitStaysInItsOrganization(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for what, u := range map[string]func(context.Context, *store.Tx) error{
			"within": func(_ context.Context, tx *store.Tx) error { return tx.Within(orgB, func() error { return nil }) },
			"all":    func(ctx context.Context, tx *store.Tx) error { return tx.Named(ctx, "all.outbox_prune", 0) },
		} {
			if err := s.Unit(t.Context(), orgA, logged(), u); fault.KindOf(err) != fault.Internal {
				t.Errorf("%s: err = %v, want an internal fault", what, err)
			}
		}
		if err := s.Unit(t.Context(), "", logged(), note); err == nil {
			t.Error("a change without an organization was taken")
		}
		if _, err := s.Events(t.Context(), "", "s", 0, 1); err == nil {
			t.Error("a read without an organization was answered")
		}
		err := s.UnitOfAll(t.Context(), audit.Bookkeeping("test"), func(ctx context.Context, tx *store.Tx) error {
			return tx.Within(orgA, func() error { return note(ctx, tx) })
		})
		if err != nil {
			t.Errorf("a unit over all organizations can't act in one: %v", err)
		}
		wantRows(t, s, 0, 1)
	})
}

func TestRowLevelSecurityHidesOtherOrganizationsFromAnyStatement(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t)
	if err := s.Unit(t.Context(), orgA, logged(), note); err != nil {
		t.Fatal(err)
	}
	err := s.Unit(t.Context(), orgB, audit.Bookkeeping("test"), func(ctx context.Context, tx *store.Tx) error {
		return tx.Run(ctx, "INSERT INTO outbox (org, type, subject, at, data) VALUES ($1, 't', 's', 0, '')", string(orgA))
	})
	if err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("a row for another organization was written: %v", err)
	}
	err = s.Unit(t.Context(), orgB, audit.Bookkeeping("test"), func(ctx context.Context, tx *store.Tx) error {
		return tx.Run(ctx, "DELETE FROM outbox")
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.Database().QueryRowContext(t.Context(), "SELECT count(*) FROM outbox").Scan(&n); err != nil || n != 0 {
		t.Errorf("without an organization %d rows are seen, %v", n, err)
	}
	wantRows(t, s, 1, 1)
}

func once(body string) *audit.Once {
	return &audit.Once{Principal: "key:1", Key: "k", Body: sha256.Sum256([]byte(body))}
}

func TestAnIdempotencyKeyTakesEffectOnce(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		c := call()
		c.Once = once("a")
		ctx := audit.WithCall(t.Context(), c)
		if _, _, found, err := s.LookupOnce(ctx, orgA, c.Route, *c.Once); found || err != nil {
			t.Fatalf("before: found %v, %v", found, err)
		}
		for range 2 { // the second change of the call writes no second claim
			if err := s.Unit(ctx, orgA, logged(), note); err != nil {
				t.Fatal(err)
			}
		}
		status, res, found, err := s.LookupOnce(t.Context(), orgA, "POST /api/assets", *once("a"))
		if err != nil || !found || status != 201 || res.ID != "1" {
			t.Errorf("replay: %d %+v %v %v", status, res, found, err)
		}
		if _, _, found, err := s.LookupOnce(t.Context(), orgB, "POST /api/assets", *once("a")); found || err != nil {
			t.Errorf("another organization finds it: %v %v", found, err)
		}
		_, _, _, err = s.LookupOnce(t.Context(), orgA, "POST /api/assets", *once("b"))
		if f := fault.Of(err); f == nil || f.Code != fault.CodeIdempotencyUsed {
			t.Errorf("another body: %v", err)
		}
		second := call()
		second.Once = once("a")
		err = s.Unit(audit.WithCall(t.Context(), second), orgA, logged(), note)
		if f := fault.Of(err); f == nil || f.Code != fault.CodeIdempotencyBusy || second.Recorded() {
			t.Errorf("a second call at once: %v", err)
		}
		wantRows(t, s, 2, 2)
	})
}

func TestAnErrorsIdempotencyKeyIsNotKept(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		c := call()
		c.Once = once("a")
		ev := logged()
		ev.Status = 401
		if err := s.Unit(audit.WithCall(t.Context(), c), orgA, ev, note); err != nil {
			t.Fatal(err)
		}
		if n := settled(t, s).Once; n != 0 {
			t.Errorf("%d claims", n)
		}
	})
}

func TestExpiredKeysAndEventsGo(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		claim := func() error {
			c := call()
			c.Once = once("a")
			return s.Unit(audit.WithCall(t.Context(), c), orgA, logged(), note)
		}
		if err := claim(); err != nil {
			t.Fatal(err)
		}
		clock.Advance(24*time.Hour + time.Second)
		if _, _, found, err := s.LookupOnce(t.Context(), orgA, "POST /api/assets", *once("b")); found || err != nil {
			t.Errorf("an expired key is found: %v %v", found, err)
		}
		if err := claim(); err != nil {
			t.Errorf("an expired key can't be used again: %v", err)
		}
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock.Advance(8 * 24 * time.Hour)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := settled(t, s); c.Outbox == 0 {
			t.Error("events went before their reader saw them")
		}
		nobody := func([]hook.Posted, map[uid.Org][]hook.Webhook) ([]hook.Message, error) { return nil, nil }
		if _, err := s.Post().FanOut(t.Context(), hook.Fan{Limit: 100, Write: true}, nobody); err != nil {
			t.Fatal(err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := settled(t, s); c.Outbox == 0 {
			t.Error("events went before their second reader saw them")
		}
		_, last, err := s.CaseFeed().CaseNews(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CaseFeed().CaseNewsDone(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := settled(t, s); c.Once != 0 || c.Outbox != 0 || c.Entries != 2 {
			t.Errorf("after the sweep: %+v", c)
		}
	}, testkit.WithClock(clock))
}

func TestReadersSeeWhatWasAnswered(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for i := range 50 {
			if err := s.Record(t.Context(), orgA, logged()); err != nil {
				t.Fatal(err)
			}
			list, err := s.LogNewest(t.Context(), orgA, 0, 100)
			if err != nil || len(list) != i+1 {
				t.Fatalf("after %d entries %d are seen, %v", i+1, len(list), err)
			}
		}
	})
}

func TestCloseRefusesWhatComesLater(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{s.Unit(t.Context(), orgA, logged(), note), s.Record(t.Context(), orgA, logged())} {
			if fault.KindOf(err) != fault.Unavailable {
				t.Errorf("err = %v", err)
			}
		}
	})
}

func TestTheDataFolderHasOneWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "assay.db")
	clock := testkit.NewClock()
	cfg := store.Config{Path: path, Now: clock.Now, IDs: clock.IDs(), Rand: zeros{}, Logger: slog.New(slog.DiscardHandler)}
	first, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), cfg)
	if f := fault.Of(err); f == nil || f.Kind != fault.Unavailable || !strings.Contains(f.Text, "process ") || strings.Contains(f.Text, path) {
		t.Errorf("a second writer: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestASchemaThatIsNotOursIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"changed file":  "UPDATE schema_file SET sha256 = 'x' WHERE version = 1",
		"newer version": "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock()
			cfg := store.Config{Path: filepath.Join(t.TempDir(), "assay.db"), Now: clock.Now, IDs: clock.IDs(), Rand: zeros{}, Logger: slog.New(slog.DiscardHandler)}
			s, err := store.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Alter(t.Context(), text); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), cfg); fault.KindOf(err) != fault.Internal || err == nil {
				t.Errorf("err = %v", err)
			}
		})
	}
}
