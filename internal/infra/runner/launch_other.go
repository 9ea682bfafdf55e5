//go:build !linux

package runner

import (
	"context"
	"os"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

const markName = "ASSAY_RUN"

// run starts nothing: what this package promises of a process and its descendants holds on Linux only.
func (c *child) run(context.Context) (engine.Exit, error) {
	return engine.Exit{Code: -1}, fault.New(fault.Unsupported, fault.CodeUnsupported, "engines with a program of their own run on Linux only")
}

func maxRSS(*os.ProcessState) int64 { return 0 }

// KillSurvivors finds nothing where nothing can have been started.
func KillSurvivors(context.Context, string) (int, error) { return 0, nil }

// Capabilities returns none.
func Capabilities() engine.Capabilities { return nil }
