package access

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of user names.
const (
	MinUsername = 3
	MaxUsername = 64
)

// FoldUsername returns the form under which a user name is kept and found: lower case, without spaces around it.
func FoldUsername(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// checkUsername takes ASCII letters, digits and . _ - @ only, so that no two names look alike.
func checkUsername(name string) error {
	if len(name) < MinUsername || len(name) > MaxUsername {
		return fault.Wrong("username", "must have 3 to 64 characters")
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-@", rune(c)) {
			return fault.Wrong("username", "must hold only letters, digits and the characters . _ - @")
		}
	}
	return nil
}

// CheckUsername says what is wrong with a user name that is to be given, as a fault of kind Invalid.
func CheckUsername(name string) error { return checkUsername(FoldUsername(name)) }

// FirstAdmin is a new administrator with the one-time password, which is shown once.
type FirstAdmin struct {
	User     User
	Password secret.Text
}

// CreateFirstAdmin makes an organization's first administrator with a generated one-time password that must be
// changed at the first login. An administrator of this name and organization who has never signed in is the one of a
// set-up that was cut off, and gets a new password. Faults: Invalid for the name, Conflict where the name is taken on
// this server.
func (s *Service) CreateFirstAdmin(ctx context.Context, org uid.Org, username string) (FirstAdmin, error) {
	username = FoldUsername(username)
	if err := checkUsername(username); err != nil {
		return FirstAdmin{}, err
	}
	password, err := oneTimePassword(s)
	if err != nil {
		return FirstAdmin{}, err
	}
	phc, err := s.hasher.hash(ctx, s.rand, password.Reveal())
	if err != nil {
		return FirstAdmin{}, err
	}
	u := User{
		ID: uid.User(s.ids.New()), Org: org, Username: username, Role: RoleAdmin,
		PasswordHash: phc, MustReset: true, CreatedAt: s.now(),
	}
	enter, action := Tx.InsertUser, event.UserCreated
	if known, err := s.store.UserByName(ctx, username); err == nil && known.Org == org && known.Role == RoleAdmin &&
		known.MustReset && known.LastLoginAt.IsZero() {
		known.PasswordHash = phc
		u, enter, action = known, Tx.UpdateUser, event.AuthPasswordChanged
	}
	ev := audit.Event{Type: action, Resource: audit.Resource{Kind: "user", ID: string(u.ID)}}
	err = s.store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error { return enter(tx, ctx, u) })
	if err != nil {
		return FirstAdmin{}, err
	}
	return FirstAdmin{User: u, Password: password}, nil
}

// oneTimePassword returns four groups of five base62 characters: 119 bits, easy to copy from a terminal.
func oneTimePassword(s *Service) (secret.Text, error) {
	chars, err := randomBase62(s.rand, 20)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(chars[:5] + "-" + chars[5:10] + "-" + chars[10:15] + "-" + chars[15:]), nil
}

// Me returns the account of a signed-in user. Keys and users who must change their password first are Forbidden.
func (s *Service) Me(ctx context.Context, a Actor) (User, error) {
	if err := signedIn(a); err != nil {
		return User{}, err
	}
	return s.store.User(ctx, a.Org, uid.User(a.ID))
}

// Logout ends the actor's own session, here at once and on other nodes within a second. Faults as Me.
func (s *Service) Logout(ctx context.Context, a Actor) error {
	if err := signedIn(a); err != nil {
		return err
	}
	ev := audit.Event{Type: event.AuthLogout, Resource: audit.Resource{Kind: "session", ID: string(a.Session)}}
	err := s.store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error { return tx.EndSession(ctx, a.Session) })
	if err != nil {
		return err
	}
	s.sessions.clear()
	return nil
}

// signedIn holds the rules of self-service: a user, in a session, whose password is their own.
func signedIn(a Actor) error {
	switch {
	case a.Kind != audit.ActorUser || a.Session == "":
		return errOnlyUsers()
	case a.MustReset:
		return errPasswordChange()
	}
	return nil
}

// ChangePassword sets the signed-in user's password and ends all their other sessions. It is the one thing that a
// user who must change the password can do. Faults: Forbidden for keys; Invalid naming newPassword; Unauthenticated
// INVALID_CREDENTIALS for a wrong present password, which counts like a failed login, and so ACCOUNT_LOCKED.
func (s *Service) ChangePassword(ctx context.Context, a Actor, present, wanted secret.Text) error {
	if a.Kind != audit.ActorUser || a.Session == "" {
		return errOnlyUsers()
	}
	org, err := s.orgs.Organization(ctx, a.Org)
	if err != nil {
		return err
	}
	u, err := s.store.User(ctx, a.Org, uid.User(a.ID))
	if err != nil {
		return err
	}
	if err := CheckPassword("newPassword", wanted.Reveal(), u.Username, u.Email, org.Name); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(wanted.Reveal()), []byte(present.Reveal())) == 1 {
		return fault.Wrong("newPassword", "must differ from the present one")
	}
	if u, _, err = s.prove(ctx, u, present.Reveal()); err != nil {
		return err
	}
	phc, err := s.hasher.hash(ctx, s.rand, wanted.Reveal())
	if err != nil {
		return err
	}
	ev := audit.Event{Type: event.AuthPasswordChanged, Resource: audit.Resource{Kind: "user", ID: string(u.ID)}}
	err = s.store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		now, err := tx.UserForUpdate(ctx, u.ID)
		if err != nil {
			return err
		}
		if now.PasswordHash != u.PasswordHash {
			return fault.New(fault.Conflict, fault.CodeConflict, "the password was changed meanwhile; sign in again")
		}
		now.PasswordHash, now.MustReset, now.Failures, now.FailedAt = phc, false, 0, time.Time{}
		if err := tx.UpdateUser(ctx, now); err != nil {
			return err
		}
		return tx.EndSessions(ctx, u.ID, a.Session)
	})
	if err != nil {
		return err
	}
	s.sessions.clear()
	return nil
}
