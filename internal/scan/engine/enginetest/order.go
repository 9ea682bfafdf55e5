package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/secret"
)

// maxKept is how much a played artifact keeps: little, so that bounds show.
const maxKept = 1 << 20

// played is an Env in which nothing is real. Its zero value prints nothing and refuses every connection.
type played struct {
	output []byte             // what a started program prints
	repeat int                // how often
	hang   bool               // programs and connections last until ctx is done
	began  context.CancelFunc // called when something hangs

	mu       sync.Mutex
	first    *artifact
	starts   []engine.Process
	percents []int
	log      bytes.Buffer
}

func (p *played) env(t *testing.T) engine.Env {
	t.Helper()
	work, tree := t.TempDir(), t.TempDir()
	root, err := os.OpenRoot(work)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return engine.Env{
		Proc: p, Dial: p, Work: work, Files: files{root}, Web: p, DNS: p.exchange, Proxy: func(context.Context) (string, error) { return "127.0.0.1:9", nil },
		Tree:        func(context.Context) (engine.Tree, error) { return engine.Tree{Dir: tree, FS: os.DirFS(tree)}, nil },
		Fingerprint: func(value string) string { return fmt.Sprintf("s1:%x", sha256.Sum256([]byte(value))) },
		Now:         func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		Log:         slog.New(slog.NewJSONHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Progress: func(percent int, phase string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.percents = append(p.percents, percent)
			p.log.WriteString(phase)
		},
		Artifact: func(string, string) (engine.Artifact, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			a := &artifact{}
			if p.first == nil {
				p.first = a
			}
			return a, nil
		},
	}
}

// Write takes log lines.
func (p *played) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Launch implements engine.Launcher.
func (p *played) Launch(ctx context.Context, proc engine.Process) (engine.Exit, error) {
	p.mu.Lock()
	p.starts = append(p.starts, proc)
	p.mu.Unlock()
	for range max(p.repeat, 1) {
		if proc.Stdout != nil {
			if _, err := proc.Stdout.Write(p.output); err != nil {
				return engine.Exit{Code: -1}, err
			}
		}
	}
	if p.hang {
		p.began()
		<-ctx.Done()
	}
	return engine.Exit{Canceled: ctx.Err() != nil}, nil
}

// DialContext implements engine.Dialer.
func (p *played) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	if p.hang {
		p.began()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
}

// RoundTrip implements http.RoundTripper.
func (p *played) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if p.hang {
		p.began()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// exchange is the Env's DNS.
func (p *played) exchange(ctx context.Context, _ []byte) ([]byte, error) {
	if p.hang {
		p.began()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, &net.OpError{Op: "read", Net: "udp", Err: syscall.ECONNREFUSED}
}

// files is the run's scratch folder.
type files struct{ root *os.Root }

// Write implements engine.Files.
func (f files) Write(name string, content []byte) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := f.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return f.root.WriteFile(name, content, 0o600)
}

// Open implements engine.Files.
func (f files) Open(name string) (fs.File, error) { return f.root.Open(name) }

// artifact keeps the first maxKept bytes.
type artifact struct {
	mu      sync.Mutex
	kept    bytes.Buffer
	dropped bool
}

// Write implements io.Writer and never fails.
func (a *artifact) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(b), maxKept-a.kept.Len())
	a.kept.Write(b[:n])
	a.dropped = a.dropped || n < len(b)
	return len(b), nil
}

// Truncated implements engine.Artifact.
func (a *artifact) Truncated() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dropped
}

func checkCancellation(t *testing.T, e engine.Engine, samples [][]byte) {
	t.Helper()
	half := func() []byte {
		if len(samples) == 0 {
			return nil
		}
		return samples[0][:len(samples[0])/2]
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	under := &played{output: half, hang: true, began: cancel}
	var v engine.Verdict
	within(t, "a cancelled run", func() {
		var err error
		if v, err = e.Run(ctx, under.env(t), order(t, e.Manifest())); err != nil {
			t.Errorf("a cancelled run is a verdict, not a fault: %v", err)
		}
	})
	if ctx.Err() == nil {
		t.Fatal("the run ended without starting a program or a connection")
	}
	if v.Outcome == engine.Complete || v.Outcome == engine.NothingReachable || len(v.Reasons) == 0 {
		t.Errorf("a cancelled run's verdict is %+v; want partial or failed, with a reason", v)
	}
	for _, p := range under.starts {
		if p.Grace > e.Manifest().Limits.CancelGrace {
			t.Errorf("the grace of %s is longer than the manifest's", p.Program)
		}
	}
	if !slices.IsSorted(under.percents) {
		t.Errorf("progress goes back: %v", under.percents)
	}
}

func checkFlood(t *testing.T, e engine.Engine) {
	t.Helper()
	line := bytes.Repeat([]byte("{\"a\":\"<b>flood</b>\"}\n"), 3000)
	under := &played{output: line, repeat: 4 * maxKept / len(line)}
	within(t, "a run with a flood of output", func() {
		v, err := e.Run(t.Context(), under.env(t), order(t, e.Manifest()))
		if err == nil && under.first != nil && under.first.Truncated() && v.Outcome == engine.Complete {
			t.Error("a run whose raw output was cut is called complete")
		}
	})
}

func checkSecrets(t *testing.T, e engine.Engine, samples [][]byte) {
	t.Helper()
	const canary = "CANARY-3f9a"
	m := e.Manifest()
	req := order(t, m)
	if slices.Contains(m.Config, engine.ConfigHeaders) {
		req.Config.Headers = []engine.Header{{Name: "Authorization", Value: secret.New(canary)}}
	}
	if slices.Contains(m.Config, engine.ConfigAuthentication) {
		req.Config.Authentication = secret.New(`{"type":"bearer","token":"` + canary + `"}`)
	}
	outputs := append(slices.Clone(samples), nil, []byte("not what was expected"))
	for _, output := range outputs {
		under := &played{output: output}
		within(t, "a run", func() {
			v, err := e.Run(t.Context(), under.env(t), req)
			if err == nil && strings.Contains(strings.Join(v.Reasons, " "), canary) {
				t.Error("a reason holds the secret")
			}
		})
		if strings.Contains(under.log.String(), canary) {
			t.Error("a log line or a phase holds the secret")
		}
		for _, p := range under.starts {
			if strings.Contains(strings.Join(append(p.Args, p.Env...), " "), canary) {
				t.Errorf("the command line or environment of %s holds the secret", p.Program)
			}
		}
		if under.first != nil && bytes.Contains(under.first.kept.Bytes(), []byte(canary)) {
			t.Error("the raw output holds the secret")
		}
	}
}
