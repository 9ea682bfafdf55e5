// Package pace holds a scan back and tells how far it is: so many connections a second, and a percentage that never goes
// back. It knows nothing of what is paced. Start with New.
package pace

import (
	"context"
	"sync"
	"time"
)

// Default bounds connection attempts a second where the order sets no rate limit: fast enough for a /24, and no
// flood.
const Default = 4000

// Pacer hands out the right to open a connection or send a request, so many a second.
type Pacer struct{ tokens chan struct{} }

// New returns a pacer that runs until ctx ends.
func New(ctx context.Context, perSecond int) *Pacer {
	tick, batch := time.Second/time.Duration(perSecond), 1
	if tick < 5*time.Millisecond { // timers finer than that are not kept
		tick, batch = 5*time.Millisecond, (perSecond+199)/200
	}
	p := &Pacer{tokens: make(chan struct{}, batch)}
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

// Wait returns when the caller may go on, or false when ctx has ended.
func (p *Pacer) Wait(ctx context.Context) bool {
	select {
	case <-p.tokens:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// NewProgress returns a Progress that reports to tell; nil = to nobody.
func NewProgress(tell func(percent int, phase string)) *Progress {
	return &Progress{tell: tell, last: -1}
}

// Progress turns counted steps into a percentage that never goes back. It is safe for concurrent use.
type Progress struct {
	mu    sync.Mutex
	tell  func(percent int, phase string)
	last  int
	phase string
}

// At reports step of total within the span from..to of one phase.
func (p *Progress) At(phase string, from, to, step, total int) {
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
