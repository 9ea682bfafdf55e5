package correlation_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "rewrite docs/vectors/case-grouping.json")

// vectors is docs/vectors/case-grouping.json.
type vectors struct {
	About []string       `json:"about"`
	Cases []vectorScene  `json:"scenes"`
	Risks []vectorDanger `json:"risks"`
}

type vectorScene struct {
	Name     string          `json:"name"`
	Aliases  [][]string      `json:"aliases,omitempty"`
	Findings []vectorFinding `json:"findings"`
	Cases    []vectorCase    `json:"cases"`
}

type vectorFinding struct {
	ID         string             `json:"id"`
	Engine     string             `json:"engine"`
	Rule       string             `json:"rule"`
	Discern    string             `json:"discern,omitempty"`
	Severity   finding.Severity   `json:"severity"`
	Confidence finding.Confidence `json:"confidence"`
	Category   finding.Category   `json:"category"`
	CVE        []string           `json:"cve,omitempty"`
	Advisories []string           `json:"advisories,omitempty"`
	CWE        []int              `json:"cwe,omitempty"`
	Secret     string             `json:"secret,omitempty"`
	Location   finding.Location   `json:"location"`
}

type vectorCase struct {
	Key        string             `json:"key"`
	Kind       correlation.Kind   `json:"kind"`
	Asset      string             `json:"asset,omitempty"`
	Shared     []string           `json:"shared"`
	Confidence finding.Confidence `json:"confidence"`
	Findings   map[string]string  `json:"findings"` // id → why
}

type vectorDanger struct {
	Name       string               `json:"name"`
	Severity   finding.Severity     `json:"severity"`
	CVE        []string             `json:"cve,omitempty"`
	CWE        []int                `json:"cwe,omitempty"`
	CVSS       *finding.CVSS        `json:"cvss,omitempty"`
	EPSS       *float64             `json:"epss,omitempty"`
	KEV        bool                 `json:"kev,omitempty"`
	Confidence finding.Confidence   `json:"confidence,omitempty"`
	Status     finding.Status       `json:"status"`
	Port       int                  `json:"port,omitempty"`
	Exposure   correlation.Exposure `json:"exposure,omitempty"`
	Score      int                  `json:"score"`
	Reasons    []finding.RiskReason `json:"reasons"`
}

func (s vectorScene) group() []vectorCase {
	var members []correlation.Member
	for _, f := range s.Findings {
		members = append(members, correlation.Member{ID: f.ID, Engine: f.Engine, Observation: finding.Clean(finding.Observation{
			Rule: f.Rule, Discern: f.Discern, Title: f.ID, Severity: f.Severity, Confidence: f.Confidence, Category: f.Category, CVE: f.CVE,
			Advisories: f.Advisories, CWE: f.CWE, Secret: f.Secret, Location: f.Location,
		})})
	}
	var out []vectorCase
	for _, c := range correlation.Group(members, correlation.NewAliases(s.Aliases...)) {
		v := vectorCase{Key: c.Key, Kind: c.Kind, Asset: c.Asset, Shared: c.Marks, Confidence: c.Confidence, Findings: map[string]string{}}
		for _, m := range c.Members {
			v.Findings[m.ID] = m.Why.Text()
		}
		out = append(out, v)
	}
	return out
}

func (d vectorDanger) assess() finding.Risk {
	in := correlation.Danger{
		Severity: d.Severity, CVSS: d.CVSS, CVE: d.CVE, CWE: d.CWE, Confidence: d.Confidence, Status: d.Status, Exposure: d.Exposure,
		Location: finding.Location{Host: "h.example", Port: d.Port},
	}
	if d.EPSS != nil {
		in.Intel.EPSS = &finding.EPSS{Score: *d.EPSS}
	}
	if d.KEV {
		in.Intel.KEV = &finding.KEV{}
	}
	return correlation.Assess(in)
}

// TestGroupingIsThePublishedOne holds docs/vectors/case-grouping.json. Cases that stand are formed anew only under
// another scheme version, never by -update.
func TestGroupingIsThePublishedOne(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "docs", "vectors", "case-grouping.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v, got vectors
	for _, into := range []*vectors{&v, &got} {
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range got.Cases {
		got.Cases[i].Cases = s.group()
	}
	for i, d := range got.Risks {
		r := d.assess()
		got.Risks[i].Score, got.Risks[i].Reasons = r.Score, r.Reasons
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
		t.Errorf("cases (-published +computed):\n%s", diff)
	}
}
