package storetest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// BenchmarkBatch writes a thousand scans in one unit, as a batch does.
func BenchmarkBatch(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		for b.Loop() {
			var list []scan.Scan
			var subjects []string
			var data []any
			kept := scan.Batch{ID: uid.Batch(w.ids.New())}
			for i := range scan.MaxBatch {
				s := scan.Scan{
					ID: uid.Scan(w.ids.New()), Engine: "nmap", Name: fmt.Sprintf("nightly scan %d", i), Target: fmt.Sprintf("host-%d.example.org", i),
					TargetType: asset.TypeHost, Host: fmt.Sprintf("host-%d.example.org", i), Priority: scan.Normal, Timeout: 60,
					Tags: []string{"nightly", "dmz"}, CreatedAt: time.Now(),
				}
				list, subjects = append(list, s), append(subjects, string(s.ID))
				data = append(data, scan.Notice{ScanID: s.ID, ScanType: "nmap", Status: scan.Queued, Priority: scan.Normal})
				kept.Items = append(kept.Items, scan.BatchItem{Scan: s})
			}
			err := w.s.Scans().Change(b.Context(), w.org, audit.Event{Type: event.ScanBatchSubmitted, Bulk: true}, func(ctx context.Context, tx scan.Tx) error {
				if err := tx.InsertScans(ctx, list); err != nil {
					return err
				}
				if err := tx.EmitAll(ctx, event.ScanQueued, subjects, data); err != nil {
					return err
				}
				return tx.KeepBatch(ctx, kept, time.Now())
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// compared makes two scans of n findings each, of which every tenth is only in one of them.
func (w *works) compared(n int) (base, other scan.Scan) {
	w.b.Helper()
	fill := func(skip int) scan.Scan {
		s := w.begin()
		var part []scan.Seen
		for i := range n {
			if i%10 == skip {
				continue
			}
			part = append(part, scan.Seen{
				Observation: finding.Observation{
					Rule: "nmap:open-port", Title: fmt.Sprintf("Port %d is open", i), Severity: finding.Severities()[i%5], Category: finding.CategoryExposure,
					Description: "A service answers there, and anybody who reaches the host can talk to it. Say who needs it, and close it for all others.",
					Location:    finding.Location{Host: "192.0.2.7", Port: i%65535 + 1, Protocol: "tcp"}, Evidence: "syn-ack",
				},
				Fingerprint: fmt.Sprintf("w1:%064d", i), Occurrence: fmt.Sprintf("o1:%064d", i), Ordinal: i,
			})
			if len(part) == 200 || i >= n-2 {
				w.unit(func(ctx context.Context, tx scan.Tx) error {
					_, err := tx.RecordFindings(ctx, s, part, time.Now())
					return err
				})
				part = nil
			}
		}
		w.unit(func(ctx context.Context, tx scan.Tx) error {
			return tx.FinishScan(ctx, s.ID, s.Fence, scan.Finish{Status: scan.Completed, At: time.Now(), Outcome: "complete"})
		})
		return s
	}
	return fill(0), fill(1)
}

// BenchmarkComparison compares two scans of 100,000 findings.
func BenchmarkComparison(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		w := newWorks(b, s)
		base, other := w.compared(100_000)
		b.Run("summary", func(b *testing.B) {
			for b.Loop() {
				if _, err := comparison.New(w.s.Comparisons()).Pair(b.Context(), w.org, base.ID, other.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
		service := comparison.New(w.s.Comparisons())
		pair, err := service.Pair(b.Context(), w.org, base.ID, other.ID)
		if err != nil {
			b.Fatal(err)
		}
		for _, change := range append(comparison.Changes(), "") {
			b.Run("page of "+string(change), func(b *testing.B) {
				for b.Loop() {
					l, err := service.List(b.Context(), pair, comparison.Query{Change: change, Page: page.Request{Limit: 100}})
					if err != nil || len(l.Items) != 100 {
						b.Fatal(len(l.Items), err)
					}
				}
			})
		}
		b.Run("all of it", func(b *testing.B) {
			for b.Loop() {
				n := 0
				if err := service.Each(b.Context(), pair, comparison.Query{}, func(comparison.Item) error { n++; return nil }); err != nil || n != 100_000 {
					b.Fatal(n, err)
				}
			}
		})
	})
}
