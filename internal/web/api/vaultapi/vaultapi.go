// Package vaultapi is the vault API: signing in and out, the own account, and the license; vaults and what belongs to
// them come with their wing.
//
// Handlers are thin: they read, call a service through the interfaces below, and return a view. They must never
// decide who may do what beyond the route's scope, and never touch a store. Start with Routes.
package vaultapi

import (
	"context"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Accounts is what the handlers need of package access. Faults carry the documented codes.
type Accounts interface {
	Login(ctx context.Context, username string, password secret.Text) (access.Signed, error)
	Logout(ctx context.Context, a access.Actor) error
	Me(ctx context.Context, a access.Actor) (access.User, error)
	ChangePassword(ctx context.Context, a access.Actor, present, wanted secret.Text) error
}

// Organizations is what the handlers need to tell of a plan.
type Organizations interface {
	Organization(ctx context.Context, org uid.Org) (tenant.Organization, error)
	// Only returns the server's one organization; false where it has none or several.
	Only(ctx context.Context) (tenant.Organization, bool, error)
}

// Deps are the services behind the routes.
type Deps struct {
	Accounts      Accounts
	Organizations Organizations
	Version       string // of the product
}

// Routes is this part of the table.
func Routes(d Deps) []api.Entry {
	h := &handlers{d: d}
	return append(h.authRoutes(), h.licenseRoute())
}

type handlers struct{ d Deps }

// Out is an answer with one body.
type Out[T any] struct {
	Body T
}
