// Package programs knows how engines' programs run on this machine: where they are looked up, what they are kept from,
// whether they can run, and how they are installed and removed. It needs no server and no open database.
//
// It must never import app, or keep a record itself: whoever installs or removes hands in the function that does (Told).
// Start with programs.go, which turns the settings into the runner's; state.go asks, install.go changes.
package programs

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/catalog"
)

// sandboxProgram is the small program beside this one that confines engines' programs.
const sandboxProgram = "assay-sandbox"

// Dir returns the folder of installed engines, below the data folder.
func Dir(cfg config.Config) string {
	dir, err := filepath.Abs(cfg.Data)
	if err != nil {
		dir = cfg.Data // the working folder is gone; whoever uses it says so
	}
	return filepath.Join(dir, "engines")
}

// Path returns where engines' programs are looked up: what `assay engine install` has installed, then engine_path.
func Path(cfg config.Config) []string {
	return append([]string{install.Bin(Dir(cfg))}, cfg.EnginePath...)
}

// RunnerConfig returns how engines' programs are started, their scratch folders being in scratch and their processes found
// again by mark.
func RunnerConfig(cfg config.Config, scratch, mark string) runner.Config {
	return runner.Config{
		Path: Path(cfg), Scratch: scratch, Mark: mark,
		Helper: sandboxHelper(cfg), Sandbox: runner.Mode(cfg.Sandbox), User: cfg.SandboxUser,
		Hides: secretPlaces(cfg), Reads: []string{Dir(cfg)}, Containers: Containers(cfg),
	}
}

// Containers returns the engines' programs that the operator runs in containers, with their images. An engine without
// an image stays outside: doctor says so.
func Containers(cfg config.Config) runner.Containers {
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
