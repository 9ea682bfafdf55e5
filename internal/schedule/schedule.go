// Package schedule says when things recur: a five-field cron expression in a time zone, a jitter that spreads starts,
// and what to do when the run before is still going on.
//
// It is pure: it reads no clock and starts nothing. Who keeps a schedule stores the next due time, asks Due whether it
// has come, and moves it on in the same transaction in which it takes the run. Start with Spec, then Schedule; cron.go
// holds the grammar, walk.go the arithmetic over changes of the clock.
package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Overlap says what happens to a run that is due while the one before is still going on.
type Overlap string

// Overlaps. The empty text means Skip.
const (
	Skip    Overlap = "skip"    // the new run is left out, and recorded as such
	Allow   Overlap = "allow"   // both go on
	Replace Overlap = "replace" // the running one is cancelled
)

// Overlaps lists them; the first is the default.
func Overlaps() []Overlap { return []Overlap{Skip, Allow, Replace} }

// Bounds of a Spec.
const (
	MaxCron     = 100   // bytes
	MaxTimeZone = 64    // bytes
	MaxJitter   = 3_600 // seconds
)

// Spec is a schedule as somebody wrote it down.
type Spec struct {
	Cron     string  `json:"cron"`               // minute hour day-of-month month day-of-week; see CheckCron
	TimeZone string  `json:"timeZone,omitempty"` // IANA name; empty = UTC
	Jitter   int     `json:"jitterSeconds"`      // starts up to so many seconds late, 0 to MaxJitter
	Overlap  Overlap `json:"overlap,omitempty"`  // empty = Skip
}

// Zone loads a time zone by its IANA name, as time.LoadLocation does.
type Zone func(name string) (*time.Location, error)

// Schedule is a Spec that was understood. It is immutable and safe for concurrent use.
type Schedule struct {
	spec   Spec
	times  times
	zone   *time.Location
	hourly bool // every hour is named, so that it goes by elapsed time when the clock is set back
}

// Parse reads a spec. Its fault is Invalid and names every wrong field by its JSON name (cron, timeZone,
// jitterSeconds, overlap); who holds the spec in a larger document takes Check and adds the place.
func Parse(s Spec, zone Zone) (Schedule, error) {
	out, wrong := s.parse(zone)
	if err := fault.AllWrong(wrong); err != nil {
		return Schedule{}, err
	}
	return out, nil
}

// Check returns what is wrong with the spec, one entry for each wrong field by its JSON name, nil where nothing is.
func (s Spec) Check(zone Zone) []fault.Field {
	_, wrong := s.parse(zone)
	return wrong
}

func (s Spec) parse(zone Zone) (out Schedule, wrong []fault.Field) {
	bad := func(location, message string) {
		wrong = append(wrong, fault.Field{Location: location, Message: message})
	}
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	if s.Overlap == "" {
		s.Overlap = Skip
	}
	out.spec = s
	var err error
	if out.times, err = parseCron(s.Cron); err != nil {
		bad("cron", err.Error())
	}
	if out.zone = load(zone, s.TimeZone); out.zone == nil {
		bad("timeZone", "must be an IANA time zone, such as Europe/Paris or UTC")
	}
	if s.Jitter < 0 || s.Jitter > MaxJitter {
		bad("jitterSeconds", "must be between 0 and 3600")
	}
	switch s.Overlap {
	case Skip, Allow, Replace:
	default:
		bad("overlap", "must be skip, allow or replace")
	}
	out.hourly = out.times.everyHour()
	return out, wrong
}

// load refuses "Local", which means something else on every host.
func load(zone Zone, name string) *time.Location {
	if name == "Local" || len(name) > MaxTimeZone {
		return nil
	}
	l, err := zone(name)
	if err != nil {
		return nil
	}
	return l
}

// Spec returns the spec with its defaults filled in.
func (s Schedule) Spec() Spec { return s.spec }

// Next returns the first due time after t, in UTC; jitter isn't in it. A local time that the clock skips is due at the
// moment the clock jumps, once for all times in the gap. A local time that comes twice is due the first time only,
// unless the schedule names every hour: that one goes on by elapsed time. There always is a next time.
func (s Schedule) Next(t time.Time) time.Time { return s.walk(t.UTC()) }

// Start returns when the run of a due time begins: due plus the jitter, which is the same on every node because it
// follows from key (the name of whose schedule it is) and due. It always lies before the next due time.
func (s Schedule) Start(key string, due time.Time) time.Time {
	if s.spec.Jitter == 0 {
		return due
	}
	room := int64(s.Next(due).Sub(due) / time.Second) // starts keep the order of due times
	spread := min(int64(s.spec.Jitter)+1, max(room, 1))
	sum := sha256.Sum256([]byte(key + "\x00" + due.UTC().Format(time.RFC3339Nano)))
	return due.Add(time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(spread)) * time.Second) //nolint:gosec // spread is 1 to 3,601
}

// Due answers for a schedule whose next due time is stored as next: which run, if any, is to be started at now, and
// which due time is to be stored afterwards. Where several were missed, only the latest is run. ok is false while the
// start of next hasn't come.
func (s Schedule) Due(key string, next, now time.Time) (due, following time.Time, ok bool) {
	if now.Before(s.Start(key, next)) {
		return time.Time{}, time.Time{}, false
	}
	due = s.latest(next, now)
	if due.After(next) && now.Before(s.Start(key, due)) {
		// The latest is still waiting for its jitter: it stays next, and what was missed before it is run now.
		before := s.latest(next, due.Add(-time.Nanosecond))
		return before, due, true
	}
	return due, s.Next(due), true
}

// latest returns the last due time from next to now; next itself where there is none. A rare schedule is looked for
// farther back, so that one of every minute isn't counted through years.
func (s Schedule) latest(next, now time.Time) time.Time {
	for _, back := range []time.Duration{2 * time.Hour, 48 * time.Hour, 40 * 24 * time.Hour, 400 * 24 * time.Hour} {
		from := now.Add(-back)
		if !from.After(next) {
			break
		}
		if d, ok := s.last(from, now); ok {
			return d
		}
	}
	if d, ok := s.last(next, now); ok {
		return d
	}
	return next
}

// last returns the last due time after from and not after now.
func (s Schedule) last(from, now time.Time) (last time.Time, ok bool) {
	for d := s.Next(from); !d.After(now); d = s.Next(d) {
		last, ok = d, true
	}
	return last, ok
}
