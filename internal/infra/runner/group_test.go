//go:build linux

package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/scan/engine"
)

func TestGroupsAreMadeBelowTheDelegatedOne(t *testing.T) {
	root := t.TempDir()
	service := filepath.Join(root, "system.slice", "assay.service")
	if err := os.MkdirAll(filepath.Join(service, "server"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{filepath.Join(root, "cgroup.controllers"): "cpu memory pids\n", filepath.Join(service, "cgroup.subtree_control"): "memory pids\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := "1:name=systemd:/x\n0::/system.slice/assay.service/server\n"
	g := findGroups(root, own, []string{"memory", "pids"})
	if g.dir != service || g.why != "" {
		t.Fatalf("found %q, %q", g.dir, g.why)
	}
	for name, g := range map[string]*groups{
		"not mounted":   findGroups(t.TempDir(), own, nil),
		"no own group":  findGroups(root, "1:name=systemd:/x\n", nil),
		"not delegated": findGroups(root, own, []string{"cpu", "absent"}),
	} {
		if name != "not delegated" && (g.dir != "" || g.why == "") {
			t.Errorf("%s: %q, %q", name, g.dir, g.why)
		}
		if got, err := g.start(1); g.dir == "" && (got != nil || err != nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestAProgramStartsInItsGroup uses the kernel's groups as far as this machine mounts them, where it does without
// controllers.
func TestAProgramStartsInItsGroup(t *testing.T) {
	root := ""
	for _, at := range []string{groupRoot, groupRoot + "/unified"} {
		var stat unix.Statfs_t
		if err := unix.Statfs(at, &stat); err == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC && unix.Access(at, unix.W_OK) == nil {
			root = at
		}
	}
	if root == "" {
		t.Skip("SKIPPED: no control groups of version 2 that this user may make are mounted here")
	}
	f := newFixture(t, helper(t))
	f.groups = findGroups(root, "0::/\n", nil)
	if f.groups.dir != root {
		t.Fatal(f.groups.why)
	}
	var out bytes.Buffer
	exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "cat", Args: []string{"/proc/self/cgroup"}, Stdout: &out})
	if err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
	if !strings.Contains(out.String(), "0::/assay-") {
		t.Errorf("it ran in %q", out.String())
	}
	if left, err := filepath.Glob(filepath.Join(root, "assay-*")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
