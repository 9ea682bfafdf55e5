package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/infra/runner"
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

// bench is what engines are asked and installed with, without a server.
type bench struct {
	cfg     config.Config
	scratch string
	run     *runner.Runner
	install *install.Installer
}

// newBench makes a bench; the caller closes it. tell gets the progress of installations.
func newBench(cfg config.Config, tell func(string)) (*bench, error) {
	scratch, err := os.MkdirTemp("", "assay-engines-")
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "no folder for temporary files").Because(err)
	}
	b := &bench{cfg: cfg, scratch: scratch}
	if b.run, err = runner.New(runnerConfig(cfg, filepath.Join(scratch, "runs"), runner.Mark(scratch))); err != nil {
		return nil, errors.Join(err, b.close())
	}
	allow, err := config.Prefixes(cfg.EgressAllow)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.install = install.New(install.Deps{
		Dir: enginesDir(cfg), Start: b.start, Web: egress.NewTransport(egress.TransportConfig{Allow: allow}), Now: time.Now,
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Root: os.Geteuid() == 0, Tell: tell,
	})
	return b, nil
}

func (b *bench) close() error { return os.RemoveAll(b.scratch) }

// start returns what the programs of an installation are started with: on the operator's word and as the operator, with
// the network, because they are to fetch and write.
func (b *bench) start(first string) (engine.Launcher, error) {
	path := b.cfg.EnginePath
	if first != "" {
		path = append([]string{first}, path...)
	}
	run, err := runner.New(runner.Config{
		Path: path, Scratch: filepath.Join(b.scratch, "install"), Mark: runner.Mark(b.scratch), Sandbox: runner.Off,
	})
	if err != nil {
		return nil, err
	}
	work, _, err := run.Scratch("install")
	if err != nil {
		return nil, err
	}
	return run.Launcher(runner.Run{Scan: "install", Work: work}), nil
}

// ask asks one engine whether it can run here.
func (b *bench) ask(ctx context.Context, e engine.Engine) engine.Availability {
	checker, ok := e.(engine.Checker)
	if !ok {
		return engine.Availability{Available: true}
	}
	id := "check-" + e.Manifest().ID
	work, remove, err := b.run.Scratch(id)
	if err != nil {
		return engine.Availability{Reason: fault.Of(err).Text}
	}
	defer func() { _ = remove() }()
	files, err := runner.OpenFolder(work)
	if err != nil {
		return engine.Availability{Reason: fault.Of(err).Text}
	}
	defer func() { _ = files.Close() }()
	log := slog.New(slog.DiscardHandler)
	proxy := egress.NewProxy(nowhere, log)
	proc := b.run.Launcher(runner.Run{Scan: id, Work: work, Proxy: proxy.Serve})
	kept := newShelf(b.cfg)
	defer func() { _ = errors.Join(proc.Close(), proxy.Close(), kept.close()) }()
	ctx, cancel := context.WithTimeout(ctx, engineCheckTime)
	defer cancel()
	return checker.Check(ctx, engine.Env{
		Proc: proc, Proxy: proc.ProxyAddress, Work: work, Files: files, Now: time.Now, Log: log, Data: kept.data, Progress: func(int, string) {},
	})
}

// state returns an engine's state.
func (b *bench) state(ctx context.Context, e engine.Engine) EngineState {
	m := e.Manifest()
	a := b.ask(ctx, e)
	s := EngineState{ID: m.ID, Title: m.Title, Program: m.Program, Available: a.Available, Version: a.Version, Reason: a.Reason}
	if r, ok, err := b.install.Installed(m.ID); ok && err == nil {
		s.Installed = &r
	}
	if _, err := b.install.Pick(m, ""); !a.Available && err == nil {
		s.Command = "assay engine install " + m.ID
	}
	return s
}

// states asks all engines, some at a time.
func (b *bench) states(ctx context.Context) []EngineState {
	engines := catalog.All()
	out := make([]EngineState, len(engines))
	var all sync.WaitGroup
	turns := make(chan struct{}, max(2, runtime.NumCPU()))
	for i, e := range engines {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			out[i] = b.state(ctx, e)
		})
	}
	all.Wait()
	return out
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
	return errors.Join(b.install.Remove(ctx, id), b.close())
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
