package sentinel

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/banner"
	"assay.dev/assay/internal/scan/engine/sentinel/proof"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write golden files and the reference page anew")

// targetOf reads the target that a raw output was written for.
func targetOf(t *testing.T, raw []byte) engine.Request {
	t.Helper()
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil || rec.Start == nil {
		t.Fatalf("no start record: %v", err)
	}
	typ := asset.TargetType("")
	switch filepath.Base(rec.Start.Target) {
	case "shop.test":
		typ = asset.TypeDomain
	case "shop":
		typ = asset.TypeFilesystem
	}
	return orderOf(t, rec.Start.Target, typ, nil)
}

func TestParseGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil || len(cases) < 5 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found, assets, cov := parse(t, string(raw), targetOf(t, raw))
			all := map[string]any{"findings": found, "assets": assets, "coverage": cov}
			if packages := packagesOf(t, string(raw), targetOf(t, raw)); len(packages) > 0 {
				all["packages"] = packages
			}
			got, err := json.MarshalIndent(all, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(filepath.Dir(path), "golden.json"), append(got, '\n'))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("run with -update to write it: %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); run with -update if the new text is right:\n%s", path, diff)
	}
}

func TestParseOfDamagedOutputClosesNothing(t *testing.T) {
	req := order(t, "127.0.0.1", nil)
	start := `{"start":{"version":1,"target":"127.0.0.1"}}` + "\n"
	port := `{"port":{"addr":"127.0.0.1","port":22,"service":{"name":"ssh"},"checked":["service"]}}` + "\n"
	for name, raw := range map[string]string{
		"no start":          port,
		"two starts":        start + start + port,
		"line in the midst": start + "garbage\n" + port,
		"over-long line":    start + strings.Repeat("x", maxLine+10) + "\n" + port,
		"no address":        start + strings.Replace(port, "127.0.0.1", "localhost", 1),
		"zone":              start + strings.Replace(port, "127.0.0.1", "fe80::1%eth0", 1),
		"port 0":            start + strings.Replace(port, "22", "0", 1),
		"port too large":    start + strings.Replace(port, "22", "70000", 1),
	} {
		if _, _, cov := parse(t, raw+port, req); len(cov.Places) != 0 {
			t.Errorf("%s: covers %v, want nothing", name, cov)
		}
	}
	_, _, cov := parse(t, start+port+`{"port":{"addr":"127`, req)
	if !cov.Covers("sentinel:port-version", finding.Location{Host: "127.0.0.1", Port: 22}) {
		t.Error("a cut-off end takes away what was complete before it")
	}
	_, err := New().Parse(strings.NewReader(`{"start":{"version":99}}`+"\n"), req, func(engine.Item) error { return nil })
	if err == nil {
		t.Error("a newer version was read")
	}
}

func TestParseStopsWithTheCallersError(t *testing.T) {
	raw := `{"start":{"version":1,"target":"127.0.0.1"}}` + "\n" + `{"port":{"addr":"127.0.0.1","port":22,"service":{},"checked":["service"]}}`
	stop := os.ErrClosed
	n := 0
	_, err := New().Parse(strings.NewReader(raw), order(t, "127.0.0.1", nil), func(engine.Item) error { n++; return stop })
	if err != stop || n != 1 { //nolint:errorlint // the very same error is the contract
		t.Errorf("error %v after %d items, want the caller's after 1", err, n)
	}
}

func FuzzParse(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*/raw.jsonl")
	for _, path := range cases {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	target, err := asset.ParseTarget("shop.example.org", asset.TypeHost)
	if err != nil {
		f.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range rule.All() {
		known[r.ID] = true
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cov, err := New().Parse(bytes.NewReader(raw), engine.Request{Target: target}, func(i engine.Item) error {
			if o := i.Finding; o != nil && (!known[o.Rule] || o.Location.Host != "shop.example.org" || len(o.Title) > finding.MaxTitle ||
				len(o.Evidence) > finding.MaxEvidence) {
				t.Errorf("a finding out of bounds: %+v", o)
			}
			return nil
		})
		if err != nil && len(cov.Places) > 0 {
			t.Error("coverage beside an error")
		}
	})
}

// FuzzParseTree covers what only targets with files yield.
func FuzzParseTree(f *testing.F) {
	raw, err := os.ReadFile("testdata/tree/raw.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	target, err := asset.ParseTarget("/srv/shop", asset.TypeFilesystem)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = New().Parse(bytes.NewReader(raw), engine.Request{Target: target}, func(i engine.Item) error {
			if o := i.Finding; o != nil && (o.Location.Host != "/srv/shop" || len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence) {
				t.Errorf("a finding out of bounds: %+v", o)
			}
			if p := i.Package; p != nil && (p.Name == "" || p.PURL == "" || len(p.PURL) > 1024) {
				t.Errorf("a package out of bounds: %+v", p)
			}
			return nil
		})
	})
}

func FuzzRecognise(f *testing.F) {
	for _, s := range []string{
		"SSH-2.0-OpenSSH_7.2p2 Ubuntu", "220 (vsFTPd 2.3.4)\r\n", "HTTP/1.1 200 OK\r\nServer: nginx/1.4.6\r\n\r\n",
		"\x16\x03\x01", "\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff", "+PONG\r\n", "\xff\xfd\x18",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, s := range []service{recognise(said), banner.RedisInfo(said), banner.MemcachedVersion(said)} {
			if len(s.Banner) > maxText || len(s.Version) > 64 || len(s.Product) > maxText || strings.ContainsAny(s.Banner, "\x00\x1b\r") {
				t.Errorf("out of bounds: %+v", s)
			}
		}
		for _, kind := range proof.Kinds() {
			if p := proof.Prove(kind, said); len(p) > 2*maxText {
				t.Errorf("%s: a proof of %d bytes", kind, len(p))
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	one, err := os.ReadFile("testdata/weak/raw.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	target, err := asset.ParseTarget("127.0.0.0/24", "")
	if err != nil {
		b.Fatal(err)
	}
	// A /24 of weak hosts: the one host's records under other addresses.
	start, rest, _ := strings.Cut(string(one), "\n")
	var raw strings.Builder
	raw.WriteString(start + "\n")
	for i := range 256 {
		raw.WriteString(strings.ReplaceAll(rest, `"addr":"127.0.0.1"`, `"addr":"127.0.0.`+strconv.Itoa(i)+`"`))
	}
	b.SetBytes(int64(raw.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := New().Parse(strings.NewReader(raw.String()), engine.Request{Target: target}, func(engine.Item) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n), "items/op")
	}
}
