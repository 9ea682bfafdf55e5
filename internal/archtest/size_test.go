package archtest_test

import (
	"go/ast"
	"testing"

	"assay.dev/assay/internal/archtest"
)

// The stops of ARCHITECTURE.md section 9; aims are lower and a matter of judgement.
const (
	maxFile       = 600
	maxFunction   = 100
	maxPackage    = 3000
	maxStore      = 8000
	maxInterface  = 10
	maxParameters = 6
)

func TestNothingGrowsPastItsStop(t *testing.T) {
	t.Parallel()
	allowed := archtest.Oversized()
	used := map[string]bool{}
	over := func(key string, n, stop int) {
		if n <= stop {
			return
		}
		if allowed[key] != "" {
			used[key] = true
			return
		}
		t.Errorf("%s: %d, the stop is %d", key, n, stop)
	}
	packages := map[string]int{}
	for _, s := range load(t) {
		if s.generated() {
			continue
		}
		if !s.test {
			packages[s.pkg] += s.lines()
			over("file:"+s.path, s.lines(), maxFile)
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if s.test {
					continue
				}
				over("func:"+s.path+"."+d.Name.Name, s.set.Position(d.End()).Line-s.set.Position(d.Pos()).Line+1, maxFunction)
				over("parameters:"+s.path+"."+d.Name.Name, d.Type.Params.NumFields(), maxParameters)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					if it, ok := ts.Type.(*ast.InterfaceType); ok && !s.test {
						over("interface:"+s.path+"."+ts.Name.Name, it.Methods.NumFields(), maxInterface)
					}
				}
			}
		}
	}
	for pkg, n := range packages {
		stop := maxPackage
		if pkg == "internal/infra/store" {
			stop = maxStore
		}
		over("package:"+pkg, n, stop)
	}
	for key := range allowed {
		if !used[key] {
			t.Errorf("allow.go excuses %s, which needs no excuse any more", key)
		}
	}
}
