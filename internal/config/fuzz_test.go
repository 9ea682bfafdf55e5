package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/config"
)

// What anybody may write into the file or the environment is read or refused; it never ends the process, and what is
// read passes the check.
func FuzzLoad(f *testing.F) {
	f.Add("workers: 2\nlog_level: warn\nshutdown_timeout: 5s\n", "debug", "10.0.0.0/8, ::1")
	f.Add("a: &a [*a]\n", "", ",")
	f.Add("workers: {x: 1}\nroles: [api, 1, null]\n", "\x00", "x")
	f.Add("? [1]\n: 2\n", "info", "")
	f.Add("1: 2\n~: 3\n", "info", "")
	f.Add("- a\n", "info", "")
	f.Add("data: !!binary AA==\nlisten: 2026-01-01\n", "info", "")
	f.Fuzz(func(t *testing.T, text, level, networks string) {
		file := filepath.Join(t.TempDir(), "assay.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(config.Sources{File: file, Environ: []string{"ASSAY_LOG_LEVEL=" + level, "ASSAY_TRUSTED_PROXIES=" + networks}})
		if err != nil {
			return
		}
		if err := cfg.Check(); err != nil {
			t.Errorf("%q was read and doesn't pass: %v", text, err)
		}
	})
}
