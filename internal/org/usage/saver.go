package usage

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"
)

const (
	saveEvery  = time.Second
	sweepEvery = time.Minute
	saveUnit   = 500 // rows in one call of the keeper
	saveOnStop = 5 * time.Second
)

// SaverDeps is what a Saver is made of; all are required.
type SaverDeps struct {
	Counter *MemoryCounter
	Keeper  Keeper
	Now     func() time.Time
	Log     *slog.Logger
}

// Saver keeps a memory counter over restarts: what changed is written each second and at the stop. A kill loses at
// most the last second's counts.
type Saver struct{ d SaverDeps }

// NewSaver returns a Saver. Load it before the first call is served, then Run it.
func NewSaver(d SaverDeps) *Saver { return &Saver{d: d} }

// Load restores the windows that haven't ended.
func (s *Saver) Load(ctx context.Context) error {
	snap, err := s.d.Keeper.LoadWindows(ctx, s.today())
	if err != nil {
		return err
	}
	s.d.Counter.Restore(snap)
	return nil
}

// Run saves and sweeps until ctx ends, and then saves once more. It returns nil; a failed save is logged and its rows
// are part of the next.
func (s *Saver) Run(ctx context.Context) error {
	save, sweep := time.NewTicker(saveEvery), time.NewTicker(sweepEvery)
	defer save.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-save.C:
			s.save(ctx)
		case <-sweep.C:
			s.d.Counter.Sweep(s.d.Now())
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveOnStop)
			defer cancel()
			s.save(last)
			return nil
		}
	}
}

// save also keeps a defect in a store from ending the server.
func (s *Saver) save(ctx context.Context) {
	snap := s.d.Counter.Snapshot()
	saved := 0
	defer func() {
		if p := recover(); p != nil {
			s.d.Counter.Unsaved(Snapshot{Rows: snap.Rows[saved:]})
			s.d.Log.ErrorContext(ctx, "panic while saving rate-limit windows",
				slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
		}
	}()
	for part := range slices.Chunk(snap.Rows, saveUnit) {
		if err := s.d.Keeper.SaveWindows(ctx, part, s.today()); err != nil {
			s.d.Counter.Unsaved(Snapshot{Rows: snap.Rows[saved:]})
			s.d.Log.WarnContext(ctx, "rate-limit windows not saved yet", slog.Any("error", err))
			return
		}
		saved += len(part)
	}
}

func (s *Saver) today() time.Time { return s.d.Now().UTC().Truncate(24 * time.Hour) }
