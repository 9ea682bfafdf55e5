package api

import (
	"context"
	"sync"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/word/fault"
)

// claims holds the idempotency keys of calls under way in this process; finished ones are found in the store, and
// the store itself refuses the second of two nodes that work on one key.
type claims struct {
	replays Replays

	mu   sync.Mutex
	open map[claim]struct{}
}

type claim struct {
	principal, route, key string
}

func newClaims(r Replays) *claims { return &claims{replays: r, open: map[claim]struct{}{}} }

// look returns the id of the resource that an earlier call with the key made, or an empty id, and then the key is this
// call's until done is called. Faults: Conflict, of code IDEMPOTENCY_IN_PROGRESS or IDEMPOTENCY_KEY_REUSED.
func (c *claims) look(ctx context.Context, q *mw.Request, route string, o *audit.Once) (id string, done func(), err error) {
	k := claim{o.Principal, route, o.Key}
	if !c.enter(k) {
		return "", nil, fault.New(fault.Conflict, fault.CodeIdempotencyBusy,
			"a call with this idempotency key is being worked on; ask again in a moment")
	}
	done = func() { c.leave(k) }
	_, res, found, err := c.replays.LookupOnce(ctx, q.Actor.Org, route, *o)
	if err != nil {
		done()
		return "", nil, err
	}
	if !found {
		return "", done, nil
	}
	q.About(res.Kind, res.ID)
	return res.ID, done, nil
}

func (c *claims) enter(k claim) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, busy := c.open[k]; busy {
		return false
	}
	c.open[k] = struct{}{}
	return true
}

func (c *claims) leave(k claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, k)
}
