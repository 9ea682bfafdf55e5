package usage

import "time"

// Lengths of the windows in seconds. Days begin at midnight UTC because Unix time counts no leap seconds.
const (
	minuteLen = 60
	hourLen   = 3600
	dayLen    = 86400
)

// span is one window: its start in Unix seconds, which only ever rises, and the calls charged to it.
type span struct{ start, n int64 }

// advance opens the window of sec unless that is older than the present one: a clock set back opens nothing again.
func (s *span) advance(sec, length int64) {
	if start := sec - sec%length; start > s.start {
		s.start, s.n = start, 0
	}
}

// merge takes over what another record of the same key knows: the newer window, or the higher count.
func (s *span) merge(o span) {
	switch {
	case o.start > s.start:
		*s = o
	case o.start == s.start:
		s.n = max(s.n, o.n)
	}
}

// counts are the windows of one key.
type counts struct {
	key               string
	minute, hour, day span
	dirty             bool // changed since the last snapshot, and in the shard's list of such
}

func (c *counts) advance(sec int64) {
	c.minute.advance(sec, minuteLen)
	c.hour.advance(sec, hourLen)
	c.day.advance(sec, dayLen)
}

// bar is one limit with its window as it stands. It holds values, not pointers, so that no counts reach the heap.
type bar struct {
	window Window
	limit  int64 // 0 = none
	used   int64
	ends   int64 // Unix seconds
}

func (b bar) full() bool       { return b.limit > 0 && b.used >= b.limit }
func (b bar) remaining() int64 { return max(b.limit-b.used, 0) }

func (b bar) decision(ok bool) Decision {
	return Decision{OK: ok, Window: b.window, Limit: b.limit, Remaining: b.remaining(), Reset: time.Unix(b.ends, 0).UTC()}
}

// bars returns the charge's limits, the shorter window first.
func bars(own, plan *counts, ch Charge) [4]bar {
	var planDay int64
	if ch.planned() {
		planDay = ch.PlanDay
	}
	return [4]bar{
		{Minute, int64(ch.Windows.PerMinute), own.minute.n, own.minute.start + minuteLen},
		{Hour, int64(ch.Windows.PerHour), own.hour.n, own.hour.start + hourLen},
		{Day, int64(ch.Windows.PerDay), own.day.n, own.day.start + dayLen},
		{Plan, planDay, plan.day.n, plan.day.start + dayLen},
	}
}

// take checks every window of the charge and then charges all of them, or, refused, the minute alone. The refusing
// window is the one that opens last, so that waiting for it is enough.
func take(own, plan *counts, ch Charge, sec int64) Decision {
	own.advance(sec)
	plan.advance(sec)
	var shut bar // a limit of 0 stands for none
	for _, b := range bars(own, plan, ch) {
		if b.full() && (shut.limit == 0 || b.ends > shut.ends) {
			shut = b
		}
	}
	own.minute.n++
	if shut.limit > 0 {
		return shut.decision(false)
	}
	own.hour.n++
	own.day.n++
	plan.day.n++
	return least(bars(own, plan, ch))
}

// least describes the window with the least share left, the shorter one where two are equal.
func least(all [4]bar) Decision {
	var pick bar
	for _, b := range all {
		if b.limit > 0 && (pick.limit == 0 || b.remaining()*pick.limit < pick.remaining()*b.limit) {
			pick = b
		}
	}
	if pick.limit == 0 {
		return Decision{OK: true}
	}
	return pick.decision(true)
}
