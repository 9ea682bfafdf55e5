package cli_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
)

// TestAnOrderOfManyEnginesOutlivesItsServer kills the server while an order's scans are made, run and merged.
func TestAnOrderOfManyEnginesOutlivesItsServer(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.start()
	for n, moment := range []time.Duration{0, 30, 200, 800, 1500} {
		target := "127.0.1." + string(rune('1'+n))
		s, err := e.api.Submit(t.Context(), client.Order{Target: target, ScanType: "sentinel", Options: map[string]json.RawMessage{
			"ports": json.RawMessage(`"1"`), "engines": json.RawMessage(`["sentinel","nmap"]`),
		}}, "")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(moment * time.Millisecond)
		e.s.kill()
		e.start()
		if ended := e.wait(s.ID, "completed", completed); ended.Outcome != "complete" || ended.Summary.Total < 2 {
			t.Errorf("killed after %d ms it ended as %s with %d findings: %v", moment, ended.Outcome, ended.Summary.Total, ended.OutcomeReasons)
		}
		whole, err := e.api.Scan(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		var engines []string
		for _, c := range whole.Children {
			engines = append(engines, c.ScanType)
			if c.Status != "completed" {
				t.Errorf("a child is %s", c.Status)
			}
		}
		if slices.Sort(engines); !slices.Equal(engines, []string{"nmap", "sentinel"}) {
			t.Errorf("carried out by %v", engines)
		}
		if found := e.findings(s.ID); len(found) != whole.Summary.Total {
			t.Errorf("%d different results, counted %d", len(found), whole.Summary.Total)
		}
	}
	e.sound()
}
