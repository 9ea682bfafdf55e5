// Package uid holds the typed identifiers of Assay's records. All are UUIDv7 (RFC 9562 section 5.7) in canonical
// lower-case text, so that ids sort by creation time and a database index grows at its end.
//
// Org is the isolation key: every query of the store is scoped by one. Types differ so that a scan's id can't be
// handed in where a user's is wanted; the package knows nothing of what they name.
package uid

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

type (
	// Org identifies an organization, the boundary of isolation. The empty Org is never valid and matches nothing.
	Org string
	// User identifies a person's account.
	User string
	// Key identifies an API key; it stays the same over rotations.
	Key string
	// Session identifies one login.
	Session string
	// Scan identifies a scan of any engine.
	Scan string
	// Batch identifies scans that were ordered in one call.
	Batch string
	// Finding identifies a weakness in its life over scans.
	Finding string
	// Case identifies findings of several engines that are one real issue.
	Case string
	// Asset identifies an entry of the inventory.
	Asset string
	// Report identifies a recurring report.
	Report string
	// ReportRun identifies one making of a report.
	ReportRun string
	// Entry identifies an audit entry.
	Entry string
	// Template identifies a scan template: "tmpl-" and a UUID.
	Template string
	// TemplateRun identifies one start of a template by its schedule.
	TemplateRun string
	// Webhook identifies a webhook: "wh-" and a UUID.
	Webhook string
	// Delivery identifies one event's way to one receiver.
	Delivery string
)

// System is the operator's own organization: calls without a valid credential and acts of the server itself are
// logged there. It holds no users, keys or scans, and no API reaches it.
const System Org = "00000000-0000-7000-8000-000000000000"

// Source makes ids. It is safe for concurrent use; ids of one Source rise strictly, also when the clock stands
// still or goes back.
type Source struct {
	now  func() time.Time
	rand io.Reader

	mu   sync.Mutex
	last uint64 // milliseconds << 12 | counter
}

// NewSource takes the clock and a cryptographically strong source of randomness.
func NewSource(now func() time.Time, rand io.Reader) *Source {
	return &Source{now: now, rand: rand}
}

// New returns a fresh UUIDv7. The 12 bits after the version count within a millisecond (RFC 9562 section 6.2, method
// 1), the other 62 are random. It panics when the source of randomness fails, because no safe id exists then.
func (s *Source) New() string {
	var b [16]byte
	if _, err := io.ReadFull(s.rand, b[8:]); err != nil {
		panic(fmt.Errorf("reading randomness for an id: %w", err))
	}
	s.mu.Lock()
	next := uint64(s.now().UnixMilli()) << 12
	if next <= s.last {
		next = s.last + 1
	}
	s.last = next
	s.mu.Unlock()
	ms, count := next>>12, next&0xfff
	binary.BigEndian.PutUint64(b[:8], ms<<16|0x7000|count)
	b[8] = b[8]&0x3f | 0x80
	return format(b)
}

func format(b [16]byte) string {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], b[10:16])
	return string(out[:])
}

// Valid reports whether s is a UUID in canonical lower-case text, of any version. Everything that comes from outside
// passes here before it is used as an id.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
