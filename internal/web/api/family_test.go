package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Children implements scanapi.Scans.
func (f *scanFake) Children(_ context.Context, org uid.Org, id uid.Scan) ([]scan.Scan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []scan.Scan
	for _, s := range f.all {
		if s.Org == org && s.Parent == id {
			out = append(out, s)
		}
	}
	return out, nil
}

// Looked implements scanapi.Results: every scan has looked at its target only.
func (f *scanFake) Looked(_ context.Context, org uid.Org, id uid.Scan) (engine.Looked, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.all[id]
	if !ok || s.Org != org {
		return engine.Looked{}, fault.Missing("scan")
	}
	l := f.looked
	return s.Own(l), nil
}

func TestNothingFoundSaysWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.someScan(b.ours, scan.Completed)
	b.scans.results = nil
	b.scans.looked = engine.Looked{
		Databases: []engine.Database{{Name: "templates", Version: "v9", UpdatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Entries: 12}},
		Targets:   []engine.TargetLook{{Target: "192.0.2.1", State: engine.LookReached}, {Target: "192.0.2.2", State: engine.LookSkipped, Reason: "out of scope"}},
		Sources:   []engine.SourceLook{{Source: "crt.sh", State: engine.SourceFailed, Reason: "503"}},
	}
	got := b.call("GET", scans+"/"+string(s.ID), "", key(b.key)).want(200)
	for path, want := range map[string]any{
		"data.coverage.databases.0.name": "templates", "data.coverage.databases.0.entries": 12.0,
		"data.coverage.databases.0.updatedAt": "2026-01-02T03:04:05Z", "data.coverage.targets.1.state": "skipped",
		"data.coverage.targets.1.reason": "out of scope", "data.coverage.sources.0.state": "failed", "data.coverage.sources.0.found": 0.0,
	} {
		if got.at(path) != want {
			t.Errorf("%s is %v, want %v", path, got.at(path), want)
		}
	}
	if page := b.call("GET", scans+"/"+string(s.ID)+"/results", "", key(b.key)).want(200); page.at("data.coverage.targets.0.target") != "192.0.2.1" {
		t.Errorf("results without coverage: %s", page.Body)
	}
	html := b.call("GET", scans+"/"+string(s.ID)+"/results?format=html", "", key(b.key)).want(200).Body.String()
	for _, want := range []string{"Judged by templates v9, 12 entries", "Looked at to the end: 192.0.2.1.", "Left out: 192.0.2.2 (out of scope).", "Sources that told nothing: crt.sh (failed 503)."} {
		if !strings.Contains(html, want) {
			t.Errorf("the report doesn't say %q", want)
		}
	}

	b.scans.looked = engine.Looked{}
	if bare := b.call("GET", scans+"/"+string(s.ID)+"/results", "", key(b.key)).want(200); bare.at("data.coverage.targets.0.target") != s.Target {
		t.Errorf("a scan whose engine told nothing: %s", bare.Body)
	}
	running := b.someScan(b.ours, scan.Running)
	if got := b.call("GET", scans+"/"+string(running.ID), "", key(b.key)).want(200); got.at("data.coverage") != nil {
		t.Errorf("a running scan has looked at something: %s", got.Body)
	}
}

func TestAParentShowsItsChildren(t *testing.T) {
	t.Parallel()
	b := setup(t)
	parent, child := b.someScan(b.ours, scan.Running), b.someScan(b.ours, scan.Completed)
	parent.Course = &scan.Course{Phases: engine.Phases(), Begun: 1}
	child.Parent, child.Stage, child.Outcome, child.Summary = parent.ID, engine.PhaseInventory, engine.Complete, finding.Summary{Total: 1, High: 1}
	b.scans.put(parent)
	b.scans.put(child)
	got := b.call("GET", scans+"/"+string(parent.ID), "", key(b.key)).want(200)
	for path, want := range map[string]any{
		"data.children.0.id": string(child.ID), "data.children.0.scanType": "nmap", "data.children.0.phase": "inventory",
		"data.children.0.status": "completed", "data.children.0.outcome": "complete", "data.children.0.findings.total": 1.0,
	} {
		if got.at(path) != want {
			t.Errorf("%s is %v, want %v", path, got.at(path), want)
		}
	}
	if c := b.call("GET", scans+"/"+string(child.ID), "", key(b.key)).want(200); c.at("data.parentId") != string(parent.ID) || c.at("data.parentPhase") != "inventory" {
		t.Errorf("the child doesn't name its parent: %s", c.Body)
	}
}
