package store

import (
	"context"
	"database/sql"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
)

var _ usage.Keeper = WindowKeeper{}

// WindowKeeper keeps the counters of a process over a restart.
type WindowKeeper struct{ s *Store }

// Windows returns the keeper of the memory counter's rows.
func (s *Store) Windows() WindowKeeper { return WindowKeeper{s} }

// SaveWindows replaces the rows by key, in one unit that leaves no audit entry, and drops rows whose day began before
// keep.
func (k WindowKeeper) SaveWindows(ctx context.Context, rows []usage.Row, keep time.Time) error {
	return k.s.changeAll(ctx, audit.Bookkeeping("rate windows"), func(ctx context.Context, tx *Tx) error {
		flat := make([]any, 0, 7*len(rows))
		for _, r := range rows {
			flat = append(flat, r.Key, r.MinuteStart, r.MinuteCount, r.HourStart, r.HourCount, r.DayStart, r.DayCount)
		}
		q, err := tx.s.queries.get("all.window_put")
		if err != nil {
			return err
		}
		if _, err := q.many.each(flat, func(text string, args []any) (int64, error) {
			if err := tx.guard(); err != nil {
				return 0, err
			}
			return tx.execText(ctx, text, args)
		}); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "all.window_prune", keep.Unix())
		return err
	})
}

// LoadWindows returns the rows whose day began at since or later.
func (k WindowKeeper) LoadWindows(ctx context.Context, since time.Time) (usage.Snapshot, error) {
	var snap usage.Snapshot
	err := reader(k).viewAll(ctx, func(ctx context.Context, v *View) error {
		return v.each(ctx, "all.windows", []any{since.Unix()}, func(rows *sql.Rows) error {
			var r usage.Row
			if err := rows.Scan(&r.Key, &r.MinuteStart, &r.MinuteCount, &r.HourStart, &r.HourCount, &r.DayStart, &r.DayCount); err != nil {
				return readFault(err)
			}
			snap.Rows = append(snap.Rows, r)
			return nil
		})
	})
	return snap, err
}
