package scan_test

import (
	"errors"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
)

// charged is what is left charged to the quota of the month.
func (r *real) charged(t *testing.T) int64 {
	t.Helper()
	used, err := r.db.Usage().Used(t.Context(), r.org, usage.MetricScans, usage.Period(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return used
}

func TestAScanThatFailsForOurOwnReasonsCostsNothing(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		r := newReal(t, db)
		a := actor()
		a.Org = r.org
		s, err := r.service.Submit(t.Context(), a, order())
		if err != nil {
			t.Fatal(err)
		}
		for attempt := 1; attempt <= scan.MaxAttempts; attempt++ {
			if n := r.charged(t); n != 1 {
				t.Errorf("before attempt %d %d are charged", attempt, n)
			}
			r.dies(t, s, attempt)
		}
		if n := r.charged(t); n != 0 {
			t.Errorf("interrupted for good: %d are charged", n)
		}
		want := int64(0)
		for _, c := range []struct {
			name string
			err  error
			says engine.Outcome
			free bool
		}{
			{name: "engine missing", err: fault.New(fault.Unavailable, fault.CodeEngine, "not installed"), free: true},
			{name: "a defect of ours", err: errors.New("no space left"), free: true},
			{name: "target out of scope by now", err: fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no")},
			{name: "the engine could not do it", says: engine.Failed},
			{name: "nothing reachable", says: engine.NothingReachable},
		} {
			r.engine.run = says(c.says)
			if c.err != nil {
				r.engine.run = fails(c.err)
			}
			r.run(t, order())
			if !c.free {
				want++
			}
			if n := r.charged(t); n != want {
				t.Errorf("%s: %d are charged, want %d", c.name, n, want)
			}
		}
		if err := db.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		sum, err := usage.NewReports(usage.ReportsDeps{Ledger: db.Usage(), Counter: usage.NewMemory(), Now: time.Now}).Summary(t.Context(), r.org, usage.Last7d)
		if err != nil || sum.Scans != 6 || sum.QuotaConsumed != want {
			t.Errorf("%d scans, %d consumed (%v)", sum.Scans, sum.QuotaConsumed, err)
		}
	})
}
