package template

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/uid"
)

// LookEvery is the longest time between two looks at the agenda: how late a change made on another node, or a start
// that failed, is seen.
const LookEvery = 30 * time.Second

// How much is done at once.
const (
	dueAtOnce = 64 // templates read in one step
	starting  = 8  // templates started at the same time: names may take long to be resolved
)

// Owners says who a schedule's owner is at this moment; access.Service.Standing.
type Owners interface {
	Standing(ctx context.Context, org uid.Org, principal string) (access.Actor, error)
}

// SchedulerDeps is what a Scheduler is made of; all are required.
type SchedulerDeps struct {
	Agenda Agenda
	Store  Store
	Scans  Scans
	Owners Owners
	Sealer Sealer
	Zone   schedule.Zone
	Now    func() time.Time
	IDs    *uid.Source
	Log    *slog.Logger
}

// Scheduler starts templates whose time has come. Several may run on one database: a due time starts once, because who
// starts it moves the schedule on in the transaction that holds the scans.
type Scheduler struct {
	d    SchedulerDeps
	wake chan struct{}
}

// NewScheduler returns a scheduler that isn't running.
func NewScheduler(d SchedulerDeps) *Scheduler {
	return &Scheduler{d: d, wake: make(chan struct{}, 1)}
}

// Wake makes a sleeping scheduler look now. It never blocks, and may be called before Run and after it.
func (s *Scheduler) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run starts what is due until ctx ends, sleeping from one start to the next. What fails is logged and tried again
// within LookEvery.
func (s *Scheduler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		now := instant(s.d.Now)
		s.look(ctx, now)
		timer := time.NewTimer(s.sleep(ctx, now))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// Look starts what is due now, once.
func (s *Scheduler) Look(ctx context.Context) { s.look(ctx, instant(s.d.Now)) }

// sleep is the time until the first start after the look; what that look left is for the one after LookEvery.
func (s *Scheduler) sleep(ctx context.Context, looked time.Time) time.Duration {
	next, err := s.d.Agenda.NextStart(ctx, looked)
	switch {
	case err != nil:
		s.failed(ctx, "the agenda couldn't be read", err)
	case !next.IsZero():
		return min(max(next.Sub(instant(s.d.Now)), 0), LookEvery)
	}
	return LookEvery
}

func (s *Scheduler) look(ctx context.Context, now time.Time) {
	var after Ref
	for ctx.Err() == nil {
		list, err := s.d.Agenda.DueTemplates(ctx, now, after, dueAtOnce)
		if err != nil {
			s.failed(ctx, "the agenda couldn't be read", err)
			return
		}
		s.each(ctx, list, now)
		if len(list) < dueAtOnce {
			return
		}
		after = list[len(list)-1]
	}
}

// each starts the templates, several at once.
func (s *Scheduler) each(ctx context.Context, list []Ref, now time.Time) {
	next := make(chan Ref)
	var all sync.WaitGroup
	for range min(starting, len(list)) {
		all.Go(func() {
			for r := range next {
				s.safely(ctx, r, now)
			}
		})
	}
	for _, r := range list {
		next <- r
	}
	close(next)
	all.Wait()
}

// safely keeps one template's failure or defect from ending the others.
func (s *Scheduler) safely(ctx context.Context, r Ref, now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			s.d.Log.ErrorContext(ctx, "starting a template panicked", slog.String("template", string(r.ID)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if err := s.start(ctx, r, now); err != nil {
		s.failed(ctx, "a template couldn't be started", err, slog.String("template", string(r.ID)))
	}
}

func (s *Scheduler) failed(ctx context.Context, what string, err error, attrs ...any) {
	if ctx.Err() == nil {
		s.d.Log.ErrorContext(ctx, what, append(attrs, slog.Any("error", err))...) //nolint:sloglint // the messages are literals of this file
	}
}
