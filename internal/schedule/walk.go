package schedule

import "time"

// stretch is a time during which the zone's offset stands still, with its ends as instants; a zero end is open.
type stretch struct {
	from, to time.Time
	offset   time.Duration
}

func (s Schedule) stretch(t time.Time) stretch {
	local := t.In(s.zone)
	_, seconds := local.Zone()
	from, to := local.ZoneBounds()
	if !to.IsZero() && !to.After(t) {
		// Beyond a zone's table the years come out 365 days long: on the last day of a leap year the end lies in the past.
		to = time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return stretch{from: from.UTC(), to: to.UTC(), offset: time.Duration(seconds) * time.Second}
}

// wall is what a clock there shows at t, written down as a time in UTC.
func (st stretch) wall(t time.Time) time.Time { return t.Add(st.offset) }

// walk goes from one stretch to the next until a due time lies within one. In a gap all skipped times fall on the
// moment of the jump; in a fold the second pass is left out, unless the schedule goes by elapsed time.
func (s Schedule) walk(t time.Time) time.Time {
	st := s.stretch(t)
	wall := st.wall(t)
	if !s.hourly && !st.from.IsZero() {
		// What the clock showed before it was set back has had its turn.
		before := s.stretch(st.from.Add(-time.Nanosecond))
		if shown := before.wall(st.from).Add(-time.Nanosecond); shown.After(wall) {
			wall = shown
		}
	}
	for {
		next := s.times.next(wall)
		if st.to.IsZero() || next.Before(st.wall(st.to)) {
			return next.Add(-st.offset)
		}
		after := s.stretch(st.to)
		jump, land := st.wall(st.to), after.wall(st.to)
		if !next.After(land) { // in the gap, or at its end; a fold lands before
			return st.to
		}
		wall = jump.Add(-time.Nanosecond) // next is at jump or later, so nothing is missed
		if s.hourly && land.Before(jump) {
			wall = land.Add(-time.Nanosecond)
		}
		st = after
	}
}
