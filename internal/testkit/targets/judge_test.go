package targets_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
)

func TestFindingsAreCountedAsFoundMissedTwiceOrFalse(t *testing.T) {
	t.Parallel()
	flaws := []targets.Flaw{
		{ID: "a", CWE: []int{89}, Port: 80, Paths: []string{"/item"}},
		{ID: "b", CWE: []int{79}, Port: 80},
		{ID: "c", Alike: []int{693}, Port: 80, Words: []string{"csp"}},
		{ID: "c2", CWE: []int{693}, Port: 80, Depends: "c"},
		{ID: "d", CWE: []int{319}, Port: 80},
	}
	at := func(rule string, severity finding.Severity, cwe int, path string) finding.Observation {
		return finding.Observation{Rule: rule, Severity: severity, CWE: []int{cwe}, Location: finding.Location{Host: "h", Port: 80, URL: "http://h" + path}}
	}
	got := targets.Judge(flaws, []finding.Observation{
		at("x:sqli", finding.High, 89, "/item?id=1"), at("x:blind", finding.High, 89, "/item"), at("x:sqli", finding.High, 89, "/other"),
		at("x:csp", finding.Low, 693, "/"), at("x:permissions-policy", finding.Low, 693, "/"), at("x:port", finding.Info, 0, "/"), at("x:plain", finding.Info, 319, "/"),
	})
	want := targets.Score{Found: []string{"a", "c", "d"}, Missed: []string{"b"}, Twice: []string{"a"}, False: []string{"x:sqli at /other"}, Notes: 1, Told: map[string][]string{
		"a": {"x:sqli at /item", "x:blind at /item"}, "c": {"x:csp at /"}, "d": {"x:plain at /"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
