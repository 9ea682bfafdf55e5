package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf8"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// exportFormat names version 1 of the export; docs/reference/checkpoint.md describes it.
const exportFormat = "assay.dev/audit-export/v1"

// BlockSize is the number of leaf hashes in one hash list, the leaves under one node of BlockLevel; it is also what
// retention drops at a time.
const (
	BlockLevel = 8
	BlockSize  = 1 << BlockLevel
)

// maxLine bounds a line of an export in bytes.
const maxLine = 128 << 10

// Personal is the personal data of an entry with the salt under which the leaf commits to it. It is erased as a whole:
// with the salt kept, an address could be found again by trying all addresses.
type Personal struct {
	Salt          [16]byte
	ClientAddress string
	UserAgent     string
	ActorName     string
}

// Exported is one entry as the store hands it to an export. ID, Leaf and LeafHash are what is stored, not recomputed:
// where a stored leaf was altered, its stored hash is what lets the verifier name it.
type Exported struct {
	ID       uid.Entry
	Leaf     []byte
	LeafHash Hash
	Personal *Personal // nil where erased
}

// header is the first line. Prefix covers the entries before First that retention has dropped.
type header struct {
	Format string   `json:"format"`
	Org    uid.Org  `json:"organizationId"`
	First  uint64   `json:"first"`
	Prefix [][]byte `json:"prefix"`
}

// hashList is the line after each block of 256 entries, and after the last entries: the leaf hashes of the block as
// stored, and for a whole block the stored node above them.
type hashList struct {
	First  uint64 `json:"hashesFrom"`
	Hashes []byte `json:"hashes"`
	Node   []byte `json:"node,omitempty"`
}

// trailer is the last line.
type trailer struct {
	Checkpoint string `json:"checkpoint"`
}

// ExportWriter writes an export (JSON lines) in a streaming way: NewExportWriter, Write for each entry in the order of
// the log, Close with the checkpoint. It holds at most 256 hashes. Not safe for concurrent use.
type ExportWriter struct {
	w     *bufio.Writer
	nodes NodeSource
	first uint64 // of the current block
	next  uint64
	list  []byte // leaf hashes of the current block
	line  []byte
}

// NewExportWriter writes the header. before is the state of the log before the first entry exported: the zero Range
// for a whole log, what LoadRange returns for retention's first kept index. nodes gives the stored nodes of level 8;
// with nil they are computed from the leaf hashes, and the export is worth a little less to whoever searches for a
// tampered entry.
func NewExportWriter(w io.Writer, org uid.Org, before Range, nodes NodeSource) (*ExportWriter, error) {
	e := &ExportWriter{w: bufio.NewWriterSize(w, 64<<10), nodes: nodes, first: before.size, next: before.size}
	h := header{Format: exportFormat, Org: org, First: before.size, Prefix: [][]byte{}}
	for i := range before.nodes {
		h.Prefix = append(h.Prefix, before.nodes[i][:])
	}
	return e, e.json(h)
}

// Write appends the next entry of the log. An error is that of the underlying writer or of nodes; the export is then
// incomplete and its verification says so.
func (e *ExportWriter) Write(ctx context.Context, x Exported) error {
	b := append(e.line[:0], `{"index":`...)
	b = strconv.AppendUint(b, e.next, 10)
	b = append(b, `,"id":`...)
	b = appendJSON(b, string(x.ID))
	b = append(b, `,"leaf":"`...)
	b = base64.StdEncoding.AppendEncode(b, x.Leaf)
	b = append(b, '"')
	if p := x.Personal; p != nil {
		b = append(b, `,"salt":"`...)
		b = base64.StdEncoding.AppendEncode(b, p.Salt[:])
		b = append(b, `","clientAddress":`...)
		b = appendJSON(b, p.ClientAddress)
		b = append(b, `,"userAgent":`...)
		b = appendJSON(b, p.UserAgent)
		b = append(b, `,"actorName":`...)
		b = appendJSON(b, p.ActorName)
	}
	e.line = append(b, '}', '\n')
	if _, err := e.w.Write(e.line); err != nil {
		return exportFailed(err)
	}
	e.list = append(e.list, x.LeafHash[:]...)
	e.next++
	if e.next%BlockSize == 0 {
		return e.endBlock(ctx)
	}
	return nil
}

// appendJSON appends s as a JSON string. Plain ASCII takes the short way, the rest encoding/json's.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			q, _ := json.Marshal(s) // a string always marshals
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// endBlock writes the hash list of the entries since the last one.
func (e *ExportWriter) endBlock(ctx context.Context) error {
	if len(e.list) == 0 {
		return nil
	}
	h := hashList{First: e.first, Hashes: e.list}
	if len(e.list) == BlockSize*sha256.Size {
		node, err := e.node(ctx, e.first>>BlockLevel)
		if err != nil {
			return err
		}
		h.Node = node
	}
	if err := e.json(h); err != nil {
		return err
	}
	e.first, e.list = e.next, e.list[:0]
	return nil
}

func (e *ExportWriter) node(ctx context.Context, index uint64) ([]byte, error) {
	if e.nodes == nil {
		var r Range
		for i := 0; i < len(e.list); i += sha256.Size {
			r.grow(0, Hash(e.list[i:i+sha256.Size]), nil)
		}
		root := r.Root()
		return root[:], nil
	}
	got, err := e.nodes(ctx, []NodeID{{Level: BlockLevel, Index: index}})
	if err != nil {
		return nil, err
	}
	if len(got) != 1 || len(got[0]) != sha256.Size {
		return nil, corrupt("a node of the log is missing or not a hash")
	}
	return got[0], nil
}

// Close writes the last hash list and the signed checkpoint, whose size must be the index after the last entry. It
// does not close the underlying writer. It doesn't judge: where the entries don't match the checkpoint, the export is
// written all the same, because its verification is what names the culprit.
func (e *ExportWriter) Close(ctx context.Context, checkpoint []byte) error {
	if err := e.endBlock(ctx); err != nil {
		return err
	}
	if err := e.json(trailer{Checkpoint: string(checkpoint)}); err != nil {
		return err
	}
	if err := e.w.Flush(); err != nil {
		return exportFailed(err)
	}
	return nil
}

func (e *ExportWriter) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the export could not be encoded").Because(err)
	}
	if _, err := e.w.Write(append(b, '\n')); err != nil {
		return exportFailed(err)
	}
	return nil
}

func exportFailed(err error) error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, "the export could not be written").Because(err)
}
