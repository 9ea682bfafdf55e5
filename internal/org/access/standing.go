package access

import (
	"context"
	"strings"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Standing says who a principal is at this moment, for what runs in its name without a call of its own (a schedule). It
// reads the database each time and caches nothing; addresses don't count, since no call is there to come from one.
//
// Faults: of a key, Unauthenticated KEY_REVOKED, KEY_SUSPENDED, KEY_EXPIRED; of a user who is disabled,
// Unauthenticated UNAUTHENTICATED; Forbidden ORGANIZATION_SUSPENDED; NotFound where there is no such principal.
func (s *Service) Standing(ctx context.Context, org uid.Org, principal string) (Actor, error) {
	o, err := s.orgs.Organization(ctx, org)
	if err != nil {
		return Actor{}, err
	}
	if o.Suspended {
		return Actor{}, errOrgSuspended()
	}
	var a Actor
	switch kind, id, _ := strings.Cut(principal, ":"); {
	case principal == string(audit.ActorOperator):
		a = Operator(org)
	case kind == "key": // see Actor.Principal
		a, err = s.standingKey(ctx, org, uid.Key(id))
	case kind == "user":
		a, err = s.standingUser(ctx, org, uid.User(id))
	default:
		return Actor{}, fault.Missing("principal")
	}
	if err == nil {
		a.Plan = string(o.Plan)
	}
	return a, err
}

func (s *Service) standingKey(ctx context.Context, org uid.Org, id uid.Key) (Actor, error) {
	k, err := s.store.APIKey(ctx, org, id)
	if err != nil {
		return Actor{}, err
	}
	switch k.State(s.now()) {
	case KeyRevoked:
		return Actor{}, errRevoked()
	case KeySuspended:
		return Actor{}, errSuspended()
	case KeyExpired:
		return Actor{}, errExpired()
	case KeyActive:
	}
	return Actor{
		Org: org, Kind: audit.ActorKey, ID: string(k.ID), Name: k.Name, Scopes: k.Scopes, Engines: k.Engines, Windows: k.Windows, Key: &k,
	}, nil
}

func (s *Service) standingUser(ctx context.Context, org uid.Org, id uid.User) (Actor, error) {
	u, err := s.store.User(ctx, org, id)
	if err != nil {
		return Actor{}, err
	}
	if u.Disabled {
		return Actor{}, errSessionEnded()
	}
	return Actor{
		Org: org, Kind: audit.ActorUser, ID: string(u.ID), Name: u.Username, Scopes: u.Role.Scopes(), Windows: DefaultWindows(), Role: u.Role,
	}, nil
}
