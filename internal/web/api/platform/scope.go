package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

func (h *handlers) scopeRoutes() []api.Entry {
	const about = "Something may be scanned when an allow rule matches and no deny rule does, on every address that it resolves to. " +
		"Link-local, cloud metadata, multicast and the server's own listeners are never scanned."
	return []api.Entry{
		api.Op(api.Route[struct{}, Out[ScanScope]]{
			ID: "getScanScope", Method: http.MethodGet, Path: "/api/org/scan-scope", Family: problem.Platform,
			Scope: access.ScansRead, Audit: event.ScopeRead, Tags: []string{tagOrg}, Summary: "Get what scans may touch",
			Description: about, Handle: h.getScope,
		}),
		api.Op(api.Route[putScopeIn, Out[ScanScope]]{
			ID: "putScanScope", Method: http.MethodPut, Path: "/api/org/scan-scope", Family: problem.Platform,
			Scope: access.OrgManage, Audit: event.ScopeUpdated, Tags: []string{tagOrg}, Summary: "Replace what scans may touch",
			Description: about, Handle: h.putScope,
		}),
	}
}

// ScopeRule is one line of a scope.
type ScopeRule struct {
	Kind  string `json:"kind,omitempty" enum:"cidr,domain,url" doc:"Inferred from the value when absent."`
	Value string `json:"value" minLength:"1" maxLength:"2048" example:"10.0.0.0/8"`
}

// NewScanScope is a scope as an admin writes it.
type NewScanScope struct {
	Allow []ScopeRule `json:"allow" maxItems:"500"`
	Deny  []ScopeRule `json:"deny,omitempty" maxItems:"500"`
}

// ScanScope is a scope in canonical form.
type ScanScope struct {
	Allow     []ScopeRule `json:"allow"`
	Deny      []ScopeRule `json:"deny"`
	UpdatedAt *time.Time  `json:"updatedAt"`
}

type putScopeIn struct {
	Body NewScanScope
}

func scopeView(s asset.Scope) *Out[ScanScope] {
	v := ScanScope{Allow: shown(s.Allow), Deny: shown(s.Deny)}
	if !s.UpdatedAt.IsZero() {
		at := s.UpdatedAt.UTC()
		v.UpdatedAt = &at
	}
	return &Out[ScanScope]{Body: v}
}

func shown(rules []asset.Rule) []ScopeRule {
	out := make([]ScopeRule, len(rules))
	for i, r := range rules {
		out[i] = ScopeRule{Kind: string(r.Kind), Value: r.Value}
	}
	return out
}

func ordered(rules []ScopeRule) []asset.Rule {
	out := make([]asset.Rule, len(rules))
	for i, r := range rules {
		out[i] = asset.Rule{Kind: asset.RuleKind(r.Kind), Value: r.Value}
	}
	return out
}

func (h *handlers) getScope(ctx context.Context, _ *struct{}) (*Out[ScanScope], error) {
	s, err := h.d.Assets.ScanScope(ctx, mw.ActorFrom(ctx).Org)
	if err != nil {
		return nil, err
	}
	return scopeView(s), nil
}

func (h *handlers) putScope(ctx context.Context, in *putScopeIn) (*Out[ScanScope], error) {
	s, err := h.d.Assets.PutScanScope(ctx, mw.ActorFrom(ctx).Org, ordered(in.Body.Allow), ordered(in.Body.Deny))
	if err != nil {
		return nil, err
	}
	return scopeView(s), nil
}
