package mw

import (
	"net/http"
	"strings"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

// Names of the session cookie: on TLS with the prefix that binds it to host, path and TLS, on plain loopback without.
const (
	CookieSecure = "__Host-assay_session"
	CookiePlain  = "assay_session"
)

// CookieName returns the session cookie's name for a request over TLS or not.
func CookieName(secure bool) string {
	if secure {
		return CookieSecure
	}
	return CookiePlain
}

// bearerPrefix of the Authorization header; the scheme is compared without case.
const bearerPrefix = "bearer "

// credentialsOf collects what a request brought to say who it is. Headers given twice with different values, and an
// Authorization that isn't Bearer, are refused: which one counts would be a guess.
func credentialsOf(r *http.Request, q *Request) (access.Credentials, error) {
	c := access.Credentials{Address: q.Client}
	for _, v := range r.Header["X-Api-Key"] {
		if c.APIKey != "" && v != c.APIKey {
			return c, ambiguous()
		}
		c.APIKey = v
	}
	for _, v := range r.Header["Authorization"] {
		token, ok := bearer(v)
		if !ok {
			return c, fault.New(fault.Unauthenticated, fault.CodeUnauthenticated, "Authorization must be of the form: Bearer TOKEN")
		}
		if c.Bearer != "" && token != c.Bearer {
			return c, ambiguous()
		}
		c.Bearer = token
	}
	if c.APIKey == "" && c.Bearer == "" {
		if cookie, err := r.Cookie(CookieName(q.Secure)); err == nil {
			c.Cookie = cookie.Value
		}
	}
	return c, nil
}

// brought reports whether there is a credential at all.
func brought(c access.Credentials) bool { return c.APIKey != "" || c.Bearer != "" || c.Cookie != "" }

func bearer(v string) (string, bool) {
	if len(v) <= len(bearerPrefix) || !strings.EqualFold(v[:len(bearerPrefix)], bearerPrefix) {
		return "", false
	}
	token := strings.TrimSpace(v[len(bearerPrefix):])
	return token, token != ""
}

func ambiguous() error {
	return fault.New(fault.Invalid, fault.CodeAmbiguousCredentials, "X-API-Key and Authorization hold different credentials; send one")
}

// missing is the answer to a call that needs a credential and brought none, in its family's words.
func missing(family problem.Family) error {
	if family.Envelope() {
		return fault.New(fault.Unauthenticated, fault.CodeMissingKey, "API key is required")
	}
	return fault.New(fault.Unauthenticated, fault.CodeUnauthenticated, "sign in, or send an API key in X-API-Key")
}
