package app

import (
	"context"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// The command line speaks of engines in the words of package programs, which it doesn't import.
type (
	// EngineState is what one engine is and whether it can run here.
	EngineState = programs.State
	// EngineDetail is everything that an engine declares, and its state.
	EngineDetail = programs.Detail
	// EngineRecipe is one way to get an engine's program.
	EngineRecipe = programs.Recipe
	// EngineOrder is an installation that somebody wants.
	EngineOrder = programs.Order
	// EngineDone is how an installation went.
	EngineDone = programs.Done
)

// Engines asks every engine whether it can run here. It changes nothing, and runs beside a server too.
func Engines(ctx context.Context, cfg config.Config) ([]EngineState, error) {
	return programs.States(ctx, cfg)
}

// Engine returns what one engine declares, and its state; NotFound where there is none of the id.
func Engine(ctx context.Context, cfg config.Config, id string) (EngineDetail, error) {
	return programs.Describe(ctx, cfg, id)
}

// InstallEngine gets an engine's program by a recipe and enters that into the log of the operator's acts. Where Agree
// says no, the fault is Canceled.
func InstallEngine(ctx context.Context, cfg config.Config, o EngineOrder) (EngineDone, error) {
	return programs.Install(ctx, cfg, o, NewOperator(cfg).noteEngine)
}

// RemoveEngine removes what InstallEngine installed, and enters that too; NotFound where it didn't.
func RemoveEngine(ctx context.Context, cfg config.Config, id string) error {
	return programs.Remove(ctx, cfg, id, NewOperator(cfg).noteEngine)
}

// noteEngine implements programs.Told: by the running server where there is one.
func (o Operator) noteEngine(ctx context.Context, note programs.Note) error {
	_, err := ask[struct{}](ctx, o, "engine.told", note)
	return err
}

func engineTold(ctx context.Context, g *ground, in programs.Note) (struct{}, error) {
	if _, err := programs.ByID(in.ID); err != nil {
		return struct{}{}, err
	}
	ev := audit.Event{Type: event.EngineInstalled, Resource: audit.Resource{Kind: "engine", ID: in.ID}, Reason: in.How}
	if in.Removed {
		ev.Type = event.EngineRemoved
	}
	return struct{}{}, g.store.Record(ctx, uid.System, ev)
}
