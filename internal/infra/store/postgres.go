package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"assay.dev/assay/internal/word/fault"
)

// postgresStore is PostgreSQL: every unit is a transaction, the server shares its flushes. Audit entries and outbox
// events get their places afterwards, from the one sequencer of the installation.
type postgresStore struct {
	s       *Store
	cfg     *pgx.ConnConfig
	db      *sql.DB
	fast    *sql.DB // for windows only: it doesn't wait for the disk
	records *recorder
	wake    chan struct{} // something waits for its place
	waiting atomic.Int64
}

func openPostgres(ctx context.Context, s *Store) (_ *postgresStore, err error) {
	cfg, err := parsePostgres(s.cfg.DSN)
	if err != nil {
		return nil, err
	}
	b := &postgresStore{s: s, cfg: cfg, wake: make(chan struct{}, 1)}
	conns := s.cfg.Conns
	if conns <= 0 {
		conns = 24
	}
	b.db = sql.OpenDB(newPostgresConnector(cfg, s.cfg.inject))
	b.db.SetMaxOpenConns(conns)
	b.db.SetMaxIdleConns(conns)
	quick := cfg.Copy()
	quick.RuntimeParams["synchronous_commit"] = "off"
	b.fast = sql.OpenDB(newPostgresConnector(quick, nil))
	b.fast.SetMaxOpenConns(4)
	b.fast.SetMaxIdleConns(4)
	defer func() {
		if err != nil {
			_ = b.closePools() // the error that matters is the first
		}
	}()
	if err = b.db.PingContext(ctx); err != nil {
		return nil, unavailable("the database can't be reached", err)
	}
	if err = b.migrate(ctx); err != nil {
		return nil, err
	}
	if err = b.checkLogs(ctx); err != nil {
		return nil, err
	}
	b.warnRole(ctx)
	b.records = newRecorder(b)
	go b.records.loop() //nolint:contextcheck,gosec // it outlives the opening; close ends it
	return b, nil
}

// migrate brings the schema up to date without the limits of time that bind units.
func (b *postgresStore) migrate(ctx context.Context) error {
	cfg := b.cfg.Copy()
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := sql.OpenDB(newPostgresConnector(cfg, nil))
	defer db.Close() //nolint:errcheck // it goes anyway
	return migrate(ctx, b.s, db)
}

// warnRole says so when the second belt isn't worn: superusers pass row-level security by.
func (b *postgresStore) warnRole(ctx context.Context) {
	var exempt bool
	err := b.read(ctx, everyone(), true, func(ctx context.Context, v *View) error {
		return v.row(ctx, "all.role", nil, &exempt)
	})
	if err == nil && exempt {
		b.s.log.LogAttrs(ctx, slog.LevelWarn, "the database role passes row-level security by; use one that is neither superuser nor BYPASSRLS")
	}
}

func (b *postgresStore) database() *sql.DB { return b.db }

// retries is how often a unit is run again when the server asks for it (serialization failure, deadlock).
const retries = 5

func (b *postgresStore) write(ctx context.Context, u *unit) error {
	most := int64(b.s.cfg.Waiting)
	if most <= 0 {
		most = defaultWait
	}
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) > most {
		return unavailable("too many changes are waiting; try again", nil)
	}
	if b.s.closing.Load() {
		return unavailable("the server is stopping; try again", nil)
	}
	if u.run == nil && u.once == nil {
		return b.records.submit(ctx, u)
	}
	for try := 1; ; try++ {
		err := b.unit(ctx, u)
		if err == nil || !retryable(err) {
			return err
		}
		if try == retries {
			return unavailable("the change met others too often; try again", err)
		}
		if !pause(ctx, time.Duration(try)*5*time.Millisecond) {
			return fault.Of(ctx.Err())
		}
	}
}

// unit runs a unit once. The caller may give up while it waits for a connection; from then on it gets the true answer.
func (b *postgresStore) unit(ctx context.Context, u *unit) error {
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return readFault(err)
	}
	defer conn.Close()                                                  //nolint:errcheck // back to the pool
	tx, err := conn.BeginTx(beginning(u.ctx, beginWrite, u.scope), nil) //nolint:contextcheck // u.ctx is ctx without its end: what has begun gets a true answer
	if err != nil {
		return writeFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	t := b.s.newTx(u, handle{sql: tx})
	t.tx = tx
	if err := b.fill(t, u); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return b.unsure(err)
	}
	if u.leaf != nil || len(t.wakes) > 0 {
		poke(b.wake)
	}
	if jobs := b.s.jobs.Load(); t.enqueued && jobs != nil && jobs.Committed != nil {
		jobs.Committed()
	}
	return nil
}

func (b *postgresStore) fill(t *Tx, u *unit) error {
	if err := t.runOnce(u.ctx); err != nil {
		return err
	}
	if err := u.protect(t); err != nil {
		return err
	}
	if t.dead != nil { // also when the unit swallowed the error
		return writeFault(t.dead)
	}
	l := u.leaf
	if l == nil {
		return nil
	}
	did, err := tallyText(t.tallies)
	if err != nil {
		return err
	}
	_, err = t.exec(u.ctx, "audit.insert_pending", string(l.id), l.at, l.bytes, l.hash[:], l.salt[:],
		orNull(l.address), orNull(l.agent), orNull(l.name), did)
	return err
}

// unsure words a failed COMMIT: the server said no, or nobody knows.
func (b *postgresStore) unsure(err error) error {
	switch {
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return internal("a change went on after a failed statement and was undone", err)
	case postgresCode(err) != "":
		return writeFault(err)
	}
	return fault.New(fault.Unavailable, fault.CodeUnavailable, "the connection to the database broke; the change may or may not have happened").Because(err)
}

// read runs f in a transaction that names the organization: outside of one, row-level security shows nothing.
func (b *postgresStore) read(ctx context.Context, sc scope, single bool, f func(context.Context, *View) error) error {
	begin := beginView
	if single {
		begin = beginRead
	}
	tx, err := b.db.BeginTx(beginning(ctx, begin, sc), nil)
	if err != nil {
		return readFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return f(ctx, &View{handle{s: b.s, scope: sc, sql: tx}})
}

func (b *postgresStore) run(ctx context.Context) error {
	return beside(ctx, b.sequencer, b.listen, b.s.sweep, b.s.fill)
}

// beside runs background work side by side until ctx ends or one of it fails.
func beside(ctx context.Context, work ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, f := range work {
		g.Go(func() error { return guarded(ctx, f) })
	}
	return g.Wait()
}

// guarded runs f and turns its panic into an error, which ends Run and with it the process in good order.
func guarded(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = internal("the store's background work failed", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return f(ctx)
}

// checkLogs repairs the audit logs' edges, unless a running sequencer has them in hand.
func (b *postgresStore) checkLogs(ctx context.Context) error {
	_, err := b.alone(ctx, func(ctx context.Context, tx *sql.Tx) error { return b.s.checkLogs(ctx, tx) })
	return err
}

func (b *postgresStore) close(ctx context.Context) error {
	b.records.close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for b.waiting.Load() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return b.closePools()
}

func (b *postgresStore) closePools() error {
	if err := errors.Join(b.db.Close(), b.fast.Close()); err != nil {
		return internal("the database didn't close", err)
	}
	return nil
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
