package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"assay.dev/assay/internal/word/fault"
)

// retryAfter is what callers are told when the database can't take their change now.
const retryAfter = time.Second

func internal(text string, cause error) *fault.Error {
	return fault.New(fault.Internal, fault.CodeInternal, text).Because(cause)
}

func unavailable(text string, cause error) *fault.Error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, text).After(retryAfter).Because(cause)
}

// readFault turns a driver's error into a fault. sql.ErrNoRows stays as it is.
func readFault(err error) error {
	var f *fault.Error
	switch {
	case err == nil || errors.Is(err, sql.ErrNoRows) || errors.As(err, &f):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fault.Of(err)
	case passing(err):
		return unavailable("the database can't answer now; try again", err)
	}
	return internal("the database refused a statement", err)
}

// writeFault is readFault that knows violated keys.
func writeFault(err error) error {
	if violatesUnique(err) {
		return fault.New(fault.Conflict, fault.CodeConflict, "one of the same identity already exists").Because(err)
	}
	return readFault(err)
}

// isDuplicate reports whether err is a violated unique or primary key.
func isDuplicate(err error) bool { return fault.KindOf(err) == fault.Conflict && violatesUnique(err) }

func violatesUnique(err error) bool {
	switch code := sqliteCode(err); code {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return true
	}
	return postgresCode(err) == "23505"
}

// sqliteCode returns the extended result code, 0 where err isn't SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[sqliteError](err); ok {
		return e.Code()
	}
	return 0
}

// sqliteError is what the driver's errors offer.
type sqliteError interface {
	error
	Code() int
}

var _ sqliteError = (*sqlite.Error)(nil)

// postgresCode returns the SQLSTATE, empty where err isn't the server's.
func postgresCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// deadly reports whether SQLite may have ended the whole transaction with err: the unit must not go on, because its
// next statement would be committed by itself.
func deadly(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY,
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_MISUSE:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// passing reports whether the same statement may work later.
func passing(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_INTERRUPT:
		return true
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	code := postgresCode(err)
	if len(code) < 2 {
		return pgconn.SafeToRetry(err)
	}
	switch code[:2] {
	case "08", "53", "57": // connection, resources, operator's intervention
		return true
	}
	return retryable(err)
}

// retryable reports whether PostgreSQL asks for the transaction to be run again.
func retryable(err error) bool {
	code := postgresCode(err)
	return code == "40001" || code == "40P01"
}

// flushFailed reports whether err came from the disk: after it nobody knows what is durable.
func flushFailed(err error) bool { return sqliteCode(err)&0xff == sqlite3.SQLITE_IOERR }
