package audit

import (
	"strconv"
	"time"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Class says what sort of thing is wrong with an export. The command line exits with 9 + class, 10 to 19.
type Class uint8

// Classes of problems. The zero value is none of them.
const (
	ClassFormat     Class = iota + 1 // not an export, or cut off
	ClassChanged                     // an entry is not the one that the log holds at its index
	ClassRemoved                     // entries of the log are absent
	ClassInserted                    // entries that the log doesn't hold
	ClassReordered                   // entries stand at a wrong index
	ClassHashes                      // a hash list or node was altered, the entries need not be
	ClassRoot                        // the entries don't lead to the signed root, and nothing tells where
	ClassCheckpoint                  // the checkpoint is malformed, a signature is wrong or absent
	ClassPersonal                    // plain text beside an entry isn't what the entry commits to
	ClassHistory                     // the log doesn't continue the older checkpoint
)

// String returns the class in snake case.
func (c Class) String() string {
	switch c {
	case ClassFormat:
		return "format"
	case ClassChanged:
		return "entry_changed"
	case ClassRemoved:
		return "entry_removed"
	case ClassInserted:
		return "entry_inserted"
	case ClassReordered:
		return "entry_reordered"
	case ClassHashes:
		return "hash_list"
	case ClassRoot:
		return "root"
	case ClassCheckpoint:
		return "checkpoint"
	case ClassPersonal:
		return "personal_data"
	case ClassHistory:
		return "history"
	}
	return "none"
}

// MarshalText implements encoding.TextMarshaler, for reports in JSON.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Problem is one thing that is wrong with an export.
type Problem struct {
	Class   Class     `json:"class"`
	Line    int       `json:"line,omitempty"` // of the file, from 1; 0 where it is about the whole
	Located bool      `json:"located"`        // Index and Last are meant
	Index   uint64    `json:"index"`          // first index concerned
	Last    uint64    `json:"last"`           // last index concerned
	Entry   uid.Entry `json:"entryId,omitempty"`
	// Proven: signed hashes lead to this place. Otherwise it is a diagnosis from unsigned parts of the file: that the
	// file is bad is certain all the same, the place is where it shows.
	Proven bool   `json:"proven"`
	Text   string `json:"text"`

	compared bool // found by comparing entries with a hash list
	vouched  bool // the hash list leads to the node above it
	node     bool // found by comparing with that node
}

// maxProblems bounds the list in a report; More counts the rest.
const maxProblems = 100

// Report is what the verification of an export found.
type Report struct {
	Org        uid.Org    `json:"organizationId"`
	First      uint64     `json:"first"`   // index of the first entry; those before were dropped by retention
	Entries    uint64     `json:"entries"` // entries read
	Erased     uint64     `json:"erased"`  // of these without personal data
	Oldest     time.Time  `json:"oldest,omitzero"`
	Newest     time.Time  `json:"newest,omitzero"`
	Checkpoint Checkpoint `json:"-"`
	Ed25519ID  string     `json:"ed25519KeyId,omitempty"`
	MLDSAID    string     `json:"mldsaKeyId,omitempty"`
	Problems   []Problem  `json:"problems"`
	More       int        `json:"moreProblems"`
}

// add keeps a problem; entries missing side by side are one problem.
func (r *Report) add(p Problem) {
	if n := len(r.Problems); n > 0 && p.Class == ClassRemoved && p.compared {
		if q := &r.Problems[n-1]; q.Class == p.Class && q.compared && q.Last+1 == p.Index {
			q.Last = p.Last
			q.vouched = q.vouched && p.vouched
			q.Text = span(q.Index, q.Last) + missing
			return
		}
	}
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// err turns the report into the fault that VerifyExport returns, nil where nothing is wrong.
func (r *Report) err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	p := r.Problems[0]
	f := fault.New(fault.Invalid, fault.CodeLogCorrupt, "the export is not what was logged: "+p.Text)
	if p.Located {
		f = f.With("entries["+strconv.FormatUint(p.Index, 10)+"]", p.Text)
	}
	return f
}

// missing ends the text of a removed entry.
const missing = " missing from the export"

// span names one index or a range of them, for a text.
func span(first, last uint64) string {
	if first == last {
		return "entry " + strconv.FormatUint(first, 10)
	}
	return "entries " + strconv.FormatUint(first, 10) + " to " + strconv.FormatUint(last, 10)
}
