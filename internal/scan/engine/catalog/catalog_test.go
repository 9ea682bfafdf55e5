package catalog

import (
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
)

func TestEveryEngineConforms(t *testing.T) {
	for _, e := range All() {
		id := e.Manifest().ID
		t.Run(id, func(t *testing.T) { enginetest.Run(t, e, enginetest.Samples(t, filepath.Join("..", id))...) })
	}
}

func TestNoFolderIsForgotten(t *testing.T) {
	enginetest.Folders(t, "..", All(), "catalog", "enginetest")
}

// TestASourceIsOnePlace holds engines to one meaning of a source's name, because operators set mirrors and keys by it.
func TestASourceIsOnePlace(t *testing.T) {
	at := map[string]string{}
	for _, e := range All() {
		m := e.Manifest()
		if m.Passive && len(m.Sources) == 0 {
			t.Errorf("%s asks nobody", m.ID)
		}
		for _, s := range m.Sources {
			if known, ok := at[s.ID]; ok && known != s.URL {
				t.Errorf("source %s of %s is %s, and %s elsewhere", s.ID, m.ID, s.URL, known)
			}
			at[s.ID] = s.URL
		}
	}
}

func TestLookUp(t *testing.T) {
	for _, e := range All() {
		if got, ok := ByID(e.Manifest().ID); !ok || got.Manifest().ID != e.Manifest().ID {
			t.Errorf("ByID doesn't find %s", e.Manifest().ID)
		}
	}
	if _, ok := ByID("nothing"); ok {
		t.Error("ByID finds what isn't there")
	}
}
