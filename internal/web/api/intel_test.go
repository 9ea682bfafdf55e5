package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/intel"
)

// publicSources is the service that loads EPSS, KEV and NVD into the test's store.
func publicSources(b *bundle) *intel.Service {
	return intel.New(intel.Deps{Store: b.store.Intel(), Now: b.clock.Now, IDs: b.clock.IDs()})
}

// enriched is what the store does with results that it reads.
func (f *scanFake) enriched(t *testing.T) {
	t.Helper()
	for i := range f.results {
		if err := f.store.Enrich(t.Context(), &f.results[i].Finding); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindingsSayWhatIsKnownOfTheirCVEsAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.someScan(b.ours, scan.Completed)
	b.scans.results = []scan.Result{
		{Finding: finding.Finding{Observation: finding.Observation{Rule: "r", Title: "listed", CVE: []string{"CVE-2021-44228"}}}},
		{Finding: finding.Finding{Observation: finding.Observation{Rule: "r", Title: "not listed", CVE: []string{"CVE-2020-0001"}}}},
		{Finding: finding.Finding{Observation: finding.Observation{Rule: "r", Title: "without a CVE"}}},
	}
	load := func(src intel.Source, file string) {
		t.Helper()
		if _, err := publicSources(b).Import(t.Context(), src, strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
	}
	type known struct{ EPSS, Percentile, KEV, Due, CVSS any }
	read := func() []known {
		t.Helper()
		b.scans.enriched(t)
		list, _ := b.call("GET", scans+"/"+string(s.ID)+"/results", "", key(b.key)).want(200).at("data.findings").([]any)
		out := make([]known, 0, len(list))
		for _, f := range list {
			m, _ := f.(map[string]any)
			out = append(out, known{m["epss"], m["epssPercentile"], m["kev"], m["kevDueDate"], m["cvssSource"]})
		}
		return out
	}
	if diff := cmp.Diff(make([]known, 3), read()); diff != "" {
		t.Errorf("nothing is loaded:\n%s", diff)
	}
	load(intel.KEV, `{"catalogVersion":"2026.03.01","dateReleased":"2026-03-01T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2021-44228","dateAdded":"2021-12-10","dueDate":"2021-12-24"}]}`)
	load(intel.EPSS, "#model_version:v2025.03.14,score_date:2026-03-05T00:00:00Z\ncve,epss,percentile\nCVE-2021-44228,0.94358,0.99957\nCVE-2020-0001,0,0\n")
	load(intel.NVD, `{"vulnerabilities":[{"cve":{"id":"CVE-2021-44228","metrics":{"cvssMetricV31":[{"type":"Primary","cvssData":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"}}]}}}]}`)
	if diff := cmp.Diff([]known{{0.94358, 0.99957, true, "2021-12-24", "nvd"}, {EPSS: 0.0, Percentile: 0.0}, {}}, read()); diff != "" {
		t.Errorf("all are loaded:\n%s", diff)
	}
	load(intel.KEV, `{"vulnerabilities":[{"cveID":"CVE-2014-0160","dateAdded":"2022-05-04"}]}`)
	if got := read(); got[0].KEV != nil || got[0].EPSS != 0.94358 {
		t.Errorf("a CVE that the catalogue no longer lists: %+v", got[0])
	}
}

func TestTheStateOfPublicSourcesIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	state := func() []any {
		t.Helper()
		list, _ := b.call("GET", "/api/intel", "", key(b.key)).want(200).at("sources").([]any)
		return list
	}
	for _, s := range state() {
		if m, _ := s.(map[string]any); m["loaded"] != false || m["date"] != nil || m["importedAt"] != nil || m["stale"] != false {
			t.Errorf("%v", s)
		}
	}
	_, err := publicSources(b).Import(t.Context(), intel.EPSS, strings.NewReader("#model_version:v1,score_date:2026-02-20T00:00:00Z\ncve,epss,percentile\nCVE-2020-0001,0,0\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := state()[0].(map[string]any)
	delete(got, "sha256")
	delete(got, "importedAt")
	want := map[string]any{"source": "epss", "loaded": true, "version": "v1", "date": "2026-02-20T00:00:00Z", "rows": 1.0, "ageDays": 14.0, "stale": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
