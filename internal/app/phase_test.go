package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/simulator"
)

func TestOneOrderIsCarriedOutByManyEngines(t *testing.T) {
	t.Parallel()
	needNmap(t)
	each(t, func(t *testing.T, h *house) {
		weak := weakTarget(t)
		port := weak.Addr(simulator.WeakHTTP).Port()
		id := h.submit(order{Target: "127.0.0.1", ScanType: "sentinel", Tags: []string{"family"}, Options: map[string]any{
			"ports": fmt.Sprint(port), "engines": []string{"sentinel", "nmap"}, "phases": []string{"inventory"},
		}})
		s := h.ended(id)
		if s.Status != "completed" || s.Outcome != "complete" || s.Progress != 100 || len(s.Children) != 2 {
			t.Fatalf("ended as %s, %s with %d children: %v", s.Status, s.Outcome, len(s.Children), s.OutcomeReasons)
		}
		single := 0
		for _, c := range s.Children {
			if c.Status != "completed" || c.Phase != "inventory" || c.Findings == nil || c.Findings.Total == 0 {
				t.Errorf("a child: %+v", c)
			}
			single += c.Findings.Total
		}
		found, total := h.results(id)
		if total != len(found) || total >= single || total < single/2 {
			t.Errorf("%d results of %d findings", total, single)
		}
		shared := slices.ContainsFunc(found, func(f seen) bool { return slices.Equal(f.Engines, []string{"nmap", "sentinel"}) })
		if !shared {
			t.Error("no result was seen by both engines")
		}
		if s.Coverage == nil || !slices.ContainsFunc(s.Coverage.Targets, func(l client.TargetLook) bool {
			return l.State == "reached" && strings.HasPrefix(l.Target, "127.0.0.1")
		}) {
			t.Errorf("coverage: %+v", s.Coverage)
		}
		h.listed(t, id, s.Children)
	})
}

// listed checks that lists show the order, and its scans where they are asked for.
func (h *house) listed(t *testing.T, id string, children []client.Child) {
	t.Helper()
	for query, want := range map[string]int{"?tag=family": 1, "?parentId=" + id: len(children), "?tag=family&includeChildren=true": 1 + len(children)} {
		var l client.Scans
		h.must(http.MethodGet, scanAPI+"/scans"+query, nil, &l)
		if len(l.Scans) != want || l.Pagination.Total == nil || *l.Pagination.Total != want {
			t.Errorf("%s lists %d scans, want %d", query, len(l.Scans), want)
		}
	}
	for _, c := range children {
		if s := h.scan(c.ID); s.ParentID != id || s.ParentPhase != c.Phase || s.Coverage == nil {
			t.Errorf("a child: %+v", s)
		}
	}
	csv := h.call(http.MethodGet, scanAPI+"/scans/"+id+"/results?format=csv", nil)
	if csv.status != http.StatusOK || !strings.Contains(string(csv.body), "nmap") {
		t.Errorf("as CSV: %d", csv.status)
	}
	if raw := h.call(http.MethodGet, scanAPI+"/scans/"+id+"/results?format=raw", nil); raw.code() != "RAW_NOT_AVAILABLE" {
		t.Errorf("raw output of an order: %d %s", raw.status, raw.code())
	}
}

func TestCancellingAnOrderEndsItsEnginesAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		id := h.submit(order{Target: "127.0.0.1", ScanType: "sentinel", Options: map[string]any{
			"ports": tarpit(t, 30), "phases": []string{"inventory"}, "engines": []string{"sentinel"},
		}})
		h.until("the child's start", patience, func() bool {
			s := h.scan(id)
			return len(s.Children) == 1 && s.Children[0].Status == "running"
		})
		h.must(http.MethodPost, scanAPI+"/scans/"+id+"/cancel", nil, nil)
		if s := h.scan(id); s.Status != "cancelled" || s.Children[0].Status != "cancelled" {
			t.Errorf("%s, its child %s", s.Status, s.Children[0].Status)
		}
		h.until("the last words", patience, func() bool { return h.scan(id).Outcome == "partial" })
		if s := h.scan(id); s.Status != "cancelled" || s.Coverage == nil || len(s.Coverage.Targets) == 0 {
			t.Errorf("ended as %+v", s)
		}
	})
}
