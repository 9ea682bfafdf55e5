package nikto

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
	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request is an order for the target, with options and config given as JSON.
func request(tb testing.TB, target, options, config string) engine.Request {
	tb.Helper()
	var o, c map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		tb.Fatal(err)
	}
	parsed, err := engine.ParseOptions(manifest(), o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	conf, err := engine.ParseConfig(manifest(), c)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: parsed, Config: conf}
}

func parse(tb testing.TB, raw []byte, req engine.Request) []finding.Observation {
	tb.Helper()
	var out []finding.Observation
	if _, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		out = append(out, *i.Finding)
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return out
}

const example = "http://127.0.0.1:8081/"

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.*")
	if err != nil || len(files) < 10 {
		t.Fatal("cases are missing", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got any = parse(t, raw, request(t, example, `{}`, `{}`))
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
		samples[i] = bytes.ReplaceAll(s, []byte("127.0.0.1"), []byte("www.example.org"))
	}
	enginetest.Run(t, New(), samples...)
}

func TestTextTellsTheSameFindingsAsTheReport(t *testing.T) {
	key := func(list []finding.Observation) (out []string) {
		for _, f := range list {
			out = append(out, f.Rule+" "+f.Discern+" "+f.Location.URL+" "+f.Title+" "+string(f.Severity))
		}
		return out
	}
	raw := map[string][]byte{}
	for _, name := range []string{"web/raw.json", "text/raw.txt"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		raw[name] = b
	}
	req := request(t, example, `{}`, `{}`)
	got, want := key(parse(t, raw["text/raw.txt"], req)), key(parse(t, raw["web/raw.json"], req))
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 12 {
		t.Errorf("%d findings; -report +text:\n%s", len(want), diff)
	}
}

func TestOneIDOfManyHeadersIsManyFindings(t *testing.T) {
	raw, err := os.ReadFile("testdata/web/raw.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range parse(t, raw, request(t, example, `{}`, `{}`)) {
		print := finding.Fingerprint(id, finding.Clean(f))
		if seen[print] {
			t.Errorf("%s %s has the identity of another", f.Rule, f.Discern)
		}
		seen[print] = true
	}
	later := bytes.ReplaceAll(raw, []byte("at least 2.4.68"), []byte("at least 2.4.99"))
	for _, f := range parse(t, later, request(t, example, `{}`, `{}`)) {
		if !seen[finding.Fingerprint(id, finding.Clean(f))] {
			t.Errorf("%s %q is another finding with another database", f.Rule, f.Title)
		}
	}
}

func TestOtherHostsArePassedOver(t *testing.T) {
	raw, err := os.ReadFile("testdata/two-hosts/raw.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, raw, request(t, "http://www.example.org/", `{}`, `{}`)); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestParseStopsWithYieldsError(t *testing.T) {
	for _, name := range []string{"web/raw.json", "text/raw.txt"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		stop, calls := errors.New("stop"), 0
		_, err = New().Parse(bytes.NewReader(raw), request(t, example, `{}`, `{}`), func(engine.Item) error {
			calls++
			return stop
		})
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%s: %v after %d calls", name, err, calls)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/raw.*")
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
	req := request(f, example, `{}`, `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, second := parse(t, raw, req), parse(t, raw, req)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same raw output reads differently:\n%s", diff)
		}
		for _, o := range first {
			if len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence || o.Title == "" || o.Location.Host != "127.0.0.1" {
				t.Errorf("out of bounds: %+v", o)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	one := []byte(`{"id":"013587","method":"GET","url":"/some/path/of/a/page","msg":"Suggested security header missing: content-security-policy.","references":"https://developer.mozilla.org/en-US/docs/Web/HTTP/CSP"},` + "\n")
	raw := append([]byte(`[{"host":"127.0.0.1","ip":"127.0.0.1","port":8081,"vulnerabilities":[`), bytes.Repeat(one, 60_000)...)
	req := request(b, example, `{}`, `{}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Parse(bytes.NewReader(raw), req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
