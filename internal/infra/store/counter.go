package store

import (
	"context"
	"sync"
	"time"

	"assay.dev/assay/internal/org/usage"
)

var _ usage.Counter = (*WindowCounter)(nil)

// WindowCounter counts calls in PostgreSQL, so that all processes of an installation share the windows: one trip and
// no wait for the disk a call. What was refused is remembered here until its window ends, so that a flood of refused
// calls costs the database nothing.
type WindowCounter struct {
	b     *postgresStore
	clock func(now time.Time) int64 // what the database takes for now; 0 = its own clock

	mu      sync.Mutex
	refused map[usage.Charge]usage.Decision
}

// maxRefused bounds what is remembered of refusals.
const maxRefused = 10_000

// WindowCounter returns the counter that all processes share, nil on SQLite, where one process counts in memory.
func (s *Store) WindowCounter() *WindowCounter {
	b, ok := s.db.(*postgresStore)
	if !ok {
		return nil
	}
	return &WindowCounter{b: b, clock: func(time.Time) int64 { return 0 }, refused: map[usage.Charge]usage.Decision{}}
}

// Take implements usage.Counter. The time is the database's; now only ends what is remembered of a refusal.
func (c *WindowCounter) Take(ctx context.Context, ch usage.Charge, now time.Time) (usage.Decision, error) {
	if d, known := c.recall(ch, now); known {
		return d, nil
	}
	d, err := c.ask(ctx, ch, now, true)
	if err == nil && !d.OK {
		c.remember(ch, d)
	}
	return d, err
}

// Peek implements usage.Counter.
func (c *WindowCounter) Peek(ctx context.Context, ch usage.Charge, now time.Time) (usage.Decision, error) {
	if d, known := c.recall(ch, now); known {
		return d, nil
	}
	return c.ask(ctx, ch, now, false)
}

func (c *WindowCounter) ask(ctx context.Context, ch usage.Charge, now time.Time, charge bool) (usage.Decision, error) {
	if ch.Free() {
		return usage.Decision{OK: true}, nil
	}
	plan := ch.PlanKey
	if ch.PlanDay <= 0 {
		plan = ""
	}
	q, err := c.b.s.queries.get("all.window_take")
	if err != nil {
		return usage.Decision{}, err
	}
	var sec int64
	var own, org usage.Row
	err = c.b.fast.QueryRowContext(ctx, q.text, ch.Key, ch.Windows.PerMinute, ch.Windows.PerHour, ch.Windows.PerDay, plan,
		ch.PlanDay, c.clock(now), charge).Scan(&sec, &own.MinuteStart, &own.MinuteCount, &own.HourStart, &own.HourCount,
		&own.DayStart, &own.DayCount, &org.DayStart, &org.DayCount)
	if err != nil {
		return usage.Decision{}, readFault(err)
	}
	return ch.Judge(own, org, time.Unix(sec, 0)), nil
}

func (c *WindowCounter) recall(ch usage.Charge, now time.Time) (usage.Decision, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, known := c.refused[ch]
	if known && !now.Before(d.Reset) {
		delete(c.refused, ch)
		return d, false
	}
	return d, known
}

func (c *WindowCounter) remember(ch usage.Charge, d usage.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) >= maxRefused {
		clear(c.refused)
	}
	c.refused[ch] = d
}
