package usage

import "time"

// Free reports whether nothing limits the charge, so that it needs no counting.
func (ch Charge) Free() bool { return ch.free() }

// Judge returns the decision on a charge from the rows as a counter kept elsewhere found them just before charging:
// the principal's and, where the charge has a plan, the organization's. The other counter must have charged by the
// same rule: all windows checked first, a refused call to the minute only.
func (ch Charge) Judge(own, plan Row, now time.Time) Decision {
	o := counts{
		minute: span{own.MinuteStart, own.MinuteCount}, hour: span{own.HourStart, own.HourCount},
		day: span{own.DayStart, own.DayCount},
	}
	p := counts{day: span{plan.DayStart, plan.DayCount}}
	return take(&o, &p, ch, now.Unix())
}
