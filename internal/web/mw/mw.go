// Package mw is the chain that every request passes before a handler runs: request id, event log, recover, client
// address, transport rules, credential, rate windows, scope, body, and the audit entry that is durable before the
// first byte of an answer.
//
// It decides nothing about products: what a credential is worth says package access, what a window holds says package
// usage, what an answer looks like says web/problem. It must never log a raw path, a query, a body or a credential.
// Start with Chain.ServeHTTP, then admit.go.
package mw

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Authenticator says who a credential belongs to. Faults carry the documented codes, in the documented order of
// checks; an unknown, ended or refused credential is Unauthenticated or Forbidden.
type Authenticator interface {
	Authenticate(ctx context.Context, c access.Credentials) (access.Actor, error)
}

// Recorder writes the audit entry of a call that changed nothing. It returns when the entry is durable. The call is in
// the context. RecordEntry writes a summary, as it is.
type Recorder interface {
	Record(ctx context.Context, org uid.Org, ev audit.Event) error
	RecordEntry(ctx context.Context, e audit.Entry) error
}

// Windows counts calls against the windows of who made them. The decision, for the headers, holds beside an Exhausted
// fault too.
type Windows interface {
	Charge(ctx context.Context, a access.Actor) (usage.Decision, error)
	ChargeAddress(ctx context.Context, addr netip.Addr) (usage.Decision, error)
	PeekAddress(ctx context.Context, addr netip.Addr) (usage.Decision, error)
}

// Seen is one served request, for metrics.
type Seen struct {
	Method   string
	Route    string // the pattern; "unmatched" where there was none
	Family   problem.Family
	Status   int
	Code     fault.Code // of an error, else empty
	Duration time.Duration
	Bytes    int64
}

// Config are an operator's rules of the edge. The zero value serves any host, trusts no proxy and offers no CORS.
type Config struct {
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and X-Forwarded-Proto count
	Hosts          []string       // accepted Host headers without port; empty = any
	RequireTLS     bool           // refuse what came in over plain HTTP
	Origins        []string       // CORS: allowed origins, exactly; empty = off
}

// Deps is what a chain needs. All are required but Observe.
type Deps struct {
	Router  Router
	Auth    Authenticator
	Windows Windows
	Audit   Recorder
	Log     *slog.Logger
	IDs     *uid.Source
	Now     func() time.Time
	Observe func(Seen)
	Config  Config
}

// Chain serves requests. It is safe for concurrent use.
type Chain struct {
	router   Router
	auth     Authenticator
	windows  Windows
	audit    Recorder
	log      *slog.Logger
	ids      *uid.Source
	now      func() time.Time
	observe  func(Seen)
	config   Config
	origin   *http.CrossOriginProtection
	refusals *refusals
}

// retryAudit is when to try again after an audit entry couldn't be written.
const retryAudit = 5 * time.Second

// New returns a chain in front of the router. An origin that isn't one is an Invalid fault.
func New(d Deps) (*Chain, error) {
	if d.Observe == nil {
		d.Observe = func(Seen) {}
	}
	c := &Chain{
		router: d.Router, auth: d.Auth, windows: d.Windows, audit: d.Audit, log: d.Log, ids: d.IDs, now: d.Now,
		observe: d.Observe, config: d.Config, origin: http.NewCrossOriginProtection(),
		refusals: newRefusals(d.Audit, d.Log, d.Now),
	}
	for _, o := range d.Config.Origins {
		if err := c.origin.AddTrustedOrigin(o); err != nil {
			return nil, fault.Wrong("cors.origins", "must be origins such as https://example.com").Because(err)
		}
	}
	return c, nil
}

// Run writes the summarised entries of refused calls, each minute and once more when ctx ends. It returns nil after
// that. End it when the last request has been served: later refusals would be counted and never written.
func (c *Chain) Run(ctx context.Context) error { return c.refusals.run(ctx) }

// ServeHTTP takes a request through the chain.
func (c *Chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := c.begin(w, r)
	defer c.end(q) //nolint:contextcheck // the request carries its context, which gains values on the way
	route, routeErr := c.find(q)
	q.Route = route
	if route != nil {
		r.Pattern = route.Method + " " + route.Path // for whoever wraps the chain: the mux sets it on a copy
	}
	c.securityHeaders(q)
	q.expect(routeErr)  //nolint:contextcheck // see above
	if c.preflight(q) { //nolint:contextcheck // see above
		return
	}
	if err := c.admit(q, routeErr); err != nil { //nolint:contextcheck // see above
		q.Fail(err)
		return
	}
	if err := c.readBody(q); err != nil {
		q.Fail(err)
		return
	}
	c.router.ServeHTTP(q.w, q.r)
	if q.w.status == 0 {
		q.w.WriteHeader(http.StatusOK) //nolint:contextcheck // see above
	}
	c.closing(q) //nolint:contextcheck // see above
}

// begin makes the request's record, its id and its writer.
func (c *Chain) begin(w http.ResponseWriter, r *http.Request) *Request {
	q := &Request{chain: c, start: c.now(), r: r}
	q.w = &writer{ResponseWriter: w, q: q}
	q.ID = r.Header.Get(problem.HeaderRequestID)
	if !safeID(q.ID) {
		q.ID = c.ids.New()
	}
	q.Client = ClientAddr(r, c.config.TrustedProxies)
	q.Secure = Secure(r, c.config.TrustedProxies)
	w.Header()[problem.HeaderRequestID] = []string{q.ID}
	return q
}

// find checks the transport's rules and looks the operation up.
func (c *Chain) find(q *Request) (*Route, error) {
	if err := checkPath(q.r); err != nil {
		return nil, err
	}
	return c.router.Route(q.r)
}

// expect puts what is known of the call into the request's context, before anybody is authenticated.
func (q *Request) expect(routeErr error) {
	q.call = &audit.Call{
		Start: q.start, Method: method(q.r.Method), ClientAddress: q.Client.String(), UserAgent: userAgent(q.r),
		RequestID: q.ID, Actor: audit.Actor{Kind: audit.ActorAnonymous}, Route: unmatched, Type: event.RouteUnknown,
	}
	if q.r.Header.Get(problem.HeaderRequestID) == q.ID {
		q.call.ClientRequestID = q.ID
	}
	if q.Route != nil {
		q.call.Route, q.call.Type, q.call.Status = q.Route.Path, q.Route.Audit, q.Route.Status
	} else {
		q.call.Status = problem.Status(q.family(), routeErr)
	}
	ctx := context.WithValue(q.r.Context(), requestKey{}, q)
	ctx = problem.WithRequestID(ctx, q.ID)
	q.r = q.r.WithContext(audit.WithCall(ctx, q.call))
}

const unmatched = "unmatched"

// closing writes the second entry of a stream, at its end.
func (c *Chain) closing(q *Request) {
	if q.Route.Closing == "" || q.w.status != q.Route.Status || !q.known {
		return
	}
	ev := q.event(q.w.status)
	ev.Type = q.Route.Closing
	if err := c.audit.Record(context.WithoutCancel(q.r.Context()), q.Actor.Org, ev); err != nil {
		q.Note(err)
	}
}

// end recovers, answers what is still unanswered, and tells the request: one log line, one observation.
func (c *Chain) end(q *Request) {
	cut := false
	if broken := recover(); broken != nil {
		cut = c.recovered(q, broken)
	}
	seen := Seen{
		Method: method(q.r.Method), Route: unmatched, Family: q.family(), Status: q.w.status,
		Duration: c.now().Sub(q.start), Bytes: q.w.bytes,
	}
	if q.Route != nil {
		seen.Route = q.Route.Path
	}
	if q.err != nil {
		seen.Code = fault.Of(q.err).Code
	}
	c.observe(seen)
	c.tell(q, seen)
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// recovered turns a panic into a 500 where nothing has been sent. An answer that has begun can only be cut off: then
// it returns true.
func (c *Chain) recovered(q *Request, broken any) (cut bool) {
	if broken == http.ErrAbortHandler { //nolint:errorlint // net/http compares the panic's value itself
		return true
	}
	c.log.LogAttrs(q.r.Context(), slog.LevelError, "handler panicked", slog.String("request_id", q.ID),
		slog.String("panic", fmt.Sprint(broken)), slog.String("stack", string(debug.Stack())))
	q.err = problem.Panicked()
	if q.w.status != 0 {
		return true
	}
	q.Fail(q.err)
	return false
}

// tell writes the request's one log line.
func (c *Chain) tell(q *Request, s Seen) {
	level := slog.LevelInfo
	if s.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	ctx := q.r.Context()
	if !c.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 14)
	attrs = append(attrs, slog.String("request_id", q.ID), slog.String("method", s.Method), slog.String("route", s.Route),
		slog.Int("status", s.Status), slog.Int64("duration_us", s.Duration.Microseconds()), slog.Int64("bytes", s.Bytes),
		slog.String("client", q.Client.String()))
	if q.known {
		attrs = append(attrs, slog.String("org", string(q.Actor.Org)), slog.String("actor_kind", string(q.Actor.Kind)),
			slog.String("actor", q.Actor.ID))
	}
	if q.r.TLS != nil {
		attrs = append(attrs, slog.String("tls_curve", q.r.TLS.CurveID.String()))
	}
	if q.err != nil {
		attrs = append(attrs, slog.String("code", string(s.Code)))
		if level == slog.LevelError {
			attrs = append(attrs, slog.String("error", q.err.Error()))
		}
	}
	c.log.LogAttrs(ctx, level, "request", attrs...)
}

// safeID accepts a caller's request id: 1 to 128 characters that mean nothing to a log or a shell.
func safeID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// method names a known method; others are free text of whoever called.
func method(m string) string {
	known := []string{
		http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace,
	}
	if slices.Contains(known, m) {
		return m
	}
	return "OTHER"
}

// maxUserAgent bounds the user agent in an audit entry, in bytes.
const maxUserAgent = 512

func userAgent(r *http.Request) string {
	ua := r.Header.Get("User-Agent")
	if len(ua) > maxUserAgent {
		ua = ua[:maxUserAgent]
	}
	if !validText(ua) {
		return strconv.QuoteToASCII(ua)
	}
	return ua
}
