package harvester

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
)

// standIn is a program of theHarvester's name that does at the process boundary what the real one was recorded to do:
// it wants a HOME that it can write to, keys and proxies in it, says what it said and leaves its documents.
const standIn = `#!/bin/sh
cat '%dir%/stdout.txt'
case "$*" in *" -f "*) ;; *) exit 0 ;; esac
grep -q '"key":"KEY-1"' "$HOME/.theHarvester/api-keys.yaml" || exit 3
grep -q "${HTTPS_PROXY#http://}" "$HOME/.theHarvester/proxies.yaml" || exit 4
echo history > "$HOME/.theHarvester/stash.sqlite" || exit 5
if [ -e '%dir%/slow' ]; then trap 'exit 143' TERM; echo "[*] Searching Crtsh. "; sleep 300 & wait; fi
for last; do :; done
cp '%dir%/found.json' "$last.json"
cp '%dir%/found.xml' "$last.xml"
`

// ground is the real runner and sandbox with the stand-in for the program.
func ground(t *testing.T, slow bool) (engine.Env, *stage) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, program), strings.ReplaceAll(standIn, "%dir%", dir), 0o755)
	write(filepath.Join(dir, "stdout.txt"), recorded(t, "found.stdout.txt"), 0o644)
	write(filepath.Join(dir, "found.json"), recorded(t, "found.json"), 0o644)
	write(filepath.Join(dir, "found.xml"), recorded(t, "found.xml"), 0o644)
	if slow {
		write(filepath.Join(dir, "slow"), "", 0o644)
	}
	for _, d := range []string{dir, bin} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r, err := runner.New(runner.Config{
		Path: []string{bin, "/usr/bin", "/bin"}, Reads: []string{bin, dir}, Scratch: filepath.Join(t.TempDir(), "runs"),
		Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	work, remove, err := r.Scratch("stand-in")
	if err != nil {
		t.Fatal(err)
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	proc := r.Launcher(runner.Run{Scan: "stand-in", Work: work})
	t.Cleanup(func() { _, _, _ = proc.Close(), files.Close(), remove() })
	s := &stage{keys: map[string]string{"hunter": "KEY-1"}}
	env := s.env(t)
	env.Proc, env.Files, env.Work, env.Log = proc, files, work, slog.New(slog.DiscardHandler)
	return env, s
}

const withKey = `{"sources":["crtsh","hackertarget","certspotter","otx","hunter"]}`

func TestTheProgramIsDrivenAsAProcess(t *testing.T) {
	t.Parallel()
	env, s := ground(t, false)
	c, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	if a := c.Check(t.Context(), env); !a.Available || a.Version != "4.8.0" {
		t.Fatalf("%+v", a)
	}
	req := request(t, "example.com", withKey)
	v, err := New().Run(t.Context(), env, req)
	if err != nil || v.Outcome != engine.Partial || v.Version != "4.8.0" { // it never came to ask hunter
		t.Fatalf("%+v, %v", v, err)
	}
	if got := parse(t, s.artifact.Bytes(), req); len(got.Assets) != 9 {
		t.Errorf("%v", got.names())
	}
}

func TestACancelledProgramIsGoneAndTold(t *testing.T) {
	t.Parallel()
	env, s := ground(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	env.Progress = func(int, string) { cancel() } // it has begun to ask
	v, err := New().Run(ctx, env, request(t, "example.com", withKey))
	if err != nil || v.Outcome != engine.Partial || len(v.Reasons) == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if !strings.Contains(s.artifact.String(), "== stdout") {
		t.Error("what it had said wasn't kept")
	}
}
