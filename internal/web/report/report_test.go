package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/report"
)

func results(rs ...scan.Result) report.Each {
	return func(f func(scan.Result) error) error {
		for _, r := range rs {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
}

func full() scan.Result {
	at := time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.FixedZone("x", 3600))
	return scan.Result{
		Finding: finding.Finding{
			Observation: finding.Observation{
				Rule: "nmap:http-vuln", Title: "=HYPERLINK(\"http://x\")", Description: "It is\nbad", Severity: finding.High,
				Confidence: finding.Firm, Category: finding.CategoryVulnerability, CVE: []string{"CVE-2021-41773"}, CWE: []int{22},
				CVSS:     &finding.CVSS{Version: "3.1", Vector: "CVSS:3.1/AV:N", Score: 7.5},
				Location: finding.Location{Host: "2001:db8::1", Port: 443, Protocol: "tcp"}, Evidence: "-1+1\x00",
				Remediation: "Update.", References: []string{"https://example.com/a", "javascript:x"},
			},
			ID: "01900000-0000-7000-8000-000000000001", Engine: "nmap", Fingerprint: "w1:ab", Status: finding.Accepted,
			FirstSeenAt: at, LastSeenAt: at, FixedAt: at, Engines: []string{"nmap"},
		},
		Occurrence: "o1:cd",
	}
}

func bare() scan.Result {
	return scan.Result{Finding: finding.Finding{Observation: finding.Observation{Rule: "r", Title: "t", Severity: finding.Info}}}
}

func done() scan.Scan {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return scan.Scan{
		ID: "s", Engine: "nmap", Target: "127.0.0.1", TargetType: "ip", Status: scan.Completed, StartedAt: at, EndedAt: at,
		Outcome: "partial", Reasons: []string{"cut off"}, Version: "7.93",
	}
}

func TestViewHoldsListsAndUTC(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(report.NewFinding(bare()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cve":[]`, `"cwe":[]`, `"references":[]`, `"engines":[]`, `"epss":null`, `"kev":null`, `"location":{}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("without %s: %s", want, b)
		}
	}
	v := report.NewFinding(full())
	if v.CWE[0] != "CWE-22" || v.FirstSeenAt != "2026-11-22T09:00:00.123456Z" || v.FixedAt == "" || v.CVSS.Score != 7.5 {
		t.Errorf("%+v", v)
	}
}

func TestCSVIsReadBackAndRunsNothing(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := report.CSV(&b, results(full(), bare())); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatal(err, len(rows))
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"title": "'=HYPERLINK(\"http://x\")", "evidence": "'-1+1", "port": "443", "cve": "CVE-2021-41773", "cvss": "7.5",
		"firstSeenAt": "2026-11-22T09:00:00.123456Z", "description": "It is\nbad", "status": "accepted",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

func TestNoCellBeginsAFormula(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain": "plain", "=1": "'=1", " =1": "' =1", "\t=1": "'\t'=1", "\ncmd": "'\ncmd", "@x": "'@x", "＝1": "'＝1", "1-2": "1-2",
		"\u200b=1": "'\u200b=1", "a;=1": "a;'=1", "a\n +1": "a\n' +1", "a; b": "a; b", "'=1": "'=1", "\"=1": "\"=1", "﹣1": "'﹣1", "\x00=1": "'=1",
		"\r\n\t\v\u00a0@": "'\r\n\t'\v\u00a0@", "a-b;c": "a-b;c", "\xff=1": "'\xff=1",
	} {
		if got := report.Cell(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Whatever a cell holds, and wherever a program parts it, no part begins a formula; and nothing else is changed.
func TestNoPartOfACellBeginsAFormula(t *testing.T) {
	t.Parallel()
	pieces := []string{"=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦", "\t", "\r", "\n", ";", " ", "\u00a0", "\u200b", "\ufeff", "\u202e", "'", "\"", ",", "cmd|", "1", "\x00", "\xff", "\v"}
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(pieces), rapid.String()), 0, 12).Draw(t, "pieces"), "")
		got := report.Cell(in)
		for part := range strings.FieldsFuncSeq(got, func(r rune) bool { return strings.ContainsRune("\t\r\n;", r) }) {
			bare := strings.TrimLeftFunc(part, func(r rune) bool {
				return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
			})
			if begins(bare) {
				t.Fatalf("%q begins a formula in %q", part, got)
			}
		}
		if got != "" && strings.ContainsRune("\t\r\n", rune(got[0])) {
			t.Fatalf("%q begins with a break", got)
		}
		if without := strings.ReplaceAll(got, "'", ""); without != strings.ReplaceAll(strings.ReplaceAll(in, "'", ""), "\x00", "") {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func begins(s string) bool {
	for _, lead := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦"} {
		if strings.HasPrefix(s, lead) {
			return true
		}
	}
	return false
}

func TestSARIFIsValidByItsSchema(t *testing.T) {
	t.Parallel()
	schema := officialSchema(t)
	url := bare()
	url.Location = finding.Location{URL: "http://127.0.0.1:8080/a b?x=%zz", Method: "GET", Parameter: "x"}
	file := bare()
	file.Location = finding.Location{File: "/src/a b.go", Line: 7, Package: "lib", Version: "1.0"}
	bad := bare()
	bad.Location = finding.Location{URL: "http://[::1", Host: "h"}
	for name, each := range map[string]report.Each{"none": results(), "all": results(full(), bare(), url, file, bad, full())} {
		var b bytes.Buffer
		if err := report.SARIF(&b, done(), each); err != nil {
			t.Fatal(err)
		}
		doc, err := sarif.FromBytes(b.Bytes())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, b.String())
		}
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(inst); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		dec := json.NewDecoder(&b)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&sarif.Report{}); err != nil {
			t.Errorf("%s holds what SARIF doesn't know: %v", name, err)
		}
		if name == "none" {
			continue
		}
		run := doc.Runs[0]
		if len(run.Results) != 6 || len(run.Tool.Driver.Rules) != 2 {
			t.Errorf("%d results, %d rules", len(run.Results), len(run.Tool.Driver.Rules))
		}
		if got := *run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; got != "tcp://[2001:db8::1]:443" {
			t.Error(got)
		}
		if diff := cmp.Diff([]string{"error", "note"}, []string{run.Results[0].Level, run.Results[1].Level}); diff != "" {
			t.Error(diff)
		}
	}
}

// officialSchema takes the OASIS schema out of the source of the SARIF library, which keeps it as a constant.
func officialSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, _ := runtime.FuncForPC(reflect.ValueOf(sarif.NewReport).Pointer()).FileLine(0)
	src, err := parser.ParseFile(token.NewFileSet(), filepath.Join(filepath.Dir(file), "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	ast.Inspect(src, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && len(lit.Value) > len(text) {
			text = strings.Trim(lit.Value, "`")
		}
		return true
	})
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADocumentStopsWithItsSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	each := func(func(scan.Result) error) error { return broken }
	if err := report.SARIF(&bytes.Buffer{}, done(), each); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := report.CSV(&bytes.Buffer{}, each); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func BenchmarkSARIF(b *testing.B) {
	r := full()
	each := func(f func(scan.Result) error) error {
		for range 1000 {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
	b.ReportAllocs()
	for b.Loop() {
		var n counter
		if err := report.SARIF(&n, done(), each); err != nil {
			b.Fatal(err)
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
