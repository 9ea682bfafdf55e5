// Package storetest is the conformance kit of package store: one suite of behaviours that holds on SQLite and on
// PostgreSQL alike.
//
// It talks to the store through the ports of the domain, as the product does; the one exception is the isolation
// sweep, which compares raw rows before and after. It must never know which database it runs on. Start with Run.
package storetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Open opens a fresh database for one test.
type Open func(t testing.TB, opts ...testkit.Option) *store.Store

// Run runs the whole suite. Each behaviour gets a database of its own.
func Run(t *testing.T, open Open) {
	t.Helper()
	behaviours := []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"organizations", organizations},
		{"quotas", quotas},
		{"keys", keys},
		{"users and sessions", users},
		{"expired secrets and sessions", expiry},
		{"assets", assets},
		{"assets changed by several at once", assetsAtOnce},
		{"asset lists", assetLists},
		{"observed assets", observedAssets},
		{"search", search},
		{"paging stays whole under inserts", pagingUnderInserts},
		{"totals", totals},
		{"scans", scans},
		{"scan lists", scanLists},
		{"scan life", scanLife},
		{"cancelling", cancelling},
		{"leases", leases},
		{"takeovers", takeovers},
		{"the line", line},
		{"the line is fair", fairness},
		{"the line under two dispatchers", twoDispatchers},
		{"findings", findings},
		{"findings of two scans at once", findingsAtOnce},
		{"decisions on findings", decisions},
		{"findings fixed by hand", fixedByHand},
		{"counts of findings under several writers", countsAtOnce},
		{"lists of findings", findingLists},
		{"decisions by filter", bulkByFilter},
		{"the life of findings", lifeOfFindings},
		{"cases of several engines", casesOfSeveralEngines},
		{"cases that people corrected", correctedCases},
		{"names and addresses of one asset", learnedAliases},
		{"lists of cases", caseLists},
		{"results", results},
		{"results of a try become visible at its end", visibility},
		{"public sources", publicSources},
		{"findings are enriched when they are read", enrichment},
		{"parents and their children", families},
		{"cancelled parents", cancelledFamilies},
		{"batches", batches},
		{"edited scans", editedScans},
		{"comparisons", comparisons},
		{"dropped scans", droppedScans},
		{"the line behind its head", behindTheHead},
		{"webhooks", webhooks},
		{"events become deliveries", fanOut},
		{"fan-out and claims by several at once", fanOutAtOnce},
		{"claims of deliveries", claims},
		{"lanes of disabled and deleted webhooks", closedLanes},
		{"outcomes of deliveries", outcomes},
		{"replays of deliveries", replays},
		{"retention of deliveries", hookRetention},
		{"templates", templates},
		{"template lists", templateLists},
		{"runs of templates", templateRuns},
		{"the history of a template", templateHistory},
		{"scans of templates", templateScans},
		{"the agenda", agenda},
		{"a due time is taken once", takenOnce},
		{"reports", reportDefinitions},
		{"runs of reports", reportRuns},
		{"due reports", dueReports},
		{"what reports read", reportSnapshots},
		{"usage of scans", usedScans},
		{"quota given back", givenBack},
		{"no scan without an entry", uncounted},
		{"the call log", callLog},
		{"findings by their CVE ids", byCVE},
		{"isolation", isolation},
	}
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			b.test(t, newHouse(t, open))
		})
	}
}

// house is a database with two organizations and a queue that remembers.
type house struct {
	s            *store.Store
	clock        *testkit.Clock
	ids          *uid.Source
	ours, theirs uid.Org

	mu   sync.Mutex
	jobs []job.Scan
}

func newHouse(t *testing.T, open Open) *house {
	t.Helper()
	h := &house{clock: testkit.NewClock()}
	// The store keeps the real clock: moving it by hand would run units out of their time.
	h.s, h.ids = open(t), h.clock.IDs()
	h.s.SetJobs(store.Jobs{Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.jobs = append(h.jobs, j)
		return nil
	}})
	h.ours, h.theirs = testkit.TwoOrgs(t, h.s)
	return h
}

// taken returns the jobs enqueued since the last call.
func (h *house) taken() []job.Scan {
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := h.jobs
	h.jobs = nil
	return jobs
}

// act is the event of every change here: an entry of the log goes with each.
func act() audit.Event { return audit.Event{Type: event.SettingsUpdated} }

// must fails the test on an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// got fails the test on an error and returns the value.
func got[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		must(tb, err)
		return v
	}
}

func wantKind(tb testing.TB, err error, kind fault.Kind, code fault.Code) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error; want %s %s", kind, code)
	}
	if f := fault.Of(err); f.Kind != kind || f.Code != code {
		tb.Fatalf("error = %v (%s %s); want %s %s", err, f.Kind, f.Code, kind, code)
	}
}

func wantMissing(tb testing.TB, err error) {
	tb.Helper()
	wantKind(tb, err, fault.NotFound, fault.CodeNotFound)
}

func wantConflict(tb testing.TB, err error) {
	tb.Helper()
	wantKind(tb, err, fault.Conflict, fault.CodeConflict)
}

func same(tb testing.TB, what string, want, got any) {
	tb.Helper()
	opts := cmp.Options{
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		tb.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

// The four units.

func (h *house) tenants(tb testing.TB, org uid.Org, unit func(context.Context, tenant.Tx) error) error {
	tb.Helper()
	return h.s.Tenants().Change(tb.Context(), org, act(), unit)
}

func (h *house) access(tb testing.TB, org uid.Org, unit func(context.Context, access.Tx) error) error {
	tb.Helper()
	return h.s.Access().Change(tb.Context(), org, act(), unit)
}

func (h *house) assets(tb testing.TB, org uid.Org, unit func(context.Context, asset.Tx) error) error {
	tb.Helper()
	return h.s.Assets().Change(tb.Context(), org, act(), unit)
}

func (h *house) scans(tb testing.TB, org uid.Org, unit func(context.Context, scan.Tx) error) error {
	tb.Helper()
	return h.s.Scans().Change(tb.Context(), org, act(), unit)
}

// Makers of records. Each moves the clock, so that no two have one time unless a test wants it.

func (h *house) newAsset(kind asset.Kind, name string, tags ...string) asset.Asset {
	now := h.clock.Advance(time.Second)
	return asset.Asset{
		ID: uid.Asset(h.ids.New()), Kind: kind, Name: name, Tags: tags, Source: "user", Status: "active",
		CreatedAt: now, UpdatedAt: now, FirstSeenAt: now, LastSeenAt: now,
	}
}

func (h *house) addAssets(tb testing.TB, org uid.Org, list ...asset.Asset) {
	tb.Helper()
	must(tb, h.assets(tb, org, func(ctx context.Context, tx asset.Tx) error {
		for _, a := range list {
			if err := tx.InsertAsset(ctx, a); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (h *house) newScan(org uid.Org, engine, host string, tags ...string) scan.Scan {
	return scan.Scan{
		ID: uid.Scan(h.ids.New()), Org: org, Engine: engine, Name: "nightly", Target: host, TargetType: asset.TypeHost,
		Host: host, Priority: scan.Normal, Status: scan.Queued, Tags: tags, Timeout: scan.DefaultTimeout,
		CreatedBy: "key:1", CreatedAt: h.clock.Advance(time.Second),
	}
}

func (h *house) addScans(tb testing.TB, list ...scan.Scan) {
	tb.Helper()
	for _, s := range list {
		must(tb, h.scans(tb, s.Org, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) }))
	}
}

// admitAll lets everything that waits start and returns the jobs.
func (h *house) admitAll(tb testing.TB) []job.Scan {
	tb.Helper()
	now := h.clock.Now()
	_, err := h.s.Line().Admit(tb.Context(), now, now.Add(time.Minute),
		func(w []scan.Waiting, _ []scan.Slot, _ map[uid.Org]tenant.Concurrency) []scan.Waiting { return w })
	must(tb, err)
	return h.taken()
}

// running adds a scan and brings it to running; it returns it as the worker sees it.
func (h *house) running(tb testing.TB, org uid.Org, engine, host string) scan.Scan {
	tb.Helper()
	s := h.newScan(org, engine, host)
	h.addScans(tb, s)
	for _, j := range h.admitAll(tb) {
		if j.Scan == s.ID {
			return h.start(tb, j)
		}
	}
	tb.Fatal("the scan wasn't admitted")
	return scan.Scan{}
}

func (h *house) start(tb testing.TB, j job.Scan) scan.Scan {
	tb.Helper()
	at := h.clock.Advance(time.Second)
	must(tb, h.scans(tb, j.Org, func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, j.Scan, j.Fence, at) }))
	return got(h.s.Scans().Scan(tb.Context(), j.Org, j.Scan))(tb)
}

func (h *house) finish(tb testing.TB, s scan.Scan, sum finding.Summary) {
	tb.Helper()
	f := scan.Finish{Status: scan.Completed, At: h.clock.Advance(time.Second), Outcome: "complete", Version: "7.9", Summary: sum}
	must(tb, h.scans(tb, s.Org, func(ctx context.Context, tx scan.Tx) error { return tx.FinishScan(ctx, s.ID, s.Fence, f) }))
}

// record records findings and returns what became of them.
func (h *house) record(tb testing.TB, s scan.Scan, seen ...scan.Seen) []finding.Change {
	tb.Helper()
	changes, err := h.tryRecord(tb, s, seen...)
	must(tb, err)
	return changes
}

func (h *house) tryRecord(tb testing.TB, s scan.Scan, seen ...scan.Seen) ([]finding.Change, error) {
	tb.Helper()
	at := h.clock.Advance(time.Second)
	var changes []finding.Change
	err := h.scans(tb, s.Org, func(ctx context.Context, tx scan.Tx) error {
		var err error
		changes, err = tx.RecordFindings(ctx, s, seen, at)
		return err
	})
	return changes, err
}

// seen makes the n-th observation; its severity goes round.
func seen(n int, host string) scan.Seen {
	sev := finding.Severities()[n%5]
	return scan.Seen{
		Observation: finding.Observation{
			Rule: "nmap:open-port", Title: fmt.Sprintf("Port %d is open", n), Description: "A service answers.",
			Severity: sev, Confidence: finding.Certain, Category: finding.CategoryExposure,
			CVE: []string{"CVE-2024-0001"}, CWE: []int{200},
			CVSS:     &finding.CVSS{Version: "3.1", Vector: "CVSS:3.1/AV:N", Score: 5.3},
			Location: finding.Location{Host: host, Port: n, Protocol: "tcp"},
			Evidence: "syn-ack", Remediation: "Close it.", References: []string{"https://example.org/"},
		},
		Fingerprint: fmt.Sprintf("w1:%s-%06d", host, n), Occurrence: fmt.Sprintf("o1:%s-%06d", host, n), Ordinal: n,
	}
}

func attributes(s string) json.RawMessage { return json.RawMessage(s) }

// walk reads a list to its end by cursor and returns the ids.
func walk[T any](tb testing.TB, read func(page.Request) ([]T, page.Key, error), id func(T) string, limit int) []string {
	tb.Helper()
	var out []string
	req := page.Request{Limit: limit}
	for {
		items, next, err := read(req)
		must(tb, err)
		for _, it := range items {
			out = append(out, id(it))
		}
		if next.Zero() {
			return out
		}
		if len(items) != limit {
			tb.Fatalf("a page before the end has %d rows; want %d", len(items), limit)
		}
		req.After = next
	}
}
