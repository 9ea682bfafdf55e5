package api_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/scanapi"
	"assay.dev/assay/internal/web/api/vaultapi"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// What the scan API's documents promise, line by line, against the real services over a real database; only engines are
// made up, because running them is not what is promised here.

const apiKeys = "/scan-api/api/v1/api-keys"

// contract is the scan API in front of the real scan service.
type contract struct {
	*bundle
	jobs []job.Scan
}

// documented is an engine that is never run.
type documented struct{ id string }

func (d documented) Manifest() engine.Manifest {
	return engine.Manifest{
		ID: d.id, Title: strings.ToUpper(d.id[:1]) + d.id[1:], Targets: []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork},
		Options: []engine.Option{
			{Name: "ports", Type: engine.TypePorts},
			{Name: "serviceDetection", Type: engine.TypeBool, Default: false},
			{Name: "timing", Type: engine.TypeEnum, Enum: []string{"T0", "T1", "T2", "T3", "T4"}, Default: "T3"},
		},
		Config: []engine.ConfigField{engine.ConfigHeaders, engine.ConfigRateLimit},
	}
}

func (documented) Run(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return engine.Verdict{}, nil
}

func (documented) Parse(io.Reader, engine.Request, func(engine.Item) error) (finding.Coverage, error) {
	return finding.Coverage{}, nil
}

// absent is an engine whose program isn't there.
type absent struct{ documented }

func (absent) Check(context.Context, engine.Env) engine.Availability {
	return engine.Availability{Reason: "its program is missing"}
}

type plainNames struct{}

func (plainNames) Resolve(_ context.Context, t asset.Target) ([]netip.Addr, error) {
	if t.Addr().IsValid() {
		return []netip.Addr{t.Addr()}, nil
	}
	if t.Host() == "example.org" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
	}
	return nil, fault.Wrong("target", "has no address in the DNS")
}

func newContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{bundle: setup(t)}
	c.clock.Advance(time.Minute - 2*time.Second) // 10:00:58 is not where windows begin
	log := slog.New(slog.DiscardHandler)
	engines := []engine.Engine{documented{"nmap"}, documented{"sentinel"}, absent{documented{"zap"}}}
	c.access = access.New(access.Deps{
		Store: c.store.Access(), Organizations: c.store.Tenants(), Now: c.clock.Now, IDs: c.clock.IDs(), Rand: strings.NewReader(strings.Repeat("0123456789abcdef", 1<<12)),
		Log: log, Engines: []string{"nmap", "sentinel", "zap"}, Ceiling: 1,
	})
	charges := usage.New(usage.Deps{Counter: usage.NewMemory(), Now: c.clock.Now})
	service := scan.New(scan.Deps{
		Store: c.store.Scans(), Assets: c.store.Assets(), Engines: engines, Quota: charges, Sealer: plainSealer{}, Now: c.clock.Now, IDs: c.clock.IDs(),
		Availability: engine.NewRoster(engine.RosterDeps{
			Engines: engines, Env: func() (engine.Env, func(), error) { return engine.Env{}, func() {}, nil }, Log: log,
		}),
		Gate: scan.Gate{Resolver: plainNames{}, Listeners: func() ([]netip.AddrPort, error) { return nil, nil }},
	})
	c.store.SetJobs(store.Jobs{Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
		c.jobs = append(c.jobs, j)
		return nil
	}})
	for _, org := range []uid.Org{c.ours, c.theirs} {
		err := c.store.Assets().Change(t.Context(), org, audit.Event{Type: event.ScopeUpdated}, func(ctx context.Context, tx asset.Tx) error {
			return tx.PutScanScope(ctx, testkit.OpenScope())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	c.api, err = api.New(api.Deps{Replays: c.store}, slices.Concat(scanapi.Routes(scanapi.Deps{
		Scans: service, Results: service, Comparisons: comparison.New(c.store.Comparisons()), Events: events{c.store}, Keys: c.access,
		Now: c.clock.Now, Stopping: c.stopping,
	}), vaultapi.Routes(vaultapi.Deps{Accounts: c.access, Version: "test"})))
	if err != nil {
		t.Fatal(err)
	}
	c.chain, err = mw.New(mw.Deps{
		Router: c.api, Auth: c.access, Windows: charges, Audit: c.store, Log: log, IDs: c.clock.IDs(), Now: c.clock.Now,
		Config: mw.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Origins: []string{"https://ui.example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain makes a key as POST /api-keys does without any wish but scopes, and returns its id and secret.
func (c *contract) plain(scopes ...string) (id, secret string) {
	c.t.Helper()
	k, err := c.access.CreateKey(c.t.Context(), access.Operator(c.ours), access.NewKey{Name: "plain", Scopes: scopes})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(k.Key.ID), k.Secret.Reveal()
}

// submit orders a scan and returns its id.
func (c *contract) submit(body string) string {
	c.t.Helper()
	return c.call("POST", scans, body, key(c.key)).want(201).text("data.id")
}

func (c *contract) unit(f func(context.Context, scan.Tx) error) {
	c.t.Helper()
	if err := c.store.Scans().Change(c.t.Context(), c.ours, audit.Event{Type: event.ScanStartedBy}, f); err != nil {
		c.t.Fatal(err)
	}
}

// start lets all that waits start, and returns the fence of the scan.
func (c *contract) start(id string) int64 {
	c.t.Helper()
	now := c.clock.Now()
	_, err := c.store.Line().Admit(c.t.Context(), now, now.Add(time.Minute),
		func(w []scan.Waiting, _ []scan.Slot, _ map[uid.Org]tenant.Concurrency) []scan.Waiting { return w })
	if err != nil {
		c.t.Fatal(err)
	}
	for _, j := range c.jobs {
		if string(j.Scan) == id {
			c.clock.Advance(time.Second)
			c.unit(func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, j.Scan, j.Fence, c.clock.Now()) })
			return j.Fence
		}
	}
	c.t.Fatal("the scan wasn't let start")
	return 0
}

func (c *contract) finish(id string, fence int64, f scan.Finish) {
	c.t.Helper()
	s, err := c.store.Scans().Scan(c.t.Context(), c.ours, uid.Scan(id))
	if err != nil {
		c.t.Fatal(err)
	}
	c.unit(func(ctx context.Context, tx scan.Tx) error {
		_, err := tx.RecordFindings(ctx, s, []scan.Seen{{
			Observation: finding.Observation{Rule: "nmap:open-port", Title: "Port 80 is open", Severity: finding.Low, Category: finding.CategoryExposure, Location: finding.Location{Host: "192.0.2.1", Port: 80}},
			Fingerprint: "w1:80", Occurrence: "o1:80",
		}}, c.clock.Now())
		if err != nil {
			return err
		}
		f.At = c.clock.Advance(time.Second)
		return tx.FinishScan(ctx, uid.Scan(id), fence, f)
	})
}

// names are the field names of an object, sorted.
func names(v any) []string {
	m, _ := v.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

// refusal checks an error to the letter: status, code, text and form.
func (a answer) refusal(status int, code, text string) {
	a.t.Helper()
	if a.Code != status || a.text("code") != code || a.text("error") != text || a.at("success") != false {
		a.t.Errorf("%d %s, want %d %s %q", a.Code, a.Body, status, code, text)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(a.Body.Bytes(), &doc); err != nil {
		a.t.Error(err)
	}
	for name := range doc {
		if !slices.Contains([]string{"success", "error", "code", "errors"}, name) {
			a.t.Errorf("the error's document holds %q", name)
		}
	}
	for _, h := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id"} {
		if a.sent(h) == "" {
			a.t.Errorf("%d %s without %s", a.Code, code, h)
		}
	}
}

func TestContractEveryEndpointAtAGlanceExists(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, e := range table() {
		there[e.Pattern()] = true
	}
	const base = "/scan-api/api/v1"
	for _, p := range []string{
		"POST /scans", "GET /scans/{id}", "GET /scans/{id}/results", "POST /scans/{id}/cancel", "GET /scans",
		"POST /api-keys", "POST /api-keys/{id}/rotate", "DELETE /api-keys/{id}", "GET /engines",
		"POST /webhooks", "POST /webhooks/{id}/test", "GET /webhooks/{id}/deliveries",
		"POST /scan-templates", "POST /scan-templates/{id}/launch", "GET /scan-templates",
		"GET /usage/summary", "GET /usage/history", "GET /usage/by-scan-type",
	} {
		method, path, _ := strings.Cut(p, " ")
		if !there[method+" "+base+path] {
			t.Errorf("%s is missing", p)
		}
	}
}

func TestContractRefusalsOfCredentials(t *testing.T) { //nolint:tparallel // the cases go on where the one before left the server
	t.Parallel()
	c := newContract(t)
	get := func(opts ...func(*http.Request)) answer { return c.call("GET", scans, "", opts...) }
	get().refusal(401, "MISSING_API_KEY", "API key is required")
	_, good := c.plain("scans:list")
	for name, k := range map[string]string{
		"no key at all": "hunter2", "another's format": "cix_sk_your_api_key_here", "a typo": good[:48] + "!", "a wrong sum": good[:48] + flipped(good[48]),
		"unknown": unknownKey(t), "another prefix": "asy_test_" + good[9:],
	} {
		t.Run(name, func(t *testing.T) { get(key(k)).refusal(401, "INVALID_API_KEY", "Invalid API key") })
	}
	get(key(good)).want(200)
	get(with("Authorization", "Bearer "+good)).want(200)
	get(key(good), with("Authorization", "Bearer "+good)).want(200)
	get(key(good), with("Authorization", "Bearer "+c.key)).refusal(400, "AMBIGUOUS_CREDENTIALS", "X-API-Key and Authorization carry different credentials; send one of them")
	c.call("GET", scans+"?api_key="+good, "").refusal(401, "MISSING_API_KEY", "API key is required")

	id, ending := c.plain("scans:list")
	c.call("PATCH", apiKeys+"/"+id, `{"expiresInDays":1}`, key(c.key)).want(200)
	c.clock.Advance(24*time.Hour - time.Second)
	get(key(ending)).want(200)
	c.clock.Advance(time.Second)
	get(key(ending)).refusal(401, "KEY_EXPIRED", "API key has expired")

	admin := c.signIn(access.RoleAdmin)
	c.call("POST", apiKeys+"/"+id+"/suspend", "", admin).want(200)
	get(key(ending)).refusal(401, "KEY_SUSPENDED", "API key has been suspended")
	c.call("DELETE", apiKeys+"/"+id, "", admin).want(200)
	get(key(ending)).refusal(401, "KEY_REVOKED", "API key has been revoked")

	id, bound := c.plain("scans:list")
	c.call("PATCH", apiKeys+"/"+id, `{"allowedIpAddresses":["203.0.113.7","198.51.100.0/24"]}`, key(c.key)).want(200)
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr + ":4711" } }
	get(key(bound), from("203.0.113.8")).refusal(403, "IP_NOT_ALLOWED", "this API key may not be used from this address")
	get(key(bound), from("203.0.113.8"), with("X-Forwarded-For", "203.0.113.7")).refusal(403, "IP_NOT_ALLOWED", "this API key may not be used from this address")
	for _, ok := range []string{"203.0.113.7", "198.51.100.200", "::ffff:203.0.113.7"} {
		r := from(ok)
		if strings.Contains(ok, ":") {
			r = func(r *http.Request) { r.RemoteAddr = "[" + ok + "]:4711" }
		}
		get(key(bound), r).want(200)
	}
	get(key(bound), from("10.0.0.1"), with("X-Forwarded-For", "203.0.113.7")).want(200) // by a trusted proxy
	get(key(bound), from("10.0.0.1"), with("X-Forwarded-For", "203.0.113.7, 192.0.2.1")).want(403)

	get(key(second2(c.plain("scans:read")))).refusal(403, "INSUFFICIENT_SCOPE", "Insufficient scope: requires scans:list")
	id, narrow := c.plain("scans:*")
	c.call("PATCH", apiKeys+"/"+id, `{"allowedScanTypes":["nmap"]}`, key(c.key)).want(200)
	c.call("POST", scans, `{"target":"192.0.2.1","scanType":"sentinel"}`, key(narrow)).refusal(403, "SCAN_TYPE_NOT_ALLOWED", "Scan type sentinel not allowed for this API key")
	c.call("POST", scans, `{"target":"192.0.2.1","scanType":"nmap"}`, key(narrow)).want(201)
}

func flipped(b byte) string {
	if b == 'a' {
		return "b"
	}
	return "a"
}

func second2(_, b string) string { return b }

// unknownKey is a key of the right form that nobody has.
func unknownKey(t *testing.T) string {
	t.Helper()
	b := setup(t)
	return b.key
}

func TestContractRateLimits(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	_, k := c.plain("scans:list")
	w := c.call("GET", scans, "", key(k)).want(200)
	at := c.clock.Now()
	reset := fmt.Sprint(at.Truncate(time.Minute).Add(time.Minute).Unix())
	if w.sent("X-RateLimit-Limit") != "60" || w.sent("X-RateLimit-Remaining") != "59" || w.sent("X-RateLimit-Reset") != reset {
		t.Errorf("%v", w.Header())
	}
	for i := range 59 {
		if w := c.call("GET", scans, "", key(k)).want(200); w.sent("X-RateLimit-Remaining") != fmt.Sprint(58-i) {
			t.Fatalf("call %d: %s left", i, w.sent("X-RateLimit-Remaining"))
		}
	}
	over := c.call("GET", scans, "", key(k))
	over.refusal(429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded: 60 calls per minute")
	if over.sent("X-RateLimit-Remaining") != "0" || over.sent("Retry-After") != "2" {
		t.Errorf("%v", over.Header())
	}
	c.clock.Advance(2 * time.Second)
	c.call("GET", scans, "", key(k)).want(200)
	// Ranges of the windows, which a key may be given.
	for field, top := range map[string]int{"rateLimitPerMinute": 1_000, "rateLimitPerHour": 50_000, "rateLimitPerDay": 500_000} {
		for n, want := range map[int]int{1: 201, top: 201, 0: 400, -1: 400, top + 1: 400} {
			w := c.call("POST", apiKeys, fmt.Sprintf(`{"name":"n","scopes":["usage:read"],%q:%d}`, field, n), key(c.key)).want(want)
			if want == 201 && w.at("data."+field) != float64(n) {
				t.Errorf("%s", w.Body)
			}
			if errs, _ := w.at("errors").([]any); want == 400 && (len(errs) != 1 || !strings.HasSuffix(errs[0].(map[string]any)["location"].(string), field)) {
				t.Errorf("%s", w.Body)
			}
		}
	}
}

func TestContractSubmission(t *testing.T) { //nolint:tparallel // the cases go on where the one before left the server
	t.Parallel()
	c := newContract(t)
	about := c.assetOf("192.0.2.1")
	full := `{"target":"192.0.2.1","scanType":"nmap","name":"nightly","targetType":"ip","priority":"high","options":{"ports":"1-1024","timing":"T3","serviceDetection":true},
		"config":{"rateLimit":10,"headers":{"X-Probe":"hunter2"}},"tags":["dmz","ci"],"timeout":600,"assetId":"` + about + `"}`
	w := c.call("POST", scans, full, key(c.key)).want(201)
	want := []string{
		"assetId", "attempt", "config", "createdAt", "createdBy", "id", "name", "options", "priority", "progress", "scanType", "status", "tags", "target",
		"targetType", "timeout",
	}
	if diff := cmp.Diff(want, names(w.at("data"))); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	for path, want := range map[string]any{
		"success": true, "data.scanType": "nmap", "data.name": "nightly", "data.target": "192.0.2.1", "data.status": "queued", "data.priority": "high", "data.progress": 0.0,
		"data.targetType": "ip", "data.timeout": 600.0, "data.assetId": about, "data.options.ports": "1-1024", "data.createdAt": "2026-03-06T10:00:58Z",
	} {
		if got := w.at(path); got != want {
			t.Errorf("%s is %v", path, got)
		}
	}
	if strings.Contains(w.Body.String(), "hunter2") || !uid.Valid(w.text("data.id")) || w.Header().Get("Location") != scans+"/"+w.text("data.id") {
		t.Error(w.Body, w.Header())
	}
	bare := c.call("POST", scans, `{"target":"192.0.2.1","scanType":"nmap"}`, key(c.key)).want(201)
	for path, want := range map[string]any{"data.priority": "normal", "data.timeout": 3600.0, "data.targetType": "ip", "data.name": "", "data.progress": 0.0} {
		if got := bare.at(path); got != want {
			t.Errorf("%s defaults to %v", path, got)
		}
	}
	for _, b := range []struct{ name, body, code, location string }{
		{"malformed", `{"target":`, "VALIDATION_ERROR", "body.target"},
		{"no target", `{"scanType":"nmap"}`, "VALIDATION_ERROR", "body"},
		{"no type", `{"target":"192.0.2.1"}`, "VALIDATION_ERROR", "body"},
		{"unknown type", `{"target":"192.0.2.1","scanType":"nope"}`, "VALIDATION_ERROR", "scanType"},
		{"target type", `{"target":"192.0.2.1","scanType":"nmap","targetType":"planet"}`, "VALIDATION_ERROR", "body.targetType"},
		{"wrong target type", `{"target":"https://example.org/","scanType":"nmap","targetType":"url"}`, "TARGET_TYPE_NOT_SUPPORTED", ""},
		{"priority", `{"target":"192.0.2.1","scanType":"nmap","priority":"urgent"}`, "VALIDATION_ERROR", "body.priority"},
		{"timeout below", `{"target":"192.0.2.1","scanType":"nmap","timeout":9}`, "VALIDATION_ERROR", "body.timeout"},
		{"timeout above", `{"target":"192.0.2.1","scanType":"nmap","timeout":86401}`, "VALIDATION_ERROR", "body.timeout"},
		{"unknown option", `{"target":"192.0.2.1","scanType":"nmap","options":{"nope":1}}`, "VALIDATION_ERROR", "options.nope"},
		{"option's value", `{"target":"192.0.2.1","scanType":"nmap","options":{"timing":"T9"}}`, "VALIDATION_ERROR", "options.timing"},
		{"unknown config", `{"target":"192.0.2.1","scanType":"nmap","config":{"proxy":"x"}}`, "VALIDATION_ERROR", "config.proxy"},
		{"too many tags", `{"target":"192.0.2.1","scanType":"nmap","tags":[` + strings.Repeat(`"t",`, 20) + `"t"]}`, "VALIDATION_ERROR", "body.tags"},
		{"asset", `{"target":"192.0.2.1","scanType":"nmap","assetId":"` + missing + `"}`, "VALIDATION_ERROR", "assetId"},
		{"no address", `{"target":"unknown.test","scanType":"nmap"}`, "VALIDATION_ERROR", "target"},
		{"an option to a program", `{"target":"--script=x","scanType":"nmap"}`, "VALIDATION_ERROR", "target"},
	} {
		t.Run(b.name, func(t *testing.T) {
			w := c.call("POST", scans, b.body, key(c.key))
			if w.Code != 400 || w.text("code") != b.code {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			errs, _ := w.at("errors").([]any)
			if b.location != "" && (len(errs) == 0 || errs[0].(map[string]any)["location"] != b.location) {
				t.Errorf("%s", w.Body)
			}
		})
	}
	if w := c.call("POST", scans, `{"target":"169.254.169.254","scanType":"nmap"}`, key(c.key)).want(403); w.text("code") != "TARGET_NOT_ALLOWED" {
		t.Error(w.Body)
	}
	c.call("POST", scans, `{"target":"192.0.2.1","scanType":"zap"}`, key(c.key)).refusal(503, "ENGINE_NOT_AVAILABLE", "the engine can't run here: its program is missing")
}

func (b *bundle) assetOf(name string) string {
	b.t.Helper()
	a, err := b.assets.Create(b.t.Context(), b.ours, asset.Draft{Kind: asset.KindHost, Name: name})
	if err != nil {
		b.t.Fatal(err)
	}
	return string(a.ID)
}

func TestContractAScansCourse(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	id := c.submit(`{"target":"192.0.2.1","scanType":"nmap","name":"n"}`)
	at := scans + "/" + id
	c.call("GET", at+"?scanType=nmap", "", key(c.key)).want(200)
	for _, suffix := range []string{"", "/results", "/events"} {
		c.call("GET", at+suffix+"?scanType=zap", "", key(c.key)).refusal(404, "NOT_FOUND", "scan not found")
		c.call("GET", at+suffix, "", key(c.other)).refusal(404, "NOT_FOUND", "scan not found")
	}
	c.call("POST", at+"/cancel?scanType=zap", "", key(c.key)).refusal(404, "NOT_FOUND", "scan not found")
	c.call("GET", at+"/results", "", key(c.key)).refusal(409, "RESULTS_NOT_READY", "the scan isn't finished yet; its results come with its end")

	fence := c.start(id)
	c.unit(func(ctx context.Context, tx scan.Tx) error {
		return tx.KeepLease(ctx, uid.Scan(id), fence, c.clock.Now().Add(time.Minute), 67, "ports")
	})
	w := c.call("GET", at, "", key(c.key)).want(200)
	for path, want := range map[string]any{"data.status": "running", "data.progress": 67.0, "data.id": id, "data.startedAt": "2026-03-06T10:00:59Z", "data.attempt": 1.0, "data.name": "n"} {
		if got := w.at(path); got != want {
			t.Errorf("running: %s is %v", path, got)
		}
	}
	c.call("GET", at+"/results", "", key(c.key)).refusal(409, "RESULTS_NOT_READY", "the scan isn't finished yet; its results come with its end")
	c.finish(id, fence, scan.Finish{Status: scan.Completed, Outcome: engine.Complete, Version: "7.95", Summary: finding.Summary{Total: 1, Low: 1}})
	w = c.call("GET", at, "", key(c.key)).want(200)
	for path, want := range map[string]any{
		"data.status": "completed", "data.progress": 100.0, "data.outcome": "complete", "data.completedAt": "2026-03-06T10:01:00Z", "data.engineVersion": "7.95",
		"data.summary.total": 1.0, "data.summary.bySeverity.low": 1.0, "data.error": nil,
	} {
		if got := w.at(path); got != want {
			t.Errorf("completed: %s is %v", path, got)
		}
	}
	c.call("POST", at+"/cancel", "", key(c.key)).refusal(409, "SCAN_NOT_CANCELLABLE", "the scan has ended already; only a queued or running scan can be cancelled")

	r := c.call("GET", at+"/results", "", key(c.key)).want(200)
	wantFields := []string{
		"artifacts", "assets", "completedAt", "coverage", "engine", "findings", "outcome", "outcomeReasons", "pagination", "scanId", "scanType", "startedAt", "status", "summary", "target",
	}
	if diff := cmp.Diff(wantFields, names(r.at("data"))); diff != "" {
		t.Errorf("fields of results (-want +got):\n%s", diff)
	}
	f := r.at("data.findings").([]any)[0].(map[string]any)
	for _, name := range []string{
		"id", "fingerprint", "title", "description", "severity", "confidence", "category", "cve", "cwe", "epss", "kev", "location", "evidence", "remediation",
		"references", "engines", "rule", "firstSeenAt", "lastSeenAt", "status",
	} {
		if _, ok := f[name]; !ok {
			t.Errorf("a finding has no %s", name)
		}
	}
	if diff := cmp.Diff([]string{"limit", "page", "total", "totalIsCapped", "totalPages"}, names(r.at("data.pagination"))); diff != "" {
		t.Errorf("pagination (-want +got):\n%s", diff)
	}

	failing := c.submit(`{"target":"192.0.2.1","scanType":"nmap"}`)
	c.finish(failing, c.start(failing), scan.Finish{
		Status: scan.Failed, Outcome: engine.Failed, Error: &scan.Error{Code: fault.CodeScanTimeout, Message: "the scan ran into its timeout"},
	})
	w = c.call("GET", scans+"/"+failing, "", key(c.key)).want(200)
	if w.text("data.status") != "failed" || w.text("data.error.code") != "SCAN_TIMEOUT" || w.text("data.error.message") == "" {
		t.Error(w.Body)
	}
	if w := c.call("GET", scans+"/"+failing+"/results", "", key(c.key)).want(200); len(w.at("data.findings").([]any)) != 1 {
		t.Errorf("what a timed-out scan found is lost: %s", w.Body)
	}
	c.call("POST", scans+"/"+failing+"/cancel", "", key(c.key)).want(409)
	waiting := c.submit(`{"target":"192.0.2.1","scanType":"nmap"}`)
	if w := c.call("POST", scans+"/"+waiting+"/cancel", "", key(c.key)).want(200); w.text("data.status") != "cancelled" || w.text("data.id") != waiting {
		t.Error(w.Body)
	}
	c.call("POST", scans+"/"+waiting+"/cancel", "", key(c.key)).want(409)
}

func TestContractLists(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	for i := range 25 {
		c.clock.Advance(time.Second)
		c.submit(fmt.Sprintf(`{"target":"192.0.2.%d","scanType":%q,"tags":["t%d"],"priority":"low"}`, i+1, []string{"nmap", "sentinel"}[i%2], i%5))
	}
	w := c.call("GET", scans+"?scanType=nmap&status=queued&page=1&limit=10", "", key(c.key)).want(200)
	for path, want := range map[string]any{
		"data.pagination.page": 1.0, "data.pagination.limit": 10.0, "data.pagination.total": 13.0, "data.pagination.totalPages": 2.0, "data.pagination.totalIsCapped": false,
	} {
		if got := w.at(path); got != want {
			t.Errorf("%s is %v", path, got)
		}
	}
	if list := w.at("data.scans").([]any); len(list) != 10 || list[0].(map[string]any)["target"] != "192.0.2.25" {
		t.Errorf("newest first: %s", w.Body)
	}
	if d := c.call("GET", scans, "", key(c.key)).want(200); len(d.at("data.scans").([]any)) != 20 || d.at("data.pagination.limit") != 20.0 {
		t.Error("20 is not the default limit")
	}
	for query, n := range map[string]int{"tag=t0": 5, "priority=low&limit=100": 25, "priority=high": 0, "target=192.0.2.3": 1, "q=192.0.2.3": 1, "from=2026-03-07": 0, "to=2026-03-06&limit=100": 25} {
		if w := c.call("GET", scans+"?"+query, "", key(c.key)).want(200); len(w.at("data.scans").([]any)) != n {
			t.Errorf("%s: %d", query, len(w.at("data.scans").([]any)))
		}
	}
	second := c.call("GET", scans+"?limit=10&page=3", "", key(c.key)).want(200)
	if len(second.at("data.scans").([]any)) != 5 || second.at("data.pagination.nextCursor") != nil {
		t.Error(second.Body)
	}
	if theirs := c.call("GET", scans, "", key(c.other)).want(200); theirs.at("data.pagination.total") != 0.0 || theirs.at("data.scans") == nil {
		t.Errorf("an empty list is %s", theirs.Body)
	}
}

func TestContractAPIKeys(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	body := `{"name":"ci","description":"pipeline","scopes":["scans:create","scans:read","scans:list","results:read","webhooks:create"],"allowedScanTypes":["nmap","zap"],
		"allowedIpAddresses":["203.0.113.7","198.51.100.0/24"],"rateLimitPerMinute":30,"rateLimitPerHour":500,"rateLimitPerDay":5000,"expiresInDays":90}`
	made := c.call("POST", apiKeys, body, key(c.key)).want(201)
	id, secret := made.text("data.id"), made.text("data.key")
	if !regexp.MustCompile(`^`+access.KeyPattern+`$`).MatchString(secret) || made.text("data.prefix") != secret[:13] || made.text("data.status") != "active" {
		t.Error(made.Body)
	}
	for path, want := range map[string]any{
		"data.name": "ci", "data.description": "pipeline", "data.rateLimitPerMinute": 30.0, "data.rateLimitPerHour": 500.0, "data.rateLimitPerDay": 5000.0,
		"data.expiresAt": "2026-06-04T10:00:58Z", "data.lastUsedAt": nil, "data.secretShown": true,
	} {
		if got := made.at(path); got != want {
			t.Errorf("%s is %v", path, got)
		}
	}
	plain := c.call("POST", apiKeys, `{"name":"p","scopes":["usage:read"]}`, key(c.key)).want(201)
	for path, want := range map[string]any{
		"data.rateLimitPerMinute": 60.0, "data.rateLimitPerHour": 1000.0, "data.rateLimitPerDay": 10000.0, "data.expiresAt": nil, "data.description": "",
	} {
		if got := plain.at(path); got != want {
			t.Errorf("%s defaults to %v", path, got)
		}
	}
	if fmt.Sprint(plain.at("data.allowedScanTypes"), plain.at("data.allowedIpAddresses")) != "[] []" {
		t.Error(plain.Body)
	}
	at := apiKeys + "/" + id
	for bad, location := range map[string]string{
		`{"scopes":["usage:read"]}`: "body", `{"name":"n"}`: "body", `{"name":"n","scopes":[]}`: "body.scopes", `{"name":"n","scopes":["nope:x"]}`: "scopes[0]",
		`{"name":"n","scopes":["usage:read"],"allowedScanTypes":["nope"]}`:                       "allowedScanTypes[0]",
		`{"name":"n","scopes":["usage:read"],"allowedIpAddresses":["300.1.1.1"]}`:                "allowedIpAddresses[0]",
		`{"name":"n","scopes":["usage:read"],"expiresInDays":0}`:                                 "body.expiresInDays",
		`{"name":"n","scopes":["usage:read"],"expiresInDays":3651}`:                              "body.expiresInDays",
		`{"name":"` + strings.Repeat("n", 256) + `","scopes":["usage:read"]}`:                    "body.name",
		`{"name":"n","scopes":["usage:read"],"description":"` + strings.Repeat("d", 2001) + `"}`: "body.description",
	} {
		w := c.call("POST", apiKeys, bad, key(c.key)).want(400)
		if errs, _ := w.at("errors").([]any); len(errs) == 0 || errs[0].(map[string]any)["location"] != location {
			t.Errorf("%.80s: %s", bad, w.Body)
		}
	}
	// A key can't create or change a key beyond its own rights.
	_, small := c.plain("keys:manage", "scans:read")
	c.call("POST", apiKeys, `{"name":"n","scopes":["scans:create"]}`, key(small)).want(403)
	c.call("POST", apiKeys, `{"name":"n","scopes":["scans:*"]}`, key(small)).want(403)
	c.call("POST", apiKeys, `{"name":"n","scopes":["scans:read"],"rateLimitPerMinute":61}`, key(small)).want(403)
	c.call("PATCH", at, `{"name":"taken over"}`, key(small)).want(403)
	c.call("POST", at+"/rotate", "", key(small)).want(403)
	c.call("POST", apiKeys, `{"name":"n","scopes":["scans:read"],"rateLimitPerMinute":60}`, key(small)).want(201)

	// Rotation: the id stays, the old secret lives on for the grace, and at most two live.
	from := func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }
	use := func(secret string) int { return c.call("GET", scans, "", key(secret), from).Code }
	for _, wrong := range []string{`{"gracePeriodHours":-1}`, `{"gracePeriodHours":169}`} {
		c.call("POST", at+"/rotate", wrong, key(c.key)).want(400)
	}
	turned := c.call("POST", at+"/rotate", "", key(c.key)).want(200)
	if diff := cmp.Diff([]string{"id", "key", "previousExpiresAt", "secretShown"}, names(turned.at("data"))); diff != "" {
		t.Error(diff)
	}
	if turned.text("data.id") != id || turned.text("data.previousExpiresAt") != "2026-03-07T10:00:58Z" {
		t.Error(turned.Body)
	}
	second := turned.text("data.key")
	if use(secret) != 200 || use(second) != 200 {
		t.Error("in the grace one of the two doesn't work")
	}
	third := c.call("POST", at+"/rotate", `{"gracePeriodHours":168}`, key(c.key)).want(200).text("data.key")
	if use(secret) != 401 || use(second) != 200 || use(third) != 200 {
		t.Error("more or less than two secrets live")
	}
	fourth := c.call("POST", at+"/rotate", `{"gracePeriodHours":0}`, key(c.key)).want(200).text("data.key")
	if use(third) != 401 || use(fourth) != 200 {
		t.Error("a rotation without grace doesn't cut")
	}
	if w := c.call("GET", at, "", key(c.key)).want(200); w.at("data.rateLimitPerMinute") != 30.0 || w.text("data.name") != "ci" || fmt.Sprint(w.at("data.allowedScanTypes")) != "[nmap zap]" {
		t.Errorf("a rotation changed the key: %s", w.Body)
	}
	// Suspension by administrators only, and both ways.
	admin := c.signIn(access.RoleAdmin)
	c.call("POST", at+"/suspend", "", key(c.key)).want(403)
	c.call("POST", at+"/suspend", "", admin).want(200)
	if use(fourth) != 401 {
		t.Error("a suspended key works")
	}
	c.call("POST", at+"/resume", "", admin).want(200)
	if use(fourth) != 200 {
		t.Error("a resumed key doesn't work")
	}
	if w := c.call("DELETE", at, "", key(c.key)).want(200); w.text("data.status") != "revoked" || w.text("data.revokedAt") == "" {
		t.Error(w.Body)
	}
	for _, dead := range [][2]string{{"PATCH", ""}, {"POST", "/rotate"}} {
		body := ""
		if dead[0] == "PATCH" {
			body = `{"name":"x"}`
		}
		if w := c.call(dead[0], at+dead[1], body, key(c.key)).want(409); w.text("code") != "CONFLICT" {
			t.Error(w.Body)
		}
	}
	c.call("POST", at+"/resume", "", admin).want(409)
}

func TestContractFormsOfTheTransport(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	k := key(c.key)
	c.call("GET", "/scan-api/api/v1/nope", "", k).refusal(404, "NOT_FOUND", "there is nothing at this path; /docs lists what there is")
	c.call("GET", "/scan-api/nope", "", k).want(404)
	wrong := c.call("PUT", scans, "", k)
	wrong.refusal(405, "METHOD_NOT_ALLOWED", wrong.text("error"))
	if allow := wrong.Header().Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "POST") {
		t.Errorf("Allow: %s", allow)
	}
	if own := c.call("PUT", scans+"/batch", "{}", key(c.key)).Header().Get("Allow"); own != "POST" {
		t.Errorf("a path that fits a pattern too takes %s", own)
	}
	c.call("POST", scans, `{"target":"`+strings.Repeat("x", 1<<20)+`"}`, k).refusal(413, "PAYLOAD_TOO_LARGE", c.call("POST", scans, strings.Repeat(" ", 1<<20+1), k).text("error"))
	xml := c.call("POST", scans, "", k, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("<a/>")), 4
		r.Header.Set("Content-Type", "application/xml")
	})
	xml.refusal(415, "UNSUPPORTED_MEDIA_TYPE", "send JSON in UTF-8 (Content-Type: application/json)")
	// The caller's request id comes back where it is safe, else one of ours.
	for given, kept := range map[string]bool{"abc-123_X.y:z": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a b": false, "<script>": false} {
		got := c.call("GET", scans, "", k, with("X-Request-Id", given)).want(200).sent("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%.20q comes back as %.20q", given, got)
		}
	}
	// Cross-origin: only for a configured origin.
	asks := func(origin string) answer {
		return c.call("OPTIONS", scans, "", with("Origin", origin), with("Access-Control-Request-Method", "POST"), with("Access-Control-Request-Headers", "x-api-key"))
	}
	yes := asks("https://ui.example.org").want(204)
	if yes.Header().Get("Access-Control-Allow-Origin") != "https://ui.example.org" || !strings.Contains(yes.Header().Get("Access-Control-Allow-Headers"), "X-API-Key") ||
		!strings.Contains(yes.Header().Get("Access-Control-Allow-Methods"), "POST") || yes.Header().Get("Access-Control-Allow-Credentials") != "" || yes.sent("X-RateLimit-Limit") == "" {
		t.Error(yes.Header())
	}
	if no := asks("https://evil.example"); no.Code == 204 || no.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error(no.Code, no.Header())
	}
	if w := c.call("GET", scans, "", k, with("Origin", "https://ui.example.org")).want(200); !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-RateLimit-Remaining") {
		t.Error(w.Header())
	}
	plain := setup(t)
	if w := plain.call("GET", scans, "", key(plain.key), with("Origin", "https://ui.example.org")).want(200); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("CORS is on without being configured: %v", w.Header())
	}
	// One envelope for all answers.
	for _, path := range []string{scans, "/scan-api/api/v1/engines", apiKeys} {
		if diff := cmp.Diff([]string{"data", "success"}, names(c.doc("GET", path))); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func (c *contract) doc(method, path string) any {
	c.t.Helper()
	var v any
	if err := json.Unmarshal(c.call(method, path, "", key(c.key)).want(200).Body.Bytes(), &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}
