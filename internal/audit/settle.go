package audit

import (
	"errors"
	"strconv"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// compare holds the block's entries against its hash list and the node above it, and grows the three trees.
func (v *exportVerifier) compare(want []Hash, node []byte) {
	same := len(v.block) == len(want)
	for i := 0; same && i < len(want); i++ {
		same = v.block[i].hash == want[i]
	}
	vouched := false
	if node != nil {
		copy(v.fold[:], want)
		vouched = foldBlock(v.fold[:]) == Hash(node)
	}
	if same && (node == nil || vouched) {
		v.checkLines(v.block)
		v.growSame(want, node)
		return
	}
	v.fork()
	if same {
		v.checkLines(v.block)
		last := v.first + BlockSize - 1
		v.rep.add(Problem{
			Class: ClassChanged, Line: v.line, Located: true, Index: v.first, Last: last, node: true,
			Text: "one or more of the " + span(v.first, last) + " were changed together with their hashes",
		})
	} else {
		v.differ(want, vouched)
		if n := len(v.block); n > 0 { // how far the numbers on the lines are off from here on is told by now
			v.shift = v.block[n-1].index - (v.first + uint64(len(want)) - 1)
		}
	}
	for _, s := range v.block {
		v.leaf(s.hash)
	}
	for _, h := range want {
		v.lists.grow(0, h, nil)
	}
	v.growNodes(want, node)
}

// differ reports how the block's entries differ from its hash list.
func (v *exportVerifier) differ(want []Hash, vouched bool) {
	found := false
	report := func(p Problem) {
		p.compared, p.vouched, found = true, vouched, true
		v.rep.add(p)
	}
	compareBlock(v.block, want, v.first, report)
	if !found { // only a list with doubled hashes can hide the difference
		last := v.first + uint64(len(want)) - 1
		report(Problem{
			Class: ClassChanged, Line: v.line, Located: true, Index: v.first, Last: last,
			Text: span(v.first, last) + " are not those that were logged",
		})
	}
}

// growSame is the way of a good block. Whole blocks join the tree by their node, already computed.
func (v *exportVerifier) growSame(want []Hash, node []byte) {
	inside := v.old != nil && v.old.Size > v.got.size && v.old.Size < v.got.size+uint64(len(want))
	if node != nil && !inside && v.got.size%BlockSize == 0 {
		v.got.grow(BlockLevel, Hash(node), nil)
		v.noteOld()
	} else {
		for _, h := range want {
			v.leaf(h)
		}
	}
	if v.lists != nil {
		for _, h := range want {
			v.lists.grow(0, h, nil)
		}
		v.growNodes(want, node)
	}
}

func (v *exportVerifier) growNodes(want []Hash, node []byte) {
	if node != nil && v.nodes.size%BlockSize == 0 {
		v.nodes.grow(BlockLevel, Hash(node), nil)
		return
	}
	for _, h := range want {
		v.nodes.grow(0, h, nil)
	}
}

func (v *exportVerifier) leaf(h Hash) {
	v.got.grow(0, h, nil)
	v.noteOld()
}

// noteOld keeps the root where the log has the older checkpoint's size.
func (v *exportVerifier) noteOld() {
	if v.old != nil && v.got.size == v.old.Size {
		v.oldRoot, v.oldFound = v.got.Root(), true
	}
}

// checkLines reports what is wrong on lines whose leaf may well be the logged one. A number that is off like the one
// before it was reported there.
func (v *exportVerifier) checkLines(block []seen) {
	for i := range block {
		s := &block[i]
		index := v.first + uint64(i)
		if d := s.index - index; d != v.shift {
			v.shift = d
			if d != 0 {
				v.wrong(s, ClassReordered, index, " says that it is entry "+strconv.FormatUint(s.index, 10))
			}
		}
		if s.class != 0 {
			v.wrong(s, s.class, index, s.text)
		}
	}
}

func (v *exportVerifier) wrong(s *seen, c Class, index uint64, text string) {
	v.rep.add(Problem{
		Class: c, Line: s.line, Located: true, Index: index, Last: index, Entry: s.id, Text: span(index, index) + text,
	})
}

// end handles what is left when the checkpoint has come: entries without hash list, and data after it.
func (v *exportVerifier) end() error {
	if len(v.block) > 0 {
		v.noList(v.block)
		v.block = v.block[:0]
	}
	b, err := v.nextLine()
	if err != nil {
		return err
	}
	if b != nil {
		return v.stop("there is data after the checkpoint")
	}
	return nil
}

// settle compares the trees with the signed checkpoint and gives every problem its weight.
func (v *exportVerifier) settle(signed []byte) error {
	opened, err := OpenCheckpoint(signed, v.keys, time.Time{})
	if isUntrusted(err) {
		return err
	}
	trusted := err == nil
	cp := opened.Checkpoint
	if !trusted {
		v.rep.add(Problem{Class: ClassCheckpoint, Line: v.line - 1, Text: fault.Of(err).Text})
		if cp, err = ParseCheckpoint(signed); err != nil {
			return v.rep.err()
		}
	}
	v.rep.Checkpoint, v.rep.Ed25519ID, v.rep.MLDSAID = cp, opened.Ed25519ID, opened.MLDSAID
	whole := leads(&v.got, cp)
	if whole {
		v.blameHashes()
		// Only now are the entries' times believed.
		if _, err := OpenCheckpoint(signed, v.keys, v.rep.Newest); isUntrusted(err) {
			return err
		}
	} else {
		v.weigh(trusted && leads(v.lists, cp), trusted && leads(v.nodes, cp))
		v.size(cp)
	}
	v.history(cp, whole)
	if !whole && !v.blamed() {
		v.unlocated(cp)
	}
	return v.rep.err()
}

func isUntrusted(err error) bool {
	return errors.Is(err, untrusted(""))
}

// leads reports whether a tree is the one of the checkpoint.
func leads(r *Range, cp Checkpoint) bool {
	return r != nil && r.size == cp.Size && r.Root() == cp.Root
}

// blameHashes: the entries are proven by the root, so where a hash list disagreed, the list is wrong.
func (v *exportVerifier) blameHashes() {
	for i := range v.rep.Problems {
		p := &v.rep.Problems[i]
		if p.compared || p.node {
			p.Class, p.Proven, p.Entry = ClassHashes, true, ""
			p.Text = "the hash list at " + span(p.Index, p.Last) + " was altered; the entries are intact"
		}
	}
}

// weigh marks the problems whose place follows from the signed root.
func (v *exportVerifier) weigh(lists, nodes bool) {
	for i := range v.rep.Problems {
		p := &v.rep.Problems[i]
		switch {
		case p.compared:
			p.Proven = lists || nodes && p.vouched
		case p.node:
			p.Proven = nodes
		}
	}
}

// size reports entries missing at or appended to the end, together with their hash lists.
func (v *exportVerifier) size(cp Checkpoint) {
	end := v.first
	switch {
	case end < cp.Size:
		v.rep.add(Problem{
			Class: ClassRemoved, Located: true, Index: end, Last: cp.Size - 1,
			Text: span(end, cp.Size-1) + ", up to the checkpoint's size, are missing",
		})
	case end > cp.Size:
		first := max(cp.Size, v.rep.First)
		v.rep.add(Problem{
			Class: ClassInserted, Located: true, Index: first, Last: end - 1,
			Text: span(first, end-1) + " are beyond the checkpoint's size",
		})
	}
}

// history holds the log against the older checkpoint.
func (v *exportVerifier) history(cp Checkpoint, whole bool) {
	if v.old == nil {
		return
	}
	bad := func(text string) { v.rep.add(Problem{Class: ClassHistory, Proven: whole, Text: text}) }
	switch {
	case v.old.Org != cp.Org:
		bad("the older checkpoint is of another organization")
	case v.old.Size > cp.Size:
		bad("the log was rolled back: it is smaller than at the older checkpoint")
	case v.old.Size == 0:
	case v.old.Size < v.rep.First:
		bad("the older checkpoint is from before the first entry of this export and can't be compared with it")
	case (whole || !v.blamed()) && (!v.oldFound || v.oldRoot != v.old.Root):
		bad("the log was rewritten: its first " + strconv.FormatUint(v.old.Size, 10) + " entries are not those of the older checkpoint")
	}
}

// blamed reports whether a problem explains why the root isn't reached.
func (v *exportVerifier) blamed() bool {
	for _, p := range v.rep.Problems {
		if p.compared || p.node || p.Class == ClassRemoved || p.Class == ClassInserted {
			return true
		}
	}
	return false
}

// unlocated reports that entries and hashes agree with each other but not with the signature. An older checkpoint
// that does agree narrows the place down.
func (v *exportVerifier) unlocated(cp Checkpoint) {
	p := Problem{Class: ClassRoot, Text: "the entries were changed together with all their hashes: they don't lead to the signed root"}
	if v.oldFound && v.oldRoot == v.old.Root && v.old.Size < cp.Size {
		p.Located, p.Proven, p.Index, p.Last = true, true, v.old.Size, cp.Size-1
		p.Text += "; those up to the older checkpoint are intact"
	}
	v.rep.add(p)
}
