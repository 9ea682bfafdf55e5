package blob_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/infra/blob"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func TestNothingOfABlobIsLegibleOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	sum := put(t, s, orgA, "one", "CANARY-CANARY")
	again := put(t, s, orgB, "one", "CANARY-CANARY")
	var files [][]byte
	for _, name := range []string{filepath.Join(string(orgA), sum), filepath.Join(string(orgB), again)} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("CANARY")) {
			t.Errorf("the content shows in the file")
		}
		files = append(files, b)
	}
	if bytes.Equal(files[0], files[1]) {
		t.Error("equal content of two organizations is sealed alike")
	}
}

func TestABlobIsReadFromAnywhere(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	content := make([]byte, 300<<10) // several chunks
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	sum := put(t, s, orgA, "one", string(content))
	r, err := s.Open(t.Context(), orgA, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, at := range []int64{200_000, 0, 65_535, int64(len(content)) - 7} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, min(70_000, int64(len(content))-at))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, content[at:at+int64(len(got))]) {
			t.Errorf("what lies at %d is read otherwise (%v)", at, err)
		}
	}
	if size, err := r.Seek(0, io.SeekEnd); err != nil || size != int64(len(content)) {
		t.Errorf("size %d, %v; want %d", size, err, len(content))
	}
}

func TestABlobThatWasChangedOrMovedDoesntOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	sum := put(t, s, orgA, "one", "raw output")
	path := filepath.Join(dir, string(orgA), sum)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(org uid.Org, b []byte) error {
		if err := os.MkdirAll(filepath.Join(dir, string(org)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(org), sum), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), org, sum)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		_, err = io.ReadAll(r)
		return err
	}
	if err := read(orgA, whole); err != nil {
		t.Fatalf("the blob itself: %v", err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if err := read(orgA, bad); err == nil {
			t.Fatalf("byte %d was changed and the blob is read", i)
		}
		if err := read(orgA, whole[:i]); err == nil {
			t.Fatalf("the blob was cut at %d and is read", i)
		}
	}
	if err := read(orgB, whole); fault.KindOf(err) != fault.Internal {
		t.Errorf("another organization's blob: %v, want an internal fault", err)
	}
	if err := read(orgA, []byte("never sealed")); fault.KindOf(err) != fault.Internal {
		t.Errorf("content that was never sealed: %v, want an internal fault", err)
	}
	other, err := blob.Open(dir, sealer(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := read(orgA, whole); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(t.Context(), orgA, sum); fault.KindOf(err) != fault.Internal {
		t.Errorf("under another master key: %v, want an internal fault", err)
	}
}

func BenchmarkWriteAndRead(b *testing.B) {
	s, err := blob.Open(b.TempDir(), sealer(b, 1))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	content := make([]byte, 64<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		w, err := s.Create(orgA, "bench")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			b.Fatal(err)
		}
		sum, err := w.Commit()
		if err != nil {
			b.Fatal(err)
		}
		r, err := s.Open(b.Context(), orgA, sum)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}
