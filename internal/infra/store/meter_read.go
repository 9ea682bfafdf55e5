package store

import (
	"context"
	"database/sql"
	"time"

	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/uid"
)

var _ usage.Ledger = UsageStore{}

// CallCounts returns the calls of each stretch of the given length, oldest first.
func (r UsageStore) CallCounts(ctx context.Context, org uid.Org, within usage.Range, step time.Duration) ([]usage.CallPoint, error) {
	var out []usage.CallPoint
	err := r.each(ctx, org, "usage.calls", rangeArgs(within, step), func(rows *sql.Rows) error {
		var p usage.CallPoint
		var start int64
		if err := rows.Scan(&start, &p.Calls, &p.Success, &p.Errors, &p.Micros, &p.MaxMicros); err != nil {
			return readFault(err)
		}
		p.Start = time.UnixMicro(start).UTC()
		out = append(out, p)
		return nil
	})
	return out, err
}

// Submissions returns the scans submitted in each stretch, an hour or a UTC day, oldest first.
func (r UsageStore) Submissions(ctx context.Context, org uid.Org, within usage.Range, step time.Duration) ([]usage.Submitted, error) {
	var out []usage.Submitted
	hours := int64(1)
	if step == 24*time.Hour {
		hours = grain(within)
	}
	args := append([]any{hours}, rangeArgs(within, step)...)
	err := r.each(ctx, org, "usage.submissions", args, func(rows *sql.Rows) error {
		var p usage.Submitted
		var start int64
		if err := rows.Scan(&start, &p.Scans); err != nil {
			return readFault(err)
		}
		p.Start = time.UnixMicro(start).UTC()
		out = append(out, p)
		return nil
	})
	return out, err
}

// EngineCounts returns the scans of each engine, by its id. Whole days are read as such.
func (r UsageStore) EngineCounts(ctx context.Context, org uid.Org, within usage.Range) ([]usage.EngineCount, error) {
	var out []usage.EngineCount
	args := append([]any{grain(within)}, rangeArgs(within, 0)[:2]...)
	err := r.each(ctx, org, "usage.engines", args, func(rows *sql.Rows) error {
		var e usage.EngineCount
		if err := rows.Scan(append([]any{&e.Engine}, scanDest(&e.ScanCount)...)...); err != nil {
			return readFault(err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// grain is the length, in hours, of the rows that a range is made of: those of days where it consists of whole ones.
func grain(r usage.Range) int64 {
	const day = 24 * time.Hour
	if r.Start.Truncate(day).Equal(r.Start) && r.End.Truncate(day).Equal(r.End) {
		return 24
	}
	return 1
}

func rangeArgs(r usage.Range, step time.Duration) []any {
	return []any{micros(r.Start), micros(r.End), step.Microseconds()}
}

func scanDest(c *usage.ScanCount) []any {
	return []any{&c.Submitted, &c.Returned, &c.Completed, &c.Failed, &c.Cancelled, &c.Ran, &c.Micros, &c.Findings}
}
