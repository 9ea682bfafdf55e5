package usage

import (
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Lookback names how far back a report reaches (scans.md 3.4).
type Lookback string

// Lookbacks.
const (
	Last24h Lookback = "24h"
	Last7d  Lookback = "7d"
	Last30d Lookback = "30d"
	Last90d Lookback = "90d"
)

// Granularity is the length of one point of a history.
type Granularity string

// Granularities.
const (
	Hourly Granularity = "hourly"
	Daily  Granularity = "daily"
)

// Step returns the granularity's length.
func (g Granularity) Step() time.Duration {
	if g == Hourly {
		return time.Hour
	}
	return oneDay
}

const oneDay = 24 * time.Hour

// Range is a stretch of time in UTC, from Start up to and without End. Both lie on whole hours.
type Range struct{ Start, End time.Time }

// Last returns the range's last second, as reports show its end.
func (r Range) Last() time.Time { return r.End.Add(-time.Second) }

// At returns the range that the period covers at now: 24h are the last 24 whole hours including the present one; 7d,
// 30d and 90d are so many whole UTC days including today, from 00:00:00 of the first to 23:59:59 of the last. Another
// period is an Invalid fault.
func (l Lookback) At(now time.Time) (Range, error) {
	now = now.UTC()
	days := 0
	switch l {
	case Last24h:
		end := HourOf(now).Add(time.Hour)
		return Range{end.Add(-oneDay), end}, nil
	case Last7d:
		days = 7
	case Last30d:
		days = 30
	case Last90d:
		days = 90
	default:
		return Range{}, fault.Wrong("query.period", "must be one of 24h, 7d, 30d, 90d")
	}
	end := now.Truncate(oneDay).Add(oneDay)
	return Range{end.Add(-time.Duration(days) * oneDay), end}, nil
}

// Grain returns the granularity that suits the period where none is asked for: hours for 24h and 7d, else days.
func (l Lookback) Grain() Granularity {
	if l == Last24h || l == Last7d {
		return Hourly
	}
	return Daily
}

// Starts returns the beginnings of the range's points, oldest first. Days are UTC days, so that the first point of a
// range that begins inside one is shorter; it begins with the range.
func (r Range) Starts(g Granularity) []time.Time {
	step := g.Step()
	var out []time.Time
	for at := r.Start; at.Before(r.End); at = at.Truncate(step).Add(step) {
		out = append(out, at)
	}
	return out
}

// Month returns the UTC calendar month that t lies in.
func Month(t time.Time) Range {
	t = t.UTC()
	start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return Range{start, start.AddDate(0, 1, 0)}
}

// Today returns the UTC day that t lies in.
func Today(t time.Time) Range {
	start := t.UTC().Truncate(oneDay)
	return Range{start, start.Add(oneDay)}
}
