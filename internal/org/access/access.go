// Package access is who may do what: users and their sessions, API keys, roles, scopes, and the actor that a request
// acts as.
//
// It decides, it doesn't serve: package web/mw brings credentials in and turns faults into answers. Secrets exist here
// only while they are checked or shown once; what is kept is a hash. Start with Actor, then key.go and scope.go.
package access

import (
	"context"
	"net/netip"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Actor is who a request acts as, after authentication. It is a value: copies are independent.
type Actor struct {
	Org       uid.Org
	Kind      audit.ActorKind // ActorKey or ActorUser (ActorOperator for the local command line)
	ID        string          // key id or user id: the principal of windows and idempotency
	Name      string
	Scopes    Scopes
	Engines   []string // engines a key may use; empty = all
	Windows   Windows  // its rate limits
	Role      Role     // of a user; empty for keys
	Session   uid.Session
	ByCookie  bool   // the session came in a cookie, which a browser sends unasked: writes need cross-origin protection
	MustReset bool   // a user who must change the password first
	Key       *Key   // the whole key where Kind is ActorKey; bounds what it may create
	Plan      string // of the organization, for quotas
}

// Windows are the three fixed rate-limit windows of a principal; 0 = no window.
type Windows struct {
	PerMinute int
	PerHour   int
	PerDay    int
}

// DefaultWindows are the documented defaults (scans.md 1.3).
func DefaultWindows() Windows { return Windows{PerMinute: 60, PerHour: 1_000, PerDay: 10_000} }

// MaxWindows are the documented maxima; an operator's ceiling multiplies them.
func MaxWindows() Windows { return Windows{PerMinute: 1_000, PerHour: 50_000, PerDay: 500_000} }

// KeyState is where a key stands.
type KeyState string

// Key states.
const (
	KeyActive    KeyState = "active"
	KeySuspended KeyState = "suspended"
	KeyRevoked   KeyState = "revoked"
	KeyExpired   KeyState = "expired"
)

// Key is an API key without its secret.
type Key struct {
	ID              uid.Key
	Org             uid.Org
	Name            string
	Description     string
	Prefix          string // display prefix, "asy_live_Ab3d"
	Scopes          Scopes
	Engines         []string       // allowedScanTypes; empty = all
	Addresses       []netip.Prefix // allowedIpAddresses; empty = any
	Windows         Windows
	CreatedBy       string // principal that created it
	CreatedAt       time.Time
	ExpiresAt       time.Time // zero = never
	SuspendedAt     time.Time
	RevokedAt       time.Time
	LastUsedAt      time.Time
	PreviousExpires time.Time // end of the grace of the secret before the last rotation; zero = none
}

// State returns where the key stands at now. Revoked outranks suspended outranks expired (decisions G3).
func (k Key) State(now time.Time) KeyState {
	switch {
	case !k.RevokedAt.IsZero():
		return KeyRevoked
	case !k.SuspendedAt.IsZero():
		return KeySuspended
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return KeyExpired
	}
	return KeyActive
}

// Hash is the SHA-256 of a key's or session's secret: all that is kept of it.
type Hash [32]byte

// KeyMatch is a key found by the hash of one of its at most two living secrets.
type KeyMatch struct {
	Key         Key
	Hash        Hash      // as stored, of the secret that matched; compared once more in constant time
	Plan        string    // of its organization
	Suspended   bool      // the organization is
	SecretUntil time.Time // end of grace of the secret that matched; zero for the current one
}

// User is a person's account. A user belongs to one organization; user names are unique per server.
type User struct {
	ID           uid.User
	Org          uid.Org
	Username     string
	Email        string
	Role         Role
	PasswordHash string // argon2id, PHC string format
	MustReset    bool
	Disabled     bool
	Failures     int
	FailedAt     time.Time
	LockedUntil  time.Time
	CreatedAt    time.Time
	LastLoginAt  time.Time
}

// Session is one login.
type Session struct {
	ID        uid.Session
	User      uid.User
	Org       uid.Org
	Hash      Hash
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // hard end
}

// SessionMatch is a session found by its token's hash, with its user.
type SessionMatch struct {
	Session   Session
	User      User
	Plan      string
	Suspended bool
}

// Keys is one page of API keys, newest first.
type Keys struct {
	Items []Key
	Total page.Total
	Next  page.Key
}

// Store is what access needs of a database. The lookups by hash or user name are the only reads without an
// organization, because they are what finds it.
type Store interface {
	// KeyByHash finds the key one of whose secrets has this hash; NotFound otherwise.
	KeyByHash(ctx context.Context, h Hash) (KeyMatch, error)
	// SessionByHash finds a living or ended session; NotFound otherwise.
	SessionByHash(ctx context.Context, h Hash) (SessionMatch, error)
	// UserByName finds a user by the folded user name; NotFound otherwise.
	UserByName(ctx context.Context, username string) (User, error)

	User(ctx context.Context, org uid.Org, id uid.User) (User, error)
	APIKey(ctx context.Context, org uid.Org, id uid.Key) (Key, error)
	APIKeys(ctx context.Context, org uid.Org, p page.Request) (Keys, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	KeyTx
	AccountTx
}

// KeyTx are the writes about API keys.
type KeyTx interface {
	// KeyForUpdate reads a key as it is inside this unit and holds it until the unit ends, so that a change never
	// overwrites one made meanwhile (a renamed key must not come back from its revocation). NotFound where there is none
	// in the organization.
	KeyForUpdate(ctx context.Context, id uid.Key) (Key, error)
	InsertKey(ctx context.Context, k Key, h Hash) error
	// UpdateKey writes name, description, scopes, engines, addresses, windows, expiry and the suspension and revocation times.
	UpdateKey(ctx context.Context, k Key) error
	// RotateKey makes h the current secret; the one before lives until graceEnds, any older one dies now.
	RotateKey(ctx context.Context, id uid.Key, prefix string, h Hash, now, graceEnds time.Time) error
	// TouchKeys writes last-use times, at most 500 at a time.
	TouchKeys(ctx context.Context, used map[uid.Key]time.Time) error
}

// AccountTx are the writes about users and their sessions.
type AccountTx interface {
	// UserForUpdate is KeyForUpdate for a user.
	UserForUpdate(ctx context.Context, id uid.User) (User, error)
	InsertUser(ctx context.Context, u User) error
	// UpdateUser writes email, role, password hash, must-reset, disabled, failures, lock and login times.
	UpdateUser(ctx context.Context, u User) error
	InsertSession(ctx context.Context, s Session) error
	TouchSession(ctx context.Context, id uid.Session, seen time.Time) error
	// EndSession deletes a session; ending one that is gone is no error.
	EndSession(ctx context.Context, id uid.Session) error
	// EndSessions deletes all sessions of a user but the one given (empty = all).
	EndSessions(ctx context.Context, user uid.User, but uid.Session) error
}

// Issued is a secret shown once.
type Issued struct {
	Key    Key
	Secret secret.Text
}
