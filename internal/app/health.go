package app

import (
	"context"
	"time"

	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/word/fault"
)

// lateEntry is how old an audit entry may be before it has its place in the log; then something is wrong.
const lateEntry = time.Second

// health tells how the parts of a server are.
type health struct{ a *App }

// Conditions implements platform.Health.
func (h health) Conditions(ctx context.Context) []platform.Condition {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return append([]platform.Condition{h.serving(), h.database(ctx), h.log(ctx)}, h.a.tls.condition(h.a.now())...)
}

func (h health) serving() platform.Condition {
	c := platform.Condition{Name: "server", OK: h.a.state.Load() == serving}
	if !c.OK {
		c.Reason = "the server is stopping"
	}
	return c
}

func (h health) database(ctx context.Context) platform.Condition {
	c := platform.Condition{Name: "database", OK: true}
	if err := h.a.store.Ping(ctx); err != nil {
		c.OK, c.Reason = false, fault.Of(err).Text
	}
	return c
}

func (h health) log(ctx context.Context) platform.Condition {
	c := platform.Condition{Name: "audit_log", OK: true}
	n, oldest, err := h.a.store.LogBacklog(ctx)
	switch {
	case err != nil:
		c.OK, c.Reason = false, fault.Of(err).Text
	case n > 0 && h.a.now().Sub(oldest) > lateEntry:
		c.OK, c.Reason = false, "audit entries wait for their place in the log for over a second"
	}
	return c
}
