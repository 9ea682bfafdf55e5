package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/report"
)

// What is swept, and how often.
const (
	sweepEvery = 10 * time.Minute
	outboxKept = 7 * 24 * time.Hour // where the configuration doesn't say
	// sessionKept lets an ended session be told from one that never was for a while.
	sessionKept = 24 * time.Hour
	usageKept   = 400 * day // counters of what was used
)

// sweep removes what has expired until ctx ends: a bounded bite at a time, as bookkeeping.
func (s *Store) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "expired rows couldn't be removed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep removes expired idempotency keys, outbox events past their time, ended sessions, replaced secrets, idle
// windows, old counters of use and audit entries past their organization's retention, all there are. Run does it by itself.
func (s *Store) Sweep(ctx context.Context) error {
	now := s.now()
	kept := s.cfg.EventsKept
	if kept == 0 {
		kept = outboxKept
	}
	for _, b := range []struct {
		name string
		arg  int64
	}{
		{"all.idempotency_expire", micros(now.Add(-onceTTL))},
		{"all.batch_expire", micros(now.Add(-onceTTL))},
		{"all.outbox_prune", micros(now.Add(-kept))},
		{"all.session.expire", micros(now.Add(-sessionKept))},
		{"all.key.secret_expire", micros(now)},
		{"all.usage_call_expire", micros(now.Add(-usageKept))},
		{"all.usage_scan_expire", micros(now.Add(-usageKept))},
		{"all.report_run_expire", micros(now.Add(-report.KeptDays * 24 * time.Hour))},
		{"all.window_prune", now.Add(-48 * time.Hour).Unix()},
	} {
		for {
			var n int64
			err := s.changeAll(ctx, audit.Bookkeeping("expired rows"), func(ctx context.Context, tx *Tx) (err error) {
				n, err = tx.exec(ctx, b.name, b.arg)
				return err
			})
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
	}
	return errors.Join(s.retain(ctx), s.sweepHooks(ctx))
}
