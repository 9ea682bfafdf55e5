package hook

import (
	"net/http"
	"time"
)

// Bounds of patience (decisions C11).
const (
	// SendTimeout is how long a receiver may take for one try.
	SendTimeout = 10 * time.Second
	// MaxRetryAfter is the longest wait that a receiver may ask for.
	MaxRetryAfter = 24 * time.Hour
	// UnhealthyAfter is how many failures in a row make a webhook unhealthy.
	UnhealthyAfter = 5
	// DisabledAfter is how long a webhook may fail without a success before it is disabled.
	DisabledAfter = 5 * 24 * time.Hour
	// jitter is by how much of itself a wait is lengthened at most.
	jitter = 0.1
)

// Schedule are the waits before the second try and so on; after the last one has failed, the delivery has.
func Schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
		20 * time.Hour, 24 * time.Hour,
	}
}

// Next returns when a delivery is tried again of which tries failed, the last one at now; false when it isn't. chance,
// from 0 to 1, spreads the tries of many deliveries. A receiver that answers 429 or 503 may ask for a longer wait.
func Next(tries int, o Outcome, now time.Time) (time.Time, bool) {
	waits := Schedule()
	if tries < 1 || tries > len(waits) {
		return time.Time{}, false
	}
	wait := waits[tries-1]
	if o.Status == http.StatusTooManyRequests || o.Status == http.StatusServiceUnavailable {
		wait = max(wait, min(o.RetryAfter, MaxRetryAfter))
	}
	wait += time.Duration(float64(wait) * jitter * min(max(o.Chance, 0), 1))
	return now.Add(wait), true
}

// Health is how a receiver has answered lately.
type Health struct {
	Failures     int       // tries that failed since the last success
	FailingSince time.Time // when the first of them was made; zero = none
	LastAt       time.Time // last try
	LastOKAt     time.Time // last success
}

// Healthy reports whether the receiver can be counted on.
func (h Health) Healthy() bool { return h.Failures < UnhealthyAfter }

// After returns the health after a try.
func (h Health) After(o Outcome) Health {
	at := o.At.Add(o.Took)
	if at.After(h.LastAt) {
		h.LastAt = at
	}
	if o.OK() {
		h.Failures, h.FailingSince = 0, time.Time{}
		if at.After(h.LastOKAt) {
			h.LastOKAt = at
		}
		return h
	}
	h.Failures++
	if h.FailingSince.IsZero() {
		h.FailingSince = at
	}
	return h
}

// Stopped says whether a webhook of this health must be disabled after the outcome, and why.
func (h Health) Stopped(o Outcome) Stop {
	switch {
	case o.OK():
		return ""
	case o.Status == http.StatusGone:
		return StoppedGone
	case !h.FailingSince.IsZero() && o.At.Sub(h.FailingSince) >= DisabledAfter:
		return StoppedFailed
	}
	return ""
}

// Judge decides what becomes of a delivery and of its webhook's health. What fails while the webhook is to be disabled
// is held, like everything behind it; a callback that says 410 has failed.
func Judge(h Health, o Outcome) (Verdict, Health) {
	h = h.After(o)
	if o.OK() {
		return Verdict{State: Delivered}, h
	}
	if h.Stopped(o) != "" {
		if o.Hook == "" {
			return Verdict{State: Failed}, h
		}
		return Verdict{State: Held}, h
	}
	due, again := Next(o.Tries+1, o, o.At.Add(o.Took))
	if !again {
		return Verdict{State: Failed}, h
	}
	return Verdict{State: Pending, Due: due}, h
}
