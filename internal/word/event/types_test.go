package event_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"assay.dev/assay/internal/word/event"
)

func TestEveryTypeCanBeSubscribedTo(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Type" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if !slices.Contains(event.Types(), event.Type(value)) {
			t.Errorf("%s is missing from Types", value)
		}
		return true
	})
	if n == 0 || n != len(event.Types()) {
		t.Errorf("%d types are declared, %d listed", n, len(event.Types()))
	}
}

func TestPatternsMatchTypesNounsAndAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		typ     event.Type
		match   bool
		known   bool
	}{
		{"*", event.ScanFailed, true, true},
		{"scan.failed", event.ScanFailed, true, true},
		{"scan.failed", event.ScanCompleted, false, true},
		{"scan.*", event.ScanFailed, true, true},
		{"scan.*", event.FindingOpened, false, true},
		{"sc.*", event.ScanFailed, false, false},
		{".*", event.ScanFailed, false, false},
		{"scan", event.ScanFailed, false, false},
		{"scan.nothing", event.ScanFailed, false, false},
		{"SCAN.FAILED", event.ScanFailed, false, false},
		{"", event.ScanFailed, false, false},
		{"webhook.test", event.WebhookTest, true, false},
	} {
		if event.Matches(c.pattern, c.typ) != c.match || event.KnownPattern(c.pattern) != c.known {
			t.Errorf("%q on %s: matches %v, known %v", c.pattern, c.typ, event.Matches(c.pattern, c.typ), event.KnownPattern(c.pattern))
		}
	}
}
