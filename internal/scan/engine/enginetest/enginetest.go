// Package enginetest is the conformance kit of scan engines: what every engine must do, whatever it drives. The
// catalog's test runs it over all of them, and an engine's author runs it first.
//
// It must only be imported by tests, and it starts no program and opens no socket: a played launcher and dialer stand
// in. Start with Run; manifest.go, order.go and raw.go hold the parts.
package enginetest

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// patience is how long anything in the kit may take before it counts as hanging. It bounds, it doesn't measure.
const patience = 2 * time.Minute

// Run holds an engine against the port's contract. samples are raw outputs of real runs; where there are none, what
// the engine writes in a played run is taken.
func Run(t *testing.T, e engine.Engine, samples ...[]byte) {
	t.Helper()
	t.Run("manifest", func(t *testing.T) { checkManifest(t, e.Manifest()) })
	t.Run("options", func(t *testing.T) { checkOptions(t, e.Manifest()) })
	t.Run("config", func(t *testing.T) { checkConfig(t, e.Manifest()) })
	t.Run("cancellation", func(t *testing.T) { checkCancellation(t, e, samples) })
	t.Run("bounded output", func(t *testing.T) { checkFlood(t, e) })
	t.Run("secrets", func(t *testing.T) { checkSecrets(t, e, samples) })
	t.Run("raw output", func(t *testing.T) { checkRaw(t, e, samples) })
}

// Samples reads the raw files of an engine's recorded cases, <folder>/testdata/<case>/raw.*, in the order of their
// names.
func Samples(t *testing.T, folder string) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "testdata", "*", "raw*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	out := make([][]byte, 0, len(files))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// Folders fails for every engine folder below dir that the list doesn't hold, by name, and for every engine whose id
// isn't its folder's name. Folders named in except hold no engine.
func Folders(t *testing.T, dir string, engines []engine.Engine, except ...string) {
	t.Helper()
	listed := map[string]bool{}
	for _, e := range engines {
		id := e.Manifest().ID
		if listed[id] {
			t.Errorf("the catalog lists %s twice", id)
		}
		listed[id] = true
		if info, err := os.Stat(filepath.Join(dir, id)); err != nil || !info.IsDir() {
			t.Errorf("engine %s has no folder of its name", id)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() && !slices.Contains(except, entry.Name()) && !listed[entry.Name()] {
			t.Errorf("folder %s is missing from the catalog: add its line to All", entry.Name())
		}
	}
}

// order returns a valid order for the engine, with all defaults.
func order(t *testing.T, m engine.Manifest) engine.Request {
	t.Helper()
	if len(m.Targets) == 0 {
		t.Fatal("the engine takes no target")
	}
	target, err := asset.ParseTarget(exampleOf(m.Targets[0]), m.Targets[0])
	if err != nil {
		t.Fatal(err)
	}
	options, err := engine.ParseOptions(m, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	req := engine.Request{Scan: "0190a0a0-0000-7000-8000-000000000001", Target: target, Options: options}
	if !target.Network().IsValid() {
		req.Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	}
	return req
}

func exampleOf(typ asset.TargetType) string {
	switch typ {
	case asset.TypeHost:
		return "www.example.org"
	case asset.TypeURL:
		return "https://www.example.org/"
	case asset.TypeDomain:
		return "example.org"
	case asset.TypeIP:
		return "192.0.2.7"
	case asset.TypeNetwork:
		return "192.0.2.0/29"
	case asset.TypeImage:
		return "registry.example.org/shop:1"
	case asset.TypeRepository:
		return "example/shop"
	case asset.TypeFilesystem:
		return "shop"
	}
	return "www.example.org"
}

// within runs f and fails when it hangs or panics.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	select {
	case crash := <-done:
		if crash != nil {
			t.Fatalf("%s panicked: %v", what, crash)
		}
	case <-time.After(patience):
		t.Fatalf("%s hangs", what)
	}
}

// raw marshals a value as an option's JSON.
func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
