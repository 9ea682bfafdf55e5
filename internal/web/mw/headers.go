package mw

import (
	"net/http"
	"slices"

	"assay.dev/assay/internal/org/usage"
)

const (
	policyAPI  = "default-src 'none'; frame-ancestors 'none'"
	policyPage = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	policyTransport = "max-age=31536000; includeSubDomains"
)

// securityHeaders sets what every answer carries. Answers of the API are nobody's to keep; pages may be kept, but
// asked about.
func (c *Chain) securityHeaders(q *Request) {
	h := q.w.Header()
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Cross-Origin-Resource-Policy"] = []string{"same-origin"}
	if q.Route != nil && q.Route.Page {
		h["Content-Security-Policy"] = []string{policyPage}
		h["Cache-Control"] = []string{"no-cache"}
	} else {
		h["Content-Security-Policy"] = []string{policyAPI}
		h["Cache-Control"] = []string{"no-store"}
	}
	if q.Secure {
		h["Strict-Transport-Security"] = []string{policyTransport}
	}
	c.allowOrigin(q)
}

// allowOrigin answers for a configured CORS origin. Cookies are never shared: such pages send a key or token.
func (c *Chain) allowOrigin(q *Request) {
	if len(c.config.Origins) == 0 {
		return
	}
	h := q.w.Header()
	h.Add("Vary", "Origin")
	if origin := q.r.Header.Get("Origin"); slices.Contains(c.config.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Access-Control-Expose-Headers",
			"X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Location, Idempotency-Replayed")
	}
}

// preflight answers a browser's question about a cross-origin request of a configured origin. Every other OPTIONS is a
// method like any other, which no path takes.
func (c *Chain) preflight(q *Request) bool {
	asks := q.r.Method == http.MethodOptions && q.r.Header.Get("Access-Control-Request-Method") != ""
	if !asks || q.w.Header().Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	h := q.w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-API-Key, X-Request-Id, Idempotency-Key, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	rateHeaders(h, usage.Decision{}, q.start)
	q.w.WriteHeader(http.StatusNoContent)
	return true
}
