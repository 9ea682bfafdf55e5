package scan

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
)

// Lease is how long a worker may be silent before its scan is given to another. Workers renew it every Beat.
const (
	Lease = 30 * time.Second
	Beat  = 5 * time.Second
)

// progressEvery is the shortest time between two progress events of a scan.
const progressEvery = time.Second

// giveUp is how long before the lease's end a run that can't renew it stops its engine, so that the engine is gone
// before another worker may start.
const giveUp = 10 * time.Second

// maxPhase bounds a phase's text in bytes.
const maxPhase = 120

// heart keeps a run's lease and tells of its progress, and ends the run's context when the scan is cancelled or no
// longer its own.
type heart struct {
	r   *run
	end context.CancelCauseFunc

	pulse chan struct{} // there is new progress

	mu      sync.Mutex
	percent int
	phase   string

	toldPercent int // what the last event said; used by run only
	toldPhase   string
	until       time.Time // end of the lease as last written
}

func newHeart(r *run, end context.CancelCauseFunc) *heart {
	return &heart{
		r: r, end: end, pulse: make(chan struct{}, 1), phase: r.scan.Phase, toldPhase: r.scan.Phase, until: r.scan.LeaseUntil,
	}
}

// set notes progress; it never goes back and never reaches 100 before the end. It is cheap and never blocks.
func (h *heart) set(percent int, phase string) {
	h.mu.Lock()
	h.percent = max(h.percent, min(percent, 99))
	if phase = finding.Line(phase, maxPhase); phase != "" {
		h.phase = phase
	}
	h.mu.Unlock()
	select {
	case h.pulse <- struct{}{}:
	default:
	}
}

func (h *heart) progress() (int, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.percent, h.phase
}

// run beats until ctx ends.
func (h *heart) run(ctx context.Context) {
	news, unsubscribe := h.subscribe(ctx)
	defer unsubscribe()
	beat := time.NewTicker(Beat)
	defer beat.Stop()
	rest := time.NewTimer(progressEvery) // runs while further progress must wait
	rest.Stop()
	defer rest.Stop()
	pulse := h.pulse
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			h.look(ctx)
		case <-beat.C:
			h.beat(ctx, pulse != nil)
		case <-pulse:
			h.beat(ctx, true)
			rest.Reset(progressEvery)
			pulse = nil
		case <-rest.C:
			pulse = h.pulse
		}
	}
}

// subscribe listens for a cancellation; without it the next beat notices.
func (h *heart) subscribe(ctx context.Context) (<-chan struct{}, func()) {
	news, unsubscribe, err := h.r.e.d.Hub.Subscribe(h.r.scan.Org, string(h.r.scan.ID))
	if err != nil {
		h.r.log.WarnContext(ctx, "scan can't listen for its cancellation", slog.Any("error", err))
		return nil, func() {}
	}
	h.look(ctx) // for what happened before the subscription
	return news, unsubscribe
}

// look ends the run when the scan was cancelled or is no longer its own.
func (h *heart) look(ctx context.Context) {
	s, err := h.r.e.d.Store.Scan(ctx, h.r.scan.Org, h.r.scan.ID)
	switch {
	case err != nil:
	case s.Status == Cancelled && s.Fence == h.r.scan.Fence:
		h.end(errCancelled)
	case s.Status != Running || s.Fence != h.r.scan.Fence:
		h.end(errLost)
	}
}

// beat renews the lease, and with it may tell of new progress. A lease that comes near its end unrenewed is given up.
func (h *heart) beat(ctx context.Context, mayTell bool) {
	s := h.r.scan
	now := instant(h.r.e.d.Now)
	left := h.until.Add(-giveUp).Sub(now)
	if left <= 0 {
		h.end(errLost)
		return
	}
	percent, phase := h.progress()
	news := mayTell && (percent != h.toldPercent || phase != h.toldPhase)
	until := now.Add(Lease)
	wait, done := context.WithTimeout(ctx, left)
	defer done()
	ev := audit.Bookkeeping("lease and progress of a running scan")
	err := h.r.e.d.Store.Change(wait, s.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := tx.KeepLease(ctx, s.ID, s.Fence, until, percent, phase); err != nil || !news {
			return err
		}
		s.Progress, s.Phase = percent, phase
		return tx.Emit(ctx, event.ScanProgress, string(s.ID), s.Notice())
	})
	switch {
	case err == nil:
		h.until = until
		if news {
			h.toldPercent, h.toldPhase = percent, phase
		}
	case isConflict(err):
		h.look(ctx)
	case ctx.Err() == nil:
		h.r.log.WarnContext(ctx, "scan lease not renewed", slog.Any("error", err))
	}
}
