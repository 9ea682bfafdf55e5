// Package obs is how a running server is seen from outside: structured logs, Prometheus metrics and, where a collector
// is configured, OpenTelemetry traces.
//
// It observes and never decides; a failing collector must not slow or fail a request. Labels are closed sets (route
// patterns, states, engine ids): never an id, an address or anything that a caller can choose. Start with Metrics.
package obs

import (
	"context"
	"io"
	"log/slog"
)

// NewLogger returns the process's logger. level and format are checked by package config; times are UTC.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(utc{slog.NewJSONHandler(w, opt)})
	}
	return slog.New(utc{slog.NewTextHandler(w, opt)})
}

// utc is a handler that writes times in UTC. It changes the record, not each of its attributes, as ReplaceAttr would.
type utc struct{ slog.Handler }

func (h utc) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	return h.Handler.Handle(ctx, r)
}

func (h utc) WithAttrs(attrs []slog.Attr) slog.Handler { return utc{h.Handler.WithAttrs(attrs)} }

func (h utc) WithGroup(name string) slog.Handler { return utc{h.Handler.WithGroup(name)} }
