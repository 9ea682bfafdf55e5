package access

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	touchEvery  = time.Minute     // how often a last use is written at most
	flushEvery  = 5 * time.Second // how often we look for what is due
	flushOnStop = 5 * time.Second // how long the last flush may take
	flushUnit   = 500             // records in one unit
)

// ledger remembers when keys or sessions were last used until it is written. A use is written at most once a minute,
// and the last one always is, a minute after the write before it: what the database says is late but ends up exact.
type ledger[ID ~string] struct {
	write func(ctx context.Context, tx Tx, used map[ID]time.Time) error

	mu   sync.Mutex
	uses map[ID]*use
}

type use struct {
	org     uid.Org
	last    time.Time // latest use seen here
	stored  time.Time // latest use that the database knows
	written time.Time // when it was written, as far as known
}

func newKeyLedger() *ledger[uid.Key] {
	return &ledger[uid.Key]{
		uses: make(map[uid.Key]*use),
		write: func(ctx context.Context, tx Tx, used map[uid.Key]time.Time) error {
			return tx.TouchKeys(ctx, used)
		},
	}
}

func newSessionLedger() *ledger[uid.Session] {
	return &ledger[uid.Session]{
		uses: make(map[uid.Session]*use),
		write: func(ctx context.Context, tx Tx, used map[uid.Session]time.Time) error {
			for id, at := range used {
				err := tx.TouchSession(ctx, id, at)
				if err != nil && fault.KindOf(err) != fault.NotFound { // it may have ended meanwhile
					return err
				}
			}
			return nil
		},
	}
}

// note records a use at now of a record whose last use the database has as stored.
func (l *ledger[ID]) note(org uid.Org, id ID, stored, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, ok := l.uses[id]
	if !ok {
		l.uses[id] = &use{org: org, last: now, stored: stored, written: stored}
		return
	}
	u.last = later(u.last, now)
	if stored.After(u.stored) { // another node wrote it
		u.stored = stored
		u.written = later(u.written, stored)
	}
}

// seen returns the later of stored and a use that isn't written yet.
func (l *ledger[ID]) seen(id ID, stored time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u, ok := l.uses[id]; ok {
		return later(u.last, stored)
	}
	return stored
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// batch is what one unit writes.
type batch[ID ~string] struct {
	org  uid.Org
	used map[ID]time.Time
}

// due returns the uses to write now, all that are unwritten if all is set, and forgets what is written and quiet.
func (l *ledger[ID]) due(now time.Time, all bool) []batch[ID] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []batch[ID]
	open := make(map[uid.Org]int) // position of an organization's unfilled batch
	for id, u := range l.uses {
		rested := now.Sub(u.written) >= touchEvery
		switch {
		case !u.last.After(u.stored):
			if rested {
				delete(l.uses, id)
			}
			continue
		case !rested && !all:
			continue
		}
		i, ok := open[u.org]
		if !ok || len(out[i].used) == flushUnit {
			i = len(out)
			open[u.org] = i
			out = append(out, batch[ID]{org: u.org, used: make(map[ID]time.Time)})
		}
		out[i].used[id] = u.last
	}
	return out
}

func (l *ledger[ID]) wrote(used map[ID]time.Time, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, last := range used {
		if u, ok := l.uses[id]; ok {
			u.stored, u.written = later(u.stored, last), now
		}
	}
}

// flush writes what is due. What fails stays; the first error is returned after all batches were tried.
func (l *ledger[ID]) flush(ctx context.Context, store Store, now time.Time, all bool) error {
	var first error
	for _, b := range l.due(now, all) {
		err := store.Change(ctx, b.org, audit.Bookkeeping("last use of API keys and sessions"), func(ctx context.Context, tx Tx) error {
			return l.write(ctx, tx, b.used)
		})
		if err == nil {
			l.wrote(b.used, now)
		} else if first == nil {
			first = err
		}
	}
	return first
}

// Run writes last-use times until ctx ends, and then once more all that is left. It returns nil; a failed write is
// logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.flush(ctx, false)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushOnStop)
			defer cancel()
			s.flush(last, true)
			return nil
		}
	}
}

// flush keeps a defect in a store from ending the server: this bookkeeping is not worth that.
func (s *Service) flush(ctx context.Context, all bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic while writing last-use times",
				slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
		}
	}()
	now := s.now()
	if err := s.usedKeys.flush(ctx, s.store, now, all); err != nil {
		s.log.WarnContext(ctx, "last use of API keys not written yet", slog.Any("error", err))
	}
	if err := s.usedSessions.flush(ctx, s.store, now, all); err != nil {
		s.log.WarnContext(ctx, "last use of sessions not written yet", slog.Any("error", err))
	}
}
