package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/uid"
)

// greedy is a decision as the dispatcher makes it: each organization in turn gives its first scan that fits all three
// limits, until nothing fits.
func greedy(waiting []scan.Waiting, running []scan.Slot, limits map[uid.Org]tenant.Concurrency) []scan.Waiting {
	type engineOf struct {
		org    uid.Org
		engine string
	}
	type hostOf struct {
		org  uid.Org
		host string
	}
	orgs, engines, hosts := map[uid.Org]int{}, map[engineOf]int{}, map[hostOf]int{}
	take := func(org uid.Org, engine, host string) {
		orgs[org]++
		engines[engineOf{org, engine}]++
		hosts[hostOf{org, host}]++
	}
	for _, r := range running {
		take(r.Org, r.Engine, r.Host)
	}
	var out []scan.Waiting
	for {
		taken := map[uid.Org]bool{}
		rest := waiting[:0:0]
		for _, w := range waiting {
			l := limits[w.Org]
			if taken[w.Org] || orgs[w.Org] >= l.Organization || engines[engineOf{w.Org, w.Engine}] >= l.Engine ||
				hosts[hostOf{w.Org, w.Host}] >= l.TargetHost {
				rest = append(rest, w)
				continue
			}
			taken[w.Org] = true
			take(w.Org, w.Engine, w.Host)
			out = append(out, w)
		}
		if waiting = rest; len(taken) == 0 {
			return out
		}
	}
}

func (h *house) admit(tb testing.TB, decide func([]scan.Waiting, []scan.Slot, map[uid.Org]tenant.Concurrency) []scan.Waiting) int {
	tb.Helper()
	now := h.clock.Now()
	return got(h.s.Line().Admit(tb.Context(), now, now.Add(time.Minute), decide))(tb)
}

func line(t *testing.T, h *house) {
	limits := tenant.Defaults()
	limits.Concurrency = tenant.Concurrency{Organization: 5, Engine: 3, TargetHost: 2}
	must(t, h.tenants(t, h.ours, func(ctx context.Context, tx tenant.Tx) error { return tx.PutSettings(ctx, limits) }))
	for i := range 12 {
		engine := "nmap"
		if i >= 8 {
			engine = "zap"
		}
		h.addScans(t, h.newScan(h.ours, engine, fmt.Sprintf("host-%d", i%4)))
	}
	urgent := h.newScan(h.ours, "nmap", "host-0")
	urgent.Priority = scan.Critical
	h.addScans(t, urgent)

	if n := h.admit(t, greedy); n != 5 {
		t.Fatalf("%d scans are let start; want 5", n)
	}
	jobs := h.taken()
	if len(jobs) != 5 || jobs[0].Scan != urgent.ID {
		t.Fatalf("jobs = %v; want 5, the critical one first", jobs)
	}
	engines, hosts := map[string]int{}, map[string]int{}
	for _, j := range jobs {
		s := got(h.s.Scans().Scan(t.Context(), j.Org, j.Scan))(t)
		engines[s.Engine]++
		hosts[s.Host]++
		if s.Fence != j.Fence || s.Status != scan.Queued || s.LeaseUntil.IsZero() || s.Attempt != 0 {
			t.Errorf("an admitted scan is %+v", s)
		}
	}
	if engines["nmap"] != 3 || engines["zap"] != 2 || hosts["host-0"] > 2 {
		t.Errorf("engines %v, hosts %v: a limit was passed or a place wasted", engines, hosts)
	}
	if n := h.admit(t, greedy); n != 0 {
		t.Errorf("%d more are let start over the limits", n)
	}
	for _, j := range jobs[:2] {
		h.finish(t, h.start(t, j), scan.Scan{}.Summary)
	}
	if n := h.admit(t, greedy); n != 2 {
		t.Errorf("after two ended %d start; want 2", n)
	}
	h.admit(t, func(waiting []scan.Waiting, running []scan.Slot, got map[uid.Org]tenant.Concurrency) []scan.Waiting {
		if len(waiting) != 6 || len(running) != 5 || got[h.ours] != limits.Concurrency {
			t.Errorf("the dispatcher sees %d waiting, %d running, limits %v; want 6, 5, %v", len(waiting), len(running), got, limits.Concurrency)
		}
		if !slices.IsSortedFunc(waiting, func(a, b scan.Waiting) int { return a.Due.Compare(b.Due) }) {
			t.Error("the line isn't in order of due")
		}
		return []scan.Waiting{{Org: h.theirs, Scan: waiting[0].Scan}} // names a scan of another: nothing happens
	})
	if jobs := h.taken(); len(jobs) != 2 {
		t.Errorf("%d jobs; want the 2 that were let start", len(jobs))
	}
}

// fairness checks that a long line of one organization hides nobody else's, and that what can't start in front of it
// doesn't hide what can.
func fairness(t *testing.T, h *house) {
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		for range 400 {
			if err := tx.InsertScan(ctx, h.newScan(h.ours, "nmap", "busy")); err != nil {
				return err
			}
		}
		return nil
	}))
	behind := h.newScan(h.ours, "zap", "idle")
	theirs := h.newScan(h.theirs, "nmap", "host")
	h.addScans(t, behind, theirs)
	if n := h.admit(t, greedy); n != 4 {
		t.Errorf("%d are let start; want 2 on the busy host, 1 on the idle one, 1 of theirs", n)
	}
	started := map[uid.Scan]bool{}
	for _, j := range h.taken() {
		started[j.Scan] = true
	}
	if !started[behind.ID] || !started[theirs.ID] {
		t.Errorf("behind a long line: ours started %v, theirs started %v", started[behind.ID], started[theirs.ID])
	}
}

// twoDispatchers lets several admit at once: no scan starts twice and no limit is passed.
func twoDispatchers(t *testing.T, h *house) {
	for i := range 30 {
		h.addScans(t, h.newScan(h.ours, "nmap", fmt.Sprintf("host-%d", i)))
	}
	limit := tenant.Defaults().Concurrency.Engine
	for range 3 {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				now := h.clock.Now()
				if _, err := h.s.Line().Admit(t.Context(), now, now.Add(time.Minute), greedy); err != nil {
					t.Errorf("admitting: %v", err)
				}
			})
		}
		wg.Wait()
		jobs := h.taken()
		seen := map[uid.Scan]bool{}
		for _, j := range jobs {
			if seen[j.Scan] {
				t.Errorf("scan %s starts twice", j.Scan)
			}
			seen[j.Scan] = true
		}
		if len(seen) != limit {
			t.Fatalf("%d start at once; want %d", len(seen), limit)
		}
		for _, j := range jobs {
			h.finish(t, h.start(t, j), scan.Scan{}.Summary)
		}
	}
}
