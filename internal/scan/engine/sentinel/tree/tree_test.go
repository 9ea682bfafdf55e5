package tree_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/inspect/secrets"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
)

func all() tree.Options {
	return tree.Options{Secrets: true, Packages: true, Keys: true, Fingerprint: func(string) string { return "s1:00" }}
}

func walk(ctx context.Context, t *testing.T, dir string) ([]tree.File, tree.Sum) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var files []tree.File
	sum := tree.Walk(ctx, root.FS(), secrets.New(), all(), func(f tree.File) { files = append(files, f) })
	return files, sum
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// token is put together so that this file holds none.
func token() string {
	return strings.Join([]string{"gh", "p_", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"}, "")
}

func TestATreesContentIsFoundAndTheRestCounted(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside, "secret.env", "TOKEN="+token())
	write(t, dir, "go.mod", "module x\nrequire golang.org/x/text v0.3.5\n")
	write(t, dir, "ci.yml", "env:\n  TOKEN: "+token()+"\n")
	write(t, dir, "broken/package-lock.json", "{")
	write(t, dir, "blob.bin2", "\x00\x01"+token())
	write(t, dir, "huge.txt", strings.Repeat("x", 9<<20))
	write(t, dir, "bomb.zip", "PK\x03\x04")
	write(t, dir, ".git/config", "TOKEN="+token())
	write(t, dir, "node_modules/a/index.js", "t='"+token()+"'")
	for link, to := range map[string]string{"out": outside, "file": filepath.Join(outside, "secret.env"), "self": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	files, sum := walk(t.Context(), t, dir)
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s leaks=%d packages=%d error=%v", f.Path, len(f.Leaks), len(f.Packages), f.Error != ""))
	}
	want := []string{"broken/package-lock.json leaks=0 packages=0 error=true", "ci.yml leaks=1 packages=0 error=false", "go.mod leaks=0 packages=1 error=false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if sum.Links != 3 || sum.Large != 1 || sum.Archives != 1 || sum.Binary != 1 || sum.Unreadable != 1 || sum.Vendored != 3 || sum.Done || sum.Files != 10 {
		t.Errorf("sum %+v", sum)
	}
	raw, err := json.Marshal(files)
	if err != nil || strings.Contains(string(raw), token()) {
		t.Errorf("the records hold the secret, or %v", err)
	}
}

func TestHostileShapesAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := strings.Repeat("d/", 100)
	write(t, dir, deep+"a.env", "TOKEN="+token())
	write(t, dir, "many/package-lock.json", lock(450))
	files, sum := walk(t.Context(), t, dir)
	if sum.Cut == "" || sum.Done {
		t.Errorf("a folder 100 deep wasn't cut: %+v", sum)
	}
	n := 0
	for _, f := range files {
		n += len(f.Packages)
		if b, err := json.Marshal(f); err != nil || len(b) > 128<<10 {
			t.Errorf("a record of %d bytes, %v", len(b), err)
		}
	}
	if n != 450 {
		t.Errorf("%d packages over all records, want 450", n)
	}
}

func lock(n int) string {
	var b strings.Builder
	b.WriteString(`{"packages":{"":{}`)
	for i := range n {
		fmt.Fprintf(&b, `,"node_modules/p%d":{"version":"1.0.0"}`, i)
	}
	return b.String() + "}}"
}

func TestAnEndedContextEndsTheWalk(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	write(t, dir, "a.env", "TOKEN="+token())
	if files, sum := walk(ctx, t, dir); len(files) > 0 || sum.Done {
		t.Errorf("%d files, done %v", len(files), sum.Done)
	}
}

func TestTheDistributionNamesItsPackages(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"etc/os-release":       {Data: []byte("NAME=\"X\"\nID=\"wolfi\"\n")},
		"lib/apk/db/installed": {Data: []byte("P:musl\nV:1.2\n\n")},
	}
	var got []string
	sum := tree.Walk(t.Context(), fsys, secrets.New(), all(), func(f tree.File) {
		for _, p := range f.Packages {
			got = append(got, p.PURL)
		}
	})
	if !slices.Equal(got, []string{"pkg:apk/wolfi/musl@1.2"}) || !sum.Done {
		t.Errorf("packages %q, sum %+v", got, sum)
	}
}
