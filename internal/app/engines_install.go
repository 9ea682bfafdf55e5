package app

import (
	"context"
	"errors"
	"os"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// EngineOrder is an installation that somebody wants.
type EngineOrder struct {
	ID     string
	Method string       // empty = the first recipe that fits this machine
	Tell   func(string) // progress, one line each; nil = nobody listens
	// Agree is asked before anything is fetched, with the engine's licence note and what would be done; false ends it. Nil =
	// agreed already.
	Agree func(EngineDetail, EngineRecipe) bool
}

// EngineDone is how an installation went.
type EngineDone struct {
	Receipt install.Receipt `json:"receipt"`
	State   EngineState     `json:"state"`
}

// errDeclined says that the operator didn't agree.
var errDeclined = errors.New("the installation was declined")

// InstallEngine gets an engine's program by a recipe. Where Agree says no, the fault is Canceled.
func InstallEngine(ctx context.Context, cfg config.Config, o EngineOrder) (EngineDone, error) {
	e, err := engineOf(o.ID)
	if err != nil {
		return EngineDone{}, err
	}
	if info, serr := os.Stat(cfg.Data); serr != nil || !info.IsDir() {
		return EngineDone{}, fault.New(fault.NotFound, fault.CodeNotFound, "there is no data folder "+cfg.Data+"; `assay init` makes one").Because(serr)
	}
	b, err := newBench(cfg, o.Tell)
	if err != nil {
		return EngineDone{}, err
	}
	done, err := b.carryOut(ctx, e, o)
	return done, errors.Join(err, b.close())
}

func (b *bench) carryOut(ctx context.Context, e engine.Engine, o EngineOrder) (EngineDone, error) {
	m := e.Manifest()
	recipe, err := b.install.Pick(m, engine.Method(o.Method))
	if err != nil {
		return EngineDone{}, err
	}
	if o.Agree != nil {
		shown := EngineRecipe{Method: string(recipe.Method), Needs: recipe.Needs, Note: recipe.Note}
		for _, p := range recipe.Parts {
			shown.Parts = append(shown.Parts, EnginePart(p))
		}
		if !o.Agree(EngineDetail{EngineState: EngineState{ID: m.ID, Title: m.Title, Program: m.Program}, Licence: m.Licence, Manifest: m}, shown) {
			return EngineDone{}, fault.New(fault.Canceled, fault.CodeCanceled, "nothing was installed").Because(errDeclined)
		}
	}
	receipt, err := b.install.Install(ctx, m, recipe)
	if err != nil {
		return EngineDone{}, err
	}
	if len(receipt.Commands) == 0 {
		if err := b.tell(ctx, engineNote{ID: m.ID, How: string(receipt.Method) + ", recipe sha256 " + receipt.Recipe}); err != nil {
			return EngineDone{}, err
		}
	}
	return EngineDone{Receipt: receipt, State: b.state(ctx, e)}, nil
}

// RemoveEngine removes what InstallEngine installed; NotFound where it didn't.
func RemoveEngine(ctx context.Context, cfg config.Config, id string) error {
	if _, err := engineOf(id); err != nil {
		return err
	}
	b, err := newBench(cfg, nil)
	if err != nil {
		return err
	}
	err = b.install.Remove(ctx, id)
	if err == nil {
		err = b.tell(ctx, engineNote{ID: id, Removed: true})
	}
	return errors.Join(err, b.close())
}

// engineNote is what was done with the program of an engine.
type engineNote struct {
	ID      string `json:"id"`
	How     string `json:"how"`
	Removed bool   `json:"removed"`
}

// tell enters what was done into the log of the operator's acts, by the running server where there is one.
func (b *bench) tell(ctx context.Context, note engineNote) error {
	_, err := ask[struct{}](ctx, NewOperator(b.cfg), "engine.told", note)
	return err
}

func engineTold(ctx context.Context, g *ground, in engineNote) (struct{}, error) {
	if _, err := engineOf(in.ID); err != nil {
		return struct{}{}, err
	}
	ev := audit.Event{Type: event.EngineInstalled, Resource: audit.Resource{Kind: "engine", ID: in.ID}, Reason: in.How}
	if in.Removed {
		ev.Type = event.EngineRemoved
	}
	return struct{}{}, g.store.Record(ctx, uid.System, ev)
}
