package storetest

import (
	"testing"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/word/uid"
)

// byCVE are findings looked for by their CVE ids, each organization its own.
func byCVE(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.VEX()
	find := func(org uid.Org, host string) []finding.Change {
		t.Helper()
		s := h.running(t, org, "nmap", host)
		one, two, none := seen(0, host), seen(1, host), seen(2, host)
		one.CVE, two.CVE, none.CVE = []string{"CVE-2024-0002"}, []string{"CVE-2024-0001", "CVE-2024-10000"}, nil
		changes := h.record(t, s, one, two, none)
		h.finish(t, s, finding.Summary{})
		return changes
	}
	ours := find(h.ours, "h")
	theirs := find(h.theirs, "h")
	want := []vex.Pair{
		{CVE: "CVE-2024-0001", Finding: ours[1].ID}, {CVE: "CVE-2024-0002", Finding: ours[0].ID}, {CVE: "CVE-2024-10000", Finding: ours[1].ID},
	}
	all := got(st.FindingPairs(ctx, h.ours, vex.Pair{}, 10))(t)
	same(t, "all pairs", want, all)
	same(t, "a page", want[1:2], got(st.FindingPairs(ctx, h.ours, want[0], 1))(t))
	same(t, "behind the last", []vex.Pair(nil), got(st.FindingPairs(ctx, h.ours, want[2], 10))(t))
	same(t, "of some ids", []vex.Pair{want[0], want[1]}, got(st.FindingsWithCVE(ctx, h.ours, []string{"CVE-2024-0002", "CVE-2024-0001", "CVE-2000-0001"}, 10))(t))
	same(t, "of some ids, cut", want[:1], got(st.FindingsWithCVE(ctx, h.ours, []string{"CVE-2024-0002", "CVE-2024-0001"}, 1))(t))
	list := got(st.FindingsByID(ctx, h.ours, []uid.Finding{ours[1].ID, theirs[1].ID, ours[0].ID}))(t)
	if len(list) != 2 || list[0].ID != ours[1].ID || list[1].ID != ours[0].ID || list[0].Status != finding.Open {
		t.Errorf("findings by id: %+v", list)
	}
}
