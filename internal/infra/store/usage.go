package store

import (
	"context"
	"database/sql"
	"errors"

	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

var _ usage.Tx = (*Tx)(nil)

// UsageStore reads quota counters.
type UsageStore struct{ reader }

// Usage is the view of metering.
func (s *Store) Usage() UsageStore { return UsageStore{reader{s}} }

// Used returns how much of the metric the organization has used in the period.
func (r UsageStore) Used(ctx context.Context, org uid.Org, m usage.Metric, period string) (int64, error) {
	var used int64
	err := r.row(ctx, org, "usage.used", []any{string(m), period}, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return used, err
}

// Consume adds n to the metric's counter of the period unless that would pass limit (0 = unlimited); then it is an
// Exhausted QUOTA_EXCEEDED fault and nothing is counted. It is one statement, so concurrent units can't pass the limit
// together.
func (t *Tx) Consume(ctx context.Context, m usage.Metric, period string, n, limit int64) error {
	exceeded := fault.New(fault.Exhausted, fault.CodeQuota,
		"the plan's quota of "+string(m)+" for this period is used up; it is renewed with the next period")
	if n <= 0 {
		return internal("a quota must be charged with a positive number", nil)
	}
	if limit != 0 && n > limit {
		return exceeded
	}
	return t.one(ctx, func() error { return exceeded }, "usage.consume", string(m), period, n, limit)
}
