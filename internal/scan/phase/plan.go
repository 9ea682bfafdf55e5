package phase

import (
	"slices"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// Source is where a step's targets come from.
type Source string

// Sources.
const (
	FromRoot    Source = "root"    // the order's own target
	FromNames   Source = "names"   // host names below the order's domain that were found
	FromOrigins Source = "origins" // web servers that were found, or the order's own URL
	FromPages   Source = "pages"   // pages with parameters that were found
)

// Step is one engine in one phase.
type Step struct {
	Phase  string
	Engine string
	From   Source
	Root   []asset.TargetType // types of the order's target that it fits; empty = all
	Depths []string           // of the order; empty = all
	// Options are fixed, as JSON by name. Inherit names options of the order that the child takes over where the order has
	// them.
	Options map[string]string
	Inherit []string
}

// Depths of an order.
const (
	standard = "standard"
	deep     = "deep"
)

// Bounds of a parent.
const (
	MaxChildren = 50  // of a parent
	MaxOrigins  = 10  // web servers that a step looks at
	MaxPages    = 5   // with parameters, of a step
	MaxNames    = 10  // below a domain
	maxLeft     = 100 // notes of what was left out
)

// perPhase bounds a phase's children, so that an early one leaves room for the others.
func perPhase(phase string) int {
	switch phase {
	case engine.PhaseInventory:
		return 8
	case engine.PhaseSurface:
		return 28
	}
	return 14 // with the others' 36: MaxChildren
}

// Plan is which engine looks at what, in the order in which children are made: where bounds cut, the later ones go.
func Plan() []Step {
	network := []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork}
	web := []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork, asset.TypeDomain, asset.TypeURL}
	code := []asset.TargetType{asset.TypeImage, asset.TypeRepository, asset.TypeFilesystem}
	domain := []asset.TargetType{asset.TypeDomain}
	return []Step{
		{Phase: engine.PhaseInventory, Engine: "sentinel", From: FromRoot, Inherit: []string{"depth", "ports", "probes"}},
		// Low intensity tells the common services apart in seconds; silent ports make higher ones take minutes.
		{
			Phase: engine.PhaseInventory, Engine: "nmap", From: FromRoot, Root: network, Depths: []string{standard},
			Options: map[string]string{"versionIntensity": "2"}, Inherit: []string{"ports"},
		},
		{Phase: engine.PhaseInventory, Engine: "nmap", From: FromRoot, Root: network, Depths: []string{deep}, Inherit: []string{"ports"}},
		{Phase: engine.PhaseInventory, Engine: "trivy", From: FromRoot, Root: code},
		{Phase: engine.PhaseInventory, Engine: "sublist3r", From: FromRoot, Root: domain},
		{Phase: engine.PhaseInventory, Engine: "harvester", From: FromRoot, Root: domain},

		{Phase: engine.PhaseSurface, Engine: "sentinel", From: FromNames, Root: domain, Inherit: []string{"depth", "ports", "probes"}},
		{Phase: engine.PhaseSurface, Engine: "wapiti", From: FromOrigins, Root: web},
		{Phase: engine.PhaseSurface, Engine: "zap", From: FromOrigins, Root: web},
		{Phase: engine.PhaseSurface, Engine: "nikto", From: FromOrigins, Root: web},

		// All templates at once: sets are folders of the public collection, which an operator's own may not have.
		{
			Phase: engine.PhaseVulnerability, Engine: "nuclei", From: FromOrigins, Root: web, Depths: []string{standard},
			Options: map[string]string{"protocols": `["http","ssl"]`},
		},
		{
			Phase: engine.PhaseVulnerability, Engine: "nuclei", From: FromOrigins, Root: web, Depths: []string{deep},
			Options: map[string]string{"protocols": `["http","ssl","tcp"]`},
		},
		// Pages that others found are confirmed first; then sqlmap's own crawler looks for more.
		{Phase: engine.PhaseVulnerability, Engine: "sqlmap", From: FromPages, Root: web},
		{Phase: engine.PhaseVulnerability, Engine: "sqlmap", From: FromOrigins, Root: web},
		{
			Phase: engine.PhaseVulnerability, Engine: "zap", From: FromOrigins, Root: web, Depths: []string{deep},
			Options: map[string]string{"plan": `"full"`},
		},
	}
}

// steps are those of a phase that fit an order.
func steps(phase, depth string, root asset.TargetType) []Step {
	var out []Step
	for _, s := range Plan() {
		if s.Phase == phase && (len(s.Root) == 0 || slices.Contains(s.Root, root)) && (len(s.Depths) == 0 || slices.Contains(s.Depths, depth)) {
			out = append(out, s)
		}
	}
	return out
}
