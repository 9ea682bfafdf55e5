package schedule

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// place is one of the five fields of an expression.
type place struct {
	name string
	high int // the highest value, which no step may exceed
}

func places() [5]place {
	return [5]place{{"minute", 59}, {"hour", 23}, {"day of month", 31}, {"month", 12}, {"day of week", 6}}
}

// CheckCron reports whether expr is a schedule in the five-field form of cron(5): minute, hour, day of month, month,
// day of week, divided by single spaces. A field is * or a list of values and ranges a-b, each with an optional step
// /n; months and days of the week may be named by their first three letters; Sunday is 0. Where both days are
// restricted, a day that matches either will do. Nicknames (@daily), seconds and years are not taken, nor is a date
// that no year has. The error's text is for the user and repeats nothing of expr.
func CheckCron(expr string) error {
	_, err := parseCron(expr)
	return err
}

// times is an expression that was understood, as a set of wall-clock minutes without a zone.
type times struct{ spec *cron.SpecSchedule }

func parseCron(expr string) (times, error) {
	if len(expr) > MaxCron {
		return times{}, errors.New("must have at most " + strconv.Itoa(MaxCron) + " characters")
	}
	parts := strings.Split(expr, " ")
	if len(parts) != 5 {
		return times{}, errors.New("must have five fields: minute, hour, day of month, month, day of week")
	}
	for i, p := range places() {
		alone := [5]string{"*", "*", "*", "*", "*"}
		alone[i] = parts[i]
		if _, ok := read(alone); !ok || !plain(parts[i], p.high) {
			return times{}, errors.New("has a wrong " + p.name)
		}
	}
	t, ok := read([5]string(parts))
	if !ok {
		return times{}, errors.New("is not a schedule")
	}
	if t.next(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return times{}, errors.New("names a date that no year has")
	}
	return t, nil
}

// read gives the fields to the parser, which reads more than we take: plain holds it within our grammar.
func read(parts [5]string) (times, bool) {
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, " \t\r\n\v\f=@?") {
			return times{}, false // a second field, a zone, a nickname
		}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(strings.Join(parts[:], " "))
	if err != nil {
		return times{}, false
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return times{}, false
	}
	spec.Location = time.UTC // walk.go knows of zones
	return times{spec}, true
}

// plain reports whether a field is written as we document it.
func plain(field string, high int) bool {
	for item := range strings.SplitSeq(field, ",") {
		span, step, stepped := strings.Cut(item, "/")
		if n, err := strconv.Atoi(step); stepped && (err != nil || !value(step) || n < 1 || n > high) {
			return false
		}
		if span == "*" {
			continue
		}
		from, to, ranged := strings.Cut(span, "-")
		if !value(from) || (ranged && !value(to)) {
			return false
		}
	}
	return true
}

// value reports whether s is one or two digits, or a name of three letters.
func value(s string) bool {
	digits := strings.Trim(s, "0123456789") == ""
	letters := strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
	return (digits && (len(s) == 1 || len(s) == 2)) || (letters && len(s) == 3)
}

// next returns the first minute after t that matches, both as wall clocks in UTC; zero when none does. The parser's
// own search ends after five years, which a 29 February around 2100 outlasts.
func (t times) next(wall time.Time) time.Time {
	for range 3 {
		if n := t.spec.Next(wall); !n.IsZero() {
			return n
		}
		wall = wall.AddDate(5, 0, 0)
	}
	return time.Time{}
}

// everyHour reports whether all 24 hours match.
func (t times) everyHour() bool {
	const all = 1<<24 - 1
	return t.spec != nil && t.spec.Hour&all == all
}
