package runner_test

import (
	"errors"
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
	_, err = from.Seek(0, io.SeekStart)
	if err = errors.Join(err, copier.Copy("link", from)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(source); string(b) != "flaws" || err != nil {
		t.Errorf("a link that a program made leads out of the folder: %q, %v", b, err)
	}
	if info, err := os.Lstat(filepath.Join(work, "link")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the copy isn't a file of its own: %v", err)
	}
}
