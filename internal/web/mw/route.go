package mw

import (
	"net/http"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

// DefaultMaxBody bounds a request body, before and after decompression, unless the route says otherwise.
const DefaultMaxBody = 1 << 20

// Route is what the chain must know of the operation that a request is for. Values are shared and read-only.
type Route struct {
	Method   string
	Path     string // the pattern, never the raw path
	Family   problem.Family
	Scope    access.Scope // access.Public = no credential needed
	Audit    event.Audit
	Closing  event.Audit // of a stream: the entry at its end
	Resource string      // kind of the resource that the path's {id} names; empty = none
	Status   int         // the status of success
	MaxBody  int64       // 0 = DefaultMaxBody
	Body     bool        // the operation reads a JSON body
	Once     bool        // takes an Idempotency-Key
	Exempt   bool        // neither counted nor audited: health, metrics, documentation, static assets
	// BeforeReset lets a user in who must change the password first.
	BeforeReset bool
	// Auditors lets signed-in auditors in without the scope: a read whose scope would let them change things too.
	Auditors bool
	// Page marks an answer for browsers, under the content security policy of the documentation.
	Page bool
}

func (r *Route) maxBody() int64 {
	if r.MaxBody > 0 {
		return r.MaxBody
	}
	return DefaultMaxBody
}

// Router finds the operation of a request and serves it.
type Router interface {
	// Route returns the operation, or a transport fault (unknown route, wrong method) where there is none. It must not
	// write anything.
	Route(r *http.Request) (*Route, error)
	http.Handler
}
