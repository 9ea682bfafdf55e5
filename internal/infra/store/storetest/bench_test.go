package storetest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// reportSize is the number of findings of the large report that the speed goals name.
const reportSize = 14_219

// chunk is how many findings a unit holds, as scans write them.
const chunk = 64

// works is a store with one organization that scans.
type works struct {
	b    *testing.B
	s    *store.Store
	org  uid.Org
	ids  *uid.Source
	jobs []job.Scan
}

func newWorks(b *testing.B, s *store.Store) *works {
	b.Helper()
	w := &works{b: b, s: s, org: testkit.Org(b, s, "Bench"), ids: uid.NewSource(time.Now, rand.Reader)}
	s.SetJobs(store.Jobs{Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
		w.jobs = append(w.jobs, j)
		return nil
	}})
	return w
}

func (w *works) unit(f func(context.Context, scan.Tx) error) {
	w.b.Helper()
	err := w.s.Scans().Change(w.b.Context(), w.org, audit.Event{Type: event.ScanStartedBy}, f)
	for err != nil && fault.KindOf(err) == fault.Unavailable { // a unit ran out of its time on a busy machine
		err = w.s.Scans().Change(w.b.Context(), w.org, audit.Event{Type: event.ScanStartedBy}, f)
	}
	if err != nil {
		w.b.Fatal(err)
	}
}

// begin brings a fresh scan to running.
func (w *works) begin() scan.Scan {
	w.b.Helper()
	s := scan.Scan{
		ID: uid.Scan(w.ids.New()), Engine: "nmap", Target: "192.0.2.7", TargetType: asset.TypeIP, Host: "192.0.2.7",
		Priority: scan.Normal, Timeout: 60, CreatedAt: time.Now(),
	}
	w.unit(func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) })
	w.jobs = nil
	if _, err := w.s.Line().Admit(w.b.Context(), time.Now(), time.Now().Add(time.Hour),
		func(l []scan.Waiting, _ []scan.Slot, _ map[uid.Org]tenant.Concurrency) []scan.Waiting { return l }); err != nil {
		w.b.Fatal(err)
	}
	j := w.jobs[0]
	w.unit(func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, j.Scan, j.Fence, time.Now()) })
	s, err := w.s.Scans().Scan(w.b.Context(), w.org, j.Scan)
	if err != nil {
		w.b.Fatal(err)
	}
	return s
}

// ingest records findings first to last in one scan, and ends it; peak gets the heap after each unit.
func (w *works) ingest(first, last int, peak *uint64) scan.Scan {
	w.b.Helper()
	s := w.begin()
	for at := first; at < last; at += chunk {
		batch := make([]scan.Seen, 0, chunk)
		for i := at; i < min(at+chunk, last); i++ {
			batch = append(batch, observation(i, i-first))
		}
		w.unit(func(ctx context.Context, tx scan.Tx) error {
			_, err := tx.RecordFindings(ctx, s, batch, time.Now())
			return err
		})
		if peak != nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapInuse)
		}
	}
	w.unit(func(ctx context.Context, tx scan.Tx) error {
		return tx.FinishScan(ctx, s.ID, s.Fence, scan.Finish{Status: scan.Completed, At: time.Now(), Outcome: "complete"})
	})
	return s
}

// observation has the size of a real one: about 1 KiB as kept. A host has 10,000 of them.
func observation(n, ordinal int) scan.Seen {
	host := fmt.Sprintf("host-%d.example.org", n/10_000)
	return scan.Seen{
		Observation: finding.Observation{
			Rule: fmt.Sprintf("nuclei:CVE-2021-%05d", n%3000), Title: fmt.Sprintf("Outdated component %d on the web server", n),
			Description: "The server runs a version of the component for which flaws are published. An attacker who reaches it may read files, " +
				"run code or stop the service, depending on how it is configured. The version was read from a banner and may be patched in place.",
			Severity: finding.Severities()[n%5], Confidence: finding.Firm, Category: finding.CategoryVulnerability,
			CVE: []string{fmt.Sprintf("CVE-2021-%05d", n%3000)}, CWE: []int{79, 89},
			CVSS:        &finding.CVSS{Version: "3.1", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8},
			Location:    finding.Location{Host: host, Port: 443, Protocol: "tcp", URL: fmt.Sprintf("https://%s/app/%d/login", host, n), Method: "GET"},
			Evidence:    "HTTP/1.1 200 OK\r\nServer: example/1.2.3\r\nX-Powered-By: example\r\nContent-Type: text/html; charset=utf-8\r\n",
			Remediation: "Update the component to a supported version and restart the service.",
			References:  []string{"https://example.org/advisories/1", "https://example.org/advisories/2"},
		},
		Fingerprint: fmt.Sprintf("w1:%064x", uint64(n)*0x9e3779b97f4a7c15), Occurrence: fmt.Sprintf("o1:%064x", uint64(n)*0xbf58476d1ce4e5b9), Ordinal: ordinal,
	}
}

func eachDatabase(b *testing.B, f func(b *testing.B, s *store.Store)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { f(b, testkit.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) {
		s := testkit.Postgres(b)
		testkit.Run(b, s)
		f(b, s)
	})
}

// BenchmarkIngest records a report of 14,219 findings for the first time, and the same report again.
func BenchmarkIngest(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		next := 0
		b.Run("first", func(b *testing.B) {
			w.b = b
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var peak uint64
			for b.Loop() {
				w.ingest(next, next+reportSize, &peak)
				next += reportSize
			}
			b.ReportMetric(float64(b.N*reportSize)/b.Elapsed().Seconds(), "findings/s")
			b.ReportMetric(float64(max(peak, before.HeapInuse)-before.HeapInuse)/(1<<20), "extra-MiB")
		})
		b.Run("again", func(b *testing.B) {
			w.b = b
			for b.Loop() {
				w.ingest(0, reportSize, nil)
			}
			b.ReportMetric(float64(b.N*reportSize)/b.Elapsed().Seconds(), "findings/s")
		})
	})
}

// BenchmarkListGrowth reads pages of the results of a scan of 10,000 findings, with 10,000 findings in the database and,
// where ASSAY_BENCH_LARGE=1, with a million. It reports medians and 99th percentiles.
func BenchmarkListGrowth(b *testing.B) {
	sizes := []int{10_000}
	if os.Getenv("ASSAY_BENCH_LARGE") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		have := 0
		for _, size := range sizes {
			var last scan.Scan
			for ; have < size; have += 10_000 {
				w.b = b
				start := time.Now()
				last = w.ingest(have, have+10_000, nil)
				if have%100_000 == 0 {
					b.Logf("with %d findings present: %.0f new findings/s", have, 10_000/time.Since(start).Seconds())
				}
			}
			for name, q := range map[string]scan.ResultQuery{
				"first page":     {Page: page.Request{Limit: 50}},
				"with total":     {Page: page.Request{Limit: 50, WantTotal: true}},
				"one severity":   {Severity: finding.High, Page: page.Request{Limit: 50}},
				"deep by cursor": {Page: page.Request{Limit: 50, After: page.Key{Sort: 2<<32 + 5000, ID: "x"}}},
			} {
				b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						start := time.Now()
						r, err := s.Scans().Results(b.Context(), w.org, last.ID, q)
						if err != nil || len(r.Items) != 50 {
							b.Fatalf("%d results, %v", len(r.Items), err)
						}
						took = append(took, time.Since(start))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
				})
			}
		}
	})
}

// BenchmarkAdmit decides once with 10,000 scans in the line, as after a restart.
func BenchmarkAdmit(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		for range 20 {
			w.unit(func(ctx context.Context, tx scan.Tx) error {
				for i := range 500 {
					err := tx.InsertScan(ctx, scan.Scan{
						ID: uid.Scan(w.ids.New()), Engine: "nmap", Target: "t", Host: fmt.Sprint(i), Priority: scan.Normal, CreatedAt: time.Now(),
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		for b.Loop() {
			_, err := s.Line().Admit(b.Context(), time.Now(), time.Now(),
				func([]scan.Waiting, []scan.Slot, map[uid.Org]tenant.Concurrency) []scan.Waiting { return nil })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkInsertAsset is the write behind an authenticated create, with 16 callers and 10,000 rows present.
func BenchmarkInsertAsset(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				id := w.ids.New()
				now := time.Now()
				err := s.Assets().Change(b.Context(), w.org, audit.Event{Type: "asset.created"}, func(ctx context.Context, tx asset.Tx) error {
					return tx.InsertAsset(ctx, asset.Asset{
						ID: uid.Asset(id), Kind: asset.KindHost, Name: "host-" + id + ".example.org", Note: "made by a benchmark",
						Source: "user", Status: "active", CreatedAt: now, UpdatedAt: now, FirstSeenAt: now, LastSeenAt: now,
					})
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "assets/s")
	})
}

// BenchmarkListAssets reads the newest 50 of 10,000 assets with their total, by 16 callers.
func BenchmarkListAssets(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		const rows = 500
		for at := range 20 {
			obs := make([]asset.Observation, rows)
			for i := range obs {
				obs[i] = asset.Observation{Kind: asset.KindHost, Name: fmt.Sprintf("host-%05d.example.org", at*rows+i), Source: "bench"}
			}
			err := s.Assets().Change(b.Context(), w.org, audit.Event{Type: "asset.created"}, func(ctx context.Context, tx asset.Tx) error {
				return tx.ObserveAssets(ctx, obs, time.Now())
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.SetParallelism(8)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l, err := s.Assets().Assets(b.Context(), w.org, asset.Query{Page: page.Request{Limit: 50, WantTotal: true}})
				if err != nil || len(l.Items) != 50 || l.Total.N != 10_000 {
					b.Errorf("%d assets, total %+v, %v", len(l.Items), l.Total, err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lists/s")
	})
}

// BenchmarkOthersDuringIngest is what 15 other callers wait for their audit entries while a report of 14,219 findings
// is taken in.
func BenchmarkOthersDuringIngest(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		var took []time.Duration
		next := 0
		for b.Loop() {
			var mu sync.Mutex
			var all sync.WaitGroup
			ctx, stop := context.WithCancel(b.Context())
			for range 15 {
				all.Go(func() {
					for ctx.Err() == nil {
						start := time.Now()
						if err := s.Record(b.Context(), w.org, audit.Event{Type: "asset.read"}); err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						took = append(took, time.Since(start))
						mu.Unlock()
					}
				})
			}
			w.ingest(next, next+reportSize, nil)
			next += reportSize
			stop()
			all.Wait()
		}
		slices.Sort(took)
		b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "entries/s")
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	})
}
