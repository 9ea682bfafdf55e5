package sentinel

import (
	"context"
	"sync"
	"time"
)

// defaultPace bounds connection attempts a second where the order sets no rate limit: fast enough for a /24, and no
// flood.
const defaultPace = 4000

// pacer hands out the right to open a connection or send a request, so many a second.
type pacer struct{ tokens chan struct{} }

// newPacer runs until ctx ends.
func newPacer(ctx context.Context, perSecond int) *pacer {
	tick, batch := time.Second/time.Duration(perSecond), 1
	if tick < 5*time.Millisecond { // timers finer than that are not kept
		tick, batch = 5*time.Millisecond, (perSecond+199)/200
	}
	p := &pacer{tokens: make(chan struct{}, batch)}
	go func() {
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			for range batch {
				select {
				case p.tokens <- struct{}{}:
				default:
				}
			}
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

// wait returns when the caller may go on, or false when ctx has ended.
func (p *pacer) wait(ctx context.Context) bool {
	select {
	case <-p.tokens:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// progress turns counted steps into a percentage that never goes back.
type progress struct {
	mu    sync.Mutex
	tell  func(percent int, phase string)
	last  int
	phase string
}

// at reports step of total within the span from..to of one phase.
func (p *progress) at(phase string, from, to, step, total int) {
	percent := to
	if total > 0 {
		percent = from + (to-from)*step/total
	}
	percent = min(percent, 99)
	p.mu.Lock()
	defer p.mu.Unlock()
	if percent < p.last || percent == p.last && phase == p.phase {
		return
	}
	p.last, p.phase = percent, phase
	if p.tell != nil {
		p.tell(percent, phase)
	}
}
