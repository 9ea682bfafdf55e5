package nuclei_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/nuclei"
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
	o, err := engine.ParseOptions(nuclei.New().Manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

func parse(tb testing.TB, raw []byte, req engine.Request) []finding.Observation {
	tb.Helper()
	var out []finding.Observation
	cover, err := nuclei.New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		out = append(out, *i.Finding)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if len(cover.Places) != 0 {
		tb.Error("the output alone covers nothing: it doesn't say which templates were used")
	}
	return out
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name, "raw.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			type result struct{ Findings []finding.Observation }
			var got any = result{parse(t, fixture(t, filepath.Base(dir)), request(t, "127.0.0.1", `{}`))}
			b, err := json.MarshalIndent(got, "", " ")
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

func identities(found []finding.Observation) map[string]bool {
	out := map[string]bool{}
	for _, f := range found {
		out[finding.Fingerprint("nuclei", finding.Clean(f))] = true
	}
	return out
}

func TestTwoRunsFindTheSameWeaknesses(t *testing.T) {
	t.Parallel()
	req := request(t, "http://127.0.0.1:8081", `{}`)
	first, second := parse(t, fixture(t, "web"), req), parse(t, fixture(t, "web-without-messages"), req)
	if diff := cmp.Diff(identities(first), identities(second)); diff != "" || len(first) != 6 {
		t.Errorf("%d findings:\n%s", len(first), diff)
	}
}

func TestWhatIsNotAMatchIsNoFinding(t *testing.T) {
	t.Parallel()
	if got := parse(t, fixture(t, "matcher-status"), request(t, "127.0.0.1", `{}`)); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestHostileRecords(t *testing.T) {
	t.Parallel()
	got := parse(t, fixture(t, "hostile"), request(t, "127.0.0.1", `{}`))
	var rules []string
	for _, f := range got {
		rules = append(rules, f.Rule)
		if text := fmt.Sprintf("%+v", f); strings.Contains(text, "hunter2") || strings.Contains(text, "javascript:") {
			t.Errorf("%s holds a secret or a script: %s", f.Rule, text)
		}
	}
	if diff := cmp.Diff([]string{"nuclei:t[31m", "nuclei:login", "nuclei:noport", "nuclei:messages"}, rules); diff != "" {
		t.Error(diff)
	}
	injection := got[0]
	if injection.Severity != finding.Info || injection.CVSS != nil || len(injection.CVE) != 1 || injection.CWE[0] != 89 || injection.Location.Parameter != "b,id" {
		t.Errorf("%+v", injection)
	}
}

func TestNamesStandForTheirAddresses(t *testing.T) {
	t.Parallel()
	req := request(t, "www.example.org", `{}`)
	req.Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	got := parse(t, fixture(t, "multi"), req)
	if len(got) == 0 {
		t.Fatal("nothing")
	}
	for _, f := range got {
		if f.Location.Host != "www.example.org" {
			t.Errorf("%s at %+v", f.Rule, f.Location)
		}
	}
	if got := parse(t, fixture(t, "multi"), request(t, "192.0.2.7", `{}`)); len(got) != 0 {
		t.Errorf("%d findings of hosts that weren't asked for", len(got))
	}
}

func TestSQLInjectionIsOneCaseWithOtherEngines(t *testing.T) {
	t.Parallel()
	const doc = `{"template-id":"sqli-error","info":{"name":"SQL injection","severity":"high","tags":["sqli"]},"type":"http","matched-at":"http://192.0.2.7:8081/item?id=1%27","matcher-status":true}`
	got := finding.Clean(parse(t, []byte(doc), request(t, "http://192.0.2.7:8081/", `{}`))[0])
	other := finding.Clean(finding.Observation{
		Rule: "other:sqli", CWE: []int{89}, Location: finding.Location{Host: "192.0.2.7", Port: 8081, URL: "http://192.0.2.7:8081/item?id=7", Parameter: "id"},
	})
	if finding.CaseKey(got) != finding.CaseKey(other) || finding.CaseKey(got) == "" {
		t.Errorf("%+v", got)
	}
}

func FuzzParse(f *testing.F) {
	cases, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range cases {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	req := request(f, "127.0.0.1", `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, second := parse(t, raw, req), parse(t, raw, req)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same output reads differently:\n%s", diff)
		}
		for _, o := range first {
			if len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence || o.Title == "" || o.Location.Host == "" {
				t.Errorf("out of bounds: %+v", o)
			}
		}
	})
}

// endless is output of very many matches, with requests and answers, up to size bytes.
type endless struct {
	size, told int64
	n          int
	rest, tail []byte
}

func newEndless(size int64) *endless {
	return &endless{size: size, tail: fmt.Appendf(nil, `","request":%q,"response":%q,"ip":"127.0.0.1","timestamp":"2026-11-21T23:31:59.370037812Z","curl-command":"curl -X 'HEAD' -d ''","matcher-status":true}`+"\n",
		"GET / HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"+strings.Repeat("<p>what the page says</p>\n", 30)+"</html>")}
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.told >= e.size {
			return 0, io.EOF
		}
		e.n++
		e.rest = fmt.Appendf(e.rest, `{"template-id":"t-%d","template-path":"/templates/http/cves/2021/t.yaml","info":{"name":"Some flaw","author":["project"],"tags":["cve","cve2021"],"description":"What can happen.","reference":["https://a.example.org/1"],"severity":"high","metadata":{"max-request":1},"classification":{"cve-id":["cve-2021-41773"],"cwe-id":["cwe-22"],"cvss-metrics":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N","cvss-score":7.5,"epss-score":0.9}},"type":"http","host":"127.0.0.1","port":"8081","scheme":"http","url":"http://127.0.0.1:8081","matched-at":"http://127.0.0.1:8081/path/%d?q=x`, e.n%9000, e.n)
		e.rest = append(e.rest, e.tail...)
	}
	n := copy(p, e.rest)
	e.rest = append(e.rest[:0], e.rest[n:]...)
	e.told += int64(n)
	return n, nil
}

func TestParseStaysSmall(t *testing.T) {
	const size, bound = 24 << 20, 24 << 20
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	items, most := 0, uint64(0)
	_, err := nuclei.New().Parse(newEndless(size), request(t, "127.0.0.1", `{}`), func(engine.Item) error {
		if items++; items%4_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	})
	if err != nil || items == 0 {
		t.Fatal(items, err)
	}
	if most > before.HeapAlloc+bound {
		t.Errorf("held %d MB while reading %d MB", (most-before.HeapAlloc)>>20, size>>20)
	}
}

// BenchmarkParse reads 100 MB.
func BenchmarkParse(b *testing.B) {
	const size = 100 << 20
	req := request(b, "127.0.0.1", `{}`)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nuclei.New().Parse(newEndless(size), req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
