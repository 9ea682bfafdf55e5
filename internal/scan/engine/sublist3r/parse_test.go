package sublist3r

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var first record
			_ = json.Unmarshal(raw[:max(0, bytes.IndexByte(raw, '\n'))], &first)
			var got any = parse(t, raw, request(t, first.Domain, `{}`))
			b, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "golden.json")
			if *update {
				if err := os.WriteFile(golden, append(b, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(b)+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for text, want := range map[string]string{
		"www.example.org": "www.example.org", "WWW.Example.ORG.": "www.example.org", "*.a.example.org": "a.example.org", "*.*.example.org": "example.org",
		"info@mail.example.org": "mail.example.org", " x.example.org\t": "x.example.org", "_dmarc.example.org": "_dmarc.example.org", "example.org": "example.org",
		"notexample.org": "", "example.org.evil.net": "", "a b.example.org": "", "a..example.org": "", "-a.example.org": "", "a-.example.org": "",
		"a*b.example.org": "", "\x1b[31m.example.org": "", "ü.example.org": "", "": "", ".example.org": "", strings.Repeat("a", 64) + ".example.org": "",
		strings.Repeat("a.", 130) + "example.org": "", "<script>.example.org": "", "a.example.org/../x": "",
	} {
		if got, ok := clean(text, "example.org"); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, ok := clean("a.example.org", ""); ok {
		t.Error("no domain holds a name")
	}
}

func TestParserIsBounded(t *testing.T) {
	var raw bytes.Buffer
	for i := range maxNames + 10 {
		b, _ := json.Marshal(record{Kind: kindName, Source: "crtsh", Name: "n" + strings.Repeat("0", i%7) + string(rune('a'+i%26)) + "-" + itoa(i) + ".example.org"})
		raw.Write(append(b, '\n'))
	}
	if got := parse(t, raw.Bytes(), request(t, "example.org", `{}`)); len(got.Assets) != maxNames {
		t.Errorf("%d names", len(got.Assets))
	}
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/raw.jsonl")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		seen := map[string]bool{}
		_, err := New().Parse(bytes.NewReader(raw), request(t, "example.org", `{}`), func(i engine.Item) error {
			if i.Asset == nil {
				return nil
			}
			if seen[i.Asset.Name] || !strings.HasSuffix(i.Asset.Name, ".example.org") || !json.Valid(i.Asset.Attributes) {
				t.Errorf("%+v", i.Asset)
			}
			seen[i.Asset.Name] = true
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func FuzzSources(f *testing.F) {
	for _, pages := range internet() {
		f.Add(pages[0].body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, s := range sources() {
			if s.read == nil {
				continue
			}
			if after, err := s.read(strings.NewReader(body), func(string) {}); err != nil && len(after) > len(body) {
				t.Error("a source goes on after what it never said")
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var raw bytes.Buffer
	for i := 0; raw.Len() < 16<<20; i++ {
		line, _ := json.Marshal(record{Kind: kindName, Source: "crtsh", Name: "host-" + itoa(i%maxNames) + ".example.org"})
		raw.Write(append(line, '\n'))
	}
	req := request(b, "example.org", `{}`)
	b.SetBytes(int64(raw.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Parse(bytes.NewReader(raw.Bytes()), req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
