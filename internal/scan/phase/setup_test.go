package phase_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// answer is what a stub engine finds and how it ends.
type answer struct {
	items   []engine.Item
	outcome engine.Outcome
	looked  engine.Looked
	err     error
}

// stub is an engine that answers as the house says.
type stub struct {
	id    string
	types []asset.TargetType
	gone  bool
	house *house
}

// Manifest implements engine.Engine.
func (s stub) Manifest() engine.Manifest {
	return engine.Manifest{
		ID: s.id, Title: s.id, Targets: s.types,
		Options: []engine.Option{
			{Name: "depth", Type: engine.TypeEnum, Enum: []string{"quick", "standard", "deep"}, Default: "standard"},
			{Name: "versionIntensity", Type: engine.TypeInt, Max: 9},
			{Name: "protocols", Type: engine.TypeEnumSet, Enum: []string{"http", "ssl", "tcp"}, Max: 3},
			{Name: "plan", Type: engine.TypeEnum, Enum: []string{"baseline", "full"}},
			{Name: "ports", Type: engine.TypePorts, Max: engine.MaxPortRanges},
			{Name: "engines", Type: engine.TypeEnumSet, Enum: all(), Min: 1, Max: 10},
			{Name: "phases", Type: engine.TypeEnumSet, Enum: engine.Phases(), Min: 1, Max: 3},
		},
		Config: []engine.ConfigField{engine.ConfigHeaders, engine.ConfigRateLimit}, Limits: engine.Limits{MaxOutput: 64 << 20, MaxFindings: 100_000},
	}
}

func all() []string {
	return []string{"sentinel", "nmap", "nikto", "wapiti", "sqlmap", "nuclei", "zap", "trivy", "harvester", "sublist3r"}
}

// Check implements engine.Checker.
func (s stub) Check(context.Context, engine.Env) engine.Availability {
	if s.gone {
		return engine.Availability{Reason: s.id + " is not installed"}
	}
	return engine.Availability{Available: true, Version: "1"}
}

// line is one item of a stub's raw output.
type line struct {
	Finding *finding.Observation `json:"finding,omitempty"`
	Asset   *asset.Observation   `json:"asset,omitempty"`
}

// Run implements engine.Engine.
func (s stub) Run(_ context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	a := s.house.answer(s.id, req)
	out, err := env.Artifact("out.jsonl", "application/jsonl")
	if err != nil {
		return engine.Verdict{}, err
	}
	enc := json.NewEncoder(out)
	for _, item := range a.items {
		if err := enc.Encode(line{item.Finding, item.Asset}); err != nil { //nolint:musttag // read back by the same type
			return engine.Verdict{}, err
		}
	}
	if a.outcome == "" && a.err == nil {
		a.outcome = engine.Complete
	}
	return engine.Verdict{Outcome: a.outcome, Version: "1", Looked: a.looked}, a.err
}

// Parse implements engine.Engine.
func (stub) Parse(raw io.Reader, _ engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	lines := bufio.NewScanner(raw)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil { //nolint:musttag // written by the same type
			return finding.Coverage{}, err
		}
		if err := yield(engine.Item{Finding: l.Finding, Asset: l.Asset}); err != nil {
			return finding.Coverage{}, err
		}
	}
	return finding.Coverage{}, lines.Err()
}

// conductor is a stub that has the others work for it.
type conductor struct{ stub }

// Conducts implements engine.Conductor.
func (conductor) Conducts(o engine.Options) (engine.Score, bool, error) {
	if o.Text("depth") == "quick" {
		return engine.Score{}, false, nil
	}
	s := engine.Score{Engines: o.Set("engines"), Phases: o.Set("phases")}
	if len(s.Phases) == 0 {
		s.Phases = engine.Phases()
	}
	return s, true, nil
}

// house is scanning with stub engines over a real database.
type house struct {
	tb      testing.TB
	db      *store.Store
	clock   *testkit.Clock
	org     uid.Org
	orders  *scan.Service
	runs    *scan.Executor
	phases  *phase.Service
	keeper  *blobs
	roster  *engine.Roster
	answers func(id string, req engine.Request) answer

	mu      sync.Mutex
	jobs    []job.Scan
	fail    func() error // asked before each commit of the phases' own; an error loses the unit
	after   func() error // asked after it; an error loses the answer
	changed int
}

func newHouse(tb testing.TB, db *store.Store, clock *testkit.Clock, gone ...string) *house {
	tb.Helper()
	h := &house{tb: tb, db: db, clock: clock, org: testkit.Org(tb, db, "Ours"), keeper: &blobs{kept: map[string][]byte{}}}
	h.scope(asset.Rule{Value: "192.0.2.0/24"}, asset.Rule{Value: "198.51.100.0/24"}, asset.Rule{Value: "example.org"}, asset.Rule{Value: "elsewhere.test"})
	db.SetJobs(store.Jobs{
		Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.jobs = append(h.jobs, j)
			return nil
		},
		Committed: func() {},
	})
	h.build(gone...)
	return h
}

// build makes the services anew, as after a restart.
func (h *house) build(gone ...string) {
	host := []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork, asset.TypeURL, asset.TypeDomain}
	types := map[string][]asset.TargetType{
		"sentinel": host, "nmap": {asset.TypeHost, asset.TypeIP, asset.TypeNetwork}, "trivy": {asset.TypeImage},
		"harvester": {asset.TypeDomain}, "sublist3r": {asset.TypeDomain},
	}
	var engines []engine.Engine
	for _, id := range all() {
		s := stub{id: id, types: types[id], house: h}
		if s.types == nil {
			s.types = []asset.TargetType{asset.TypeURL}
		}
		for _, g := range gone {
			s.gone = s.gone || g == id
		}
		if id == "sentinel" {
			engines = append(engines, conductor{s})
			continue
		}
		engines = append(engines, s)
	}
	quiet := slog.New(slog.DiscardHandler)
	gate := scan.Gate{Resolver: names{
		"example.org": {netip.MustParseAddr("192.0.2.80")}, "shop.example.org": {netip.MustParseAddr("192.0.2.81")},
		"elsewhere.test": {netip.MustParseAddr("198.51.100.1")}, "rebound.example.org": {netip.MustParseAddr("169.254.169.254")},
	}, Listeners: func() ([]netip.AddrPort, error) { return nil, nil }}
	h.roster = engine.NewRoster(engine.RosterDeps{Engines: engines, Env: func() (engine.Env, func(), error) { return engine.Env{}, func() {}, nil }, Log: quiet})
	h.orders = scan.New(scan.Deps{
		Store: h.db.Scans(), Assets: h.db.Assets(), Engines: engines, Availability: h.roster, Gate: gate, Quota: usage.New(usage.Deps{Now: h.clock.Now}),
		Sealer: sealer{}, Blobs: h.keeper, Now: h.clock.Now, IDs: h.clock.IDs(),
	})
	h.runs = scan.NewExecutor(scan.ExecutorDeps{
		Store: h.db.Scans(), Engines: engines, Gate: gate, Blobs: h.keeper, Sealer: sealer{}, Hub: h.db.Hub(), Now: h.clock.Now, Log: quiet,
		Equip: func(context.Context, scan.Outfit) (engine.Env, func() error, error) {
			return engine.Env{}, func() error { return nil }, nil
		},
	})
	h.phases = phase.New(phase.Deps{Store: failing{h.db.Phases(), h}, Orders: h.orders, Now: h.clock.Now, Log: quiet, Changed: func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changed++
	}})
}

func (h *house) scope(allow ...asset.Rule) {
	h.tb.Helper()
	scope, err := asset.ParseScope(allow, nil)
	if err != nil {
		h.tb.Fatal(err)
	}
	err = h.db.Assets().Change(h.tb.Context(), h.org, audit.Event{Type: event.ScopeUpdated}, func(ctx context.Context, tx asset.Tx) error {
		return tx.PutScanScope(ctx, scope)
	})
	if err != nil {
		h.tb.Fatal(err)
	}
}

func (h *house) answer(id string, req engine.Request) answer {
	if h.answers == nil {
		return answer{}
	}
	return h.answers(id, req)
}

// failing loses units of the phases, before they commit or just after.
type failing struct {
	phase.Store

	h *house
}

// Change implements phase.Store.
func (f failing) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, phase.Tx) error) error {
	if f.h.fail != nil {
		if err := f.h.fail(); err != nil {
			return err
		}
	}
	err := f.Store.Change(ctx, org, ev, unit)
	if err == nil && f.h.after != nil {
		err = f.h.after()
	}
	return err
}

func (h *house) actor() access.Actor {
	return access.Actor{Org: h.org, Kind: audit.ActorKey, ID: "key-1", Plan: string(tenant.Enterprise)}
}

// order is a Sentinel order of a target.
func order(target string, options ...string) scan.Order {
	o := scan.Order{Engine: "sentinel", Target: target, Options: map[string]json.RawMessage{}}
	for i := 0; i+1 < len(options); i += 2 {
		o.Options[options[i]] = json.RawMessage(options[i+1])
	}
	return o
}

func (h *house) submit(o scan.Order) scan.Scan {
	h.tb.Helper()
	s, err := h.orders.Submit(h.tb.Context(), h.actor(), o)
	if err != nil {
		h.tb.Fatal(err)
	}
	return s
}

func (h *house) get(id uid.Scan) scan.Scan {
	h.tb.Helper()
	s, err := h.orders.Get(h.tb.Context(), h.org, id)
	if err != nil {
		h.tb.Fatal(err)
	}
	return s
}

func (h *house) children(id uid.Scan) []scan.Scan {
	h.tb.Helper()
	list, err := h.orders.Children(h.tb.Context(), h.org, id)
	if err != nil {
		h.tb.Fatal(err)
	}
	return list
}

// admit lets what waits start, within the limits, and returns the jobs.
func (h *house) admit() []job.Scan {
	h.tb.Helper()
	now := h.clock.Now()
	if _, err := h.db.Line().Admit(h.tb.Context(), now, now.Add(scan.Lease), dispatch.Admission{Now: now, Most: 64}.Pick); err != nil {
		h.tb.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := h.jobs
	h.jobs = nil
	return jobs
}

func (h *house) run(j job.Scan) {
	h.tb.Helper()
	h.clock.Advance(time.Second)
	if err := h.runs.Run(h.tb.Context(), j); err != nil {
		h.tb.Fatal(err)
	}
}

// start lets a job begin and leaves it there.
func (h *house) start(j job.Scan) {
	h.tb.Helper()
	err := h.db.Scans().Change(h.tb.Context(), j.Org, audit.Event{Type: event.ScanStartedBy}, func(ctx context.Context, tx scan.Tx) error {
		return tx.StartScan(ctx, j.Scan, j.Fence, h.clock.Now())
	})
	if err != nil {
		h.tb.Fatal(err)
	}
}

// look brings parents on as long as there is something to do at once.
func (h *house) look() {
	for range 20 {
		if h.phases.Look(h.tb.Context()) == 0 {
			return
		}
	}
}

// finish brings everything to its end and returns the scan.
func (h *house) finish(id uid.Scan) scan.Scan {
	h.tb.Helper()
	for range 400 {
		h.look()
		for _, j := range h.admit() {
			h.run(j)
		}
		h.look()
		if s := h.get(id); s.Status.Terminal() && s.Outcome != "" {
			return s
		}
		h.clock.Advance(2 * time.Second)
	}
	h.tb.Fatalf("the scan doesn't end: %+v", h.get(id))
	return scan.Scan{}
}

func (h *house) results(id uid.Scan) []scan.Result {
	h.tb.Helper()
	r, err := h.orders.Results(h.tb.Context(), h.org, id, scan.ResultQuery{})
	if err != nil {
		h.tb.Fatal(err)
	}
	return r.Items
}

func (h *house) looked(id uid.Scan) engine.Looked {
	h.tb.Helper()
	l, err := h.orders.Looked(h.tb.Context(), h.org, id)
	if err != nil {
		h.tb.Fatal(err)
	}
	return l
}

// told lists children as "phase engine target".
func told(list []scan.Scan) []string {
	out := []string{}
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s %s %s", c.Stage, c.Engine, c.Target))
	}
	return out
}

// Things that stub engines find.

func web(host string, port int) engine.Item {
	return engine.Item{Asset: &asset.Observation{
		Kind: asset.KindService, Name: fmt.Sprintf("%s:%d/tcp", host, port), Attributes: json.RawMessage(`{"service":"http"}`),
	}}
}

func flaw(rule string, cwe int, sev finding.Severity, at finding.Location) engine.Item {
	return engine.Item{Finding: &finding.Observation{
		Rule: rule, Title: rule, Severity: sev, Confidence: finding.Firm, Category: finding.CategoryVulnerability, CWE: []int{cwe}, Location: at,
	}}
}

type names map[string][]netip.Addr

// Resolve implements scan.Resolver.
func (n names) Resolve(_ context.Context, t asset.Target) ([]netip.Addr, error) {
	if t.Addr().IsValid() {
		return []netip.Addr{t.Addr()}, nil
	}
	if addrs, ok := n[t.Host()]; ok {
		return addrs, nil
	}
	return nil, fault.Wrong("target", "has no address in the DNS")
}

type sealer struct{}

// Seal implements scan.Sealer.
func (sealer) Seal(_ uid.Org, record string, plain []byte) ([]byte, error) {
	return append([]byte(record+"|"), plain...), nil
}

// Open implements scan.Sealer.
func (sealer) Open(_ uid.Org, record string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(record+"|"))
	if !ok {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "sealed for another record")
	}
	return plain, nil
}

// blobs keeps raw output in memory.
type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
}

// Create implements scan.Blobs.
func (b *blobs) Create(_ uid.Org, id string) (scan.Blob, error) { return &blob{all: b, id: id}, nil }

// Open implements scan.Blobs.
func (b *blobs) Open(_ context.Context, _ uid.Org, digest string) (io.ReadSeekCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return closing{bytes.NewReader(b.kept[digest])}, nil
}

type closing struct{ *bytes.Reader }

// Close implements io.Closer.
func (closing) Close() error { return nil }

type blob struct {
	bytes.Buffer

	all *blobs
	id  string
}

// Size implements scan.Blob.
func (b *blob) Size() int64 { return int64(b.Len()) }

// Commit implements scan.Blob.
func (b *blob) Commit() (string, error) {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	b.all.kept[b.id] = bytes.Clone(b.Bytes())
	return b.id, nil
}

// Abort implements scan.Blob.
func (b *blob) Abort() error { return nil }
