package audit

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
	"math/bits"
	"strconv"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// VerifyExport checks an export offline, in one pass and bounded memory (a block of 256 entries and the list of
// problems): every entry is hashed again and the root compared with the signed checkpoint, whose two signatures must
// be by log keys of keys; ids and organization are compared with what each leaf says, indexes with their places, and
// personal data with its commitments. With an older checkpoint (as OpenCheckpoint returned it; nil for none) the log
// must begin with it.
//
// A nil error means: these are exactly the entries that the organization's keys have signed for. Otherwise the report
// names what is wrong and where (Problem says what is proven and what is a diagnosis), and the error is a fault:
// UNTRUSTED_KEY (Forbidden) where keys can't vouch for the checkpoint, LOG_CORRUPT (Invalid) for every problem,
// SERVICE_UNAVAILABLE when r can't be read.
func VerifyExport(r io.Reader, keys Keys, old *Checkpoint) (Report, error) {
	v := exportVerifier{in: bufio.NewReaderSize(r, maxLine), keys: keys, old: old}
	if _, err := keys.verifiers(PurposeLog); err != nil {
		return v.rep, err
	}
	note, err := v.read()
	if errors.Is(err, errStop) {
		return v.rep, v.rep.err()
	}
	if err != nil {
		return v.rep, err
	}
	return v.rep, v.settle(note)
}

// errStop ends the reading after a problem that makes the rest meaningless.
var errStop = errors.New("verification stopped")

type exportVerifier struct {
	in   *bufio.Reader
	keys Keys
	old  *Checkpoint
	rep  Report

	line  int
	lines lineReader
	block []seen // entries since the last hash list
	first uint64 // index at which the current block begins
	shift uint64 // by how much the indexes on the lines are off, as already reported
	short bool   // a hash list of less than a block came: it must have been the last

	got   Range  // the log as the entries have it
	lists *Range // as the hash lists have it; nil while that is the same
	nodes *Range // as the nodes over whole blocks have it; nil while that is the same

	oldRoot  Hash // of got at the old checkpoint's size
	oldFound bool
	fold     [BlockSize]Hash
}

// read goes through the file and returns the signed note of the last line.
func (v *exportVerifier) read() ([]byte, error) {
	if err := v.header(); err != nil {
		return nil, err
	}
	for {
		b, err := v.nextLine()
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, v.stop("the export is cut off after " + v.place())
		}
		d, err := v.lines.decode(b)
		if err != nil {
			return nil, v.stop("line " + strconv.Itoa(v.line) + " (after " + v.place() + ") is not one of an export, or is cut off")
		}
		switch {
		case d.entry != nil:
			err = v.entry(d.entry)
		case d.hashes != nil:
			err = v.hashes(d.hashes)
		default:
			return d.note, v.end()
		}
		if err != nil {
			return nil, err
		}
	}
}

// nextLine returns the next line, nil at the end of the file.
func (v *exportVerifier) nextLine() ([]byte, error) {
	v.line++
	b, err := v.in.ReadSlice('\n')
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(b) > 0:
		return b, nil
	case errors.Is(err, io.EOF):
		return nil, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, v.stop("line " + strconv.Itoa(v.line) + " (after " + v.place() + ") is too long")
	}
	return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "the export could not be read").Because(err)
}

// place names the last entry read.
func (v *exportVerifier) place() string {
	if v.rep.Entries == 0 {
		return "the beginning"
	}
	return "entry " + strconv.FormatUint(v.rep.First+v.rep.Entries-1, 10)
}

// stop reports a problem of the format at the index that was to come next.
func (v *exportVerifier) stop(text string) error {
	next := v.rep.First + v.rep.Entries
	v.flushLines()
	v.rep.add(Problem{Class: ClassFormat, Line: v.line, Located: v.rep.Org != "", Index: next, Last: next, Text: text})
	return errStop
}

// flushLines reports what the lines of an unfinished block say by themselves.
func (v *exportVerifier) flushLines() {
	v.checkLines(v.block)
	v.block = v.block[:0]
}

func (v *exportVerifier) header() error {
	b, err := v.nextLine()
	if err != nil {
		return err
	}
	var h header
	if b == nil || strictJSON(b, &h) != nil || h.Format != exportFormat || !uid.Valid(string(h.Org)) ||
		h.First > 1<<62 || len(h.Prefix) != bits.OnesCount64(h.First) {
		return v.stop("the first line is not the header of an audit export")
	}
	for _, p := range h.Prefix {
		if len(p) != sha256.Size {
			return v.stop("the header's prefix is not a list of hashes")
		}
		v.got.nodes = append(v.got.nodes, Hash(p))
	}
	v.got.size, v.first = h.First, h.First
	v.rep.Org, v.rep.First = h.Org, h.First
	if h.Org != v.keys.Org {
		return untrusted("the export is of another organization than the trusted keys")
	}
	v.noteOld()
	return nil
}

func (v *exportVerifier) entry(e *entryLine) error {
	if len(v.block) >= 2*BlockSize {
		return v.stop("the hash list of the block from entry " + strconv.FormatUint(v.first, 10) + " on is missing, or too many entries were inserted")
	}
	s := seen{hash: LeafHash(e.leaf), id: e.id, index: e.index, line: v.line}
	v.rep.Entries++
	if e.personal == nil {
		v.rep.Erased++
	}
	l, err := ParseLeaf(e.leaf)
	switch {
	case err != nil:
		s.class, s.text = ClassChanged, " is not an audit leaf"
	case l.Org != v.rep.Org:
		s.class, s.text = ClassChanged, " is of another organization"
	case l.ID != e.id:
		s.class, s.text = ClassChanged, " has another id than its line says"
	case e.personal != nil && CheckCommitments(&l, e.personal.Salt, e.personal.ClientAddress, e.personal.UserAgent, e.personal.ActorName) != nil:
		s.class, s.text = ClassPersonal, " has personal data beside it that it doesn't commit to"
	}
	if err == nil {
		s.id = l.ID
		if v.rep.Oldest.IsZero() || l.Time.Before(v.rep.Oldest) {
			v.rep.Oldest = l.Time
		}
		if l.Time.After(v.rep.Newest) {
			v.rep.Newest = l.Time
		}
	}
	v.block = append(v.block, s)
	return nil
}

// hashes ends a block: the list names what the log holds, the entries since the last list must be it.
func (v *exportVerifier) hashes(h *hashList) error {
	n := uint64(len(h.Hashes) / sha256.Size)
	whole := n == BlockSize && h.First%BlockSize == 0
	if len(h.Hashes)%sha256.Size != 0 || n == 0 || n > BlockSize-h.First%BlockSize || whole != (len(h.Node) == sha256.Size) ||
		!whole && len(h.Node) != 0 {
		return v.stop("the hash list after " + v.place() + " is malformed")
	}
	if v.short || h.First < v.first {
		return v.stop("the hash list after " + v.place() + " is out of order")
	}
	if h.First > v.first {
		v.unlisted(h.First)
	}
	v.short = (h.First+n)%BlockSize != 0
	want := make([]Hash, n)
	for i := range want {
		want[i] = Hash(h.Hashes[i*sha256.Size : (i+1)*sha256.Size])
	}
	v.compare(want, h.Node)
	v.block = v.block[:0]
	v.first = h.First + n
	return nil
}

// unlisted handles a jump of the hash lists to index to: either a list is missing and its entries are there, or both
// are missing.
func (v *exportVerifier) unlisted(to uint64) {
	if n := to - v.first; uint64(len(v.block)) >= n {
		v.noList(v.block[:n])
		v.block = v.block[:copy(v.block, v.block[n:])]
		return
	}
	v.rep.add(Problem{
		Class: ClassRemoved, Line: v.line, Located: true, Index: v.first, Last: to - 1,
		Text: span(v.first, to-1) + " and their hash lists are missing",
	})
	v.first = to
}

// noList takes entries that no hash list stands for.
func (v *exportVerifier) noList(block []seen) {
	last := v.first + uint64(len(block)) - 1
	v.checkLines(block)
	for _, s := range block {
		v.leaf(s.hash)
		if v.lists != nil {
			v.lists.grow(0, s.hash, nil)
			v.nodes.grow(0, s.hash, nil)
		}
	}
	v.rep.add(Problem{
		Class: ClassHashes, Line: v.line, Located: true, Index: v.first, Last: last,
		Text: "the hash list of the " + span(v.first, last) + " is missing",
	})
	v.first = last + 1
}

func (v *exportVerifier) fork() {
	if v.lists == nil {
		lists, nodes := v.got.Clone(), v.got.Clone()
		v.lists, v.nodes = &lists, &nodes
	}
}
