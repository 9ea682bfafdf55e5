package access

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
)

const (
	// SessionLife is the hard end of a session after its login (decisions B14).
	SessionLife = 8 * time.Hour
	// SessionIdle ends a session that isn't used.
	SessionIdle = 30 * time.Minute
)

// Credentials are what a call brought. Address is who the client is, behind trusted proxies; the edge decides it.
type Credentials struct {
	APIKey  string // X-API-Key
	Bearer  string // the token of Authorization: Bearer; an API key or a session token
	Cookie  string // the session cookie's value
	Address netip.Addr
}

// Authenticate says who a call acts as. Credentials in headers outrank the cookie, which a browser sends unasked.
//
// Faults, in the order of the checks: Invalid AMBIGUOUS_CREDENTIALS; Unauthenticated MISSING_API_KEY, INVALID_API_KEY
// (form, then unknown), KEY_REVOKED, KEY_SUSPENDED; Forbidden ORGANIZATION_SUSPENDED; Unauthenticated KEY_EXPIRED;
// Forbidden IP_NOT_ALLOWED. A session that is unknown, over, idle, or of a disabled user is Unauthenticated
// UNAUTHENTICATED. The actor's slices and Key are shared with other calls and must not be changed.
func (s *Service) Authenticate(ctx context.Context, c Credentials) (Actor, error) {
	if c.APIKey != "" && c.Bearer != "" && subtle.ConstantTimeCompare([]byte(c.APIKey), []byte(c.Bearer)) != 1 {
		return Actor{}, errAmbiguous()
	}
	switch {
	case c.APIKey != "":
		return s.byKey(ctx, c.APIKey, c.Address)
	case strings.HasPrefix(c.Bearer, SessionPrefix):
		return s.bySession(ctx, c.Bearer)
	case c.Bearer != "":
		return s.byKey(ctx, c.Bearer, c.Address)
	case c.Cookie != "":
		a, err := s.bySession(ctx, c.Cookie)
		a.ByCookie = err == nil
		return a, err
	}
	return Actor{}, errMissing()
}

func (s *Service) byKey(ctx context.Context, key string, from netip.Addr) (Actor, error) {
	h, err := ParseKey(key)
	if err != nil {
		return Actor{}, err
	}
	m, err := s.keyMatch(ctx, h)
	if err != nil {
		return Actor{}, err
	}
	now := s.now()
	if err := admit(m, from, now); err != nil {
		return Actor{}, err
	}
	k := &m.Key
	s.usedKeys.note(k.Org, k.ID, k.LastUsedAt, now)
	return Actor{
		Org: k.Org, Kind: audit.ActorKey, ID: string(k.ID), Name: k.Name, Scopes: k.Scopes, Engines: k.Engines,
		Windows: k.Windows, Key: k, Plan: m.Plan,
	}, nil
}

func (s *Service) keyMatch(ctx context.Context, h Hash) (*KeyMatch, error) {
	start := s.clock()
	m, gen, ok := s.keys.get(h, start)
	if ok {
		return m, nil
	}
	found, err := s.store.KeyByHash(ctx, h)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return nil, errInvalidKey()
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare(found.Hash[:], h[:]) != 1:
		return nil, errInvalidKey()
	}
	s.keys.put(h, &found, start, gen)
	return &found, nil
}

// admit checks a known key at now: old secret, revoked, suspended, organization suspended, expired, address.
func admit(m *KeyMatch, from netip.Addr, now time.Time) error {
	if !m.SecretUntil.IsZero() && !now.Before(m.SecretUntil) {
		return errInvalidKey() // the secret before the last rotation; its grace is over, so nobody knows it any more
	}
	state := m.Key.State(now)
	switch {
	case state == KeyRevoked:
		return errRevoked()
	case state == KeySuspended:
		return errSuspended()
	case m.Suspended:
		return errOrgSuspended()
	case state == KeyExpired:
		return errExpired()
	case !addressAllowed(m.Key.Addresses, from):
		return errAddress()
	}
	return nil
}

// addressAllowed reports whether one of the prefixes holds the address; an empty list holds all.
func addressAllowed(list []netip.Prefix, from netip.Addr) bool {
	if len(list) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// sessionEntry is a session as the cache keeps it, with the rights of its user's role.
type sessionEntry struct {
	SessionMatch
	scopes Scopes
}

func (s *Service) bySession(ctx context.Context, token string) (Actor, error) {
	h, err := ParseSession(token)
	if err != nil {
		return Actor{}, err
	}
	m, err := s.sessionMatch(ctx, h)
	if err != nil {
		return Actor{}, err
	}
	now := s.now()
	seen := s.usedSessions.seen(m.Session.ID, m.Session.SeenAt)
	switch {
	case !now.Before(m.Session.ExpiresAt), now.Sub(seen) >= SessionIdle, m.User.Disabled:
		return Actor{}, errSessionEnded()
	case m.Suspended:
		return Actor{}, errOrgSuspended()
	}
	s.usedSessions.note(m.Session.Org, m.Session.ID, m.Session.SeenAt, now)
	return Actor{
		Org: m.Session.Org, Kind: audit.ActorUser, ID: string(m.User.ID), Name: m.User.Username, Scopes: m.scopes,
		Windows: DefaultWindows(), Role: m.User.Role, Session: m.Session.ID, MustReset: m.User.MustReset, Plan: m.Plan,
	}, nil
}

func (s *Service) sessionMatch(ctx context.Context, h Hash) (*sessionEntry, error) {
	start := s.clock()
	e, gen, ok := s.sessions.get(h, start)
	if ok {
		return e, nil
	}
	found, err := s.store.SessionByHash(ctx, h)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return nil, errSessionEnded()
	case err != nil:
		return nil, err
	case subtle.ConstantTimeCompare(found.Session.Hash[:], h[:]) != 1:
		return nil, errSessionEnded()
	}
	e = &sessionEntry{SessionMatch: found, scopes: found.User.Role.Scopes()}
	s.sessions.put(h, e, start, gen)
	return e, nil
}
