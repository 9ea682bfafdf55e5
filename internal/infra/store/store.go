// Package store is all the SQL of Assay, for SQLite and PostgreSQL alike: one schema, one set of named queries, one
// unit of work that commits data, audit entry, outbox rows, idempotency record and jobs together or not at all.
//
// On SQLite one writer commits many units at once (writer.go); on PostgreSQL every unit is a transaction and one
// sequencer in the installation gives audit entries their place in the log (sequencer.go). Both keep the promise of
// Change: when it returns nil everything is durable, otherwise nothing happened.
//
// The package must never call out: no network but its database, no process, no clock of its own. It decides nothing
// about the product; it keeps what the domain packages ask for, scoped to one organization in every query. Only the
// types that end in Admin or Line see more than one.
//
// Start with Store, then change.go for the unit of work, tx.go for what a unit may do, and one file per noun.
package store

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// Config says which database and with what. Exactly one of Path and DSN is set; Now, Rand, IDs and Logger are
// required.
type Config struct {
	Path string // SQLite file; it and the file `lock` beside it are made when missing
	DSN  string // PostgreSQL, as a URL or key=value pairs; the role should be neither superuser nor BYPASSRLS

	Now    func() time.Time
	Rand   io.Reader // cryptographically strong; salts of audit entries
	IDs    *uid.Source
	Logger *slog.Logger

	// Stop is called at most once, from a goroutine of its own, when a flush to disk has failed: what was written is
	// unknown from then on, every change is refused, and the process must end. nil = only refuse.
	Stop func(error)

	// EventsKept is how long outbox events are kept for streams that resume; 0 = 7 days.
	EventsKept time.Duration

	// Budget is how long a unit may take before its next statement is refused: a runaway must not hold everybody up.
	// 0 = 5 seconds: 500 findings take 20 ms where nobody hurries, and over a second on a machine that is overrun.
	Budget time.Duration

	// Waiting bounds the units that wait for the SQLite writer; more are refused as Unavailable. 0 = 4,096.
	Waiting int
	// Conns bounds connections: readers of SQLite (0 = 4), all of PostgreSQL (0 = 24).
	Conns int

	inject func(statement string) error // tests make statements fail with it
}

// Jobs is what the queue does inside a unit. All run on the unit's transaction and must use nothing else.
type Jobs struct {
	// Enqueue inserts a job that runs once the unit is committed.
	Enqueue func(ctx context.Context, tx *sql.Tx, j job.Scan) error
	// Complete finishes the job that ctx is the working context of, if it is one, with the unit. May be nil.
	Complete func(ctx context.Context, tx *sql.Tx) error
	// Committed is told after COMMIT that jobs were enqueued. It must not block. May be nil.
	Committed func()
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	dialect dialect
	queries *queries
	db      backend
	hub     *Hub
	totals  totals
	jobs    atomic.Pointer[Jobs]
	closing atomic.Bool
}

// backend is one of the two databases.
type backend interface {
	// write runs a unit to its durable end, or to none.
	write(ctx context.Context, u *unit) error
	// read gives f a consistent view for as long as f runs; single promises one statement only.
	read(ctx context.Context, sc scope, single bool, f func(context.Context, *View) error) error
	// run does background work until ctx ends.
	run(ctx context.Context) error
	// database is the pool that writes.
	database() *sql.DB
	// close drains, refuses and closes.
	close(ctx context.Context) error
}

// Open opens the database, brings its schema up to date, and checks that the audit log's state fits its leaves. The
// caller must Close it. Failures: Unavailable when another process holds the data folder or the database can't be
// reached, Internal when the schema isn't ours (newer, or an applied migration was changed).
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if (cfg.Path == "") == (cfg.DSN == "") || cfg.Now == nil || cfg.Rand == nil || cfg.IDs == nil || cfg.Logger == nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the store needs one database, a clock, randomness, ids and a logger")
	}
	if cfg.Budget == 0 {
		cfg.Budget = 5 * time.Second
	}
	s := &Store{cfg: cfg, log: cfg.Logger, now: cfg.Now, hub: newHub(), dialect: sqliteDialect}
	if cfg.DSN != "" {
		s.dialect = postgresDialect
	}
	var err error
	if s.queries, err = loadQueries(s.dialect); err != nil {
		return nil, internal("the store's queries can't be read", err)
	}
	if s.dialect == postgresDialect {
		s.db, err = openPostgres(ctx, s)
	} else {
		s.db, err = openSQLite(ctx, s, filepath.Join(filepath.Dir(cfg.Path), "lock"))
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// SetJobs hands in the queue, which is built on the open store. Call it once, before Run and before any change that
// enqueues.
func (s *Store) SetJobs(j Jobs) { s.jobs.Store(&j) }

// Database is the pool that the queue must share with the writer: on SQLite the only write connection. Only app may
// ask for it, and only to hand it to the queue.
func (s *Store) Database() *sql.DB { return s.db.database() }

// Run does what has to happen in the background: giving audit entries their places on PostgreSQL, waking subscribers,
// sweeping what has expired. It returns nil when ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.db.run(ctx) }

// Close lets the waiting units finish (until ctx ends), refuses new ones, and closes the database. Stop whatever uses
// Database before. A second Close does nothing.
func (s *Store) Close(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	return s.db.close(ctx)
}

// Ping reports whether the database answers, as an Unavailable fault when it doesn't.
func (s *Store) Ping(ctx context.Context) error {
	return s.db.read(ctx, everyone(), true, func(ctx context.Context, v *View) error {
		var one int
		return v.row(ctx, "all.ping", nil, &one)
	})
}
