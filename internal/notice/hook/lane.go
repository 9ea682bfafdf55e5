package hook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Bounds of what is sent at once. A lane begins with a few tries at a time, gets more with each quick answer, and loses
// half with each slow one or failure to answer: a receiver that hangs is soon down to one, and takes no place from
// others.
const (
	maxRunning = 512
	laneStart  = 8
	laneMost   = 32
	slowAnswer = time.Second
	maxLanes   = 4096 // remembered
	// spare is how much of its lease a letter must have left to be sent.
	spare = SendTimeout + 5*time.Second
)

// lane is what waits for one receiver in this process.
type lane struct {
	queue   []Letter
	running int
	limit   int
}

func (o *Office) lane(name string) *lane {
	l := o.lanes[name]
	if l == nil {
		if len(o.lanes) >= maxLanes {
			o.forget()
		}
		l = &lane{limit: laneStart}
		o.lanes[name] = l
	}
	return l
}

// forget drops the idle lanes; their pace is learnt anew.
func (o *Office) forget() {
	for name, l := range o.lanes {
		if l.running == 0 && len(l.queue) == 0 {
			delete(o.lanes, name)
		}
	}
}

// room is how many letters a lane can take.
func (o *Office) room(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0
	}
	l := o.lane(name)
	return max(l.ahead()-l.running-len(l.queue), 0)
}

// ahead is how many letters a lane may have claimed: as many as it sends at once wait, and many for a quick receiver.
func (l *lane) ahead() int {
	if l.limit == laneMost {
		return 8 * laneMost
	}
	return 2 * l.limit
}

func (o *Office) anyRoom(lanes []Lane) bool {
	return slices.ContainsFunc(lanes, func(l Lane) bool { return l.Kind != LaneOpen || o.room(l.Name) > 0 })
}

func (o *Office) leastBusyFirst(lanes []Lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	busy := make(map[string]int, len(lanes))
	for _, l := range lanes {
		if known := o.lanes[l.Name]; known != nil {
			busy[l.Name] = known.running + len(known.queue)
		}
	}
	slices.SortStableFunc(lanes, func(a, b Lane) int { return busy[a.Name] - busy[b.Name] })
}

// put adds claimed letters to a lane and sets workers on them.
func (o *Office) put(name string, letters []Letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lane(name)
	l.queue = append(l.queue, letters...)
	o.staff(l)
}

// staff starts workers for what waits in a lane, as far as its limit and the office's allow.
func (o *Office) staff(l *lane) {
	for started := 0; started < len(l.queue) && l.running < l.limit && o.running < maxRunning && !o.closed; started++ {
		l.running++
		o.running++
		o.workers.Go(func() { o.work(l) })
	}
}

// work sends a lane's letters one after the other until there are none, or it is one worker too many.
func (o *Office) work(l *lane) {
	for {
		letter, ok := o.take(l)
		if !ok {
			return
		}
		r := o.send(letter)
		surplus := o.pace(l, r)
		o.results <- r
		for _, letter := range surplus {
			o.results <- Outcome{Letter: letter, Attempt: Attempt{Error: errBroken}} // given back
		}
	}
}

// take returns the next letter whose lease lasts; false ends the worker.
func (o *Office) take(l *lane) (Letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := instant(o.d.Now)
	for len(l.queue) > 0 && !o.closed && l.running <= l.limit && (o.running < maxRunning || !o.hungry()) {
		next := l.queue[0]
		l.queue = l.queue[1:]
		if len(l.queue) == l.ahead()/4 {
			o.Wake() // there is room for more
		}
		if next.Lease.Sub(now) > spare {
			return next, true
		}
	}
	l.running--
	o.running--
	if o.running >= maxRunning-laneMost {
		o.fill()
	}
	if len(l.queue) == 0 {
		o.Wake()
	}
	return Letter{}, false
}

// hungry reports whether a lane waits for its first worker.
func (o *Office) hungry() bool {
	for _, l := range o.lanes {
		if l.running == 0 && len(l.queue) > 0 {
			return true
		}
	}
	return false
}

// fill gives workers to lanes that wait for them, those without any first.
func (o *Office) fill() {
	for _, idle := range []bool{true, false} {
		for _, l := range o.lanes {
			if (l.running == 0) == idle {
				o.staff(l)
			}
		}
	}
}

// pace widens or narrows a lane by how its receiver has answered. It returns the letters that the lane can't take any more.
func (o *Office) pace(l *lane, r Outcome) (surplus []Letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Status == 0 || r.Took >= slowAnswer || r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
		l.limit = max(l.limit/2, 1)
		if keep := l.ahead(); len(l.queue) > keep {
			surplus = slices.Clone(l.queue[keep:])
			l.queue = l.queue[:keep]
		}
		return surplus
	}
	l.limit = min(l.limit+1, laneMost)
	o.staff(l)
	return nil
}

// send makes one try; a panic in it is a failed try.
func (o *Office) send(letter Letter) (r Outcome) {
	o.mu.Lock()
	ctx := o.sends
	o.mu.Unlock()
	err := guarded("try", func() { r = o.d.Sender.Send(ctx, letter) })
	if err != nil {
		r = Outcome{Letter: letter, Attempt: Attempt{N: letter.Attempts + 1, At: instant(o.d.Now), Error: "the try failed on our side"}}
		o.d.Log.ErrorContext(ctx, "webhook try panicked", slog.Any("error", err))
	}
	if errors.Is(ctx.Err(), context.Canceled) && !r.OK() {
		r.Error = errBroken
	}
	r.Chance = o.d.Chance()
	return r
}

// shut lets no letter be sent any more and returns those that wait.
func (o *Office) shut() []Letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	var out []Letter
	for _, l := range o.lanes {
		out = append(out, l.queue...)
		l.queue = nil
	}
	return out
}
