package usage

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	shards = 64
	// maxRows bounds the keys of one shard: about a million in all. The keys, users and organizations of a server never
	// come near; addresses without a credential can.
	maxRows = 16_384
	// evictFrom is how many keys are looked at to find the one that a full shard gives up.
	evictFrom = 8
)

// MemoryCounter counts in memory, for a server of one process. It is exact under any number of parallel callers: of a
// window of n never more than n calls are let through, also when the clock goes back. It is bounded: a full shard
// forgets the least used of a few keys looked at, so that a flood of one-time addresses displaces itself. It allocates
// only for a key's first call.
type MemoryCounter struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	bound int // keys at most
	mu    sync.Mutex
	rows  map[string]*counts
	dirty []*counts // each at most once, so never longer than rows ever was
}

// NewMemory returns a counter that has counted nothing.
func NewMemory() *MemoryCounter { return newMemory(maxRows) }

func newMemory(bound int) *MemoryCounter {
	c := &MemoryCounter{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].bound, c.shards[i].rows = bound, make(map[string]*counts)
	}
	return c
}

var _ Counter = (*MemoryCounter)(nil)

// Take implements Counter. It never fails.
func (c *MemoryCounter) Take(_ context.Context, ch Charge, now time.Time) (Decision, error) {
	if ch.free() {
		return Decision{OK: true}, nil
	}
	h := c.hold(ch)
	defer h.release()
	if !ch.planned() {
		var none counts
		return take(h.own.touch(ch.Key), &none, ch, now.Unix()), nil
	}
	plan := h.plan.touch(ch.PlanKey)
	return take(h.own.touch(ch.Key), plan, ch, now.Unix()), nil
}

// Peek implements Counter. It charges nothing and leaves no row behind.
func (c *MemoryCounter) Peek(_ context.Context, ch Charge, now time.Time) (Decision, error) {
	if ch.free() {
		return Decision{OK: true}, nil
	}
	h := c.hold(ch)
	defer h.release()
	var own, plan counts // copies: take may do with them as it likes
	if r, ok := h.own.rows[ch.Key]; ok {
		own = *r
	}
	if ch.planned() {
		if r, ok := h.plan.rows[ch.PlanKey]; ok {
			plan = *r
		}
	}
	return take(&own, &plan, ch, now.Unix()), nil
}

// free reports whether nothing limits the charge.
func (ch Charge) free() bool {
	return ch.Windows.PerMinute <= 0 && ch.Windows.PerHour <= 0 && ch.Windows.PerDay <= 0 && !ch.planned()
}

func (ch Charge) planned() bool { return ch.PlanKey != "" && ch.PlanDay > 0 }

// held are the locked shards of a charge; plan is own where both keys share one or no plan counts.
type held struct{ own, plan *shard }

// hold locks by rising index, so that two charges never wait for each other.
func (c *MemoryCounter) hold(ch Charge) held {
	i := c.index(ch.Key)
	j := i
	if ch.planned() {
		j = c.index(ch.PlanKey)
	}
	c.shards[min(i, j)].mu.Lock()
	if i != j {
		c.shards[max(i, j)].mu.Lock()
	}
	return held{own: &c.shards[i], plan: &c.shards[j]}
}

func (h held) release() {
	h.own.mu.Unlock()
	if h.plan != h.own {
		h.plan.mu.Unlock()
	}
}

func (c *MemoryCounter) index(key string) int {
	return int(maphash.String(c.seed, key) % shards)
}

// row returns the key's counts, new ones where there are none. A full shard reuses the counts of the key it forgets,
// which keeps the list of dirty rows bounded too.
func (s *shard) row(key string) *counts {
	if r, ok := s.rows[key]; ok {
		return r
	}
	var r *counts
	if len(s.rows) < s.bound {
		r = &counts{key: key}
	} else {
		r = s.leastUsed()
		delete(s.rows, r.key)
		*r = counts{key: key, dirty: r.dirty}
	}
	s.rows[key] = r
	return r
}

func (s *shard) leastUsed() *counts {
	var pick *counts
	looked := 0
	for _, r := range s.rows { // a map is walked from a random place
		if pick == nil || r.day.start < pick.day.start || (r.day.start == pick.day.start && r.day.n < pick.day.n) {
			pick = r
		}
		if looked++; looked == evictFrom {
			break
		}
	}
	return pick
}

// touch returns the key's counts, which are about to change.
func (s *shard) touch(key string) *counts {
	r := s.row(key)
	s.mark(r)
	return r
}

func (s *shard) mark(r *counts) {
	if !r.dirty {
		r.dirty = true
		s.dirty = append(s.dirty, r)
	}
}

// Sweep forgets the keys whose windows have all ended at now.
func (c *MemoryCounter) Sweep(now time.Time) {
	sec := now.Unix()
	today := sec - sec%dayLen
	for i := range c.shards {
		c.shards[i].sweep(today)
	}
}

func (s *shard) sweep(today int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := func(r *counts) bool { return r.day.start < today }
	for key, r := range s.rows {
		if old(r) {
			delete(s.rows, key)
		}
	}
	s.dirty = slices.DeleteFunc(s.dirty, old)
}

// Len returns the number of keys that are counted.
func (c *MemoryCounter) Len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.rows)
		s.mu.Unlock()
	}
	return n
}

// Snapshot returns the rows that changed since the last one, each as a whole, and counts them as saved. Where saving
// fails, hand it to Unsaved.
func (c *MemoryCounter) Snapshot() Snapshot {
	var out Snapshot
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, r := range s.dirty {
			r.dirty = false
			out.Rows = append(out.Rows, Row{
				Key: r.key, MinuteStart: r.minute.start, HourStart: r.hour.start, DayStart: r.day.start,
				MinuteCount: r.minute.n, HourCount: r.hour.n, DayCount: r.day.n,
			})
		}
		clear(s.dirty)
		s.dirty = s.dirty[:0]
		s.mu.Unlock()
	}
	return out
}

// Unsaved makes the snapshot's keys part of the next one again.
func (c *MemoryCounter) Unsaved(snap Snapshot) {
	for _, row := range snap.Rows {
		s := &c.shards[c.index(row.Key)]
		s.mu.Lock()
		if r, ok := s.rows[row.Key]; ok {
			s.mark(r)
		}
		s.mu.Unlock()
	}
}

// Restore takes over saved rows, at a start. A count that is higher here stays; calls made since are not lost.
func (c *MemoryCounter) Restore(snap Snapshot) {
	for _, row := range snap.Rows {
		s := &c.shards[c.index(row.Key)]
		s.mu.Lock()
		r := s.row(row.Key)
		r.minute.merge(span{row.MinuteStart, row.MinuteCount})
		r.hour.merge(span{row.HourStart, row.HourCount})
		r.day.merge(span{row.DayStart, row.DayCount})
		s.mu.Unlock()
	}
}
