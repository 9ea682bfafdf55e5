package vaultapi

import (
	"context"
	"net/http"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

func (h *handlers) licenseRoute() api.Entry {
	return api.Op(api.Route[struct{}, Out[License]]{
		ID: "getLicenseStatus", Method: http.MethodGet, Path: "/system/license/status", Family: problem.Vault,
		Scope: access.Public, Audit: event.LicenseRead, Tags: []string{"Server"}, Summary: "Get plan and limits",
		Description: "Without a credential edition and version, and the plan only where there is one organization.",
		Handle:      h.license,
	})
}

// License is what a server, and an organization on it, may do.
type License struct {
	Edition  string   `json:"edition"`
	Version  string   `json:"version"`
	Valid    bool     `json:"valid"`
	Plan     string   `json:"plan,omitempty" enum:"free,starter,pro,enterprise"`
	Limits   *Limits  `json:"limits,omitempty"`
	Features []string `json:"features,omitempty"`
}

// Limits are a plan's quotas; null is unlimited.
type Limits struct {
	ScansPerMonth  *int64 `json:"scansPerMonth"`
	RequestsPerDay *int64 `json:"requestsPerDay"`
}

func (h *handlers) license(ctx context.Context, _ *struct{}) (*Out[License], error) {
	v := License{Edition: "self-hosted", Version: h.d.Version, Valid: true}
	o, known, err := h.plan(ctx)
	if err != nil {
		return nil, err
	}
	if known {
		q := o.Plan.Quota()
		v.Plan = string(o.Plan)
		v.Limits = &Limits{ScansPerMonth: limited(q.ScansPerMonth), RequestsPerDay: limited(q.RequestsPerDay)}
		v.Features = features()
	}
	return &Out[License]{Body: v}, nil
}

// plan finds the organization to tell of: the caller's, else the server's only one.
func (h *handlers) plan(ctx context.Context) (tenant.Organization, bool, error) {
	if q := mw.From(ctx); q.Known() {
		o, err := h.d.Organizations.Organization(ctx, q.Actor.Org)
		return o, err == nil, err
	}
	return h.d.Organizations.Only(ctx)
}

// features lists what this server can do today, on every plan.
func features() []string {
	return []string{"scans", "assets", "api-keys", "audit-log", "transparency-proofs"}
}

func limited(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}
