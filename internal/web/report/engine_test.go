package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/uid"
)

// fixtures are what engines' parsers made of recorded raw output, by engine and case.
func fixtures(t *testing.T) map[string][]scan.Result {
	t.Helper()
	files, err := filepath.Glob("../../scan/engine/*/testdata/*/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]scan.Result{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Findings []finding.Observation `json:"findings"` // names are matched in any case
		}
		into := any(&doc)
		if !bytes.HasPrefix(text, []byte("{")) {
			into = &doc.Findings // engines that tell nothing else
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		engine := parts[len(parts)-4]
		var list []scan.Result
		for i, o := range doc.Findings {
			list = append(list, scan.Result{
				Finding: finding.Finding{Observation: o, ID: uid.Finding("01900000-0000-7000-8000-000000000001"), Engine: engine, Fingerprint: finding.Fingerprint(engine, o), Engines: []string{engine}, Status: finding.Open},
				Ordinal: i,
			})
		}
		out[engine+"/"+parts[len(parts)-2]] = list
	}
	return out
}

// What engines really say is a document in every form, and SARIF is what code hosts ask for beyond its schema.
func TestEveryEnginesFindingsHaveEveryForm(t *testing.T) {
	t.Parallel()
	schema := officialSchema(t)
	engines, n := map[string]bool{}, 0
	for name, list := range fixtures(t) {
		engine, _, _ := strings.Cut(name, "/")
		engines[engine] = true
		n += len(list)
		s := done()
		s.Engine = engine
		var b bytes.Buffer
		if err := report.SARIF(&b, s, results(list...)); err != nil {
			t.Fatal(err)
		}
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(inst); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		codeHostTakes(t, name, b.Bytes())
		var page, table bytes.Buffer
		if err := report.HTML(&page, scanDocument(), results(list...)); err != nil {
			t.Error(err)
		}
		whole(t, page.String())
		if err := report.CSV(&table, results(list...)); err != nil {
			t.Error(err)
		}
		if rows, err := csv.NewReader(&table).ReadAll(); err != nil || len(rows) != len(list)+1 {
			t.Errorf("%s: %d rows of %d findings, %v", name, len(rows), len(list), err)
		}
	}
	if len(engines) < 2 || n < 50 {
		t.Errorf("only %d findings of %v", n, engines)
	}
}

// uploaded is what a code host reads of a document.
type uploaded struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []uploadedRule `json:"rules"`
			} `json:"driver"`
		} `json:"tool"`
		Results []uploadedResult `json:"results"`
	} `json:"runs"`
}

type said struct {
	Text string `json:"text"`
}

type uploadedRule struct {
	ID      string `json:"id"`
	Short   said   `json:"shortDescription"`
	Help    said   `json:"help"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Properties struct {
		Severity string   `json:"security-severity"`
		Tags     []string `json:"tags"`
	} `json:"properties"`
}

type uploadedResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Message      said              `json:"message"`
	Fingerprints map[string]string `json:"partialFingerprints"`
	Locations    []struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
	} `json:"locations"`
}

// codeHostTakes holds a document against what GitHub code scanning documents of uploads.
func codeHostTakes(t *testing.T, name string, text []byte) {
	t.Helper()
	var doc uploaded
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	run := doc.Runs[0]
	rules := run.Tool.Driver.Rules
	for _, r := range rules {
		p := r.Properties
		if r.Help.Text == "" || r.Short.Text == "" || p.Severity == "" || len(p.Tags) == 0 || len(p.Tags) > 20 || r.Default.Level == "" {
			t.Errorf("%s: the rule %s lacks what is shown beside a result: %+v", name, r.ID, r)
		}
	}
	seen := map[string]bool{}
	for _, r := range run.Results {
		if r.Message.Text == "" || len(r.Locations) == 0 || r.Locations[0].Physical.Artifact.URI == "" {
			t.Errorf("%s: a result of %s is nowhere", name, r.RuleID)
		}
		print := r.Fingerprints["primaryLocationLineHash"]
		if len(print) < 10 || seen[print] {
			t.Errorf("%s: a result of %s has the fingerprint %q", name, r.RuleID, print)
		}
		seen[print] = true
		if rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s: a result of %s names another rule", name, r.RuleID)
		}
	}
}
