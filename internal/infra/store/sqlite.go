package store

import (
	"context"
	"database/sql"
	"net/url"
	"runtime"
	"sync/atomic"
)

// sqliteStore is SQLite: one connection that writes, shared with the queue and the migrations, and a pool that can
// only read.
type sqliteStore struct {
	s      *Store
	lock   *fileLock
	db     *sql.DB // MaxOpenConns 1: a second writing connection would starve, without any error
	reads  *sql.DB
	writer *writer
	broken atomic.Bool
}

func openSQLite(ctx context.Context, s *Store, lockPath string) (_ *sqliteStore, err error) {
	b := &sqliteStore{s: s}
	if b.lock, err = takeLock(lockPath); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = b.closePools() // the error that matters is the first
		}
	}()
	if b.db, err = openPool(sqliteWriteDSN(s.cfg.Path), s.cfg.inject, 1); err != nil {
		return nil, err
	}
	if err = migrate(ctx, s, b.db); err != nil { // also makes the file and its WAL, which readers need
		return nil, err
	}
	conns := s.cfg.Conns
	if conns <= 0 {
		conns = max(4, runtime.GOMAXPROCS(0))
	}
	if b.reads, err = openPool(sqliteReadDSN(s.cfg.Path), nil, conns); err != nil {
		return nil, err
	}
	if err = b.checkLogs(ctx); err != nil {
		return nil, err
	}
	b.writer = newWriter(s, b)
	go b.writer.loop() //nolint:contextcheck // it outlives the opening; close ends it
	return b, nil
}

// sqliteWriteDSN sets the pragmas of the writing connection. busy_timeout comes first, because the others may have to
// wait; FULL makes every COMMIT an fsync of the WAL. What a savepoint may have to undo stays in memory: a unit is small,
// and the file would be written for every one that touches more than 15 pages. A checkpoint each 5 MiB: rarer ones save
// some copying of pages that change again, but the few callers who wait for one then wait twice as long.
//
// secure_delete(FAST) overwrites what is removed from a page with zeros, so that erased personal data don't stay in the
// file; pages that become free as a whole are left until they are used again.
func sqliteWriteDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate&_pragma=busy_timeout(5000)" +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(FAST)&_pragma=cache_size(-16000)" +
		"&_pragma=trusted_schema(0)&_pragma=temp_store(MEMORY)&_pragma=wal_autocheckpoint(1200)"
}

func sqliteReadDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)" +
		"&_pragma=cache_size(-8000)&_pragma=trusted_schema(0)"
}

func openPool(dsn string, inject func(string) error, conns int) (*sql.DB, error) {
	c, err := newSQLiteConnector(dsn, inject)
	if err != nil {
		return nil, internal("the database can't be opened", err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (b *sqliteStore) database() *sql.DB { return b.db }

func (b *sqliteStore) write(ctx context.Context, u *unit) error { return b.writer.submit(ctx, u) }

// read runs f on the pool: one statement by itself, several in a transaction, so that they see one state.
func (b *sqliteStore) read(ctx context.Context, sc scope, single bool, f func(context.Context, *View) error) error {
	v := &View{handle{s: b.s, scope: sc}}
	if single {
		v.sql = b.reads
		return f(ctx, v)
	}
	tx, err := b.reads.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return readFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	v.sql = tx
	return f(ctx, v)
}

func (b *sqliteStore) run(ctx context.Context) error { return beside(ctx, b.s.sweep, b.s.fill) }

// checkLogs repairs the audit logs' edges before the first unit.
func (b *sqliteStore) checkLogs(ctx context.Context) error {
	tx, err := b.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return writeFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := b.s.checkLogs(context.WithoutCancel(ctx), tx); err != nil {
		return err
	}
	return writeFault(tx.Commit())
}

func (b *sqliteStore) close(ctx context.Context) error {
	b.writer.close(ctx)
	return b.closePools()
}

func (b *sqliteStore) closePools() error {
	var first error
	for _, db := range []*sql.DB{b.reads, b.db} {
		if db == nil {
			continue
		}
		if err := db.Close(); err != nil && first == nil {
			first = internal("the database didn't close", err)
		}
	}
	if b.lock != nil {
		if err := b.lock.release(); err != nil && first == nil {
			first = internal("the lock of the data folder wasn't given up", err)
		}
	}
	return first
}
