package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// Inject makes statements, BEGIN and COMMIT among them, fail with what f returns for their text.
func Inject(cfg *Config, f func(statement string) error) { cfg.inject = f }

// Unit runs a change on the bare Tx.
func (s *Store) Unit(ctx context.Context, org uid.Org, ev audit.Event, f func(context.Context, *Tx) error) error {
	return s.change(ctx, org, ev, f)
}

// UnitOfAll runs a change over all organizations.
func (s *Store) UnitOfAll(ctx context.Context, ev audit.Event, f func(context.Context, *Tx) error) error {
	return s.changeAll(ctx, ev, f)
}

// Note writes an outbox row: the smallest write there is.
func (t *Tx) Note(ctx context.Context, subject string, data any) error {
	return t.Emit(ctx, event.ScanProgress, subject, data)
}

// Run runs any statement of the unit's transaction.
func (t *Tx) Run(ctx context.Context, text string, args ...any) error {
	if err := t.guard(); err != nil {
		return err
	}
	_, err := t.execText(ctx, text, args)
	return err
}

// Named runs a named query for its error.
func (t *Tx) Named(ctx context.Context, name string, args ...any) error {
	_, err := t.exec(ctx, name, args...)
	return err
}

// Within is within.
func (t *Tx) Within(org uid.Org, f func() error) error { return t.within(org, f) }

// Counts are the rows that must agree: entries, outbox rows, and the size and root of the log's state, recomputed from
// its leaves and as stored.
type Counts struct {
	Entries, Outbox, Once  int64
	Size                   uint64
	StoredRoot, LeavesRoot audit.Hash
	Nodes                  int64
}

// Count counts an organization's rows.
func (s *Store) Count(ctx context.Context, org uid.Org) (c Counts, err error) {
	err = s.db.read(ctx, only(org), false, func(ctx context.Context, v *View) error {
		one := func(text string, dest any) error {
			return v.sql.QueryRowContext(ctx, rebind(s.dialect, text), string(org)).Scan(dest)
		}
		var r audit.Range
		if err := errors.Join(
			one("SELECT count(*) FROM audit_entry WHERE org = $1", &c.Entries),
			one("SELECT count(*) FROM outbox WHERE org = $1", &c.Outbox),
			one("SELECT count(*) FROM idempotency WHERE org = $1", &c.Once),
			one("SELECT count(*) FROM log_node WHERE org = $1", &c.Nodes),
			s.loadEdge(ctx, v.sql, org, &r),
		); err != nil {
			return err
		}
		c.Size, c.StoredRoot = r.Size(), r.Root()
		var fresh audit.Range
		err := v.eachText(ctx, rebind(s.dialect, "SELECT leaf FROM audit_entry WHERE org = $1 AND idx IS NOT NULL ORDER BY idx"), []any{string(org)}, func(rows *sql.Rows) error {
			var leaf []byte
			if err := rows.Scan(&leaf); err != nil {
				return err
			}
			fresh.Append(nil, audit.LeafHash(leaf))
			return nil
		})
		c.LeavesRoot = fresh.Root()
		return err
	})
	return c, err
}

// Alter runs a statement past every rule, as a tamperer would.
func (s *Store) Alter(ctx context.Context, text string, args ...any) error {
	tx, err := s.db.database().BeginTx(beginning(ctx, beginWrite, everyone()), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, rebind(s.dialect, text), args...); err != nil {
		return err
	}
	return tx.Commit()
}

// Query describes a named query for the sweeps over all of them.
type Query struct {
	Name, Text, Reason string
	Shared             bool
}

// Queries lists the dialect's queries.
func (s *Store) Queries() []Query {
	var list []Query
	for _, n := range s.queries.names() {
		q := s.queries.byName[n]
		list = append(list, Query{Name: n, Text: q.text, Reason: q.reason, Shared: q.shared})
	}
	return list
}

// QueryNames lists the names of a dialect, which need no database.
func QueryNames(d string) ([]string, error) {
	q, err := loadQueries(dialect(d))
	if err != nil {
		return nil, err
	}
	return q.names(), nil
}

// Fill counts what was logged before there were counters, to its end.
func (s *Store) Fill(ctx context.Context) error { return s.fill(ctx) }

// Seed writes n entries of an organization's empty log past the writer, with what they count, but without the tree above
// them: for benchmarks of long logs.
func (s *Store) Seed(ctx context.Context, org uid.Org, n int, entry func(i int) audit.Entry, scans []ScanTally) error {
	const rows = 64 * 1000
	g := &growing{}
	for from := 0; from < n; from += rows {
		tx, err := s.db.database().BeginTx(beginning(ctx, beginWrite, everyone()), nil)
		if err != nil {
			return err
		}
		var m meter
		m.scan(scans)
		scans = nil
		for at := from; at < min(from+rows, n); at += 64 {
			flat := make([]any, 0, 10*64)
			for i := at; i < min(at+64, n); i++ {
				l, err := s.seal(entry(i))
				if err != nil {
					return errors.Join(err, tx.Rollback())
				}
				g.count(l, &m)
				flat = append(flat, string(org), string(l.id), int64(i), l.at, l.bytes, l.hash[:], l.salt[:], l.address, l.agent, l.name)
				g.Append(nil, l.hash)
			}
			if err := s.execMany(ctx, tx, "all.audit_insert", flat); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		row, err := g.row(org)
		if err := errors.Join(err, s.execMany(ctx, tx, "all.log_state_grow", row), m.write(ctx, s, tx)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// ScanTally is tally.
type ScanTally = tally

// Forget makes the writer read again what it remembers of the logs' edges, as a restart would. Nothing may be written
// meanwhile.
func (s *Store) Forget() {
	if b, ok := s.db.(*sqliteStore); ok {
		b.writer.log.forget()
	}
}

// Dialect is the database's name.
func (s *Store) Dialect() string { return string(s.dialect) }

// Waiting is the number of units that wait for the SQLite writer.
func (s *Store) Waiting() int {
	b, ok := s.db.(*sqliteStore)
	if !ok {
		return int(s.db.(*postgresStore).waiting.Load()) //nolint:forcetypeassert // there are two
	}
	return len(b.writer.queue) + len(b.writer.bulk)
}

// AtTimes makes the counter take the callers' time instead of the server's.
func (c *WindowCounter) AtTimes() *WindowCounter {
	c.clock = func(now time.Time) int64 { return now.Unix() }
	return c
}

// Enqueue enqueues some job.
func (t *Tx) Enqueue(ctx context.Context) error { return t.enqueue(ctx, job.Scan{Org: t.scope.org}) }

// ReadText runs any statement where readers run theirs.
func (s *Store) ReadText(ctx context.Context, org uid.Org, text string) error {
	return s.db.read(ctx, only(org), true, func(ctx context.Context, v *View) error {
		return v.eachText(ctx, text, nil, func(*sql.Rows) error { return nil })
	})
}

// Plan returns PostgreSQL's generic plan of a statement in the scope of one organization, with sequential scans priced
// out.
func (s *Store) Plan(ctx context.Context, text string) (string, error) {
	params := 0
	for i := 1; strings.Contains(text, "$"+strconv.Itoa(i)); i++ {
		params = i
	}
	execute := "EXPLAIN EXECUTE planned"
	if params > 0 {
		execute += "(" + strings.TrimSuffix(strings.Repeat("NULL,", params), ",") + ")"
	}
	tx, err := s.db.database().BeginTx(beginning(ctx, beginWrite, only(uid.System)), nil)
	if err != nil {
		return "", err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was run
	for _, set := range []string{"SET LOCAL enable_seqscan = off", "SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE planned AS " + text} {
		if _, err := tx.ExecContext(ctx, set); err != nil {
			return "", err
		}
	}
	defer tx.ExecContext(ctx, "DEALLOCATE planned") //nolint:errcheck // a prepared statement outlives its transaction
	rows, err := tx.QueryContext(ctx, execute)
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		plan.WriteString(line + "\n")
	}
	return plan.String(), rows.Err()
}

// CountWhere counts an organization's rows of a table under a condition.
func (s *Store) CountWhere(ctx context.Context, org uid.Org, table, condition string) (n int, err error) {
	err = s.db.read(ctx, only(org), true, func(ctx context.Context, v *View) error {
		return v.sql.QueryRowContext(ctx, rebind(s.dialect, "SELECT count(*) FROM "+table+" WHERE org = $1 AND "+condition), string(org)).Scan(&n)
	})
	return n, err
}
