package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// userRow are the columns of a user.
type userRow struct {
	user                               access.User
	mustReset, disabled                int64
	failed, locked, created, lastLogin int64
}

func (u *userRow) dest() []any {
	return []any{
		&u.user.ID, &u.user.Org, &u.user.Username, &u.user.Email, &u.user.Role, &u.user.PasswordHash, &u.mustReset,
		&u.disabled, &u.user.Failures, &u.failed, &u.locked, &u.created, &u.lastLogin,
	}
}

func (u *userRow) done() access.User {
	user := u.user
	user.MustReset, user.Disabled = u.mustReset != 0, u.disabled != 0
	user.FailedAt, user.LockedUntil = timeOf(u.failed), timeOf(u.locked)
	user.CreatedAt, user.LastLoginAt = timeOf(u.created), timeOf(u.lastLogin)
	return user
}

// userOf finishes the read of one user.
func userOf(u *userRow, err error) (access.User, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return access.User{}, missingUser()
	}
	if err != nil {
		return access.User{}, err
	}
	return u.done(), nil
}

// UserByName finds a user by the user name, whatever its case; NotFound otherwise.
func (r AccessStore) UserByName(ctx context.Context, username string) (access.User, error) {
	if !storable(username) {
		return access.User{}, missingUser()
	}
	var u userRow
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return v.row(ctx, "all.user.by_name", []any{fold(username)}, u.dest()...)
	})
	return userOf(&u, err)
}

// User returns one user of the organization, NotFound where there is none.
func (r AccessStore) User(ctx context.Context, org uid.Org, id uid.User) (access.User, error) {
	if !uid.Valid(string(id)) {
		return access.User{}, missingUser()
	}
	var u userRow
	err := r.row(ctx, org, "user.get", []any{string(id)}, u.dest()...)
	return userOf(&u, err)
}

// SessionByHash finds a session by its token's hash, with its user, whether it has ended or not; NotFound otherwise.
func (r AccessStore) SessionByHash(ctx context.Context, h access.Hash) (access.SessionMatch, error) {
	var u userRow
	var m access.SessionMatch
	var hash []byte
	var created, seen, expires, suspended int64
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		dest := append([]any{
			&m.Session.ID, &m.Session.User, &m.Session.Org, &hash, &created, &seen, &expires, &m.Plan, &suspended,
		}, u.dest()...)
		return v.row(ctx, "all.session.by_hash", []any{h[:]}, dest...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return access.SessionMatch{}, missingSession()
	}
	if err != nil {
		return access.SessionMatch{}, err
	}
	copy(m.Session.Hash[:], hash)
	m.Session.CreatedAt, m.Session.SeenAt, m.Session.ExpiresAt = timeOf(created), timeOf(seen), timeOf(expires)
	m.Suspended, m.User = suspended != 0, u.done()
	return m, nil
}

// UserForUpdate reads a user as it is inside this unit and holds it until the unit ends; NotFound where there is none.
func (t *Tx) UserForUpdate(ctx context.Context, id uid.User) (access.User, error) {
	if err := t.one(ctx, missingUser, "user.hold", string(id)); err != nil {
		return access.User{}, err
	}
	var u userRow
	err := t.row(ctx, "user.get", []any{string(id)}, u.dest()...)
	return userOf(&u, err)
}

// InsertUser adds a user; a user name that is taken on this server, in any organization, is a Conflict fault.
func (t *Tx) InsertUser(ctx context.Context, u access.User) error {
	_, err := t.exec(ctx, "user.insert", string(u.ID), u.Username, fold(u.Username), u.Email, string(u.Role),
		u.PasswordHash, flag(u.MustReset), flag(u.Disabled), u.Failures, micros(u.FailedAt), micros(u.LockedUntil),
		micros(u.CreatedAt), micros(u.LastLoginAt))
	if isDuplicate(err) {
		return fault.New(fault.Conflict, fault.CodeConflict, "the user name is taken").Because(err)
	}
	return err
}

// UpdateUser writes email, role, password hash, must-reset, disabled, failures, lock and login times; NotFound where
// there is no such user.
func (t *Tx) UpdateUser(ctx context.Context, u access.User) error {
	return t.one(ctx, missingUser, "user.update", string(u.ID), u.Email, string(u.Role), u.PasswordHash,
		flag(u.MustReset), flag(u.Disabled), u.Failures, micros(u.FailedAt), micros(u.LockedUntil), micros(u.LastLoginAt))
}

// InsertSession adds a session of one of the organization's users; NotFound where there is no such user.
func (t *Tx) InsertSession(ctx context.Context, s access.Session) error {
	if err := t.one(ctx, missingUser, "user.hold", string(s.User)); err != nil {
		return err
	}
	_, err := t.exec(ctx, "session.insert", string(s.ID), string(s.User), s.Hash[:], micros(s.CreatedAt),
		micros(s.SeenAt), micros(s.ExpiresAt))
	return err
}

// TouchSession writes when a session was last seen; one that is gone is no error.
func (t *Tx) TouchSession(ctx context.Context, id uid.Session, seen time.Time) error {
	_, err := t.exec(ctx, "session.touch", string(id), micros(seen))
	return err
}

// EndSession deletes a session; ending one that is gone is no error.
func (t *Tx) EndSession(ctx context.Context, id uid.Session) error {
	_, err := t.exec(ctx, "session.end", string(id))
	return err
}

// EndSessions deletes all sessions of a user but the one given (empty = all).
func (t *Tx) EndSessions(ctx context.Context, user uid.User, but uid.Session) error {
	_, err := t.exec(ctx, "session.end_of_user", string(user), string(but))
	return err
}
