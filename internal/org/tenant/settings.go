package tenant

import (
	"strconv"

	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
)

// SettingsPatch changes what is set and leaves the rest.
type SettingsPatch struct {
	RequireSignedEvidence *bool
	CriticalDays          *int // expiryThresholds.criticalDays
	WarningDays           *int // expiryThresholds.warningDays
	AuditDays             *int // retention.auditDays
	ScanDays              *int // retention.scanDays
	TimeZone              *string
	Organization          *int // concurrency.organization
	Engine                *int // concurrency.engine
	TargetHost            *int // concurrency.targetHost
	DiscoverySchedule     *string
}

// apply returns s with the patch's values in.
func (p SettingsPatch) apply(s Settings) Settings {
	set(&s.RequireSignedEvidence, p.RequireSignedEvidence)
	set(&s.ExpiryThresholds.CriticalDays, p.CriticalDays)
	set(&s.ExpiryThresholds.WarningDays, p.WarningDays)
	set(&s.Retention.AuditDays, p.AuditDays)
	set(&s.Retention.ScanDays, p.ScanDays)
	set(&s.TimeZone, p.TimeZone)
	set(&s.Concurrency.Organization, p.Organization)
	set(&s.Concurrency.Engine, p.Engine)
	set(&s.Concurrency.TargetHost, p.TargetHost)
	set(&s.DiscoverySchedule, p.DiscoverySchedule)
	return s
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Bounds of settings.
const (
	MaxExpiryDays        = 3650
	MinAuditDays         = 365 // a yearly audit must find its whole period
	MaxRetentionDays     = 36_500
	MaxOrganizationSlots = 1_000
	MaxEngineSlots       = 1_000
	MaxTargetHostSlots   = 100
	maxZone              = 64
)

// check returns one fault that names every setting out of bounds. It runs inside a unit, where nothing may be read, so
// that the time zone was looked up before.
func check(v Settings, zoneKnown bool) error {
	var f *fault.Error
	wrong := func(bad bool, location, message string) {
		switch {
		case !bad:
		case f == nil:
			f = fault.Wrong(location, message)
		default:
			f = f.With(location, message)
		}
	}
	within := func(location string, n, low, high int) {
		wrong(n < low || n > high, location, "must be between "+strconv.Itoa(low)+" and "+strconv.Itoa(high))
	}
	within("expiryThresholds.criticalDays", v.ExpiryThresholds.CriticalDays, 1, MaxExpiryDays)
	within("expiryThresholds.warningDays", v.ExpiryThresholds.WarningDays, 1, MaxExpiryDays)
	wrong(v.ExpiryThresholds.CriticalDays > v.ExpiryThresholds.WarningDays,
		"expiryThresholds.criticalDays", "must not be above warningDays")
	within("retention.auditDays", v.Retention.AuditDays, MinAuditDays, MaxRetentionDays)
	within("retention.scanDays", v.Retention.ScanDays, 1, MaxRetentionDays)
	wrong(!zoneKnown, "timeZone", "must be an IANA time zone, such as Europe/Paris or UTC")
	within("concurrency.organization", v.Concurrency.Organization, 1, MaxOrganizationSlots)
	within("concurrency.engine", v.Concurrency.Engine, 1, MaxEngineSlots)
	within("concurrency.targetHost", v.Concurrency.TargetHost, 1, MaxTargetHostSlots)
	if v.DiscoverySchedule != "" {
		if err := schedule.CheckCron(v.DiscoverySchedule); err != nil {
			wrong(true, "discoverySchedule", err.Error())
		}
	}
	if f == nil {
		return nil
	}
	return f
}

// knownZone refuses "Local" and "", which time.LoadLocation takes but which mean something else on every host.
func (s *Service) knownZone(name string) bool {
	if name == "" || name == "Local" || len(name) > maxZone {
		return false
	}
	_, err := s.d.Zone(name)
	return err == nil
}
