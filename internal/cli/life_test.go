package cli_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/client"
)

// Only a look that was complete may close a finding: a host that never answered, and an engine that gave up while it
// looked, say nothing of what they didn't see.
func TestOnlyACompleteLookClosesFindings(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.start()
	const target = "127.0.3.1"
	look := func(mood string) scan {
		t.Helper()
		if err := writeFile(filepath.Join(e.dir, "mood"), mood); err != nil {
			t.Fatal(err)
		}
		s, err := e.api.Submit(t.Context(), client.Order{
			Target: target, ScanType: "nmap", Options: map[string]json.RawMessage{"ports": json.RawMessage(`"6379"`)},
		}, "")
		if err != nil {
			t.Fatal(err)
		}
		return e.wait(s.ID, "ended", func(s scan) bool { return s.Terminal() })
	}
	first := look("good")
	if first.Outcome != "complete" || first.Summary.Total != 3 {
		t.Fatalf("the first look: %+v", first)
	}
	statuses := func() map[string]int {
		page, err := e.api.Results(t.Context(), first.ID, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, f := range page.Findings {
			n[f.Status]++
		}
		return n
	}
	for _, step := range []struct{ mood, status, outcome, findings string }{
		{"silent", "completed", "nothing_reachable", "open"},
		{"broken", "failed", "failed", "open"},
		{"closed", "completed", "complete", "fixed"},
		{"silent", "completed", "nothing_reachable", "fixed"},
		{"good", "completed", "complete", "open"},
	} {
		s := look(step.mood)
		if s.Status != step.status || s.Outcome != step.outcome {
			t.Errorf("%s: %s, %s %v; want %s, %s", step.mood, s.Status, s.Outcome, s.OutcomeReasons, step.status, step.outcome)
		}
		if got := statuses(); got[step.findings] != 3 {
			t.Errorf("after a look that was %s the findings are %v, want all %s", step.mood, got, step.findings)
		}
	}
	e.sound()
}
