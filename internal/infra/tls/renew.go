package tls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
)

// Times of issuance and renewal.
const (
	issueTimeout = 5 * time.Minute
	recheck      = time.Hour       // the longest sleep, so that a clock that was set is noticed
	restartPause = 2 * time.Minute // after a failure, however often the process starts
)

// retries are the pauses after failures in a row; the last one repeats. Public authorities allow five failed validations
// an hour.
func retries() []time.Duration {
	return []time.Duration{restartPause, 10 * time.Minute, 30 * time.Minute, time.Hour}
}

// Reload asks for a certificate now if one is due, however long the pause after the last failure is.
func (a *ACME) Reload(context.Context) {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run gets and renews the certificate until ctx ends. It returns nil: a failure is told in State and tried again.
func (a *ACME) Run(ctx context.Context) error {
	forced := false
	for {
		wait := a.step(ctx, forced)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.wake:
			timer.Stop()
			forced = true
		case <-timer.C:
			forced = false
		}
	}
}

// step asks for a certificate if one is due, and returns how long to sleep.
func (a *ACME) step(ctx context.Context, forced bool) time.Duration {
	now := a.d.Now()
	due := a.due(now)
	a.mu.Lock()
	if a.status.Failures > 0 && !forced && due.Before(a.status.NextTry) {
		due = a.status.NextTry
	}
	a.mu.Unlock()
	if !now.Before(due) {
		due = a.try(ctx)
	}
	return min(max(due.Sub(a.d.Now()), time.Second), recheck)
}

// due is when a certificate must be asked for: now, where there is none for all domains, else in the last third of its
// life, spread over a thirtieth of it so that many servers don't come at once.
func (a *ACME) due(now time.Time) time.Time {
	s := a.now.Load()
	if s.temporary || !covers(s.pair, a.cfg.Domains) {
		return now
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// An authority whose clock is behind ours must not be asked without end.
	life := s.pair.Leaf.NotAfter.Sub(s.pair.Leaf.NotBefore)
	return later(renewal(s.pair), a.status.LastSuccess.Add(min(life/10, time.Hour)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func renewal(pair *tls.Certificate) time.Time {
	leaf := pair.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	sum := sha256.Sum256(leaf.Raw)
	spread := life / 30 * time.Duration(sum[0]) / 256
	return leaf.NotAfter.Add(-life/3 - spread)
}

func covers(pair *tls.Certificate, domains []string) bool {
	return !slices.ContainsFunc(domains, func(d string) bool { return pair.Leaf.VerifyHostname(d) != nil })
}

// try asks once, and returns when to ask again.
func (a *ACME) try(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	pair, err := a.obtain(ctx)
	if err == nil {
		err = a.files.keep(pair)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return a.d.Now().Add(recheck) // the server stops; nothing failed
	}
	now := a.d.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.LastTry = now
	if err != nil {
		a.failed(ctx, err)
	} else {
		a.now.Store(&served{pair: pair})
		a.status = status{LastTry: now, LastSuccess: now, NextTry: renewal(pair)}
		a.d.Log.InfoContext(ctx, "certificate issued", slog.Any("names", pair.Leaf.DNSNames),
			slog.String("issuer", pair.Leaf.Issuer.CommonName), slog.Time("not_after", pair.Leaf.NotAfter))
	}
	if err := a.files.note(a.status); err != nil {
		a.d.Log.WarnContext(ctx, "the state of the certificate can't be noted", slog.String("error", err.Error()))
	}
	return a.status.NextTry
}

// failed notes why, and when to try again. The caller holds mu.
func (a *ACME) failed(ctx context.Context, err error) {
	s := &a.status
	if s.Failures == 0 {
		s.FailingFrom = s.LastTry
	}
	s.Failures++
	pauses := retries()
	pause := pauses[min(s.Failures, len(pauses))-1]
	if asked, ok := acme.RateLimit(err); ok && asked > pause {
		pause = min(asked, day)
	}
	f := reason(err)
	s.NextTry, s.Problem, s.Cause = s.LastTry.Add(pause), f.Text, bounded(f.Error())
	a.d.Log.ErrorContext(ctx, "no certificate was issued", slog.String("error", s.Cause), slog.Int("failures", s.Failures),
		slog.Time("next_try", s.NextTry))
}
