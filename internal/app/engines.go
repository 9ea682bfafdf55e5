package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

// engineCheckTime bounds the question whether one engine can run.
const engineCheckTime = 30 * time.Second

// EngineState is what one engine is and whether it can run here.
type EngineState struct {
	ID        string           `json:"id"`
	Title     string           `json:"title"`
	Program   string           `json:"program,omitempty"` // empty = part of Assay
	Available bool             `json:"available"`
	Version   string           `json:"version,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Command   string           `json:"command,omitempty"` // how to get it where it isn't available
	Installed *install.Receipt `json:"installed,omitempty"`
}

// EngineDetail is everything that an engine declares, and its state.
type EngineDetail struct {
	EngineState

	Description string          `json:"description"`
	Targets     []string        `json:"targetTypes"`
	Passive     bool            `json:"passive"`
	Licence     string          `json:"licence"`
	Install     string          `json:"install,omitempty"`
	Recipes     []EngineRecipe  `json:"recipes"`
	Sources     []EngineSource  `json:"sources"`
	Options     map[string]any  `json:"options"`
	Config      map[string]any  `json:"config"`
	Manifest    engine.Manifest `json:"-"`
}

// EngineRecipe is one way to get an engine's program.
type EngineRecipe struct {
	Method string       `json:"method"`
	Parts  []EnginePart `json:"parts"`
	Needs  []string     `json:"needs,omitempty"`
	Note   string       `json:"note,omitempty"`
}

// EnginePart is one thing that a recipe fetches.
type EnginePart struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	URL      string `json:"url,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// EngineSource is one third party that an engine asks.
type EngineSource struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	URL   string `json:"url"`
	Key   bool   `json:"key"`
}

// Engines asks every engine whether it can run here. It changes nothing, and runs beside a server too.
func Engines(ctx context.Context, cfg config.Config) ([]EngineState, error) {
	b, err := newBench(cfg, nil)
	if err != nil {
		return nil, err
	}
	states := b.states(ctx)
	return states, b.close()
}

// Engine returns what one engine declares, and its state; NotFound where there is none of the id.
func Engine(ctx context.Context, cfg config.Config, id string) (EngineDetail, error) {
	e, err := engineOf(id)
	if err != nil {
		return EngineDetail{}, err
	}
	b, err := newBench(cfg, nil)
	if err != nil {
		return EngineDetail{}, err
	}
	m := e.Manifest()
	d := EngineDetail{
		EngineState: b.state(ctx, e), Description: m.Description, Passive: m.Passive, Licence: m.Licence, Install: m.Install,
		Recipes: []EngineRecipe{}, Sources: []EngineSource{}, Options: m.Schema(), Config: m.ConfigSchema(), Manifest: m,
	}
	for _, t := range m.Targets {
		d.Targets = append(d.Targets, string(t))
	}
	for _, r := range m.Recipes {
		recipe := EngineRecipe{Method: string(r.Method), Needs: r.Needs, Note: r.Note, Parts: []EnginePart{}}
		for _, p := range r.Parts {
			recipe.Parts = append(recipe.Parts, EnginePart(p))
		}
		d.Recipes = append(d.Recipes, recipe)
	}
	for _, s := range m.Sources {
		d.Sources = append(d.Sources, EngineSource(s))
	}
	return d, b.close()
}

func engineOf(id string) (engine.Engine, error) {
	if e, ok := catalog.ByID(id); ok {
		return e, nil
	}
	ids := make([]string, 0, 10)
	for _, e := range catalog.All() {
		ids = append(ids, e.Manifest().ID)
	}
	return nil, fault.New(fault.NotFound, fault.CodeNotFound, "there is no such engine; there are "+strings.Join(slices.Sorted(slices.Values(ids)), ", "))
}

// checkEngines asks every engine whether it can run here, for doctor.
func checkEngines(ctx context.Context, cfg config.Config) []Check {
	b, err := newBench(cfg, nil)
	if err != nil {
		return []Check{{Name: "engines", State: CheckBroken, Detail: fault.Of(err).Text}}
	}
	defer func() { _ = b.close() }()
	var out []Check
	for _, s := range b.states(ctx) {
		c := Check{Name: "engine " + s.ID, State: CheckGood, Detail: "in this process"}
		switch {
		case !s.Available:
			c.State, c.Detail = CheckMissing, s.Reason
			if s.Command != "" {
				c.Detail = strings.TrimSuffix(c.Detail, ".") + fmt.Sprintf("; or run: %s", s.Command)
			}
		case s.Version != "":
			c.Detail = "version " + s.Version
		}
		out = append(out, c)
	}
	return out
}
