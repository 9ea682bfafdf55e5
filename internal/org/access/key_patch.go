package access

import (
	"context"
	"time"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// KeyPatch changes what is set and leaves the rest. Empty lists lift a restriction.
type KeyPatch struct {
	Name          *string
	Description   *string
	Scopes        *[]string
	Engines       *[]string
	Addresses     *[]string
	PerMinute     *int
	PerHour       *int
	PerDay        *int
	ExpiresInDays *int // from now
	NeverExpires  bool // takes the end away (expiresInDays: null)
}

// UpdateKey changes a key. The result as a whole must lie within the actor's own rights, so a key can't touch one
// stronger than itself. Faults: Invalid, Forbidden, NotFound; Conflict where the key is revoked.
func (s *Service) UpdateKey(ctx context.Context, a Actor, id uid.Key, in KeyPatch) (Key, error) {
	apply, err := s.patch(a, in)
	if err != nil {
		return Key{}, err
	}
	return s.changeKey(ctx, a, keyEvent(event.KeyUpdated, id), func(k *Key, now time.Time) error {
		if !k.RevokedAt.IsZero() {
			return errKeyDead("a revoked key can't be changed")
		}
		apply(k, now)
		return boundsOf(a).allow(*k)
	})
}

// patch checks what is set and returns the change.
func (s *Service) patch(a Actor, in KeyPatch) (func(*Key, time.Time), error) {
	var w wrongs
	var steps []func(*Key, time.Time)
	step := func(f func(*Key, time.Time)) { steps = append(steps, f) }
	if in.Name != nil {
		w.name(*in.Name)
		step(func(k *Key, _ time.Time) { k.Name = *in.Name })
	}
	if in.Description != nil {
		w.text("description", *in.Description, MaxKeyDescription, true)
		step(func(k *Key, _ time.Time) { k.Description = *in.Description })
	}
	if in.Scopes != nil {
		scopes := w.scopes(*in.Scopes)
		step(func(k *Key, _ time.Time) { k.Scopes = scopes })
	}
	if in.Engines != nil {
		engines := w.engines(*in.Engines, s.engines)
		step(func(k *Key, _ time.Time) { k.Engines = engines })
	}
	if in.Addresses != nil {
		addresses := w.addresses(*in.Addresses)
		step(func(k *Key, _ time.Time) { k.Addresses = addresses })
	}
	s.patchWindows(&w, a, in, step)
	switch {
	case in.NeverExpires && in.ExpiresInDays != nil:
		w.add("expiresInDays", "can't be set and taken away at once")
	case in.NeverExpires:
		step(func(k *Key, _ time.Time) { k.ExpiresAt = time.Time{} })
	case in.ExpiresInDays != nil:
		w.days(*in.ExpiresInDays)
		step(func(k *Key, now time.Time) { k.ExpiresAt = now.Add(time.Duration(*in.ExpiresInDays) * day) })
	}
	return func(k *Key, now time.Time) {
		for _, f := range steps {
			f(k, now)
		}
	}, w.err()
}

func (s *Service) patchWindows(w *wrongs, a Actor, in KeyPatch, step func(func(*Key, time.Time))) {
	top := s.MaxWindowsFor(a)
	if in.PerMinute != nil {
		w.window("rateLimitPerMinute", *in.PerMinute, top.PerMinute)
		step(func(k *Key, _ time.Time) { k.Windows.PerMinute = *in.PerMinute })
	}
	if in.PerHour != nil {
		w.window("rateLimitPerHour", *in.PerHour, top.PerHour)
		step(func(k *Key, _ time.Time) { k.Windows.PerHour = *in.PerHour })
	}
	if in.PerDay != nil {
		w.window("rateLimitPerDay", *in.PerDay, top.PerDay)
		step(func(k *Key, _ time.Time) { k.Windows.PerDay = *in.PerDay })
	}
}
