// Package obs is how a running server is seen from outside: structured logs, Prometheus metrics and, where a collector
// is configured, OpenTelemetry traces.
//
// It observes and never decides; a failing collector must not slow or fail a request. Labels are closed sets (route
// patterns, states, engine ids): never an id, an address or anything that a caller can choose. Start with Metrics.
package obs

import (
	"io"
	"log/slog"
)

// NewLogger returns the process's logger. level and format are checked by package config; times are UTC.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: l, ReplaceAttr: utc}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func utc(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
