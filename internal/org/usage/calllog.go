package usage

import (
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

// CallQuery asks for calls, newest first. Empty fields don't filter; filters combine.
type CallQuery struct {
	EventType event.Audit
	Actor     string // its id
	Method    string
	Route     string // the pattern
	Status    Statuses
	From, To  time.Time // of the entry's time: from ≤ time < to
	Before    uint64    // index of the entry before which to go on; 0 = from the newest
	Limit     int       // calls a page, at least 1
}

// Statuses is a range of HTTP statuses; the zero value means any.
type Statuses struct{ Least, Most int }

// ParseStatuses reads one status ("404") or a class of them ("4xx"); the empty text means any.
func ParseStatuses(field, s string) (Statuses, error) {
	if s == "" {
		return Statuses{}, nil
	}
	bad := fault.Wrong(field, "must be a status such as 404, or a class: 2xx, 4xx, 5xx")
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok {
		n, err := strconv.Atoi(class)
		if err != nil || len(class) != 1 || n < 1 || n > 5 {
			return Statuses{}, bad
		}
		return Statuses{n * 100, n*100 + 99}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || len(s) != 3 || n < 100 || n > 599 {
		return Statuses{}, bad
	}
	return Statuses{n, n}, nil
}

// Any reports whether every status is meant.
func (s Statuses) Any() bool { return s == Statuses{} }

// One returns the status where a single one is meant.
func (s Statuses) One() (int, bool) { return s.Least, s.Least == s.Most && s.Least != 0 }

// Matches reports whether an entry is a call that the query asks for.
func (q CallQuery) Matches(l *audit.Leaf) bool {
	if _, ok := CallOf(l.Method, l.Status, l.DurationMicros); !ok {
		return false
	}
	return (q.EventType == "" || q.EventType == l.Type) &&
		(q.Actor == "" || q.Actor == l.ActorID) &&
		(q.Method == "" || q.Method == l.Method) &&
		(q.Route == "" || q.Route == l.Route) &&
		(q.Status.Any() || q.Status.Least <= l.Status && l.Status <= q.Status.Most) &&
		(q.From.IsZero() || !l.Time.Before(q.From)) &&
		(q.To.IsZero() || l.Time.Before(q.To))
}

// LoggedCall is one call of the log, with its place there.
type LoggedCall struct {
	audit.Leaf

	Index uint64
}

// CallPage is one page of calls, newest first. It may hold fewer than were asked for although there are more: a page
// looks at a bounded number of entries. Next is where the next page goes on, 0 at the end.
type CallPage struct {
	Items []LoggedCall
	Next  uint64
}
