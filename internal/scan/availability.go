package scan

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// AvailabilityDeps is what checks of engines need. Env makes what an engine may use during a check and returns what
// clears it away. Every is the time between two rounds (0 = 5 minutes), Timeout bounds one check (0 = 10 seconds).
type AvailabilityDeps struct {
	Engines []engine.Engine
	Env     func() (engine.Env, func(), error)
	Log     *slog.Logger
	Every   time.Duration
	Timeout time.Duration
}

// Availability knows which engines can run here. Checks start programs, so their answers are kept; Run renews them. It
// is safe for concurrent use.
type Availability struct {
	d AvailabilityDeps

	first sync.Once
	known chan struct{} // closed after the first round

	mu    sync.Mutex
	state map[string]engine.Availability
}

// NewAvailability returns an Availability that has checked nothing yet.
func NewAvailability(d AvailabilityDeps) *Availability {
	if d.Every <= 0 {
		d.Every = 5 * time.Minute
	}
	if d.Timeout <= 0 {
		d.Timeout = 10 * time.Second
	}
	return &Availability{d: d, known: make(chan struct{}), state: map[string]engine.Availability{}}
}

// Run checks all engines now and then every so often, until ctx ends.
func (a *Availability) Run(ctx context.Context) error {
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
func (a *Availability) Of(ctx context.Context, id string) (engine.Availability, error) {
	select {
	case <-a.known:
	default:
		go a.begin(context.WithoutCancel(ctx)) // the round is everybody's, not this caller's
		select {
		case <-a.known:
		case <-ctx.Done():
			return engine.Availability{}, fault.Of(ctx.Err())
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.state[id]; ok {
		return s, nil
	}
	return engine.Availability{Reason: "there is no such engine"}, nil
}

// begin makes the first round once.
func (a *Availability) begin(ctx context.Context) {
	a.first.Do(func() {
		a.check(ctx)
		close(a.known)
	})
}

func (a *Availability) round(ctx context.Context) {
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
func (a *Availability) check(ctx context.Context) {
	answers := make([]engine.Availability, len(a.d.Engines))
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
func (a *Availability) ask(ctx context.Context, e engine.Engine) (state engine.Availability) {
	checker, ok := e.(engine.Checker)
	if !ok {
		return engine.Availability{Available: true}
	}
	ctx, cancel := context.WithTimeout(ctx, a.d.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			a.d.Log.ErrorContext(ctx, "engine check panicked", slog.String("engine", e.Manifest().ID), slog.Any("panic", p))
			state = engine.Availability{Reason: "its check failed; the log has the details"}
		}
	}()
	env, done, err := a.d.Env()
	if err != nil {
		a.d.Log.ErrorContext(ctx, "engine can't be checked", slog.String("engine", e.Manifest().ID), slog.Any("error", err))
		return engine.Availability{Reason: "it can't be checked; the log has the details"}
	}
	defer done()
	return checker.Check(ctx, env)
}
