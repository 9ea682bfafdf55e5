package app

import (
	"context"
	"time"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Organization is an organization as the operator sees it.
type Organization struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Plan      string    `json:"plan"`
	Suspended bool      `json:"suspended"`
	CreatedAt time.Time `json:"createdAt"`
}

// OrganizationOrder is an organization to be made.
type OrganizationOrder struct {
	Name string `json:"name"`
	Plan string `json:"plan"`
}

type planOrder struct {
	Org  string `json:"org"`
	Plan string `json:"plan"`
}

type suspendOrder struct {
	Org       string `json:"org"`
	Suspended bool   `json:"suspended"`
}

type keyOrder struct {
	Org string          `json:"org"`
	Key client.KeyOrder `json:"key"`
}

type revokeOrder struct {
	Org string `json:"org"`
	Key string `json:"key"`
}

// CreateOrganization makes an organization with an empty scan scope.
func (o Operator) CreateOrganization(ctx context.Context, in OrganizationOrder) (Organization, error) {
	return ask[Organization](ctx, o, "org.create", in)
}

// Organizations lists all organizations of the server.
func (o Operator) Organizations(ctx context.Context) ([]Organization, error) {
	return ask[[]Organization](ctx, o, "org.list", struct{}{})
}

// SetPlan puts an organization on another plan.
func (o Operator) SetPlan(ctx context.Context, org, plan string) (Organization, error) {
	return ask[Organization](ctx, o, "org.plan", planOrder{org, plan})
}

// Suspend refuses all calls of an organization, or lets it work again.
func (o Operator) Suspend(ctx context.Context, org string, suspended bool) (Organization, error) {
	return ask[Organization](ctx, o, "org.suspend", suspendOrder{org, suspended})
}

// CreateKey makes an API key; its secret is in the answer and nowhere else.
func (o Operator) CreateKey(ctx context.Context, org string, in client.KeyOrder) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.create", keyOrder{org, in})
}

// Keys lists the organization's API keys, newest first, at most the newest 10,000.
func (o Operator) Keys(ctx context.Context, org string) ([]client.Key, error) {
	return ask[[]client.Key](ctx, o, "key.list", orgOrder{org})
}

// RevokeKey ends a key at once.
func (o Operator) RevokeKey(ctx context.Context, org, id string) error {
	_, err := ask[client.Key](ctx, o, "key.revoke", revokeOrder{org, id})
	return err
}

func showOrganization(o tenant.Organization) Organization {
	return Organization{ID: string(o.ID), Name: o.Name, Plan: string(o.Plan), Suspended: o.Suspended, CreatedAt: o.CreatedAt}
}

func createOrganization(ctx context.Context, g *ground, in OrganizationOrder) (Organization, error) {
	made, err := g.orgs.Create(ctx, tenant.NewOrganization{Name: in.Name, Plan: tenant.Plan(in.Plan)})
	return showOrganization(made), err
}

func listOrganizations(ctx context.Context, g *ground, _ struct{}) ([]Organization, error) {
	all, err := g.orgs.List(ctx)
	out := make([]Organization, 0, len(all))
	for _, o := range all {
		out = append(out, showOrganization(o))
	}
	return out, err
}

func setPlan(ctx context.Context, g *ground, in planOrder) (Organization, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return Organization{}, err
	}
	if err := g.orgs.SetPlan(ctx, org, tenant.Plan(in.Plan)); err != nil {
		return Organization{}, err
	}
	return g.organization(ctx, org)
}

func suspend(ctx context.Context, g *ground, in suspendOrder) (Organization, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return Organization{}, err
	}
	set := g.orgs.Resume
	if in.Suspended {
		set = g.orgs.Suspend
	}
	if err := set(ctx, org); err != nil {
		return Organization{}, err
	}
	return g.organization(ctx, org)
}

func (g *ground) organization(ctx context.Context, org uid.Org) (Organization, error) {
	o, err := g.store.Tenants().Organization(ctx, org)
	return showOrganization(o), err
}

func createKey(ctx context.Context, g *ground, in keyOrder) (client.Key, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return client.Key{}, err
	}
	issued, err := g.access.CreateKey(ctx, access.Operator(org), access.NewKey{
		Name: in.Key.Name, Description: in.Key.Description, Scopes: in.Key.Scopes, Engines: in.Key.AllowedScanTypes,
		Addresses: in.Key.AllowedIPAddresses, PerMinute: given(in.Key.RateLimitPerMinute), PerHour: given(in.Key.RateLimitPerHour),
		PerDay: given(in.Key.RateLimitPerDay), ExpiresInDays: given(in.Key.ExpiresInDays),
	})
	if err != nil {
		return client.Key{}, err
	}
	shown := g.showKey(issued.Key)
	shown.Secret = issued.Secret.Reveal()
	return shown, nil
}

// given turns a flag's zero into "not given".
func given(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func (g *ground) showKey(k access.Key) client.Key {
	out := client.Key{
		ID: string(k.ID), Name: k.Name, Prefix: k.Prefix, Status: string(k.State(g.now())), CreatedAt: k.CreatedAt, Description: k.Description,
		AllowedScanTypes: k.Engines, RateLimitPerMinute: k.Windows.PerMinute, RateLimitPerHour: k.Windows.PerHour, RateLimitPerDay: k.Windows.PerDay,
	}
	for _, p := range k.Addresses {
		out.AllowedIPAddresses = append(out.AllowedIPAddresses, p.String())
	}
	if g.now().Before(k.PreviousExpires) {
		out.PreviousExpiresAt = &k.PreviousExpires
	}
	for _, s := range k.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = &k.ExpiresAt
	}
	if !k.LastUsedAt.IsZero() {
		out.LastUsedAt = &k.LastUsedAt
	}
	return out
}

func listKeys(ctx context.Context, g *ground, in orgOrder) ([]client.Key, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return nil, err
	}
	out := []client.Key{}
	for p := (page.Request{Limit: page.MaxLimit}); len(out) < page.CountCap; {
		list, err := g.access.Keys(ctx, access.Operator(org), p)
		if err != nil {
			return nil, err
		}
		for _, k := range list.Items {
			out = append(out, g.showKey(k))
		}
		if list.Next.Zero() {
			break
		}
		p.After = list.Next
	}
	return out, nil
}

func revokeKey(ctx context.Context, g *ground, in revokeOrder) (client.Key, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return client.Key{}, err
	}
	k, err := g.access.RevokeKey(ctx, access.Operator(org), uid.Key(in.Key))
	return g.showKey(k), err
}
