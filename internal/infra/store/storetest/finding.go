package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func fates(changes []finding.Change) []finding.Fate {
	var out []finding.Fate
	for _, c := range changes {
		out = append(out, c.Fate)
	}
	return out
}

func (h *house) results(tb testing.TB, s scan.Scan) []scan.Result {
	tb.Helper()
	return got(h.s.Scans().Results(tb.Context(), s.Org, s.ID, scan.ResultQuery{Page: page.Request{Limit: 100}}))(tb).Items
}

func findings(t *testing.T, h *house) {
	first := h.running(t, h.ours, "nmap", "192.0.2.7")
	changes := h.record(t, first, seen(0, "h"), seen(1, "h"), seen(2, "h"))
	same(t, "fates at first sight", []finding.Fate{finding.Created, finding.Created, finding.Created}, fates(changes))
	twice := seen(0, "h") // another place of the same weakness
	twice.Occurrence, twice.Ordinal, twice.Location.URL = "o1:other", 10, "/other"
	again := h.record(t, first, twice)
	if again[0].ID != changes[0].ID || again[0].Fate != finding.Untouched {
		t.Errorf("a second place of a weakness makes %+v; want %s untouched", again[0], changes[0].ID)
	}
	h.finish(t, first, finding.Summary{})
	res := h.results(t, first)
	if len(res) != 4 {
		t.Fatalf("%d results; want 4", len(res))
	}
	want := scan.Result{
		Finding: finding.Finding{
			Observation: seen(0, "h").Observation, ID: changes[0].ID, Engine: "nmap", Fingerprint: "w1:h-000000",
			Status: finding.Open, FirstSeenAt: res[0].FirstSeenAt, LastSeenAt: res[0].LastSeenAt, Scan: first.ID,
			Engines: []string{"nmap"},
		},
		Occurrence: "o1:h-000000",
	}
	same(t, "result", want, res[0])
	if res[1].Location.URL != "/other" || res[1].ID != res[0].ID {
		t.Errorf("the second place is %+v", res[1])
	}
	open := func() []finding.Finding {
		return got(h.s.Scans().OpenFindings(t.Context(), h.ours, "nmap", "h", ""))(t)
	}
	if o := open(); len(o) != 3 || o[0].Location.URL != "" {
		t.Errorf("open findings = %+v; want three, the first as its first place made it", o)
	}
	if o := got(h.s.Scans().OpenFindings(t.Context(), h.ours, "nmap", "h", "w1:h-000001"))(t); len(o) != 1 {
		t.Errorf("%d findings after the second; want 1", len(o))
	}

	// A person decides on one, a scan fixes another.
	h.decideByHand(t, changes[1].ID, finding.FalsePositive)
	fix := func(ids ...uid.Finding) int {
		n := 0
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			var err error
			n, err = tx.FixFindings(ctx, ids, first.ID, h.clock.Now())
			return err
		}))
		return n
	}
	if n := fix(changes[1].ID, changes[2].ID, "unknown"); n != 1 {
		t.Errorf("%d findings were fixed; want the open one", n)
	}
	if o := open(); len(o) != 2 || o[1].Status != finding.FalsePositive {
		t.Errorf("findings that aren't fixed = %+v", o)
	}

	second := h.running(t, h.ours, "nmap", "192.0.2.7")
	fresher := seen(1, "h")
	fresher.Title, fresher.Severity = "Renamed", finding.Low
	changes2 := h.record(t, second, seen(0, "h"), fresher, seen(2, "h"), seen(3, "h"))
	same(t, "fates of the second scan",
		[]finding.Fate{finding.Untouched, finding.Suppressed, finding.Reopened, finding.Created}, fates(changes2))
	for i := range 3 {
		if changes2[i].ID != changes[i].ID {
			t.Errorf("finding %d has a new id", i)
		}
	}
	if changes2[1].Status != finding.FalsePositive {
		t.Errorf("a person's decision became %s", changes2[1].Status)
	}
	h.finish(t, second, finding.Summary{})
	byID := map[uid.Finding]scan.Result{}
	for _, r := range h.results(t, second) {
		byID[r.ID] = r
	}
	human, reopened := byID[changes[1].ID], byID[changes[2].ID]
	if human.Status != finding.FalsePositive || human.Title != "Renamed" || human.Severity != finding.Low {
		t.Errorf("a decided finding seen again is %+v; want its status kept and its words renewed", human.Finding)
	}
	if reopened.Status != finding.Open || !reopened.FixedAt.IsZero() || !reopened.FirstSeenAt.Before(reopened.LastSeenAt) {
		t.Errorf("a finding that came back is %+v", reopened.Finding)
	}
	if r := h.results(t, first); r[2].Title == "Renamed" || r[2].Status != finding.FalsePositive {
		t.Errorf("the first scan shows %q as %s; want what it saw, with the state of today", r[2].Title, r[2].Status)
	}

	// Another engine with the same fingerprint: both are named.
	third := h.running(t, h.ours, "sentinel", "192.0.2.7")
	h.record(t, third, seen(0, "h"))
	h.finish(t, third, finding.Summary{})
	same(t, "engines", []string{"nmap", "sentinel"}, h.results(t, third)[0].Engines)
	if _, err := h.tryRecord(t, h.running(t, h.ours, "nmap", "x"), make([]scan.Seen, 501)...); err == nil {
		t.Error("a unit of more than 500 rows is taken")
	}
}

// decideByHand sets a finding's status as a person will.
func (h *house) decideByHand(tb testing.TB, id uid.Finding, status finding.Status) {
	tb.Helper()
	h.inRaw(tb, h.ours, func(r raw) {
		r.exec("UPDATE finding SET status = '" + string(status) + "' WHERE id = '" + string(id) + "'")
	})
}

// findingsAtOnce lets scans record the same findings at the same time: each exists once, under one id.
func findingsAtOnce(t *testing.T, h *house) {
	var all []scan.Scan
	for i := range 4 {
		all = append(all, h.running(t, h.ours, "nmap", fmt.Sprintf("host-%d", i)))
	}
	var batch []scan.Seen
	for i := range 300 {
		batch = append(batch, seen(i, "shared"))
	}
	ids := make([][]uid.Finding, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			own := slices.Clone(batch)
			if i%2 == 1 {
				slices.Reverse(own)
			}
			changes, err := h.tryRecord(t, s, own...)
			for fault.KindOf(err) == fault.Unavailable && err != nil { // waiting for the others took too long on a busy machine
				changes, err = h.tryRecord(t, s, own...)
			}
			if err != nil {
				t.Errorf("recording: %v", err)
				return
			}
			for _, c := range changes {
				ids[i] = append(ids[i], c.ID)
			}
			if i%2 == 1 {
				slices.Reverse(ids[i])
			}
		})
	}
	wg.Wait()
	for i := 1; i < len(ids); i++ {
		if !slices.Equal(ids[0], ids[i]) {
			t.Errorf("scan %d has other ids than scan 0", i)
		}
	}
	for _, s := range all {
		h.finish(t, s, finding.Summary{})
		if n := got(h.s.Scans().Results(t.Context(), h.ours, s.ID, scan.ResultQuery{Page: page.Request{WantTotal: true}}))(t).Total.N; n != 300 {
			t.Errorf("a scan shows %d results; want 300", n)
		}
	}
}

func results(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Scans()
	s := h.running(t, h.ours, "nmap", "192.0.2.7")
	var all []scan.Seen
	for i := range 50 {
		o := seen(i, "h")
		if i%3 == 0 {
			o.Category = finding.CategoryTLS
		}
		if i%10 == 0 {
			o.Title = "Weak cipher " + o.Title
		}
		all = append(all, o)
	}
	h.record(t, s, all[:30]...)
	h.record(t, s, all[30:]...)
	h.finish(t, s, finding.Summary{})
	slices.SortStableFunc(all, func(a, b scan.Seen) int { return a.Severity.Rank() - b.Severity.Rank() })
	for _, sev := range []finding.Severity{"", finding.Critical, finding.Info} {
		for _, cat := range []finding.Category{"", finding.CategoryTLS, finding.CategorySecret} {
			for _, word := range []string{"", "weak", "WEAK ciph", "port 2", "eak", "cve-2024", "%"} {
				q := scan.ResultQuery{Severity: sev, Category: cat, Q: word}
				var want []string
				for _, o := range all {
					if (sev == "" || o.Severity == sev) && (cat == "" || o.Category == cat) && resultMatches(o, word) {
						want = append(want, o.Occurrence)
					}
				}
				h.checkResults(t, s, q, want)
			}
		}
	}
	stop := errors.New("enough")
	n := 0
	err := st.EachResult(ctx, h.ours, s.ID, scan.ResultQuery{}, func(scan.Result) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("a stream that is stopped ends with %v after %d; want the reader's error after 3", err, n)
	}
	_, err = st.Results(ctx, h.ours, uid.Scan(h.ids.New()), scan.ResultQuery{})
	wantMissing(t, err)
}

// resultMatches says which observations of results hold words that begin with those of q.
func resultMatches(o scan.Seen, q string) bool {
	switch q {
	case "", "cve-2024":
		return true
	case "weak", "WEAK ciph":
		return strings.HasPrefix(o.Title, "Weak")
	case "port 2":
		// the CVE's year begins with 2 as well, in every one
		return true
	}
	return false
}

func (h *house) checkResults(t *testing.T, s scan.Scan, q scan.ResultQuery, want []string) {
	t.Helper()
	paged := walk(t, func(p page.Request) ([]scan.Result, page.Key, error) {
		q.Page = p
		l, err := h.s.Scans().Results(t.Context(), h.ours, s.ID, q)
		return l.Items, l.Next, err
	}, func(r scan.Result) string { return r.Occurrence }, 7)
	same(t, fmt.Sprintf("results %+v", q), want, paged)
	q.Page = page.Request{}
	var streamed []string
	must(t, h.s.Scans().EachResult(t.Context(), h.ours, s.ID, q, func(r scan.Result) error {
		streamed = append(streamed, r.Occurrence)
		return nil
	}))
	same(t, fmt.Sprintf("streamed results %+v", q), want, streamed)
	q.Page = page.Request{WantTotal: true}
	total := page.Total{N: len(want), Known: true}
	if q.Q != "" {
		total = page.Total{}
	}
	same(t, fmt.Sprintf("total of %+v", q), total, got(h.s.Scans().Results(t.Context(), h.ours, s.ID, q))(t).Total)
}

// visibility checks that what a try records is seen by nobody before its end, and never from a try that was given up.
func visibility(t *testing.T, h *house) {
	s := h.running(t, h.ours, "nmap", "192.0.2.7")
	h.record(t, s, seen(0, "h"), seen(1, "h"))
	if n := len(h.results(t, s)); n != 0 {
		t.Fatalf("%d results are shown while the scan runs", n)
	}
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return tx.RequeueScan(ctx, s.ID, s.Fence, false) }))
	second := h.start(t, h.admitAll(t)[0])
	h.record(t, second, seen(2, "h"))
	h.record(t, second, seen(2, "h")) // the same unit once more, after an answer that was lost
	h.finish(t, second, finding.Summary{})
	res := h.results(t, second)
	if len(res) != 1 || res[0].Occurrence != "o1:h-000002" {
		t.Errorf("results = %+v; want what the second try saw", res)
	}
	if second.StartedAt.Sub(s.StartedAt) <= 0*time.Second {
		t.Error("the second try has no start of its own")
	}
}
