package store

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/uid"
)

// fillChunk is how many entries one unit counts.
const fillChunk = 500

// fill counts, once in the life of a database, the calls of entries that were written before there were counters. It
// runs beside the server: newer entries count from the start, older ones come in by and by.
func (s *Store) fill(ctx context.Context) error {
	for ctx.Err() == nil {
		more, err := s.fillOnce(ctx)
		if err == nil && !more {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "older calls aren't counted yet", slog.Any("error", err))
			pause(ctx, 10*time.Second)
		}
	}
	return nil
}

// fillOnce counts one chunk of one log, and reports false when nothing is left.
func (s *Store) fillOnce(ctx context.Context) (bool, error) {
	var org uid.Org
	err := reader{s}.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return optional(v.row(ctx, "all.usage_unfilled", nil, &org))
	})
	if err != nil || org == "" {
		return false, err
	}
	var next, end int64
	if err := (reader{s}).row(ctx, org, "usage.fill", nil, &next, &end); err != nil {
		return false, err
	}
	first, _, err := s.LogFirst(ctx, org)
	if err != nil {
		return false, err
	}
	from := max(next, int64(first)) //nolint:gosec // a log has less than 2^63 entries
	to := min(from+fillChunk, end)
	var list []Logged
	if from < to {
		if list, err = s.LogEntries(ctx, org, uint64(from), uint64(to), fillChunk); err != nil { //nolint:gosec // as above
			return false, err
		}
	}
	var m meter
	for i := range list {
		l, err := audit.ParseLeaf(list[i].Leaf)
		if err != nil {
			continue // altered: whoever verifies the log is told of it
		}
		if c, ok := usage.CallOf(l.Method, l.Status, l.DurationMicros); ok {
			m.call(org, l.Time.UnixMicro(), c)
		}
	}
	ev := audit.Bookkeeping("counters of calls that were logged before there were counters")
	ev.Bulk = true
	return true, s.changeAll(ctx, ev, func(ctx context.Context, t *Tx) error {
		return t.within(org, func() error {
			n, err := t.exec(ctx, "usage.filled", next, max(to, next+1))
			if err != nil || n == 0 { // another process was faster
				return err
			}
			return m.write(ctx, s, t.tx)
		})
	})
}

// recount has the calls of a log counted again, because what was counted beside its edge went with the edge. tx sees all
// organizations.
func (s *Store) recount(ctx context.Context, tx *sql.Tx, org uid.Org, size uint64) error {
	for _, q := range []struct {
		name string
		args []any
	}{
		{"usage.calls_clear", []any{string(org)}},
		{"usage.recount", []any{string(org), int64(0), int64(size)}}, //nolint:gosec // a log has less than 2^63 entries
	} {
		found, err := s.queries.get(q.name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, found.text, q.args...); err != nil {
			return writeFault(err)
		}
	}
	return nil
}
