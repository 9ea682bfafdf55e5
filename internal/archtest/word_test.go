package archtest_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"assay.dev/assay/internal/archtest"
)

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	doc := map[string]string{}
	for _, s := range load(t) {
		if s.test {
			continue
		}
		if _, ok := doc[s.pkg]; !ok {
			doc[s.pkg] = ""
		}
		if s.file.Doc != nil {
			if doc[s.pkg] != "" {
				t.Errorf("%s has a second package comment", s.path)
			}
			doc[s.pkg] = s.file.Doc.Text()
		}
	}
	for pkg, text := range doc {
		if len(text) < 80 {
			t.Errorf("%s: the package comment must say what it is for and what it must never do", pkg)
		}
	}
}

func TestNoDrawerPackages(t *testing.T) {
	t.Parallel()
	drawer := regexp.MustCompile(`(^|/)(util|utils|common|types|core|base|helper|helpers|manager|misc|shared|lib)(/|$)`)
	for _, s := range load(t) {
		if drawer.MatchString(s.pkg) {
			t.Errorf("%s: a package is named after a thing, not after a drawer", s.pkg)
		}
	}
}

func TestNoInitAndNoUnfinishedBusiness(t *testing.T) {
	t.Parallel()
	unfinished := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, s := range load(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: init runs behind everybody's back; wire it in app", s.path)
			}
		}
		if s.pkg == "internal/archtest" {
			continue
		}
		for _, c := range s.file.Comments {
			if unfinished.MatchString(c.Text()) {
				t.Errorf("%s: unfinished business in a comment", s.set.Position(c.Pos()))
			}
		}
	}
}

// Only state of the machinery may be written without an audit entry, and each kind of it is listed with its reason.
func TestEveryBookkeepingWriteIsListed(t *testing.T) {
	t.Parallel()
	allowed := archtest.Bookkeeping()
	seen := map[string]bool{}
	for _, s := range load(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Bookkeeping" {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); !ok || id.Name != "audit" {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				t.Errorf("%s: say in a literal what is kept", s.set.Position(call.Pos()))
				return true
			}
			what, _ := strconv.Unquote(lit.Value)
			seen[what] = true
			if allowed[what] == "" {
				t.Errorf("%s: %q is not in the list of writes without an audit entry", s.set.Position(call.Pos()), what)
			}
			return true
		})
	}
	for what := range allowed {
		if !seen[what] {
			t.Errorf("allow.go lists %q, which nobody keeps any more", what)
		}
	}
}

func TestNoPathOfAMachineInTheSource(t *testing.T) {
	t.Parallel()
	machine := regexp.MustCompile(`/(work|root|home/[a-z]+)/`)
	for _, s := range load(t) {
		if s.pkg == "internal/archtest" {
			continue
		}
		for i, line := range strings.Split(string(s.text), "\n") {
			if machine.MatchString(line) {
				t.Errorf("%s:%d: a path of a machine", s.path, i+1)
			}
		}
	}
}
