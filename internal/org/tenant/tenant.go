// Package tenant is the organization: its plan and what that allows, and its settings.
//
// It knows no users, keys or scans. Start with Organization, then Settings.
package tenant

import (
	"context"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/uid"
)

// Plan is what an organization has paid for, or the operator granted (decisions G12).
type Plan string

// Plans. Starter is the vault side's name for free.
const (
	Free       Plan = "free"
	Starter    Plan = "starter"
	Pro        Plan = "pro"
	Enterprise Plan = "enterprise"
)

// Plans lists them, smallest first.
func Plans() []Plan { return []Plan{Free, Starter, Pro, Enterprise} }

// Organization is one customer of a server, the boundary of isolation.
type Organization struct {
	ID        uid.Org
	Name      string
	Plan      Plan
	Suspended bool
	CreatedAt time.Time
}

// Quota is what a plan allows. Zero means unlimited.
type Quota struct {
	ScansPerMonth  int64 // accepted scan submissions in a UTC calendar month, both scan APIs together
	RequestsPerDay int64 // API calls in a UTC day
}

// Quota returns the plan's quota (evidence.md, rate limits by plan).
func (p Plan) Quota() Quota {
	switch p {
	case Free, Starter:
		return Quota{ScansPerMonth: 100, RequestsPerDay: 1_000}
	case Pro:
		return Quota{ScansPerMonth: 1_000, RequestsPerDay: 10_000}
	case Enterprise:
		return Quota{}
	}
	return Quota{ScansPerMonth: 100, RequestsPerDay: 1_000}
}

// Settings are an organization's own choices (decisions G15). Every field has a default, so the zero value is never
// stored.
type Settings struct {
	RequireSignedEvidence bool             `json:"requireSignedEvidence"`
	ExpiryThresholds      ExpiryThresholds `json:"expiryThresholds"`
	Retention             Retention        `json:"retention"`
	TimeZone              string           `json:"timeZone"` // IANA name
	Concurrency           Concurrency      `json:"concurrency"`
	DiscoverySchedule     string           `json:"discoverySchedule"` // cron expression; empty = none
}

// ExpiryThresholds are days before expiry at which a secret turns critical or warning (decisions B1).
type ExpiryThresholds struct {
	CriticalDays int `json:"criticalDays"`
	WarningDays  int `json:"warningDays"`
}

// Retention is how many days records are kept.
type Retention struct {
	AuditDays int `json:"auditDays"`
	ScanDays  int `json:"scanDays"`
}

// Concurrency bounds scans that run at once: of the organization, of each engine in it, and on each target host.
type Concurrency struct {
	Organization int `json:"organization"`
	Engine       int `json:"engine"`
	TargetHost   int `json:"targetHost"`
}

// Defaults returns the settings of a new organization.
func Defaults() Settings {
	return Settings{
		ExpiryThresholds: ExpiryThresholds{CriticalDays: 7, WarningDays: 30},
		Retention:        Retention{AuditDays: 7 * 365, ScanDays: 365},
		TimeZone:         "UTC",
		Concurrency:      Concurrency{Organization: 8, Engine: 4, TargetHost: 2},
	}
}

// Store is what organizations need of a database. Reads of a missing organization are NotFound faults.
type Store interface {
	Organization(ctx context.Context, org uid.Org) (Organization, error)
	Settings(ctx context.Context, org uid.Org) (Settings, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	// SettingsForUpdate reads the settings as they are inside this unit and holds them until the unit ends.
	SettingsForUpdate(ctx context.Context) (Settings, error)
	PutSettings(ctx context.Context, s Settings) error
	SetPlan(ctx context.Context, p Plan) error
	SetSuspended(ctx context.Context, suspended bool) error
	PutCallbackSecret(ctx context.Context, sealed []byte) error
}

// Admin is the operator's view over all organizations; only app and cli hold one.
type Admin interface {
	Organizations(ctx context.Context) ([]Organization, error)
	// CreateOrganization makes the organization, its settings, its sealed signing keys and its first scan scope in one
	// unit, recorded in its own log.
	CreateOrganization(ctx context.Context, o Organization, s Settings, sealedKeys []byte, init func(context.Context, Tx) error) error
}
