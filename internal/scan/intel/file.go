package intel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of a file. Memory follows the number of rows, never the size: 750,000 rows are two and a half times what EPSS
// publishes today.
const (
	maxRecords   = 750_000
	usualRecords = 350_000
	someRecords  = 4096
	maxEPSSBytes = 256 << 20 // after decompression
	maxKEVBytes  = 128 << 20
	maxNVDBytes  = 8 << 30
	maxElement   = 8 << 20 // of one element of a JSON list, read at once
	maxLine      = 1 << 10
	maxBlank     = 16 // lines that hold no row
)

// Set is a file that was read to its end: what it says of itself, and its rows in the order of their CVE ids.
type Set struct {
	Source  Source
	Version string
	Date    time.Time
	Records []Record
	Removed []string // NVD: ids that the file withdraws or leaves without a score, in order
	Skipped int      // NVD: vectors that don't check
	SHA256  string
}

// Read reads a source's file, plain or packed with gzip. It is checked to its end: an error means that nothing of it
// may be used. Faults are Invalid and name the place by its line or entry, never by what stands there.
func Read(s Source, r io.Reader) (Set, error) {
	if !s.valid() {
		return Set{}, fault.Wrong("source", "must be epss, kev or nvd")
	}
	sum := &summed{r: r, h: sha256.New()}
	in, err := unpacked(sum)
	if err != nil {
		return Set{}, err
	}
	var set Set
	switch s {
	case EPSS:
		set, err = readEPSS(in)
	case KEV:
		set, err = readKEV(in)
	case NVD:
		set, err = readNVD(in)
	}
	if err != nil {
		return Set{}, refusal(err)
	}
	if _, err := io.Copy(io.Discard, sum); err != nil { // what lies behind the document counts for the digest
		return Set{}, refusal(err)
	}
	set.Source, set.SHA256 = s, hex.EncodeToString(sum.h.Sum(nil))
	return set, nil
}

// refusal turns a reader's error into a fault.
func refusal(err error) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, errTooLong):
		return wrongFile("is larger than any that is published, or one entry of it is")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return wrongFile("is cut off or damaged").Because(err)
	}
	return wrongFile("can't be read").Because(err)
}

// summed hashes what is read.
type summed struct {
	r io.Reader
	h hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	return n, err
}

// unpacked takes gzip off, by its first bytes, and a byte order mark.
func unpacked(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, refusal(err)
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.Discard(3) // just peeked
	}
	return in, nil
}

var errTooLong = errors.New("over the bound")

// meter refuses to read on when a bound is passed: of the whole, and since the last mark.
type meter struct {
	r           io.Reader
	left        int64 // of the whole
	since, each int64 // since the last mark, and its bound
}

func (m *meter) Read(p []byte) (int, error) {
	room := m.left
	if m.each > 0 {
		room = min(room, m.each-m.since)
	}
	if room <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > room {
		p = p[:room]
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	m.since += int64(n)
	return n, err
}

func (m *meter) mark() { m.since = 0 }

// with appends a row. A list that turns out long gets room for all that is usual at once: growing step by step would
// take three times as much memory.
func with(rows []Record, r Record) []Record {
	if len(rows) == someRecords {
		rows = slices.Grow(rows, usualRecords)
	}
	return append(rows, r)
}

// inOrder sorts rows by id and reports the first id that occurs twice.
func inOrder(rows []Record) (twice bool) {
	byID := func(a, b Record) int { return strings.Compare(a.CVE, b.CVE) }
	if !slices.IsSortedFunc(rows, byID) {
		slices.SortStableFunc(rows, byID)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].CVE == rows[i-1].CVE {
			return true
		}
	}
	return false
}
