package programs_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/scan/engine/catalog"
	"assay.dev/assay/internal/word/fault"
)

func TestInstalledProgramsComeFirst(t *testing.T) {
	t.Parallel()
	got := programs.Path(config.Config{Data: "/srv/assay", EnginePath: []string{"/usr/bin"}})
	if len(got) != 2 || got[0] != "/srv/assay/engines/bin" || got[1] != "/usr/bin" {
		t.Errorf("%v", got)
	}
}

func TestEveryEngineSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data, cfg.EnginePath = t.TempDir(), []string{filepath.Join(t.TempDir(), "nothing")}
	states, err := programs.States(t.Context(), cfg)
	if err != nil || len(states) != len(catalog.All()) {
		t.Fatal(states, err)
	}
	for _, s := range states {
		if !s.Available && s.Reason == "" {
			t.Errorf("%s isn't available without a reason", s.ID)
		}
		d, err := programs.Describe(t.Context(), cfg, s.ID)
		if err != nil || d.Licence == "" || len(d.Targets) == 0 || (d.Program != "") != (d.Install != "") {
			t.Errorf("%s: %+v, %v", s.ID, d, err)
		}
		if _, err := json.Marshal(d); err != nil {
			t.Error(err)
		}
	}
	if _, err := programs.Describe(t.Context(), cfg, "nosuch"); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}

func TestWhatWasNotDoneIsNotTold(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Data, cfg.EnginePath = t.TempDir(), []string{filepath.Join(t.TempDir(), "nothing")}
	told := func(_ context.Context, n programs.Note) error {
		t.Errorf("told of %+v", n)
		return nil
	}
	if err := programs.Remove(t.Context(), cfg, "nmap", told); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
	asked := false
	_, err := programs.Install(t.Context(), cfg, programs.Order{ID: "sublist3r", Agree: func(d programs.Detail, _ programs.Recipe) bool {
		asked = d.Licence != ""
		return false
	}}, told)
	if fault.KindOf(err) != fault.Canceled || !asked {
		t.Errorf("a declined installation: %v", err)
	}
}
