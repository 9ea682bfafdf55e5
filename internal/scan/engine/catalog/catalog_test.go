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
