package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// onceTTL is how long an idempotency key is remembered (decisions G8).
const onceTTL = 24 * time.Hour

// onceRow is a call's claim on its idempotency key, with what a replay answers: never a body, never a secret.
type onceRow struct {
	once     audit.Once
	route    string
	status   int
	resource audit.Resource
	at       time.Time
}

func newOnce(call *audit.Call, e audit.Entry, now time.Time) *onceRow {
	return &onceRow{once: *call.Once, route: onceRoute(call), status: e.Status, resource: e.Resource, at: now}
}

// onceRoute is method and pattern, also where the pattern carries the method itself.
func onceRoute(call *audit.Call) string {
	if strings.HasPrefix(call.Route, call.Method+" ") {
		return call.Route
	}
	return call.Method + " " + call.Route
}

// runOnce writes the claim of the unit's call. It comes first in the unit, so that of two equal calls at once the
// later one learns just that, and not that its record exists already.
func (t *Tx) runOnce(ctx context.Context) error {
	o := t.unit.once
	if o == nil {
		return nil
	}
	n, err := t.exec(ctx, "idempotency.claim", o.once.Principal, o.route, o.once.Key, o.once.Body[:], o.status,
		o.resource.Kind, o.resource.ID, micros(o.at), micros(o.at.Add(-onceTTL)))
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.Conflict, fault.CodeIdempotencyBusy, "a call with this idempotency key is being worked on; ask again in a moment")
	}
	return nil
}

// LookupOnce finds the answer to an earlier call of the same principal, route and key: its status and what it was
// about. route is method and pattern ("POST /api/assets"). The same key with another body is a Conflict fault of code
// IDEMPOTENCY_KEY_REUSED. Records older than 24 hours aren't found.
func (s *Store) LookupOnce(ctx context.Context, org uid.Org, route string, o audit.Once) (status int, res audit.Resource, found bool, err error) {
	if call := audit.CallFrom(ctx); call != nil && call.Route == route {
		route = onceRoute(call)
	}
	var body []byte
	err = reader{s}.row(ctx, org, "idempotency.find", []any{o.Principal, route, o.Key, micros(s.now().Add(-onceTTL))},
		&body, &status, &res.Kind, &res.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, audit.Resource{}, false, nil
	case err != nil:
		return 0, audit.Resource{}, false, err
	case subtle.ConstantTimeCompare(body, o.Body[:]) != 1:
		return 0, audit.Resource{}, false, fault.New(fault.Conflict, fault.CodeIdempotencyUsed,
			"this idempotency key was used with another body; take a new one")
	}
	return status, res, true, nil
}
