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

// bar is one limit with its window.
type bar struct {
	window Window
	limit  int64 // 0 = none
	span   *span
	length int64
}

func (b bar) full() bool       { return b.limit > 0 && b.span.n >= b.limit }
func (b bar) ends() int64      { return b.span.start + b.length }
func (b bar) remaining() int64 { return max(b.limit-b.span.n, 0) }

func (b bar) decision(ok bool) Decision {
	return Decision{OK: ok, Window: b.window, Limit: b.limit, Remaining: b.remaining(), Reset: time.Unix(b.ends(), 0).UTC()}
}

// take checks every window of the charge and then charges all of them, or, refused, the minute alone. The refusing
// window is the one that opens last, so that waiting for it is enough.
func take(own, plan *counts, ch Charge, sec int64) Decision {
	own.advance(sec)
	plan.advance(sec)
	bars := [...]bar{
		{Minute, int64(ch.Windows.PerMinute), &own.minute, minuteLen},
		{Hour, int64(ch.Windows.PerHour), &own.hour, hourLen},
		{Day, int64(ch.Windows.PerDay), &own.day, dayLen},
		{Plan, 0, &plan.day, dayLen},
	}
	if ch.planned() {
		bars[3].limit = ch.PlanDay
	}
	shut := -1
	for i, b := range bars {
		if b.full() && (shut < 0 || b.ends() > bars[shut].ends()) {
			shut = i
		}
	}
	own.minute.n++
	if shut >= 0 {
		return bars[shut].decision(false)
	}
	own.hour.n++
	own.day.n++
	plan.day.n++
	return least(bars[:])
}

// least describes the window with the least share left, the shorter one where two are equal.
func least(bars []bar) Decision {
	pick := -1
	for i, b := range bars {
		if b.limit <= 0 {
			continue
		}
		if pick < 0 || b.remaining()*bars[pick].limit < bars[pick].remaining()*b.limit {
			pick = i
		}
	}
	if pick < 0 {
		return Decision{OK: true}
	}
	return bars[pick].decision(true)
}
