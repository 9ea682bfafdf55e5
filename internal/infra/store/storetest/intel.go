package storetest

import (
	"fmt"
	"testing"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/page"
)

// publicSources are rows that belong to no organization: loaded beside what is read, then switched.
func publicSources(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Intel()
	if l := got(st.IntelSources(ctx))(t); len(l) != 0 {
		t.Fatalf("loaded at first: %+v", l)
	}
	row := func(id string, score float64) intel.Record {
		return intel.Record{CVE: id, Score: score, Percentile: score / 2}
	}
	live := got(st.BeginIntel(ctx, intel.EPSS, "a"))(t)
	r := intel.Round{Source: intel.EPSS, Token: "a", Live: live, Target: 1}
	if live != 0 {
		t.Fatalf("shelf %d is read before anything is loaded", live)
	}
	known := func(ids ...string) intel.Known { return got(h.s.KnownIntel(ctx, ids))(t) }
	must(t, st.WriteIntel(ctx, r, []intel.Record{row("CVE-2024-0002", 0.5), row("CVE-2024-10000", 1), row("CVE-2024-0001", 0)}, nil))
	if k := known("CVE-2024-0001"); len(k) != 0 {
		t.Errorf("rows show before the switch: %+v", k)
	}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	loaded := intel.Loaded{Source: intel.EPSS, Version: "v1", Date: at, Rows: 3, SHA256: "ab", ImportedAt: at.Add(time.Hour)}
	must(t, st.SwitchIntel(ctx, r, loaded))
	same(t, "state", []intel.Loaded{loaded}, got(st.IntelSources(ctx))(t))
	want := intel.Known{}
	want.Add(intel.EPSS, row("CVE-2024-0001", 0))
	want.Add(intel.EPSS, row("CVE-2024-0002", 0.5))
	same(t, "known", want, known("CVE-2024-0002", "CVE-2024-0001", "CVE-2024-0001", "CVE-2000-0001"))
	same(t, "a page", []intel.Record{row("CVE-2024-0002", 0.5), row("CVE-2024-10000", 1)}, got(st.IntelPage(ctx, 1, "CVE-2024-0001"))(t))

	// The next round fills the other shelf; one that comes later takes the hold.
	live = got(st.BeginIntel(ctx, intel.EPSS, "b"))(t)
	second := intel.Round{Source: intel.EPSS, Token: "b", Live: live, Target: 2}
	if live != 1 {
		t.Errorf("shelf %d is read; want 1", live)
	}
	wantConflict(t, st.WriteIntel(ctx, r, []intel.Record{row("CVE-2024-0009", 1)}, nil))
	wantConflict(t, st.SwitchIntel(ctx, r, loaded))
	must(t, st.WriteIntel(ctx, second, []intel.Record{row("CVE-2024-0003", 0.3), row("CVE-2024-0004", 0.4)}, nil))
	must(t, st.WriteIntel(ctx, second, []intel.Record{row("CVE-2024-0003", 0.9)}, []string{"CVE-2024-0004"}))
	must(t, st.SwitchIntel(ctx, second, loaded))
	want = intel.Known{}
	want.Add(intel.EPSS, row("CVE-2024-0003", 0.9))
	same(t, "known after removal", want, known("CVE-2024-0001", "CVE-2024-0003", "CVE-2024-0004"))

	many := make([]string, 1200)
	for i := range many {
		many[i] = fmt.Sprintf("CVE-2024-%04d", i)
	}
	same(t, "known among many", want, known(many...))
	if err := st.WriteIntel(ctx, second, make([]intel.Record, 501), nil); err == nil {
		t.Error("more than 500 rows were taken at once")
	}
}

// enrichment is what public sources say of findings when these are read, and never before.
func enrichment(t *testing.T, h *house) {
	load := func(src intel.Source, target intel.Shelf, rows ...intel.Record) {
		t.Helper()
		token := h.ids.New()
		live := got(h.s.Intel().BeginIntel(t.Context(), src, token))(t)
		r := intel.Round{Source: src, Token: token, Live: live, Target: target}
		must(t, h.s.Intel().WriteIntel(t.Context(), r, rows, nil))
		must(t, h.s.Intel().SwitchIntel(t.Context(), r, intel.Loaded{Source: src, Rows: len(rows)}))
	}
	s := h.running(t, h.ours, "nmap", "h")
	scored, unscored, none := seen(0, "h"), seen(1, "h"), seen(2, "h")
	unscored.CVSS, unscored.CVE = nil, []string{"CVE-2024-0001", "CVE-2024-0002"}
	none.CVSS, none.CVE = nil, nil
	h.record(t, s, scored, unscored, none)
	h.finish(t, s, finding.Summary{})
	both := func() []finding.Intel {
		t.Helper()
		var paged, stream []finding.Intel
		for _, r := range h.results(t, s) {
			paged = append(paged, r.Intel)
		}
		must(t, h.s.Scans().EachResult(t.Context(), h.ours, s.ID, scan.ResultQuery{}, func(r scan.Result) error {
			stream = append(stream, r.Intel)
			return nil
		}))
		same(t, "a page and a stream", paged, stream)
		return paged
	}
	same(t, "nothing loaded", make([]finding.Intel, 3), both())
	const vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
	load(intel.EPSS, 1, intel.Record{CVE: "CVE-2024-0001", Score: 0.1, Percentile: 0.9}, intel.Record{CVE: "CVE-2024-0002", Score: 0.2, Percentile: 0.8})
	load(intel.KEV, 3, intel.Record{CVE: "CVE-2024-0002", Detail: "2024-01-01 2024-02-01 0"})
	load(intel.NVD, 5, intel.Record{CVE: "CVE-2024-0001", Score: 9.8, Detail: "3.1 " + vector})
	day := func(m time.Month) time.Time { return time.Date(2024, m, 1, 0, 0, 0, 0, time.UTC) }
	same(t, "all loaded", []finding.Intel{
		{EPSS: &finding.EPSS{Score: 0.1, Percentile: 0.9}},
		{
			EPSS: &finding.EPSS{Score: 0.2, Percentile: 0.8}, KEV: &finding.KEV{Added: day(1), Due: day(2)},
			CVSS: &finding.CVSS{Version: "3.1", Vector: vector, Score: 9.8},
		},
		{},
	}, both())
	filtered := func(f triage.Filter) int {
		t.Helper()
		l := got(h.s.Triage().Findings(t.Context(), h.ours, triage.Query{Filter: f, Page: page.Request{Limit: 10, WantTotal: true}}))(t)
		if !l.Total.Known || l.Total.N != len(l.Items) {
			t.Errorf("%d listed of %+v", len(l.Items), l.Total)
		}
		return len(l.Items)
	}
	if n, m, o := filtered(triage.Filter{KEV: true}), filtered(triage.Filter{MinEPSS: 0.1}), filtered(triage.Filter{MinEPSS: 0.11, KEV: true}); n != 1 || m != 2 || o != 1 {
		t.Errorf("filters leave %d, %d, %d; want 1, 2, 1", n, m, o)
	}
	load(intel.KEV, 4, intel.Record{CVE: "CVE-2024-0009", Detail: "2024-01-01 - 0"})
	if i := both(); i[1].KEV != nil || i[1].EPSS == nil {
		t.Errorf("after the removal: %+v", i[1])
	}
}
