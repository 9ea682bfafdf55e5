package runner

import (
	"os"
	"path/filepath"
	"testing"
)

func TestScratchIsPrivateAndEmpty(t *testing.T) {
	r, err := New(Config{Scratch: filepath.Join(t.TempDir(), "runs"), Mark: "m"})
	if err != nil {
		t.Fatal(err)
	}
	dir, remove, err := r.Scratch("a-1")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	outside := filepath.Join(t.TempDir(), "keep")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "locked", "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
		t.Fatal(err)
	}
	if dir, _, err = r.Scratch("a-1"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("a second attempt found %v, %v", left, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	if err := remove(); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

func TestStaleScratchIsCleared(t *testing.T) {
	r, err := New(Config{Scratch: t.TempDir(), Mark: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, scan := range []string{"a", "b"} {
		if _, _, err := r.Scratch(scan); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.ClearScratch(); err != nil || n != 2 {
		t.Errorf("cleared %d, %v", n, err)
	}
	for _, bad := range []string{"", "..", "a/b", "a b"} {
		if _, _, err := r.Scratch(bad); err == nil {
			t.Errorf("Scratch(%q) succeeded", bad)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{
		{Scratch: "relative", Mark: "m"},
		{Scratch: t.TempDir()},
		{Scratch: t.TempDir(), Mark: "a:b"},
		{Scratch: t.TempDir(), Mark: "m", Path: []string{"bin"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v) succeeded", c)
		}
	}
	if Mark("/data") == Mark("/data2") || Mark("/data/") != Mark("/data") {
		t.Error("marks don't tell folders apart")
	}
}
