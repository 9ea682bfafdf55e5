package storetest_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// web is a finding of one of two engines: n/2 is the flaw, and every tenth is seen by both.
func web(n, ordinal int) (string, scan.Seen) {
	engine, place := "zap", n
	if n%10 == 9 {
		engine, place = "wapiti", n-1
	}
	o := observation(n, ordinal)
	o.Rule, o.CVE, o.CWE = engine+":sqli", nil, []int{89}
	o.Location.URL, o.Location.Parameter = fmt.Sprintf("https://%s/app%dx/login", o.Location.Host, place), "id"
	if n%3 == 0 && n%10 < 8 {
		o.CVE, o.Location.Package = []string{fmt.Sprintf("CVE-2021-%05d", n%3000)}, fmt.Sprintf("lib%d", n%5000)
	}
	o.Observation = finding.Clean(o.Observation)
	o.Fingerprint, o.Occurrence = finding.Fingerprint(engine, o.Observation), finding.Occurrence(engine, o.Observation)
	return engine, o
}

// fill records findings first to last under a scan that ends.
func (w *works) fill(first, last int) scan.Scan {
	w.b.Helper()
	s := w.begin()
	for at := first; at < last; at += chunk {
		byEngine := map[string][]scan.Seen{}
		for i := at; i < min(at+chunk, last); i++ {
			engine, o := web(i, i-first)
			byEngine[engine] = append(byEngine[engine], o)
		}
		w.unit(func(ctx context.Context, tx scan.Tx) error {
			for _, engine := range []string{"zap", "wapiti"} {
				s := s
				s.Engine = engine
				if _, err := tx.RecordFindings(ctx, s, byEngine[engine], time.Now()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	w.unit(func(ctx context.Context, tx scan.Tx) error {
		return tx.FinishScan(ctx, s.ID, s.Fence, scan.Finish{Status: scan.Completed, At: time.Now(), Outcome: "complete"})
	})
	return s
}

// timed is a case store that notes how long its units took.
type timed struct {
	store.CaseStore
	took               []time.Duration
	gathering, putting time.Duration
}

// clocked is a unit that notes how long its parts took.
type clocked struct {
	correlation.Tx
	t *timed
}

func (c clocked) Gather(ctx context.Context, seeds []uid.Finding, aliases correlation.Aliases) (correlation.Scene, error) {
	start := time.Now()
	defer func() { c.t.gathering += time.Since(start) }()
	return c.Tx.Gather(ctx, seeds, aliases)
}

func (c clocked) PutPlan(ctx context.Context, p correlation.Plan) error {
	start := time.Now()
	defer func() { c.t.putting += time.Since(start) }()
	return c.Tx.PutPlan(ctx, p)
}

func (t *timed) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, correlation.Tx) error) error {
	return t.CaseStore.Change(ctx, org, ev, func(ctx context.Context, tx correlation.Tx) error {
		start := time.Now()
		defer func() { t.took = append(t.took, time.Since(start)) }()
		return unit(ctx, clocked{tx, t})
	})
}

// BenchmarkCorrelate is the first correlation of 100,000 findings, and then that of one scan of 300 among them, seen
// again and new ones.
func BenchmarkCorrelate(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		size := 100_000
		if n, err := strconv.Atoi(os.Getenv("ASSAY_BENCH_FINDINGS")); err == nil {
			size = n
		}
		for at := 0; at < size; at += 10_000 {
			w.fill(at, at+10_000)
		}
		cases := &timed{CaseStore: s.Cases()}
		feed := s.CaseFeed()
		f := correlation.NewFollower(correlation.FollowerDeps{
			Store: cases, Journal: feed, Findings: feed, Now: time.Now, IDs: w.ids, Log: slog.New(slog.DiscardHandler),
		})
		b.Run("all", func(b *testing.B) {
			for b.Loop() {
				if err := f.CatchUp(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			report(b, cases.took)
			b.ReportMetric(cases.gathering.Seconds(), "gathering-s")
			b.ReportMetric(cases.putting.Seconds(), "putting-s")
		})
		for _, one := range []struct {
			name  string
			first int
		}{{"one scan, seen before", 5_000}, {"one scan, new", size}} {
			b.Run(one.name, func(b *testing.B) {
				w.b = b
				var took []time.Duration
				cases.took = nil
				for i := range 10 {
					scan := w.fill(one.first+300*i, one.first+300*(i+1))
					start := time.Now()
					if err := f.Follow(b.Context(), w.org, scan.ID); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(start))
				}
				for b.Loop() {
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
				b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
				report(b, cases.took)
			})
		}
		for _, q := range []struct {
			name string
			correlation.Query
		}{
			{"by risk", correlation.Query{Sort: correlation.ByRisk}},
			{"by severity", correlation.Query{Sort: correlation.BySeverity}},
			{"by last seen", correlation.Query{Sort: correlation.ByLastSeen}},
			{"open, with total", correlation.Query{Statuses: []correlation.Status{correlation.CaseOpen}, Page: page.Request{WantTotal: true}}},
			{"one CVE", correlation.Query{CVE: "CVE-2021-00006"}},
			{"one asset", correlation.Query{Asset: "host-1.example.org"}},
		} {
			b.Run("list/"+q.name, func(b *testing.B) {
				q.Page.Limit = 50
				for b.Loop() {
					l, err := s.Cases().Cases(b.Context(), w.org, q.Query)
					if err != nil || len(l.Items) == 0 {
						b.Fatalf("%d cases, %v", len(l.Items), err)
					}
				}
			})
		}
	})
}

// report gives the middle and the longest of units.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "unit-p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "unit-p99-ms")
	b.ReportMetric(float64(len(took)), "units")
}
