package mw_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const org uid.Org = "01900000-0000-7000-8000-000000000001"

// bundle is a chain over fakes: a router of few routes, keys by name, windows that count, an audit log in memory.
type bundle struct {
	t       *testing.T
	chain   *mw.Chain
	log     *strings.Builder
	trail   *trail
	windows *windows
	auth    *auth
	router  *router
	seen    []mw.Seen
	mu      sync.Mutex
	now     time.Time
}

func setup(t *testing.T, cfg mw.Config) *bundle {
	t.Helper()
	b := &bundle{
		t: t, log: &strings.Builder{}, trail: &trail{}, windows: &windows{counts: map[string]int64{}, perAddress: 60, plan: 1 << 40},
		now: time.Date(2026, 11, 22, 10, 0, 30, 0, time.UTC),
	}
	b.auth = &auth{actors: map[string]access.Actor{
		"good":  actor(audit.ActorKey, "k1", access.Scopes{access.AssetsRead, access.AssetsWrite}),
		"poor":  actor(audit.ActorKey, "k2", access.Scopes{access.UsageRead}),
		"reset": mustReset(actor(audit.ActorUser, "u1", access.Scopes{access.Self})),
	}}
	b.router = newRouter()
	now := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.windows.now = now
	chain, err := mw.New(mw.Deps{
		Router: b.router, Auth: b.auth, Windows: b.windows, Audit: b.trail, Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: b.log}, nil)),
		IDs: uid.NewSource(now, rand.Reader), Now: now, Config: cfg,
		Observe: func(s mw.Seen) { b.mu.Lock(); b.seen = append(b.seen, s); b.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.chain = chain
	return b
}

func actor(kind audit.ActorKind, id string, scopes access.Scopes) access.Actor {
	return access.Actor{Org: org, Kind: kind, ID: id, Name: "name of " + id, Scopes: scopes, Windows: access.Windows{PerMinute: 3}, Plan: "enterprise"}
}

func mustReset(a access.Actor) access.Actor { a.MustReset = true; return a }

// call sends a request; opts change it before.
func (b *bundle) call(method, target, body string, opts ...func(*http.Request)) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:4711"
	for _, o := range opts {
		o(r)
	}
	w := httptest.NewRecorder()
	b.chain.ServeHTTP(w, r)
	return w
}

func key(k string) func(*http.Request) { return header("X-API-Key", k) }
func header(name, v string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, v) }
}
func from(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }

// sent returns a header under exactly this name, as it goes over the wire.
func sent(w *httptest.ResponseRecorder, name string) string {
	return strings.Join(w.Header()[name], ", ")
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var v struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return v.Code
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type router struct {
	mux    *http.ServeMux
	routes map[string]*mw.Route
	got    []byte
}

func newRouter() *router {
	rt := &router{mux: http.NewServeMux(), routes: map[string]*mw.Route{}}
	rt.add(mw.Route{Method: "GET", Path: "/things/{id}", Scope: access.AssetsRead, Audit: event.AssetRead, Resource: "asset", Status: 200}, ok)
	rt.add(mw.Route{Method: "POST", Path: "/things", Scope: access.AssetsWrite, Audit: event.AssetCreated, Status: 201, Body: true, Once: true}, rt.create)
	rt.add(mw.Route{Method: "POST", Path: "/liar", Scope: access.AssetsWrite, Audit: event.AssetCreated, Status: 201}, liar)
	rt.add(mw.Route{Method: "GET", Path: "/scan-api/x", Family: problem.Scan, Scope: access.AssetsRead, Audit: event.ScanRead, Status: 200}, ok)
	rt.add(mw.Route{Method: "GET", Path: "/health", Scope: access.Public, Status: 200, Exempt: true}, ok)
	rt.add(mw.Route{Method: "GET", Path: "/open", Scope: access.Public, Audit: event.LicenseRead, Status: 200}, ok)
	rt.add(mw.Route{Method: "POST", Path: "/login", Scope: access.Public, Audit: event.AuthLoginSuccess, Status: 200, Body: true}, ok)
	rt.add(mw.Route{Method: "POST", Path: "/password", Scope: access.Self, Audit: event.AuthPasswordChanged, Status: 204, BeforeReset: true}, noContent)
	rt.add(mw.Route{Method: "GET", Path: "/panic", Scope: access.AssetsRead, Audit: event.AssetRead, Status: 200}, func(http.ResponseWriter, *http.Request) { panic("boom /secret/path") })
	rt.add(mw.Route{Method: "GET", Path: "/late", Scope: access.AssetsRead, Audit: event.AssetRead, Status: 200}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begun")
		panic("late")
	})
	rt.add(mw.Route{Method: "GET", Path: "/stream", Scope: access.AssetsRead, Audit: event.ScanStreamOpened, Closing: event.ScanStreamClosed, Status: 200}, stream)
	return rt
}

func (rt *router) add(r mw.Route, h http.HandlerFunc) {
	if r.Family == "" {
		r.Family = problem.Platform
	}
	pattern := r.Method + " " + r.Path
	rt.routes[pattern] = &r
	rt.mux.HandleFunc(pattern, h)
}

func (rt *router) Route(r *http.Request) (*mw.Route, error) {
	h, pattern := rt.mux.Handler(r)
	if pattern != "" {
		return rt.routes[pattern], nil
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code == http.StatusMethodNotAllowed {
		return nil, problem.WrongMethod(rec.Header().Get("Allow"))
	}
	return nil, problem.UnknownRoute()
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

func ok(w http.ResponseWriter, _ *http.Request)        { _, _ = io.WriteString(w, `{"ok":true}`) }
func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// create is a change: it marks the call recorded, as the store does, and answers 201.
func (rt *router) create(w http.ResponseWriter, r *http.Request) {
	rt.got, _ = io.ReadAll(r.Body)
	audit.CallFrom(r.Context()).MarkRecorded()
	w.Header().Set("Location", "/things/1")
	w.WriteHeader(http.StatusCreated)
}

// liar answers another success than the one that was recorded.
func liar(w http.ResponseWriter, r *http.Request) {
	audit.CallFrom(r.Context()).MarkRecorded()
	_, _ = io.WriteString(w, "secret of the change")
}

func stream(w http.ResponseWriter, _ *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	_, _ = io.WriteString(w, "data: 1\n\n")
	_ = rc.Flush()
}

type auth struct{ actors map[string]access.Actor }

func (a *auth) Authenticate(_ context.Context, c access.Credentials) (access.Actor, error) {
	for _, v := range []string{c.APIKey, c.Bearer, c.Cookie} {
		if v == "broken" {
			return access.Actor{}, errors.New("database is down")
		}
		if act, ok := a.actors[v]; ok {
			act.ByCookie = c.Cookie == v
			return act, nil
		}
	}
	return access.Actor{}, fault.New(fault.Unauthenticated, fault.CodeInvalidKey, "Invalid API key")
}

// windows grants PerMinute calls to each principal and perAddress to each /64 or IPv4 address, for ever.
type windows struct {
	mu         sync.Mutex
	counts     map[string]int64
	perAddress int64
	plan       int64
	now        func() time.Time
}

func (w *windows) Charge(_ context.Context, a access.Actor) (usage.Decision, error) {
	return w.take(a.Principal(), int64(a.Windows.PerMinute), w.plan)
}

func (w *windows) ChargeAddress(_ context.Context, addr netip.Addr) (usage.Decision, error) {
	return w.take(usage.AddressKey(addr), w.perAddress, 1<<40)
}

func (w *windows) PeekAddress(context.Context, netip.Addr) (usage.Decision, error) {
	return usage.Decision{OK: true, Window: usage.Minute, Limit: w.perAddress, Remaining: 1, Reset: w.now()}, nil
}

func (w *windows) take(key string, limit, plan int64) (usage.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.counts[key] + 1
	w.counts[key] = n
	now := w.now()
	reset := now.Truncate(time.Minute).Add(time.Minute)
	d := usage.Decision{OK: n <= limit, Window: usage.Minute, Limit: limit, Remaining: limit - n, Reset: reset}
	if n > plan {
		d.OK, d.Window = false, usage.Plan
		return d, fault.New(fault.Exhausted, fault.CodeQuota, "plan").After(reset.Sub(now))
	}
	if !d.OK {
		return d, fault.New(fault.Exhausted, fault.CodeRateLimit, "minute").After(reset.Sub(now))
	}
	return d, nil
}

// trail keeps entries in memory.
type trail struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (t *trail) Record(ctx context.Context, o uid.Org, ev audit.Event) error {
	c := audit.CallFrom(ctx)
	e := audit.Entry{Org: o, Type: ev.Type, Status: ev.Status, Resource: ev.Resource, Reason: ev.Reason, Actor: c.Actor, Route: c.Route, Method: c.Method, ClientAddress: c.ClientAddress, ClientRequestID: c.ClientRequestID}
	if err := t.RecordEntry(ctx, e); err != nil {
		return err
	}
	c.MarkRecorded()
	return nil
}

func (t *trail) RecordEntry(_ context.Context, e audit.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	t.entries = append(t.entries, e)
	return nil
}

func (t *trail) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

func (t *trail) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

func (b *bundle) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
