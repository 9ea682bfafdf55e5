package hook

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Rhythm of the office. Wakes are answered at once; the poll finds what a lost wake has left.
const (
	fanBatch    = 400
	settleBatch = 200
	poll        = time.Second
	// keepCursor is how often the cursor is moved although nobody was owed anything.
	keepCursor = 10 * time.Second
	// lease is how long a claimed letter is kept from others: waiting, one try, and writing its outcome.
	lease = 45 * time.Second
	// grace is how long tries may go on when the server stops.
	grace     = 3 * time.Second
	closeTime = 10 * time.Second
)

// OfficeDeps is what an Office is made of; all are required.
type OfficeDeps struct {
	Post   Post
	Store  Store
	Sender *Sender
	// News is poked after commits that wrote events; the returned function ends the subscription.
	News    func() (<-chan struct{}, func())
	Base    string // public address of the server, for links
	Now     func() time.Time
	IDs     *uid.Source
	Chance  func() float64 // 0 to 1, for jitter
	Log     *slog.Logger
	Alone   bool // no other process delivers: leases of an earlier life are void
	Observe func(outcome string, took time.Duration)
}

// Office brings events to their receivers: one loop reads the outbox, one claims what is due, workers send, one writes
// outcomes. Several may run on one database.
type Office struct {
	d       OfficeDeps
	router  router
	due     chan struct{}
	results chan Outcome
	workers sync.WaitGroup

	mu      sync.Mutex
	lanes   map[string]*lane
	running int // tries under way
	closed  bool
	sends   context.Context //nolint:containedctx // ends what workers send, which outlives the loops by the grace
}

// NewOffice returns an office; Run opens it.
func NewOffice(d OfficeDeps) *Office {
	return &Office{
		d: d, router: router{base: d.Base, ids: d.IDs, now: d.Now}, due: make(chan struct{}, 1), results: make(chan Outcome, maxRunning),
		lanes: map[string]*lane{},
	}
}

// Wake says that something may have become due. It never blocks.
func (o *Office) Wake() {
	select {
	case o.due <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends. Then nothing new is begun, tries under way may end within a moment, and what was claimed
// and not sent is given back. An error is a panic of a loop.
func (o *Office) Run(ctx context.Context) error {
	if o.d.Alone {
		if err := o.d.Post.ReleaseAll(ctx, instant(o.d.Now)); err != nil && ctx.Err() == nil {
			return err
		}
	}
	sends, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	o.mu.Lock()
	o.sends = sends
	o.mu.Unlock()
	loops, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, 3)
	var all sync.WaitGroup
	start := func(name string, f func(context.Context)) {
		all.Go(func() { failed <- guarded(name, func() { f(loops) }) })
	}
	start("fan-out", o.fan)
	start("claims", o.claims)
	settled := make(chan error, 1)
	go func() { settled <- guarded("outcomes", func() { o.settle(context.WithoutCancel(ctx)) }) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-settled:
		settled <- err
	}
	end()
	all.Wait()
	o.close(context.WithoutCancel(ctx), abort)
	if last := <-settled; err == nil {
		err = last
	}
	return err
}

// close gives back what waits, lets tries end, and has their outcomes written.
func (o *Office) close(ctx context.Context, abort func()) {
	stop := time.AfterFunc(grace, abort)
	defer stop.Stop()
	ctx, done := context.WithTimeout(ctx, closeTime)
	defer done()
	if err := o.giveBack(ctx, o.shut()); err != nil {
		o.d.Log.WarnContext(ctx, "claimed deliveries not given back; they are made when their leases end", slog.Any("error", err))
	}
	o.workers.Wait()
	close(o.results)
}

func (o *Office) giveBack(ctx context.Context, letters []Letter) error {
	for chunk := range slices.Chunk(letters, MaxChunk) {
		if err := o.d.Post.Release(ctx, chunk, instant(o.d.Now)); err != nil {
			return err
		}
	}
	return nil
}

// guarded runs f and turns its panic into an error.
func guarded(name string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, fault.CodeInternal, "the delivery of webhooks failed").
				Because(fmt.Errorf("%s: panic: %v\n%s", name, p, debug.Stack()))
		}
	}()
	f()
	return nil
}

// rest waits for news, or as long as given; false when ctx ends.
func rest(ctx context.Context, news <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(max(d, time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-news:
	case <-t.C:
	}
	return true
}

// fan turns events of the outbox into deliveries until ctx ends.
func (o *Office) fan(ctx context.Context) {
	news, unsubscribe := o.d.News()
	defer unsubscribe()
	f := Fan{Limit: fanBatch}
	unwritten, written, busy := 0, o.d.Now(), false
	for {
		f.Write = busy || (unwritten > 0 && o.d.Now().Sub(written) >= keepCursor)
		done, err := o.d.Post.FanOut(ctx, f, o.router.route)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			o.d.Log.WarnContext(ctx, "events not fanned out to webhooks yet", slog.Any("error", err))
			if !rest(ctx, nil, poll) {
				return
			}
			continue
		}
		f.After = max(f.After, done.Last)
		unwritten += done.Read
		if done.Deliveries > 0 || f.Write {
			unwritten, written = 0, o.d.Now()
		}
		if done.Deliveries > 0 {
			o.Wake()
		}
		if busy = done.More && done.Deliveries > 0; done.More {
			continue // where somebody was owed something, the next ones are not looked at first
		}
		if !rest(ctx, news, poll) {
			return
		}
	}
}

// claims takes what is due, as far as lanes have room, until ctx ends.
func (o *Office) claims(ctx context.Context) {
	for {
		next, err := o.claim(ctx)
		if err != nil && ctx.Err() == nil {
			o.d.Log.WarnContext(ctx, "deliveries not claimed yet", slog.Any("error", err))
		}
		if !rest(ctx, o.due, min(next, poll)) {
			return
		}
	}
}

// claim fills every lane once and returns how long nothing else becomes due.
func (o *Office) claim(ctx context.Context) (time.Duration, error) {
	lanes, err := o.d.Post.Lanes(ctx)
	if err != nil {
		return poll, err
	}
	now := instant(o.d.Now)
	next := poll
	o.leastBusyFirst(lanes)
	for _, l := range lanes {
		if l.Kind != LaneOpen {
			if err := o.d.Post.Clear(ctx, l); err != nil {
				return poll, err
			}
			next = 0
			continue
		}
		if wait := l.Due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		n := o.room(l.Name)
		if n == 0 {
			continue
		}
		letters, err := o.d.Post.Claim(ctx, l, now, now.Add(lease), n)
		if err != nil {
			return poll, err
		}
		if len(letters) == n {
			next = 0 // there may be more, if there is room
		}
		o.put(l.Name, letters) //nolint:contextcheck // what is sent outlives the loops by the grace
	}
	if next == 0 && !o.anyRoom(lanes) {
		next = poll // whoever makes room wakes
	}
	return next, nil
}

// settle writes outcomes until no more can come. What can't be written is tried again for as long as its lease lasts;
// then the delivery is made once more, which receivers know by the event's id.
func (o *Office) settle(ctx context.Context) {
	for first := range o.results {
		batch := []Outcome{first}
	more:
		for len(batch) < settleBatch {
			select {
			case r, ok := <-o.results:
				if !ok {
					break more
				}
				batch = append(batch, r)
			default:
				break more
			}
		}
		o.write(ctx, batch)
		o.Wake() // a retry may be due before anything that is known
	}
}

// write settles a batch and disables the webhooks whose receivers have tried our patience.
func (o *Office) write(ctx context.Context, batch []Outcome) {
	batch, broken := split(batch)
	if err := o.giveBack(ctx, broken); err != nil {
		o.d.Log.WarnContext(ctx, "deliveries broken off are made when their leases end", slog.Any("error", err))
	}
	if len(batch) == 0 {
		return
	}
	slices.SortStableFunc(batch, byHookAndTime)
	stops := map[uid.Webhook]stopped{}
	verdicts := map[uid.Delivery]State{}
	judge := func(h Health, r Outcome) (Verdict, Health) {
		v, after := Judge(h, r)
		verdicts[r.ID] = v.State
		if why := after.Stopped(r); why != "" && r.Hook != "" {
			stops[r.Hook] = stopped{org: r.Org, why: why}
		}
		return v, after
	}
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		err := o.d.Post.Settle(ctx, batch, judge)
		if err == nil {
			break
		}
		if wait > 10*time.Second {
			o.d.Log.ErrorContext(ctx, "outcomes of deliveries lost; they are made again", slog.Int("deliveries", len(batch)), slog.Any("error", err))
			return
		}
		if !rest(ctx, nil, wait) {
			return
		}
	}
	for _, r := range batch {
		o.d.Observe(string(verdicts[r.ID]), r.Took)
	}
	for id, s := range stops {
		if err := o.stop(ctx, id, s); err != nil {
			o.d.Log.WarnContext(ctx, "webhook not disabled yet", slog.String("webhook", string(id)), slog.Any("error", err))
		}
	}
}

// errBroken marks a letter that was not sent: the stopping server broke its try off, or its lane has become too narrow.
const errBroken = "not sent"

func split(batch []Outcome) (done []Outcome, broken []Letter) {
	for _, r := range batch {
		if r.Error == errBroken {
			broken = append(broken, r.Letter)
			continue
		}
		done = append(done, r)
	}
	return done, broken
}

func byHookAndTime(a, b Outcome) int {
	for _, c := range []int{compare(string(a.Org), string(b.Org)), compare(string(a.Hook), string(b.Hook)), a.At.Add(a.Took).Compare(b.At.Add(b.Took))} {
		if c != 0 {
			return c
		}
	}
	return 0
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

type stopped struct {
	org uid.Org
	why Stop
}

// StopNotice is the data of webhook.disabled events.
type StopNotice struct {
	WebhookID uid.Webhook `json:"webhookId"`
	Reason    Stop        `json:"reason"`
	Failures  int         `json:"failures"`
}

// stop disables a webhook, if it still deserves it, tells of it and holds what waits.
func (o *Office) stop(ctx context.Context, id uid.Webhook, s stopped) error {
	now := instant(o.d.Now)
	ev := audit.Event{Type: event.WebhookStopped, Resource: about(id), Reason: string(s.why)}
	err := o.d.Store.Change(ctx, s.org, ev, func(ctx context.Context, tx Tx) error {
		w, err := tx.WebhookForUpdate(ctx, id)
		if err != nil {
			return err
		}
		if !w.Active() || w.Failures == 0 {
			return fault.New(fault.Conflict, fault.CodeConflict, "the webhook has changed meanwhile")
		}
		w.Stop, w.UpdatedAt = s.why, now
		if err := tx.UpdateWebhook(ctx, w); err != nil {
			return err
		}
		if _, err := tx.HoldDeliveries(ctx, id); err != nil {
			return err
		}
		return tx.Emit(ctx, event.WebhookDisabled, string(id), StopNotice{WebhookID: id, Reason: s.why, Failures: w.Failures})
	})
	if err != nil && (fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.NotFound) {
		return nil
	}
	return err
}
