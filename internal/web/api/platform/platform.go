// Package platform is what all families share: the inventory of assets, the organization and its scan scope, the audit
// log and its proofs, verification keys, health and metrics.
//
// Handlers are thin: they read, call a service through the interfaces below, and return a view. They must never
// decide who may do what beyond the route's scope, and never touch a store. Start with Routes.
package platform

import (
	"context"
	"net/http"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// Assets is what the handlers need of package asset.
type Assets interface {
	Create(ctx context.Context, org uid.Org, d asset.Draft) (asset.Asset, error)
	Get(ctx context.Context, org uid.Org, id uid.Asset) (asset.Asset, error)
	List(ctx context.Context, org uid.Org, q asset.Query) (asset.List, error)
	Update(ctx context.Context, org uid.Org, id uid.Asset, p asset.Patch) (asset.Asset, error)
	Delete(ctx context.Context, org uid.Org, id uid.Asset) error
	ScanScope(ctx context.Context, org uid.Org) (asset.Scope, error)
	PutScanScope(ctx context.Context, org uid.Org, allow, deny []asset.Rule) (asset.Scope, error)
}

// Organizations is what the handlers need of package tenant.
type Organizations interface {
	Organization(ctx context.Context, org uid.Org) (tenant.Organization, error)
	Settings(ctx context.Context, org uid.Org) (tenant.Settings, error)
	UpdateSettings(ctx context.Context, org uid.Org, p tenant.SettingsPatch) (tenant.Settings, error)
	RotateCallbackSecret(ctx context.Context, org uid.Org) (secret.Text, error)
}

// LogEntry is an audit entry as it is kept. A pending one is durable but has no place in the log yet: its Index says
// nothing.
type LogEntry struct {
	audit.Exported

	Index   uint64
	Pending bool
}

// Log is the audit log of each organization. Another organization's entry is a NotFound fault.
type Log interface {
	// Checkpoint signs the log's present state (C2SP signed note).
	Checkpoint(ctx context.Context, org uid.Org) ([]byte, error)
	Keys(ctx context.Context, org uid.Org) (audit.Keys, error)
	LogRange(ctx context.Context, org uid.Org) (audit.Range, error)
	LogNodes(org uid.Org) audit.NodeSource
	// LogFirst returns the index of the first entry that retention has left, and the time of the youngest it dropped.
	LogFirst(ctx context.Context, org uid.Org) (uint64, time.Time, error)
	LogEntry(ctx context.Context, org uid.Org, id uid.Entry) (LogEntry, error)
	// LogEntries returns entries with from ≤ index < to, oldest first; LogNewest those below before (0 = from the end),
	// newest first, pending ones in front.
	LogEntries(ctx context.Context, org uid.Org, from, to uint64, limit int) ([]LogEntry, error)
	LogNewest(ctx context.Context, org uid.Org, before uint64, limit int) ([]LogEntry, error)
}

// Condition is whether one part of the server works.
type Condition struct {
	Name   string // "database", "audit_log", "queue"
	OK     bool
	Reason string // why not; no path, no address, no cause
}

// Health says how the server is; it must answer within a second.
type Health interface {
	Conditions(ctx context.Context) []Condition
}

// Build is what GET /api/status tells of the program.
type Build struct {
	Version string
	Commit  string
	Go      string
}

// Deps are the services behind the routes.
type Deps struct {
	Assets        Assets
	Organizations Organizations
	Reports       Reports
	Findings      Findings
	Cases         Cases
	Log           Log
	Health        Health
	Intel         Intel
	VEX           VEX
	Metrics       http.Handler // GET /metrics
	Build         Build
	Started       time.Time
	Now           func() time.Time
	TLS           func() *ServerTLS // nil, or answering nil = plain HTTP
}

// Routes is this part of the table.
func Routes(d Deps) []api.Entry {
	h := &handlers{d: d}
	return slices.Concat(h.assetRoutes(), h.orgRoutes(), h.scopeRoutes(), h.logRoutes(), h.proofRoutes(), h.intelRoutes(), h.vexRoutes(), h.statusRoutes(), h.reportRoutes(), h.findingRoutes(), h.triageRoutes(), h.caseRoutes())
}

type handlers struct{ d Deps }

// Out is an answer with one body.
type Out[T any] struct {
	Body T
}

// Created is an answer to a creation.
type Created[T any] struct {
	Location string `header:"Location"`
	Body     T
}

// Page is one page of a list.
type Page[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta says where a page stands in its list.
type Meta struct {
	Total         *int   `json:"total" doc:"How many match, counted up to 10,000; null where counting would need a scan, and with a cursor."`
	Limit         int    `json:"limit"`
	Offset        int    `json:"offset"`
	TotalIsCapped bool   `json:"totalIsCapped" doc:"There are more than total says."`
	NextCursor    string `json:"nextCursor,omitempty" doc:"Where the next page begins; absent on the last one."`
}

// Paging is how a caller asks for a page.
type Paging struct {
	Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"100" doc:"Rows a page."`
	Offset int    `query:"offset" default:"0" minimum:"0" maximum:"10000" doc:"Rows to skip; cursors reach further."`
	Cursor string `query:"cursor" maxLength:"256" doc:"nextCursor of the page before; outranks offset."`
}

func (p Paging) request(org uid.Org, filters string) (page.Request, error) {
	if p.Cursor == "" {
		return page.Request{Limit: p.Limit, Offset: p.Offset, WantTotal: true}, nil
	}
	after, err := page.Parse(org, filters, p.Cursor)
	return page.Request{Limit: p.Limit, After: after}, err
}

func (p Paging) view(org uid.Org, filters string, total page.Total, next page.Key) Meta {
	m := Meta{Limit: p.Limit, Offset: p.Offset, TotalIsCapped: total.Capped}
	if p.Cursor != "" {
		m.Offset = 0
	}
	if total.Known {
		n := total.N
		m.Total = &n
	}
	if !next.Zero() {
		m.NextCursor = page.Cursor(org, filters, next)
	}
	return m
}

// root sends people to the documentation until there is a dashboard.
func root() api.Entry {
	return api.Plain(api.Raw{
		Method: http.MethodGet, Path: "/{$}", Scope: access.Public, Audit: event.RootVisited, Status: http.StatusSeeOther,
		Handler: http.RedirectHandler("/docs", http.StatusSeeOther),
	})
}
