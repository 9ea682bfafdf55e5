package app

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

// sandboxProgram is the small program beside this one that confines engines' programs.
const sandboxProgram = "assay-sandbox"

// runnerConfig is how engines' programs are started, their scratch folders being in scratch.
func runnerConfig(cfg config.Config, scratch, mark string) runner.Config {
	return runner.Config{
		Path: programPath(cfg), Scratch: scratch, Mark: mark,
		Helper: sandboxHelper(cfg), Sandbox: runner.Mode(cfg.Sandbox), User: cfg.SandboxUser,
		Hides: secretPlaces(cfg), Reads: []string{enginesDir(cfg)}, Containers: containers(cfg),
	}
}

// containers are the engines' programs that the operator runs in containers. An engine without an image stays outside:
// doctor says so.
func containers(cfg config.Config) runner.Containers {
	out := runner.Containers{Runtime: cfg.Runtime, Images: map[string]string{}}
	for _, e := range catalog.All() {
		m := e.Manifest()
		if image := imageOf(m); image != "" && slices.Contains(cfg.InContainers, m.ID) {
			out.Images[m.Program] = image
		}
	}
	return out
}

// imageOf returns the pinned image of an engine for this platform; empty = it has none.
func imageOf(m engine.Manifest) string {
	for _, r := range m.Recipes {
		if r.Method != engine.MethodContainer {
			continue
		}
		for _, p := range r.Parts {
			if p.Platform == "" || p.Platform == runtime.GOOS+"/"+runtime.GOARCH {
				return p.Name + "@sha256:" + p.SHA256
			}
		}
	}
	return ""
}

// checkContainers says which engines run in containers, and which of them can't.
func checkContainers(cfg config.Config) []Check {
	var out []Check
	images := containers(cfg).Images
	for _, e := range catalog.All() {
		m := e.Manifest()
		if !slices.Contains(cfg.InContainers, m.ID) {
			continue
		}
		c := Check{Name: "container " + m.ID, State: CheckGood, Detail: "runs by " + cfg.Runtime + " from " + images[m.Program]}
		if images[m.Program] == "" {
			c.State, c.Detail = CheckBroken, "container_engines names it, but it has no pinned image; it runs outside of containers"
		}
		out = append(out, c)
	}
	return out
}

// sandboxHelper returns the path of the program that confines others: where the operator says, or beside this one;
// empty = it isn't there.
func sandboxHelper(cfg config.Config) string {
	if cfg.SandboxHelper != "" {
		return cfg.SandboxHelper
	}
	own, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(own); err == nil {
		own = real
	}
	beside := filepath.Join(filepath.Dir(own), sandboxProgram)
	if info, err := os.Stat(beside); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return ""
	}
	return beside
}

// secretPlaces are what no program may read, wherever it lies.
func secretPlaces(cfg config.Config) []string {
	var out []string
	for _, path := range []string{cfg.Data, cfg.MasterKeyFile, cfg.TLSKey, cfg.TLSACMEAccountMAC, cfg.SourceKeys, os.Getenv("CREDENTIALS_DIRECTORY")} {
		if path != "" {
			out = append(out, absolute(path))
		}
	}
	return out
}

// absolute returns path from the root; where the working folder is gone, path itself.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// checkSandbox tries what engines' programs are kept from, one line a property.
func checkSandbox(ctx context.Context, cfg config.Config) []Check {
	broken := func(detail string) []Check {
		return []Check{{Name: "sandbox", State: CheckBroken, Detail: detail}}
	}
	scratch, err := os.MkdirTemp("", "assay-doctor-")
	if err != nil {
		return broken("no folder for temporary files: " + err.Error())
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	run, err := runner.New(runnerConfig(cfg, scratch, runner.Mark(scratch)))
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
	c := Check{Name: "sandbox " + p.Name, State: CheckGood, Detail: p.Title}
	if p.Why != "" {
		c.Detail += ": " + p.Why
	}
	switch {
	case p.Holds:
	case cfg.Sandbox == config.SandboxRequire && !p.Optional:
		c.State, c.Detail = CheckBroken, "doesn't hold, and the setting sandbox requires it: "+c.Detail
	default:
		c.State, c.Detail = CheckMissing, "doesn't hold: "+c.Detail
	}
	return c
}
