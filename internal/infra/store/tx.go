package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// scope says whose rows are seen: one organization's, or all (declared queries only).
type scope struct {
	org uid.Org
	all bool
}

func only(org uid.Org) scope { return scope{org: org} }

func everyone() scope { return scope{org: uid.System, all: true} }

// handle runs named queries in one scope. View and Tx are built on it.
type handle struct {
	s     *Store
	scope scope
	sql   interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	guard func() error // asked before each statement; nil in views
	after func(error)  // told of each statement's error; nil in views
}

// View reads. It lives as long as the function it was given to.
type View struct{ handle }

// Tx is one unit of work: it reads and writes in the scope of one organization. Noun files give it the methods of the
// domain's Tx interfaces. It must not be used after the unit has returned, nor by two goroutines at once.
type Tx struct {
	handle

	tx       *sql.Tx
	unit     *unit
	started  time.Time
	dead     error // a statement failed in a way that may have ended the transaction
	enqueued bool
	wakes    []Topic
	tallies  []tally // what it did to scans, for the kept counters
}

// Org is the organization of the unit.
func (h *handle) Org() uid.Org { return h.scope.org }

// query finds a statement and puts the organization first among its arguments.
func (h *handle) find(name string, args []any) (*query, []any, error) {
	q, err := h.s.queries.get(name)
	if err != nil {
		return nil, nil, err
	}
	if h.guard != nil {
		if err := h.guard(); err != nil {
			return nil, nil, err
		}
	}
	if q.shared {
		if !h.scope.all {
			return nil, nil, internal("a query over all organizations was used in the scope of one", fmt.Errorf("query %s", name))
		}
		return q, args, nil
	}
	return q, append([]any{string(h.scope.org)}, args...), nil
}

func (h *handle) failed(err error) error {
	if err != nil && h.after != nil {
		h.after(err)
	}
	return err
}

// row reads one row into dest. No row is sql.ErrNoRows as it is, for the caller to name what is missing. $1 of the
// query is the organization, args are $2 and on (all.* queries: $1 and on).
func (h *handle) row(ctx context.Context, name string, args []any, dest ...any) error {
	q, args, err := h.find(name, args)
	if err != nil {
		return err
	}
	return h.failed(readFault(h.sql.QueryRowContext(ctx, q.text, args...).Scan(dest...)))
}

// each calls f for every row; f scans and must not keep rows. It stops with f's error.
func (h *handle) each(ctx context.Context, name string, args []any, f func(rows *sql.Rows) error) error {
	q, args, err := h.find(name, args)
	if err != nil {
		return err
	}
	return h.eachText(ctx, q.text, args, f)
}

// eachText is each for a text that was built from a named query and more conditions, for lists with filters. The
// arguments are complete: the organization is among them.
func (h *handle) eachText(ctx context.Context, text string, args []any, f func(rows *sql.Rows) error) error {
	rows, err := h.sql.QueryContext(ctx, text, args...)
	if err != nil {
		return h.failed(readFault(err))
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return h.failed(readFault(rows.Err()))
}

// exec runs a named statement and returns how many rows it touched. A violated unique key is a Conflict fault
// (isDuplicate), which on PostgreSQL also ends the unit: return it, or use ON CONFLICT.
func (t *Tx) exec(ctx context.Context, name string, args ...any) (int64, error) {
	q, args, err := t.find(name, args)
	if err != nil {
		return 0, err
	}
	return t.execText(ctx, q.text, args)
}

func (t *Tx) execText(ctx context.Context, text string, args []any) (int64, error) {
	res, err := t.sql.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, t.failed(writeFault(err))
	}
	n, err := res.RowsAffected()
	return n, t.failed(writeFault(err))
}

// insertMany runs a statement marked with /*rows*/ for many rows in few trips. Each row holds the values after the
// organization, $2 and on. It returns how many rows were touched.
func (t *Tx) insertMany(ctx context.Context, name string, rows [][]any) (int64, error) { //nolint:unparam // the count is part of what a statement answers
	q, err := t.s.queries.get(name)
	if err != nil {
		return 0, err
	}
	if q.many == nil || q.shared {
		return 0, internal("a query has no repeatable row", fmt.Errorf("query %s", name))
	}
	flat := make([]any, 0, len(rows)*q.many.columns)
	for _, r := range rows {
		if len(r) != q.many.columns {
			return 0, internal("a row has a wrong number of values", fmt.Errorf("query %s", name))
		}
		flat = append(flat, r...)
	}
	return q.many.each(flat, func(text string, args []any) (int64, error) {
		if err := t.guard(); err != nil {
			return 0, err
		}
		return t.execText(ctx, text, append([]any{string(t.scope.org)}, args...))
	})
}

// within runs f in the scope of one organization inside a unit over all of them.
func (t *Tx) within(org uid.Org, f func() error) error {
	if !t.scope.all || !uid.Valid(string(org)) {
		return internal("a unit of one organization can't act in another", nil)
	}
	before := t.scope
	t.scope.org = org
	defer func() { t.scope = before }()
	return f()
}

// enqueue inserts a job that starts after the commit.
func (t *Tx) enqueue(ctx context.Context, j job.Scan) error {
	jobs := t.s.jobs.Load()
	if jobs == nil || jobs.Enqueue == nil {
		return internal("there is no queue", nil)
	}
	if err := t.guard(); err != nil {
		return err
	}
	if err := jobs.Enqueue(ctx, t.tx, j); err != nil {
		return t.failed(writeFault(err))
	}
	t.enqueued = true
	return nil
}

// completeJob finishes the job that ctx works on with this unit, so that it isn't run again after a crash. Outside of
// a job it does nothing.
func (t *Tx) completeJob(ctx context.Context) error {
	jobs := t.s.jobs.Load()
	if jobs == nil || jobs.Complete == nil {
		return nil
	}
	if err := t.guard(); err != nil {
		return err
	}
	return t.failed(writeFault(jobs.Complete(ctx, t.tx)))
}

// reader is the reading half of a domain's store: every method is one named query in the scope of one organization.
// Use view for several that must agree.
type reader struct{ s *Store }

// row reads one row; see handle.row.
func (r reader) row(ctx context.Context, org uid.Org, name string, args []any, dest ...any) error {
	return r.read(ctx, org, true, func(ctx context.Context, v *View) error { return v.row(ctx, name, args, dest...) })
}

// each reads many rows; see handle.each.
func (r reader) each(ctx context.Context, org uid.Org, name string, args []any, f func(rows *sql.Rows) error) error {
	return r.read(ctx, org, true, func(ctx context.Context, v *View) error { return v.each(ctx, name, args, f) })
}

// view runs several reads in one scope that see the same state.
func (r reader) view(ctx context.Context, org uid.Org, f func(context.Context, *View) error) error {
	return r.read(ctx, org, false, f)
}

func (r reader) read(ctx context.Context, org uid.Org, single bool, f func(context.Context, *View) error) error {
	if !uid.Valid(string(org)) {
		return internal("a read without an organization", nil)
	}
	return r.s.db.read(ctx, only(org), single, f)
}

// viewAll reads over all organizations, by all.* queries.
func (r reader) viewAll(ctx context.Context, f func(context.Context, *View) error) error {
	return r.s.db.read(ctx, everyone(), false, f)
}

// micros is how times are kept: microseconds since 1970 in UTC, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeOf is the inverse of micros.
func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
