package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	recurring "assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/hookapi"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/web/api/scanapi"
	"assay.dev/assay/internal/web/api/vaultapi"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// bundle is the whole edge over the real store and services; only the scan service is a fake, because running scans is
// not what is tested here.
type bundle struct {
	t            *testing.T
	clock        *testkit.Clock
	store        *store.Store
	access       *access.Service
	assets       *asset.Service
	scans        *scanFake
	templates    *template.Service
	reports      *recurring.Service
	documents    *documents
	hooks        *hook.Service
	receiver     *receiver
	api          *api.API
	chain        *mw.Chain
	ours, theirs uid.Org
	key, other   string // keys of ours and theirs, with every scope
	stopping     chan struct{}
	conditions   []platform.Condition
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, clock: testkit.NewClock(), stopping: make(chan struct{})}
	b.store = testkit.SQLite(t, testkit.WithClock(b.clock))
	b.ours, b.theirs = testkit.TwoOrgs(t, b.store)
	log := slog.New(slog.DiscardHandler)
	b.access = access.New(access.Deps{
		Store: b.store.Access(), Organizations: b.store.Tenants(), Now: b.clock.Now, IDs: b.clock.IDs(), Rand: rand.Reader, Log: log,
		Engines: []string{"nmap", "sentinel"},
	})
	b.assets = asset.New(asset.Deps{Store: b.store.Assets(), Now: b.clock.Now, IDs: b.clock.IDs()})
	b.scans = &scanFake{store: b.store, clock: b.clock, ids: b.clock.IDs(), all: map[uid.Scan]scan.Scan{}, batches: map[uid.Batch]scan.Batch{}}
	b.documents = &documents{kept: map[string][]byte{}}
	b.reports = newReports(b)
	b.templates = newTemplates(b)
	tenants := tenant.New(tenant.Deps{Store: b.store.Tenants(), Sealer: plainSealer{}, Rand: rand.Reader, Zone: time.LoadLocation})
	b.receiver = &receiver{status: http.StatusOK}
	b.hooks = newHooks(b)
	var err error
	b.api, err = api.New(api.Deps{Replays: b.store}, slices.Concat(
		scanapi.Routes(scanapi.Deps{
			Scans: b.scans, Results: b.scans, Comparisons: comparison.New(compared{b.scans}), Events: events{b.store}, Keys: b.access, Now: b.clock.Now, Stopping: b.stopping,
			Templates: b.templates, Usage: usage.NewReports(usage.ReportsDeps{Ledger: b.store.Usage(), Counter: usage.NewMemory(), Now: b.clock.Now}),
		}),
		hookapi.Routes(hookapi.Deps{Webhooks: b.hooks, Deliveries: b.hooks, Now: b.clock.Now}),
		platform.Routes(platform.Deps{
			Assets: b.assets, Organizations: tenants, Reports: b.reports, Findings: newTriage(b), Cases: newCases(b), Log: logFake{b.store}, Health: b, Metrics: http.NotFoundHandler(), Intel: publicSources(b), VEX: exchange(b),
			Build: platform.Build{Version: "test"}, Started: testkit.Epoch(), Now: b.clock.Now,
		}),
		vaultapi.Routes(vaultapi.Deps{Accounts: b.access, Organizations: orgs{tenants}, Version: "test"}),
	))
	if err != nil {
		t.Fatal(err)
	}
	b.chain, err = mw.New(mw.Deps{
		Router: b.api, Auth: b.access, Windows: usage.New(usage.Deps{Counter: usage.NewMemory(), Now: b.clock.Now}), Audit: b.store,
		Log: log, IDs: b.clock.IDs(), Now: b.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.key, b.other = b.newKey(b.ours, everything()...), b.newKey(b.theirs, everything()...)
	return b
}

func everything() []string {
	var out []string
	for _, s := range access.AllScopes() {
		resource, _, _ := strings.Cut(string(s), ":")
		if w := resource + ":*"; !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// newKey makes a key with the widest windows that the API allows.
func (b *bundle) newKey(org uid.Org, scopes ...string) string {
	b.t.Helper()
	top := access.MaxWindows()
	k, err := b.access.CreateKey(b.t.Context(), access.Operator(org), access.NewKey{
		Name: "test", Scopes: scopes, PerMinute: &top.PerMinute, PerHour: &top.PerHour, PerDay: &top.PerDay,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return k.Secret.Reveal()
}

func (b *bundle) Conditions(context.Context) []platform.Condition { return b.conditions }

// answer is a response with its body read as JSON where it is.
type answer struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// sent returns a header under exactly this name, as it goes over the wire.
func (a answer) sent(name string) string { return strings.Join(a.Header()[name], ", ") }

func (b *bundle) call(method, target, body string, opts ...func(*http.Request)) answer {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range opts {
		o(r)
	}
	w := httptest.NewRecorder()
	b.chain.ServeHTTP(w, r)
	return answer{w, b.t}
}

// at returns the value at a dotted path of the body: at("data.id").
func (a answer) at(path string) any {
	a.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(a.Body.Bytes()))
	var v any
	if err := dec.Decode(&v); err != nil {
		a.t.Fatalf("%d %q: %v", a.Code, a.Body, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch m := v.(type) {
		case map[string]any:
			v = m[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(m) {
				return nil
			}
			v = m[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.at(path).(string)
	return s
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("%d %s, want %d", a.Code, a.Body, status)
	}
	return a
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func key(k string) func(*http.Request) { return with("X-API-Key", k) }

// entries is the organization's audit trail, oldest first.
func (b *bundle) entries(org uid.Org) []audit.Leaf {
	b.t.Helper()
	edge, err := b.store.LogRange(b.t.Context(), org)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := b.store.LogEntries(b.t.Context(), org, 0, edge.Size(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make([]audit.Leaf, len(list))
	for i, l := range list {
		if out[i], err = audit.ParseLeaf(l.Leaf); err != nil {
			b.t.Fatal(err)
		}
	}
	return out
}

type plainSealer struct{}

func (plainSealer) Seal(_ uid.Org, _ string, plain []byte) ([]byte, error) {
	return append([]byte("sealed "), plain...), nil
}

type orgs struct{ *tenant.Service }

func (orgs) Only(context.Context) (tenant.Organization, bool, error) {
	return tenant.Organization{}, false, nil
}

type events struct{ *store.Store }

func (e events) Subscribe(org uid.Org, subject string) (<-chan struct{}, func(), error) {
	return e.Hub().Subscribe(org, subject)
}

// logFake is the store's log without signatures.
type logFake struct{ *store.Store }

func (logFake) Checkpoint(context.Context, uid.Org) ([]byte, error) {
	return []byte("checkpoint\n"), nil
}

func (logFake) Keys(_ context.Context, org uid.Org) (audit.Keys, error) {
	return audit.NewKeys(org, nil), nil
}

func (l logFake) LogEntry(ctx context.Context, org uid.Org, id uid.Entry) (platform.LogEntry, error) {
	e, err := l.Store.LogEntry(ctx, org, id)
	return platform.LogEntry(e), err
}

func (l logFake) LogEntries(ctx context.Context, org uid.Org, from, to uint64, limit int) ([]platform.LogEntry, error) {
	list, err := l.Store.LogEntries(ctx, org, from, to, limit)
	return logged(list), err
}

func (l logFake) LogNewest(ctx context.Context, org uid.Org, before uint64, limit int) ([]platform.LogEntry, error) {
	list, err := l.Store.LogNewest(ctx, org, before, limit)
	return logged(list), err
}

func logged(list []store.Logged) []platform.LogEntry {
	out := make([]platform.LogEntry, len(list))
	for i, e := range list {
		out[i] = platform.LogEntry(e)
	}
	return out
}

// scanFake keeps scans in memory; orders and cancellations are entered in the real log, events go through the real
// outbox.
type scanFake struct {
	store *store.Store
	clock *testkit.Clock
	ids   *uid.Source

	mu      sync.Mutex
	all     map[uid.Scan]scan.Scan
	batches map[uid.Batch]scan.Batch
	results []scan.Result
	looked  engine.Looked
	raw     string
}

func (f *scanFake) Submit(ctx context.Context, a access.Actor, o scan.Order) (scan.Scan, error) {
	if err := a.MayEngine(o.Engine); err != nil {
		return scan.Scan{}, err
	}
	if o.Engine != "nmap" {
		return scan.Scan{}, fault.Wrong("scanType", "must be nmap")
	}
	s := scan.Scan{
		ID: uid.Scan(f.ids.New()), Org: a.Org, Engine: o.Engine, Target: o.Target, TargetType: asset.TypeIP, Priority: o.Priority,
		Status: scan.Queued, Timeout: o.Timeout, Tags: o.Tags, Name: o.Name, CreatedAt: f.clock.Now(), CreatedBy: a.Principal(),
	}
	ev := audit.Event{Type: event.ScanSubmitted, Resource: audit.Resource{Kind: "scan", ID: string(s.ID)}}
	if err := f.store.Record(ctx, a.Org, ev); err != nil {
		return scan.Scan{}, err
	}
	f.put(s)
	return s, nil
}

func (f *scanFake) put(s scan.Scan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[s.ID] = s
}

// emit tells of a scan as the scan service does: its row and an event in one unit.
func (f *scanFake) emit(ctx context.Context, s scan.Scan, typ event.Type) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[s.ID] = s
	return f.store.Scans().Change(ctx, s.Org, audit.Bookkeeping("a test's event"), func(ctx context.Context, tx scan.Tx) error {
		return tx.Emit(ctx, typ, string(s.ID), map[string]any{"status": s.Status, "progress": s.Progress})
	})
}

func (f *scanFake) Get(_ context.Context, org uid.Org, id uid.Scan) (scan.Scan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.all[id]
	if !ok || s.Org != org {
		return scan.Scan{}, fault.Missing("scan")
	}
	return s, nil
}

func (f *scanFake) List(_ context.Context, org uid.Org, q scan.Query) (scan.List, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var l scan.List
	for _, s := range f.all {
		if s.Org == org && (q.Engine == "" || q.Engine == s.Engine) && (q.Status == "" || q.Status == s.Status) {
			l.Items = append(l.Items, s)
		}
	}
	slices.SortFunc(l.Items, func(a, b scan.Scan) int { return strings.Compare(string(b.ID), string(a.ID)) })
	l.Total = page.Total{N: len(l.Items), Known: true}
	if len(l.Items) > q.Page.Limit {
		l.Items = l.Items[:q.Page.Limit]
		l.Next = page.Key{Sort: 1, ID: string(l.Items[len(l.Items)-1].ID)}
	}
	return l, nil
}

func (f *scanFake) Cancel(ctx context.Context, a access.Actor, id uid.Scan) (scan.Scan, error) {
	s, err := f.Get(ctx, a.Org, id)
	if err != nil {
		return s, err
	}
	if s.Status.Terminal() {
		return s, fault.New(fault.Conflict, fault.CodeNotCancellable, "the scan has ended already")
	}
	ev := audit.Event{Type: event.ScanCancelAsked, Resource: audit.Resource{Kind: "scan", ID: string(s.ID)}}
	if err := f.store.Record(ctx, a.Org, ev); err != nil {
		return s, err
	}
	s.Status = scan.Cancelled
	return s, f.emit(ctx, s, event.ScanCancelled)
}

func (f *scanFake) Engines(context.Context, access.Actor) ([]scan.EngineState, error) {
	return []scan.EngineState{{
		Manifest:     engine.Manifest{ID: "nmap", Title: "Nmap", Targets: []asset.TargetType{asset.TypeIP}},
		Availability: engine.Availability{Available: true, Version: "7.93"},
	}}, nil
}

func (f *scanFake) Results(_ context.Context, _ uid.Org, _ uid.Scan, q scan.ResultQuery) (scan.Results, error) {
	out := scan.Results{Total: page.Total{N: len(f.results), Known: q.Q == ""}}
	for _, r := range f.results {
		if q.Severity == "" || q.Severity == r.Severity {
			out.Items = append(out.Items, r)
		}
	}
	return out, nil
}

func (f *scanFake) EachResult(_ context.Context, _ uid.Org, _ uid.Scan, q scan.ResultQuery, each func(scan.Result) error) error {
	for _, r := range f.results {
		if q.Severity != "" && q.Severity != r.Severity {
			continue
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *scanFake) Artifacts(context.Context, uid.Org, uid.Scan) ([]scan.Artifact, error) {
	return []scan.Artifact{{Name: "nmap.xml", MediaType: "text/xml", Size: int64(len(f.raw)), SHA256: "ab"}}, nil
}

func (f *scanFake) ScanAssets(context.Context, uid.Org, uid.Scan) ([]asset.Observation, error) {
	return []asset.Observation{{Kind: asset.KindHost, Name: "127.0.0.1"}}, nil
}

func (f *scanFake) Raw(context.Context, uid.Org, uid.Scan) (scan.Artifact, io.ReadCloser, error) {
	if f.raw == "" {
		return scan.Artifact{}, nil, fault.New(fault.NotFound, fault.CodeRawNotAvailable, "none")
	}
	return scan.Artifact{Name: "nmap.xml"}, io.NopCloser(strings.NewReader(f.raw)), nil
}

// someScan puts a scan of an organization into the fake.
func (b *bundle) someScan(org uid.Org, status scan.Status) scan.Scan {
	s := scan.Scan{
		ID: uid.Scan(b.scans.ids.New()), Org: org, Engine: "nmap", Target: "127.0.0.1", TargetType: asset.TypeIP, Status: status,
		Priority: scan.Normal, Timeout: 60, CreatedAt: b.clock.Now(),
	}
	if status.Terminal() {
		s.Summary = finding.Summary{Total: 1, High: 1}
		s.Outcome = engine.Complete
	}
	b.scans.put(s)
	return s
}

// now brings the clock to the real time: deadlines of real connections are set by it.
func (b *bundle) now(t *testing.T) {
	t.Helper()
	b.clock.Advance(time.Until(b.clock.Now()) * -1)
}

func pageOf(n int) page.Request { return page.Request{Limit: n} }
