package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"assay.dev/assay/internal/audit"
)

// hexBytes are bytes as hexadecimal text in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	v, err := hex.DecodeString(string(b))
	*h = v
	return err
}

// merkleVectors is testdata/merkle-vectors.json: the constants of the public vectors. The distortions are listed here
// rather than as hundreds of files; names and kinds are those of the public generator.
type merkleVectors struct {
	Leaves    []hexBytes `json:"leaves"`
	Roots     []hexBytes `json:"roots"`
	SomeHash  hexBytes   `json:"someHash"`
	Inclusion []struct {
		Leaf  uint64     `json:"leaf"` // counts from 1
		Size  uint64     `json:"size"`
		Proof []hexBytes `json:"proof"`
	} `json:"inclusion"`
	Consistency []struct {
		Size1 uint64     `json:"size1"`
		Size2 uint64     `json:"size2"`
		Proof []hexBytes `json:"proof"`
	} `json:"consistency"`
}

type inclusionProbe struct {
	name        string
	index, size uint64
	leaf, root  []byte
	proof       [][]byte
	bad         bool
}

type consistencyProbe struct {
	name         string
	size1, size2 uint64
	root1, root2 []byte
	proof        [][]byte
	bad          bool
}

func plain(p []hexBytes) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i]
	}
	return out
}

func with(p [][]byte, at int, more ...[]byte) [][]byte {
	return slices.Insert(slices.Clone(p), at, more...)
}

func flipped(p [][]byte, i int, bit byte) [][]byte {
	out := slices.Clone(p)
	out[i] = slices.Clone(out[i])
	out[i][0] ^= bit
	return out
}

func (v merkleVectors) inclusionProbes() []inclusionProbe {
	empty := sha256.Sum256(nil)
	var out []inclusionProbe
	for n, x := range v.Inclusion {
		i, size, proof := x.Leaf-1, x.Size, plain(x.Proof)
		h := audit.LeafHash(v.Leaves[i])
		leaf, root := h[:], []byte(v.Roots[size-1])
		add := func(name string, i, size uint64, leaf, root []byte, proof [][]byte) {
			out = append(out, inclusionProbe{fmt.Sprintf("%d %s", n, name), i, size, leaf, root, proof, name != "happy path"})
		}
		add("happy path", i, size, leaf, root, proof)
		add("leaf index - 1", i-1, size, leaf, root, proof)
		add("leaf index + 1", i+1, size, leaf, root, proof)
		add("leaf index ^ 2", i^2, size, leaf, root, proof)
		add("tree size * 2", i, size*2, leaf, root, proof)
		add("tree size / 2", i, size/2, leaf, root, proof)
		add("wrong leaf", i, size, []byte("WrongLeaf"), root, proof)
		add("empty root", i, size, leaf, empty[:], proof)
		add("random root", i, size, leaf, v.SomeHash, proof)
		add("trailing garbage", i, size, leaf, root, with(proof, len(proof), []byte{}))
		add("trailing root", i, size, leaf, root, with(proof, len(proof), root))
		add("preceding garbage", i, size, leaf, root, with(proof, 0, []byte{}))
		add("preceding root", i, size, leaf, root, with(proof, 0, root))
		for k := range proof {
			add(fmt.Sprintf("modified proof %d", k), i, size, leaf, root, flipped(proof, k, 8))
		}
		if len(proof) > 0 {
			add("removed component", i, size, leaf, root, proof[:len(proof)-1])
		}
		if len(proof) > 1 {
			add("inserted component", i, size, leaf, root, with(proof, 1, v.SomeHash))
		}
	}
	for _, s := range [][2]uint64{{0, 0}, {0, 1}, {1, 0}, {2, 1}} {
		name := fmt.Sprintf("additional %d/%d ", s[0], s[1])
		out = append(out,
			inclusionProbe{name + "random leaf", s[0], s[1], v.SomeHash, []byte{}, nil, true},
			inclusionProbe{name + "empty root", s[0], s[1], []byte{}, empty[:], nil, true},
			inclusionProbe{name + "empty root and random leaf", s[0], s[1], v.SomeHash, empty[:], nil, true})
	}
	data := audit.LeafHash([]byte("data"))
	return append(out,
		inclusionProbe{"single matching", 0, 1, data[:], data[:], nil, false},
		inclusionProbe{"single empty leaf", 0, 1, []byte{}, data[:], nil, true},
		inclusionProbe{"single empty root", 0, 1, data[:], []byte{}, nil, true},
		inclusionProbe{"single both empty", 0, 1, []byte{}, []byte{}, nil, true})
}

func (v merkleVectors) consistencyProbes() []consistencyProbe {
	var out []consistencyProbe
	for n, x := range v.Consistency {
		s1, s2, proof := x.Size1, x.Size2, plain(x.Proof)
		r1, r2 := []byte(v.Roots[s1-1]), []byte(v.Roots[s2-1])
		add := func(name string, s1, s2 uint64, r1, r2 []byte, proof [][]byte) {
			out = append(out, consistencyProbe{fmt.Sprintf("%d %s", n, name), s1, s2, r1, r2, proof, name != "happy path"})
		}
		add("happy path", s1, s2, r1, r2, proof)
		if len(proof) == 0 {
			continue
		}
		end := len(proof)
		add("size1 - 1", s1-1, s2, r1, r2, proof)
		add("size1 + 1", s1+1, s2, r1, r2, proof)
		add("size1 ^ 2", s1^2, s2, r1, r2, proof)
		add("size2 * 2", s1, s2*2, r1, r2, proof)
		add("size2 / 2", s1, s2/2, r1, r2, proof)
		add("wrong root1", s1, s2, []byte("WrongRoot"), r2, proof)
		add("wrong root2", s1, s2, r1, []byte("WrongRoot"), proof)
		add("swapped roots", s1, s2, r2, r1, proof)
		add("empty proof", s1, s2, r1, r2, nil)
		add("trailing garbage", s1, s2, r1, r2, with(proof, end, []byte{}))
		add("trailing root1", s1, s2, r1, r2, with(proof, end, r1))
		add("trailing root2", s1, s2, r1, r2, with(proof, end, r2))
		add("preceding garbage", s1, s2, r1, r2, with(proof, 0, []byte{}))
		add("preceding root1", s1, s2, r1, r2, with(proof, 0, r1))
		add("preceding root2", s1, s2, r1, r2, with(proof, 0, r2))
		add("preceding proof", s1, s2, r1, r2, with(proof, 0, proof[0]))
		add("truncated proof", s1, s2, r1, r2, proof[:end-1])
		for k := range proof {
			add(fmt.Sprintf("modified proof %d", k), s1, s2, r1, r2, flipped(proof, k, 16))
		}
	}
	return append(out, v.staticConsistency()...)
}

func (v merkleVectors) staticConsistency() []consistencyProbe {
	empty := sha256.Sum256(nil)
	e, r1, r2 := empty[:], []byte("don't care 1"), []byte("don't care 2")
	one := [][]byte{e}
	return []consistencyProbe{
		{"zero sizes, other roots", 0, 0, r1, r2, nil, true},
		{"equal sizes, other roots", 1, 1, r1, r2, nil, true},
		{"zero sizes, equal roots", 0, 0, r1, r1, nil, true},
		{"from zero", 0, 1, r1, r2, nil, true},
		{"equal sizes, equal roots", 1, 1, r2, r2, nil, false},
		{"backwards to zero", 1, 0, r1, r2, nil, true},
		{"backwards", 2, 1, r1, r2, nil, true},
		{"empty proof", 1, 2, r1, r2, nil, true},
		{"zero sizes, empty root", 0, 0, e, r2, nil, true},
		{"equal sizes, empty root", 1, 1, e, r2, nil, true},
		{"zero sizes, proof", 0, 0, e, e, one, true},
		{"equal sizes, proof", 1, 1, e, e, one, true},
		{"from zero, empty root", 0, 1, e, r2, nil, true},
		{"from zero, proof", 0, 1, e, e, one, true},
	}
}
