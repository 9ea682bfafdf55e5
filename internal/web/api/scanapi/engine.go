package scanapi

import (
	"context"
	"net/http"
	"strings"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

func (h *handlers) engineRoutes() []api.Entry {
	return []api.Entry{api.Op(api.Route[struct{}, envelope.Out[EngineList]]{
		ID: "listEngines", Method: http.MethodGet, Path: Base + "/engines", Family: problem.Scan, Scope: access.ScansRead,
		Audit: event.EngineListed, Tags: []string{"Engines"}, Summary: "List scan engines",
		Description: "What each engine takes, as data: target types, a JSON Schema of its options and of the config it supports, and " +
			"whether it can run here.",
		Handle: h.engines,
	})}
}

// EngineList is every engine of the server.
type EngineList struct {
	Engines []Engine `json:"engines"`
}

// Engine is one scan engine.
type Engine struct {
	ID          string         `json:"id"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Available   bool           `json:"available"`
	Allowed     bool           `json:"allowed" doc:"The caller's key may use it."`
	Reason      string         `json:"reason,omitempty" doc:"Why it isn't available, and how to get it."`
	Version     string         `json:"version,omitempty"`
	TargetTypes []string       `json:"targetTypes"`
	Options     map[string]any `json:"options" doc:"JSON Schema of the options."`
	Config      map[string]any `json:"config" doc:"JSON Schema of the config fields it supports."`
	Licence     string         `json:"licence"`
	Passive     bool           `json:"passive" doc:"It never connects to the target: it asks its sources only."`
	Sources     []EngineSource `json:"sources" doc:"Third parties that it asks; empty where it asks the target only."`
	Install     string         `json:"install,omitempty" doc:"How to get the program that it needs; absent for engines that are part of the server."`
	Recipes     []EngineRecipe `json:"recipes" doc:"Ways in which the server's operator can get it: assay engine install."`
}

// EngineSource is one third party that an engine asks.
type EngineSource struct {
	ID    string `json:"id" doc:"As options, results and the server's settings name it."`
	Title string `json:"title"`
	URL   string `json:"url" doc:"Where it is asked, unless the operator has set a mirror."`
	Key   bool   `json:"key" doc:"It wants a key of the operator's."`
}

// EngineRecipe is one way to get an engine's program.
type EngineRecipe struct {
	Method string   `json:"method" enum:"system,pip,archive,container"`
	Parts  []string `json:"parts" doc:"What is fetched: name, version and platform."`
	Note   string   `json:"note,omitempty"`
}

func (h *handlers) engines(ctx context.Context, _ *struct{}) (*envelope.Out[EngineList], error) {
	actor := mw.ActorFrom(ctx)
	all, err := h.d.Scans.Engines(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := EngineList{Engines: make([]Engine, len(all))}
	for i, e := range all {
		m := e.Manifest
		v := Engine{
			ID: m.ID, Title: m.Title, Description: m.Description, Available: e.Available, Allowed: actor.MayEngine(m.ID) == nil,
			Reason: e.Reason, Version: e.Version, TargetTypes: make([]string, len(m.Targets)), Options: m.Schema(),
			Config: m.ConfigSchema(), Licence: m.Licence,
			Passive: m.Passive, Sources: []EngineSource{}, Install: m.Install, Recipes: []EngineRecipe{},
		}
		for _, s := range m.Sources {
			v.Sources = append(v.Sources, EngineSource(s))
		}
		for _, r := range m.Recipes {
			recipe := EngineRecipe{Method: string(r.Method), Parts: []string{}, Note: r.Note}
			for _, p := range r.Parts {
				recipe.Parts = append(recipe.Parts, strings.TrimSpace(strings.Join([]string{p.Name, p.Version, p.Platform}, " ")))
			}
			v.Recipes = append(v.Recipes, recipe)
		}
		for j, t := range m.Targets {
			v.TargetTypes[j] = string(t)
		}
		out.Engines[i] = v
	}
	return envelope.OK(out), nil
}
