package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// exchange is the service of VEX documents over the test's store.
func exchange(b *bundle) *vex.Service {
	return vex.New(vex.Deps{Store: b.store.VEX(), Decider: newTriage(b), Scans: noScans{}, Now: b.clock.Now, IDs: b.clock.IDs()})
}

// noScans knows no scan.
type noScans struct{}

func (noScans) FindingsOf(context.Context, uid.Org, uid.Scan) (map[uid.Finding]bool, error) {
	return nil, fault.Missing("scan")
}

func vexDocument(statements ...string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.org/vex/1","author":"Vendor","timestamp":"2026-03-01T00:00:00Z","version":1,"statements":[` +
		strings.Join(statements, ",") + `]}`
}

func TestAVEXDocumentIsTakenOverAndPeoplesDecisionsStay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, theirs := b.found(b.ours, "192.0.2.7", 3), b.found(b.theirs, "192.0.2.7", 3)
	b.call("POST", "/api/findings/"+string(ours[1])+"/triage", `{"status":"confirmed"}`, key(b.key)).want(200)
	doc := vexDocument(
		`{"vulnerability":{"name":"CVE-2024-0000"},"status":"not_affected","justification":"component_not_present","products":[{"@id":"192.0.2.7"}]}`,
		`{"vulnerability":{"name":"CVE-2024-0001"},"status":"fixed"}`,
		`{"vulnerability":{"name":"CVE-2024-0002"},"status":"fixed","products":[{"@id":"192.0.2.99"}]}`,
	)
	status := func(id uid.Finding, k string) string {
		t.Helper()
		return b.call("GET", "/api/findings/"+string(id), "", key(k)).want(200).text("status")
	}
	dry := b.call("POST", "/api/vex?dryRun=true", doc, key(b.key)).want(200)
	if dry.at("findings.applied") != 1.0 || dry.at("dryRun") != true || status(ours[0], b.key) != "open" {
		t.Errorf("%s", dry.Body)
	}
	done := b.call("POST", "/api/vex", doc, key(b.key)).want(200)
	for path, want := range map[string]any{
		"statements.total": 3.0, "statements.matched": 2.0, "statements.unmatched": 1.0, "findings.total": 2.0, "findings.applied": 1.0,
		"findings.conflicts": 1.0, "dryRun": false, "format": "openvex",
	} {
		if done.at(path) != want {
			t.Errorf("%s is %v: %s", path, done.at(path), done.Body)
		}
	}
	first := b.call("GET", "/api/findings/"+string(ours[0]), "", key(b.key)).want(200)
	if first.text("status") != "false_positive" || first.text("decision.justification") != "component_not_present" || status(ours[1], b.key) != "confirmed" {
		t.Errorf("%s", first.Body)
	}
	for _, id := range theirs {
		if s := status(id, b.other); s != "open" {
			t.Errorf("another organization's finding is %s", s)
		}
	}
	over := b.call("POST", "/api/vex?overwrite=true", doc, key(b.key)).want(200)
	if over.at("findings.applied") != 1.0 || status(ours[1], b.key) != "fixed" {
		t.Errorf("%s", over.Body)
	}
	trail := b.entries(b.ours)
	entered := 0
	for _, e := range trail {
		if e.Type == event.VEXImported {
			entered++
		}
	}
	if entered != 3 {
		t.Errorf("%d entries of imports", entered)
	}
	b.call("POST", "/api/vex", vexDocument(`{"vulnerability":{"name":"CVE-2024-0001"},"status":"harmless"}`), key(b.key)).want(422)
	b.call("POST", "/api/vex", `{"@context":1,"@context":2}`, key(b.key)).want(400)
	b.call("POST", "/api/vex", doc, key(b.newKey(b.ours, "findings:read"))).want(403)
	large := vexDocument(`{"vulnerability":{"name":"CVE-2024-0009","description":"` + strings.Repeat("x", 2<<20) + `"},"status":"fixed"}`)
	b.call("POST", "/api/vex", large, key(b.key)).want(200)
}

func TestDecisionsAreExportedInBothForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if w := b.call("GET", "/api/vex", "", key(b.key)).want(404); w.text("code") != "NOT_FOUND" {
		t.Errorf("%s", w.Body)
	}
	ids := b.found(b.ours, "192.0.2.7", 450)
	b.found(b.theirs, "192.0.2.8", 1)
	b.call("POST", "/api/findings/"+string(ids[3])+"/triage", `{"status":"false_positive","reason":"not ours","justification":"component_not_present"}`, key(b.key)).want(200)
	open := b.call("GET", "/api/vex", "", key(b.key)).want(200)
	var doc struct {
		Author     string `json:"author"`
		Statements []struct {
			Vulnerability struct {
				Name string `json:"name"`
			} `json:"vulnerability"`
			Status string `json:"status"`
		} `json:"statements"`
	}
	if err := json.Unmarshal(open.Body.Bytes(), &doc); err != nil || len(doc.Statements) != 450 || doc.Author != "Ours" {
		t.Fatalf("%d statements by %s, %v", len(doc.Statements), doc.Author, err)
	}
	for i, s := range doc.Statements {
		want := "under_investigation"
		if i == 3 {
			want = "not_affected"
		}
		if s.Vulnerability.Name != fmt.Sprintf("CVE-2024-%04d", i) || s.Status != want {
			t.Errorf("%d: %+v", i, s)
		}
	}
	bom := b.call("GET", "/api/vex?format=cyclonedx&product=192.0.2.7:3", "", key(b.key)).want(200)
	if list, _ := bom.at("vulnerabilities").([]any); len(list) != 1 || !strings.HasPrefix(bom.Header().Get("Content-Type"), "application/vnd.cyclonedx+json") {
		t.Errorf("%s", bom.Body)
	}
	b.call("GET", "/api/vex?format=csaf", "", key(b.key)).want(422)
	b.call("GET", "/api/vex?scan="+missing, "", key(b.key)).want(404)
}

func TestAFindingShowsThatItIsKnownToBeExploited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.found(b.ours, "192.0.2.7", 2)
	_, err := publicSources(b).Import(t.Context(), intel.KEV, strings.NewReader(`{"vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-05-04"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if f := b.call("GET", "/api/findings/"+string(ids[1]), "", key(b.key)).want(200); f.at("kev") != true || f.at("epss") != nil {
		t.Errorf("%s", f.Body)
	}
	if f := b.call("GET", "/api/findings/"+string(ids[0]), "", key(b.key)).want(200); f.at("kev") != nil {
		t.Errorf("%s", f.Body)
	}
}

func TestFindingsAreFilteredByWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.found(b.ours, "192.0.2.7", 8)
	b.found(b.theirs, "192.0.2.7", 8)
	load := func(src intel.Source, file string) {
		t.Helper()
		if _, err := publicSources(b).Import(t.Context(), src, strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
	}
	list := func(query string) (cves []string, total any) {
		t.Helper()
		w := b.call("GET", "/api/findings?"+query, "", key(b.key)).want(200)
		data, _ := w.at("data").([]any)
		for _, f := range data {
			m, _ := f.(map[string]any)
			of, _ := m["cve"].([]any)
			cves = append(cves, fmt.Sprint(of...))
		}
		return cves, w.at("meta.total")
	}
	if got, total := list("kev=true"); len(got) != 0 || total != 0.0 {
		t.Errorf("nothing is loaded: %v of %v", got, total)
	}
	load(intel.KEV, `{"vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-05-04"},{"cveID":"CVE-2024-0005","dateAdded":"2024-05-04"},{"cveID":"CVE-2020-0001","dateAdded":"2024-05-04"}]}`)
	load(intel.EPSS, "cve,epss,percentile\nCVE-2024-0001,0.2,0.5\nCVE-2024-0002,0.9,0.9\nCVE-2024-0005,0.5,0.8\n")
	for query, want := range map[string]string{
		"kev=true": "[CVE-2024-0005 CVE-2024-0001]", "minEpss=0.5": "[CVE-2024-0005 CVE-2024-0002]", "kev=true&minEpss=0.5": "[CVE-2024-0005]",
		"kev=true&severity=high": "[CVE-2024-0001]", "minEpss=0.91": "[]", "kev=true&host=192.0.2.8": "[]",
	} {
		got, total := list(query)
		if fmt.Sprint(got) != want || total != float64(len(got)) {
			t.Errorf("%s: %v of %v; want %s", query, got, total, want)
		}
	}
	page := b.call("GET", "/api/findings?kev=true&limit=1", "", key(b.key)).want(200)
	rest := b.call("GET", "/api/findings?kev=true&limit=1&cursor="+page.text("meta.nextCursor"), "", key(b.key)).want(200)
	if data, _ := rest.at("data").([]any); len(data) != 1 || rest.text("meta.nextCursor") != "" {
		t.Errorf("%s", rest.Body)
	}
	b.call("GET", "/api/findings?minEpss=2", "", key(b.key)).want(422)
}
