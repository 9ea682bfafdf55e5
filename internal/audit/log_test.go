package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
)

func leafHash(i int) audit.Hash {
	return audit.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// plainLog is a log in memory built from leaf hashes alone.
func plainLog(tb testing.TB, n int) (audit.Range, []audit.Hash, audit.NodeSource) {
	tb.Helper()
	var r audit.Range
	nodes := map[audit.NodeID][]byte{}
	var roots []audit.Hash
	for i := range n {
		h := leafHash(i)
		nodes[audit.NodeID{Index: uint64(i)}] = h[:]
		for _, x := range r.Append(nil, h) {
			if x.Level == 0 || (x.Index+1)<<x.Level > uint64(i+1) {
				tb.Fatalf("size %d: %+v is not a complete subtree above the leaves", i+1, x.NodeID)
			}
			nodes[x.NodeID] = x.Hash[:]
		}
		roots = append(roots, r.Root())
	}
	return r, roots, func(_ context.Context, ids []audit.NodeID) ([][]byte, error) {
		out := make([][]byte, len(ids))
		for i, id := range ids {
			out[i] = nodes[id]
		}
		return out, nil
	}
}

func TestRangeAgreesWithTheLibraryAtEverySize(t *testing.T) {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	want := f.NewEmptyRange(0)
	var r audit.Range
	if got := r.Root(); !bytes.Equal(got[:], rfc6962.DefaultHasher.EmptyRoot()) {
		t.Errorf("empty root %x", got)
	}
	for i := range 1100 {
		h := leafHash(i)
		var ids []compact.NodeID
		if err := want.Append(h[:], func(id compact.NodeID, _ []byte) { ids = append(ids, id) }); err != nil {
			t.Fatal(err)
		}
		got := r.Append(nil, h)
		if len(got) != len(ids)-1 {
			t.Fatalf("size %d: %d nodes, want %d", i+1, len(got), len(ids)-1)
		}
		for k, n := range got {
			if compact.NodeID(n.NodeID) != ids[k+1] {
				t.Fatalf("size %d: node %+v, want %+v", i+1, n.NodeID, ids[k+1])
			}
		}
		wantRoot, err := want.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if root := r.Root(); !bytes.Equal(root[:], wantRoot) {
			t.Fatalf("size %d: root %x, want %x", i+1, root, wantRoot)
		}
	}
}

func TestRangeSurvivesStorageAndCloning(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(rt, "size")
		r, _, source := plainLog(t, n)
		b, err := r.MarshalBinary()
		if err != nil {
			rt.Fatal(err)
		}
		var back audit.Range
		if err := back.UnmarshalBinary(b); err != nil {
			rt.Fatal(err)
		}
		loaded, err := audit.LoadRange(t.Context(), uint64(n), source)
		if err != nil {
			rt.Fatal(err)
		}
		before := r.Root()
		clone := r.Clone()
		for i := range 5 {
			clone.Append(nil, leafHash(n+i))
			back.Append(nil, leafHash(n+i))
			loaded.Append(nil, leafHash(n+i))
		}
		if r.Root() != before || r.Size() != uint64(n) {
			rt.Fatal("appending to a clone changed the original")
		}
		if clone.Root() != back.Root() || clone.Root() != loaded.Root() {
			rt.Fatal("stored, loaded and cloned state differ")
		}
		if err := back.UnmarshalBinary(b[:len(b)-1]); err == nil {
			rt.Fatal("a cut state was accepted")
		}
		if err := back.UnmarshalBinary(append(b, 0)); err == nil {
			rt.Fatal("a state with trailing data was accepted")
		}
	})
}

func TestProofsOfEveryIndexAndSizePairVerify(t *testing.T) {
	const n = 70
	_, roots, source := plainLog(t, n)
	for size := 1; size <= n; size++ {
		root := roots[size-1]
		for index := range size {
			p, err := audit.Inclusion(t.Context(), uint64(size), uint64(index), source)
			if err != nil {
				t.Fatal(err)
			}
			h := leafHash(index)
			if err := audit.VerifyInclusion(uint64(index), uint64(size), h[:], p, root[:]); err != nil {
				t.Fatalf("inclusion %d in %d: %v", index, size, err)
			}
			wrong := leafHash(index + 1)
			if audit.VerifyInclusion(uint64(index), uint64(size), wrong[:], p, root[:]) == nil {
				t.Fatalf("inclusion %d in %d holds for another leaf", index, size)
			}
		}
		for from := 1; from <= size; from++ {
			p, err := audit.Consistency(t.Context(), uint64(from), uint64(size), source)
			if err != nil {
				t.Fatal(err)
			}
			old := roots[from-1]
			if err := audit.VerifyConsistency(uint64(from), uint64(size), p, old[:], root[:]); err != nil {
				t.Fatalf("consistency %d to %d: %v", from, size, err)
			}
		}
	}
}

func TestProofsOfImpossibleSizesAndMissingNodesAreRefused(t *testing.T) {
	_, _, source := plainLog(t, 5)
	for name, call := range map[string]func() error{
		"index at size":      func() error { _, err := audit.Inclusion(t.Context(), 5, 5, source); return err },
		"from nothing":       func() error { _, err := audit.Consistency(t.Context(), 0, 5, source); return err },
		"backwards":          func() error { _, err := audit.Consistency(t.Context(), 5, 4, source); return err },
		"node missing":       func() error { _, err := audit.Inclusion(t.Context(), 9, 0, source); return err },
		"state node missing": func() error { _, err := audit.LoadRange(t.Context(), 9, source); return err },
		"source answers short": func() error {
			_, err := audit.Inclusion(t.Context(), 5, 0, func(context.Context, []audit.NodeID) ([][]byte, error) { return nil, nil })
			return err
		},
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestProofsWithElementsOfOddLengthAreRefused(t *testing.T) {
	_, roots, source := plainLog(t, 4)
	p, err := audit.Inclusion(t.Context(), 4, 0, source)
	if err != nil {
		t.Fatal(err)
	}
	h, root := leafHash(0), roots[3]
	// The first element's last byte moves to the front of what would follow: same bytes hashed, other elements.
	odd := [][]byte{p[0][:31], p[1]}
	if audit.VerifyInclusion(0, 4, h[:], odd, root[:]) == nil {
		t.Error("a short element was accepted")
	}
}

// TestPublicMerkleVectors runs the vectors of github.com/transparency-dev/merkle: its published trees and proofs, and
// every distortion of them that its vector generator makes. testdata/merkle-vectors.json says where they are from.
func TestPublicMerkleVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/merkle-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v merkleVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	in, cons := v.inclusionProbes(), v.consistencyProbes()
	for _, p := range in {
		err := audit.VerifyInclusion(p.index, p.size, p.leaf, p.proof, p.root)
		if (err != nil) != p.bad {
			t.Errorf("inclusion %s: %v, want error: %v", p.name, err, p.bad)
		}
	}
	for _, p := range cons {
		err := audit.VerifyConsistency(p.size1, p.size2, p.proof, p.root1, p.root2)
		if (err != nil) != p.bad {
			t.Errorf("consistency %s: %v, want error: %v", p.name, err, p.bad)
		}
	}
	if got := len(in) + len(cons); got < 180 {
		t.Errorf("only %d vectors ran", got)
	}
	t.Logf("%d inclusion and %d consistency vectors", len(in), len(cons))
}

// TestPublishedTreesAreBuiltByRange builds the public reference tree with our own code.
func TestPublishedTreesAreBuiltByRange(t *testing.T) {
	b, err := os.ReadFile("testdata/merkle-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v merkleVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var r audit.Range
	var got []hexBytes
	for _, leaf := range v.Leaves {
		r.Append(nil, audit.LeafHash(leaf))
		root := r.Root()
		got = append(got, root[:])
	}
	if diff := cmp.Diff(v.Roots, got); diff != "" {
		t.Error(diff)
	}
}

// madeUp answers any node with a hash of its name, so that a log of any size needs no storage.
func madeUp(_ context.Context, ids []audit.NodeID) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		h := sha256.Sum256(fmt.Appendf(nil, "%d/%d", id.Level, id.Index))
		out[i] = h[:]
	}
	return out, nil
}

func BenchmarkInclusionAtTenMillion(b *testing.B) {
	const size = 10_000_000
	var i uint64
	b.ReportAllocs()
	for b.Loop() {
		p, err := audit.Inclusion(context.Background(), size, i*7919%size, madeUp)
		if err != nil || len(p) > 24 {
			b.Fatal(len(p), err)
		}
		i++
	}
}

func BenchmarkVerifyInclusionAtTenMillion(b *testing.B) {
	const size, index = 10_000_000, 1_234_567
	p, err := audit.Inclusion(context.Background(), size, index, madeUp)
	if err != nil {
		b.Fatal(err)
	}
	h, root := leafHash(1), leafHash(2)
	for b.Loop() {
		if audit.VerifyInclusion(index, size, h[:], p, root[:]) == nil {
			b.Fatal("made-up nodes can't lead to that root")
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	var r audit.Range
	nodes := make([]audit.Node, 0, 64)
	h := leafHash(1)
	b.ReportAllocs()
	for b.Loop() {
		nodes = r.Append(nodes[:0], h)
	}
}
