package audit

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// leafVersion is the first byte of every leaf. A new field means a new version; old leaves stay readable for ever.
const leafVersion = 1

// Bounds of the fields of a leaf, in bytes. Normal cuts to them and ParseLeaf refuses more.
const (
	maxShort  = 64 // type, actor kind, method, resource kind
	maxID     = 256
	maxRoute  = 512
	maxReason = 512
	maxAgent  = 512 // personal data beside the leaf
	maxStatus = 999

	// leafHead is what every leaf has besides the bytes of its texts: version, 18 length prefixes, 4 numbers and
	// 3 commitments.
	leafFields = 18
	leafHead   = 1 + leafFields*2 + 4*8 + 3*sha256.Size
	// MaxLeaf bounds the bytes of a leaf.
	MaxLeaf = leafHead + 36 + 36 + 4*maxShort + 3*maxID + maxRoute + maxReason
)

// Domains of the three commitments. The trailing zero byte ends the domain; the salt that follows has a fixed length,
// so no two inputs read alike.
const (
	domainAddress = "assay/v1/addr\x00"
	domainAgent   = "assay/v1/agent\x00"
	domainName    = "assay/v1/name\x00"
)

// Leaf is what the log proves of an entry: its fields, with personal data replaced by commitments.
type Leaf struct {
	ID              uid.Entry
	Time            time.Time // UTC, microseconds
	Org             uid.Org
	Type            event.Audit
	ActorKind       ActorKind
	ActorID         string
	NameCommit      Hash // of Actor.Name
	AddressCommit   Hash // of ClientAddress
	AgentCommit     Hash // of UserAgent
	Method          string
	Route           string
	Resource        Resource
	Status          int
	DurationMicros  int64
	ClientRequestID string
	Reason          string
	Count           int64 // at least 1
}

// Normal returns e as the log holds it: time in UTC microseconds, texts valid UTF-8 and cut to their bounds, numbers
// not negative, Count at least 1. The store keeps the normal form, so that what is read back is what was proven.
func (e Entry) Normal() Entry {
	e.Time = time.UnixMicro(e.Time.UnixMicro()).UTC()
	e.Type = event.Audit(clip(string(e.Type), maxShort))
	e.Actor.Kind = ActorKind(clip(string(e.Actor.Kind), maxShort))
	e.Actor.ID = clip(e.Actor.ID, maxID)
	e.Actor.Name = clip(e.Actor.Name, maxAgent)
	e.ClientAddress = clip(e.ClientAddress, maxAgent)
	e.UserAgent = clip(e.UserAgent, maxAgent)
	e.Method = clip(e.Method, maxShort)
	e.Route = clip(e.Route, maxRoute)
	e.Resource.Kind = clip(e.Resource.Kind, maxShort)
	e.Resource.ID = clip(e.Resource.ID, maxID)
	e.ClientRequestID = clip(e.ClientRequestID, maxID)
	e.Reason = clip(e.Reason, maxReason)
	e.Status = min(max(e.Status, 0), maxStatus)
	e.DurationMicros = max(e.DurationMicros, 0)
	e.Count = max(e.Count, 1)
	return e
}

// clip cuts s to n bytes at a character's border and repairs invalid UTF-8 (each bad run becomes U+FFFD).
func clip(s string, n int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Sealed returns the leaf of e's normal form, with the commitments under e.Salt.
func (e Entry) Sealed() Leaf {
	e = e.Normal()
	return Leaf{
		ID: e.ID, Time: e.Time, Org: e.Org, Type: e.Type,
		ActorKind: e.Actor.Kind, ActorID: e.Actor.ID,
		NameCommit:    commit(domainName, e.Salt, e.Actor.Name),
		AddressCommit: commit(domainAddress, e.Salt, e.ClientAddress),
		AgentCommit:   commit(domainAgent, e.Salt, e.UserAgent),
		Method:        e.Method, Route: e.Route, Resource: e.Resource, Status: e.Status,
		DurationMicros: e.DurationMicros, ClientRequestID: e.ClientRequestID, Reason: e.Reason, Count: e.Count,
	}
}

// Leaf returns the canonical bytes of e, as docs/reference/checkpoint.md describes them: what is hashed into the log
// and what an export carries. ID and Org must be valid ids; a leaf with others can't be parsed again.
func (e Entry) Leaf() []byte {
	l := e.Sealed()
	return l.Append(make([]byte, 0, l.size()))
}

func (l *Leaf) size() int {
	return leafHead + len(l.ID) + len(l.Org) + len(l.Type) + len(l.ActorKind) + len(l.ActorID) + len(l.Method) +
		len(l.Route) + len(l.Resource.Kind) + len(l.Resource.ID) + len(l.ClientRequestID) + len(l.Reason)
}

// Append appends the leaf's canonical bytes to dst. For a parsed leaf these are the bytes it was parsed from.
func (l *Leaf) Append(dst []byte) []byte {
	dst = append(dst, leafVersion)
	dst = appendText(dst, string(l.ID))
	dst = appendNumber(dst, l.Time.UnixMicro())
	dst = appendText(dst, string(l.Org))
	dst = appendText(dst, string(l.Type))
	dst = appendText(dst, string(l.ActorKind))
	dst = appendText(dst, l.ActorID)
	dst = append(append(dst, 0, sha256.Size), l.NameCommit[:]...)
	dst = append(append(dst, 0, sha256.Size), l.AddressCommit[:]...)
	dst = append(append(dst, 0, sha256.Size), l.AgentCommit[:]...)
	dst = appendText(dst, l.Method)
	dst = appendText(dst, l.Route)
	dst = appendText(dst, l.Resource.Kind)
	dst = appendText(dst, l.Resource.ID)
	dst = appendNumber(dst, int64(l.Status))
	dst = appendNumber(dst, l.DurationMicros)
	dst = appendText(dst, l.ClientRequestID)
	dst = appendText(dst, l.Reason)
	return appendNumber(dst, l.Count)
}

func appendText(dst []byte, s string) []byte {
	dst = append(dst, byte(len(s)>>8), byte(len(s))) //nolint:gosec // texts are cut to at most 512 bytes
	return append(dst, s...)
}

func appendNumber(dst []byte, n int64) []byte {
	dst = append(dst, 0, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(n)) //nolint:gosec // two's complement, as documented
}

func commit(domain string, salt [16]byte, value string) Hash {
	var buf [16 + 16 + maxAgent]byte // values are cut to maxAgent, so this never grows
	b := append(buf[:0], domain...)
	b = append(b, salt[:]...)
	b = append(b, value...)
	return sha256.Sum256(b)
}

// LeafHash returns the RFC 6962 section 2.1 hash of a leaf: SHA-256 over a zero byte and the leaf.
func LeafHash(leaf []byte) Hash {
	var buf [1024]byte // most leaves are under 500 bytes; a longer one costs an allocation
	return sha256.Sum256(append(append(buf[:0], 0), leaf...))
}

// CheckCommitments reports whether the plain text beside a leaf is what the leaf commits to under salt. It names the
// fields that differ in an Invalid fault of code LOG_CORRUPT, never their values.
func CheckCommitments(l *Leaf, salt [16]byte, clientAddress, userAgent, actorName string) error {
	bad := fault.New(fault.Invalid, fault.CodeLogCorrupt, "personal data beside the entry is not what the log committed to")
	ok := true
	check := func(field string, want Hash, domain, value string) {
		got := commit(domain, salt, value)
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			bad, ok = bad.With(field, "differs from its commitment"), false
		}
	}
	check("clientAddress", l.AddressCommit, domainAddress, clientAddress)
	check("userAgent", l.AgentCommit, domainAgent, userAgent)
	check("actorName", l.NameCommit, domainName, actorName)
	if ok {
		return nil
	}
	return bad
}

// leafReader walks over a leaf. After the first wrong field it reads nothing more and keeps that field's name.
type leafReader struct {
	rest string
	bad  string
}

func (r *leafReader) take(field string, most int) string {
	if r.bad != "" {
		return ""
	}
	if len(r.rest) < 2 {
		r.bad = field
		return ""
	}
	n := int(r.rest[0])<<8 | int(r.rest[1])
	if n > most || n > len(r.rest)-2 {
		r.bad = field
		return ""
	}
	v := r.rest[2 : 2+n]
	r.rest = r.rest[2+n:]
	return v
}

func (r *leafReader) text(field string, most int) string {
	v := r.take(field, most)
	if !utf8.ValidString(v) {
		r.bad = field
	}
	return v
}

func (r *leafReader) number(field string, least, most int64) int64 {
	v := r.take(field, 8)
	if len(v) != 8 {
		r.fail(field)
		return 0
	}
	n := int64(binary.BigEndian.Uint64([]byte(v))) //nolint:gosec // two's complement, as written
	if n < least || n > most {
		r.fail(field)
	}
	return n
}

func (r *leafReader) hash(field string) (h Hash) {
	v := r.take(field, sha256.Size)
	if len(v) != sha256.Size {
		r.fail(field)
		return h
	}
	copy(h[:], v)
	return h
}

func (r *leafReader) id(field string) string {
	v := r.take(field, 36)
	if !uid.Valid(v) {
		r.fail(field)
	}
	return v
}

func (r *leafReader) fail(field string) {
	if r.bad == "" {
		r.bad = field
	}
}

// ParseLeaf reads the canonical bytes of a leaf. It accepts exactly what Leaf writes: version 1, every field within
// its bounds, nothing after the last, so that a leaf has one encoding only. Anything else is an Invalid fault of code
// LOG_CORRUPT that names the first wrong field.
func ParseLeaf(b []byte) (Leaf, error) {
	const maxInt64 = 1<<63 - 1
	if len(b) == 0 || b[0] != leafVersion {
		return Leaf{}, badLeaf("version")
	}
	if len(b) > MaxLeaf {
		return Leaf{}, badLeaf("length")
	}
	r := leafReader{rest: string(b[1:])} // one copy; all texts are parts of it
	var l Leaf
	l.ID = uid.Entry(r.id("id"))
	l.Time = time.UnixMicro(r.number("time", -maxInt64-1, maxInt64)).UTC()
	l.Org = uid.Org(r.id("organizationId"))
	l.Type = event.Audit(r.text("eventType", maxShort))
	l.ActorKind = ActorKind(r.text("actor.kind", maxShort))
	l.ActorID = r.text("actor.id", maxID)
	l.NameCommit = r.hash("actor.name")
	l.AddressCommit = r.hash("clientAddress")
	l.AgentCommit = r.hash("userAgent")
	l.Method = r.text("method", maxShort)
	l.Route = r.text("route", maxRoute)
	l.Resource.Kind = r.text("resource.kind", maxShort)
	l.Resource.ID = r.text("resource.id", maxID)
	l.Status = int(r.number("status", 0, maxStatus))
	l.DurationMicros = r.number("durationMicros", 0, maxInt64)
	l.ClientRequestID = r.text("clientRequestId", maxID)
	l.Reason = r.text("reason", maxReason)
	l.Count = r.number("count", 1, maxInt64)
	if r.bad == "" && r.rest != "" {
		r.bad = "end"
	}
	if r.bad != "" {
		return Leaf{}, badLeaf(r.bad)
	}
	return l, nil
}

func badLeaf(field string) error {
	return fault.New(fault.Invalid, fault.CodeLogCorrupt, "the bytes are not an audit leaf").With(field, "is not as the leaf format demands")
}
