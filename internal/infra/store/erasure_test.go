package store_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

func TestErasureTakesThePersonalDataOfOneActor(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		org, other := keeping(t, s, 400), keeping(t, s, 400)
		a := newAuditor(t, s, org)
		for _, o := range []uid.Org{org, other} {
			check(t, act(t.Context(), s, o, "u1", 700))
			check(t, act(t.Context(), s, o, "u2", 40))
		}
		old, err := a.checkpoint(t.Context())
		check(t, err)
		n, err := s.Erase(t.Context(), org, store.Erasure{Actor: "u1"})
		if err != nil || n != 700 {
			t.Fatalf("%d erased, %v", n, err)
		}
		check(t, s.Sequence(t.Context()))
		if rep, err := a.verify(t.Context(), &old); err != nil || rep.Erased != 700 {
			t.Errorf("%+v, %v", rep, err)
		}
		entries, err := s.LogEntries(t.Context(), org, 0, 1000, 1000)
		check(t, err)
		var acts []string
		for _, e := range entries {
			l, err := audit.ParseLeaf(e.Leaf)
			check(t, err)
			if (l.ActorID == "u1") != (e.Personal == nil) {
				t.Errorf("entry %d of %s: personal data %v", e.Index, l.ActorID, e.Personal)
			}
			if l.Type == event.LogErased {
				acts = append(acts, l.Resource.Kind+" "+l.Resource.ID+": "+l.Reason)
			}
		}
		want := "actor u1: personal data of 500 entries of the actor erased, actor u1: personal data of 200 entries of the actor erased"
		if got := strings.Join(acts, ", "); got != want {
			t.Errorf("audited: %s", got)
		}
		if n, err := s.CountWhere(t.Context(), other, "audit_entry", "salt IS NULL"); err != nil || n != 0 {
			t.Errorf("%d entries of another organization were erased, %v", n, err)
		}
		again, err := s.Erase(t.Context(), org, store.Erasure{Actor: "u1"})
		if err != nil || again != 0 {
			t.Errorf("again: %d, %v", again, err)
		}
	})
}

func TestErasureTakesThePersonalDataBeforeAMoment(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		org := keeping(t, s, 400)
		a := newAuditor(t, s, org)
		check(t, act(t.Context(), s, org, "u1", 9))
		then := clock.Advance(time.Hour)
		check(t, act(t.Context(), s, org, "u1", 10))
		n, err := s.Erase(t.Context(), org, store.Erasure{Before: then})
		if err != nil || n != 10 { // the making of the organization is one
			t.Fatalf("%d erased, %v", n, err)
		}
		check(t, s.Sequence(t.Context()))
		if rep, err := a.verify(t.Context(), nil); err != nil || rep.Erased != 10 {
			t.Errorf("%+v, %v", rep, err)
		}
		if n, err := s.CountWhere(t.Context(), org, "audit_entry", "salt IS NULL AND client_address IS NULL AND user_agent IS NULL AND actor_name IS NULL"); err != nil || n != 10 {
			t.Errorf("%d rows without all four, %v", n, err)
		}
		for _, e := range []store.Erasure{{}, {Actor: "u1", Before: then}} {
			if _, err := s.Erase(t.Context(), org, e); err == nil {
				t.Errorf("%+v was done", e)
			}
		}
	}, testkit.WithClock(clock))
}

func TestErasedTextIsGoneFromTheDatabaseFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "assay.db")
	clock := testkit.NewClock()
	cfg := store.Config{Path: path, Now: clock.Now, IDs: clock.IDs(), Rand: zeros{}, Logger: slog.New(slog.DiscardHandler)}
	s, err := store.Open(t.Context(), cfg)
	check(t, err)
	check(t, act(t.Context(), s, orgA, "u1", 100))
	check(t, act(t.Context(), s, orgA, "u2", 100))
	_, err = s.Erase(t.Context(), orgA, store.Erasure{Actor: "u1"})
	check(t, err)
	check(t, s.Close(t.Context()))
	b, err := os.ReadFile(path)
	check(t, err)
	if bytes.Contains(b, []byte("Name of u1")) {
		t.Error("the erased name still stands in the file")
	}
	if !bytes.Contains(b, []byte("Name of u2")) {
		t.Error("the other name doesn't")
	}
}
