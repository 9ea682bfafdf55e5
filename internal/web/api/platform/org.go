package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const tagOrg = "Organization"

func (h *handlers) orgRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[struct{}, Out[Organization]]{
			ID: "getOrganization", Method: http.MethodGet, Path: "/api/org", Family: problem.Platform, Scope: access.UsageRead,
			Audit: event.OrgRead, Tags: []string{tagOrg}, Summary: "Get the organization and its settings",
			Description: "Where nobody has set a value, the default that applies.", Handle: h.getOrg,
		}),
		api.Op(api.Route[patchOrgIn, Out[Organization]]{
			ID: "updateOrganization", Method: http.MethodPatch, Path: "/api/org", Family: problem.Platform,
			Scope: access.OrgManage, Audit: event.SettingsUpdated, Tags: []string{tagOrg},
			Summary: "Change the organization's settings", Description: "Fields that are left out stay.", Handle: h.patchOrg,
		}),
		api.Op(api.Route[struct{}, Out[CallbackSecret]]{
			ID: "rotateCallbackSecret", Method: http.MethodPost, Path: "/api/org/callback-secret/rotate",
			Family: problem.Platform, Scope: access.OrgManage, Audit: event.CallbackKeyRotated, Tags: []string{tagOrg},
			Summary:     "Rotate the secret that signs callbacks",
			Description: "At once. The secret is shown in this answer and never again.",
			Once:        true, Replay: h.secretRotated, Handle: h.rotateSecret,
		}),
	}
}

// Organization is the caller's organization with its settings.
type Organization struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Plan      string    `json:"plan" enum:"free,starter,pro,enterprise"`
	CreatedAt time.Time `json:"createdAt"`
	Settings
}

// Settings are an organization's own choices.
type Settings struct {
	RequireSignedEvidence bool                    `json:"requireSignedEvidence"`
	ExpiryThresholds      tenant.ExpiryThresholds `json:"expiryThresholds"`
	Retention             tenant.Retention        `json:"retention"`
	TimeZone              string                  `json:"timeZone" doc:"IANA name."`
	Concurrency           tenant.Concurrency      `json:"concurrency"`
	DiscoverySchedule     string                  `json:"discoverySchedule" doc:"Cron expression; empty: none."`
}

// SettingsPatch changes what is given.
type SettingsPatch struct {
	RequireSignedEvidence *bool             `json:"requireSignedEvidence,omitempty"`
	ExpiryThresholds      *ThresholdsPatch  `json:"expiryThresholds,omitempty"`
	Retention             *RetentionPatch   `json:"retention,omitempty"`
	TimeZone              *string           `json:"timeZone,omitempty" maxLength:"64"`
	Concurrency           *ConcurrencyPatch `json:"concurrency,omitempty"`
	DiscoverySchedule     *string           `json:"discoverySchedule,omitempty" maxLength:"255"`
}

// ThresholdsPatch changes days before expiry.
type ThresholdsPatch struct {
	CriticalDays *int `json:"criticalDays,omitempty"`
	WarningDays  *int `json:"warningDays,omitempty"`
}

// RetentionPatch changes days that records are kept.
type RetentionPatch struct {
	AuditDays *int `json:"auditDays,omitempty"`
	ScanDays  *int `json:"scanDays,omitempty"`
}

// ConcurrencyPatch changes bounds of scans that run at once.
type ConcurrencyPatch struct {
	Organization *int `json:"organization,omitempty"`
	Engine       *int `json:"engine,omitempty"`
	TargetHost   *int `json:"targetHost,omitempty"`
}

// CallbackSecret is a new callback secret, shown once.
type CallbackSecret struct {
	Secret      string `json:"secret,omitempty" doc:"whsec_ and base64; only in the first answer."`
	SecretShown bool   `json:"secretShown" doc:"false where the answer repeats an earlier one."`
}

type patchOrgIn struct {
	Body SettingsPatch
}

func orgView(o tenant.Organization, s tenant.Settings) Organization {
	return Organization{
		ID: string(o.ID), Name: o.Name, Plan: string(o.Plan), CreatedAt: o.CreatedAt.UTC(),
		Settings: Settings{
			RequireSignedEvidence: s.RequireSignedEvidence, ExpiryThresholds: s.ExpiryThresholds, Retention: s.Retention,
			TimeZone: s.TimeZone, Concurrency: s.Concurrency, DiscoverySchedule: s.DiscoverySchedule,
		},
	}
}

func (h *handlers) getOrg(ctx context.Context, _ *struct{}) (*Out[Organization], error) {
	org := mw.ActorFrom(ctx).Org
	s, err := h.d.Organizations.Settings(ctx, org)
	if err != nil {
		return nil, err
	}
	return h.withSettings(ctx, org, s)
}

func (h *handlers) patchOrg(ctx context.Context, in *patchOrgIn) (*Out[Organization], error) {
	org := mw.ActorFrom(ctx).Org
	s, err := h.d.Organizations.UpdateSettings(ctx, org, in.Body.order())
	if err != nil {
		return nil, err
	}
	return h.withSettings(ctx, org, s)
}

func (h *handlers) withSettings(ctx context.Context, org uid.Org, s tenant.Settings) (*Out[Organization], error) {
	o, err := h.d.Organizations.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	return &Out[Organization]{Body: orgView(o, s)}, nil
}

func (h *handlers) rotateSecret(ctx context.Context, _ *struct{}) (*Out[CallbackSecret], error) {
	s, err := h.d.Organizations.RotateCallbackSecret(ctx, mw.ActorFrom(ctx).Org)
	if err != nil {
		return nil, err
	}
	return &Out[CallbackSecret]{Body: CallbackSecret{Secret: s.Reveal(), SecretShown: true}}, nil
}

func (h *handlers) secretRotated(context.Context, string) (*Out[CallbackSecret], error) {
	return &Out[CallbackSecret]{}, nil
}

// order takes the nested groups apart, as package tenant wants them.
func (p SettingsPatch) order() tenant.SettingsPatch {
	out := tenant.SettingsPatch{
		RequireSignedEvidence: p.RequireSignedEvidence, TimeZone: p.TimeZone, DiscoverySchedule: p.DiscoverySchedule,
	}
	if t := p.ExpiryThresholds; t != nil {
		out.CriticalDays, out.WarningDays = t.CriticalDays, t.WarningDays
	}
	if r := p.Retention; r != nil {
		out.AuditDays, out.ScanDays = r.AuditDays, r.ScanDays
	}
	if c := p.Concurrency; c != nil {
		out.Organization, out.Engine, out.TargetHost = c.Organization, c.Engine, c.TargetHost
	}
	return out
}
