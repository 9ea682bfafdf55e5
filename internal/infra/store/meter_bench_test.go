package store_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
)

// longLog is what the call log is measured on: so many entries over 90 days, by 50 keys on 20 routes, one in a hundred
// thousand by a key of its own; and scans of ten engines in every hour.
func longLog(b *testing.B, s *store.Store, n int, end time.Time) {
	b.Helper()
	step := 90 * 24 * time.Hour / time.Duration(n)
	var scans []store.ScanTally
	for hour := range 90 * 24 {
		for engine := range 10 {
			at := end.Add(-time.Duration(hour) * time.Hour).Truncate(time.Hour)
			scans = append(scans, store.ScanTally{
				ScanCount: usage.ScanCount{Submitted: 3, Completed: 2, Failed: 1, Ran: 3, Micros: 1e7, Findings: 12},
				Org:       orgA, Hour: at.UnixMicro(), Engine: fmt.Sprintf("engine-%d", engine),
			})
		}
	}
	err := s.Seed(b.Context(), orgA, n, func(i int) audit.Entry {
		status := 200
		switch {
		case i%33 == 0:
			status = 404
		case i%1001 == 0:
			status = 503
		}
		actor := fmt.Sprintf("0190b6f2-0000-7000-8000-0000000%05d", i*7919%50)
		if i%100_000 == 77 {
			actor = needle
		}
		return audit.Entry{
			Time: end.Add(-time.Duration(n-i) * step), Org: orgA, Type: event.Audit(fmt.Sprintf("resource-%d.read", i%20)),
			Actor: audit.Actor{Kind: audit.ActorKey, ID: actor, Name: "bench"}, ClientAddress: "192.0.2.7", UserAgent: "bench/1.0",
			Method: "GET", Route: fmt.Sprintf("/scan-api/api/v1/resource-%d/{id}", i%20), Status: status, DurationMicros: int64(i % 5000),
			Resource: audit.Resource{Kind: "scan", ID: "0190b6f2-0000-7000-8000-0000000000bb"}, ClientRequestID: "0190b6f2-0000-7000-8000-0000000000cc",
		}
	}, scans)
	if err != nil {
		b.Fatal(err)
	}
}

const needle = "0190b6f2-0000-7000-8000-0000000n33d1"

// BenchmarkUsage reads reports and pages of the call log: of 100,000 entries, or of ten million where
// ASSAY_BENCH_LARGE=1. It reports medians and 99th percentiles; run it with -benchtime 300x.
func BenchmarkUsage(b *testing.B) {
	n := 100_000
	if os.Getenv("ASSAY_BENCH_LARGE") == "1" {
		n = 10_000_000
	}
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		end := time.Now().UTC()
		start := time.Now()
		longLog(b, s, n, end)
		b.Logf("seeded %d entries in %v", n, time.Since(start).Round(time.Second))
		readUsage(b, s, n, end)
	})
}

// readUsage measures reports and pages of a log of n entries up to end.
func readUsage(b *testing.B, s *store.Store, n int, end time.Time) {
	b.Helper()
	u, quarter, middle := s.Usage(), usage.Range{Start: end.Add(-90 * 24 * time.Hour).Truncate(time.Hour), End: end.Add(time.Hour)}, end.Add(-45*24*time.Hour)
	calls := func(q usage.CallQuery) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			q := q
			q.Limit = 100
			if q.Before == 1 {
				q.Before = uint64(1 + i*7919%n)
			}
			_, err := u.CallLog(ctx, orgA, q)
			return err
		}
	}
	for _, m := range []struct {
		name string
		f    func(context.Context, int) error
	}{
		{"summary 90d", func(ctx context.Context, _ int) error {
			if _, err := u.CallCounts(ctx, orgA, quarter, 24*time.Hour); err != nil {
				return err
			}
			_, err := u.EngineCounts(ctx, orgA, usage.Range{Start: quarter.Start.Truncate(24 * time.Hour), End: end.Truncate(24 * time.Hour)})
			return err
		}},
		{"history 90d hourly", func(ctx context.Context, _ int) error {
			if _, err := u.CallCounts(ctx, orgA, quarter, time.Hour); err != nil {
				return err
			}
			_, err := u.Submissions(ctx, orgA, quarter, time.Hour)
			return err
		}},
		{"newest calls", calls(usage.CallQuery{})},
		{"calls from a cursor", calls(usage.CallQuery{Before: 1})},
		{"calls of an hour", calls(usage.CallQuery{From: middle, To: middle.Add(time.Hour)})},
		{"calls of a key", calls(usage.CallQuery{Before: 1, Actor: "0190b6f2-0000-7000-8000-000000000007"})},
		{"calls of a rare key", calls(usage.CallQuery{Before: 1, Actor: needle})},
		{"calls 5xx", calls(usage.CallQuery{Before: 1, Status: usage.Statuses{Least: 500, Most: 599}})},
		{"calls 404 of a route", calls(usage.CallQuery{Before: 1, Route: "/scan-api/api/v1/resource-7/{id}", Status: usage.Statuses{Least: 404, Most: 404}})},
	} {
		b.Run(m.name, func(b *testing.B) {
			took := make([]time.Duration, b.N)
			b.ResetTimer()
			for i := range b.N {
				at := time.Now()
				if err := m.f(b.Context(), i); err != nil {
					b.Fatal(err)
				}
				took[i] = time.Since(at)
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
		})
	}
}
