package store

import (
	"context"
	"database/sql"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/word/uid"
)

// VEXStore implements vex.Store.
type VEXStore struct{ reader }

var _ vex.Store = VEXStore{}

// VEX is the view of findings by their CVE ids.
func (s *Store) VEX() VEXStore { return VEXStore{reader{s}} }

// FindingPairs returns findings with their CVE ids after a pair, by CVE and then by finding.
func (r VEXStore) FindingPairs(ctx context.Context, org uid.Org, after vex.Pair, limit int) ([]vex.Pair, error) {
	var out []vex.Pair
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "vex.pairs", []any{after.CVE, string(after.Finding), int64(limit)}, pairs(&out))
	})
	return out, err
}

// FindingsWithCVE returns the pairs of at most 500 CVE ids.
func (r VEXStore) FindingsWithCVE(ctx context.Context, org uid.Org, cves []string, limit int) ([]vex.Pair, error) {
	var out []vex.Pair
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		out = nil
		return eachOf(ctx, &v.handle, "vex.with_cve", []any{int64(limit)}, cves, pairs(&out))
	})
	return out, err
}

func pairs(out *[]vex.Pair) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var p vex.Pair
		if err := rows.Scan(&p.CVE, &p.Finding); err != nil {
			return internal("a finding's CVE ids can't be read", err)
		}
		*out = append(*out, p)
		return nil
	}
}

// FindingsByID returns findings, at most 500; what isn't there is left out.
func (r VEXStore) FindingsByID(ctx context.Context, org uid.Org, ids []uid.Finding) ([]triage.Finding, error) {
	var out []triage.Finding
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		out, err = decidedByID(ctx, &v.handle, ids)
		return err
	})
	return out, err
}

// Record writes an audit entry that belongs to no change.
func (r VEXStore) Record(ctx context.Context, org uid.Org, ev audit.Event) error {
	return r.s.Record(ctx, org, ev)
}
