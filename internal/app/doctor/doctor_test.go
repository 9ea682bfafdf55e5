package doctor_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/app/doctor"
	"assay.dev/assay/internal/config"
)

// settings are those of a server in a folder of the test's own, without any engine's program.
func settings(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	cfg.EnginePath, cfg.ShutdownTimeout = []string{filepath.Join(t.TempDir(), "nothing")}, 5*time.Second
	return cfg
}

// run starts a server, which ends with the test.
func run(t *testing.T, cfg config.Config) {
	t.Helper()
	server, err := app.New(t.Context(), cfg, app.Seams{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background()) // ends in the clean-up
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server did not stop in good order: %v", err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatalf("the server ended: %v", err)
	}
}

// about returns the doctor's lines by their names.
func about(t *testing.T, cfg config.Config, ca string) map[string]doctor.Check {
	t.Helper()
	out := map[string]doctor.Check{}
	for _, c := range doctor.Run(t.Context(), cfg, ca) {
		if c.Detail == "" {
			t.Errorf("%s says nothing", c.Name)
		}
		out[c.Name] = c
	}
	return out
}

// says checks one line.
func says(t *testing.T, c doctor.Check, state, part string) {
	t.Helper()
	if c.State != state || !strings.Contains(c.Detail, part) {
		t.Errorf("%+v, want %s with %q", c, state, part)
	}
}

func TestAMachineWithoutAServerIsToldWhatWillBeMade(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	d := about(t, cfg, "")
	says(t, d["data folder"], doctor.Missing, "assay init")
	says(t, d["master key"], doctor.Missing, "made at the first start")
	says(t, d["database"], doctor.Missing, "made at the first start")
	says(t, d["tls"], doctor.Missing, "no server runs")
	says(t, d["engine sentinel"], doctor.Good, "in this process")
	says(t, d["engine sqlmap"], doctor.Missing, "assay engine install sqlmap")
	for name, c := range d {
		if strings.HasPrefix(name, "engine ") && c.State == doctor.Broken {
			t.Errorf("%+v", c)
		}
	}
	if _, err := os.Stat(cfg.Data); !os.IsNotExist(err) {
		t.Errorf("the doctor made the data folder: %v", err)
	}
}

func TestAFolderThatIsOpenToOthersIsBroken(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	run(t, cfg)
	d := about(t, cfg, "")
	says(t, d["data folder"], doctor.Good, "the owner's alone")
	says(t, d["master key"], doctor.Good, "lies in the data folder")
	says(t, d["database"], doctor.Good, "organizations: 0")
	if err := os.Chmod(cfg.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	says(t, about(t, cfg, "")["data folder"], doctor.Broken, "chmod 700")
}

func TestAnEngineWithoutAnImageStaysOutsideOfContainers(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.InContainers = []string{"sentinel"}
	says(t, about(t, cfg, "")["container sentinel"], doctor.Broken, "no pinned image")
}
