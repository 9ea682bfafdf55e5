package store

import (
	"context"
	"database/sql"
	"errors"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// TenantStore implements tenant.Store.
type TenantStore struct {
	reader
	changer[tenant.Tx]
}

var (
	_ tenant.Store = TenantStore{}
	_ tenant.Tx    = (*Tx)(nil)
)

// Tenants is the view of one organization on itself.
func (s *Store) Tenants() TenantStore { return TenantStore{reader{s}, changer[tenant.Tx]{s}} }

func missingOrganization() error { return fault.Missing("organization") }

// Organization returns the organization, a NotFound fault where there is none.
func (r TenantStore) Organization(ctx context.Context, org uid.Org) (tenant.Organization, error) {
	return r.organization(ctx, org)
}

func (r reader) organization(ctx context.Context, org uid.Org) (tenant.Organization, error) {
	o := tenant.Organization{ID: org}
	var created int64
	var suspended int64
	err := r.row(ctx, org, "tenant.get", nil, &o.Name, &o.Plan, &suspended, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return tenant.Organization{}, missingOrganization()
	}
	o.CreatedAt, o.Suspended = timeOf(created), suspended != 0
	return o, err
}

// Settings returns the organization's settings, a NotFound fault where it doesn't exist.
func (r TenantStore) Settings(ctx context.Context, org uid.Org) (tenant.Settings, error) {
	var doc []byte
	err := r.row(ctx, org, "tenant.settings", nil, &doc)
	return settingsOf(doc, err)
}

// settingsOf reads settings over the defaults, so that a field that came later has one.
func settingsOf(doc []byte, err error) (tenant.Settings, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return tenant.Settings{}, missingOrganization()
	}
	if err != nil {
		return tenant.Settings{}, err
	}
	s := tenant.Defaults()
	return s, decode("settings", doc, &s)
}

// Kinds of sealed secrets of an organization.
const (
	secretSigningKeys = "signing_keys"
	secretCallback    = "callback"
)

// SealedSigningKeys returns the organization's signing keys as they were sealed; NotFound where it has none.
func (r TenantStore) SealedSigningKeys(ctx context.Context, org uid.Org) ([]byte, error) {
	return r.secret(ctx, org, secretSigningKeys, "signing keys")
}

// SealedCallbackSecret returns the organization's callback secret as it was sealed; NotFound where it has none.
func (r TenantStore) SealedCallbackSecret(ctx context.Context, org uid.Org) ([]byte, error) {
	return r.secret(ctx, org, secretCallback, "callback secret")
}

func (r TenantStore) secret(ctx context.Context, org uid.Org, kind, what string) ([]byte, error) {
	var sealed []byte
	err := r.row(ctx, org, "tenant.secret", []any{kind}, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Missing(what)
	}
	return sealed, err
}

// SettingsForUpdate reads the settings as they are inside this unit and holds them until the unit ends.
func (t *Tx) SettingsForUpdate(ctx context.Context) (tenant.Settings, error) {
	var doc []byte
	err := t.row(ctx, "tenant.settings_hold", nil, &doc)
	return settingsOf(doc, err)
}

// PutSettings replaces the organization's settings.
func (t *Tx) PutSettings(ctx context.Context, s tenant.Settings) error {
	doc, err := encode(s)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "tenant.settings_put", doc)
	return err
}

// SetPlan puts the organization on a plan; NotFound where it doesn't exist.
func (t *Tx) SetPlan(ctx context.Context, p tenant.Plan) error {
	return t.one(ctx, missingOrganization, "tenant.plan", string(p))
}

// SetSuspended suspends or resumes the organization; NotFound where it doesn't exist.
func (t *Tx) SetSuspended(ctx context.Context, suspended bool) error {
	return t.one(ctx, missingOrganization, "tenant.suspend", flag(suspended))
}

// PutCallbackSecret replaces the sealed callback secret.
func (t *Tx) PutCallbackSecret(ctx context.Context, sealed []byte) error {
	_, err := t.exec(ctx, "tenant.secret_put", secretCallback, sealed)
	return err
}

// one runs a statement that must touch a row; otherwise it is otherwise's fault.
func (t *Tx) one(ctx context.Context, otherwise func() error, name string, args ...any) error {
	n, err := t.exec(ctx, name, args...)
	if err == nil && n == 0 {
		return otherwise()
	}
	return err
}
