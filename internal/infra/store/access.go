package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// AccessStore implements access.Store. Its three lookups by hash or user name see all organizations, because they are
// what finds one.
type AccessStore struct {
	reader
	changer[access.Tx]
}

var (
	_ access.Store = AccessStore{}
	_ access.Tx    = (*Tx)(nil)
)

// Access is the view of users, sessions and keys.
func (s *Store) Access() AccessStore { return AccessStore{reader{s}, changer[access.Tx]{s}} }

func missingKey() error     { return fault.Missing("API key") }
func missingUser() error    { return fault.Missing("user") }
func missingSession() error { return fault.Missing("session") }

// keyRow are the columns of key.rows.
type keyRow struct {
	key                                                  access.Key
	scopes, engines, addresses                           []byte
	created, expires, suspended, revoked, used, previous int64
}

func (k *keyRow) dest() []any {
	return []any{
		&k.key.ID, &k.key.Name, &k.key.Description, &k.key.Prefix, &k.scopes, &k.engines, &k.addresses,
		&k.key.Windows.PerMinute, &k.key.Windows.PerHour, &k.key.Windows.PerDay, &k.key.CreatedBy, &k.created,
		&k.expires, &k.suspended, &k.revoked, &k.used, &k.previous,
	}
}

func (k *keyRow) done(org uid.Org) (access.Key, error) {
	key := k.key
	key.Org = org
	key.CreatedAt, key.ExpiresAt, key.SuspendedAt = timeOf(k.created), timeOf(k.expires), timeOf(k.suspended)
	key.RevokedAt, key.LastUsedAt, key.PreviousExpires = timeOf(k.revoked), timeOf(k.used), timeOf(k.previous)
	var err error
	if key.Scopes, err = texts[access.Scope]("scopes", k.scopes); err != nil {
		return key, err
	}
	if key.Engines, err = texts[string]("engines", k.engines); err != nil {
		return key, err
	}
	var prefixes []netip.Prefix
	if err := decode("addresses", k.addresses, &prefixes); err != nil {
		return key, err
	}
	if len(prefixes) > 0 {
		key.Addresses = prefixes
	}
	return key, nil
}

// KeyByHash finds the key one of whose secrets has this hash; NotFound otherwise. It doesn't judge whether key,
// secret or organization are still good.
func (r AccessStore) KeyByHash(ctx context.Context, h access.Hash) (access.KeyMatch, error) {
	var k keyRow
	var org uid.Org
	var m access.KeyMatch
	var hash []byte
	var until, suspended int64
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return v.row(ctx, "all.key.by_hash", []any{h[:]}, append(k.dest(), &org, &hash, &until, &m.Plan, &suspended)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return access.KeyMatch{}, missingKey()
	}
	if err != nil {
		return access.KeyMatch{}, err
	}
	copy(m.Hash[:], hash)
	m.Suspended, m.SecretUntil = suspended != 0, timeOf(until)
	m.Key, err = k.done(org)
	return m, err
}

// APIKey returns one key of the organization, NotFound where there is none.
func (r AccessStore) APIKey(ctx context.Context, org uid.Org, id uid.Key) (access.Key, error) {
	var k access.Key
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		k, err = keyByID(ctx, &v.handle, id)
		return err
	})
	return k, err
}

func keyByID(ctx context.Context, h *handle, id uid.Key) (access.Key, error) {
	if !uid.Valid(string(id)) {
		return access.Key{}, missingKey()
	}
	q, args, err := h.find("key.rows", nil)
	if err != nil {
		return access.Key{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND k.id = ?", string(id))
	var k keyRow
	err = h.failed(readFault(h.sql.QueryRowContext(ctx, c.text.String(), c.args...).Scan(k.dest()...)))
	if errors.Is(err, sql.ErrNoRows) {
		return access.Key{}, missingKey()
	}
	if err != nil {
		return access.Key{}, err
	}
	return k.done(h.scope.org)
}

// APIKeys returns one page of keys, newest first.
func (r AccessStore) APIKeys(ctx context.Context, org uid.Org, p page.Request) (access.Keys, error) {
	p, err := normal(p)
	if err != nil {
		return access.Keys{}, err
	}
	l := &listing{base: "key.rows", order: "k.created_at, k.id", page: p}
	var out access.Keys
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var k keyRow
		if err := rows.Scan(k.dest()...); err != nil {
			return internal("a key can't be read", err)
		}
		key, err := k.done(org)
		out.Items = append(out.Items, key)
		return err
	})
	if err != nil {
		return access.Keys{}, err
	}
	if more {
		last := out.Items[len(out.Items)-1]
		out.Next = page.Key{Sort: micros(last.CreatedAt), ID: string(last.ID)}
	}
	out.Total = total
	return out, nil
}

// KeyForUpdate reads a key as it is inside this unit and holds it until the unit ends; NotFound where there is none.
func (t *Tx) KeyForUpdate(ctx context.Context, id uid.Key) (access.Key, error) {
	if err := t.one(ctx, missingKey, "key.hold", string(id)); err != nil {
		return access.Key{}, err
	}
	return keyByID(ctx, &t.handle, id)
}

// InsertKey adds a key with its first secret.
func (t *Tx) InsertKey(ctx context.Context, k access.Key, h access.Hash) error {
	addresses, err := encode(append([]netip.Prefix{}, k.Addresses...))
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "key.insert", string(k.ID), k.Name, k.Description, k.Prefix, list(k.Scopes), list(k.Engines),
		addresses, k.Windows.PerMinute, k.Windows.PerHour, k.Windows.PerDay, k.CreatedBy, micros(k.CreatedAt),
		micros(k.ExpiresAt), micros(k.SuspendedAt), micros(k.RevokedAt), micros(k.LastUsedAt), micros(k.PreviousExpires))
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "key.secret_insert", h[:], string(k.ID))
	return err
}

// UpdateKey writes name, description, scopes, engines, addresses, windows, expiry and the suspension and revocation
// times; NotFound where there is no such key.
func (t *Tx) UpdateKey(ctx context.Context, k access.Key) error {
	addresses, err := encode(append([]netip.Prefix{}, k.Addresses...))
	if err != nil {
		return err
	}
	return t.one(ctx, missingKey, "key.update", string(k.ID), k.Name, k.Description, list(k.Scopes), list(k.Engines),
		addresses, k.Windows.PerMinute, k.Windows.PerHour, k.Windows.PerDay, micros(k.ExpiresAt), micros(k.SuspendedAt),
		micros(k.RevokedAt))
}

// RotateKey makes h the current secret; the one before lives until graceEnds (not at all, where that isn't after
// now), any older one dies now.
func (t *Tx) RotateKey(ctx context.Context, id uid.Key, prefix string, h access.Hash, now, graceEnds time.Time) error {
	grace := graceEnds.After(now)
	if !grace {
		graceEnds = time.Time{}
	}
	if err := t.one(ctx, missingKey, "key.rotated", string(id), prefix, micros(graceEnds)); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "key.secret_drop_previous", string(id)); err != nil {
		return err
	}
	var err error
	if grace {
		_, err = t.exec(ctx, "key.secret_end", string(id), micros(graceEnds))
	} else {
		_, err = t.exec(ctx, "key.secret_drop_current", string(id))
	}
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "key.secret_insert", h[:], string(id))
	return err
}

// TouchKeys writes last-use times, at most 500 at a time. A time never goes back; keys of others and unknown ones are
// left alone.
func (t *Tx) TouchKeys(ctx context.Context, used map[uid.Key]time.Time) error {
	if len(used) > maxRows {
		return internal("too many keys for one unit", nil)
	}
	for _, id := range slices.Sorted(maps.Keys(used)) { // one order for all, so that two units don't wait for each other
		if _, err := t.exec(ctx, "key.touch", string(id), micros(used[id])); err != nil {
			return err
		}
	}
	return nil
}

// fold makes user names that differ only in case equal.
func fold(username string) string { return strings.ToLower(username) }
