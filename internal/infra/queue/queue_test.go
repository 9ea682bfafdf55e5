package queue_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"assay.dev/assay/internal/infra/queue"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

const org uid.Org = "01900000-0000-7000-8000-00000000000a"

// open returns a queue on a fresh database and the database.
type open func(t *testing.T, cfg queue.Config) (*queue.Queue, *sql.DB)

func each(t *testing.T, f func(t *testing.T, open open)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, onSQLite) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); f(t, onPostgres) })
}

func onSQLite(t *testing.T, cfg queue.Config) (*queue.Queue, *sql.DB) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "q.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	q, err := queue.OpenSQLite(t.Context(), db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q, db
}

func onPostgres(t *testing.T, cfg queue.Config) (*queue.Queue, *sql.DB) {
	t.Helper()
	admin := os.Getenv("ASSAY_TEST_POSTGRES")
	if admin == "" {
		if os.Getenv("REQUIRE_PG") != "" {
			t.Fatal("ASSAY_TEST_POSTGRES is not set, and REQUIRE_PG forbids to skip")
		}
		t.Skip("ASSAY_TEST_POSTGRES is not set: run under tools/with-postgres")
	}
	root, err := sql.Open("pgx", admin)
	if err != nil {
		t.Fatal(err)
	}
	name := "queue_" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
	if len(name) > 60 {
		name = name[:60]
	}
	if _, err := root.ExecContext(t.Context(), `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
		t.Fatal(err)
	}
	if _, err := root.ExecContext(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = root.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`)
		_ = root.Close()
	})
	dsn := strings.Replace(admin, "/postgres?", "/"+name+"?", 1)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	q, err := queue.OpenPostgres(t.Context(), db, dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q, db
}

func config(work func(context.Context, job.Scan) job.Decision) queue.Config {
	return queue.Config{Workers: 4, Drain: 5 * time.Second, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Work: work}
}

// enqueue runs one transaction that enqueues and commits, or rolls back.
func enqueue(t *testing.T, q *queue.Queue, db *sql.DB, j job.Scan, commit bool) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), tx, j); err != nil {
		t.Fatal(err)
	}
	if !commit {
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	q.Committed()
}

func run(t *testing.T, q *queue.Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return stop
}

func TestACommittedJobRunsAndARolledBackOneNever(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		got := make(chan job.Scan, 8)
		q, db := open(t, config(func(_ context.Context, j job.Scan) job.Decision {
			got <- j
			return job.Done
		}))
		defer run(t, q)()
		enqueue(t, q, db, job.Scan{Org: org, Scan: "gone", Fence: 1}, false)
		want := job.Scan{Org: org, Scan: "kept", Fence: 7}
		enqueue(t, q, db, want, true)
		if j := <-got; j != want {
			t.Errorf("ran %+v, want %+v", j, want)
		}
		last := job.Scan{Org: org, Scan: "last", Fence: 8}
		enqueue(t, q, db, last, true)
		if j := <-got; j != last {
			t.Errorf("ran %+v, want %+v", j, last)
		}
	})
}

func TestJobsOfAStoppedProcessRunInTheNext(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		got := make(chan job.Scan, 1)
		q, db := open(t, config(func(_ context.Context, j job.Scan) job.Decision {
			got <- j
			return job.Done
		}))
		enqueue(t, q, db, job.Scan{Org: org, Scan: "early", Fence: 1}, true) // nobody works yet
		defer run(t, q)()
		if j := <-got; j.Scan != "early" {
			t.Errorf("ran %+v", j)
		}
	})
}

func TestAJobThatAsksForItIsGivenBackAndRunsAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		var n atomic.Int32
		done := make(chan struct{})
		q, db := open(t, config(func(context.Context, job.Scan) job.Decision {
			if n.Add(1) == 1 {
				return job.Requeue
			}
			close(done)
			return job.Done
		}))
		defer run(t, q)()
		enqueue(t, q, db, job.Scan{Org: org, Scan: "again", Fence: 1}, true)
		<-done
	})
}

func TestStoppingWaitsForRunningJobsThenCancelsThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		started := make(chan struct{})
		cfg := config(func(ctx context.Context, _ job.Scan) job.Decision {
			close(started)
			<-ctx.Done()
			return job.Done
		})
		cfg.Drain = 50 * time.Millisecond
		q, db := open(t, cfg)
		stop := run(t, q)
		enqueue(t, q, db, job.Scan{Org: org, Scan: "long", Fence: 1}, true)
		<-started
		stop()
	})
}

func TestAJobIsCompletedByTheUnitOfItsLastEffect(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		type given struct {
			q  *queue.Queue
			db *sql.DB
		}
		hand := make(chan given, 1)
		state := make(chan string, 1)
		q, db := open(t, config(func(ctx context.Context, _ job.Scan) job.Decision {
			g := <-hand
			tx, err := g.db.BeginTx(context.WithoutCancel(ctx), nil)
			if err != nil {
				t.Error(err)
				return job.Done
			}
			if err := g.q.Complete(ctx, tx); err != nil {
				t.Error(err)
			}
			var s string
			if err := tx.QueryRowContext(context.WithoutCancel(ctx), `SELECT state FROM river_job`).Scan(&s); err != nil {
				t.Error(err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			state <- s
			return job.Done
		}))
		defer run(t, q)()
		hand <- given{q, db}
		enqueue(t, q, db, job.Scan{Org: org, Scan: "last", Fence: 1}, true)
		if s := <-state; s != "completed" {
			t.Errorf("the job is %s within its last unit", s)
		}
	})
}
