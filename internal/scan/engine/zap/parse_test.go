package zap

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// result is what a golden file holds.
type result struct {
	Findings []finding.Observation
	Coverage finding.Coverage
}

func parse(tb testing.TB, raw []byte, req engine.Request) result {
	tb.Helper()
	var out result
	cover, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		out.Findings = append(out.Findings, *i.Finding)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	out.Coverage = cover
	return out
}

// targetOf is what a case's order was for.
func targetOf(raw []byte) string {
	if bytes.Contains(raw, []byte("http://127.0.0.1:8795/")) {
		return "http://127.0.0.1:8795/"
	}
	return example
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil || len(files) < 5 {
		t.Fatal("cases are missing", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got any = parse(t, raw, request(t, targetOf(raw), `{"plan":"full"}`, `{}`))
			b, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "golden.json")
			if *update {
				if err := os.WriteFile(golden, append(b, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(b)); diff != "" {
				t.Errorf("-want +got, -update writes it anew:\n%s", diff)
			}
		})
	}
}

func TestConformance(t *testing.T) {
	samples := enginetest.Samples(t, ".")
	for i, s := range samples { // the kit's order is for another host
		s = bytes.ReplaceAll(s, []byte("http://127.0.0.1:8795"), []byte("https://www.example.org"))
		samples[i] = bytes.ReplaceAll(s, []byte("http://www.example.org"), []byte("https://www.example.org"))
	}
	enginetest.Run(t, New(), samples...)
}

func TestOneFlawInQueriesOfManyValuesIsOneFinding(t *testing.T) {
	raw := `{"alert":{"pluginId":"40018","alertRef":"40018","name":"SQL Injection","risk":"High","confidence":"Medium","method":"GET","url":"http://www.example.org/item?id=1%27","param":"id","cweid":"89"}}
{"alert":{"pluginId":"40018","alertRef":"40018","name":"SQL Injection","risk":"High","confidence":"Medium","method":"GET","url":"http://www.example.org/item?id=2%27","param":"id","cweid":"89"}}
`
	got := parse(t, []byte(raw), request(t, example, `{}`, `{}`)).Findings
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	other := finding.Observation{
		Rule: "other:sqli", CWE: []int{564},
		Location: finding.Location{Host: "www.example.org", Port: 80, URL: "http://www.example.org/item?id=3", Parameter: "id"},
	}
	if a, b := finding.CaseKey(finding.Clean(got[0])), finding.CaseKey(finding.Clean(other)); a == "" || a != b {
		t.Errorf("another engine's finding of the same flaw isn't the same case: %s, %s", a, b)
	}
}

func TestSecretsOfAlertsAreLeftOut(t *testing.T) {
	const raw = `{"alert":{"pluginId":"10062","alertRef":"10062","name":"PII Disclosure","risk":"High","confidence":"High","url":"http://www.example.org/","evidence":"4111111111111111","other":"4111111111111111","cweid":"359"}}`
	got := parse(t, []byte(raw), request(t, example, `{}`, `{}`)).Findings
	if len(got) != 1 || strings.Contains(got[0].Evidence, "4111") {
		t.Errorf("%+v", got)
	}
	var kept bytes.Buffer
	a := &alert{PluginID: "10062", Evidence: "4111111111111111", Other: "4111111111111111"}
	if err := newRecorder(keptWhole{&kept}, request(t, example, `{}`, `{}`)).write(record{Alert: a}); err != nil || strings.Contains(kept.String(), "4111") {
		t.Errorf("%v, %s", err, kept.String())
	}
}

type keptWhole struct{ *bytes.Buffer }

func (keptWhole) Truncated() bool { return false }

func TestForeignHostsArePassedOver(t *testing.T) {
	const raw = `{"alert":{"pluginId":"40018","name":"SQL Injection","risk":"High","confidence":"Medium","url":"http://other.example.net/item?id=1","param":"id"}}
{"alert":{"pluginId":"40018","name":"SQL Injection","risk":"High","confidence":"Medium","url":"javascript:alert(1)","param":"id"}}
{"alert":{"pluginId":"40018","name":"SQL Injection","risk":"High","confidence":"Medium","url":"http://www.example.org:99999/","param":"id"}}`
	if got := parse(t, []byte(raw), request(t, example, `{}`, `{}`)).Findings; len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSilenceOfAPartCoversNothing(t *testing.T) {
	raw, err := os.ReadFile("testdata/many/raw.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	whole := parse(t, raw, request(t, example, `{"plan":"full"}`, `{}`)).Coverage
	if len(whole.Places) != 1 {
		t.Fatalf("%+v", whole)
	}
	for what, c := range map[string]struct {
		raw             []byte
		target, options string
	}{
		"an inner page":  {raw, example + "shop/", `{}`},
		"a query":        {raw, example + "?a=b", `{}`},
		"one page":       {raw, example, `{"recurse":false}`},
		"a cut document": {raw[:len(raw)-20], example, `{}`},
		"a damaged line": {append([]byte("{\"alert\":\n"), raw...), example, `{}`},
		"a long line":    {append(append([]byte(`{"alert":"`), bytes.Repeat([]byte("a"), maxLine)...), append([]byte("\n"), raw...)...), example, `{}`},
		"a cut crawl":    {bytes.Replace(raw, []byte(`"spider":"done"`), []byte(`"spider":"time_limit"`), 1), example, `{}`},
		"a dead target":  {bytes.Replace(raw, []byte(`"urls":`), []byte(`"gone":true,"urls":`), 1), example, `{}`},
	} {
		if got := parse(t, c.raw, request(t, c.target, c.options, `{}`)).Coverage; len(got.Places) != 0 {
			t.Errorf("%s covers %+v", what, got)
		}
	}
}

func TestSubtreeIsCoveredAsFarAsItGoes(t *testing.T) {
	raw, err := os.ReadFile("testdata/many/raw.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	cover := parse(t, raw, request(t, example+"shop/index.html", `{"plan":"full","subtreeOnly":true}`, `{}`)).Coverage
	for url, want := range map[string]bool{example + "shop/item": true, example + "item": false, example: false} {
		if got := cover.Covers("zap:40018", finding.Location{Host: "www.example.org", Port: 80, URL: url}); got != want {
			t.Errorf("%s covered: %v by %+v", url, got, cover)
		}
	}
}

func TestParseStopsWithYieldsError(t *testing.T) {
	raw, err := os.ReadFile("testdata/many/raw.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	stop, calls := errors.New("stop"), 0
	_, err = New().Parse(bytes.NewReader(raw), request(t, example, `{}`, `{}`), func(engine.Item) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"<p>One.</p><p>Two &amp; <b>three</b>.</p>": "One.\n\nTwo & three.",
		"a < b and c > d":               "a < b and c > d",
		"<ul><li>x</li><li>y</li></ul>": "x\n\ny",
		"&lt;script&gt;":                "<script>",
		"<script>alert(1)</script>":     "alert(1)",
		"<":                             "<",
		"</p":                           "</p",
		"a\x1b[31m\u202eb":              "a[31mb",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal("no cases", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	req := request(f, example, `{"plan":"full"}`, `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, second := parse(t, raw, req), parse(t, raw, req)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same raw output reads differently:\n%s", diff)
		}
		for _, o := range first.Findings {
			if len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence || o.Title == "" || o.Location.Host != "www.example.org" {
				t.Errorf("out of bounds: %+v", o)
			}
		}
	})
}
