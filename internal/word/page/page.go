// Package page is how long lists are cut: bounds of limit and offset, and opaque cursors for keyset paging.
//
// A cursor names the last row seen and is bound to the organization and the filters it was made for, so that it can't
// be carried over into another list. It is no secret and no capability: the store scopes every read all the same.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of every list.
const (
	DefaultLimit = 20
	MaxLimit     = 100
	MaxOffset    = 10_000
	// CountCap bounds exact totals: a count stops at CountCap+1 rows and then says that it is capped.
	CountCap = 10_000
)

// Request is what a caller asks of a list. Either Offset or After is used; After wins.
type Request struct {
	Limit  int
	Offset int
	After  Key // last row seen; zero = from the start
	// WantTotal asks for a capped count; a cursor read doesn't pay for one.
	WantTotal bool
}

// Key is the position of a row in a list sorted by a time or number and then the id.
type Key struct {
	Sort int64
	ID   string
}

// Zero reports whether the key is absent.
func (k Key) Zero() bool { return k.ID == "" }

// Total is the number of rows that match. Known is false where counting would need a scan over the table (free text,
// an unindexed filter); Capped says that there are more than CountCap.
type Total struct {
	N      int
	Known  bool
	Capped bool
}

// Cursor returns the opaque text for k, bound to the organization and the list's filters.
func Cursor(org uid.Org, filters string, k Key) string {
	b := make([]byte, 8, 8+8+len(k.ID))
	binary.BigEndian.PutUint64(b, uint64(k.Sort)) //nolint:gosec // the sign bit travels as is and comes back as is
	b = append(b, binding(org, filters)...)
	b = append(b, k.ID...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse reads a cursor back. A cursor of another organization or of other filters is an Invalid fault.
func Parse(org uid.Org, filters, cursor string) (Key, error) {
	bad := fault.Wrong("cursor", "is not a cursor of this list; leave it out to start at the newest")
	if len(cursor) > 256 {
		return Key{}, bad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) <= 16 || string(b[8:16]) != string(binding(org, filters)) {
		return Key{}, bad
	}
	return Key{Sort: int64(binary.BigEndian.Uint64(b)), ID: string(b[16:])}, nil //nolint:gosec // see Cursor
}

func binding(org uid.Org, filters string) []byte {
	sum := sha256.Sum256([]byte(string(org) + "\x00" + filters))
	return sum[:8]
}

// Filters joins a list's filter values into the text a cursor is bound to. Order matters; a value can't imitate two.
func Filters(values ...string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(strings.ReplaceAll(v, "\x00", "\x00\x00"))
		b.WriteString("\x00;")
	}
	return b.String()
}
