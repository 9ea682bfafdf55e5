package mw

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// maxRefusalKeys bounds what is held of one minute; further addresses share one entry without an address, so that the
// count stays exact.
const maxRefusalKeys = 1 << 16

// refusals counts calls that leave no entry of their own, by minute, address and type, and writes one entry for each
// into the operator's own log.
type refusals struct {
	audit Recorder
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	counts map[refusalKey]*refusal
}

type refusalKey struct {
	minute int64
	client netip.Addr
	action event.Audit
}

type refusal struct {
	count  int64
	first  time.Time
	status int
}

func newRefusals(rec Recorder, log *slog.Logger, now func() time.Time) *refusals {
	return &refusals{audit: rec, log: log, now: now, counts: map[refusalKey]*refusal{}}
}

func (f *refusals) add(at time.Time, client netip.Addr, action event.Audit, status int) {
	key := refusalKey{minute: at.Unix() / 60, client: client, action: action}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.counts[key]
	if !ok && len(f.counts) >= maxRefusalKeys {
		key.client = netip.Addr{}
		r, ok = f.counts[key]
	}
	if !ok {
		r = &refusal{first: at, status: status}
		f.counts[key] = r
	}
	r.count++
}

// run flushes minutes that are over, each second's tick, and everything when ctx ends.
func (f *refusals) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.flush(ctx, f.now().Unix()/60)
		case <-ctx.Done():
			f.flush(context.WithoutCancel(ctx), 1<<62)
			return nil
		}
	}
}

// flush writes the minutes before the given one. What can't be written is kept for the next time.
func (f *refusals) flush(ctx context.Context, before int64) {
	f.mu.Lock()
	due := map[refusalKey]*refusal{}
	for k, r := range f.counts {
		if k.minute < before {
			due[k] = r
			delete(f.counts, k)
		}
	}
	f.mu.Unlock()
	for k, r := range due {
		if err := f.record(ctx, k, r); err != nil {
			f.log.LogAttrs(ctx, slog.LevelError, "refused calls could not be recorded", slog.Int64("calls", r.count),
				slog.String("error", err.Error()))
			f.keep(k, r)
		}
	}
}

func (f *refusals) keep(k refusalKey, r *refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now, ok := f.counts[k]; ok {
		now.count += r.count
		return
	}
	f.counts[k] = r
}

func (f *refusals) record(ctx context.Context, k refusalKey, r *refusal) error {
	e := audit.Entry{
		Time: r.first, Org: uid.System, Type: k.action, Actor: audit.Actor{Kind: audit.ActorAnonymous}, Status: r.status,
		Count: r.count, Reason: "calls without a valid credential, or over a rate limit, of one minute",
	}
	if k.client.IsValid() {
		e.ClientAddress = k.client.String()
	} else {
		e.Reason += ", of many addresses"
	}
	return f.audit.RecordEntry(ctx, e)
}
