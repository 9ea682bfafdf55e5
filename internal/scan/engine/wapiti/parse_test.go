package wapiti

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request is an order for the recorded target, with the options given as JSON.
func request(tb testing.TB, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget("http://127.0.0.1:8081/", asset.TypeURL)
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

func parse(tb testing.TB, raw []byte, req engine.Request) []finding.Observation {
	tb.Helper()
	var out []finding.Observation
	_, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		out = append(out, *i.Finding)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name, "raw.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			var got any = parse(t, sample(t, name), request(t, `{}`))
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

func places(list []finding.Observation) []string {
	var out []string
	for _, o := range list {
		out = append(out, o.Rule+" "+strings.TrimPrefix(o.Location.URL, "http://127.0.0.1:8081")+" "+o.Location.Parameter+o.Discern)
	}
	slices.Sort(out)
	return out
}

func TestBothReleasesTellTheSameFlawsUnderTheSameRules(t *testing.T) {
	req := request(t, `{}`)
	old, newer := places(parse(t, sample(t, "many"), req)), places(parse(t, sample(t, "many-newer"), req))
	if diff := cmp.Diff(old, newer); diff != "" {
		t.Logf("what differs (-3.0.4 +3.2.3):\n%s", diff)
	}
	for _, want := range []string{
		"wapiti:sql-injection /item id", "wapiti:sql-injection /login login", "wapiti:cross-site-scripting /search q", "wapiti:open-redirect /go to",
		"wapiti:path-traversal /download f", "wapiti:x-frame-options-missing / x-frame-options", "wapiti:x-content-type-options-missing / x-content-type-options",
		"wapiti:content-security-policy / content-security-policy", "wapiti:cookie-httponly / session", "wapiti:cross-site-request-forgery /login ",
		"wapiti:internal-server-error /debug n",
	} {
		if !slices.Contains(old, want) || !slices.Contains(newer, want) {
			t.Errorf("%s: 3.0.4 %v, 3.2.3 %v", want, slices.Contains(old, want), slices.Contains(newer, want))
		}
	}
	for _, list := range [][]string{old, newer} {
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("something is told twice: %v", list)
		}
	}
}

func TestAnInjectionIsTheSameCaseWhoeverSeesIt(t *testing.T) {
	for _, f := range parse(t, sample(t, "many"), request(t, `{}`)) {
		if f.Rule != "wapiti:sql-injection" || f.Location.Parameter != "id" {
			continue
		}
		other := finding.Observation{Rule: "other:1", CWE: []int{89}, Location: finding.Location{URL: "http://127.0.0.1:8081/item?id=1", Parameter: "id"}}
		if a, b := finding.CaseKey(finding.Clean(f)), finding.CaseKey(finding.Clean(other)); a == "" || a != b {
			t.Errorf("%q and %q", a, b)
		}
		return
	}
	t.Error("the injection is missing")
}

func TestAHostileReportStaysOnItsTarget(t *testing.T) {
	list := parse(t, sample(t, "hostile"), request(t, `{}`))
	for _, o := range list {
		if o.Location.Host != "127.0.0.1" || !strings.HasPrefix(o.Location.URL, "http://127.0.0.1:8081/") || strings.Contains(o.Evidence, "Bearer") {
			t.Errorf("%+v", o)
		}
	}
	if !slices.Contains(places(list), "wapiti:path-traversal /b f") {
		t.Errorf("what came before the cut is missing: %v", places(list))
	}
}

func TestTheParserStopsWithItsTaker(t *testing.T) {
	full, calls := errors.New("full"), 0
	_, err := New().Parse(bytes.NewReader(sample(t, "many")), request(t, `{}`), func(engine.Item) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"one-page", "many", "hostile", "cut-off"} {
		f.Add(sample(f, name))
	}
	req := request(f, `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, o := range parse(t, raw, req) {
			if o.Location.Host != "127.0.0.1" || o.Location.Port != 8081 || o.Title == "" || len(o.Evidence) > finding.MaxEvidence {
				t.Errorf("%+v", o)
			}
		}
	})
}
