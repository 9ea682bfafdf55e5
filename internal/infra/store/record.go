package store

import (
	"context"
	"sync"
)

// recorder writes bare audit entries to PostgreSQL, those of reads: whatever waits goes in one statement and one
// commit. (On SQLite the writer does the same for everything.)
type recorder struct {
	b     *postgresStore
	queue chan *unit
	ended chan struct{}

	mu     sync.RWMutex // held shared while an entry is handed over
	closed bool
}

func newRecorder(b *postgresStore) *recorder {
	n := b.s.cfg.Waiting
	if n <= 0 {
		n = defaultWait
	}
	return &recorder{b: b, queue: make(chan *unit, n), ended: make(chan struct{})}
}

func (r *recorder) submit(ctx context.Context, u *unit) error { return u.answer(ctx, r.hand) }

func (r *recorder) hand(u *unit) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return unavailable("the server is stopping; try again", nil)
	}
	select {
	case r.queue <- u:
		return nil
	default:
		return unavailable("too many changes are waiting; try again", nil)
	}
}

func (r *recorder) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	<-r.ended
}

func (r *recorder) loop() {
	defer close(r.ended)
	for u := range r.queue {
		batch := r.gather(u)
		err := guarded(context.Background(), func(ctx context.Context) error { return r.write(ctx, batch) })
		for _, done := range batch {
			done.done <- err
		}
	}
}

// gather claims first and what else waits.
func (r *recorder) gather(first *unit) []*unit {
	batch := make([]*unit, 0, maxBatch)
	for u := first; u != nil; {
		if u.claim() {
			batch = append(batch, u)
		}
		u = nil
		if len(batch) < maxBatch {
			select {
			case u = <-r.queue: // nil when it is closed and empty
			default:
			}
		}
	}
	return batch
}

// write inserts and commits. All entries of a batch share its fate; an entry is never refused for its content.
func (r *recorder) write(ctx context.Context, batch []*unit) error {
	if len(batch) == 0 {
		return nil
	}
	tx, err := r.b.db.BeginTx(beginning(ctx, beginWrite, everyone()), nil)
	if err != nil {
		return writeFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	flat := make([]any, 0, 9*len(batch))
	for _, u := range batch {
		l := u.leaf
		flat = append(flat, string(l.org), string(l.id), l.at, l.bytes, l.hash[:], l.salt[:], orNull(l.address), orNull(l.agent), orNull(l.name))
	}
	if err := r.b.s.execMany(ctx, tx, "all.audit_insert_pending", flat); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return r.b.unsure(err)
	}
	poke(r.b.wake)
	return nil
}
