// Package queue is ordered background work: jobs that a unit of the store enqueues in its own transaction and that a
// worker of this or another process runs after commit. It is River behind a narrow door; River is known nowhere else.
//
// A job row holds ids only and may run twice: what it starts is guarded by the scan row's lease and fence. The unit of a
// job's last effect also completes it (Complete), so that after a crash it isn't run again for nothing. The package
// must never open a database connection beside the writer's on SQLite, since a second one starves. Start with Queue;
// wake.go says how a commit reaches a sleeping worker.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"assay.dev/assay/internal/word/job"
)

// name is the one queue. Few queues keep polling cheap; order within it is the dispatcher's, not the queue's.
const name = "scans"

// longest is more than the longest scan: a job that runs longer belongs to a dead process.
const longest = 25 * time.Hour

// Config says how many jobs run at once and what runs them. Work is called with a context that ends when the queue
// stops for good; it must return soon after.
type Config struct {
	Workers  int
	Drain    time.Duration // how long Run waits for running jobs when it is asked to stop
	Logger   *slog.Logger
	Now      func() time.Time
	Work     func(ctx context.Context, j job.Scan) job.Decision
	SkipWork bool // insert only: this process has no worker role
}

// Queue inserts and works jobs. Enqueue and Committed are safe for concurrent use at once, Run is called once.
type Queue struct {
	cfg    Config
	insert func(ctx context.Context, tx *sql.Tx, j job.Scan) error
	units  riverdriver.Driver[*sql.Tx] // reaches River's tables from within a unit
	client client
	wake   func()
	close  func()
}

// client is the part of River's client that doesn't depend on the kind of transaction.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// OpenSQLite brings River's tables up to date and returns a queue on the store's one write connection.
func OpenSQLite(ctx context.Context, write *sql.DB, cfg Config) (*Queue, error) {
	bus := newBus()
	driver := sqliteDriver{Driver: riversqlite.New(write), bus: bus}
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(cfg.Logger)})
	if err != nil {
		return nil, fmt.Errorf("preparing the queue's tables: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("bringing the queue's tables up to date: %w", err)
	}
	c, err := river.NewClient(driver, settings(cfg))
	if err != nil {
		return nil, fmt.Errorf("setting up the queue: %w", err)
	}
	return &Queue{cfg: cfg, insert: inserter(c), units: driver, client: c, wake: func() { bus.publish(topicInsert, `{"queue":"`+name+`"}`) }, close: func() {}}, nil
}

// OpenPostgres brings River's tables up to date and returns a queue that inserts through db's transactions and works
// on a pool of its own, so that LISTEN wakes it. The caller must let Run end before it closes db.
func OpenPostgres(ctx context.Context, db *sql.DB, dsn string, cfg Config) (*Queue, error) {
	units := riverdatabasesql.New(db)
	inserting, err := river.NewClient(units, &river.Config{Logger: quiet(cfg.Logger)})
	if err != nil {
		return nil, fmt.Errorf("setting up the queue: %w", err)
	}
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database setting can't be read as a PostgreSQL address")
	}
	// One connection listens for good; fetching, completing and the leader's chores need few more.
	pc.MaxConns = 6
	pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("connecting the queue: %w", err)
	}
	driver := riverpgxv5.New(pool)
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(cfg.Logger)})
	if err == nil {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("bringing the queue's tables up to date: %w", err)
	}
	c, err := river.NewClient(driver, settings(cfg))
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("setting up the queue: %w", err)
	}
	return &Queue{cfg: cfg, insert: inserter(inserting), units: units, client: c, wake: func() {}, close: pool.Close}, nil
}

func inserter(c *river.Client[*sql.Tx]) func(ctx context.Context, tx *sql.Tx, j job.Scan) error {
	return func(ctx context.Context, tx *sql.Tx, j job.Scan) error {
		if _, err := c.InsertTx(ctx, tx, scanArgs(j), nil); err != nil {
			return fmt.Errorf("enqueueing a scan: %w", err)
		}
		return nil
	}
}

// settings are those of the trials: a short cooldown for start latency, a slow poll because commits wake us.
func settings(cfg Config) *river.Config {
	c := &river.Config{
		Logger:               quiet(cfg.Logger),
		FetchCooldown:        5 * time.Millisecond,
		FetchPollInterval:    time.Second,
		JobTimeout:           -1, // the scan's own deadline binds
		RescueStuckJobsAfter: longest,
		MaxAttempts:          5,
	}
	if cfg.SkipWork {
		return c
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{work: cfg.Work})
	c.Workers = workers
	c.Queues = map[string]river.QueueConfig{name: {MaxWorkers: cfg.Workers}}
	return c
}

// quiet keeps River's notes on its own upkeep out of an operator's log.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(levelled{log.Handler(), slog.LevelWarn})
}

// Enqueue inserts a job in the unit's transaction; it runs after commit, or never when the unit rolls back.
func (q *Queue) Enqueue(ctx context.Context, tx *sql.Tx, j job.Scan) error {
	return q.insert(ctx, tx, j)
}

// Committed wakes a sleeping worker after a commit that enqueued. It never blocks.
func (q *Queue) Committed() { q.wake() }

// Complete finishes the job that ctx is the working context of, with the unit of its last effect. Outside of a job it
// does nothing.
func (q *Queue) Complete(ctx context.Context, tx *sql.Tx) error {
	id, ok := ctx.Value(workingOn{}).(int64)
	if !ok {
		return nil
	}
	done := riverdriver.JobSetStateCompleted(id, q.cfg.Now().UTC(), nil)
	_, err := q.units.UnwrapExecutor(tx).JobSetStateIfRunningMany(ctx, &riverdriver.JobSetStateIfRunningManyParams{
		ID: []int64{done.ID}, Attempt: []*int{done.Attempt}, ErrData: [][]byte{done.ErrData}, FinalizedAt: []*time.Time{done.FinalizedAt},
		MetadataDoMerge: []bool{false}, MetadataUpdates: [][]byte{nil}, ScheduledAt: []*time.Time{done.ScheduledAt},
		State: []rivertype.JobState{done.State},
	})
	if err != nil {
		return fmt.Errorf("completing a job: %w", err)
	}
	return nil
}

// Run works jobs until ctx ends, then waits Drain for those running, then cancels them and waits for their end.
func (q *Queue) Run(ctx context.Context) error {
	defer q.close()
	if q.cfg.SkipWork {
		<-ctx.Done()
		return nil
	}
	// River takes the end of Start's context as an order to cancel at once; stopping softly is ours to do.
	lasting := context.WithoutCancel(ctx)
	if err := q.client.Start(lasting); err != nil {
		return fmt.Errorf("starting the queue: %w", err)
	}
	<-ctx.Done()
	drain, cancel := context.WithTimeout(lasting, q.cfg.Drain)
	defer cancel()
	if err := q.client.Stop(drain); err == nil {
		return nil
	}
	hard, cancel := context.WithTimeout(lasting, q.cfg.Drain)
	defer cancel()
	if err := q.client.StopAndCancel(hard); err != nil {
		return fmt.Errorf("stopping the queue: %w", err)
	}
	return nil
}
