package enginetest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// proof is what the example's author would test beside conformance. It stands in the catalog's folder, because an overlay
// gives tests no folder of their own to run in.
const proof = `package catalog

import (
	"strings"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/engine/securitytxt"
)

func TestExample(t *testing.T) {
	missing, there := "404\nnot here", "200\nContact: mailto:a@example.org\n"
	enginetest.Run(t, securitytxt.New(), []byte(missing), []byte(there))
	target, err := asset.ParseTarget("https://www.example.org/shop", asset.TypeURL)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string][2]int{missing: {1, 1}, there: {0, 1}, "": {0, 0}} {
		found := 0
		cover, err := securitytxt.New().Parse(strings.NewReader(raw), engine.Request{Target: target}, func(engine.Item) error { found++; return nil })
		if err != nil || found != want[0] || len(cover.Places) != want[1] {
			t.Errorf("%q: %d findings, %+v, %v", raw, found, cover, err)
		}
	}
}
`

// TestTheExampleOfANewEngineIsOneFolderAndOneLine takes the engine out of CONTRIBUTING.md, lays it and its line over
// the tree without touching it, and runs the conformance suite as the catalog does.
func TestTheExampleOfANewEngineIsOneFolderAndOneLine(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	source := block(t, string(doc), "// Package securitytxt")
	line := block(t, string(doc), "\t\tsecuritytxt.New(),")
	list, err := os.ReadFile(filepath.Join(root, "internal/scan/engine/catalog/catalog.go"))
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(list), "\t\tsentinel.New(),\n", "\t\tsentinel.New(),\n"+line, 1)
	with = strings.Replace(with, "import (\n", "import (\n\t\"assay.dev/assay/internal/scan/engine/securitytxt\"\n", 1)

	dir := t.TempDir()
	overlay := map[string]string{}
	for path, text := range map[string]string{
		"internal/scan/engine/securitytxt/securitytxt.go":  source,
		"internal/scan/engine/catalog/securitytxt_test.go": proof,
		"internal/scan/engine/catalog/catalog.go":          with,
	} {
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(root, path)] = file
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "-vet=off", "-overlay", file, "-run", "TestExample|TestLookUp|TestEveryEngineConforms/securitytxt", "./internal/scan/engine/catalog")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestEveryEngineConforms/securitytxt") || !strings.Contains(string(out), "--- PASS: TestExample") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(source, "\n"); n > 100 {
		t.Errorf("the example has %d lines", n)
	}
}

// block returns the Go block of a Markdown document that begins with the text.
func block(t *testing.T, doc, begins string) string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "```go\n"+begins)
	code, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatalf("CONTRIBUTING.md has no Go block that begins with %q", begins)
	}
	return begins + code
}
