package api

import (
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Time is a moment in an answer: RFC 3339 in UTC with Z. It is text already, because lists hold many and encoding/json
// takes several times as long to ask a time.Time for its text.
type Time string

// At returns t as answers show it.
func At(t time.Time) Time { return Time(t.UTC().Format(time.RFC3339Nano)) }

// Moment returns t as answers show it, nil where it never happened.
func Moment(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	m := At(t)
	return &m
}

// Schema implements huma.SchemaProvider.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Format: "date-time"}
}
