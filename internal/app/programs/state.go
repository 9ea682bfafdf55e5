package programs

import (
	"context"
	"slices"
	"strings"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

// State is what one engine is and whether it can run here.
type State struct {
	ID        string           `json:"id"`
	Title     string           `json:"title"`
	Program   string           `json:"program,omitempty"` // empty = part of Assay
	Available bool             `json:"available"`
	Version   string           `json:"version,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Command   string           `json:"command,omitempty"` // how to get it where it isn't available
	Installed *install.Receipt `json:"installed,omitempty"`
}

// Detail is everything that an engine declares, and its state.
type Detail struct {
	State

	Description string          `json:"description"`
	Targets     []string        `json:"targetTypes"`
	Passive     bool            `json:"passive"`
	Licence     string          `json:"licence"`
	Install     string          `json:"install,omitempty"`
	Recipes     []Recipe        `json:"recipes"`
	Sources     []Source        `json:"sources"`
	Options     map[string]any  `json:"options"`
	Config      map[string]any  `json:"config"`
	Manifest    engine.Manifest `json:"-"`
}

// Recipe is one way to get an engine's program.
type Recipe struct {
	Method string   `json:"method"`
	Parts  []Part   `json:"parts"`
	Needs  []string `json:"needs,omitempty"`
	Note   string   `json:"note,omitempty"`
}

// Part is one thing that a recipe fetches.
type Part struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	URL      string `json:"url,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// Source is one third party that an engine asks.
type Source struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	URL   string `json:"url"`
	Key   bool   `json:"key"`
}

// States asks every engine whether it can run here. It changes nothing, and runs beside a server too.
func States(ctx context.Context, cfg config.Config) ([]State, error) {
	b, err := newBench(cfg, nil)
	if err != nil {
		return nil, err
	}
	states := b.states(ctx)
	return states, b.close()
}

// Describe returns what one engine declares, and its state; NotFound where there is none of the id.
func Describe(ctx context.Context, cfg config.Config, id string) (Detail, error) {
	e, err := ByID(id)
	if err != nil {
		return Detail{}, err
	}
	b, err := newBench(cfg, nil)
	if err != nil {
		return Detail{}, err
	}
	m := e.Manifest()
	d := Detail{
		State: b.state(ctx, e), Description: m.Description, Passive: m.Passive, Licence: m.Licence, Install: m.Install,
		Recipes: []Recipe{}, Sources: []Source{}, Options: m.Schema(), Config: m.ConfigSchema(), Manifest: m,
	}
	for _, t := range m.Targets {
		d.Targets = append(d.Targets, string(t))
	}
	for _, r := range m.Recipes {
		d.Recipes = append(d.Recipes, show(r))
	}
	for _, s := range m.Sources {
		d.Sources = append(d.Sources, Source(s))
	}
	return d, b.close()
}

// show returns a recipe as it is told.
func show(r engine.Recipe) Recipe {
	out := Recipe{Method: string(r.Method), Needs: r.Needs, Note: r.Note, Parts: []Part{}}
	for _, p := range r.Parts {
		out.Parts = append(out.Parts, Part(p))
	}
	return out
}

// ByID returns an engine of the catalog; the fault of an unknown id is NotFound and names those that there are.
func ByID(id string) (engine.Engine, error) {
	if e, ok := catalog.ByID(id); ok {
		return e, nil
	}
	ids := make([]string, 0, 10)
	for _, e := range catalog.All() {
		ids = append(ids, e.Manifest().ID)
	}
	return nil, fault.New(fault.NotFound, fault.CodeNotFound, "there is no such engine; there are "+strings.Join(slices.Sorted(slices.Values(ids)), ", "))
}
