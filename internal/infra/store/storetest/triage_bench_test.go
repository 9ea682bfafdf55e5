package storetest_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/page"
)

// BenchmarkFindingLists reads pages of an organization's findings, with 10,000 of them present and, where
// ASSAY_BENCH_LARGE=1, with a million. It reports medians and 99th percentiles.
func BenchmarkFindingLists(b *testing.B) {
	sizes := []int{10_000}
	if os.Getenv("ASSAY_BENCH_LARGE") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		have := 0
		for _, size := range sizes {
			for ; have < size; have += 10_000 {
				w.b = b
				w.ingest(have, have+10_000, nil)
			}
			deep := middle(b, w)
			for _, q := range []struct {
				name string
				triage.Query
			}{
				{"first page", triage.Query{}},
				{"with total", triage.Query{Page: page.Request{WantTotal: true}}},
				{"open, two severities", triage.Query{Filter: triage.Filter{
					Statuses: []finding.Status{finding.Open}, Severities: []finding.Severity{finding.Critical, finding.Medium},
				}}},
				{"newest", triage.Query{Sort: triage.Newest}},
				{"newest of one severity", triage.Query{Sort: triage.Newest, Filter: triage.Filter{Severities: []finding.Severity{finding.Low}}}},
				{"one host", triage.Query{Filter: triage.Filter{Host: "host-0.example.org"}}},
				{"rare words", triage.Query{Filter: triage.Filter{Rule: "nuclei:CVE-2021-00007", Q: "outdated"}}},
				{"one CVE", triage.Query{Filter: triage.Filter{CVE: "CVE-2021-00007"}}},
				{"words that all have", triage.Query{Filter: triage.Filter{Q: "outdated comp"}}},
				{"deep by cursor", triage.Query{Page: page.Request{After: deep}}},
			} {
				b.Run(fmt.Sprintf("%d/%s", size, q.name), func(b *testing.B) {
					q.Page.Limit = 50
					if q.Sort == "" {
						q.Sort = triage.Worst
					}
					var took []time.Duration
					for b.Loop() {
						start := time.Now()
						l, err := s.Triage().Findings(b.Context(), w.org, q.Query)
						if err != nil || len(l.Items) == 0 {
							b.Fatalf("%d findings, %v", len(l.Items), err)
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

// middle is a key some thousand findings into the list.
func middle(b *testing.B, w *works) page.Key {
	b.Helper()
	l, err := w.s.Triage().Findings(b.Context(), w.org, triage.Query{Sort: triage.Worst, Page: page.Request{Limit: 1, Offset: 5_000}})
	if err != nil {
		b.Fatal(err)
	}
	return l.Next
}
