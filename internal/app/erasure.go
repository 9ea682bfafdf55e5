package app

import (
	"context"
	"time"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/word/fault"
)

// Erasure says beside which entries of an organization's audit log the personal data go: client address, user agent
// and display name, with the salt that would let them be guessed. Exactly one of Actor and Before is set.
type Erasure struct {
	Org    string    `json:"org"`             // id; empty means the only one
	Actor  string    `json:"actor,omitempty"` // id of an actor, as entries name it
	Before time.Time `json:"before,omitzero"` // entries older than this moment
}

// Erased is what an erasure did.
type Erased struct {
	Organization string `json:"organizationId"`
	Entries      int    `json:"entries"` // that lost their personal data
}

// maxActor bounds an actor's id in bytes, as a leaf does.
const maxActor = 256

// EraseLog erases personal data beside entries of an audit log. The entries themselves stay, and with them every
// proof and checkpoint. It is audited in the same log and may be repeated.
func (o Operator) EraseLog(ctx context.Context, in Erasure) (Erased, error) {
	return ask[Erased](ctx, o, "log.erase", in)
}

func eraseLog(ctx context.Context, g *ground, in Erasure) (Erased, error) {
	if (in.Actor == "") == in.Before.IsZero() || len(in.Actor) > maxActor {
		return Erased{}, fault.Wrong("actor", "give the id of an actor or a date, not both")
	}
	if in.Before.After(g.now()) {
		return Erased{}, fault.Wrong("before", "must not lie in the future")
	}
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return Erased{}, err
	}
	// On PostgreSQL entries get their place a moment after their commit; those that wait for it are meant too.
	if err := g.store.Sequence(ctx); err != nil {
		return Erased{}, err
	}
	n, err := g.store.Erase(ctx, org, store.Erasure{Actor: in.Actor, Before: in.Before})
	if err != nil {
		return Erased{}, err
	}
	return Erased{Organization: string(org), Entries: n}, nil
}
