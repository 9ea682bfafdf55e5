package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"filippo.io/mldsa"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// auditor exports and verifies one organization's log.
type auditor struct {
	s       *store.Store
	org     uid.Org
	signers audit.Signers
	keys    audit.Keys
}

func newAuditor(tb testing.TB, s *store.Store, org uid.Org) *auditor {
	tb.Helper()
	a := &auditor{s: s, org: org}
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), bytes.Repeat([]byte{2}, 32))
	check(tb, err)
	a.signers.Ed25519, err = audit.NewEd25519Signer(audit.Origin(org), ed)
	check(tb, err)
	a.signers.MLDSA, err = audit.NewMLDSASigner(audit.Origin(org), pq)
	check(tb, err)
	from := testkit.Epoch().Add(-time.Hour)
	k1, err := audit.NewKey(org, audit.PurposeLog, audit.Ed25519, ed.Public().(ed25519.PublicKey), from)
	check(tb, err)
	k2, err := audit.NewKey(org, audit.PurposeLog, audit.MLDSA65, pq.PublicKey().Bytes(), from)
	check(tb, err)
	a.keys = audit.NewKeys(org, []audit.Key{k1, k2})
	return a
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// checkpoint is the log's present state.
func (a *auditor) checkpoint(ctx context.Context) (audit.Checkpoint, error) {
	edge, err := a.s.LogRange(ctx, a.org)
	return audit.Checkpoint{Org: a.org, Size: edge.Size(), Root: edge.Root()}, err
}

// verify exports the log and verifies the export.
func (a *auditor) verify(ctx context.Context, old *audit.Checkpoint) (audit.Report, error) {
	first, _, err := a.s.LogFirst(ctx, a.org)
	if err != nil {
		return audit.Report{}, err
	}
	now, err := a.checkpoint(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	nodes := a.s.LogNodes(a.org)
	before, err := audit.LoadRange(ctx, first, nodes)
	if err != nil {
		return audit.Report{}, err
	}
	var b bytes.Buffer
	w, err := audit.NewExportWriter(&b, a.org, before, nodes)
	if err != nil {
		return audit.Report{}, err
	}
	if err := a.s.EachLogged(ctx, a.org, first, now.Size, func(l store.Logged) error { return w.Write(ctx, l.Exported) }); err != nil {
		return audit.Report{}, err
	}
	signed, err := now.Sign(a.signers)
	if err != nil {
		return audit.Report{}, err
	}
	if err := w.Close(ctx, signed); err != nil {
		return audit.Report{}, err
	}
	return audit.VerifyExport(&b, a.keys, old)
}

// act appends n entries of an actor who comes from an address.
func act(ctx context.Context, s *store.Store, org uid.Org, actor string, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			ctx := audit.WithCall(ctx, &audit.Call{
				Actor: audit.Actor{Kind: audit.ActorUser, ID: actor, Name: "Name of " + actor}, ClientAddress: "192.0.2.77", UserAgent: "browser/1",
			})
			errs[i] = s.Record(ctx, org, audit.Event{Type: event.AssetRead})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return s.Sequence(ctx)
}

// life is one log with everything that was ever known of it.
type life struct {
	t     *testing.T
	rt    *rapid.T
	s     *store.Store
	clock *testkit.Clock
	a     *auditor
	shown []audit.Checkpoint
	size  uint64
	times []time.Time // of every entry that ever was
}

const lifeDays = 400

func (l *life) do(err error) {
	if err != nil {
		l.rt.Fatal(err)
	}
}

// learn notes what was appended since, which must be there before anything can drop it.
func (l *life) learn() {
	l.do(l.s.Sequence(l.t.Context()))
	for {
		entries, err := l.s.LogEntries(l.t.Context(), l.a.org, l.size, l.size+1000, 1000)
		l.do(err)
		for _, e := range entries {
			leaf, err := audit.ParseLeaf(e.Leaf)
			l.do(err)
			if e.Index != l.size {
				l.rt.Fatalf("entry %d instead of %d", e.Index, l.size)
			}
			l.times = append(l.times, leaf.Time)
			l.size++
		}
		if len(entries) == 0 {
			return
		}
	}
}

// due is the first index that must be left after a sweep.
func (l *life) due() uint64 {
	cutoff := l.clock.Now().Add(-lifeDays * 24 * time.Hour)
	first := uint64(0)
	for first+256 < l.size {
		for _, at := range l.times[first : first+256] {
			if !at.Before(cutoff) {
				return first
			}
		}
		first += 256
	}
	return first
}

// step does one thing to the log.
func (l *life) step() {
	ctx := l.t.Context()
	switch rapid.SampledFrom([]string{"append", "append", "append", "drop", "drop", "erase actor", "erase before", "checkpoint"}).Draw(l.rt, "step") {
	case "append":
		l.clock.Advance(time.Duration(rapid.IntRange(0, 300).Draw(l.rt, "days")) * 24 * time.Hour)
		l.do(act(ctx, l.s, l.a.org, rapid.SampledFrom([]string{"u1", "u2"}).Draw(l.rt, "actor"), rapid.IntRange(1, 400).Draw(l.rt, "entries")))
	case "drop":
		want := l.due()
		l.do(l.s.Sweep(ctx))
		if first, _, err := l.s.LogFirst(ctx, l.a.org); err != nil || first != want {
			l.rt.Fatalf("the log begins at %d, want %d, %v", first, want, err)
		}
	case "erase actor":
		_, err := l.s.Erase(ctx, l.a.org, store.Erasure{Actor: "u1"})
		l.do(err)
	case "erase before":
		_, err := l.s.Erase(ctx, l.a.org, store.Erasure{Before: l.times[rapid.IntRange(0, len(l.times)-1).Draw(l.rt, "before")]})
		l.do(err)
	case "checkpoint":
		at, err := l.a.checkpoint(ctx)
		l.do(err)
		l.shown = append(l.shown, at)
	}
	l.learn()
}

// holds checks all promises.
func (l *life) holds() {
	ctx := l.t.Context()
	first, _, err := l.s.LogFirst(ctx, l.a.org)
	l.do(err)
	now, err := l.a.checkpoint(ctx)
	l.do(err)
	if now.Size != l.size {
		l.rt.Fatalf("size %d, want %d", now.Size, l.size)
	}
	nodes := l.s.LogNodes(l.a.org)
	var old *audit.Checkpoint
	for i, c := range l.shown {
		path, err := audit.Consistency(ctx, c.Size, now.Size, nodes)
		if (err == nil) != audit.Provable(c.Size, first) {
			l.rt.Fatalf("size %d, first %d: %v", c.Size, first, err)
		}
		if err == nil {
			l.do(audit.VerifyConsistency(c.Size, now.Size, path, c.Root[:], now.Root[:]))
		}
		if c.Size >= first {
			old = &l.shown[i]
		}
	}
	bare, err := l.s.CountWhere(ctx, l.a.org, "audit_entry", "salt IS NULL")
	l.do(err)
	rep, err := l.a.verify(ctx, old)
	if err != nil || rep.First != first || rep.Erased != uint64(bare) || rep.Entries != now.Size-first {
		l.rt.Fatalf("%+v, %v", rep, err)
	}
	index := rapid.Uint64Range(first, now.Size-1).Draw(l.rt, "index")
	entries, err := l.s.LogEntries(ctx, l.a.org, index, index+1, 1)
	l.do(err)
	path, err := audit.Inclusion(ctx, now.Size, index, nodes)
	l.do(err)
	l.do(audit.VerifyInclusion(index, now.Size, entries[0].LeafHash[:], path, now.Root[:]))
}

// tampered alters a kept entry, which must be found and named.
func (l *life) tampered() {
	ctx := l.t.Context()
	first, _, err := l.s.LogFirst(ctx, l.a.org)
	l.do(err)
	index := rapid.Uint64Range(first, l.size-1).Draw(l.rt, "altered")
	entries, err := l.s.LogEntries(ctx, l.a.org, index, index+1, 1)
	l.do(err)
	leaf := entries[0].Leaf
	leaf[rapid.IntRange(0, len(leaf)-1).Draw(l.rt, "byte")] ^= 1
	l.do(l.s.Alter(ctx, "UPDATE audit_entry SET leaf = $1 WHERE org = $2 AND idx = $3", leaf, string(l.a.org), int64(index)))
	rep, err := l.a.verify(ctx, nil)
	if fault.Of(err) == nil || fault.Of(err).Code != fault.CodeLogCorrupt || len(rep.Problems) != 1 || rep.Problems[0].Index != index || !rep.Problems[0].Proven {
		l.rt.Fatalf("entry %d was altered: %+v, %v", index, rep, err)
	}
}

func TestALogStaysVerifiableWhateverIsDroppedAndErased(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			if n++; n > 15 && !t.Failed() { // each takes a thousand commits
				return
			}
			l := &life{t: t, rt: rt, s: s, clock: clock, a: newAuditor(t, s, keeping(t, s, lifeDays))}
			l.learn()
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				l.step()
				l.holds()
			}
			l.tampered()
		})
	}, testkit.WithClock(clock))
}
