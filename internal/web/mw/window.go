package mw

import (
	"net/http"
	"strconv"
	"time"

	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

// Headers of the window with the least share left, as they are documented and sent. Names don't depend on case (RFC
// 9110 section 5.1), but not every program that reads them knows; so they are set past http.Header.Set and never read
// by Get, which would want X-Ratelimit-Limit.
const (
	headerLimit     = "X-RateLimit-Limit"
	headerRemaining = "X-RateLimit-Remaining"
	headerReset     = "X-RateLimit-Reset"
)

// unlimited stands in the headers where no window applies, so that programs that count down never stop.
const unlimited = "2147483647"

// charge sets the three headers by the answer to a charge, and marks a refused call as one to be summarised.
func (c *Chain) charge(q *Request, d usage.Decision, err error) error {
	rateHeaders(q.w.Header(), d, q.start)
	if err == nil || fault.KindOf(err) != fault.Exhausted {
		return err
	}
	q.summarise = true
	q.call.Type = event.RateRefused
	return err
}

// chargeActor counts the call against its actor's windows and plan.
func (c *Chain) chargeActor(q *Request) error {
	d, err := c.windows.Charge(q.r.Context(), q.Actor)
	return c.charge(q, d, err)
}

// chargeAddress counts the call against the address it came from.
func (c *Chain) chargeAddress(q *Request) error {
	d, err := c.windows.ChargeAddress(q.r.Context(), q.Client)
	return c.charge(q, d, err)
}

// peek sets the headers by the address's window without charging it, where who calls couldn't be found out.
func (c *Chain) peek(q *Request) {
	d, _ := c.windows.PeekAddress(q.r.Context(), q.Client)
	rateHeaders(q.w.Header(), d, q.start)
}

func (q *Request) refusedAuth() {
	q.summarise = true
	q.call.Type = event.AuthRefused
}

func rateHeaders(h http.Header, d usage.Decision, now time.Time) {
	limit, remaining := unlimited, unlimited
	reset := now.Truncate(time.Minute).Add(time.Minute)
	if d.Limit > 0 {
		limit, remaining = strconv.FormatInt(d.Limit, 10), strconv.FormatInt(max(0, d.Remaining), 10)
	}
	if !d.Reset.IsZero() {
		reset = d.Reset
	}
	three := [3]string{limit, remaining, strconv.FormatInt(reset.Unix(), 10)}
	h[headerLimit], h[headerRemaining], h[headerReset] = three[0:1:1], three[1:2:2], three[2:3:3]
}
