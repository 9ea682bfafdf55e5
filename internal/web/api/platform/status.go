package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/problem"
)

const tagServer = "Server"

func (h *handlers) statusRoutes() []api.Entry {
	list := []api.Entry{
		api.Op(api.Route[struct{}, HealthOut]{
			ID: "getHealth", Method: http.MethodGet, Path: "/health", Family: problem.Platform, Scope: access.Public,
			Exempt: true, Tags: []string{tagServer}, Summary: "Is the server healthy",
			Description: "200 when every part works, 503 with reasons when one doesn't. Needs no credential and is neither counted nor audited.",
			Errors:      []int{http.StatusServiceUnavailable}, Handle: h.health,
		}),
		api.Op(api.Route[struct{}, Out[ServerStatus]]{
			ID: "getStatus", Method: http.MethodGet, Path: "/api/status", Family: problem.Platform, Scope: access.Public,
			Exempt: true, Tags: []string{tagServer}, Summary: "What server is this",
			Description: "Version, build and age; open to everybody.", Handle: h.status,
		}),
		root(),
	}
	if h.d.Metrics != nil {
		list = append(list, api.Plain(api.Raw{
			Method: http.MethodGet, Path: "/metrics", Scope: access.Public, Exempt: true, Handler: h.d.Metrics,
		}))
	}
	return list
}

// HealthOut answers 200 or 503.
type HealthOut struct {
	Status int
	Body   HealthView
}

// HealthView is how the server is.
type HealthView struct {
	Status string           `json:"status" enum:"healthy,degraded"`
	Checks map[string]Check `json:"checks"`
}

// Check is one part of the server.
type Check struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// ServerStatus says what server this is.
type ServerStatus struct {
	Product    string    `json:"product"`
	Version    string    `json:"version"`
	Commit     string    `json:"commit,omitempty"`
	Go         string    `json:"go,omitempty"`
	APIVersion string    `json:"apiVersion"`
	StartedAt  time.Time `json:"startedAt"`
	UptimeSecs int64     `json:"uptimeSeconds"`

	TLS *ServerTLS `json:"tls,omitempty" doc:"The server's own TLS; absent where it serves plain HTTP on loopback or behind a proxy."`
}

// ServerTLS says how the server's connections are protected.
type ServerTLS struct {
	Version      string     `json:"version" doc:"The lowest that is accepted."`
	KeyExchanges []string   `json:"keyExchanges" doc:"What is accepted, the preferred first; X25519MLKEM768 is hybrid post-quantum."`
	Certificate  string     `json:"certificate" enum:"files,acme" doc:"Where the certificate comes from."`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty" doc:"When it expires; absent before the first one."`
}

func (h *handlers) health(ctx context.Context, _ *struct{}) (*HealthOut, error) {
	out := HealthOut{Status: http.StatusOK, Body: HealthView{Status: "healthy", Checks: map[string]Check{}}}
	for _, c := range h.d.Health.Conditions(ctx) {
		out.Body.Checks[c.Name] = Check{OK: c.OK, Reason: c.Reason}
		if !c.OK {
			out.Status, out.Body.Status = http.StatusServiceUnavailable, "degraded"
		}
	}
	return &out, nil
}

func (h *handlers) status(context.Context, *struct{}) (*Out[ServerStatus], error) {
	b := h.d.Build
	out := &Out[ServerStatus]{Body: ServerStatus{
		Product: "assay", Version: b.Version, Commit: b.Commit, Go: b.Go, APIVersion: api.Version,
		StartedAt: h.d.Started.UTC(), UptimeSecs: int64(h.d.Now().Sub(h.d.Started).Seconds()),
	}}
	if h.d.TLS != nil {
		out.Body.TLS = h.d.TLS()
	}
	return out, nil
}
