package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// bureau is cases over the house's database.
func (h *house) bureau() *correlation.Service {
	return correlation.New(correlation.Deps{Store: h.s.Cases(), Now: h.clock.Now, IDs: h.ids})
}

// correlate brings cases in step with findings.
func (h *house) correlate(tb testing.TB) {
	tb.Helper()
	f := correlation.NewFollower(correlation.FollowerDeps{
		Store: h.s.Cases(), Journal: h.s.CaseFeed(), Findings: h.s.CaseFeed(), Now: h.clock.Now, IDs: h.ids,
		Log: slog.New(slog.DiscardHandler),
	})
	must(tb, f.CatchUp(tb.Context()))
}

// flaw is an injection as an engine reports it.
func flaw(engine, host, path string, n int) scan.Seen {
	o := finding.Clean(finding.Observation{
		Rule: engine + ":sqli", Title: fmt.Sprintf("%s sees SQL injection", engine), Severity: finding.High, Confidence: finding.Firm,
		Category: finding.CategoryVulnerability, CWE: []int{89},
		Location: finding.Location{Host: host, Port: 80, URL: "http://" + host + path, Method: "GET", Parameter: "id"},
	})
	return scan.Seen{Observation: o, Fingerprint: finding.Fingerprint(engine, o), Occurrence: finding.Occurrence(engine, o), Ordinal: n}
}

// scanned runs a scan that ends with what it saw, and returns the findings.
func (h *house) scanned(tb testing.TB, engine, host string, seen ...scan.Seen) []uid.Finding {
	tb.Helper()
	s := h.running(tb, h.ours, engine, host)
	var ids []uid.Finding
	for _, c := range h.record(tb, s, seen...) {
		ids = append(ids, c.ID)
	}
	h.ended(tb, s)
	return ids
}

// ended finishes a scan and lets its end be known.
func (h *house) ended(tb testing.TB, s scan.Scan) {
	tb.Helper()
	h.finish(tb, s, finding.Summary{})
	h.emit(tb, s.Org, event.ScanCompleted, string(s.ID))
}

func (h *house) caseOf(tb testing.TB, f uid.Finding) correlation.Detail {
	tb.Helper()
	at := got(h.s.Triage().Finding(tb.Context(), h.ours, f))(tb)
	if at.Case == "" {
		tb.Fatalf("%s is in no case", f)
	}
	return got(h.bureau().Get(tb.Context(), h.ours, at.Case))(tb)
}

func membersOf(d correlation.Detail) []uid.Finding {
	var out []uid.Finding
	for _, f := range d.Findings {
		out = append(out, f.Finding)
	}
	slices.Sort(out)
	return out
}

func (h *house) allCases(tb testing.TB, q correlation.Query) correlation.List {
	tb.Helper()
	q.Page = page.Request{Limit: 100, WantTotal: true}
	return got(h.bureau().List(tb.Context(), h.ours, q))(tb)
}

// casesOfSeveralEngines follows one flaw through three engines, a decision, its end, and its return.
func casesOfSeveralEngines(t *testing.T, h *house) {
	const host = "app.example"
	a := h.scanned(t, "sqlmap", host, flaw("sqlmap", host, "/item?id=1", 0))[0]
	h.correlate(t)
	first := h.caseOf(t, a)
	if first.Members != 1 || first.Status != correlation.CaseOpen || first.Confidence != finding.Firm || first.Risk <= 0 {
		t.Fatalf("a first finding makes %+v", first.Record)
	}
	b := h.scanned(t, "wapiti", host, flaw("wapiti", host, "/item?id=9", 0), flaw("wapiti", host, "/other?id=9", 1))
	h.correlate(t)
	joined := h.caseOf(t, b[0])
	same(t, "case", first.ID, joined.ID)
	same(t, "members", slices.Sorted(slices.Values([]uid.Finding{a, b[0]})), membersOf(joined))
	same(t, "engines", []string{"sqlmap", "wapiti"}, joined.Engines)
	if joined.Confidence != finding.Certain || joined.Risk < first.Risk {
		t.Errorf("two firm engines make %s with risk %d, one %d", joined.Confidence, joined.Risk, first.Risk)
	}
	if sum := sumOf(joined.Reasons); sum != joined.Risk {
		t.Errorf("reasons sum to %d, risk is %d", sum, joined.Risk)
	}
	if len(joined.History) != 1 || joined.History[0].Kind != correlation.EntryGrew {
		t.Errorf("history: %+v", joined.History)
	}
	if c := h.caseOf(t, b[1]); c.ID == joined.ID || c.Members != 1 {
		t.Errorf("another place is in a case of %d", c.Members)
	}
	before := h.dump(t, h.ours)
	h.correlate(t)
	same(t, "rows after another look", before, h.dump(t, h.ours))

	h.decide(t, a, finding.FalsePositive)
	h.decide(t, b[0], finding.Fixed)
	h.correlate(t)
	if c := h.caseOf(t, a); c.Status != correlation.CaseFixed || c.Risk != 0 {
		t.Errorf("fixed and false make %s with risk %d", c.Status, c.Risk)
	}
	h.scanned(t, "wapiti", host, flaw("wapiti", host, "/item?id=9", 0))
	h.correlate(t)
	if c := h.caseOf(t, a); c.Status != correlation.CaseOpen || c.ID != first.ID {
		t.Errorf("seen again it is %s", c.Status)
	}
}

func sumOf(list []finding.RiskReason) int {
	n := 0
	for _, r := range list {
		n += r.Points
	}
	return n
}

// decide lets a person decide.
func (h *house) decide(tb testing.TB, id uid.Finding, s finding.Status) {
	tb.Helper()
	_, err := h.desk().DecideOne(tb.Context(), person(h.ours), id, triage.Decision{Status: s, Reason: "because"}, triage.Guard{})
	must(tb, err)
	must(tb, h.s.Sequence(tb.Context()))
}

// correctedCases checks that what people split and join survives later correlation and can be taken back.
func correctedCases(t *testing.T, h *house) {
	ctx, bureau, who := t.Context(), h.bureau(), person(h.ours)
	const host = "app.example"
	a := h.scanned(t, "sqlmap", host, flaw("sqlmap", host, "/item?id=1", 0))[0]
	b := h.scanned(t, "wapiti", host, flaw("wapiti", host, "/item?id=1", 0), flaw("wapiti", host, "/far?id=1", 1))
	h.correlate(t)
	home := h.caseOf(t, a)

	split := got(bureau.Split(ctx, who, home.ID, b[0], "another database"))(t)
	same(t, "left in the case", []uid.Finding{a}, membersOf(split))
	out := h.caseOf(t, b[0])
	if out.ID == home.ID || out.Findings[0].Belief.Text() == "" || out.Findings[0].Belief.By.ID != who.ID {
		t.Errorf("the finding stands in %+v", out.Record)
	}
	same(t, "its reason", "another database", out.Findings[0].Belief.Hand)
	again := h.scanned(t, "wapiti", host, flaw("wapiti", host, "/item?id=1", 0))
	h.correlate(t)
	same(t, "after another scan", out.ID, h.caseOf(t, again[0]).ID)
	zap := h.scanned(t, "zap", host, flaw("zap", host, "/item?id=1", 0))[0]
	h.correlate(t)
	same(t, "a third engine's goes where correlation puts it", home.ID, h.caseOf(t, zap).ID)
	_, err := bureau.Split(ctx, who, out.ID, b[0], "")
	wantConflict(t, err)
	_, err = bureau.Split(ctx, who, home.ID, b[0], "")
	wantMissing(t, err)

	back := got(bureau.Join(ctx, who, home.ID, "", []uid.Finding{b[0]}, "the same after all"))(t)
	same(t, "taken back", slices.Sorted(slices.Values([]uid.Finding{a, b[0], zap})), membersOf(back))
	same(t, "the case it was in says where it went", home.ID, got(h.s.Cases().Case(ctx, h.ours, out.ID))(t).MergedInto)
	if f := back.Findings[slices.IndexFunc(back.Findings, func(f correlation.Standing) bool { return f.Finding == b[0] })]; f.Belief.By.ID != "" {
		t.Errorf("it is back by itself, but: %s", f.Belief.Text())
	}

	far := h.caseOf(t, b[1])
	whole := got(bureau.Join(ctx, who, home.ID, far.ID, nil, "one statement"))(t)
	same(t, "joined by hand", 4, whole.Members)
	later := h.scanned(t, "zap", host, flaw("zap", host, "/far?id=1", 0))[0]
	h.correlate(t)
	same(t, "what belongs to it follows", home.ID, h.caseOf(t, later).ID)
	parted := got(bureau.Split(ctx, who, home.ID, b[1], ""))(t)
	same(t, "what was joined goes as it came", slices.Sorted(slices.Values([]uid.Finding{a, b[0], zap})), membersOf(parted))
	same(t, "together", slices.Sorted(slices.Values([]uid.Finding{b[1], later})), membersOf(h.caseOf(t, later)))
	h.correlate(t)
	same(t, "for good", 2, h.caseOf(t, later).Members)

	_, err = bureau.Join(ctx, who, home.ID, home.ID, nil, "")
	wantKind(t, err, fault.Invalid, fault.CodeValidation)
	_, err = bureau.Join(ctx, person(h.theirs), home.ID, "", []uid.Finding{a}, "")
	wantMissing(t, err)
}

// learnedAliases checks that a name and its address become one asset when a scan tells so.
func learnedAliases(t *testing.T, h *house) {
	a := h.scanned(t, "zap", "shop.example", flaw("zap", "shop.example", "/item?id=1", 0))[0]
	b := h.scanned(t, "wapiti", "192.0.2.7", flaw("wapiti", "192.0.2.7", "/item?id=1", 0))[0]
	h.correlate(t)
	if x, y := h.caseOf(t, a), h.caseOf(t, b); x.ID == y.ID {
		t.Fatal("nobody said that they are one host")
	}
	s := h.newScan(h.ours, "nikto", "shop.example")
	s.Target, s.TargetType = "http://shop.example/", asset.TypeURL
	h.addScans(t, s)
	for _, j := range h.admitAll(t) {
		s = h.start(t, j)
	}
	known := asset.Observation{Kind: asset.KindHost, Name: "shop.example", Attributes: attributes(`{"operatingSystems":["Linux"]}`), Source: "nmap"}
	must(t, h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error {
		return tx.ObserveAssets(ctx, []asset.Observation{known}, h.clock.Now())
	}))
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		return tx.RecordAssets(ctx, s, []asset.Observation{{
			Kind: asset.KindHost, Name: "shop.example", Attributes: attributes(`{"addresses":["192.0.2.7"]}`), Source: "nikto", Aside: true,
		}}, h.clock.Now())
	}))
	kept := got(h.s.Assets().Assets(t.Context(), h.ours, asset.Query{Name: "shop.example"}))(t)
	if len(kept.Items) != 1 || !strings.Contains(string(kept.Items[0].Attributes), "Linux") {
		t.Errorf("what the scan keeps aside changed the inventory: %+v", kept.Items)
	}
	h.ended(t, s)
	h.correlate(t)
	c := h.caseOf(t, a)
	same(t, "case", c.ID, h.caseOf(t, b).ID)
	same(t, "asset", "shop.example", c.Asset)
	if len(c.Looks) != 1 || c.Looks[0].Engine != "nikto" {
		t.Errorf("looks: %+v", c.Looks)
	}
	for _, host := range []string{"192.0.2.7", "shop.example"} {
		if l := h.allCases(t, correlation.Query{Asset: host}); len(l.Items) != 1 || l.Total.N != 1 {
			t.Errorf("%d cases of %s", len(l.Items), host)
		}
	}
}

// caseLists walks lists in every order under every filter.
func caseLists(t *testing.T, h *house) {
	var seen []scan.Seen
	for i := range 40 {
		f := flaw("zap", fmt.Sprintf("h%d.example", i%3), fmt.Sprintf("/p%dx?id=1", i), i)
		f.Severity = finding.Severities()[i%5]
		if i%4 == 0 {
			f.CVE = []string{"CVE-2024-0001"}
			f.Location.Package = fmt.Sprintf("p%d", i)
		}
		seen = append(seen, f)
	}
	ids := h.scanned(t, "zap", "h.example", seen...)
	for i, id := range ids[:12] {
		h.decide(t, id, []finding.Status{finding.Confirmed, finding.FalsePositive, finding.Fixed}[i%3])
	}
	h.correlate(t)
	all := h.allCases(t, correlation.Query{})
	if len(all.Items) != 40 || all.Total.N != 40 {
		t.Fatalf("%d cases, total %+v", len(all.Items), all.Total)
	}
	for name, tt := range map[string]struct {
		q    correlation.Query
		fits func(correlation.Record) bool
	}{
		"all":       {correlation.Query{}, func(correlation.Record) bool { return true }},
		"severity":  {correlation.Query{Severities: []finding.Severity{finding.Critical, finding.Low}}, func(c correlation.Record) bool { return c.Severity == finding.Critical || c.Severity == finding.Low }},
		"status":    {correlation.Query{Statuses: []correlation.Status{correlation.CaseFixed}}, func(c correlation.Record) bool { return c.Status == correlation.CaseFixed }},
		"minRisk":   {correlation.Query{MinRisk: 40}, func(c correlation.Record) bool { return c.Risk >= 40 }},
		"asset":     {correlation.Query{Asset: "h1.example"}, func(c correlation.Record) bool { return c.Asset == "h1.example" }},
		"cve":       {correlation.Query{CVE: "cve-2024-0001", MinRisk: 30}, func(c correlation.Record) bool { return len(c.CVE) == 1 && c.Risk >= 30 }},
		"engine":    {correlation.Query{Engine: "zap"}, func(correlation.Record) bool { return true }},
		"no engine": {correlation.Query{Engine: "nmap"}, func(correlation.Record) bool { return false }},
		"words":     {correlation.Query{Q: "INJECT h2"}, func(c correlation.Record) bool { return c.Asset == "h2.example" }},
	} {
		for _, sort := range []correlation.Sort{correlation.ByRisk, correlation.BySeverity, correlation.ByLastSeen} {
			var want []string
			for _, c := range all.Items {
				if tt.fits(c) {
					want = append(want, string(c.ID))
				}
			}
			records := map[string]correlation.Record{}
			found := walk(t, func(p page.Request) ([]correlation.Record, page.Key, error) {
				q := tt.q
				q.Sort, q.Page = sort, p
				l, err := h.bureau().List(t.Context(), h.ours, q)
				return l.Items, l.Next, err
			}, func(c correlation.Record) string {
				records[string(c.ID)] = c
				return string(c.ID)
			}, 7)
			for i := 1; i < len(found); i++ {
				if a, b := records[found[i-1]], records[found[i]]; order(sort, a) < order(sort, b) {
					t.Errorf("%s by %s: %d stands before %d", name, sort, order(sort, a), order(sort, b))
				}
			}
			slices.Sort(found)
			slices.Sort(want)
			same(t, name+" by "+string(sort), want, found)
		}
	}
	l := got(h.s.Triage().Findings(t.Context(), h.ours, triage.Query{
		Sort: triage.Riskiest, Filter: triage.Filter{Case: all.Items[0].ID}, Page: page.Request{WantTotal: true},
	}))(t)
	if len(l.Items) != 1 || l.Total.N != 1 || l.Items[0].Case != all.Items[0].ID || l.Items[0].Risk != all.Items[0].Risk {
		t.Errorf("findings of a case: %+v", l)
	}
	risks := walk(t, func(p page.Request) ([]triage.Finding, page.Key, error) {
		l, err := h.s.Triage().Findings(t.Context(), h.ours, triage.Query{Sort: triage.Riskiest, Page: p})
		return l.Items, l.Next, err
	}, func(f triage.Finding) string { return fmt.Sprintf("%03d", f.Risk) }, 9)
	if len(risks) != 40 || !slices.IsSortedFunc(risks, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("risks of findings: %q", risks)
	}
}

func order(s correlation.Sort, c correlation.Record) int64 {
	switch s {
	case correlation.BySeverity:
		return -int64(c.Severity.Rank())
	case correlation.ByLastSeen:
		return c.LastSeenAt.UnixMicro()
	case correlation.ByRisk:
	}
	return int64(c.Risk)
}

// furnishCases gives ours a case with a correction, and both organizations' findings their cases.
func (h *house) furnishCases(tb testing.TB, o *estate) {
	tb.Helper()
	h.correlate(tb)
	f := got(h.s.Triage().Finding(tb.Context(), h.ours, o.finding))(tb)
	o.inCase = f.Case
	must(tb, h.s.Cases().Change(tb.Context(), h.ours, act(), func(ctx context.Context, tx correlation.Tx) error {
		if err := tx.PutPins(ctx, []correlation.Pin{{Finding: o.finding, By: correlation.Author{Kind: "user", ID: "x"}}}); err != nil {
			return err
		}
		return tx.PutPlan(ctx, correlation.Plan{
			Findings: []correlation.Standing{{Finding: o.finding, Case: f.Case, Keys: []string{"a", "b"}}},
			Entries:  []correlation.Entry{{Case: f.Case, Seq: 9, Kind: correlation.EntrySplit}},
		})
	}))
	s := h.running(tb, h.ours, "nmap", "alias.example")
	must(tb, h.scans(tb, h.ours, func(ctx context.Context, tx scan.Tx) error {
		return tx.RecordAssets(ctx, s, []asset.Observation{{Kind: asset.KindHost, Name: "alias.example", Attributes: attributes(`{"address":"192.0.2.9"}`)}}, h.clock.Now())
	}))
	h.finish(tb, s, finding.Summary{})
	_, err := h.s.CaseFeed().LearnAliases(tb.Context(), h.ours, s.ID)
	must(tb, err)
	o.aliased = s
}

func (h *house) caseReaders(o estate) portTries {
	cases, org := h.s.Cases(), h.theirs
	return portTries{port: reflect.TypeFor[correlation.Store](), tries: map[string]attempt{
		"Case": func(ctx context.Context) (any, error) { return cases.Case(ctx, org, o.inCase) },
		"Cases": func(ctx context.Context) (any, error) {
			for _, q := range []correlation.Query{{}, {CVE: "CVE-2024-0001"}, {Asset: "shared"}, {Q: "port"}, {Sort: correlation.ByLastSeen}} {
				q.Page = pageAll()
				l, err := cases.Cases(ctx, org, q)
				if err != nil {
					return nil, err
				}
				if slices.ContainsFunc(l.Items, func(c correlation.Record) bool { return c.ID == o.inCase }) || l.Total.N > 2 {
					return l, nil
				}
			}
			return nil, nil
		},
		"CaseMembers": func(ctx context.Context) (any, error) { return cases.CaseMembers(ctx, org, o.inCase) },
		"CaseHistory": func(ctx context.Context) (any, error) { return cases.CaseHistory(ctx, org, o.inCase) },
		"CaseLooks": func(ctx context.Context) (any, error) {
			return cases.CaseLooks(ctx, org, []string{"alias.example"}, time.Time{})
		},
		"Aliases": func(ctx context.Context) (any, error) {
			a, err := cases.Aliases(ctx, org)
			return a.Asset("192.0.2.9") != "192.0.2.9", err
		},
	}}
}

func (h *house) caseFollowers(o estate) portTries {
	feed, org := h.s.CaseFeed(), h.theirs
	return portTries{port: reflect.TypeFor[correlation.Findings](), tries: map[string]attempt{
		"ScanFindings":  func(ctx context.Context) (any, error) { return feed.ScanFindings(ctx, org, o.scan.ID, "", 10) },
		"FixedFindings": func(ctx context.Context) (any, error) { return feed.FixedFindings(ctx, org, o.scan.ID, "", 10) },
		"HostFindings": func(ctx context.Context) (any, error) {
			l, err := feed.HostFindings(ctx, org, "shared", "", 10)
			return slices.Contains(l, o.finding), err
		},
		"EachFinding": func(ctx context.Context) (any, error) {
			l, err := feed.EachFinding(ctx, org, "", 10)
			return slices.Contains(l, o.finding), err
		},
		"LearnAliases": func(ctx context.Context) (any, error) { return feed.LearnAliases(ctx, org, o.aliased.ID) },
	}}
}

func (h *house) caseWriters(o estate) portTries {
	in := func(f func(context.Context, correlation.Tx) error) attempt {
		return func(ctx context.Context) (any, error) { return nil, h.s.Cases().Change(ctx, h.theirs, act(), f) }
	}
	return portTries{port: reflect.TypeFor[correlation.Tx](), tries: map[string]attempt{
		"Gather": in(func(ctx context.Context, tx correlation.Tx) error {
			s, err := tx.Gather(ctx, []uid.Finding{o.finding}, correlation.Aliases{})
			if len(s.Findings)+len(s.Cases)+len(s.Pins) > 0 {
				return errSharedFinding
			}
			return err
		}),
		"CaseFindings": in(func(ctx context.Context, tx correlation.Tx) error {
			return mustFail(second(tx.CaseFindings(ctx, o.inCase, 10)))
		}),
		"PutPins": in(func(ctx context.Context, tx correlation.Tx) error {
			return tx.PutPins(ctx, []correlation.Pin{{Finding: o.finding, Other: o.finding}})
		}),
		"DropPins": in(func(ctx context.Context, tx correlation.Tx) error {
			return tx.DropPins(ctx, []correlation.Pin{{Finding: o.finding}})
		}),
		"PutPlan": in(func(ctx context.Context, tx correlation.Tx) error {
			return tx.PutPlan(ctx, correlation.Plan{
				Cases:    []correlation.Record{{ID: o.inCase, Title: "changed", Severity: finding.Low}},
				Findings: []correlation.Standing{{Finding: o.finding, Case: uid.Case(o.finding), Keys: []string{"c", "d"}, Keyed: []string{"a", "b"}}},
				Entries:  []correlation.Entry{{Case: o.inCase, Seq: 9}},
			})
		}),
		"Emit": in(func(ctx context.Context, tx correlation.Tx) error {
			return tx.Emit(ctx, event.FindingTriaged, string(o.finding), map[string]int{})
		}),
	}}
}
