package nuclei_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/nuclei"
)

// standIn is a program that prints what Nuclei printed, notes its arguments and obeys signals as Nuclei does. The real
// one can't be had where these tests run: its module is refused by the Go module proxy, its releases aren't in any
// package registry.
const standIn = `#!/bin/sh
case "$1" in -version) echo "[INF] Nuclei Engine Version: v3.10.0" >&2; exit 0;; esac
trap 'echo "[INF] CTRL+C pressed: Exiting" >&2; exit 1' INT TERM
echo "$@" >"$HOME/arguments"
cat "$FIXTURES/web/raw.jsonl"
head -n 20 "$FIXTURES/cancel-sigint.stderr.txt" >&2
if [ -e "$FIXTURES/wait" ]; then while :; do sleep 0.05; done; fi
echo "[INF] Scan completed in 1s. 6 matches found." >&2
`

// kept is an artifact that is safe for reading while it is written.
type kept struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buf.Write(p)
}
func (*kept) Truncated() bool { return false }

func (k *kept) bytes() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.buf.Bytes())
}

// play runs the engine over the stand-in, through the real runner and proxy.
func play(ctx context.Context, t *testing.T, wait bool, progress func(int, string)) (engine.Verdict, []byte) {
	t.Helper()
	bin, fixtures := t.TempDir(), t.TempDir()
	if err := os.CopyFS(fixtures, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	if wait {
		if err := os.WriteFile(filepath.Join(fixtures, "wait"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.ReplaceAll(standIn, "$FIXTURES", fixtures)
	if err := os.WriteFile(filepath.Join(bin, "nuclei"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r, err := runner.New(runner.Config{Path: []string{bin, "/usr/bin", "/bin"}, Scratch: t.TempDir(), Mark: runner.Mark(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("standin")
	if err != nil {
		t.Fatal(err)
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "http://"+l.Addr().String(), `{}`)
	dial := egress.NewScanDialer(egress.ScanConfig{Target: req.Target, Scope: loopback(t)})
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	proxy := egress.NewProxy(dial.DialContext, logger)
	proc := r.Launcher(runner.Run{Scan: "standin", Work: work, Proxy: proxy.Serve})
	t.Cleanup(func() {
		for _, closing := range []func() error{proc.Close, proxy.Close, files.Close} {
			if err := closing(); err != nil {
				t.Error(err)
			}
		}
	})
	raw := &kept{}
	env := engine.Env{
		Proc: proc, Dial: dial, Work: work, Files: files, Now: time.Now, Log: logger, Progress: progress, Proxy: proc.ProxyAddress,
		Artifact: func(string, string) (engine.Artifact, error) { return raw, nil },
		Data: func(string) (engine.Tree, error) {
			return engine.Tree{Dir: filepath.Join(fixtures, "templates"), FS: os.DirFS(filepath.Join(fixtures, "templates"))}, nil
		},
	}
	v, err := nuclei.New().Run(ctx, env, req)
	if err != nil {
		t.Fatal(err)
	}
	return v, raw.bytes()
}

func loopback(t *testing.T) asset.Scope {
	t.Helper()
	return asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleCIDR, Value: "127.0.0.0/8"}}}
}

func TestAStartedProgramIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	v, raw := play(t.Context(), t, false, func(int, string) {})
	if v.Outcome != engine.Complete || v.Version != "3.10.0" || !bytes.Equal(raw, fixture(t, "web")) {
		t.Errorf("%+v after %d bytes", v, len(raw))
	}
}

func TestACancelledProgramLeavesWhatItFound(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v, raw := play(ctx, t, true, func(percent int, _ string) {
		if percent >= 5 {
			cancel()
		}
	})
	if v.Outcome != engine.Partial || len(v.Reasons) == 0 || len(v.Coverage.Places) != 0 {
		t.Errorf("%+v", v)
	}
	if !bytes.Equal(raw, fixture(t, "web")) {
		t.Errorf("%d bytes were kept", len(raw))
	}
}
