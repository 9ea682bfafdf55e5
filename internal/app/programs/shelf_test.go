package programs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/app/programs"
	"assay.dev/assay/internal/config"
)

func TestOperatorsFoldersAreOpenedByTheirNames(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	folder, link := filepath.Join(home, "db-7"), filepath.Join(home, "db")
	for _, dir := range []string{folder, filepath.Join(home, "nuclei-templates")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "x"), []byte("y"), 0o600), os.Symlink(folder, link)); err != nil {
		t.Fatal(err)
	}
	s := programs.NewShelf(config.Config{TrivyDB: link})
	tree, err := s.Data("trivy_db")
	if err != nil || filepath.Base(tree.Dir) != "db-7" {
		t.Fatalf("%+v, %v: a program must be shown the folder and not the link", tree, err)
	}
	if b, err := fs.ReadFile(tree.FS, "x"); string(b) != "y" {
		t.Errorf("%q, %v", b, err)
	}
	if tree, err := s.Data("nuclei_templates"); err != nil || filepath.Base(tree.Dir) != "nuclei-templates" {
		t.Errorf("%+v, %v: the program's own folder is the default", tree, err)
	}
	for _, name := range []string{"", "other", "../trivy_db"} {
		if _, err := s.Data(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := programs.NewShelf(config.Config{}).Data("trivy_db"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that isn't there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
