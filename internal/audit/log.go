package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"assay.dev/assay/internal/word/fault"
)

// Hash is a SHA-256 hash of the log: of a leaf, an inner node or a root.
type Hash [sha256.Size]byte

// NodeID names a complete subtree: level 0 are the leaf hashes, (Level, Index) covers the leaves from Index<<Level on,
// 1<<Level of them.
type NodeID struct {
	Level uint
	Index uint64
}

// Node is a complete subtree with its hash.
type Node struct {
	NodeID
	Hash Hash
}

// NodeSource returns the hashes of the named complete subtrees, in the order of ids, each 32 bytes. Level 0 are leaf
// hashes, which the store keeps with the entries; higher levels come from what Append returned. One call asks for all
// that a proof needs (at most about 2·log2(size) nodes), so that a database answers it in one query.
type NodeSource func(ctx context.Context, ids []NodeID) ([][]byte, error)

// Range is the state of one organization's log: the hashes of the complete subtrees that cover all its leaves, largest
// first, at most 64 of them. From it the log grows and its root is computed without reading anything. The zero value
// is the empty log. A Range is not safe for concurrent use; the writer appends to a Clone and drops it when the batch
// is lost.
type Range struct {
	size  uint64
	nodes []Hash
}

// Size returns the number of leaves.
func (r *Range) Size() uint64 { return r.size }

// Clone returns an independent copy, of at most 64 hashes.
func (r *Range) Clone() Range {
	return Range{size: r.size, nodes: slices.Clone(r.nodes)}
}

// Append adds a leaf by its hash and appends to dst the subtrees that it completes: level 1 and above only, lowest
// first, none for every second leaf. These are the rows of the node table; the leaf hash itself (level 0) stays with
// its entry, and incomplete subtrees are never returned nor stored. Index of the new leaf: Size before the call.
func (r *Range) Append(dst []Node, leaf Hash) []Node {
	r.grow(0, leaf, &dst)
	return dst
}

// AppendBlock adds BlockSize leaves at once by their root, for a log whose first entries retention has dropped, and
// appends to dst the subtrees that it completes: the block itself first, then those above. The size must be a multiple
// of BlockSize, else an Internal fault of code LOG_CORRUPT and nothing is added.
func (r *Range) AppendBlock(dst []Node, root Hash) ([]Node, error) {
	if r.size%BlockSize != 0 {
		return dst, corrupt("a dropped range of the log doesn't begin where a block does")
	}
	dst = append(dst, Node{NodeID{Level: BlockLevel, Index: r.size >> BlockLevel}, root})
	r.grow(BlockLevel, root, &dst)
	return dst, nil
}

// Provable reports whether a proof from or to the log's size can be made after retention has dropped the entries
// before first (a multiple of BlockSize): the nodes that it needs were kept. That is so from first on, and before it
// at the borders of blocks.
func Provable(size, first uint64) bool { return size >= first || size%BlockSize == 0 }

// grow adds a complete subtree; the size must be a multiple of 1<<level. completed may be nil.
func (r *Range) grow(level uint, h Hash, completed *[]Node) {
	index := r.size >> level
	for ; index&1 == 1; index >>= 1 {
		last := len(r.nodes) - 1
		h = hashChildren(r.nodes[last], h)
		r.nodes = r.nodes[:last]
		level++
		if completed != nil {
			*completed = append(*completed, Node{NodeID{Level: level, Index: index >> 1}, h})
		}
	}
	r.nodes = append(r.nodes, h)
	r.size = index<<level + 1<<level
}

// Root returns the RFC 6962 root: SHA-256 of nothing for the empty log.
func (r *Range) Root() Hash {
	if len(r.nodes) == 0 {
		return sha256.Sum256(nil)
	}
	last := len(r.nodes) - 1
	h := r.nodes[last]
	for i := last - 1; i >= 0; i-- {
		h = hashChildren(r.nodes[i], h)
	}
	return h
}

// rangeVersion is the first byte of a marshalled Range.
const rangeVersion = 1

// MarshalBinary returns the state as stored: version, size (8 bytes, big-endian), hashes. It never fails.
func (r *Range) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 9+len(r.nodes)*sha256.Size)
	b = append(b, rangeVersion)
	b = binary.BigEndian.AppendUint64(b, r.size)
	for i := range r.nodes {
		b = append(b, r.nodes[i][:]...)
	}
	return b, nil
}

// UnmarshalBinary reads a stored state. A length that doesn't fit the size is an Internal fault of code LOG_CORRUPT.
func (r *Range) UnmarshalBinary(b []byte) error {
	if len(b) < 9 || b[0] != rangeVersion {
		return corrupt("the stored state of the log is not readable")
	}
	size := binary.BigEndian.Uint64(b[1:9])
	b = b[9:]
	if len(b) != bits.OnesCount64(size)*sha256.Size {
		return corrupt("the stored state of the log doesn't fit its size")
	}
	nodes := make([]Hash, 0, len(b)/sha256.Size)
	for ; len(b) > 0; b = b[sha256.Size:] {
		nodes = append(nodes, Hash(b[:sha256.Size]))
	}
	r.size, r.nodes = size, nodes
	return nil
}

// LoadRange rebuilds the state of the log at size from stored nodes, for start-up checks, for checkpoints of an older
// size and for the first line of an export.
func LoadRange(ctx context.Context, size uint64, nodes NodeSource) (Range, error) {
	if size == 0 {
		return Range{}, nil
	}
	hashes, err := fetch(ctx, compact.RangeNodes(0, size, nil), nodes)
	if err != nil {
		return Range{}, err
	}
	r := Range{size: size, nodes: make([]Hash, len(hashes))}
	for i := range hashes {
		r.nodes[i] = Hash(hashes[i])
	}
	return r, nil
}

// Inclusion returns the proof (RFC 6962 section 2.1.1, leaf to root) that the leaf at index is in the log of the given
// size. index must be less than size, else an Invalid fault; errors of nodes come back as they are.
func Inclusion(ctx context.Context, size, index uint64, nodes NodeSource) ([][]byte, error) {
	want, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fault.Wrong("index", "must be less than the size of the log").Because(err)
	}
	return prove(ctx, want, nodes)
}

// Consistency returns the proof (RFC 6962 section 2.1.2) that the log of size2 begins with the log of size1. Sizes
// must satisfy 0 < size1 ≤ size2, else an Invalid fault; equal sizes have the empty proof.
func Consistency(ctx context.Context, size1, size2 uint64, nodes NodeSource) ([][]byte, error) {
	if size1 == 0 {
		return nil, fault.Wrong("from", "must be at least 1: every log is consistent with the empty one")
	}
	want, err := proof.Consistency(size1, size2)
	if err != nil {
		return nil, fault.Wrong("from", "must not be more than the later size").Because(err)
	}
	return prove(ctx, want, nodes)
}

func prove(ctx context.Context, want proof.Nodes, nodes NodeSource) ([][]byte, error) {
	hashes, err := fetch(ctx, want.IDs, nodes)
	if err != nil {
		return nil, err
	}
	out, err := want.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, corrupt("the log's nodes don't make a proof").Because(err)
	}
	return out, nil
}

func fetch(ctx context.Context, want []compact.NodeID, nodes NodeSource) ([][]byte, error) {
	if len(want) == 0 {
		return [][]byte{}, nil
	}
	ids := make([]NodeID, len(want))
	for i, id := range want {
		ids[i] = NodeID(id)
	}
	hashes, err := nodes(ctx, ids)
	if err != nil {
		return nil, err
	}
	if len(hashes) != len(ids) {
		return nil, corrupt("nodes of the log are missing")
	}
	for _, h := range hashes {
		if len(h) != sha256.Size {
			return nil, corrupt("a node of the log is missing or not a hash")
		}
	}
	return hashes, nil
}

// VerifyInclusion checks an inclusion proof for a leaf hash against a root. nil means proven; anything else is an
// Invalid fault of code LOG_CORRUPT.
func VerifyInclusion(index, size uint64, leafHash []byte, path [][]byte, root []byte) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leafHash, path, root); err != nil {
		return unproven("the inclusion proof doesn't lead to the root").Because(err)
	}
	return nil
}

// VerifyConsistency checks that the log (size2, root2) begins with the log (size1, root1). A first size of 0 is
// refused, because it would prove nothing. nil means proven; anything else is an Invalid fault of code LOG_CORRUPT.
func VerifyConsistency(size1, size2 uint64, path [][]byte, root1, root2 []byte) error {
	if size1 == 0 {
		return unproven("consistency with the empty log proves nothing")
	}
	if err := checkPath(path); err != nil {
		return err
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, size1, size2, path, root1, root2); err != nil {
		return unproven("the consistency proof doesn't join the two roots").Because(err)
	}
	return nil
}

// checkPath keeps elements of odd lengths out: the library hashes what it gets, so two of them could be cut anew.
func checkPath(path [][]byte) error {
	for _, h := range path {
		if len(h) != sha256.Size {
			return unproven("the proof holds an element that is not a hash")
		}
	}
	return nil
}

// hashChildren is RFC 6962 section 2.1: SHA-256 over 0x01, left, right.
func hashChildren(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// corrupt is about our own storage: Internal, because the caller can do nothing.
func corrupt(text string) *fault.Error {
	return fault.New(fault.Internal, fault.CodeLogCorrupt, text)
}

// unproven is about what somebody showed us.
func unproven(text string) *fault.Error {
	return fault.New(fault.Invalid, fault.CodeLogCorrupt, text)
}
