package app

import (
	"context"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
)

// InitOrder names what `assay init` makes.
type InitOrder struct {
	Organization string `json:"organization"`
	Admin        string `json:"admin"`
}

// Initial is what `assay init` made. Its secrets are shown once.
type Initial struct {
	OrganizationID string       `json:"organizationId"`
	Admin          InitialAdmin `json:"admin"`
	APIKey         string       `json:"apiKey"`
}

// InitialAdmin is the first admin with the one-time password.
type InitialAdmin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Init makes the first organization of a server with its admin and a key that holds every scope and the widest
// windows. It is a Conflict fault where an organization exists.
func Init(ctx context.Context, cfg config.Config, order InitOrder) (Initial, error) {
	return ask[Initial](ctx, NewOperator(cfg), "init", order)
}

func initialize(ctx context.Context, g *ground, in InitOrder) (Initial, error) {
	all, err := g.orgs.List(ctx)
	if err != nil {
		return Initial{}, err
	}
	if err := access.CheckUsername(in.Admin); err != nil {
		return Initial{}, err // before anything is made
	}
	made, err := g.firstOrganization(ctx, all, in.Organization)
	if err != nil {
		return Initial{}, err
	}
	if _, err := g.assets.PutScanScope(ctx, made.ID, firstScope(), nil); err != nil {
		return Initial{}, err
	}
	admin, err := g.access.CreateFirstAdmin(ctx, made.ID, in.Admin)
	if err != nil {
		return Initial{}, err
	}
	order := access.NewKey{Name: "init", Description: "Made at set-up; holds every scope."}
	for _, scope := range access.AllScopes() {
		order.Scopes = append(order.Scopes, string(scope))
	}
	if c := g.cfg.RateLimitCeiling; c > 0 {
		widest := access.MaxWindows()
		order.PerMinute, order.PerHour, order.PerDay = new(widest.PerMinute*c), new(widest.PerHour*c), new(widest.PerDay*c)
	}
	key, err := g.access.CreateKey(ctx, access.Operator(made.ID), order)
	if err != nil {
		return Initial{}, err
	}
	return Initial{
		OrganizationID: string(made.ID), APIKey: key.Secret.Reveal(),
		Admin: InitialAdmin{Username: admin.User.Username, Password: admin.Password.Reveal()},
	}, nil
}

// firstOrganization makes it, or goes on with the one of a set-up that was cut off: it has the same name and no key yet,
// which is made last.
func (g *ground) firstOrganization(ctx context.Context, all []tenant.Organization, name string) (tenant.Organization, error) {
	if len(all) == 0 {
		return g.orgs.Create(ctx, tenant.NewOrganization{Name: name, Plan: tenant.Enterprise})
	}
	if len(all) == 1 && all[0].Name == name {
		keys, err := g.access.Keys(ctx, access.Operator(all[0].ID), page.Request{Limit: 1})
		if err != nil || len(keys.Items) == 0 {
			return all[0], err
		}
	}
	return tenant.Organization{}, fault.New(fault.Conflict, fault.CodeConflict,
		"this data folder is set up already; `assay org create` makes more organizations, `assay key create` more keys")
}

// firstScope lets the first organization scan what is its own as a rule: this machine and private networks.
func firstScope() []asset.Rule {
	var allow []asset.Rule
	for _, cidr := range []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		allow = append(allow, asset.Rule{Kind: asset.RuleCIDR, Value: cidr})
	}
	return allow
}
