package runner_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine"
)

func TestLargeFilesAreCopiedIntoTheFolderAsItsOwn(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "advisories.db")
	if err := os.WriteFile(source, []byte("flaws"), 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close() })
	work := t.TempDir()
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	var copier engine.FileCopier = files
	if err := copier.Copy("cache/db/trivy.db", from); err != nil {
		t.Fatal(err)
	}
	f, err := files.Open("cache/db/trivy.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if b, rerr := io.ReadAll(f); string(b) != "flaws" || rerr != nil || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v, %v", b, info.Mode(), err, rerr)
	}
	if err := os.Symlink(source, filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copier.Copy("link", from); err == nil {
		t.Error("a link that a program made leads out of the folder")
	}
}
