package storetest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func (h *house) newKey(org uid.Org) access.Key {
	return access.Key{
		ID: uid.Key(h.ids.New()), Org: org, Name: "ci", Description: "pipeline", Prefix: "asy_live_Ab3d",
		Scopes: access.Scopes{access.ScansCreate, "assets:*"}, Engines: []string{"nmap"},
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Windows:   access.DefaultWindows(), CreatedBy: "user:1", CreatedAt: h.clock.Advance(time.Second),
		ExpiresAt: h.clock.Now().Add(24 * time.Hour),
	}
}

func (h *house) addKey(tb testing.TB, k access.Key, hash access.Hash) {
	tb.Helper()
	must(tb, h.access(tb, k.Org, func(ctx context.Context, tx access.Tx) error { return tx.InsertKey(ctx, k, hash) }))
}

func keys(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Access()
	k := h.newKey(h.ours)
	first, second, third := access.Hash{1}, access.Hash{2}, access.Hash{3}
	h.addKey(t, k, first)
	same(t, "key", k, got(st.APIKey(ctx, h.ours, k.ID))(t))
	same(t, "match", access.KeyMatch{Key: k, Hash: first, Plan: "enterprise"}, got(st.KeyByHash(ctx, first))(t))
	_, err := st.KeyByHash(ctx, second)
	wantMissing(t, err)

	plain := access.Key{ID: uid.Key(h.ids.New()), Org: h.ours, Name: "plain", CreatedAt: h.clock.Advance(time.Second)}
	h.addKey(t, plain, access.Hash{9})
	same(t, "a key without restrictions", plain, got(st.APIKey(ctx, h.ours, plain.ID))(t))
	other := h.newKey(h.theirs)
	wantConflict(t, h.access(t, h.theirs, func(ctx context.Context, tx access.Tx) error { return tx.InsertKey(ctx, other, first) }))

	k.Name, k.Scopes, k.Addresses, k.Engines = "renamed", access.Scopes{access.ScansRead}, nil, nil
	k.SuspendedAt, k.RevokedAt, k.ExpiresAt = h.clock.Now(), h.clock.Now(), time.Time{}
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		if _, err := tx.KeyForUpdate(ctx, k.ID); err != nil {
			return err
		}
		return tx.UpdateKey(ctx, k)
	}))
	same(t, "updated key", k, got(st.APIKey(ctx, h.ours, k.ID))(t))

	rotate := func(hash access.Hash, grace time.Duration) {
		t.Helper()
		must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
			return tx.RotateKey(ctx, k.ID, "asy_live_Zz9z", hash, h.clock.Now(), h.clock.Now().Add(grace))
		}))
	}
	rotate(second, time.Hour)
	k.Prefix, k.PreviousExpires = "asy_live_Zz9z", h.clock.Now().Add(time.Hour)
	same(t, "old secret", access.KeyMatch{Key: k, Hash: first, Plan: "enterprise", SecretUntil: k.PreviousExpires}, got(st.KeyByHash(ctx, first))(t))
	same(t, "new secret", access.KeyMatch{Key: k, Hash: second, Plan: "enterprise"}, got(st.KeyByHash(ctx, second))(t))
	rotate(third, time.Hour)
	_, err = st.KeyByHash(ctx, first)
	wantMissing(t, err)
	rotate(access.Hash{4}, 0)
	for _, gone := range []access.Hash{first, second, third} {
		_, err = st.KeyByHash(ctx, gone)
		wantMissing(t, err)
	}

	used := h.clock.Advance(time.Minute)
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		return tx.TouchKeys(ctx, map[uid.Key]time.Time{k.ID: used, "unknown": used})
	}))
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		return tx.TouchKeys(ctx, map[uid.Key]time.Time{k.ID: used.Add(-time.Hour)})
	}))
	if last := got(st.APIKey(ctx, h.ours, k.ID))(t).LastUsedAt; !last.Equal(used) {
		t.Errorf("last use = %v; want %v", last, used)
	}
	list := got(st.APIKeys(ctx, h.ours, page.Request{WantTotal: true}))(t)
	if len(list.Items) != 2 || list.Items[0].ID != plain.ID || list.Total.N != 2 || !list.Total.Known {
		t.Errorf("list = %+v; want the two keys, newest first", list)
	}
}

func users(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Access()
	u := access.User{
		ID: uid.User(h.ids.New()), Org: h.ours, Username: "Ada", Email: "ada@example.org", Role: "admin",
		PasswordHash: "$argon2id$x", MustReset: true, CreatedAt: h.clock.Now(),
	}
	insert := func(u access.User) error {
		return h.access(t, u.Org, func(ctx context.Context, tx access.Tx) error { return tx.InsertUser(ctx, u) })
	}
	must(t, insert(u))
	same(t, "user", u, got(st.User(ctx, h.ours, u.ID))(t))
	same(t, "user by name", u, got(st.UserByName(ctx, "aDA"))(t))
	wantConflict(t, insert(access.User{ID: uid.User(h.ids.New()), Org: h.theirs, Username: "ADA", CreatedAt: h.clock.Now()}))

	u.Email, u.Role, u.PasswordHash, u.MustReset, u.Disabled = "a@example.org", "user", "$argon2id$y", false, true
	u.Failures, u.FailedAt, u.LockedUntil, u.LastLoginAt = 5, h.clock.Now(), h.clock.Now(), h.clock.Now()
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		if _, err := tx.UserForUpdate(ctx, u.ID); err != nil {
			return err
		}
		return tx.UpdateUser(ctx, u)
	}))
	same(t, "updated user", u, got(st.User(ctx, h.ours, u.ID))(t))

	var sessions []access.Session
	for i := range 3 {
		sessions = append(sessions, access.Session{
			ID: uid.Session(h.ids.New()), User: u.ID, Org: h.ours, Hash: access.Hash{byte(i + 1)},
			CreatedAt: h.clock.Now(), SeenAt: h.clock.Now(), ExpiresAt: h.clock.Now().Add(8 * time.Hour),
		})
	}
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		for _, s := range sessions {
			if err := tx.InsertSession(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}))
	same(t, "session", access.SessionMatch{Session: sessions[0], User: u, Plan: "enterprise"}, got(st.SessionByHash(ctx, access.Hash{1}))(t))
	seenAt := h.clock.Advance(time.Minute)
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		if err := tx.TouchSession(ctx, sessions[0].ID, seenAt); err != nil {
			return err
		}
		if err := tx.EndSession(ctx, sessions[1].ID); err != nil {
			return err
		}
		return tx.EndSession(ctx, sessions[1].ID)
	}))
	if m := got(st.SessionByHash(ctx, access.Hash{1}))(t); !m.Session.SeenAt.Equal(seenAt) {
		t.Errorf("seen at %v; want %v", m.Session.SeenAt, seenAt)
	}
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		return tx.EndSessions(ctx, u.ID, sessions[2].ID)
	}))
	for i, alive := range []bool{false, false, true} {
		_, err := st.SessionByHash(ctx, sessions[i].Hash)
		if (err == nil) != alive || (err != nil && fault.KindOf(err) != fault.NotFound) {
			t.Errorf("session %d: %v; alive should be %v", i, err, alive)
		}
	}
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error { return tx.EndSessions(ctx, u.ID, "") }))
	_, err := st.SessionByHash(ctx, sessions[2].Hash)
	wantMissing(t, err)
	for _, name := range []string{"", "nobody", "ada\x00", "\xff"} {
		_, err = st.UserByName(ctx, name)
		wantMissing(t, err)
	}
	wantMissing(t, h.access(t, h.theirs, func(ctx context.Context, tx access.Tx) error {
		return tx.InsertSession(ctx, access.Session{ID: "x", User: u.ID, Hash: access.Hash{7}})
	}))
}

// expiry checks that the sweep removes what nobody can use any more, and nothing else.
func expiry(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Access()
	k := h.newKey(h.ours)
	h.addKey(t, k, access.Hash{1})
	// The sweep looks at the real clock: what is over is long over, what isn't is far off.
	past, now := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC)
	rotate := func(hash access.Hash, from, until time.Time) {
		t.Helper()
		must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
			return tx.RotateKey(ctx, k.ID, "p", hash, from, until)
		}))
	}
	u := access.User{ID: uid.User(h.ids.New()), Org: h.ours, Username: "Ada", CreatedAt: now}
	ended := access.Session{ID: uid.Session(h.ids.New()), User: u.ID, Hash: access.Hash{1}, ExpiresAt: past}
	living := access.Session{ID: uid.Session(h.ids.New()), User: u.ID, Hash: access.Hash{2}, ExpiresAt: now.Add(time.Hour)}
	must(t, h.access(t, h.ours, func(ctx context.Context, tx access.Tx) error {
		if err := tx.InsertUser(ctx, u); err != nil {
			return err
		}
		if err := tx.InsertSession(ctx, ended); err != nil {
			return err
		}
		return tx.InsertSession(ctx, living)
	}))
	rotate(access.Hash{2}, now, now.Add(time.Hour))
	must(t, h.s.Sweep(ctx))
	got(st.KeyByHash(ctx, access.Hash{1}))(t) // still within its grace
	got(st.SessionByHash(ctx, living.Hash))(t)
	_, err := st.SessionByHash(ctx, ended.Hash)
	wantMissing(t, err)
	rotate(access.Hash{3}, past, past.Add(time.Hour))
	must(t, h.s.Sweep(ctx))
	got(st.KeyByHash(ctx, access.Hash{3}))(t)
	_, err = st.KeyByHash(ctx, access.Hash{2})
	wantMissing(t, err)
}
