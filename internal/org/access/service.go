package access

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Organizations is how access learns an organization's name and whether it is suspended; tenant.Store has it.
type Organizations interface {
	Organization(ctx context.Context, org uid.Org) (tenant.Organization, error)
}

// Deps is what a Service is made of. All fields are required but Engines and Ceiling.
type Deps struct {
	Store         Store
	Organizations Organizations
	Now           func() time.Time
	IDs           *uid.Source
	Rand          io.Reader // cryptographically strong
	Log           *slog.Logger

	// Engines are the ids that a key's allowedScanTypes may name.
	Engines []string
	// Ceiling multiplies the documented maxima of a key's windows. At 0 the operator creates keys without windows, and
	// everybody else keeps the documented maxima (decisions G9).
	Ceiling int
}

// Service authenticates calls and manages keys and accounts. It is safe for concurrent use. Run must be running for
// last-use times to be kept.
type Service struct {
	store   Store
	orgs    Organizations
	clock   func() time.Time
	ids     *uid.Source
	rand    io.Reader
	log     *slog.Logger
	engines []string
	ceiling int

	keys     *cache[KeyMatch]
	sessions *cache[sessionEntry]
	hasher   *hasher

	usedKeys     *ledger[uid.Key]
	usedSessions *ledger[uid.Session]
}

// New returns a Service with empty caches.
func New(d Deps) *Service {
	return &Service{
		store: d.Store, orgs: d.Organizations, clock: d.Now, ids: d.IDs, rand: d.Rand, log: d.Log,
		engines: slices.Clone(d.Engines), ceiling: max(d.Ceiling, 0),
		keys: newCache[KeyMatch](), sessions: newCache[sessionEntry](), hasher: newHasher(),
		usedKeys: newKeyLedger(), usedSessions: newSessionLedger(),
	}
}

// Forget drops everything cached, so that a change made elsewhere in this process (an organization suspended, its plan
// changed) holds at once. Changes made through the Service itself call it already.
func (s *Service) Forget() {
	s.keys.clear()
	s.sessions.clear()
}

// now is the time as the database keeps it: UTC, microseconds.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// Operator is the actor of the local command line in an organization: every scope, no windows, no quota.
func Operator(org uid.Org) Actor {
	return Actor{
		Org: org, Kind: audit.ActorOperator, ID: "operator", Name: "operator", Scopes: AllScopes(),
		Plan: string(tenant.Enterprise),
	}
}

// May reports whether the actor holds the scope; Public is held by all. A user who must change the password first
// holds Self alone: then Me and Logout refuse too, and only ChangePassword is left.
func (a Actor) May(scope Scope) error {
	switch {
	case scope == Public:
		return nil
	case a.MustReset && scope != Self:
		return errPasswordChange()
	case !a.Scopes.Has(scope):
		return fault.New(fault.Forbidden, fault.CodeScope, "Insufficient scope: requires "+string(scope))
	}
	return nil
}

// MayEngine reports whether the actor's key allows scans with the engine, which must be the id of a known one.
func (a Actor) MayEngine(id string) error {
	if len(a.Engines) == 0 || slices.Contains(a.Engines, id) {
		return nil
	}
	return fault.New(fault.Forbidden, fault.CodeScanType, "Scan type "+id+" not allowed for this API key")
}

// Principal is the name under which windows and idempotency keys are kept: "key:<id>" or "user:<id>", the operator's
// is "operator".
func (a Actor) Principal() string {
	switch a.Kind {
	case audit.ActorKey:
		return "key:" + a.ID
	case audit.ActorUser:
		return "user:" + a.ID
	case audit.ActorOperator, audit.ActorSystem, audit.ActorAnonymous:
	}
	return string(a.Kind)
}

// auditActor is the actor as the trail names it.
func auditActor(u User) *audit.Actor {
	return &audit.Actor{Kind: audit.ActorUser, ID: string(u.ID), Name: u.Username}
}
