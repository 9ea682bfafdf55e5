package store

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"assay.dev/assay/internal/word/uid"
)

// parsePostgres reads the DSN into the settings of every connection.
func parsePostgres(dsn string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The cause may hold the password, so it isn't kept.
		return nil, unavailable("the database setting can't be read as a PostgreSQL address", nil)
	}
	// A cancelled statement costs a request to the server instead of the connection.
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Second}
	}
	setDefault(cfg.RuntimeParams, "application_name", "assay")
	setDefault(cfg.RuntimeParams, "jit", "off") // compiling takes longer than any of our statements runs
	setDefault(cfg.RuntimeParams, "statement_timeout", "60000")
	setDefault(cfg.RuntimeParams, "idle_in_transaction_session_timeout", "60000")
	return cfg, nil
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}

// beginKey carries the text that begins a transaction, so that BEGIN and the organization travel in one trip.
type beginKey struct{}

// beginning returns a context under which BeginTx starts with the scope set.
func beginning(ctx context.Context, begin string, sc scope) context.Context {
	org := string(sc.org)
	switch {
	case sc.all:
		org = "*"
	case !uid.Valid(org):
		org = "" // sees nothing; a validated id holds no quote
	}
	return context.WithValue(ctx, beginKey{}, begin+"; set local app.org = '"+org+"'")
}

const (
	beginWrite = "begin"
	beginRead  = "begin read only"
	beginView  = "begin isolation level repeatable read read only"
)

// pgConnector wraps pgx's driver for the sake of BeginTx (and of tests that make statements fail).
type pgConnector struct {
	driver.Connector

	inject func(string) error
}

func newPostgresConnector(cfg *pgx.ConnConfig, inject func(string) error) driver.Connector {
	return &pgConnector{Connector: stdlib.GetConnector(*cfg), inject: inject}
}

func (c *pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := inner.(*stdlib.Conn)
	if !ok {
		return nil, internal("the PostgreSQL driver lacks a part", inner.Close())
	}
	return &pgConn{Conn: conn, inject: c.inject}, nil
}

type pgConn struct {
	*stdlib.Conn

	inject func(string) error
}

func (c *pgConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	text, ok := ctx.Value(beginKey{}).(string)
	if !ok {
		return c.Conn.BeginTx(ctx, opts)
	}
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	if err := c.fail("BEGIN"); err != nil {
		return nil, err
	}
	tx, err := c.Conn.Conn().BeginTx(ctx, pgx.TxOptions{BeginQuery: text})
	if err != nil {
		if pgconn.SafeToRetry(err) {
			return nil, driver.ErrBadConn
		}
		return nil, err
	}
	return &pgTx{conn: c, tx: tx}, nil
}

func (c *pgConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.fail(text); err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, text, args)
}

func (c *pgConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.fail(text); err != nil {
		return nil, err
	}
	return c.Conn.QueryContext(ctx, text, args)
}

func (c *pgConn) fail(text string) error {
	if c.inject == nil {
		return nil
	}
	return c.inject(text)
}

// endTimeout bounds COMMIT and ROLLBACK, which database/sql runs without a context.
const endTimeout = 30 * time.Second

type pgTx struct {
	conn *pgConn
	tx   pgx.Tx
}

func (t *pgTx) Commit() error {
	if err := t.conn.fail("COMMIT"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return t.tx.Commit(ctx)
}

func (t *pgTx) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return t.tx.Rollback(ctx)
}
