package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

// Route is one REST operation as one value: what it is called by, who may call it, how it is entered in the audit log,
// what it takes and gives (I and O, as huma reads them), and what it does.
type Route[I, O any] struct {
	ID          string // operationId, camelCase, unique
	Method      string
	Path        string
	Family      problem.Family
	Scope       access.Scope // access.Public = no credential needed
	Audit       event.Audit
	Closing     event.Audit // of a stream: the second entry, at its end
	Resource    string      // kind of the resource that {id} in the path names
	Status      int         // of success; 0 = 200
	Summary     string
	Description string
	Tags        []string
	Errors      []int // statuses of errors beyond those that follow from the rest
	MaxBody     int64 // 0 = mw.DefaultMaxBody
	Exempt      bool  // neither counted nor audited
	Document    bool  // the body is a document of another standard, which the handler reads itself
	BeforeReset bool  // open to a user who must change the password first
	Auditors    bool  // a read that signed-in auditors may do without the scope, which would let them change things too

	// Once makes the operation take an Idempotency-Key. Replay answers a repeated call from the resource that the first
	// one made; secrets are not shown again.
	Once   bool
	Replay func(ctx context.Context, id string) (*O, error)

	// Produces documents the answers of an operation that writes them itself (O is Stream).
	Produces []Media

	Handle func(ctx context.Context, in *I) (*O, error)
}

// Media is one form in which an operation answers.
type Media struct {
	Type   string
	Schema any    // a value of the type that the schema is taken from; nil = text
	Doc    string // of the schema, where it is text
}

// Entry is a route with its types taken off, as the table holds it.
type Entry struct {
	route  mw.Route
	once   bool
	replay bool
	output reflect.Type
	hidden bool
	bind   func(*API)
}

// Route returns what the chain knows of the operation.
func (e Entry) Route() mw.Route { return e.route }

// Pattern is the operation's method and path.
func (e Entry) Pattern() string { return e.route.Method + " " + e.route.Path }

// Hidden reports whether the operation is left out of the API document: documentation itself and what isn't an API.
func (e Entry) Hidden() bool { return e.hidden }

// Op makes the table's entry of an operation.
func Op[I, O any](r Route[I, O]) Entry {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	in, out := reflect.TypeFor[I](), reflect.TypeFor[O]()
	_, body := in.FieldByName("Body")
	e := Entry{
		route: mw.Route{
			Method: r.Method, Path: r.Path, Family: r.Family, Scope: r.Scope, Audit: r.Audit, Closing: r.Closing,
			Resource: r.Resource, Status: r.Status, MaxBody: r.MaxBody, Body: body, Once: r.Once, Exempt: r.Exempt,
			BeforeReset: r.BeforeReset, Auditors: r.Auditors,
		},
		once: r.Once, replay: r.Replay != nil, output: out,
	}
	e.bind = func(a *API) {
		op := a.operation(r.ID, e.route, r.Errors)
		op.Summary, op.Description, op.Tags = r.Summary, r.Description, r.Tags
		op.SkipValidateBody = r.Document
		a.produces(&op, r.Produces)
		huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := serve(ctx, a, &r, in)
			if err != nil {
				return nil, answer(ctx, r.Family, err)
			}
			return out, nil
		})
	}
	return e
}

// serve calls the handler, once per idempotency key.
func serve[I, O any](ctx context.Context, a *API, r *Route[I, O], in *I) (*O, error) {
	q := mw.From(ctx)
	claim := q.Once()
	if claim == nil {
		return r.Handle(ctx, in)
	}
	id, done, err := a.claims.look(ctx, q, r.Method+" "+r.Path, claim)
	if err != nil {
		return nil, err
	}
	defer done()
	if id == "" {
		return r.Handle(ctx, in)
	}
	q.Replayed()
	return r.Replay(ctx, id)
}

// answer notes the error for the log and turns it into the family's document.
func answer(ctx context.Context, family problem.Family, err error) error {
	id := ""
	if q := mw.From(ctx); q != nil {
		q.Note(err)
		id = q.ID
	}
	return problem.From(family, id, err)
}

// Raw is a route that isn't a typed operation: metrics, documentation, the redirect of the root.
type Raw struct {
	Method  string
	Path    string
	Scope   access.Scope
	Audit   event.Audit
	Status  int
	Exempt  bool
	Page    bool // an answer for browsers
	Handler http.Handler
}

// Plain makes the table's entry of a raw route. Such routes are not part of the API document.
func Plain(r Raw) Entry {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	route := mw.Route{
		Method: r.Method, Path: r.Path, Family: problem.Platform, Scope: r.Scope, Audit: r.Audit, Status: r.Status,
		Exempt: r.Exempt, Page: r.Page,
	}
	e := Entry{route: route, hidden: true}
	e.bind = func(a *API) { a.mux.Handle(e.Pattern(), r.Handler) }
	return e
}
