package audit

import "assay.dev/assay/internal/word/uid"

// seen is what the verifier keeps of an entry until its block's hash list comes.
type seen struct {
	hash  Hash
	id    uid.Entry
	index uint64 // as its line says
	line  int
	class Class // of what is wrong with the line itself; 0 = nothing
	text  string
}

// compareBlock finds out how the entries got differ from the hash list want, which stands for the indexes from first
// on. One entry changed, removed, inserted, doubled, moved or swapped is reported once, at its index in the log (an
// inserted one at the index that it took). Time and space are linear.
func compareBlock(got []seen, want []Hash, first uint64, report func(Problem)) {
	inWant := make(map[Hash]int, len(want))
	for j, h := range want {
		inWant[h] = j
	}
	inGot := make(map[Hash]int, len(got))
	for i, s := range got {
		inGot[s.hash] = i
	}
	placed := make([]bool, len(want)) // want[j] was met at its place
	i, j := 0, 0
	at := func(c Class, s seen, text string) {
		k := first + uint64(j) //nolint:gosec // j is an index of a slice
		report(Problem{Class: c, Line: s.line, Located: true, Index: k, Last: k, Entry: s.id, Text: span(k, k) + text})
	}
	for i < len(got) || j < len(want) {
		if i < len(got) && j < len(want) && got[i].hash == want[j] {
			placed[j] = true
			i, j = i+1, j+1
			continue
		}
		gotAt, wantAt := -1, -1 // where the other side has them
		if i < len(got) {
			if k, ok := inWant[got[i].hash]; ok {
				gotAt = k
			}
		}
		if j < len(want) {
			if k, ok := inGot[want[j]]; ok {
				wantAt = k
			}
		}
		switch {
		case i < len(got) && gotAt >= 0 && gotAt < j: // met before: a copy, or one whose absence was reported
			if placed[gotAt] {
				at(ClassInserted, got[i], " is a copy of an earlier one")
			}
			i++
		case j < len(want) && wantAt >= 0 && wantAt < i: // stood too early, which was reported
			j++
		case i < len(got) && j < len(want) && gotAt < 0 && wantAt < 0:
			at(ClassChanged, got[i], " is not the one that was logged")
			i, j = i+1, j+1
		case i < len(got) && gotAt < 0:
			at(ClassInserted, got[i], " was never logged")
			i++
		case j < len(want) && wantAt < 0:
			at(ClassRemoved, seen{}, missing)
			j++
		case i < len(got) && j < len(want):
			at(ClassReordered, got[i], " belongs to another index")
			i, j = i+1, j+1
		case i < len(got):
			i++
		default:
			j++
		}
	}
}

// foldBlock returns the node over a whole block of leaf hashes. It overwrites them.
func foldBlock(h []Hash) Hash {
	for n := len(h) / 2; n > 0; n /= 2 {
		for i := range n {
			h[i] = hashChildren(h[2*i], h[2*i+1])
		}
	}
	return h[0]
}
