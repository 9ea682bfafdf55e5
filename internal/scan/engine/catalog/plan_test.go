package catalog_test

import (
	"encoding/json"
	"slices"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/scan/phase"
)

func TestThePlanFitsTheEngines(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, s := range phase.Plan() {
		used[s.Engine] = true
		e, ok := catalog.ByID(s.Engine)
		if !ok {
			continue // a build without the engine skips the step
		}
		m := e.Manifest()
		given := map[string]json.RawMessage{}
		for name, value := range s.Options {
			given[name] = json.RawMessage(value)
		}
		if _, err := engine.ParseOptions(m, given, nil); err != nil {
			t.Errorf("%s in %s: %v", s.Engine, s.Phase, err)
		}
		for _, name := range s.Inherit {
			if !slices.ContainsFunc(m.Options, func(o engine.Option) bool { return o.Name == name }) {
				t.Errorf("%s has no option %s to inherit", s.Engine, name)
			}
		}
		switch s.From {
		case phase.FromOrigins, phase.FromPages:
			if !m.Takes(asset.TypeURL) {
				t.Errorf("%s can't look at web servers", s.Engine)
			}
		case phase.FromNames:
			if !m.Takes(asset.TypeDomain) {
				t.Errorf("%s can't look at domains", s.Engine)
			}
		case phase.FromRoot:
			if len(s.Root) > 0 && !slices.ContainsFunc(s.Root, m.Takes) {
				t.Errorf("%s takes none of %v", s.Engine, s.Root)
			}
		}
	}
	for _, e := range catalog.All() {
		if id := e.Manifest().ID; !used[id] {
			t.Errorf("%s has no part in the plan", id)
		}
	}
}

func TestSentinelNamesEveryEngine(t *testing.T) {
	t.Parallel()
	e, _ := catalog.ByID("sentinel")
	for _, o := range e.Manifest().Options {
		if o.Name != "engines" {
			continue
		}
		for _, known := range catalog.All() {
			if !slices.Contains(o.Enum, known.Manifest().ID) {
				t.Errorf("orders can't choose %s", known.Manifest().ID)
			}
		}
	}
}
