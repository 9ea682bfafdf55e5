package blob_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"assay.dev/assay/internal/infra/blob"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA  uid.Org = "01900000-0000-7000-8000-00000000000a"
	orgB  uid.Org = "01900000-0000-7000-8000-00000000000b"
	short         = "ba27b3da1b5c3d9f2f0ab0ac9b8b6b3e"
)

func sealer(tb testing.TB, master byte) *keys.Sealer {
	tb.Helper()
	s, err := keys.NewSealer(bytes.Repeat([]byte{master}, keys.KeySize), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func open(t *testing.T, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(dir, sealer(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s *blob.Store, org uid.Org, id, content string) string {
	t.Helper()
	w, err := s.Create(org, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	sum, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestWhatWasCommittedIsReadBackByItsDigest(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	sum := put(t, s, orgA, "one", "raw output")
	if again := put(t, s, orgA, "two", "raw output"); again != sum {
		t.Errorf("equal content has digests %s and %s", sum, again)
	}
	r, err := s.Open(t.Context(), orgA, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "raw output" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestAnotherOrganizationsBlobIsNotFound(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	sum := put(t, s, orgA, "one", "raw output")
	if _, err := s.Open(t.Context(), orgB, sum); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v, want not found", err)
	}
}

func TestNamesFromOutsideNeverLeaveTheFolder(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, name := range []string{"../x", "a/b", ".", "..", ""} {
		if w, err := s.Create(orgA, name); err == nil {
			t.Errorf("%q was accepted", name)
			_ = w.Abort()
		}
	}
	for _, sum := range []string{"../../etc/passwd", short, strings.Repeat("A", 64), ""} {
		if _, err := s.Open(t.Context(), orgA, sum); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: got %v, want not found", sum, err)
		}
	}
	if _, err := s.Create("../b", "x"); err == nil {
		t.Error("an organization that is no id was accepted")
	}
}

func TestLeavingsOfACrashAreClearedAtOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	w, err := s.Create(orgA, "half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "half an out"); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	w, err := s.Create(orgA, "gone")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, string(orgA)))
	if err != nil || len(entries) != 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
