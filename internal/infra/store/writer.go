package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of the SQLite writer.
const (
	maxBatch    = 128
	defaultHold = 5 * time.Millisecond // how long a batch takes more units, at least
	slowUnit    = 20 * time.Millisecond
	defaultWait = 4096
)

// writer is the one goroutine that writes SQLite. It takes the units that are waiting, runs each in its own savepoint,
// and commits them together: every caller is answered after the one fsync that covers it.
type writer struct {
	s     *Store
	b     *sqliteStore
	queue chan *unit
	bulk  chan *unit // at most one of these in a batch, and last
	held  *unit      // a bulk unit whose batch was lost before its turn
	log   *logWriter

	mu      sync.RWMutex // held shared while a unit is handed over, alone while closing
	refuse  bool
	stop    chan struct{} // closed: finish what waits, then end
	abandon chan struct{} // closed: answer what waits with a refusal
	ended   chan struct{}

	commitMean time.Duration // running mean of COMMIT, for the time a batch stays open
}

func newWriter(s *Store, b *sqliteStore) *writer {
	n := s.cfg.Waiting
	if n <= 0 {
		n = defaultWait
	}
	return &writer{
		s: s, b: b, queue: make(chan *unit, n), bulk: make(chan *unit, n), log: newLogWriter(s),
		stop: make(chan struct{}), abandon: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (w *writer) submit(ctx context.Context, u *unit) error { return u.answer(ctx, w.hand) }

// answer hands the unit over and waits for its answer. A caller that gives up while the unit waits withdraws it, and
// nothing is written; once a writer has it, the caller waits for the true answer, a batch at most.
func (u *unit) answer(ctx context.Context, hand func(*unit) error) error {
	if err := ctx.Err(); err != nil {
		return fault.Of(err)
	}
	if err := hand(u); err != nil {
		return err
	}
	select {
	case err := <-u.done:
		return err
	case <-ctx.Done():
		if u.withdraw() {
			return fault.Of(ctx.Err())
		}
		return <-u.done
	}
}

func (w *writer) hand(u *unit) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.refuse || w.b.broken.Load() {
		return unavailable("the server is stopping; try again", nil)
	}
	lane := w.queue
	if u.bulk {
		lane = w.bulk
	}
	select {
	case lane <- u:
		return nil
	default:
		return unavailable("too many changes are waiting; try again", nil)
	}
}

// close refuses new units, lets the waiting ones finish until ctx ends, and ends the goroutine.
func (w *writer) close(ctx context.Context) {
	w.mu.Lock()
	w.refuse = true
	w.mu.Unlock()
	close(w.stop)
	select {
	case <-w.ended:
	case <-ctx.Done():
		close(w.abandon)
		<-w.ended
	}
}

func (w *writer) loop() {
	defer close(w.ended)
	for {
		u := w.wait()
		if u == nil {
			return
		}
		select {
		case <-w.abandon:
			w.refuseUnit(u)
			continue
		default:
		}
		if w.b.broken.Load() {
			w.refuseUnit(u)
			continue
		}
		w.batch(u)
	}
}

func (w *writer) refuseUnit(u *unit) {
	if u.claim() {
		u.done <- unavailable("the server is stopping; try again", nil)
	}
}

// wait returns the first unit of the next batch, nil when the writer may end.
func (w *writer) wait() *unit {
	if u := w.held; u != nil {
		w.held = nil
		return u
	}
	select {
	case u := <-w.queue:
		return u
	default:
	}
	select {
	case u := <-w.queue:
		return u
	case u := <-w.bulk:
		return u
	case <-w.stop:
	}
	select { // stopping: nobody hands over any more, so empty means done
	case u := <-w.queue:
		return u
	case u := <-w.bulk:
		return u
	default:
		return nil
	}
}

// batch is one transaction's worth of units.
type batch struct {
	tx      *sql.Tx
	started time.Time
	taken   []*unit // claimed, in order; each is answered exactly once
	errs    []error // of each taken unit; nil = to be committed
	pending *pendingLog
	wakes   []Topic
	jobs    bool
	lost    bool // the transaction is gone: nothing of it may be acknowledged
	culprit int  // the unit during which it went, -1 = none
}

// batch runs first and what else is waiting, commits, and answers everybody.
func (w *writer) batch(first *unit) {
	b := &batch{started: w.s.now(), culprit: -1}
	defer w.survive(b)
	w.run(b, first)
	if len(b.taken) == 0 {
		return
	}
	if !b.lost {
		w.commit(b)
	}
	if b.lost {
		w.recoverLost(b)
		return
	}
	w.answer(b)
}

// survive answers everybody when the writer itself has panicked: that is our defect, but nobody may wait for ever.
func (w *writer) survive(b *batch) {
	p := recover()
	if p == nil {
		return
	}
	err := internal("the change failed on our side", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	w.s.log.LogAttrs(context.Background(), slog.LevelError, "the writer panicked", slog.Any("error", err))
	if b.tx != nil {
		_ = b.tx.Rollback() // it may be gone already
	}
	w.log.forget()
	for _, u := range b.taken {
		select {
		case u.done <- err:
		default: // answered before
		}
	}
}

// run fills a batch; it stays empty when no unit was left to take.
func (w *writer) run(b *batch, first *unit) {
	var bulk *unit
	for u := first; u != nil; u = w.next(b) {
		if u.bulk {
			bulk = u
			continue
		}
		if u.claim() && !w.take(b, u) {
			break
		}
	}
	if bulk == nil && !b.lost {
		select {
		case bulk = <-w.bulk:
		default:
		}
	}
	switch {
	case bulk == nil:
	case b.lost:
		w.held = bulk
	case bulk.claim():
		w.take(b, bulk)
	}
}

// next returns another unit for the batch, nil when it should close: it is full, was open long enough, or nobody
// waits. A lone caller therefore never waits for company.
func (w *writer) next(b *batch) *unit {
	hold := max(defaultHold, 4*w.commitMean)
	if len(b.taken) >= maxBatch || b.lost || w.s.now().Sub(b.started) > hold {
		return nil
	}
	select {
	case u := <-w.queue:
		return u
	default:
	}
	runtime.Gosched() // those whose answer went out last are about to ask again
	select {
	case u := <-w.queue:
		return u
	default:
		return nil
	}
}

// take runs a claimed unit in its savepoint. It returns false when the transaction is gone.
func (w *writer) take(b *batch, u *unit) bool {
	b.taken = append(b.taken, u)
	b.errs = append(b.errs, nil)
	i := len(b.taken) - 1
	if b.tx == nil {
		tx, err := w.b.db.BeginTx(context.Background(), nil)
		if err != nil {
			b.errs[i], b.lost = writeFault(err), true
			b.culprit = i
			return false
		}
		b.tx, b.pending = tx, w.log.begin()
	}
	err, gone := w.runUnit(b, u)
	b.errs[i] = err
	if gone {
		b.lost, b.culprit = true, i
	}
	return !gone
}

// runUnit runs one unit and reports its error, and whether the transaction went with it.
func (w *writer) runUnit(b *batch, u *unit) (err error, gone bool) {
	if u.run == nil && u.once == nil {
		b.pending.add(u.leaf, nil)
		return nil, false
	}
	ctx := context.WithoutCancel(u.ctx)
	if _, err := b.tx.ExecContext(ctx, "SAVEPOINT u"); err != nil {
		return writeFault(err), true
	}
	t := w.s.newTx(u, handle{sql: b.tx})
	t.tx = b.tx
	err = t.runOnce(ctx)
	if err == nil {
		err = u.protect(t)
	}
	if t.dead != nil { // also when the unit swallowed the error
		return writeFault(t.dead), true
	}
	if took := w.s.now().Sub(t.started); took > slowUnit {
		w.s.log.LogAttrs(ctx, slog.LevelWarn, "a unit held the writer", slog.Duration("took", took), slog.String("org", string(u.scope.org)))
	}
	if err != nil {
		if _, undo := b.tx.ExecContext(ctx, "ROLLBACK TO u"); undo != nil {
			return err, true
		}
	}
	if _, release := b.tx.ExecContext(ctx, "RELEASE u"); release != nil {
		return errors.Join(err, writeFault(release)), true
	}
	if err != nil {
		return err, false
	}
	if u.leaf != nil {
		b.pending.add(u.leaf, t.tallies)
	}
	b.wakes = append(b.wakes, t.wakes...)
	b.jobs = b.jobs || t.enqueued
	return nil, false
}

// commit writes the batch's audit entries and commits. Afterwards the batch is durable or lost.
func (w *writer) commit(b *batch) {
	if b.tx == nil {
		return
	}
	ctx := context.Background()
	if err := b.pending.write(ctx, b.tx); err != nil {
		w.lose(b, err)
		return
	}
	before := w.s.now()
	if err := b.tx.Commit(); err != nil {
		b.tx = nil
		w.lose(b, err)
		return
	}
	w.commitMean += (w.s.now().Sub(before) - w.commitMean) / 8
	b.pending.keep()
}

// lose gives a batch up for an error that names no culprit.
func (w *writer) lose(b *batch, err error) {
	b.lost, b.culprit = true, -1
	w.s.log.LogAttrs(context.Background(), slog.LevelError, "a batch was lost", slog.Int("units", len(b.taken)), slog.Any("error", err))
	if !flushFailed(err) {
		return
	}
	w.b.broken.Store(true)
	for i := range b.errs {
		if b.errs[i] == nil {
			b.errs[i] = unavailable("the change couldn't be made durable", err)
		}
	}
	if stop := w.s.cfg.Stop; stop != nil {
		go stop(internal("the database can't be written any more", err))
	}
}

// recoverLost answers the culprit and runs the innocent again, each alone, so that one bad unit never costs another
// its answer.
func (w *writer) recoverLost(b *batch) {
	if b.tx != nil {
		_ = b.tx.Rollback() // it may be gone already
	}
	w.log.forget()
	for i, u := range b.taken {
		switch {
		case i == b.culprit || b.errs[i] != nil || w.b.broken.Load():
			if b.errs[i] == nil {
				b.errs[i] = unavailable("the change couldn't be made durable", nil)
			}
			u.done <- b.errs[i]
		default:
			w.again(u)
		}
	}
}

// again runs a unit in a transaction of its own, for the second and last time.
func (w *writer) again(u *unit) {
	b := &batch{started: w.s.now(), culprit: -1}
	if w.take(b, u) {
		w.commit(b)
	}
	if b.lost {
		if b.tx != nil {
			_ = b.tx.Rollback() // it may be gone already
		}
		w.log.forget()
		if b.errs[0] == nil {
			b.errs[0] = unavailable("the change couldn't be written; try again", nil)
		}
	}
	w.answer(b)
}

// answer tells every caller and then wakes whoever waits for what was committed.
func (w *writer) answer(b *batch) {
	for i, u := range b.taken {
		u.done <- b.errs[i]
	}
	if b.lost {
		return
	}
	w.s.hub.wake(b.wakes)
	if jobs := w.s.jobs.Load(); b.jobs && jobs != nil && jobs.Committed != nil {
		jobs.Committed()
	}
}
