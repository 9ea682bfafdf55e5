package scan_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA uid.Org = "01890000-0000-7000-8000-00000000000a"
	orgB uid.Org = "01890000-0000-7000-8000-00000000000b"
)

// stub is an engine whose halves a test sets. Its raw output is one JSON object a line: {"rule","port","severity"} for
// a finding at the target, {"asset"} for a host.
type stub struct {
	id    string
	limit engine.Limits
	check func() engine.Availability
	run   func(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error)
	parse func(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error)
}

func (s *stub) Manifest() engine.Manifest {
	return engine.Manifest{
		ID: s.id, Title: strings.ToUpper(s.id), Targets: []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork, asset.TypeURL},
		Options: []engine.Option{
			{Name: "ports", Type: engine.TypePorts},
			{Name: "deep", Type: engine.TypeBool, Default: false},
			{Name: "exclude", Type: engine.TypeTargets, Max: 3},
			{Name: "level", Type: engine.TypeInt, Min: 1, Max: 5, Default: int64(2)},
		},
		Config: []engine.ConfigField{engine.ConfigHeaders, engine.ConfigAuthentication, engine.ConfigRateLimit}, Limits: s.limit,
	}
}

func (s *stub) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	return s.run(ctx, env, req)
}

func (s *stub) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	if s.parse != nil {
		return s.parse(raw, req, yield)
	}
	return parseLines(raw, req, yield)
}

func (s *stub) Check(context.Context, engine.Env) engine.Availability {
	if s.check == nil {
		return engine.Availability{Available: true, Version: "1.0"}
	}
	return s.check()
}

type outputLine struct {
	Rule     string           `json:"rule,omitempty"`
	Port     int              `json:"port,omitempty"`
	Severity finding.Severity `json:"severity,omitempty"`
	Asset    string           `json:"asset,omitempty"`
}

func parseLines(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	lines := bufio.NewScanner(raw)
	for lines.Scan() {
		var l outputLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return finding.Coverage{}, err
		}
		var item engine.Item
		if l.Asset != "" {
			item.Asset = &asset.Observation{Kind: asset.KindHost, Name: l.Asset}
		} else {
			item.Finding = &finding.Observation{
				Rule: l.Rule, Title: l.Rule, Severity: l.Severity, Location: finding.Location{Host: req.Target.String(), Port: l.Port},
			}
		}
		if err := yield(item); err != nil {
			return finding.Coverage{}, err
		}
	}
	return finding.Coverage{Places: []finding.Place{{
		Host: strings.ToUpper(req.Target.String()), Ports: []finding.PortRange{{Protocol: "tcp", From: 1, To: 65535}}, Rules: []string{"stub:*"},
	}}}, lines.Err()
}

// writes is an engine run that leaves these lines and is complete.
func writes(lines ...outputLine) func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
		return engine.Verdict{Outcome: engine.Complete, Version: "7.93"}, output(env, lines...)
	}
}

func output(env engine.Env, lines ...outputLine) error {
	out, err := env.Artifact("out.jsonl", "application/jsonl")
	if err != nil {
		return err
	}
	for _, l := range lines {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func port(n int, sev finding.Severity) outputLine {
	return outputLine{Rule: "stub:open-port", Port: n, Severity: sev}
}

// sealer "seals" by turning bytes around.
type sealer struct{}

func (sealer) Seal(org uid.Org, record string, plain []byte) ([]byte, error) {
	return append([]byte(string(org)+record+"|"), flip(plain)...), nil
}

func (sealer) Open(org uid.Org, record string, sealed []byte) ([]byte, error) {
	body, ok := strings.CutPrefix(string(sealed), string(org)+record+"|")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return flip([]byte(body)), nil
}

func flip(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// names is a resolver.
type names map[string][]netip.Addr

func (n names) Resolve(_ context.Context, t asset.Target) ([]netip.Addr, error) {
	if t.Addr().IsValid() {
		return []netip.Addr{t.Addr()}, nil
	}
	addrs, ok := n[t.Host()]
	if !ok {
		return nil, fault.Wrong("target", "has no address in the DNS")
	}
	return addrs, nil
}

// inventory knows one asset.
type inventory struct{ id uid.Asset }

func (i inventory) Asset(_ context.Context, org uid.Org, id uid.Asset) (asset.Asset, error) {
	if org != orgA || id != i.id {
		return asset.Asset{}, fault.Missing("asset")
	}
	return asset.Asset{ID: id}, nil
}

// plans counts one scan of 1,000 for the pro plan and one of 2 for the free one.
type plans struct{}

func (p plans) ScanQuota(ctx context.Context, tx usage.Tx, plan tenant.Plan) error {
	return p.ScansQuota(ctx, tx, plan, 1)
}

func (plans) ScansQuota(ctx context.Context, tx usage.Tx, plan tenant.Plan, n int) error {
	limit := int64(1000)
	if plan == tenant.Free {
		limit = 2
	}
	return tx.Consume(ctx, usage.MetricScans, "2026-11", int64(n), limit)
}

const knownAsset uid.Asset = "01890000-0000-7000-8000-0000000000aa"

// rig is everything around one database in memory.
type rig struct {
	store   *memory
	blobs   *blobs
	runner  *runner
	names   names
	engine  *stub
	gate    scan.Gate
	service *scan.Service

	mu      sync.Mutex
	changed int // calls of Changed
	reached []scan.Reach
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{
		store: newMemory(), blobs: &blobs{kept: map[string][]byte{}}, runner: &runner{},
		names:  names{"example.org": {netip.MustParseAddr("192.0.2.9")}, "rebound.example.org": {netip.MustParseAddr("169.254.169.254")}, "elsewhere.test": {netip.MustParseAddr("198.51.100.1")}},
		engine: &stub{id: "stub", limit: engine.Limits{MaxOutput: 1 << 20, MaxFindings: 10_000, CancelGrace: 3 * time.Second}, run: writes()},
	}
	r.gate = scan.Gate{
		Resolver: r.names, Folders: []string{"/srv/code"},
		Listeners: func() ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8443")}, nil
		},
	}
	r.renew()
	return r
}

// renew makes the service of what is in the rig.
func (r *rig) renew() {
	engines := []engine.Engine{r.engine, &stub{id: "gone", check: func() engine.Availability {
		return engine.Availability{Reason: "gone is not installed; apt-get install gone"}
	}}}
	r.service = scan.New(scan.Deps{
		Store: r.store, Assets: inventory{knownAsset}, Engines: engines, Availability: availabilityOf(engines...),
		Gate: r.gate, Quota: plans{}, Sealer: sealer{}, Blobs: r.blobs, Now: time.Now, IDs: uid.NewSource(time.Now, rand.Reader),
		Changed: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changed++
		},
	})
}

func availabilityOf(engines ...engine.Engine) *engine.Roster {
	return engine.NewRoster(engine.RosterDeps{
		Engines: engines, Env: func() (engine.Env, func(), error) { return engine.Env{}, func() {}, nil }, Log: slog.New(slog.DiscardHandler),
	})
}

func (r *rig) executor(store scan.Store) *scan.Executor {
	return scan.NewExecutor(scan.ExecutorDeps{
		Store: store, Engines: []engine.Engine{r.engine}, Gate: r.gate, Blobs: r.blobs, Sealer: sealer{}, Hub: r.store,
		Equip: func(_ context.Context, o scan.Outfit) (engine.Env, func() error, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reached = append(r.reached, o.Reach)
			return r.runner.equip()
		},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

func (r *rig) dispatcher() *dispatch.Dispatcher {
	return dispatch.New(dispatch.Deps{Line: r.store, Store: r.store, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

func actor() access.Actor {
	return access.Actor{Org: orgA, Kind: audit.ActorKey, ID: "key-1", Plan: string(tenant.Pro)}
}

func order() scan.Order { return scan.Order{Engine: "stub", Target: "192.0.2.7"} }

// submit puts a scan into the line.
func (r *rig) submit(t *testing.T, o scan.Order) scan.Scan {
	t.Helper()
	s, err := r.service.Submit(t.Context(), actor(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// admit lets all that wait start and returns their jobs.
func (r *rig) admit(t *testing.T) []job.Scan {
	t.Helper()
	now := time.Now()
	n, err := r.store.Admit(t.Context(), now, now.Add(scan.Lease), dispatch.Admission{Now: now}.Pick)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []job.Scan
	for range n {
		jobs = append(jobs, <-r.store.jobs)
	}
	return jobs
}

// ran submits an order, runs it to its end and returns how it ended.
func (r *rig) ran(t *testing.T, o scan.Order) row {
	t.Helper()
	s := r.submit(t, o)
	for _, j := range r.admit(t) {
		if err := r.executor(r.store).Run(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	return r.store.row(s.ID)
}

func (r *rig) results(t *testing.T, id uid.Scan) []scan.Result {
	t.Helper()
	res, err := r.service.Results(t.Context(), orgA, id, scan.ResultQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Items
}

// clean checks that nothing of a run is left open.
func (r *rig) clean(t *testing.T) {
	t.Helper()
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	if r.blobs.open != 0 || r.runner.open != 0 {
		t.Errorf("%d blobs and %d scratch folders are left open", r.blobs.open, r.runner.open)
	}
}
