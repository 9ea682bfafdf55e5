package template_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// stub is an engine that is only ordered, never run.
type stub struct{ id string }

func (s stub) Manifest() engine.Manifest {
	return engine.Manifest{
		ID: s.id, Title: s.id, Targets: []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeDomain},
		Options: []engine.Option{{Name: "level", Type: engine.TypeInt, Min: 1, Max: 5}, {Name: "deep", Type: engine.TypeBool}},
		Config:  []engine.ConfigField{engine.ConfigHeaders, engine.ConfigAuthentication, engine.ConfigRateLimit},
	}
}

func (stub) Run(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return engine.Verdict{}, errors.New("never run")
}

func (stub) Parse(io.Reader, engine.Request, func(engine.Item) error) (finding.Coverage, error) {
	return finding.Coverage{}, errors.New("never parsed")
}

// sealer "seals" by naming the place.
type sealer struct{}

func (sealer) Seal(org uid.Org, record string, plain []byte) ([]byte, error) {
	return append([]byte(string(org)+record+"|"), plain...), nil
}

func (sealer) Open(org uid.Org, record string, sealed []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(sealed), string(org)+record+"|")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return []byte(plain), nil
}

// names resolves addresses, and example.org into the scope.
type names struct{}

func (names) Resolve(_ context.Context, t asset.Target) ([]netip.Addr, error) {
	if t.Addr().IsValid() {
		return []netip.Addr{t.Addr()}, nil
	}
	if t.Host() != "example.org" {
		return nil, fault.Wrong("target", "has no address in the DNS")
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
}

// house is templates over a real database, with a clock that is moved by hand.
type house struct {
	db        *store.Store
	org       uid.Org
	clock     *testkit.Clock
	access    *access.Service
	scans     *scan.Service
	templates *template.Service
	woken     int
}

func newHouse(tb testing.TB, db *store.Store) *house {
	tb.Helper()
	h := &house{db: db, org: testkit.Org(tb, db, "Ours"), clock: testkit.NewClock()}
	h.allow(tb, testkit.OpenScope())
	quiet := slog.New(slog.DiscardHandler)
	ids := uid.NewSource(time.Now, rand.Reader)
	h.access = access.New(access.Deps{
		Store: db.Access(), Organizations: db.Tenants(), Now: h.clock.Now, IDs: ids, Rand: rand.Reader, Log: quiet, Engines: []string{"stub", "other"},
	})
	engines := []engine.Engine{stub{"stub"}, stub{"other"}}
	h.scans = scan.New(scan.Deps{
		Store: db.Scans(), Assets: db.Assets(), Engines: engines, Quota: usage.New(usage.Deps{Now: h.clock.Now}), Sealer: sealer{},
		Availability: engine.NewRoster(engine.RosterDeps{
			Engines: engines, Env: func() (engine.Env, func(), error) { return engine.Env{}, func() {}, nil }, Log: quiet,
		}),
		Gate: scan.Gate{Resolver: names{}, Listeners: func() ([]netip.AddrPort, error) { return nil, nil }}, Now: h.clock.Now, IDs: ids,
	})
	h.templates = template.New(template.Deps{
		Store: db.Templates(), Scans: h.scans, Sealer: sealer{}, Zone: time.LoadLocation, Now: h.clock.Now, IDs: ids,
		Changed: func() { h.woken++ },
	})
	return h
}

func (h *house) allow(tb testing.TB, s asset.Scope) {
	tb.Helper()
	must(tb, h.db.Assets().Change(tb.Context(), h.org, audit.Event{Type: event.ScopeUpdated}, func(ctx context.Context, tx asset.Tx) error {
		return tx.PutScanScope(ctx, s)
	}))
}

// node is another process's scheduler on the same database.
func (h *house) node(st template.Store) *template.Scheduler {
	return template.NewScheduler(template.SchedulerDeps{
		Agenda: h.db.Templates(), Store: st, Scans: h.scans, Owners: h.access, Sealer: sealer{}, Zone: time.LoadLocation, Now: h.clock.Now,
		IDs: uid.NewSource(time.Now, rand.Reader), Log: slog.New(slog.DiscardHandler),
	})
}

func (h *house) look(tb testing.TB) {
	tb.Helper()
	h.node(h.db.Templates()).Look(tb.Context())
}

// key makes a key with the scopes and engines and returns it with what it acts as.
func (h *house) key(tb testing.TB, engines []string, scopes ...string) (access.Key, access.Actor) {
	tb.Helper()
	k, err := h.access.CreateKey(tb.Context(), access.Operator(h.org), access.NewKey{Name: "k", Scopes: scopes, Engines: engines})
	must(tb, err)
	a, err := h.access.Standing(tb.Context(), h.org, "key:"+string(k.Key.ID))
	must(tb, err)
	return k.Key, a
}

func (h *house) actor() access.Actor { return access.Operator(h.org) }

func draft(name string) template.Draft { return template.Draft{Name: name, Engine: "stub"} }

// hourly is a draft that starts every hour on these targets.
func hourly(name string, overlap schedule.Overlap, targets ...string) template.Draft {
	d := draft(name)
	d.Targets = targets
	d.Schedule = &template.Plan{Spec: schedule.Spec{Cron: "0 * * * *", Overlap: overlap}, Enabled: true}
	return d
}

func (h *house) create(tb testing.TB, a access.Actor, d template.Draft) template.Template {
	tb.Helper()
	t, err := h.templates.Create(tb.Context(), a, d)
	must(tb, err)
	return t
}

func (h *house) get(tb testing.TB, id uid.Template) template.Template {
	tb.Helper()
	t, err := h.templates.Get(tb.Context(), h.org, id)
	must(tb, err)
	return t
}

func (h *house) runs(tb testing.TB, id uid.Template) []template.Run {
	tb.Helper()
	l, err := h.templates.Runs(tb.Context(), h.org, id, page.Request{Limit: 100})
	must(tb, err)
	return l.Items
}

// made returns the scans of a template, newest first.
func (h *house) made(tb testing.TB, id uid.Template) []scan.Scan {
	tb.Helper()
	l, err := h.scans.List(tb.Context(), h.org, scan.Query{Template: id, Page: page.Request{Limit: 100}})
	must(tb, err)
	return l.Items
}

func (h *house) plan(tb testing.TB, p tenant.Plan) {
	tb.Helper()
	must(tb, h.db.Tenants().Change(tb.Context(), h.org, audit.Event{Type: event.OrgPlanChanged}, func(ctx context.Context, tx tenant.Tx) error {
		return tx.SetPlan(ctx, p)
	}))
}

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantFault(tb testing.TB, err error, code fault.Code, field string) {
	tb.Helper()
	f := fault.Of(err)
	switch {
	case f == nil || f.Code != code:
		tb.Fatalf("got %v; want %s", err, code)
	case field != "" && (len(f.Fields) == 0 || f.Fields[0].Location != field):
		tb.Fatalf("got %+v; want the field %s named", f.Fields, field)
	}
}
