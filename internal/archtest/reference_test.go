package archtest_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the generated reference pages")

// words collects the constants of one type: value and comment, in the order of the source.
func words(t *testing.T, pkg, typ string) [][2]string {
	t.Helper()
	var out [][2]string
	for _, s := range load(t) {
		if s.pkg != pkg || s.test {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ {
					continue
				}
				text := v.Comment.Text()
				if v.Doc != nil {
					text = v.Doc.Text()
				}
				value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, [2]string{value, strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))})
			}
		}
	}
	return out
}

func reference(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "reference", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("%s is out of date, run `make gen` (-file +now):\n%s", name, d)
	}
}

func TestErrorReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Error codes\n\nStable names for programs; a code is never renamed or reused. The scan API answers `{success, error, code}`, everything else\n`application/problem+json` with the same `code`.\n\n| Code | What it means |\n|---|---|\n")
	seen := map[string]bool{}
	for _, w := range words(t, "internal/word/fault", "Code") {
		if seen[w[0]] {
			t.Errorf("%s is defined twice", w[0])
		}
		seen[w[0]] = true
		if w[1] == "" {
			t.Errorf("%s says nothing of what it means", w[0])
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", w[0], w[1])
	}
	reference(t, "errors.md", b.String())
}

func TestEventReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Events and audit entries\n\n## Outbox events\n\nWhat live streams carry.\n\n")
	for _, w := range words(t, "internal/word/event", "Type") {
		fmt.Fprintf(&b, "- `%s`\n", w[0])
	}
	b.WriteString("\n## Types of audit entries\n\n")
	for _, w := range words(t, "internal/word/event", "Audit") {
		fmt.Fprintf(&b, "- `%s`\n", w[0])
	}
	reference(t, "events.md", b.String())
}
