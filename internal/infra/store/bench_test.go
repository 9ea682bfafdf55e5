package store_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA uid.Org = "0190b6f2-0000-7000-8000-00000000000a"
	orgB uid.Org = "0190b6f2-0000-7000-8000-00000000000b"
)

// callers is how many ask at once in the benchmarks, as on a server of the documented size.
const callers = 16

// share runs n pieces of work by the callers and reports how many a second there were.
func share(b *testing.B, work func(ctx context.Context) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := work(b.Context()); err != nil {
					b.Error(err)
					return
				}
				took[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}

func call() *audit.Call {
	return &audit.Call{
		Method: "POST", Route: "/api/assets", Type: event.AssetCreated, Status: 201, Org: orgA,
		Actor:         audit.Actor{Kind: audit.ActorKey, ID: "0190b6f2-0000-7000-8000-0000000000aa", Name: "bench"},
		ClientAddress: "192.0.2.7", UserAgent: "bench/1.0", RequestID: "r", ClientRequestID: "0190b6f2-0000-7000-8000-0000000000bb",
	}
}

// eachDatabase runs a benchmark on SQLite and, where a server is named, on PostgreSQL.
func eachDatabase(b *testing.B, f func(b *testing.B, s *store.Store)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { f(b, testkit.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) {
		s := testkit.Postgres(b)
		testkit.Run(b, s)
		f(b, s)
	})
}

// BenchmarkChange is a durable, audited unit: one row of data, its entry, its place in the log.
func BenchmarkChange(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		share(b, func(ctx context.Context) error {
			ctx = audit.WithCall(ctx, call())
			return s.Unit(ctx, orgA, audit.Event{Type: event.AssetCreated, Resource: audit.Resource{Kind: "asset", ID: string(orgB)}},
				func(ctx context.Context, tx *store.Tx) error { return tx.Note(ctx, "s", nil) })
		})
	})
}

// BenchmarkRecord is the entry of a read.
func BenchmarkRecord(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		share(b, func(ctx context.Context) error {
			return s.Record(audit.WithCall(ctx, call()), orgA, audit.Event{Type: event.AssetRead})
		})
	})
}

// BenchmarkChangeAlone is one caller after the other: what sharing a flush must not cost.
func BenchmarkChangeAlone(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *store.Store) {
		b.Helper()
		for b.Loop() {
			err := s.Unit(audit.WithCall(b.Context(), call()), orgA, audit.Event{Type: event.AssetCreated},
				func(ctx context.Context, tx *store.Tx) error { return tx.Note(ctx, "s", nil) })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFile is the bar: the same callers append 600 bytes each to a plain file and share its fsync.
func BenchmarkFile(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a benchmark's file
	queue := make(chan chan error, callers)
	go func() {
		record := make([]byte, 600)
		for first := range queue {
			batch := []chan error{first}
			for len(queue) > 0 {
				batch = append(batch, <-queue)
			}
			_, err := f.Write(make([]byte, len(record)*len(batch)))
			if err == nil {
				err = f.Sync()
			}
			for _, done := range batch {
				done <- err
			}
		}
	}()
	share(b, func(context.Context) error {
		done := make(chan error, 1)
		queue <- done
		return <-done
	})
	close(queue)
}
