package access

import (
	"context"
	"slices"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// NewKey is an order for a key, as it came from outside. What is left out (nil) takes the creator's own restriction
// where the creator is a restricted key, else the documented default: any engine, any address, 60/1,000/10,000 calls,
// no end.
type NewKey struct {
	Name          string
	Description   string
	Scopes        []string // at least one
	Engines       []string // allowedScanTypes
	Addresses     []string // allowedIpAddresses
	PerMinute     *int     // rateLimitPerMinute
	PerHour       *int
	PerDay        *int
	ExpiresInDays *int
}

// CreateKey makes a key; its secret is in the answer and nowhere else. Faults: Invalid with every wrong field;
// Forbidden with every field beyond the actor's own rights.
func (s *Service) CreateKey(ctx context.Context, a Actor, in NewKey) (Issued, error) {
	now := s.now()
	k, err := s.newKey(a, in, now)
	if err != nil {
		return Issued{}, err
	}
	if err := boundsOf(a).allow(k); err != nil {
		return Issued{}, err
	}
	token, h, err := issue(KeyPrefix, s.rand)
	if err != nil {
		return Issued{}, err
	}
	k.ID, k.Org, k.Prefix, k.CreatedBy, k.CreatedAt = uid.Key(s.ids.New()), a.Org, display(token), a.Principal(), now
	err = s.store.Change(ctx, a.Org, keyEvent(event.KeyCreated, k.ID), func(ctx context.Context, tx Tx) error {
		return tx.InsertKey(ctx, k, h)
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{Key: k, Secret: token}, nil
}

func (s *Service) newKey(a Actor, in NewKey, now time.Time) (Key, error) {
	var w wrongs
	w.name(in.Name)
	w.text("description", in.Description, MaxKeyDescription, true)
	own, top := boundsOf(a), s.MaxWindowsFor(a)
	k := Key{
		Name: in.Name, Description: in.Description, Scopes: w.scopes(in.Scopes),
		Engines: slices.Clone(own.engines), Addresses: slices.Clone(own.addresses), ExpiresAt: own.expires,
	}
	if in.Engines != nil {
		k.Engines = w.engines(in.Engines, s.engines)
	}
	if in.Addresses != nil {
		k.Addresses = w.addresses(in.Addresses)
	}
	if in.ExpiresInDays != nil {
		w.days(*in.ExpiresInDays)
		k.ExpiresAt = now.Add(time.Duration(*in.ExpiresInDays) * day)
	}
	usual := DefaultWindows()
	k.Windows = Windows{
		PerMinute: choose(in.PerMinute, usual.PerMinute, own.windows.PerMinute, top.PerMinute),
		PerHour:   choose(in.PerHour, usual.PerHour, own.windows.PerHour, top.PerHour),
		PerDay:    choose(in.PerDay, usual.PerDay, own.windows.PerDay, top.PerDay),
	}
	w.window("rateLimitPerMinute", k.Windows.PerMinute, top.PerMinute)
	w.window("rateLimitPerHour", k.Windows.PerHour, top.PerHour)
	w.window("rateLimitPerDay", k.Windows.PerDay, top.PerDay)
	return k, w.err()
}

// choose returns the wanted window; without a wish the usual one, no more than the creator's own, or none where the
// ceiling (0) allows that.
func choose(wanted *int, usual, own, ceiling int) int {
	switch {
	case wanted != nil:
		return *wanted
	case ceiling == 0:
		return 0
	case own > 0:
		return min(usual, own)
	}
	return usual
}

// Key returns a key of the organization; NotFound where there is none.
func (s *Service) Key(ctx context.Context, a Actor, id uid.Key) (Key, error) {
	if err := knownForm(id); err != nil {
		return Key{}, err
	}
	return s.store.APIKey(ctx, a.Org, id)
}

// Keys returns a page of the organization's keys, revoked and expired ones included, newest first.
func (s *Service) Keys(ctx context.Context, a Actor, p page.Request) (Keys, error) {
	if p.Limit <= 0 {
		p.Limit = page.DefaultLimit
	}
	p.Limit = min(p.Limit, page.MaxLimit)
	return s.store.APIKeys(ctx, a.Org, p)
}

// RotateKey gives the key a new secret, at once; the one before lives on for graceHours (nil = 24; 0 cuts it at once)
// and any older one dies. Id and restrictions stay. The answer's Key.PreviousExpires says when the old secret ends.
// Whoever rotates learns the new secret, so the key must lie within the actor's own rights. Faults as UpdateKey; an
// expired key is a Conflict too.
func (s *Service) RotateKey(ctx context.Context, a Actor, id uid.Key, graceHours *int) (Issued, error) {
	grace := DefaultGraceHours
	if graceHours != nil {
		grace = *graceHours
	}
	if grace < 0 || grace > MaxGraceHours {
		return Issued{}, fault.Wrong("gracePeriodHours", "must be between 0 and "+strconv.Itoa(MaxGraceHours))
	}
	if err := knownForm(id); err != nil {
		return Issued{}, err
	}
	token, h, err := issue(KeyPrefix, s.rand)
	if err != nil {
		return Issued{}, err
	}
	now := s.now()
	ends := now.Add(time.Duration(grace) * time.Hour)
	var k Key
	err = s.store.Change(ctx, a.Org, keyEvent(event.KeyRotated, id), func(ctx context.Context, tx Tx) error {
		var err error
		if k, err = tx.KeyForUpdate(ctx, id); err != nil {
			return err
		}
		switch k.State(now) {
		case KeyRevoked:
			return errKeyDead("a revoked key can't be rotated")
		case KeyExpired:
			return errKeyDead("an expired key can't be rotated; give it a later end first")
		case KeyActive, KeySuspended:
		}
		if err := boundsOf(a).allow(k); err != nil {
			return err
		}
		k.Prefix, k.PreviousExpires = display(token), ends
		return tx.RotateKey(ctx, id, k.Prefix, h, now, ends)
	})
	if err != nil {
		return Issued{}, err
	}
	s.keys.clear()
	return Issued{Key: k, Secret: token}, nil
}

// RevokeKey ends a key for good: here at once, on other nodes within a second. Revoking it again changes nothing.
func (s *Service) RevokeKey(ctx context.Context, a Actor, id uid.Key) (Key, error) {
	return s.changeKey(ctx, a, keyEvent(event.KeyRevoked, id), func(k *Key, now time.Time) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt = now
		}
		return nil
	})
}

// SuspendKey stops a key until ResumeKey; only an administrator or the operator may. A revoked key is a Conflict.
func (s *Service) SuspendKey(ctx context.Context, a Actor, id uid.Key) (Key, error) {
	if !administers(a) {
		return Key{}, errOnlyAdmins()
	}
	return s.changeKey(ctx, a, keyEvent(event.KeySuspended, id), func(k *Key, now time.Time) error {
		if !k.RevokedAt.IsZero() {
			return errKeyDead("a revoked key can't be suspended")
		}
		if k.SuspendedAt.IsZero() {
			k.SuspendedAt = now
		}
		return nil
	})
}

// ResumeKey lets a suspended key work again; the rules are SuspendKey's.
func (s *Service) ResumeKey(ctx context.Context, a Actor, id uid.Key) (Key, error) {
	if !administers(a) {
		return Key{}, errOnlyAdmins()
	}
	return s.changeKey(ctx, a, keyEvent(event.KeyResumed, id), func(k *Key, _ time.Time) error {
		if !k.RevokedAt.IsZero() {
			return errKeyDead("a revoked key can't be resumed")
		}
		k.SuspendedAt = time.Time{}
		return nil
	})
}

func administers(a Actor) bool {
	return a.Kind == audit.ActorOperator || (a.Kind == audit.ActorUser && a.Role == RoleAdmin)
}

// changeKey reads, changes and writes a key in one unit and drops what is cached of it.
func (s *Service) changeKey(ctx context.Context, a Actor, ev audit.Event, change func(*Key, time.Time) error) (Key, error) {
	id := uid.Key(ev.Resource.ID)
	if err := knownForm(id); err != nil {
		return Key{}, err
	}
	now := s.now()
	var out Key
	err := s.store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		k, err := tx.KeyForUpdate(ctx, id)
		if err != nil {
			return err
		}
		if err := change(&k, now); err != nil {
			return err
		}
		out = k
		return tx.UpdateKey(ctx, k)
	})
	if err != nil {
		return Key{}, err
	}
	s.keys.clear()
	return out, nil
}

// knownForm keeps ids that can't exist away from the database and from the trail.
func knownForm(id uid.Key) error {
	if !uid.Valid(string(id)) {
		return fault.Missing("API key")
	}
	return nil
}

func keyEvent(t event.Audit, id uid.Key) audit.Event {
	return audit.Event{Type: t, Resource: audit.Resource{Kind: "api_key", ID: string(id)}}
}

func errKeyDead(text string) error { return fault.New(fault.Conflict, fault.CodeConflict, text) }
