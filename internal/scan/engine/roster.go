package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// RosterDeps is what checks of engines need. Env makes what an engine may use during a check and returns what
// clears it away. Every is the time between two rounds (0 = 5 minutes), Timeout bounds one check (0 = 10 seconds).
type RosterDeps struct {
	Engines []Engine
	Env     func() (Env, func(), error)
	Log     *slog.Logger
	Every   time.Duration
	Timeout time.Duration
}

// Roster knows which engines can run here. Checks start programs, so their answers are kept; Run renews them. It
// is safe for concurrent use.
type Roster struct {
	d RosterDeps

	first sync.Once
	known chan struct{} // closed after the first round

	mu    sync.Mutex
	state map[string]Availability
}

// NewRoster returns a Roster that has checked nothing yet.
func NewRoster(d RosterDeps) *Roster {
	if d.Every <= 0 {
		d.Every = 5 * time.Minute
	}
	if d.Timeout <= 0 {
		d.Timeout = 10 * time.Second
	}
	return &Roster{d: d, known: make(chan struct{}), state: map[string]Availability{}}
}

// Run checks all engines now and then every so often, until ctx ends.
func (a *Roster) Run(ctx context.Context) error {
	tick := time.NewTicker(a.d.Every)
	defer tick.Stop()
	for {
		a.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Of returns an engine's state as of the last round. Before the first one has ended it waits for it, and begins it
// where Run hasn't; an engine that isn't in the catalog is not available.
func (a *Roster) Of(ctx context.Context, id string) (Availability, error) {
	select {
	case <-a.known:
	default:
		go a.begin(context.WithoutCancel(ctx)) // the round is everybody's, not this caller's
		select {
		case <-a.known:
		case <-ctx.Done():
			return Availability{}, fault.Of(ctx.Err())
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.state[id]; ok {
		return s, nil
	}
	return Availability{Reason: "there is no such engine"}, nil
}

// begin makes the first round once.
func (a *Roster) begin(ctx context.Context) {
	a.first.Do(func() {
		a.check(ctx)
		close(a.known)
	})
}

func (a *Roster) round(ctx context.Context) {
	fresh := false
	a.first.Do(func() {
		fresh = true
		a.check(ctx)
		close(a.known)
	})
	if !fresh && ctx.Err() == nil {
		a.check(ctx)
	}
}

// check asks all engines at once and notes the answers together.
func (a *Roster) check(ctx context.Context) {
	answers := make([]Availability, len(a.d.Engines))
	var all sync.WaitGroup
	for i, e := range a.d.Engines {
		all.Go(func() { answers[i] = a.ask(ctx, e) })
	}
	all.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.d.Engines {
		id := e.Manifest().ID
		if before, ok := a.state[id]; !ok || before != answers[i] {
			a.d.Log.InfoContext(ctx, "engine checked", slog.String("engine", id), slog.Bool("available", answers[i].Available),
				slog.String("version", answers[i].Version), slog.String("reason", answers[i].Reason))
		}
		a.state[id] = answers[i]
	}
}

// ask asks one engine; one without a program of its own is always there.
func (a *Roster) ask(ctx context.Context, e Engine) (state Availability) {
	checker, ok := e.(Checker)
	if !ok {
		return Availability{Available: true}
	}
	ctx, cancel := context.WithTimeout(ctx, a.d.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			a.d.Log.ErrorContext(ctx, "engine check panicked", slog.String("engine", e.Manifest().ID), slog.Any("panic", p))
			state = Availability{Reason: "its check failed; the log has the details"}
		}
	}()
	env, done, err := a.d.Env()
	if err != nil {
		a.d.Log.ErrorContext(ctx, "engine can't be checked", slog.String("engine", e.Manifest().ID), slog.Any("error", err))
		return Availability{Reason: "it can't be checked; the log has the details"}
	}
	defer done()
	return checker.Check(ctx, env)
}
