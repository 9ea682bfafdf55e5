package app

import (
	"path/filepath"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/install"
)

// enginesDir returns the folder of installed engines, below the data folder.
func enginesDir(cfg config.Config) string {
	dir, err := filepath.Abs(cfg.Data)
	if err != nil {
		dir = cfg.Data // the working folder is gone; whoever uses it says so
	}
	return filepath.Join(dir, "engines")
}

// programPath returns where engines' programs are looked up: what `assay engine install` has installed, then engine_path.
func programPath(cfg config.Config) []string {
	return append([]string{install.Bin(enginesDir(cfg))}, cfg.EnginePath...)
}
