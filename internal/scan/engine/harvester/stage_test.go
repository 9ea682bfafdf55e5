package harvester

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/secret"
)

// stage is an Env whose program is played: it prints, leaves its documents and ends.
type stage struct {
	stdout    string
	stderr    string
	documents map[string]string // by extension
	keys      map[string]string
	exit      engine.Exit
	err       error
	cut       bool

	starts   []engine.Process
	settings map[string]string // what the program finds in its HOME
	percents []int
	artifact bytes.Buffer
	dir      string
	files    folder
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if s.err != nil {
		return engine.Exit{Code: -1}, s.err
	}
	s.settings = map[string]string{}
	for _, name := range []string{"api-keys.yaml", "proxies.yaml"} {
		b, _ := os.ReadFile(filepath.Join(s.dir, ".theHarvester", name))
		s.settings[name] = string(b)
	}
	for part := range slices.Chunk([]byte(s.stdout), 64) { // lines come in pieces
		if _, err := p.Stdout.Write(part); err != nil {
			return engine.Exit{}, err
		}
	}
	if p.Stderr != nil {
		if _, err := io.WriteString(p.Stderr, s.stderr); err != nil {
			return engine.Exit{}, err
		}
	}
	for kind, doc := range s.documents {
		if err := s.files.Write("report."+kind, []byte(doc)); err != nil {
			return engine.Exit{}, err
		}
	}
	return s.exit, nil
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.artifact.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

func (s *stage) env(tb testing.TB) engine.Env {
	tb.Helper()
	s.dir = tb.TempDir()
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = root.Close() })
	s.files = folder{root}
	return engine.Env{
		Proc: s, Files: s.files, Work: s.dir, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(0, 0) },
		Proxy:     func(context.Context) (string, error) { return "127.0.0.1:9", nil },
		SourceKey: func(source string) secret.Text { return secret.New(s.keys[source]) },
		Progress:  func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact:  func(string, string) (engine.Artifact, error) { return s, nil },
	}
}

// folder is the scratch folder.
type folder struct{ root *os.Root }

// Write implements engine.Files.
func (f folder) Write(name string, content []byte) error {
	if err := f.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return f.root.WriteFile(name, content, 0o600)
}

// Open implements engine.Files.
func (f folder) Open(name string) (fs.File, error) { return f.root.Open(name) }

// request is an order for the domain, with the options given as JSON.
func request(tb testing.TB, domain, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(domain, asset.TypeDomain)
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

// told is what a parse yields.
type told struct {
	Findings []finding.Observation
	Assets   []asset.Observation
}

func parse(tb testing.TB, raw []byte, req engine.Request) told {
	tb.Helper()
	var out told
	cover, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		if i.Finding != nil {
			out.Findings = append(out.Findings, *i.Finding)
		} else {
			out.Assets = append(out.Assets, *i.Asset)
		}
		return nil
	})
	if err != nil || len(cover.Places) != 0 {
		tb.Fatal(cover, err)
	}
	return out
}

func (t told) names() []string {
	var out []string
	for _, a := range t.Assets {
		out = append(out, a.Name)
	}
	return out
}

func recorded(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "program", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}
