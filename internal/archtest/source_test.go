package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// source is one parsed Go file of the tree.
type source struct {
	path string // below the module's root, with slashes
	pkg  string // its folder
	test bool
	file *ast.File
	set  *token.FileSet
	text []byte
}

func (s source) lines() int { return strings.Count(string(s.text), "\n") }

func (s source) generated() bool { return ast.IsGenerated(s.file) }

// load parses every Go file below cmd and internal.
func load(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	set := token.NewFileSet()
	var out []source
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.Contains(path, "/testdata/") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(set, path, text, parser.ParseComments)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			out = append(out, source{
				path: rel, pkg: rel[:strings.LastIndexByte(rel, '/')], test: strings.HasSuffix(rel, "_test.go"),
				file: f, set: set, text: text,
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 10 {
		t.Fatalf("found %d files; the test looks in the wrong place", len(out))
	}
	return out
}
