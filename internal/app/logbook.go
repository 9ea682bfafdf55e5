package app

import (
	"context"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/word/uid"
)

// logbook is the audit log as the API shows it: entries and proofs from the store, checkpoints and keys from signing.
type logbook struct {
	*signing

	store *store.Store
}

// LogRange implements platform.Log.
func (l logbook) LogRange(ctx context.Context, org uid.Org) (audit.Range, error) {
	return l.store.LogRange(ctx, org)
}

// LogNodes implements platform.Log.
func (l logbook) LogNodes(org uid.Org) audit.NodeSource { return l.store.LogNodes(org) }

// LogFirst implements platform.Log.
func (l logbook) LogFirst(ctx context.Context, org uid.Org) (uint64, time.Time, error) {
	return l.store.LogFirst(ctx, org)
}

// LogEntry implements platform.Log.
func (l logbook) LogEntry(ctx context.Context, org uid.Org, id uid.Entry) (platform.LogEntry, error) {
	e, err := l.store.LogEntry(ctx, org, id)
	return platform.LogEntry(e), err
}

// LogEntries implements platform.Log.
func (l logbook) LogEntries(ctx context.Context, org uid.Org, from, to uint64, limit int) ([]platform.LogEntry, error) {
	list, err := l.store.LogEntries(ctx, org, from, to, limit)
	return shown(list), err
}

// LogNewest implements platform.Log.
func (l logbook) LogNewest(ctx context.Context, org uid.Org, before uint64, limit int) ([]platform.LogEntry, error) {
	list, err := l.store.LogNewest(ctx, org, before, limit)
	return shown(list), err
}

func shown(list []store.Logged) []platform.LogEntry {
	out := make([]platform.LogEntry, len(list))
	for i, e := range list {
		out[i] = platform.LogEntry(e)
	}
	return out
}

// licences tells of plans.
type licences struct {
	*tenant.Service

	operator *tenant.Operator
}

// Only implements vaultapi.Organizations.
func (l licences) Only(ctx context.Context) (tenant.Organization, bool, error) {
	all, err := l.operator.List(ctx)
	if err != nil || len(all) != 1 {
		return tenant.Organization{}, false, err
	}
	return all[0], true, nil
}
