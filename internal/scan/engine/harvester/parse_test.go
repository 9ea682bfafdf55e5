package harvester

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/raw.txt")
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
			domain := "example.org"
			if bytes.Contains(raw, []byte("example.com")) {
				domain = "example.com"
			}
			var got any = parse(t, raw, request(t, domain, `{}`))
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

func TestDocumentsAddToEachOther(t *testing.T) {
	raw, err := os.ReadFile("testdata/many/raw.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, raw, request(t, "example.com", `{}`)).names()
	// The JSON document leaves www out, and the XML one vpn's address.
	want := []string{
		"admin.example.com", "api.example.com", "dev.example.com", "git.example.com", "mail.example.com", "old.example.com",
		"staging.example.com", "vpn.example.com", "www.example.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParserIsBounded(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteString(`{"hosts":[""`)
	for i := range maxItems + 50 {
		fmt.Fprintf(&doc, `,"n%d.example.org"`, i)
	}
	doc.WriteString(`]}`)
	var raw bytes.Buffer
	section(&raw, "json", doc.Bytes())
	if got := parse(t, raw.Bytes(), request(t, "example.org", `{}`)); len(got.Assets) != maxItems {
		t.Errorf("%d names", len(got.Assets))
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/raw.txt")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = summaryOf(raw)
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

func BenchmarkParse(b *testing.B) {
	var doc bytes.Buffer
	doc.WriteString(`{"hosts":[""`)
	for i := 0; doc.Len() < 15<<20; i++ {
		fmt.Fprintf(&doc, `,"host-%d.example.org:192.0.2.%d"`, i%maxItems, i%250)
	}
	doc.WriteString(`]}`)
	var raw bytes.Buffer
	section(&raw, "json", doc.Bytes())
	req := request(b, "example.org", `{}`)
	b.SetBytes(int64(raw.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Parse(bytes.NewReader(raw.Bytes()), req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
