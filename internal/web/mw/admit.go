package mw

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

// admit decides whether the request may reach its handler, in the documented order: transport rules, address window
// (calls without a valid credential), credential, rate window, password change, scope.
func (c *Chain) admit(q *Request, routeErr error) error {
	if err := c.transport(q); err != nil {
		if over := c.chargeAddress(q); over != nil {
			return over
		}
		q.refusedAuth()
		return err
	}
	if q.Route != nil && q.Route.Exempt {
		return nil
	}
	if err := c.identify(q); err != nil {
		return err
	}
	if routeErr != nil {
		return routeErr
	}
	if err := c.permit(q); err != nil {
		return err
	}
	if err := checkQuery(q.r); err != nil {
		return err
	}
	return q.claim()
}

// transport holds the operator's rules of host and TLS.
func (c *Chain) transport(q *Request) error {
	if len(c.config.Hosts) > 0 && !slices.Contains(c.config.Hosts, hostName(q.r.Host)) {
		return fault.New(fault.Forbidden, fault.CodeForbidden, "this server doesn't answer for this host name")
	}
	if c.config.RequireTLS && !q.Secure {
		return fault.New(fault.Forbidden, fault.CodeForbidden, "plain HTTP isn't served here; use https")
	}
	return nil
}

func hostName(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return strings.ToLower(h)
	}
	return strings.ToLower(strings.Trim(hostport, "[]"))
}

// identify finds out who calls and charges the call to the window of that principal, or of the address where nobody
// is known.
func (c *Chain) identify(q *Request) error {
	brings, credErr := credentialsOf(q.r, q)
	public := q.Route == nil || q.Route.Scope == access.Public
	// A login is judged by what it brings, not by who else the caller is.
	login := q.Route != nil && public && !safeMethod(q.r.Method)
	if credErr == nil && brought(brings) && !login {
		var actor access.Actor
		if actor, credErr = c.auth.Authenticate(q.r.Context(), brings); credErr == nil {
			q.become(actor, brings)
		} else if !refused(credErr) {
			c.peek(q)
			return credErr
		}
	}
	if !q.known {
		return c.stranger(q, public, brought(brings), credErr)
	}
	if err := c.chargeActor(q); err != nil {
		return err
	}
	return c.sameOrigin(q, q.Actor.ByCookie)
}

// refused reports whether an error of authentication is about the credential, not about us.
func refused(err error) bool {
	k := fault.KindOf(err)
	return k == fault.Unauthenticated || k == fault.Forbidden || k == fault.Invalid
}

// stranger charges a call without a valid credential to its address, and refuses it unless the route is public.
func (c *Chain) stranger(q *Request, public, brought bool, credErr error) error {
	if err := c.chargeAddress(q); err != nil {
		return err
	}
	if public {
		return c.sameOrigin(q, true)
	}
	if credErr == nil && !brought {
		credErr = missing(q.family())
	}
	q.refusedAuth()
	return credErr
}

// sameOrigin refuses cross-origin writes of browsers: they carry cookies that their user didn't mean to send.
func (c *Chain) sameOrigin(q *Request, ambient bool) error {
	if !ambient || safeMethod(q.r.Method) {
		return nil
	}
	if err := c.origin.Check(q.r); err != nil {
		return fault.New(fault.Forbidden, fault.CodeCrossOrigin, "a page of another origin can't do this").Because(err)
	}
	return nil
}

// become makes the actor known to the request and its audit entry.
func (q *Request) become(actor access.Actor, brought access.Credentials) {
	q.Actor, q.known, q.credentials = actor, true, brought
	q.call.Org = actor.Org
	q.call.Actor = audit.Actor{Kind: actor.Kind, ID: actor.ID, Name: actor.Name}
}

// permit checks what the actor may do.
func (c *Chain) permit(q *Request) error {
	if q.Actor.MustReset && !q.Route.BeforeReset && q.Route.Scope != access.Public {
		return fault.New(fault.Forbidden, fault.CodePasswordChange, "change the password first, with POST /auth/password")
	}
	if q.Route.Auditors && q.Actor.Role == access.RoleAuditor {
		return nil // auditors read everything and change nothing
	}
	return q.Actor.May(q.Route.Scope)
}

// HeaderIdempotency is the header of a call that is to take effect once.
const HeaderIdempotency = "Idempotency-Key"

const maxOnceKey = 255

// claim reads the idempotency key; the body's hash is added when the body has been read.
func (q *Request) claim() error {
	if !q.Route.Once {
		return nil
	}
	values := q.r.Header.Values(HeaderIdempotency)
	if len(values) == 0 {
		return nil
	}
	key := values[0]
	ok := len(values) == 1 && key != "" && len(key) <= maxOnceKey
	for i := 0; ok && i < len(key); i++ {
		ok = key[i] > ' ' && key[i] < 0x7f
	}
	if !ok {
		return problem.Malformed("header."+HeaderIdempotency, "must be given once, with 1 to 255 visible characters")
	}
	q.call.Once = &audit.Once{Principal: q.Actor.Principal(), Key: key}
	return nil
}

func safeMethod(m string) bool {
	return m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions
}
