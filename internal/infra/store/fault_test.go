package store_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/job"
)

// enqueueNote stands for the queue: a job is an outbox row.
func enqueueNote(ctx context.Context, tx *sql.Tx, j job.Scan) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO outbox (org, type, subject, at, data) VALUES ('"+string(j.Org)+"', 'job', 'j', 0, '{}')")
	return err
}

// TestNoFailingStatementTearsAUnit fails each statement of a series of units in turn, BEGIN and COMMIT among them, once
// with a plain error and once with one that ends the transaction, and compares what is there with what was
// acknowledged.
func TestNoFailingStatementTearsAUnit(t *testing.T) { //nolint:tparallel // the subtests share what fails their statements
	t.Parallel()
	var next atomic.Int64 // the statement to fail; 0 = none
	var with atomic.Value
	inject := testkit.WithConfig(func(cfg *store.Config) {
		store.Inject(cfg, func(string) error {
			if next.Load() > 0 && next.Add(-1) == 0 {
				return with.Load().(error) //nolint:forcetypeassert // the test stores nothing else
			}
			return nil
		})
	})
	for name, open := range map[string]func(testing.TB, ...testkit.Option) *store.Store{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			s := open(t, inject)
			s.SetJobs(store.Jobs{Enqueue: enqueueNote})
			var entries, outbox int64
			for _, failure := range []error{injectedError{}, errFull} {
				with.Store(wrapped{failure})
				for n := int64(1); ; n++ {
					next.Store(n)
					e, o := series(t, s)
					entries, outbox = entries+e, outbox+o
					left := next.Swap(0)
					c := settled(t, s)
					if c.Entries != entries || c.Outbox != outbox {
						t.Fatalf("statement %d: %d entries and %d outbox rows, acknowledged were %d and %d", n, c.Entries, c.Outbox, entries, outbox)
					}
					if left > 0 {
						break // the series has fewer statements
					}
				}
			}
		})
	}
}

type wrapped struct{ error }

func (w wrapped) Unwrap() error { return w.error }

type injectedError struct{}

func (injectedError) Error() string { return "injected" }

// series runs units one after the other and returns what was acknowledged.
func series(t *testing.T, s *store.Store) (entries, outbox int64) {
	t.Helper()
	both := func(ctx context.Context, tx *store.Tx) error { return errors.Join(note(ctx, tx), tx.Enqueue(ctx)) }
	if s.Unit(t.Context(), orgA, logged(), note) == nil {
		entries, outbox = entries+1, outbox+1
	}
	if s.Unit(t.Context(), orgA, logged(), both) == nil {
		entries, outbox = entries+1, outbox+2
	}
	if s.Unit(t.Context(), orgA, audit.Bookkeeping("test"), note) == nil {
		outbox++
	}
	if s.Record(t.Context(), orgA, logged()) == nil {
		entries++
	}
	return entries, outbox
}
