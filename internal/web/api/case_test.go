package api_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/uid"
)

func newCases(b *bundle) *correlation.Service {
	return correlation.New(correlation.Deps{Store: b.store.Cases(), Now: b.clock.Now, IDs: b.clock.IDs()})
}

// correlate brings cases in step with findings.
func (b *bundle) correlate() {
	b.t.Helper()
	feed := b.store.CaseFeed()
	f := correlation.NewFollower(correlation.FollowerDeps{
		Store: b.store.Cases(), Journal: feed, Findings: feed, Now: b.clock.Now, IDs: b.clock.IDs(), Log: slog.New(slog.DiscardHandler),
	})
	if err := f.CatchUp(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// injection is one SQL injection as three engines report it.
func injection(engine string) []scan.Seen {
	o := finding.Observation{
		Rule: "sqlmap:sqli", Discern: "boolean-based blind", Title: "SQL injection in parameter id (SQLite)", Severity: finding.Critical, Confidence: finding.Certain,
		Category: finding.CategoryVulnerability, CWE: []int{89},
		Location: finding.Location{Host: "127.0.0.1", Port: 8081, Protocol: "tcp", URL: "http://127.0.0.1:8081/item?id=1", Method: "GET", Parameter: "id"},
	}
	switch engine {
	case "wapiti":
		o.Rule, o.Discern, o.Title, o.Severity, o.Confidence = "wapiti:sql-injection", "", "SQL Injection", finding.High, finding.Firm
		o.Location.URL = "http://127.0.0.1:8081/item?id=default%C2%BF%27%22%28"
	case "zap":
		o.Rule, o.Discern, o.Title, o.Severity, o.Confidence = "zap:40018", "", "SQL Injection", finding.High, finding.Tentative
		o.Location = finding.Location{URL: "http://localhost:8081/item?id=1%27", Method: "GET", Parameter: "id"}
	}
	o = finding.Clean(o)
	return []scan.Seen{{Observation: o, Fingerprint: finding.Fingerprint(engine, o), Occurrence: finding.Occurrence(engine, o)}}
}

// someCase is a case of two findings.
func (b *bundle) someCase(org uid.Org) (id string, pair []string) {
	b.t.Helper()
	for _, engine := range []string{"sqlmap", "wapiti"} {
		pair = append(pair, string(b.scanned(org, engine, "127.0.0.1", injection(engine))[0]))
	}
	b.correlate()
	f, err := b.store.Triage().Finding(b.t.Context(), org, uid.Finding(pair[0]))
	if err != nil || f.Case == "" {
		b.t.Fatalf("case %q, %v", f.Case, err)
	}
	return string(f.Case), pair
}

// nth is a field of the n-th element of a list in an answer, as text.
func nth(w answer, list string, n int, field string) string {
	items, _ := w.at(list).([]any)
	if n >= len(items) {
		return ""
	}
	at := items[n]
	for part := range strings.SplitSeq(field, ".") {
		object, _ := at.(map[string]any)
		at = object[part]
	}
	return fmt.Sprint(at)
}

func TestOneInjectionThatThreeEnginesSeeIsOneCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, pair := b.someCase(b.ours)
	third := string(b.scanned(b.ours, "zap", "127.0.0.1", injection("zap"))[0])
	b.correlate()

	list := b.call("GET", "/api/cases?minRisk=1&host=localhost&severity=critical", "", key(b.key)).want(200)
	if list.at("meta.total") != 1.0 || nth(list, "data", 0, "id") != id || nth(list, "data", 0, "confidence") != "certain" {
		t.Errorf("%s", list.Body)
	}
	one := b.call("GET", "/api/cases/"+id, "", key(b.key)).want(200)
	members, _ := one.at("members").([]any)
	if len(members) != 3 || one.at("findings") != 3.0 || one.text("title") != "SQL injection in parameter id (SQLite)" || nth(one, "members", 0, "engine") != "sqlmap" {
		t.Errorf("%s", one.Body)
	}
	if why := nth(one, "members", 2, "why.text"); !strings.Contains(why, "CWE-89") || !strings.Contains(why, "/item, parameter id") {
		t.Errorf("why: %s", why)
	}
	sum := 0.0
	reasons, _ := one.at("riskReasons").([]any)
	for _, r := range reasons {
		sum += r.(map[string]any)["points"].(float64)
	}
	if sum != one.at("riskScore") || sum == 0 {
		t.Errorf("reasons sum to %v: %s", sum, one.Body)
	}
	f := b.call("GET", "/api/findings/"+third, "", key(b.key)).want(200)
	if f.text("caseId") != id || f.at("riskScore") == nil || f.at("riskReasons") == nil {
		t.Errorf("%s", f.Body)
	}
	of := b.call("GET", "/api/findings?sort=risk&caseId="+id, "", key(b.key)).want(200)
	if of.at("meta.total") != 3.0 || nth(of, "data", 0, "caseId") != id {
		t.Errorf("%s", of.Body)
	}
	b.call("GET", "/api/cases/"+id, "", key(b.other)).want(404)

	split := b.call("POST", "/api/cases/"+id+"/split", `{"findingId":"`+pair[1]+`","reason":"another one"}`, key(b.key)).want(200)
	if split.at("findings") != 2.0 || nth(split, "history", 0, "kind") != "split" || nth(split, "history", 0, "by.kind") == "" {
		t.Errorf("%s", split.Body)
	}
	b.correlate()
	own := b.call("GET", "/api/findings/"+pair[1], "", key(b.key)).want(200).text("caseId")
	if own == id {
		t.Error("correlation put back what a person took out")
	}
	if by := b.call("GET", "/api/cases/"+own, "", key(b.key)).want(200); nth(by, "members", 0, "why.byHand") != "true" {
		t.Errorf("%s", by.Body)
	}
	joined := b.call("POST", "/api/cases/"+id+"/join", `{"caseId":"`+own+`"}`, key(b.key)).want(200)
	if joined.at("findings") != 3.0 {
		t.Errorf("%s", joined.Body)
	}
	if gone := b.call("GET", "/api/cases/"+own, "", key(b.key)).want(200); gone.text("status") != "merged" || gone.text("mergedInto") != id {
		t.Errorf("%s", gone.Body)
	}
	for _, body := range []string{`{}`, `{"caseId":"` + id + `"}`, `{"caseId":"x","findingIds":["y"]}`} {
		if w := b.call("POST", "/api/cases/"+id+"/join", body, key(b.key)); w.Code != 422 {
			t.Errorf("%s is answered %d", body, w.Code)
		}
	}
	b.call("POST", "/api/cases/"+id+"/split", `{"findingId":"`+pair[1]+`"}`, key(b.other)).want(404)
	acts := 0
	for _, e := range b.entries(b.ours) {
		if slices.Contains([]string{"case.split", "case.joined"}, string(e.Type)) && e.Status == 200 {
			acts++
		}
	}
	if acts != 2 {
		t.Errorf("%d acts on cases were entered, want 2", acts)
	}
}

func TestFindingsOfAnAsset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.found(b.ours, "192.0.2.7", 3)
	b.found(b.ours, "192.0.2.8", 2)
	made := b.call("POST", "/api/assets", `{"name":"192.0.2.7"}`, key(b.key)).want(201)
	of := b.call("GET", "/api/findings?assetId="+made.text("id"), "", key(b.key)).want(200)
	if of.at("meta.total") != 3.0 {
		t.Errorf("%s", of.Body)
	}
	b.call("GET", "/api/findings?assetId="+made.text("id")+"&host=192.0.2.8", "", key(b.key)).want(422)
	b.call("GET", "/api/findings?assetId="+missing, "", key(b.key)).want(404)
}
