package finding_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "rewrite docs/vectors/finding-identity.json")

// vectors is docs/vectors/finding-identity.json.
type vectors struct {
	About     []string     `json:"about"`
	Fields    []field      `json:"fields"`
	Templates [][2]string  `json:"pathTemplates"`
	Cases     []vectorCase `json:"cases"`
}

type field struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	In     string `json:"in"`
}

type vectorCase struct {
	Name        string           `json:"name"`
	Engine      string           `json:"engine"`
	Rule        string           `json:"rule"`
	Discern     string           `json:"discern,omitempty"`
	CVE         []string         `json:"cve,omitempty"`
	CWE         []int            `json:"cwe,omitempty"`
	Location    finding.Location `json:"location"`
	Fingerprint string           `json:"fingerprint"`
	Occurrence  string           `json:"occurrence"`
	Case        string           `json:"case,omitempty"`
}

func (c vectorCase) observation() finding.Observation {
	return finding.Clean(finding.Observation{Rule: c.Rule, Discern: c.Discern, CVE: c.CVE, CWE: c.CWE, Location: c.Location})
}

// TestIdentitiesAreThePublishedOnes fails when an identity changes: stored findings would then be lost from sight. A new
// way of forming them needs a new scheme version beside the old one, never -update.
func TestIdentitiesAreThePublishedOnes(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "docs", "vectors", "finding-identity.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	got := v
	got.Cases = slices.Clone(v.Cases)
	for i, c := range got.Cases {
		o := c.observation()
		got.Cases[i].Fingerprint, got.Cases[i].Occurrence = finding.Fingerprint(c.Engine, o), finding.Occurrence(c.Engine, o)
		got.Cases[i].Case = finding.CaseKey(o)
	}
	if *update {
		out, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(v, got); diff != "" {
		t.Errorf("identities (-published +computed):\n%s", diff)
	}
	for _, p := range v.Templates {
		if got := finding.PathTemplate(p[0]); got != p[1] {
			t.Errorf("PathTemplate(%q) = %q, want %q", p[0], got, p[1])
		}
	}
	if len(v.Cases) < 12 {
		t.Errorf("only %d cases are published", len(v.Cases))
	}
}

func clean(o finding.Observation) finding.Observation { return finding.Clean(o) }

func web(url string) finding.Observation {
	return finding.Observation{Rule: "zap:40012", CWE: []int{79}, Location: finding.Location{URL: url, Method: "GET", Parameter: "q"}}
}

func TestWeaknessSurvivesWhatMoves(t *testing.T) {
	t.Parallel()
	base := finding.Observation{
		Rule: "trivy:vuln", Discern: "CVE-2024-0001", Severity: finding.High, CVE: []string{"CVE-2024-0001", "CVE-2024-0002"},
		Location: finding.Location{Host: "example.org", Image: "registry.example.org/app:1.0", Package: "openssl", Version: "3.0.1", FixedVersion: "3.0.2", File: "a/b", Line: 3},
	}
	want := finding.Fingerprint("trivy", clean(base))
	for name, change := range map[string]func(*finding.Observation){
		"severity":         func(o *finding.Observation) { o.Severity = finding.Low },
		"title":            func(o *finding.Observation) { o.Title = "another" },
		"description":      func(o *finding.Observation) { o.Description = "installed 3.0.1" },
		"evidence":         func(o *finding.Observation) { o.Evidence = "Sun Nov 22 06:00:00" },
		"confidence":       func(o *finding.Observation) { o.Confidence = finding.Certain },
		"cvss":             func(o *finding.Observation) { o.CVSS = &finding.CVSS{Version: "3.1", Score: 9.8} },
		"order of CVEs":    func(o *finding.Observation) { slices.Reverse(o.CVE) },
		"more CVEs":        func(o *finding.Observation) { o.CVE = append(o.CVE, "CVE-2024-0003") },
		"CWE":              func(o *finding.Observation) { o.CWE = []int{79} },
		"references":       func(o *finding.Observation) { o.References = []string{"https://example.org/"} },
		"version":          func(o *finding.Observation) { o.Location.Version = "3.0.9" },
		"fixed version":    func(o *finding.Observation) { o.Location.FixedVersion = "" },
		"line":             func(o *finding.Observation) { o.Location.Line = 99 },
		"image tag":        func(o *finding.Observation) { o.Location.Image = "registry.example.org/app:2.0" },
		"image digest":     func(o *finding.Observation) { o.Location.Image = "registry.example.org/app@sha256:00" },
		"case of the host": func(o *finding.Observation) { o.Location.Host = "EXAMPLE.org." },
	} {
		o := base
		o.CVE = slices.Clone(base.CVE)
		change(&o)
		if got := finding.Fingerprint("trivy", clean(o)); got != want {
			t.Errorf("%s changes the weakness", name)
		}
	}
	for _, pair := range [][2]string{
		{"http://example.org/users/1?q=a", "http://example.org/users/2?q=b"},
		{"http://example.org/", "http://example.org:80"},
		{"http://example.org/a/", "http://example.org/a"},
		{"http://example.org/a/./b", "http://example.org/a/b"},
		{"http://example.org/x;jsessionid=1", "http://example.org/x"},
		{"http://example.org/static/app.0a1b2c3d.js", "http://example.org/static/app.9f8e7d6c.js"},
		{"http://example.org/o/123e4567-e89b-12d3-a456-426614174000", "http://example.org/o/00000000-0000-7000-8000-000000000000"},
		{"http://example.org/%61", "http://example.org/a"},
	} {
		if finding.Fingerprint("zap", clean(web(pair[0]))) != finding.Fingerprint("zap", clean(web(pair[1]))) {
			t.Errorf("%s and %s are two weaknesses", pair[0], pair[1])
		}
	}
}

func TestWeaknessesAtDifferentPlacesStayApart(t *testing.T) {
	t.Parallel()
	at := func(l finding.Location) finding.Observation { return finding.Observation{Rule: "r", Location: l} }
	all := []finding.Observation{
		at(finding.Location{Host: "example.org"}), at(finding.Location{Host: "example.net"}),
		at(finding.Location{Host: "example.org", Port: 80}), at(finding.Location{Host: "example.org", Port: 80, Protocol: "udp"}),
		at(finding.Location{Host: "example.org", Port: 443}), at(finding.Location{URL: "http://example.org/a"}),
		at(finding.Location{URL: "http://example.org/b"}), at(finding.Location{URL: "http://example.org/a", Parameter: "x"}),
		at(finding.Location{URL: "http://example.org/a", Method: "POST"}), at(finding.Location{Host: "example.org", File: "x"}),
		at(finding.Location{Host: "example.org", Package: "x"}), at(finding.Location{Host: "example.org", Image: "x"}),
		{Rule: "r2", Location: finding.Location{Host: "example.org"}},
		{Rule: "r", Discern: "d", Location: finding.Location{Host: "example.org"}},
	}
	seen := map[string]int{}
	for i, o := range all {
		f := finding.Fingerprint("e", clean(o))
		if j, dup := seen[f]; dup {
			t.Errorf("%d and %d are one weakness", i, j)
		}
		seen[f] = i
	}
	if finding.Fingerprint("a", clean(all[0])) == finding.Fingerprint("b", clean(all[0])) {
		t.Error("two engines share a weakness")
	}
}

func TestOccurrenceIsTheExactPlace(t *testing.T) {
	t.Parallel()
	a, b := clean(web("http://example.org/users/1?q=a")), clean(web("http://example.org/users/2?q=a"))
	if finding.Occurrence("zap", a) == finding.Occurrence("zap", b) {
		t.Error("two URLs are one occurrence")
	}
	lined := finding.Observation{Rule: "r", Location: finding.Location{File: "a", Line: 1}}
	other := lined
	other.Location.Line = 2
	if finding.Occurrence("e", clean(lined)) == finding.Occurrence("e", clean(other)) {
		t.Error("two lines are one occurrence")
	}
}

func TestCaseJoinsEnginesOnWhatTheyAgreeOn(t *testing.T) {
	t.Parallel()
	host := finding.Location{Host: "example.org", Port: 443}
	cve := func(ids ...string) finding.Observation {
		return clean(finding.Observation{Rule: "x", CVE: ids, Location: host})
	}
	if finding.CaseKey(cve("CVE-2024-0001", "cve-2024-0002")) != finding.CaseKey(cve("CVE-2024-0002", "CVE-2024-0001")) {
		t.Error("the order of CVE ids parts a case")
	}
	if finding.CaseKey(cve("CVE-2024-0001")) == finding.CaseKey(cve("CVE-2024-0002")) {
		t.Error("two CVEs are one case")
	}
	certificate := "sha256:" + strings.Repeat("ab", 32)
	one := clean(finding.Observation{Rule: "nmap:ssl-cert", Discern: certificate, CWE: []int{298}, Location: host})
	two := clean(finding.Observation{Rule: "sentinel:tls-expired", Discern: certificate, CWE: []int{295}, Location: host})
	if finding.CaseKey(one) == "" || finding.CaseKey(one) != finding.CaseKey(two) {
		t.Error("one certificate's flaw is two cases")
	}
	xss := clean(finding.Observation{Rule: "wapiti:xss", CWE: []int{80}, Location: finding.Location{URL: "https://example.org/s?q=1", Parameter: "q"}})
	same := clean(finding.Observation{Rule: "zap:40012", CWE: []int{79}, Location: finding.Location{URL: "https://example.org:443/s?q=2", Parameter: "q"}})
	if finding.CaseKey(xss) == "" || finding.CaseKey(xss) != finding.CaseKey(same) {
		t.Error("one cross-site scripting flaw is two cases")
	}
	same.Location.Parameter = "p"
	if finding.CaseKey(xss) == finding.CaseKey(same) {
		t.Error("flaws of two parameters are one case")
	}
	for name, o := range map[string]finding.Observation{
		"nothing but a title": {Rule: "x", Title: "SQL injection", Location: host},
		"a CWE of no place":   {Rule: "x", CWE: []int{79}},
	} {
		if got := finding.CaseKey(clean(o)); got != "" {
			t.Errorf("%s makes the case %s", name, got)
		}
	}
}

func TestValuesThatMoveBetweenFieldsNeverCollide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		part := rapid.StringMatching(`[a-z:|0-9]{1,4}`)
		a, b := part.Draw(r, "a"), part.Draw(r, "b")
		place := func(set func(o *finding.Observation)) string {
			o := finding.Observation{Rule: "r"}
			set(&o)
			return finding.Fingerprint("e", o)
		}
		all := []string{
			place(func(o *finding.Observation) { o.Discern = a + b }),
			place(func(o *finding.Observation) { o.Discern, o.Location.Parameter = a, b }),
			place(func(o *finding.Observation) { o.Rule += a; o.Discern = b }),
			place(func(o *finding.Observation) { o.Location.Parameter = a + b }),
			place(func(o *finding.Observation) { o.Location.Parameter, o.Location.Package = a, b }),
			place(func(o *finding.Observation) { o.Location.Package = a + b }),
			place(func(o *finding.Observation) { o.Location.File = a + b }),
			finding.Fingerprint("e"+a, finding.Observation{Rule: b}),
			finding.Fingerprint("e", finding.Observation{Rule: a + b}),
		}
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			r.Fatalf("%q and %q collide", a, b)
		}
	})
}

func TestIdentitiesHaveTheirForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		o := clean(observations().Draw(r, "observation"))
		for prefix, id := range map[string]string{"w1:": finding.Fingerprint("e", o), "o1:": finding.Occurrence("e", o)} {
			if sum, ok := strings.CutPrefix(id, prefix); !ok || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
				r.Fatalf("identity %q", id)
			}
		}
		if c := finding.CaseKey(o); c != "" && (!strings.HasPrefix(c, "c1:") || len(c) != 67) {
			r.Fatalf("case key %q", c)
		}
		shuffled := o
		shuffled.CVE = rapid.Permutation(o.CVE).Draw(r, "cve")
		shuffled.CWE = rapid.Permutation(o.CWE).Draw(r, "cwe")
		if finding.CaseKey(shuffled) != finding.CaseKey(o) || finding.Fingerprint("e", shuffled) != finding.Fingerprint("e", o) {
			r.Fatal("order changes an identity")
		}
	})
}

func FuzzPathTemplate(f *testing.F) {
	for _, s := range []string{"", "/", "/a/1/b", "//..//", "/x;y/z", "/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := finding.PathTemplate(p)
		if !strings.HasPrefix(got, "/") || finding.PathTemplate(got) != got {
			t.Errorf("PathTemplate(%q) = %q, again %q", p, got, finding.PathTemplate(got))
		}
	})
}
