package sqlmap

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

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request is an order for the target, with the options given as JSON.
func request(tb testing.TB, target, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, asset.TypeURL)
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

// targetOf is what each recorded run was started on.
func targetOf(name string) string {
	switch name {
	case "one", "all-techniques":
		return "http://127.0.0.1:8081/item?id=1"
	case "none", "cancelled":
		return "http://127.0.0.1:8081/search?q=lamp"
	case "post":
		return "http://127.0.0.1:8081/login?x"
	case "refused":
		return "http://127.0.0.1:9/?id=1"
	}
	return "http://127.0.0.1:8081/"
}

type result struct {
	Findings []finding.Observation `json:"findings"`
	Coverage finding.Coverage      `json:"coverage"`
	Verdict  engine.Verdict        `json:"verdict"`
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
	depth, forms := reach(req.Options, req.Target.URL().RawQuery != "")
	sum := newSummary(req, depth > 0 || forms)
	if err := read(bytes.NewReader(raw), sum.start, sum.watcher()); err != nil {
		tb.Fatal(err)
	}
	out.Coverage, out.Verdict = cover, sum.verdict(false)
	return out
}

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name, "raw.log"))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.log")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			var got any = parse(t, sample(t, name), request(t, targetOf(name), `{}`))
			b, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name, "golden.json")
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

func TestBothVersionsTellTheSameInjections(t *testing.T) {
	for _, name := range []string{"many", "many-newer"} {
		var got []string
		for _, f := range parse(t, sample(t, name), request(t, "http://127.0.0.1:8081/", `{}`)).Findings {
			got = append(got, f.Location.Method+" "+f.Location.URL+" "+f.Location.Parameter)
		}
		want := []string{
			"POST http://127.0.0.1:8081/login pass", "POST http://127.0.0.1:8081/login login", "GET http://127.0.0.1:8081/item id",
			"GET http://127.0.0.1:8081/ping host",
		}
		if name == "many-newer" {
			want = want[:3] // in a crawl it misses the blind one, which it finds by its URL
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestAnInjectionIsTheSameCaseWhoeverSeesIt(t *testing.T) {
	f := parse(t, sample(t, "one"), request(t, targetOf("one"), `{}`)).Findings[0]
	other := finding.Observation{
		Rule: "other:1", CWE: []int{89}, Location: finding.Location{URL: "http://127.0.0.1:8081/item?id=1%27", Method: "GET", Parameter: "id"},
	}
	if a, b := finding.CaseKey(finding.Clean(f)), finding.CaseKey(finding.Clean(other)); a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
}

func TestSilenceCountsOnlyAfterAWholeRun(t *testing.T) {
	at := finding.Location{Host: "127.0.0.1", Port: 8081, Protocol: "tcp", URL: "http://127.0.0.1:8081/search?q=1", Parameter: "q"}
	if cover := parse(t, sample(t, "none"), request(t, targetOf("none"), `{}`)).Coverage; !cover.Covers(ruleInjection, at) {
		t.Error("a page that was tested to the end isn't covered")
	}
	for _, name := range []string{"cancelled", "cut-off", "refused"} {
		if cover := parse(t, sample(t, name), request(t, targetOf(name), `{}`)).Coverage; len(cover.Places) > 0 {
			t.Errorf("%s covers %+v", name, cover)
		}
	}
}

func TestTheParserStopsWithItsTaker(t *testing.T) {
	full, calls := errors.New("full"), 0
	_, err := New().Parse(bytes.NewReader(sample(t, "many")), request(t, "http://127.0.0.1:8081/", `{}`), func(engine.Item) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"one", "many", "hostile", "cut-off"} {
		f.Add(sample(f, name))
	}
	req := request(f, "http://127.0.0.1:8081/", `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, o := range parse(t, raw, req).Findings {
			if o.Location.Host != "127.0.0.1" || o.Location.Port != 8081 || len(o.Evidence) > finding.MaxEvidence {
				t.Errorf("%+v", o)
			}
		}
	})
}
