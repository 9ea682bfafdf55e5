package store

import (
	"context"
	"database/sql"
	"time"

	"assay.dev/assay/internal/scan/retention"
	"assay.dev/assay/internal/word/uid"
)

// ScanRetention implements retention.Store.
type ScanRetention struct {
	reader
	changer[retention.Tx]
}

var (
	_ retention.Store = ScanRetention{}
	_ retention.Tx    = (*Tx)(nil)
)

// ScanRetention is the view of what is kept no longer.
func (s *Store) ScanRetention() ScanRetention {
	return ScanRetention{reader{s}, changer[retention.Tx]{s}}
}

// Organizations returns organizations after the given one, in order, at most limit.
func (r ScanRetention) Organizations(ctx context.Context, after uid.Org, limit int) ([]retention.Kept, error) {
	var out []retention.Kept
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.scan_retention_orgs", []any{string(after), limit}, func(rows *sql.Rows) error {
			var k retention.Kept
			var doc []byte
			if err := rows.Scan(&k.Org, &doc); err != nil {
				return internal("an organization can't be read", err)
			}
			s, err := settingsOf(doc, nil)
			k.Days = s.Retention.ScanDays
			out = append(out, k)
			return err
		})
	})
	return out, err
}

// Expired returns scans that ended before the time, oldest first, at most limit.
func (r ScanRetention) Expired(ctx context.Context, org uid.Org, before time.Time, limit int) ([]uid.Scan, error) {
	var out []uid.Scan
	err := r.each(ctx, org, "scan.expired", []any{micros(before), limit}, func(rows *sql.Rows) error {
		var id uid.Scan
		err := rows.Scan(&id)
		out = append(out, id)
		return readFault(err)
	})
	return out, err
}

// Dropped returns dropped scans of all organizations, at most limit.
func (r ScanRetention) Dropped(ctx context.Context, limit int) ([]retention.Dropped, error) {
	var out []retention.Dropped
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.scan_dropped", []any{limit}, func(rows *sql.Rows) error {
			var d retention.Dropped
			err := rows.Scan(&d.Org, &d.Scan)
			out = append(out, d)
			return readFault(err)
		})
	})
	return out, err
}

// Named returns those of at most 500 digests that an artifact of the organization names.
func (r ScanRetention) Named(ctx context.Context, org uid.Org, digests []string) ([]string, error) {
	var out []string
	if len(digests) == 0 {
		return nil, nil
	}
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		out = nil
		return eachOf(ctx, &v.handle, "scan.digests_named", nil, digests, func(rows *sql.Rows) error {
			var d string
			err := rows.Scan(&d)
			out = append(out, d)
			return readFault(err)
		})
	})
	return out, err
}

// DropScans hides the results of ended scans for good and returns how many scans that were.
func (t *Tx) DropScans(ctx context.Context, ids []uid.Scan) (int, error) {
	text, args, err := listed(&t.handle, "scan.drop", nil, ids)
	if err != nil {
		return 0, err
	}
	n, err := t.execText(ctx, text, args)
	return int(n), err
}

// PruneScan removes at most 500 rows of each kind below a dropped scan and reports whether there may be more.
func (t *Tx) PruneScan(ctx context.Context, id uid.Scan) (more bool, err error) {
	for _, name := range []string{"scan.results_prune", "scan.assets_prune"} {
		n, err := t.exec(ctx, name, string(id))
		if err != nil {
			return false, err
		}
		more = more || n == maxRows
	}
	return more, nil
}

// RemoveScans removes dropped scans with the few rows that PruneScan leaves below them.
func (t *Tx) RemoveScans(ctx context.Context, ids []uid.Scan) error {
	text, args, err := listed(&t.handle, "scan.remove", nil, ids)
	if err != nil {
		return err
	}
	_, err = t.execText(ctx, text, args)
	return err
}
