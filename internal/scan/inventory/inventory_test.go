package inventory_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/inventory"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// lister is an engine whose raw output is one package name a line; "!" is a finding.
type lister struct{ engine.Engine }

func (lister) Manifest() engine.Manifest {
	return engine.Manifest{ID: "lister", Targets: []asset.TargetType{asset.TypeFilesystem}}
}

func (lister) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	text, err := io.ReadAll(raw)
	if err != nil {
		return finding.Coverage{}, err
	}
	for name := range strings.FieldsSeq(string(text)) {
		item := engine.Item{Package: &finding.Package{Name: name, Version: "1\x00", File: req.Target.String()}}
		if name == "!" {
			item = engine.Item{Finding: &finding.Observation{}}
		}
		if err := yield(item); err != nil {
			return finding.Coverage{}, err
		}
	}
	return finding.Coverage{}, nil
}

// kept is the scans' raw output.
type kept struct {
	text      string
	truncated bool
	err       error
}

func (k kept) Raw(context.Context, uid.Org, uid.Scan) (scan.Artifact, io.ReadCloser, error) {
	return scan.Artifact{Truncated: k.truncated}, io.NopCloser(strings.NewReader(k.text)), k.err
}

func done() scan.Scan {
	return scan.Scan{Engine: "lister", Target: "/srv/a", TargetType: asset.TypeFilesystem, Outcome: engine.Complete, Options: json.RawMessage(`{}`)}
}

func list(t *testing.T, k kept, of scan.Scan) ([]string, bool, error) {
	t.Helper()
	var names []string
	whole, err := inventory.New(k, []engine.Engine{lister{}}).Packages(t.Context(), of, func(p finding.Package) error {
		if p.Version != "1" || p.File != "/srv/a" {
			t.Errorf("not cleaned, or not of this target: %+v", p)
		}
		names = append(names, p.Name)
		return nil
	})
	return names, whole, err
}

func TestPackagesAreReadFromTheRawOutput(t *testing.T) {
	t.Parallel()
	names, whole, err := list(t, kept{text: "a ! b c"}, done())
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" || !whole || err != nil {
		t.Errorf("%s, whole %v, %v", diff, whole, err)
	}
}

func TestAnInventoryThatMayLackSomethingSaysSo(t *testing.T) {
	t.Parallel()
	partial, foreign := done(), done()
	partial.Outcome, foreign.Engine = engine.Partial, "gone"
	for name, c := range map[string]struct {
		kept kept
		of   scan.Scan
		want int
	}{
		"truncated": {kept{text: "a", truncated: true}, done(), 1},
		"partial":   {kept{text: "a"}, partial, 1},
		"no engine": {kept{text: "a"}, foreign, 0},
		"no output": {kept{err: fault.New(fault.NotFound, fault.CodeRawNotAvailable, "none")}, done(), 0},
	} {
		if names, whole, err := list(t, c.kept, c.of); err != nil || whole || len(names) != c.want {
			t.Errorf("%s: %v, whole %v, %v", name, names, whole, err)
		}
	}
}

func TestFaultsAreHandedOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk")
	if _, _, err := list(t, kept{err: broken}, done()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	stop := errors.New("enough")
	calls := 0
	_, err := inventory.New(kept{text: "a b"}, []engine.Engine{lister{}}).Packages(t.Context(), done(), func(finding.Package) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
