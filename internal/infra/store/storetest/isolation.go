package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/retention"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// raw is a transaction on the tables themselves, seeing one organization.
type raw struct {
	tb testing.TB
	tx *sql.Tx
}

// inRaw runs f on the tables, beside the store. Only what no port can do yet may be done here.
func (h *house) inRaw(tb testing.TB, org uid.Org, f func(raw)) {
	tb.Helper()
	tx, err := h.s.Database().BeginTx(tb.Context(), nil)
	must(tb, err)
	defer tx.Rollback() //nolint:errcheck // it is committed below
	// On PostgreSQL row-level security wants to know whose rows are meant; SQLite has no such function.
	var version string
	if tx.QueryRowContext(tb.Context(), "SELECT sqlite_version()").Scan(&version) != nil {
		must(tb, tx.Rollback())
		tx, err = h.s.Database().BeginTx(tb.Context(), nil)
		must(tb, err)
		defer tx.Rollback() //nolint:errcheck // it is committed below
		_, err = tx.ExecContext(tb.Context(), "SELECT set_config('app.org', '"+string(org)+"', true)")
		must(tb, err)
	}
	f(raw{tb, tx})
	must(tb, tx.Commit())
}

func (r raw) exec(statement string) {
	r.tb.Helper()
	_, err := r.tx.ExecContext(r.tb.Context(), statement)
	must(r.tb, err)
}

// tables are those that hold rows of an organization in the domain's schema.
func tables() []string {
	return []string{
		"organization", "org_settings", "org_secret", "scan_scope", "quota_counter", "api_key", "key_secret",
		"user_account", "login_session", "asset", "asset_tag", "asset_word", "scan", "scan_tag", "scan_word",
		"scan_artifact", "scan_asset", "scan_batch", "scan_turn", "finding", "finding_doc", "scan_result",
		"finding_history", "finding_cve", "finding_kind", "finding_word", "finding_count",
		"finding_case", "finding_case_key", "finding_case_history", "finding_case_pin", "finding_case_state", "host_alias",
		"report", "report_run", "usage_call", "usage_scan",
		"webhook", "scan_callback", "hook_event", "hook_delivery", "hook_attempt",
		"scan_template", "scan_template_tag", "scan_template_word", "scan_template_run",
	}
}

// dump returns every row of an organization as text.
func (h *house) dump(tb testing.TB, org uid.Org) []string {
	tb.Helper()
	var out []string
	h.inRaw(tb, org, func(r raw) {
		for _, table := range tables() {
			out = append(out, r.rows(table, org)...)
		}
	})
	slices.Sort(out)
	return out
}

// rows returns a table's rows of an organization as text.
func (r raw) rows(table string, org uid.Org) []string {
	r.tb.Helper()
	rows, err := r.tx.QueryContext(r.tb.Context(), "SELECT * FROM "+table+" WHERE org = '"+string(org)+"'")
	must(r.tb, err)
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	cols, err := rows.Columns()
	must(r.tb, err)
	var out []string
	for rows.Next() {
		values, dest := make([]any, len(cols)), make([]any, len(cols))
		for i := range values {
			dest[i] = &values[i]
		}
		must(r.tb, rows.Scan(dest...))
		out = append(out, fmt.Sprint(table, values))
	}
	must(r.tb, rows.Err())
	return out
}

// estate is one of everything in one organization.
type estate struct {
	asset   asset.Asset
	key     access.Key
	user    access.User
	session access.Session
	scan    scan.Scan // ended, with results
	live    scan.Scan // running
	waiting scan.Scan
	parent  scan.Scan // in its first phase, with a child that waits
	finding uid.Finding
	reports reportEstate
	hooks   hookEstate
	inCase  uid.Case  // that the finding is in
	aliased scan.Scan // that learned a name's address

	template template.Template // with a schedule, a run and a scan of it
}

func (h *house) furnish(tb testing.TB, org uid.Org, mark byte) estate {
	tb.Helper()
	name := fmt.Sprintf("estate-%d", mark)
	e := estate{asset: h.newAsset(asset.KindHost, name, "tag"), key: h.newKey(org)}
	h.addAssets(tb, org, e.asset)
	h.addKey(tb, e.key, access.Hash{mark})
	e.user = access.User{ID: uid.User(h.ids.New()), Org: org, Username: name, Role: "admin", CreatedAt: h.clock.Now()}
	e.session = access.Session{ID: uid.Session(h.ids.New()), User: e.user.ID, Org: org, Hash: access.Hash{mark}}
	must(tb, h.access(tb, org, func(ctx context.Context, tx access.Tx) error {
		if err := tx.InsertUser(ctx, e.user); err != nil {
			return err
		}
		return tx.InsertSession(ctx, e.session)
	}))
	must(tb, h.assets(tb, org, func(ctx context.Context, tx asset.Tx) error { return tx.PutScanScope(ctx, testkit.OpenScope()) }))
	e.scan = h.running(tb, org, "nmap", name)
	e.finding = h.record(tb, e.scan, seen(1, "shared"))[0].ID
	must(tb, h.put(tb, e.scan, scan.Artifact{Name: "raw.xml"}))
	must(tb, h.scans(tb, org, func(ctx context.Context, tx scan.Tx) error {
		if err := tx.Consume(ctx, usage.MetricScans, "2026-03", 1, 10); err != nil {
			return err
		}
		if err := tx.Emit(ctx, event.ScanStarted, string(e.scan.ID), map[string]int{}); err != nil {
			return err
		}
		if err := tx.KeepBatch(ctx, scan.Batch{ID: uid.Batch(e.scan.ID), Items: []scan.BatchItem{{Scan: e.scan}}}, h.clock.Now()); err != nil {
			return err
		}
		return tx.RecordAssets(ctx, e.scan, []asset.Observation{{Kind: asset.KindHost, Name: "seen", Source: "nmap"}}, h.clock.Now())
	}))
	h.finish(tb, e.scan, finding.Summary{Total: 1})
	e.live = h.running(tb, org, "nmap", name)
	h.record(tb, e.live, seen(2, "shared"))
	e.reports = h.furnishReports(tb, org)
	e.waiting = h.newScan(org, "nmap", name, "tag")
	h.furnishTemplate(tb, &e, org, name)
	h.addScans(tb, e.waiting)
	e.parent, _ = h.family(tb, org, "zap")
	e.hooks = h.furnishHooks(tb, org)
	return e
}

// attempt is one try to reach what is another's: it returns what it saw, or its error.
type attempt func(ctx context.Context) (any, error)

// isolation tries every method of every port with the ids of another organization. Reads must see nothing, writes must
// change nothing of the other's. A method without an attempt fails the test, so that none is forgotten.
func isolation(t *testing.T, h *house) {
	mine, other := h.furnish(t, h.theirs, 1), h.furnish(t, h.ours, 2)
	h.furnishTriage(t, other.finding)
	h.furnishCases(t, &other)
	h.furnishUsage(t)
	before := h.dump(t, h.ours)
	if len(before) < len(tables())-1 {
		t.Fatalf("only %d rows are there to be protected", len(before))
	}
	empty := func(v any) bool {
		rv := reflect.ValueOf(v)
		return v == nil || rv.IsZero() || (rv.Kind() == reflect.Slice && rv.Len() == 0)
	}
	for _, p := range h.readers(other) {
		t.Run(p.port.Name()+" of "+p.port.PkgPath()[strings.LastIndex(p.port.PkgPath(), "/")+1:], func(t *testing.T) {
			for m := range p.port.Methods() {
				name := m.Name
				if name == "Change" || slices.Contains(p.across, name) {
					continue
				}
				try := p.tries[name]
				if try == nil {
					t.Errorf("%s is not tried", name)
					continue
				}
				if v, err := try(t.Context()); err == nil && !empty(v) {
					t.Errorf("%s shows another's: %+v", name, v)
				}
			}
		})
	}
	for _, p := range h.writers(mine, other) {
		t.Run("Tx of "+p.port.PkgPath()[strings.LastIndex(p.port.PkgPath(), "/")+1:], func(t *testing.T) {
			for m := range p.port.Methods() {
				name := m.Name
				try := p.tries[name]
				if try == nil {
					t.Errorf("%s is not tried", name)
					continue
				}
				var tampered tamperError
				if _, err := try(t.Context()); errors.As(err, &tampered) {
					t.Errorf("%s: %v", name, err)
				}
				if diff := cmp.Diff(before, h.dump(t, h.ours)); diff != "" {
					t.Fatalf("%s changed another's rows:\n%s", name, diff)
				}
			}
		})
	}
}

type portTries struct {
	port   reflect.Type
	across []string // declared lookups over all organizations
	tries  map[string]attempt
}

// readers are the ports' reads, by theirs, of what is ours.
func (h *house) readers(o estate) []portTries {
	org := h.theirs
	tenants, keys, inventory, sc := h.s.Tenants(), h.s.Access(), h.s.Assets(), h.s.Scans()
	return []portTries{
		h.reportReaders(o),
		h.phaseReaders(o),
		h.hookReaders(o),
		h.triageReaders(o),
		h.caseReaders(o),
		h.caseFollowers(o),
		h.usageReaders(),
		{port: reflect.TypeFor[tenant.Store](), tries: map[string]attempt{
			"Organization": func(ctx context.Context) (any, error) {
				v, err := tenants.Organization(ctx, org)
				return v.ID == h.ours || v.Name == "Ours", err
			},
			"Settings": func(ctx context.Context) (any, error) {
				v, err := tenants.Settings(ctx, org)
				return v != tenant.Defaults(), err
			},
		}},
		{port: reflect.TypeFor[access.Store](), across: []string{"KeyByHash", "SessionByHash", "UserByName"}, tries: map[string]attempt{
			"User":   func(ctx context.Context) (any, error) { return keys.User(ctx, org, o.user.ID) },
			"APIKey": func(ctx context.Context) (any, error) { return keys.APIKey(ctx, org, o.key.ID) },
			"APIKeys": func(ctx context.Context) (any, error) {
				l, err := keys.APIKeys(ctx, org, pageAll())
				return slices.ContainsFunc(l.Items, func(k access.Key) bool { return k.ID == o.key.ID }) || l.Total.N != 1, err
			},
		}},
		{port: reflect.TypeFor[asset.Store](), tries: map[string]attempt{
			"Asset": func(ctx context.Context) (any, error) { return inventory.Asset(ctx, org, o.asset.ID) },
			"Assets": func(ctx context.Context) (any, error) {
				return h.foreignAssets(ctx, o)
			},
			"ScanScope": func(ctx context.Context) (any, error) {
				v, err := inventory.ScanScope(ctx, org)
				return len(v.Allow) != len(testkit.OpenScope().Allow), err
			},
		}},
		{port: reflect.TypeFor[comparison.Store](), tries: map[string]attempt{
			"Scan": func(ctx context.Context) (any, error) { return h.s.Comparisons().Scan(ctx, org, o.scan.ID) },
			"Weaknesses": func(ctx context.Context) (any, error) {
				l, _, err := h.s.Comparisons().Weaknesses(ctx, org, comparison.Side{Scan: o.scan.ID, Than: o.live.ID, After: -1, Limit: 10})
				return l, err
			},
			"Counted": func(ctx context.Context) (any, error) {
				_, only, err := h.s.Comparisons().Counted(ctx, org, o.scan.ID, o.live.ID)
				return only.Total, err
			},
		}},
		{port: reflect.TypeFor[retention.Store](), across: []string{"Organizations", "Dropped"}, tries: map[string]attempt{
			"Expired": func(ctx context.Context) (any, error) {
				l, err := h.s.ScanRetention().Expired(ctx, org, h.clock.Now().Add(time.Hour), 10)
				return slices.Contains(l, o.scan.ID), err
			},
			"Named": func(ctx context.Context) (any, error) {
				l, err := h.s.ScanRetention().Named(ctx, org, []string{"of ours"})
				return l, err
			},
		}},
		{port: reflect.TypeFor[template.Store](), tries: h.templateReaders(o)},
		{port: reflect.TypeFor[scan.Store](), tries: map[string]attempt{
			"Scan": func(ctx context.Context) (any, error) { return sc.Scan(ctx, org, o.scan.ID) },
			"Scans": func(ctx context.Context) (any, error) {
				l, err := sc.Scans(ctx, org, scan.Query{Page: pageAll()})
				return slices.ContainsFunc(l.Items, func(s scan.Scan) bool { return s.ID == o.scan.ID }) || l.Total.N != 6, err
			},
			"Batch": func(ctx context.Context) (any, error) {
				b, err := sc.Batch(ctx, org, uid.Batch(o.scan.ID))
				return b.Items, err
			},
			"Results": func(ctx context.Context) (any, error) {
				l, err := sc.Results(ctx, org, o.scan.ID, scan.ResultQuery{})
				return l.Items, err
			},
			"EachResult": func(ctx context.Context) (any, error) {
				n := 0
				err := sc.EachResult(ctx, org, o.scan.ID, scan.ResultQuery{}, func(scan.Result) error { n++; return nil })
				return n, err
			},
			"Looked":     func(ctx context.Context) (any, error) { return sc.Looked(ctx, org, o.scan.ID) },
			"Children":   func(ctx context.Context) (any, error) { return sc.Children(ctx, org, o.parent.ID) },
			"Artifacts":  func(ctx context.Context) (any, error) { return sc.Artifacts(ctx, org, o.scan.ID) },
			"ScanAssets": func(ctx context.Context) (any, error) { return sc.ScanAssets(ctx, org, o.scan.ID) },
			"ScanScope": func(ctx context.Context) (any, error) {
				v, err := sc.ScanScope(ctx, org)
				return len(v.Allow) != len(testkit.OpenScope().Allow), err
			},
			"Organization": func(ctx context.Context) (any, error) {
				v, err := sc.Organization(ctx, org)
				return v.ID == h.ours || v.Name == "Ours", err
			},
			"Events": func(ctx context.Context) (any, error) { return sc.Events(ctx, org, string(o.scan.ID), 0, 10) },
			"OpenFindings": func(ctx context.Context) (any, error) {
				l, err := sc.OpenFindings(ctx, org, "nmap", "shared", "")
				return slices.ContainsFunc(l, func(f finding.Finding) bool { return f.ID == o.finding }) || len(l) != 2, err
			},
		}},
	}
}
