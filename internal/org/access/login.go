package access

import (
	"context"
	"errors"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

const (
	// MaxFailures wrong passwords within FailureWindow lock the account for LockTime (decisions B14).
	MaxFailures = 5
	// FailureWindow is how long a failure counts.
	FailureWindow = 15 * time.Minute
	// LockTime is how long a locked account stays so.
	LockTime = 15 * time.Minute

	// loginTries bounds how often a login starts over because the account changed meanwhile.
	loginTries = 8

	// HTTP statuses of the refusals that leave an entry.
	statusRefused   = 401
	statusForbidden = 403
)

// Signed is a fresh session with its token, shown once.
type Signed struct {
	Session Session
	User    User
	Token   secret.Text
}

// Login checks a user name and password and opens a session of 8 hours. Success and failure are audited.
//
// Faults: Unauthenticated INVALID_CREDENTIALS for an unknown user, a wrong password or a disabled account, all alike
// in text and work; Unauthenticated ACCOUNT_LOCKED after 5 failures in 15 minutes; Forbidden ORGANIZATION_SUSPENDED to
// those who know the password; Unavailable where too many log in at once.
func (s *Service) Login(ctx context.Context, username string, password secret.Text) (Signed, error) {
	u, err := s.account(ctx, FoldUsername(username))
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Signed{}, err
	}
	if err != nil {
		return Signed{}, s.unknownUser(ctx, password.Reveal())
	}
	for range loginTries {
		var outdated bool
		if u, outdated, err = s.prove(ctx, u, password.Reveal()); err != nil {
			return Signed{}, err
		}
		signed, err := s.openSession(ctx, u, password, outdated)
		if !errors.Is(err, errStale) {
			return signed, err
		}
		if u, err = s.store.User(ctx, u.Org, u.ID); err != nil {
			return Signed{}, err
		}
	}
	return Signed{}, errBusy().After(time.Second)
}

// account finds a user by the folded name. Names that nobody can have stay away from the database.
func (s *Service) account(ctx context.Context, username string) (User, error) {
	if checkUsername(username) != nil {
		return User{}, fault.Missing("user")
	}
	return s.store.UserByName(ctx, username)
}

// errStale says that an account changed between a decision and the unit that was to record it.
var errStale = errors.New("the account changed meanwhile")

// unknownUser costs what a wrong password costs, hash and durable entry, and answers the same. The entry goes to the
// operator's log: no organization is known. The name that was typed is not kept; it may be a password.
func (s *Service) unknownUser(ctx context.Context, password string) error {
	if _, _, err := s.hasher.verify(ctx, "", password); err != nil {
		return err
	}
	ev := audit.Event{Type: event.AuthLoginFailed, Status: statusRefused, Reason: "unknown user", Actor: &audit.Actor{Kind: audit.ActorAnonymous}}
	if err := s.store.Change(ctx, uid.System, ev, func(context.Context, Tx) error { return nil }); err != nil {
		return err
	}
	return errCredentials()
}

// prove checks the password of a known account and keeps the count of failures. On success it returns the account as
// it was when checked, and whether its hash should be renewed.
func (s *Service) prove(ctx context.Context, u User, password string) (User, bool, error) {
	for range loginTries {
		if s.now().Before(u.LockedUntil) {
			return User{}, false, s.refuse(ctx, u, failure(u, event.AuthLoginFailed, "account locked"), errLocked())
		}
		ok, outdated, err := s.hasher.verify(ctx, u.PasswordHash, password)
		switch {
		case err != nil:
			return User{}, false, err
		case ok && u.Disabled:
			return User{}, false, s.refuse(ctx, u, failure(u, event.AuthLoginFailed, "account disabled"), errCredentials())
		case ok:
			return u, outdated, nil
		}
		err = s.countFailure(ctx, u)
		if !errors.Is(err, errStale) {
			return User{}, false, err
		}
		if u, err = s.store.User(ctx, u.Org, u.ID); err != nil {
			return User{}, false, err
		}
	}
	return User{}, false, errBusy().After(time.Second)
}

// refuse records a refusal that changes nothing and returns it.
func (s *Service) refuse(ctx context.Context, u User, ev audit.Event, answer error) error {
	if err := s.store.Change(ctx, u.Org, ev, func(context.Context, Tx) error { return nil }); err != nil {
		return err
	}
	return answer
}

// countFailure adds a wrong password to the account, locks it at the fifth, and returns the refusal; errStale where
// another call changed the count first, because the entry's type hangs on it.
func (s *Service) countFailure(ctx context.Context, seen User) error {
	now := s.now()
	next := seen
	if now.Sub(next.FailedAt) > FailureWindow {
		next.Failures = 0
	}
	next.Failures++
	next.FailedAt = now
	ev, answer := failure(seen, event.AuthLoginFailed, "wrong password"), errCredentials()
	if next.Failures >= MaxFailures {
		ev, answer = failure(seen, event.AuthAccountLocked, "5 wrong passwords within 15 minutes"), errLocked()
		next.Failures, next.LockedUntil = 0, now.Add(LockTime)
	}
	err := s.store.Change(ctx, seen.Org, ev, func(ctx context.Context, tx Tx) error {
		u, err := tx.UserForUpdate(ctx, seen.ID)
		if err != nil {
			return err
		}
		if !sameGate(u, seen) {
			return errStale
		}
		u.Failures, u.FailedAt, u.LockedUntil = next.Failures, next.FailedAt, next.LockedUntil
		return tx.UpdateUser(ctx, u)
	})
	if err != nil {
		return err
	}
	return answer
}

// sameGate reports whether all that decides on a login is as it was.
func sameGate(a, b User) bool {
	return a.PasswordHash == b.PasswordHash && a.Disabled == b.Disabled && a.Failures == b.Failures &&
		a.FailedAt.Equal(b.FailedAt) && a.LockedUntil.Equal(b.LockedUntil)
}

func failure(u User, what event.Audit, reason string) audit.Event {
	return audit.Event{
		Type: what, Resource: audit.Resource{Kind: "user", ID: string(u.ID)}, Status: statusRefused, Reason: reason,
		Actor: auditActor(u),
	}
}

// openSession records the login of a proven user. errStale where the account changed since.
func (s *Service) openSession(ctx context.Context, u User, password secret.Text, outdated bool) (Signed, error) {
	org, err := s.orgs.Organization(ctx, u.Org)
	if err != nil {
		return Signed{}, err
	}
	if org.Suspended {
		ev := failure(u, event.AuthLoginFailed, "organization suspended")
		ev.Status = statusForbidden
		return Signed{}, s.refuse(ctx, u, ev, errOrgSuspended())
	}
	phc := u.PasswordHash
	if outdated {
		if phc, err = s.hasher.hash(ctx, s.rand, password.Reveal()); err != nil {
			return Signed{}, err
		}
	}
	token, h, err := issue(SessionPrefix, s.rand)
	if err != nil {
		return Signed{}, err
	}
	now := s.now()
	session := Session{
		ID: uid.Session(s.ids.New()), User: u.ID, Org: u.Org, Hash: h,
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(SessionLife),
	}
	ev := audit.Event{
		Type: event.AuthLoginSuccess, Resource: audit.Resource{Kind: "session", ID: string(session.ID)}, Actor: auditActor(u),
	}
	account, err := s.recordLogin(ctx, ev, u, session, phc)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Session: session, User: account, Token: token}, nil
}

func (s *Service) recordLogin(ctx context.Context, ev audit.Event, proven User, session Session, phc string) (User, error) {
	var account User
	err := s.store.Change(ctx, proven.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		if account, err = tx.UserForUpdate(ctx, proven.ID); err != nil {
			return err
		}
		if !sameGate(account, proven) {
			return errStale
		}
		account.PasswordHash, account.Failures, account.FailedAt, account.LastLoginAt = phc, 0, time.Time{}, session.CreatedAt
		if err := tx.UpdateUser(ctx, account); err != nil {
			return err
		}
		return tx.InsertSession(ctx, session)
	})
	return account, err
}
