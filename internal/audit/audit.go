// Package audit is what happened: entries, their leaf bytes, the Merkle log over them (RFC 6962 hashing), signed
// checkpoints (C2SP signed note by Ed25519 and ML-DSA-65), proofs, and the offline verification of an export.
//
// It is pure: no database, no clock, no network. Package infra/store keeps entries and nodes; cmd/assay-verify and
// `assay log verify` use this package alone. It must never learn of users, keys or scans: an actor is its own plain
// type here. Start with Entry, then log.go.
package audit

import (
	"context"
	"sync/atomic"
	"time"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// ActorKind says what acted.
type ActorKind string

// Actor kinds.
const (
	ActorKey       ActorKind = "api_key"
	ActorUser      ActorKind = "user"
	ActorOperator  ActorKind = "operator" // the local command line, with access to the data folder
	ActorSystem    ActorKind = "system"   // the server itself
	ActorAnonymous ActorKind = "anonymous"
)

// Actor is who did it. Name is for display; it enters the leaf only as a salted commitment.
type Actor struct {
	Kind ActorKind
	ID   string
	Name string
}

// Resource is what it was done to. Both are empty where a call has no single subject.
type Resource struct {
	Kind string
	ID   string
}

// Entry is one audit entry, as decisions G14 lists it. ClientAddress, UserAgent and Actor.Name are personal data:
// they enter the leaf as commitments under Salt and may be erased beside it without breaking the log.
type Entry struct {
	ID              uid.Entry
	Time            time.Time // UTC, microseconds
	Org             uid.Org
	Type            event.Audit
	Actor           Actor
	ClientAddress   string
	UserAgent       string
	Method          string
	Route           string // the pattern, never the raw path
	Resource        Resource
	Status          int   // HTTP status decided before commit; 0 for acts without a request
	DurationMicros  int64 // until the entry was formed
	ClientRequestID string
	Reason          string
	Count           int64 // how many calls a summarised entry stands for; 0 and 1 mean this one
	Salt            [16]byte
}

// Event is what a service says of its change; the store completes it to an Entry with the call in the context. It is
// a required argument of every change, so that nothing is changed unrecorded.
type Event struct {
	Type     event.Audit
	Resource Resource
	Status   int    // overrides the route's success status, for a change that answers with an error (a failed login)
	Reason   string // short, fixed text; never a submitted value
	Actor    *Actor // overrides the call's actor, where the call has none yet (login)
	Bulk     bool   // a unit of many rows: the store lets others go first
	bookkeep bool
}

// Bookkeeping is the event of a write that is no act and leaves no entry: leases, progress, counters, caches. Each
// use must say what it keeps; archtest holds the list of those allowed.
func Bookkeeping(what string) Event {
	return Event{Reason: what, bookkeep: true}
}

// Unlogged reports whether the event leaves no entry.
func (e Event) Unlogged() bool { return e.bookkeep }

// Call is what the edge knows of the request being served. It travels in the context from web/mw to the store.
// Fields are set before the handler runs; only Recorded changes afterwards.
type Call struct {
	Start           time.Time
	Method          string
	Route           string
	Type            event.Audit // the route's action
	Status          int         // the route's success status
	Org             uid.Org     // empty until somebody is authenticated
	Actor           Actor
	ClientAddress   string
	UserAgent       string
	RequestID       string
	ClientRequestID string // the caller's own X-Request-Id, empty when we made it

	// Once is the idempotency claim of the call, nil where the caller gave no key. The store writes it with the
	// first logged change of the call, in the same transaction.
	Once *Once

	recorded atomic.Bool
}

// Recorded reports whether an entry for this call is durable.
func (c *Call) Recorded() bool { return c.recorded.Load() }

// MarkRecorded notes that the entry is durable. Only the store calls it, after commit.
func (c *Call) MarkRecorded() { c.recorded.Store(true) }

// Once identifies a call that its caller wants to take effect once (the Idempotency-Key header): per principal,
// method and route. Body is the SHA-256 of the body's bytes.
type Once struct {
	Principal string
	Key       string
	Body      [32]byte
}

type callKey struct{}

// WithCall returns a context that carries the call.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallFrom returns the call in the context, nil where the server acts by itself.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}
