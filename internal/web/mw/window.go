package mw

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

// Headers of the window with the least share left, in the form that net/http keeps them.
const (
	headerLimit     = "X-Ratelimit-Limit"
	headerRemaining = "X-Ratelimit-Remaining"
	headerReset     = "X-Ratelimit-Reset"
)

// unlimited stands in the headers where no window applies, so that programs that count down never stop.
const unlimited = "2147483647"

// principalCharge is what one call of a known actor costs.
func principalCharge(a access.Actor) usage.Charge {
	charge := usage.Charge{Key: a.Principal(), Windows: a.Windows, PlanKey: "org:" + string(a.Org)}
	charge.PlanDay = tenant.Plan(a.Plan).Quota().RequestsPerDay
	return charge
}

func (c *Chain) addressCharge(addr netip.Addr) usage.Charge {
	return usage.Charge{Key: addressKey(addr), Windows: c.config.AddressWindows}
}

// charge counts the call, sets the three headers, and refuses it where a window is used up.
func (c *Chain) charge(q *Request, charge usage.Charge) error {
	now := q.start
	d := usage.Decision{OK: true}
	if charge.Windows != (access.Windows{}) || charge.PlanDay > 0 {
		var err error
		if d, err = c.windows.Take(q.r.Context(), charge, now); err != nil {
			rateHeaders(q.w.Header(), usage.Decision{}, now)
			return err
		}
	}
	rateHeaders(q.w.Header(), d, now)
	if d.OK {
		return nil
	}
	q.summarise = true
	q.call.Type = event.RateRefused
	f := fault.New(fault.Exhausted, fault.CodeRateLimit, "the rate limit of this "+string(d.Window)+" is used up")
	if d.Window == usage.Plan {
		f = fault.New(fault.Exhausted, fault.CodeQuota, "the plan's quota of requests for this day is used up")
	}
	return f.After(max(time.Second, d.Reset.Sub(now)))
}

// peek sets the headers by the address's window without charging it, where who calls couldn't be found out.
func (c *Chain) peek(q *Request) {
	d, err := c.windows.Peek(q.r.Context(), c.addressCharge(q.Client), q.start)
	if err != nil {
		d = usage.Decision{}
	}
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
