package programs

import (
	"context"
	"errors"
	"os"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Order is an installation that somebody wants.
type Order struct {
	ID     string
	Method string       // empty = the first recipe that fits this machine
	Tell   func(string) // progress, one line each; nil = nobody listens
	// Agree is asked before anything is fetched, with the engine's licence note and what would be done; false ends it. Nil =
	// agreed already.
	Agree func(Detail, Recipe) bool
}

// Done is how an installation went.
type Done struct {
	Receipt install.Receipt `json:"receipt"`
	State   State           `json:"state"`
}

// Note is what was done with the program of an engine.
type Note struct {
	ID      string `json:"id"`
	How     string `json:"how"` // the method and the recipe's digest; empty for a removal
	Removed bool   `json:"removed"`
}

// Told keeps a note of what was done. It is called after the deed; its error is the caller's answer.
type Told func(context.Context, Note) error

// errDeclined says that the operator didn't agree.
var errDeclined = errors.New("the installation was declined")

// Install gets an engine's program by a recipe and tells of it, unless the recipe is a command that is left to the
// operator. Where Agree says no, the fault is Canceled.
func Install(ctx context.Context, cfg config.Config, o Order, told Told) (Done, error) {
	e, err := ByID(o.ID)
	if err != nil {
		return Done{}, err
	}
	if info, serr := os.Stat(cfg.Data); serr != nil || !info.IsDir() {
		return Done{}, fault.New(fault.NotFound, fault.CodeNotFound, "there is no data folder "+cfg.Data+"; `assay init` makes one").Because(serr)
	}
	b, err := newBench(cfg, o.Tell)
	if err != nil {
		return Done{}, err
	}
	done, err := b.carryOut(ctx, e, o, told)
	return done, errors.Join(err, b.close())
}

func (b *bench) carryOut(ctx context.Context, e engine.Engine, o Order, told Told) (Done, error) {
	m := e.Manifest()
	recipe, err := b.install.Pick(m, engine.Method(o.Method))
	if err != nil {
		return Done{}, err
	}
	if o.Agree != nil {
		asked := Detail{State: State{ID: m.ID, Title: m.Title, Program: m.Program}, Licence: m.Licence, Manifest: m}
		if !o.Agree(asked, show(recipe)) {
			return Done{}, fault.New(fault.Canceled, fault.CodeCanceled, "nothing was installed").Because(errDeclined)
		}
	}
	receipt, err := b.install.Install(ctx, m, recipe)
	if err != nil {
		return Done{}, err
	}
	if len(receipt.Commands) == 0 {
		if err := told(ctx, Note{ID: m.ID, How: string(receipt.Method) + ", recipe sha256 " + receipt.Recipe}); err != nil {
			return Done{}, err
		}
	}
	return Done{Receipt: receipt, State: b.state(ctx, e)}, nil
}

// Remove removes what Install installed and tells of it; NotFound where it didn't.
func Remove(ctx context.Context, cfg config.Config, id string, told Told) error {
	if _, err := ByID(id); err != nil {
		return err
	}
	b, err := newBench(cfg, nil)
	if err != nil {
		return err
	}
	err = b.install.Remove(ctx, id)
	if err == nil {
		err = told(ctx, Note{ID: id, Removed: true})
	}
	return errors.Join(err, b.close())
}
