package vaultapi

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/secret"
)

const tagAuth = "Signing in"

// maxCredentials bounds a body that strangers may send.
const maxCredentials = 8 << 10

func (h *handlers) authRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[loginIn, Login]{
			ID: "login", Method: http.MethodPost, Path: "/auth/login", Family: problem.Vault, Scope: access.Public,
			Audit: event.AuthLoginSuccess, Tags: []string{tagAuth}, Summary: "Sign in",
			Description: "Gives an access token for 8 hours, also as cookie for browsers. 5 failures in 15 minutes lock the account " +
				"(`ACCOUNT_LOCKED`). With `must_change_password: true` nothing but POST /auth/password is open.",
			Errors: []int{http.StatusUnauthorized, http.StatusForbidden}, MaxBody: maxCredentials, Handle: h.login,
		}),
		api.Op(api.Route[struct{}, SignedOut]{
			ID: "logout", Method: http.MethodPost, Path: "/auth/logout", Family: problem.Vault, Scope: access.Self,
			Audit: event.AuthLogout, Status: http.StatusNoContent, Tags: []string{tagAuth}, Summary: "Sign out",
			Description: "Ends the session of the token at once.", Handle: h.logout,
		}),
		api.Op(api.Route[struct{}, Out[Me]]{
			ID: "getMe", Method: http.MethodGet, Path: "/auth/me", Family: problem.Vault, Scope: access.Self,
			Audit: event.AuthMeRead, Tags: []string{tagAuth}, Summary: "Get the own account",
			Description: "Of the user whose session signs the call; a key has none.", Handle: h.me,
		}),
		api.Op(api.Route[passwordIn, struct{}]{
			ID: "changePassword", Method: http.MethodPost, Path: "/auth/password", Family: problem.Vault, Scope: access.Self,
			Audit: event.AuthPasswordChanged, Status: http.StatusNoContent, BeforeReset: true, Tags: []string{tagAuth},
			Summary:     "Change the own password",
			Description: "12 to 128 characters, not a common one. All other sessions of the user end.", Handle: h.password,
		}),
	}
}

type loginIn struct {
	Body Credentials
}

// Credentials are a user's name and password.
type Credentials struct {
	Username string      `json:"username" minLength:"1" maxLength:"128"`
	Password secret.Text `json:"password" minLength:"1" maxLength:"512" writeOnly:"true"`
}

// Login is the answer to a login: the documented snake_case exception.
type Login struct {
	Cookie string `header:"Set-Cookie"`
	Body   Token
}

// Token is an access token.
type Token struct {
	AccessToken        string `json:"access_token"`
	TokenType          string `json:"token_type" enum:"bearer"`
	ExpiresIn          int    `json:"expires_in" doc:"Seconds." example:"28800"`
	MustChangePassword bool   `json:"must_change_password"`
}

// SignedOut takes the cookie away.
type SignedOut struct {
	Cookie string `header:"Set-Cookie"`
}

// Me is the own account.
type Me struct {
	ID             string     `json:"id"`
	Username       string     `json:"username"`
	Email          string     `json:"email"`
	Role           string     `json:"role" enum:"admin,user,auditor"`
	OrganizationID string     `json:"organizationId"`
	Scopes         []string   `json:"scopes"`
	CreatedAt      time.Time  `json:"createdAt"`
	LastLoginAt    *time.Time `json:"lastLoginAt"`
}

type passwordIn struct {
	Body NewPassword
}

// NewPassword changes a password.
type NewPassword struct {
	Current secret.Text `json:"currentPassword" minLength:"1" maxLength:"512" writeOnly:"true"`
	New     secret.Text `json:"newPassword" minLength:"1" maxLength:"512" writeOnly:"true"`
}

func (h *handlers) login(ctx context.Context, in *loginIn) (*Login, error) {
	s, err := h.d.Accounts.Login(ctx, in.Body.Username, in.Body.Password)
	if err != nil {
		return nil, err
	}
	life := int(s.Session.ExpiresAt.Sub(s.Session.CreatedAt).Seconds())
	return &Login{
		Cookie: cookie(ctx, s.Token.Reveal(), life),
		Body: Token{
			AccessToken: s.Token.Reveal(), TokenType: "bearer", ExpiresIn: life, MustChangePassword: s.User.MustReset,
		},
	}, nil
}

// cookie returns the session cookie, as the request's transport allows; a life below 0 takes it away.
func cookie(ctx context.Context, token string, life int) string {
	secure := mw.From(ctx).Secure
	c := http.Cookie{ //nolint:gosec // Secure follows the transport: plain HTTP is served on loopback only
		Name: mw.CookieName(secure), Value: token, Path: "/", MaxAge: life, HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode,
	}
	return c.String()
}

func (h *handlers) logout(ctx context.Context, _ *struct{}) (*SignedOut, error) {
	if err := h.d.Accounts.Logout(ctx, mw.ActorFrom(ctx)); err != nil {
		return nil, err
	}
	return &SignedOut{Cookie: cookie(ctx, "", -1)}, nil
}

func (h *handlers) me(ctx context.Context, _ *struct{}) (*Out[Me], error) {
	actor := mw.ActorFrom(ctx)
	u, err := h.d.Accounts.Me(ctx, actor)
	if err != nil {
		return nil, err
	}
	v := Me{
		ID: string(u.ID), Username: u.Username, Email: u.Email, Role: string(u.Role), OrganizationID: string(u.Org),
		Scopes: make([]string, 0, len(actor.Scopes)), CreatedAt: u.CreatedAt.UTC(),
	}
	for _, s := range actor.Scopes {
		if s != access.Self {
			v.Scopes = append(v.Scopes, string(s))
		}
	}
	if !u.LastLoginAt.IsZero() {
		at := u.LastLoginAt.UTC()
		v.LastLoginAt = &at
	}
	return &Out[Me]{Body: v}, nil
}

func (h *handlers) password(ctx context.Context, in *passwordIn) (*struct{}, error) {
	if err := h.d.Accounts.ChangePassword(ctx, mw.ActorFrom(ctx), in.Body.Current, in.Body.New); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}
