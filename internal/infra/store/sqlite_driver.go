package store

import (
	"context"
	"database/sql/driver"
	"strings"

	"modernc.org/sqlite"
)

// sqliteConnector opens connections that keep their prepared statements: the driver would parse every text anew, which
// is half the time of a small statement.
type sqliteConnector struct {
	inner  driver.Connector
	inject func(string) error
}

func newSQLiteConnector(dsn string, inject func(string) error) (driver.Connector, error) {
	inner, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteConnector{inner: inner, inject: inject}, nil
}

func (c *sqliteConnector) Driver() driver.Driver { return c.inner.Driver() }

func (c *sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(sqliteInner)
	if !ok {
		return nil, internal("the SQLite driver lacks a part", inner.Close())
	}
	return &sqliteConn{inner: full, inject: c.inject, idle: map[string]*sqliteStmt{}}, nil
}

// sqliteInner is what the driver's connection offers beyond driver.Conn.
type sqliteInner interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// maxIdleStmts bounds the statements that a connection keeps; beyond it the oldest idle ones go.
const maxIdleStmts = 256

// sqliteConn leaves out ExecContext and QueryContext on purpose: database/sql then prepares, runs and closes, and the
// closing puts the statement back. database/sql never uses a connection from two goroutines at once.
type sqliteConn struct {
	inner  sqliteInner
	inject func(string) error
	idle   map[string]*sqliteStmt
	order  []string // of putting back, oldest first; may name statements that are in use again
}

func (c *sqliteConn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

func (c *sqliteConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if s := c.idle[text]; s != nil {
		delete(c.idle, text)
		return s, nil
	}
	inner, err := c.inner.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(sqliteInnerStmt)
	if !ok {
		return nil, internal("the SQLite driver lacks a part", inner.Close())
	}
	return &sqliteStmt{sqliteInnerStmt: full, conn: c, text: text}, nil
}

func (c *sqliteConn) Close() error {
	for text, s := range c.idle {
		delete(c.idle, text)
		_ = s.sqliteInnerStmt.Close() // the connection goes anyway
	}
	return c.inner.Close()
}

func (c *sqliteConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *sqliteConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.inject != nil {
		if err := c.inject("BEGIN"); err != nil {
			return nil, err
		}
	}
	tx, err := c.inner.BeginTx(ctx, opts)
	if err != nil || c.inject == nil {
		return tx, err
	}
	return &injectedTx{Tx: tx, inject: c.inject}, nil
}

func (c *sqliteConn) Ping(ctx context.Context) error         { return c.inner.Ping(ctx) }
func (c *sqliteConn) ResetSession(ctx context.Context) error { return c.inner.ResetSession(ctx) }
func (c *sqliteConn) IsValid() bool                          { return c.inner.IsValid() }

// sqliteInnerStmt is what the driver's statement offers beyond driver.Stmt.
type sqliteInnerStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type sqliteStmt struct {
	sqliteInnerStmt

	conn *sqliteConn
	text string
}

// Close puts the statement back. Texts of several statements aren't kept by the driver in prepared form, so keeping
// them would gain nothing.
func (s *sqliteStmt) Close() error {
	c := s.conn
	if c.idle[s.text] != nil || strings.Contains(s.text, ";") {
		return s.sqliteInnerStmt.Close()
	}
	c.idle[s.text] = s
	c.order = append(c.order, s.text)
	for len(c.order) > 2*maxIdleStmts || len(c.idle) > maxIdleStmts {
		oldest := c.order[0]
		c.order = c.order[1:]
		if old := c.idle[oldest]; old != nil && len(c.idle) > maxIdleStmts {
			delete(c.idle, oldest)
			if err := old.sqliteInnerStmt.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// NumInput says that the driver checks the number of arguments itself.
func (s *sqliteStmt) NumInput() int { return -1 }

func (s *sqliteStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.conn.inject != nil {
		if err := s.conn.inject(s.text); err != nil {
			return nil, err
		}
	}
	return s.sqliteInnerStmt.ExecContext(ctx, args)
}

func (s *sqliteStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.conn.inject != nil {
		if err := s.conn.inject(s.text); err != nil {
			return nil, err
		}
	}
	return s.sqliteInnerStmt.QueryContext(ctx, args)
}

// injectedTx lets tests fail a COMMIT before it happens.
type injectedTx struct {
	driver.Tx

	inject func(string) error
}

func (t *injectedTx) Commit() error {
	if err := t.inject("COMMIT"); err != nil {
		_ = t.Rollback() // as the driver does when its COMMIT fails
		return err
	}
	return t.Tx.Commit()
}
