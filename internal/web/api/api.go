// Package api is the REST API: one table of routes from which the mux, the OpenAPI document, the permission matrix and
// the sweeps of the tests come.
//
// Each family has a folder with one file per noun; handlers are thin: read the typed input, call a service through an
// interface declared beside them, return a view. They must never decide, store or log. Start with Route, then a
// family's routes.go.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/uid"
)

// Version is the version of the API, not of the product.
const Version = "1.0.0"

// Replays is where the effect of an earlier call with the same Idempotency-Key is found. route is method and pattern.
// The same key with another body is a Conflict fault of code IDEMPOTENCY_KEY_REUSED.
type Replays interface {
	LookupOnce(ctx context.Context, org uid.Org, route string, o audit.Once) (status int, res audit.Resource, found bool, err error)
}

// Deps is what the API itself needs; services are handed to the families' routes.
type Deps struct {
	Replays Replays
}

// API is the route table, ready to be served behind a chain. It is safe for concurrent use.
type API struct {
	mux     *http.ServeMux
	huma    huma.API
	routes  map[string]*mw.Route
	entries []Entry
	claims  *claims
	json    func() ([]byte, error) // the API document; written when somebody first asks for it
	yaml    func() ([]byte, error)
}

// New builds the mux and the OpenAPI document from the table, adding the documentation's own routes. A table that
// leaves a route unclassified, or names one twice, is an error: such a server must not start.
func New(d Deps, entries []Entry) (*API, error) {
	problem.Install()
	a := &API{mux: http.NewServeMux(), routes: map[string]*mw.Route{}, claims: newClaims(d.Replays)}
	a.huma = humago.New(a.mux, humaConfig())
	a.entries = append(append(a.entries, entries...), a.documentation()...)
	for _, e := range a.entries {
		if err := e.check(); err != nil {
			return nil, err
		}
		if _, twice := a.routes[e.Pattern()]; twice {
			return nil, fmt.Errorf("route %s is in the table twice", e.Pattern())
		}
		route := e.route
		a.routes[e.Pattern()] = &route
		e.bind(a)
	}
	a.describe()
	return a, nil
}

// check says what a route of the table lacks.
func (e Entry) check() error {
	r := e.route
	lacks := func(what string) error { return fmt.Errorf("route %s %s", e.Pattern(), what) }
	switch {
	case r.Scope == "":
		return lacks("has no scope; say access.Public if nobody need sign in")
	case r.Scope != access.Public && r.Scope != access.Self && !access.KnownScope(r.Scope):
		return lacks("has a scope that no key can hold")
	case r.Exempt != (r.Audit == ""):
		return lacks("must have an audit action or be exempt, not both")
	case e.once != e.replay:
		return lacks("takes an idempotency key and so needs a replay, or the other way round")
	case e.output != nil && !r.Exempt && hasField(e.output, "Status"):
		return lacks("chooses its status itself, which its audit entry couldn't know before")
	}
	return nil
}

func hasField(t reflect.Type, name string) bool {
	_, ok := t.FieldByName(name)
	return ok
}

// Entries returns the whole table, the documentation's routes included.
func (a *API) Entries() []Entry { return a.entries }

// Route implements mw.Router. An empty pattern means that nothing matched; then the mux's own handler is run for its
// status and Allow header only.
func (a *API) Route(r *http.Request) (*mw.Route, error) {
	h, pattern := a.mux.Handler(r)
	if route, ok := a.routes[pattern]; ok {
		return route, nil
	}
	s := &silent{header: http.Header{}}
	h.ServeHTTP(s, r)
	if s.status == http.StatusMethodNotAllowed {
		return nil, problem.WrongMethod(a.allowed(r.URL.Path, s.header.Get("Allow")))
	}
	return nil, problem.UnknownRoute()
}

// allowed returns the methods of a path. Those that the mux lists include the ones of a pattern with a wildcard that a
// path without one also fits (/scans/batch fits /scans/{id}); a path that the table names has its own only.
func (a *API) allowed(path, listed string) string {
	var own []string
	for _, e := range a.entries {
		if e.route.Path != path {
			continue
		}
		own = append(own, e.route.Method)
		if e.route.Method == http.MethodGet {
			own = append(own, http.MethodHead)
		}
	}
	if len(own) == 0 {
		return listed
	}
	slices.Sort(own)
	return strings.Join(own, ", ")
}

// ServeHTTP implements mw.Router.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// silent is a response that nobody reads.
type silent struct {
	header http.Header
	status int
}

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) Write(b []byte) (int, error) { return len(b), nil }
func (s *silent) WriteHeader(status int)      { s.status = status }

// humaConfig switches off all that huma would serve or add by itself: it would come without credential and scope.
func humaConfig() huma.Config {
	format := huma.Format{
		Marshal: func(w io.Writer, v any) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			return enc.Encode(v)
		},
		Unmarshal: json.Unmarshal,
	}
	c := huma.Config{
		OpenAPI:                      document(),
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	return c
}

// Stream is the answer of an operation that writes it itself.
type Stream struct {
	Body func(huma.Context)
}

// Writes makes a Stream of a function, in the request of ctx. An error before the first byte is answered as any other; after it the
// connection is cut, so that nobody takes a part for the whole.
func Writes(ctx context.Context, f func(w http.ResponseWriter) error) *Stream {
	q := mw.From(ctx)
	return &Stream{Body: func(hc huma.Context) {
		var w http.ResponseWriter
		_, w = humago.Unwrap(hc)
		if hc.Method() == http.MethodHead {
			w = headOnly{w}
		}
		err := f(w)
		if err == nil || errors.Is(err, errHeadOnly) {
			return
		}
		if !q.Begun() {
			q.Fail(err)
			return
		}
		q.Note(err)
		panic(http.ErrAbortHandler)
	}}
}

// errHeadOnly ends the writing of a body that nobody reads.
var errHeadOnly = errors.New("a HEAD request has no body")

// headOnly answers HEAD: the first byte of the body sends the header and ends the work.
type headOnly struct{ http.ResponseWriter }

func (h headOnly) Write([]byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return 0, errHeadOnly
}

// Unwrap gives http.ResponseController the chain's writer.
func (h headOnly) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Path of a resource that was created, for the Location header.
func Path(pattern string, id string) string { return pattern + "/" + id }
