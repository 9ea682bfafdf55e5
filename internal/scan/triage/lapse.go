package triage

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const (
	// lapseBatch is how many acceptances one unit ends: its event names all of them.
	lapseBatch = MaxNoticeIDs
	// lapsesOnRead bounds what a reader works off before it is answered.
	lapsesOnRead = 5_000
	// lapseOrgs is how many organizations one round of Expire serves.
	lapseOrgs = 100
	// watchEvery is the longest that Run sleeps: other nodes make acceptances too, and clocks are set.
	watchEvery = time.Minute
)

// settle works off what has ended before the organization is read, so that lists and counts never show an acceptance
// that is over, whether Run came by or not.
func (s *Service) settle(ctx context.Context, org uid.Org) error {
	now := s.now()
	for done := 0; done < lapsesOnRead; {
		due, err := s.d.Store.HasLapsed(ctx, org, now)
		if err != nil || !due {
			return err
		}
		n, err := s.expire(ctx, org, now)
		if err != nil {
			return err
		}
		done += max(n, 1)
	}
	return nil
}

// expire ends one batch of an organization's acceptances. It is the server's act, whoever's call it runs in.
func (s *Service) expire(ctx context.Context, org uid.Org, now time.Time) (int, error) {
	ctx = audit.WithCall(ctx, nil)
	n := 0
	ev := audit.Event{Type: event.FindingExpired, Resource: audit.Resource{Kind: "finding"}, Reason: ReasonExpired, Bulk: true}
	err := s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error {
		over, err := tx.LapsedForUpdate(ctx, now, lapseBatch)
		if err != nil {
			return err
		}
		changes := make([]Change, 0, len(over))
		ids := make([]uid.Finding, 0, len(over))
		for _, f := range over {
			c := Change{Before: f.Status}
			if e := f.lapse(now); e != nil {
				c.After, c.Entries = f, []Entry{*e}
				changes, ids = append(changes, c), append(ids, f.ID)
			}
		}
		if n = len(ids); n == 0 {
			return nil
		}
		if err := tx.PutTriage(ctx, changes); err != nil {
			return err
		}
		return emit(ctx, tx, org, event.FindingReopened, ids, Notice{Status: finding.Open, Reason: ReasonExpired})
	})
	return n, err
}

// Expire opens all findings whose acceptance has ended by now, in every organization, in batches, and returns how many.
func (s *Service) Expire(ctx context.Context) (int, error) {
	now := s.now()
	total := 0
	for {
		orgs, err := s.d.Lapses.Lapsed(ctx, now, lapseOrgs)
		if err != nil || len(orgs) == 0 {
			return total, err
		}
		round := 0
		for _, org := range orgs {
			n, err := s.expire(ctx, org, now)
			if err != nil {
				return total, err
			}
			round += n
		}
		if total += round; round == 0 { // another node was faster
			return total, nil
		}
	}
}

// Run ends acceptances when their time comes, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		if _, err := s.Expire(ctx); err != nil && ctx.Err() == nil {
			s.d.Log.WarnContext(ctx, "ended acceptances couldn't be worked off", slog.Any("error", err))
		}
		wait := time.NewTimer(s.pause(ctx))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-s.nudge:
			wait.Stop()
		case <-wait.C:
		}
	}
}

// wake makes Run look again at when the next acceptance ends.
func (s *Service) wake() {
	select {
	case s.nudge <- struct{}{}:
	default: // one is waiting already
	}
}

// pause is how long nothing ends, at most watchEvery.
func (s *Service) pause(ctx context.Context) time.Duration {
	next, err := s.d.Lapses.NextLapse(ctx)
	if err != nil || next.IsZero() {
		return watchEvery
	}
	return max(min(next.Sub(s.now()), watchEvery), time.Millisecond)
}

// count is how many findings, in words.
func count(n int) string {
	switch {
	case n == 1:
		return "1 finding"
	case n > MaxMatched:
		return "more than " + strconv.Itoa(MaxMatched) + " findings"
	}
	return strconv.Itoa(n) + " findings"
}
