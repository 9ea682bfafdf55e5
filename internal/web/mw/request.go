package mw

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/uid"
)

// Request is one request on its way through the chain: what is known of it so far, enriched by whoever learns more,
// and told once, in its log line and its audit entry. It belongs to the request's goroutine.
type Request struct {
	ID     string     // ours, or the caller's own where it is safe
	Client netip.Addr // peer, or what trusted proxies say of it
	Secure bool       // came in over TLS, here or at a trusted proxy
	Route  *Route     // nil where nothing matched
	Actor  access.Actor

	chain       *Chain
	start       time.Time
	call        *audit.Call
	w           *writer
	r           *http.Request
	credentials access.Credentials
	known       bool // Actor is set
	summarise   bool // refused before anybody was known, or by a window: counted, not entered
	err         error
	resource    audit.Resource
	reason      string
}

type requestKey struct{}

// From returns the request being served; nil outside of one.
func From(ctx context.Context) *Request {
	q, _ := ctx.Value(requestKey{}).(*Request)
	return q
}

// ActorFrom returns who the request acts as; the zero Actor where nobody is known.
func ActorFrom(ctx context.Context) access.Actor {
	if q := From(ctx); q != nil {
		return q.Actor
	}
	return access.Actor{}
}

// Begun reports whether an answer has begun, so that no other can take its place.
func (q *Request) Begun() bool { return q.w.status != 0 }

// Known reports whether somebody is signed in.
func (q *Request) Known() bool { return q.known }

// Note keeps an error for the log line. The first one wins; the caller still answers with it.
func (q *Request) Note(err error) {
	if q.err == nil {
		q.err = err
	}
}

// About says what the call was done to, for its audit entry, where the path doesn't say it.
func (q *Request) About(kind, id string) { q.resource = audit.Resource{Kind: kind, ID: id} }

// Because adds a short fixed text to the audit entry; never a submitted value.
func (q *Request) Because(reason string) { q.reason = reason }

// Once returns the idempotency claim of the call, nil where the caller made none.
func (q *Request) Once() *audit.Once {
	if q.call == nil {
		return nil
	}
	return q.call.Once
}

// Replayed says that the answer repeats an earlier call of the same key: the claim isn't made again, and the entry says
// so.
func (q *Request) Replayed() {
	q.call.Once = nil
	q.reason = "idempotent replay"
	q.w.Header().Set("Idempotency-Replayed", "true")
}

// Recorded reports whether an audit entry of this call is durable already, because a change wrote it.
func (q *Request) Recorded() bool { return q.call != nil && q.call.Recorded() }

// StillAllowed checks the request's credential and scope again, for streams that outlive their first check.
func (q *Request) StillAllowed(ctx context.Context) error {
	if q.Route == nil || !q.known {
		return missing(q.family())
	}
	actor, err := q.chain.auth.Authenticate(ctx, q.credentials)
	if err != nil {
		return err
	}
	return actor.May(q.Route.Scope)
}

// family is the form in which the request is answered.
func (q *Request) family() problem.Family {
	if q.Route != nil {
		return q.Route.Family
	}
	return problem.FamilyOf(q.r.URL.Path)
}

// Fail answers with err unless an answer has begun.
func (q *Request) Fail(err error) {
	q.Note(err)
	if q.w.status != 0 {
		return
	}
	problem.From(q.family(), q.ID, err).Write(q.w)
}

// event is what the chain itself says of the call in its audit entry.
func (q *Request) event(status int) audit.Event {
	ev := audit.Event{Type: q.call.Type, Status: status, Resource: q.resource, Reason: q.reason}
	if ev.Resource.Kind == "" && q.Route != nil && q.Route.Resource != "" {
		if id := q.r.PathValue("id"); named(id) {
			ev.Resource = audit.Resource{Kind: q.Route.Resource, ID: id}
		}
	}
	return ev
}

// named reports whether an id of a path is one of ours, and so may be entered: a UUID, or one behind a documented prefix.
func named(id string) bool {
	for _, prefix := range []string{"", "wh-", "tmpl-"} {
		if bare, ok := strings.CutPrefix(id, prefix); ok && uid.Valid(bare) {
			return true
		}
	}
	return false
}
