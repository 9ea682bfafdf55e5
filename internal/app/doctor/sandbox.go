package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

// checkSandbox tries what engines' programs are kept from, one line a property.
func checkSandbox(ctx context.Context, cfg config.Config) []Check {
	broken := func(detail string) []Check {
		return []Check{{Name: "sandbox", State: Broken, Detail: detail}}
	}
	scratch, err := os.MkdirTemp("", "assay-doctor-")
	if err != nil {
		return broken("no folder for temporary files: " + err.Error())
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	run, err := runner.New(programs.RunnerConfig(cfg, scratch, runner.Mark(scratch)))
	if err != nil {
		return broken(fault.Of(err).Text)
	}
	properties, err := run.Holds(ctx)
	if err != nil {
		return broken(fault.Of(err).Text)
	}
	out := make([]Check, 0, len(properties))
	for _, p := range properties {
		out = append(out, checkProperty(cfg, p))
	}
	return append(out, checkContainers(cfg)...)
}

func checkProperty(cfg config.Config, p runner.Property) Check {
	c := Check{Name: "sandbox " + p.Name, State: Good, Detail: p.Title}
	if p.Why != "" {
		c.Detail += ": " + p.Why
	}
	switch {
	case p.Holds:
	case cfg.Sandbox == config.SandboxRequire && !p.Optional:
		c.State, c.Detail = Broken, "doesn't hold, and the setting sandbox requires it: "+c.Detail
	default:
		c.State, c.Detail = Missing, "doesn't hold: "+c.Detail
	}
	return c
}

// checkContainers says which engines run in containers, and which of them can't.
func checkContainers(cfg config.Config) []Check {
	var out []Check
	images := programs.Containers(cfg).Images
	for _, e := range catalog.All() {
		m := e.Manifest()
		if !slices.Contains(cfg.InContainers, m.ID) {
			continue
		}
		c := Check{Name: "container " + m.ID, State: Good, Detail: "runs by " + cfg.Runtime + " from " + images[m.Program]}
		if images[m.Program] == "" {
			c.State, c.Detail = Broken, "container_engines names it, but it has no pinned image; it runs outside of containers"
		}
		out = append(out, c)
	}
	return out
}

// checkEngines asks every engine whether it can run here.
func checkEngines(ctx context.Context, cfg config.Config) []Check {
	states, err := programs.States(ctx, cfg)
	if err != nil && len(states) == 0 {
		return []Check{{Name: "engines", State: Broken, Detail: fault.Of(err).Text}}
	}
	var out []Check
	for _, s := range states {
		c := Check{Name: "engine " + s.ID, State: Good, Detail: "in this process"}
		switch {
		case !s.Available:
			c.State, c.Detail = Missing, s.Reason
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
