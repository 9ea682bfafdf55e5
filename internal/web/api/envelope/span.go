package envelope

import (
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Span reads the pair of times by which a list is narrowed, "from" and "to": RFC 3339 or dates, a date as end includes that
// day; empty ones are zero. A fault is Invalid and names the field.
func Span(from, to string) (a, b time.Time, err error) {
	if a, _, err = instant("from", from); err != nil {
		return a, b, err
	}
	b, day, err := instant("to", to)
	if day {
		b = b.AddDate(0, 0, 1)
	}
	return a, b, err
}

func instant(field, s string) (t time.Time, day bool, err error) {
	if s == "" {
		return t, false, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, true, nil
	}
	t, perr := time.Parse(time.RFC3339, s)
	if perr != nil {
		return t, false, fault.Wrong(field, "must be RFC 3339 (2026-11-22T10:00:00Z) or a date (2026-11-22)")
	}
	return t.UTC(), false, nil
}
