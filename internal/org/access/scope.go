package access

import (
	"slices"
	"strings"
)

// Scope is one right, resource:action (decisions G11).
type Scope string

// Public marks a route that needs no credential; it is no scope of a key.
const Public Scope = "public"

// Scopes of all three wings.
const (
	ScansCreate Scope = "scans:create"
	ScansRead   Scope = "scans:read"
	ScansList   Scope = "scans:list"
	ScansCancel Scope = "scans:cancel"
	ResultsRead Scope = "results:read"

	TemplatesCreate Scope = "templates:create"
	TemplatesRead   Scope = "templates:read"
	TemplatesUpdate Scope = "templates:update"
	TemplatesDelete Scope = "templates:delete"

	WebhooksCreate Scope = "webhooks:create"
	WebhooksRead   Scope = "webhooks:read"
	WebhooksUpdate Scope = "webhooks:update"
	WebhooksDelete Scope = "webhooks:delete"
	WebhooksTest   Scope = "webhooks:test"

	UsageRead     Scope = "usage:read"
	KeysManage    Scope = "keys:manage"
	FindingsRead  Scope = "findings:read"
	FindingsWrite Scope = "findings:write"

	AssetsRead     Scope = "assets:read"
	AssetsWrite    Scope = "assets:write"
	AssetsDiscover Scope = "assets:discover"

	ComplianceRead     Scope = "compliance:read"
	ComplianceEvaluate Scope = "compliance:evaluate"
	AlertsRead         Scope = "alerts:read"
	AlertsWrite        Scope = "alerts:write"
	SubscriptionsRead  Scope = "subscriptions:read"
	SubscriptionsWrite Scope = "subscriptions:write"
	AuditRead          Scope = "audit:read"
	AuditExport        Scope = "audit:export"
	RotationRead       Scope = "rotation:read"
	RotationExecute    Scope = "rotation:execute"
	SyncRead           Scope = "sync:read"
	SyncWrite          Scope = "sync:write"
	SyncExecute        Scope = "sync:execute"
	DependenciesRead   Scope = "dependencies:read"
	DependenciesWrite  Scope = "dependencies:write"
	UsersManage        Scope = "users:manage"
	B2CRead            Scope = "b2c:read"
	B2CWrite           Scope = "b2c:write"
	EvidenceRead       Scope = "evidence:read"
	EvidenceSubmit     Scope = "evidence:submit"
	OrgManage          Scope = "org:manage"
	// Self is what every signed-in user has and no key: their own session and account.
	Self Scope = "session:self"
)

// AllScopes lists every scope a key can hold, in the order of the document.
func AllScopes() []Scope {
	return []Scope{
		ScansCreate, ScansRead, ScansList, ScansCancel, ResultsRead,
		TemplatesCreate, TemplatesRead, TemplatesUpdate, TemplatesDelete,
		WebhooksCreate, WebhooksRead, WebhooksUpdate, WebhooksDelete, WebhooksTest,
		UsageRead, KeysManage, FindingsRead, FindingsWrite,
		AssetsRead, AssetsWrite, AssetsDiscover, ComplianceRead, ComplianceEvaluate,
		AlertsRead, AlertsWrite, SubscriptionsRead, SubscriptionsWrite, AuditRead, AuditExport,
		RotationRead, RotationExecute, SyncRead, SyncWrite, SyncExecute,
		DependenciesRead, DependenciesWrite, UsersManage, B2CRead, B2CWrite,
		EvidenceRead, EvidenceSubmit, OrgManage,
	}
}

// Scopes is a set of scopes, sorted; `resource:*` may stand for all of a resource.
type Scopes []Scope

// Has reports whether the set holds s, by name or by `resource:*`.
func (ss Scopes) Has(s Scope) bool {
	if slices.Contains(ss, s) {
		return true
	}
	resource, _, _ := strings.Cut(string(s), ":")
	return slices.Contains(ss, Scope(resource+":*"))
}

// Covers reports whether every right of other is a right of ss.
func (ss Scopes) Covers(other Scopes) bool {
	for _, o := range other {
		if resource, star := strings.CutSuffix(string(o), ":*"); star {
			if slices.Contains(ss, o) {
				continue
			}
			for _, s := range AllScopes() {
				if strings.HasPrefix(string(s), resource+":") && !ss.Has(s) {
					return false
				}
			}
			continue
		}
		if !ss.Has(o) {
			return false
		}
	}
	return true
}

// KnownScope reports whether s can be given to a key: a listed scope, or `resource:*` of a listed resource.
func KnownScope(s Scope) bool {
	resource, star := strings.CutSuffix(string(s), ":*")
	for _, known := range AllScopes() {
		if known == s || (star && strings.HasPrefix(string(known), resource+":")) {
			return true
		}
	}
	return false
}

// Role is what a user may do as a whole.
type Role string

// Roles (decisions G11).
const (
	RoleAdmin   Role = "admin"
	RoleUser    Role = "user"
	RoleAuditor Role = "auditor"
)

// Scopes returns the role's rights: admin all; user reads, runs discovery, scans and submits evidence (vaults.md 3.8);
// auditor reads everything and changes nothing.
func (r Role) Scopes() Scopes {
	switch r {
	case RoleAdmin:
		return append(Scopes(AllScopes()), Self)
	case RoleUser:
		return Scopes{
			ScansCreate, ScansRead, ScansList, ScansCancel, ResultsRead, TemplatesRead, UsageRead, FindingsRead,
			AssetsRead, AssetsDiscover, ComplianceRead, AlertsRead, SubscriptionsRead, AuditRead, RotationRead, SyncRead,
			DependenciesRead, B2CRead, EvidenceRead, EvidenceSubmit, Self,
		}
	case RoleAuditor:
		return Scopes{
			ScansRead, ScansList, ResultsRead, TemplatesRead, WebhooksRead, UsageRead, FindingsRead, AssetsRead,
			ComplianceRead, AlertsRead, SubscriptionsRead, AuditRead, AuditExport, RotationRead, SyncRead, DependenciesRead,
			B2CRead, EvidenceRead, Self,
		}
	}
	return nil
}
