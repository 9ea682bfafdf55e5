package scanapi

import (
	"context"
	"net/http"

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
		}
		for j, t := range m.Targets {
			v.TargetTypes[j] = string(t)
		}
		out.Engines[i] = v
	}
	return envelope.OK(out), nil
}
