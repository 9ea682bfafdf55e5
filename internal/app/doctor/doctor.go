// Package doctor looks a machine over for `assay doctor`: settings, data folder, keys, database, TLS of a running server,
// the sandbox and the engines, each in lines that say what is wrong and how it is mended.
//
// It must never change anything, nor fail where a server runs: what it asks of a data folder it asks as its operator. Only
// the command line uses it. Start with Run; sandbox.go looks at how engines' programs are kept, tls.go at the handshake.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/word/fault"
)

// States of a check.
const (
	Good    = "good"
	Missing = "missing" // works without it; the detail says how to get it
	Broken  = "broken"  // must be mended
)

// Check is one line of `assay doctor`.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Data   any    `json:"data,omitempty"` // more of it for programs
}

// Run looks at settings, data folder, keys, engines, and the TLS of a running server, whose authority may be in the
// file ca. It changes nothing, and runs beside a server too.
func Run(ctx context.Context, cfg config.Config, ca string) []Check {
	checks := []Check{checkFolder(cfg), checkMasterKey(cfg), checkDatabase(ctx, cfg)}
	checks = append(checks, checkTLS(ctx, cfg, ca)...)
	checks = append(checks, checkSandbox(ctx, cfg)...)
	return append(checks, checkEngines(ctx, cfg)...)
}

func checkFolder(cfg config.Config) Check {
	c := Check{Name: "data folder"}
	info, err := os.Stat(cfg.Data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.State, c.Detail = Missing, cfg.Data+" will be made by `assay init`, `serve` or `demo`"
	case err != nil:
		c.State, c.Detail = Broken, err.Error()
	case info.Mode().Perm()&0o077 != 0:
		c.State, c.Detail = Broken, cfg.Data+" is open to others; run: chmod 700 "+cfg.Data
	default:
		c.State, c.Detail = Good, cfg.Data+" is the owner's alone"
	}
	return c
}

func checkMasterKey(cfg config.Config) Check {
	c := Check{Name: "master key"}
	_, origin, err := keys.Load(keys.Place{
		File: cfg.MasterKeyFile, Credentials: os.Getenv("CREDENTIALS_DIRECTORY"), Data: cfg.Data,
	}, strings.NewReader(""))
	switch {
	case err != nil && cfg.MasterKeyFile == "" && !exists(filepath.Join(cfg.Data, app.DatabaseFile)):
		c.State, c.Detail = Missing, "made at the first start"
	case err != nil:
		c.State, c.Detail = Broken, fault.Of(err).Text
	case origin == keys.FromData:
		c.State, c.Detail = Good, "lies in the data folder: that protects copies of the database, not the host; set master_key_file to keep it apart"
	default:
		c.State, c.Detail = Good, "comes from "+string(origin)
	}
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func checkDatabase(ctx context.Context, cfg config.Config) Check {
	c := Check{Name: "database", State: Good}
	kind := "SQLite in the data folder"
	if cfg.Database != "" {
		kind = "PostgreSQL"
	} else if !exists(filepath.Join(cfg.Data, app.DatabaseFile)) {
		return Check{Name: "database", State: Missing, Detail: kind + ", made at the first start"}
	}
	// A running server holds the lock and answers on its socket; without one we open the database ourselves.
	orgs, err := app.NewOperator(cfg).Organizations(ctx)
	if err != nil {
		c.State, c.Detail = Broken, kind+": "+fault.Of(err).Text
		return c
	}
	c.Detail = fmt.Sprintf("%s; organizations: %d", kind, len(orgs))
	return c
}
