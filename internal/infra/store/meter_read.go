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

// ScanCounts returns the scans of each stretch of the given length, oldest first.
func (r UsageStore) ScanCounts(ctx context.Context, org uid.Org, within usage.Range, step time.Duration) ([]usage.ScanPoint, error) {
	var out []usage.ScanPoint
	err := r.each(ctx, org, "usage.scans", rangeArgs(within, step), func(rows *sql.Rows) error {
		var p usage.ScanPoint
		var start int64
		if err := rows.Scan(append([]any{&start}, scanDest(&p.ScanCount)...)...); err != nil {
			return readFault(err)
		}
		p.Start = time.UnixMicro(start).UTC()
		out = append(out, p)
		return nil
	})
	return out, err
}

// EngineCounts returns the scans of each engine, by its id.
func (r UsageStore) EngineCounts(ctx context.Context, org uid.Org, within usage.Range) ([]usage.EngineCount, error) {
	var out []usage.EngineCount
	err := r.each(ctx, org, "usage.engines", rangeArgs(within, 0)[:2], func(rows *sql.Rows) error {
		var e usage.EngineCount
		if err := rows.Scan(append([]any{&e.Engine}, scanDest(&e.ScanCount)...)...); err != nil {
			return readFault(err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

func rangeArgs(r usage.Range, step time.Duration) []any {
	return []any{micros(r.Start), micros(r.End), step.Microseconds()}
}

func scanDest(c *usage.ScanCount) []any {
	return []any{&c.Submitted, &c.Returned, &c.Completed, &c.Failed, &c.Cancelled, &c.Ran, &c.Micros, &c.Findings}
}
