package store

import (
	"context"
	"database/sql"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Admin implements tenant.Admin: the operator's view over all organizations. Only app and cli may hold one.
type Admin struct{ reader }

var _ tenant.Admin = Admin{}

// Admin is the operator's view.
func (s *Store) Admin() Admin { return Admin{reader{s}} }

// Organizations lists every organization but the operator's own, oldest first.
func (a Admin) Organizations(ctx context.Context) ([]tenant.Organization, error) {
	var out []tenant.Organization
	err := a.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.tenant.list", nil, func(rows *sql.Rows) error {
			var o tenant.Organization
			var suspended, created int64
			if err := rows.Scan(&o.ID, &o.Name, &o.Plan, &suspended, &created); err != nil {
				return internal("an organization can't be read", err)
			}
			o.Suspended, o.CreatedAt = suspended != 0, timeOf(created)
			if o.ID != uid.System {
				out = append(out, o)
			}
			return nil
		})
	})
	return out, err
}

// CreateOrganization makes the organization, its settings and its sealed signing keys, and whatever init adds, in one
// unit that is the first entry of its own log. An id that exists is a Conflict fault.
func (a Admin) CreateOrganization(ctx context.Context, o tenant.Organization, s tenant.Settings, sealedKeys []byte,
	init func(context.Context, tenant.Tx) error,
) error {
	if !uid.Valid(string(o.ID)) || o.ID == uid.System {
		return internal("an organization needs an id of its own", nil)
	}
	return a.create(ctx, o, s, sealedKeys, init)
}

// CreateSystem makes the operator's own organization, to which no user and no key belongs, so that its log is signed as
// every other. Where it exists it is a Conflict fault.
func (a Admin) CreateSystem(ctx context.Context, at time.Time, sealedKeys []byte) error {
	o := tenant.Organization{ID: uid.System, Name: "System", Plan: tenant.Enterprise, CreatedAt: at}
	return a.create(ctx, o, tenant.Defaults(), sealedKeys, nil)
}

func (a Admin) create(ctx context.Context, o tenant.Organization, s tenant.Settings, sealedKeys []byte,
	init func(context.Context, tenant.Tx) error,
) error {
	ev := audit.Event{Type: event.OrgCreated, Resource: audit.Resource{Kind: "organization", ID: string(o.ID)}}
	return a.s.change(ctx, o.ID, ev, func(ctx context.Context, t *Tx) error {
		_, err := t.exec(ctx, "tenant.insert", o.Name, string(o.Plan), flag(o.Suspended), micros(o.CreatedAt))
		if isDuplicate(err) {
			return fault.New(fault.Conflict, fault.CodeConflict, "the organization exists already").Because(err)
		}
		if err != nil {
			return err
		}
		if err := t.PutSettings(ctx, s); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "tenant.secret_put", secretSigningKeys, sealedKeys); err != nil {
			return err
		}
		if init == nil {
			return nil
		}
		return init(ctx, t)
	})
}
