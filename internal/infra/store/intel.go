package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// IntelStore implements intel.Store: rows of public sources, which belong to the server and to no organization.
type IntelStore struct{ reader }

var _ intel.Store = IntelStore{}

// Intel is the store of what public sources say of CVE ids.
func (s *Store) Intel() IntelStore { return IntelStore{reader{s}} }

// intelPage is how many rows IntelPage returns at most.
const intelPage = 5000

// IntelSources returns the state of the sources that have been loaded.
func (r IntelStore) IntelSources(ctx context.Context) ([]intel.Loaded, error) {
	var out []intel.Loaded
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.intelSources(ctx, func(l intel.Loaded, _ intel.Shelf) { out = append(out, l) })
	})
	return out, err
}

func (v *View) intelSources(ctx context.Context, f func(intel.Loaded, intel.Shelf)) error {
	return v.each(ctx, "all.intel_sources", nil, func(rows *sql.Rows) error {
		var l intel.Loaded
		var shelf intel.Shelf
		var date, imported int64
		if err := rows.Scan(&l.Source, &shelf, &l.Version, &date, &l.Rows, &l.SHA256, &imported); err != nil {
			return internal("a source's state can't be read", err)
		}
		l.Date, l.ImportedAt = timeOf(date), timeOf(imported)
		f(l, shelf)
		return nil
	})
}

// BeginIntel takes hold of a source for token and returns the shelf that is read now, 0 for none.
func (r IntelStore) BeginIntel(ctx context.Context, src intel.Source, token string) (intel.Shelf, error) {
	var live intel.Shelf
	err := r.s.changeAll(ctx, loadingIntel(), func(ctx context.Context, t *Tx) error {
		return t.row(ctx, "all.intel_begin", []any{string(src), token}, &live)
	})
	return live, err
}

func loadingIntel() audit.Event {
	ev := audit.Bookkeeping("rows of a public source beside those that are read")
	ev.Bulk = true
	return ev
}

// IntelPage returns rows of a shelf after a CVE id, in the order of their text.
func (r IntelStore) IntelPage(ctx context.Context, s intel.Shelf, after string) ([]intel.Record, error) {
	var out []intel.Record
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.intel_page", []any{int64(s), after, int64(intelPage)}, func(rows *sql.Rows) error {
			var rec intel.Record
			if err := rows.Scan(&rec.CVE, &rec.Score, &rec.Percentile, &rec.Detail); err != nil {
				return internal("a row of a public source can't be read", err)
			}
			out = append(out, rec)
			return nil
		})
	})
	return out, err
}

// WriteIntel writes and removes rows of the round's target, at most 500.
func (r IntelStore) WriteIntel(ctx context.Context, round intel.Round, put []intel.Record, drop []string) error {
	if len(put)+len(drop) > maxRows {
		return internal("too many rows for one unit", nil)
	}
	return r.s.changeAll(ctx, loadingIntel(), func(ctx context.Context, t *Tx) error {
		if err := t.holdIntel(ctx, round); err != nil {
			return err
		}
		flat := make([]any, 0, 5*len(put))
		for _, rec := range put {
			flat = append(flat, int64(round.Target), rec.CVE, rec.Score, rec.Percentile, rec.Detail)
		}
		if err := t.insertAll(ctx, "all.intel_put", flat); err != nil {
			return err
		}
		if len(drop) == 0 {
			return nil
		}
		text, args, err := listed(&t.handle, "all.intel_drop", []any{int64(round.Target)}, drop)
		if err != nil {
			return err
		}
		_, err = t.execText(ctx, text, args)
		return err
	})
}

// SwitchIntel makes the round's target the shelf that is read.
func (r IntelStore) SwitchIntel(ctx context.Context, round intel.Round, l intel.Loaded) error {
	ev := audit.Event{
		Type: event.IntelImported, Resource: audit.Resource{Kind: "intel", ID: string(round.Source)},
		Reason: fmt.Sprintf("%d rows, dated %s, sha256 %s", l.Rows, l.Date.UTC().Format(time.DateOnly), l.SHA256),
	}
	return r.s.changeAll(ctx, ev, func(ctx context.Context, t *Tx) error {
		n, err := t.exec(ctx, "all.intel_switch", string(round.Source), round.Token, int64(round.Target), l.Version, micros(l.Date),
			int64(l.Rows), l.SHA256, micros(l.ImportedAt))
		if err == nil && n == 0 {
			return overtaken()
		}
		return err
	})
}

// holdIntel fails where another import took over.
func (t *Tx) holdIntel(ctx context.Context, round intel.Round) error {
	n, err := t.exec(ctx, "all.intel_hold", string(round.Source), round.Token)
	if err == nil && n == 0 {
		return overtaken()
	}
	return err
}

func overtaken() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "a later import of the same source took over; this one changed nothing")
}

// insertAll is insertMany for a statement over all organizations; rows lie one after the other.
func (t *Tx) insertAll(ctx context.Context, name string, flat []any) error {
	q, _, err := t.find(name, nil)
	if err != nil {
		return err
	}
	_, err = q.many.each(flat, func(text string, args []any) (int64, error) {
		if err := t.guard(); err != nil {
			return 0, err
		}
		return t.execText(ctx, text, args)
	})
	return err
}

// KnownIntel returns what the sources say of CVE ids now.
func (s *Store) KnownIntel(ctx context.Context, cves []string) (intel.Known, error) {
	cves = slices.Compact(slices.Sorted(slices.Values(cves)))
	known := intel.Known{}
	if len(cves) == 0 {
		return known, nil
	}
	err := reader{s}.viewAll(ctx, func(ctx context.Context, v *View) error {
		clear(known)
		sources := map[intel.Shelf]intel.Source{}
		shelves := make([]any, 0, len(intel.Sources()))
		err := v.intelSources(ctx, func(l intel.Loaded, shelf intel.Shelf) {
			sources[shelf] = l.Source
			shelves = append(shelves, int64(shelf))
		})
		if err != nil || len(shelves) == 0 {
			return err
		}
		for len(shelves) < len(intel.Sources()) {
			shelves = append(shelves, shelves[0])
		}
		for part := range slices.Chunk(cves, maxRows) {
			err := eachOf(ctx, &v.handle, "all.intel_lookup", shelves, part, func(rows *sql.Rows) error {
				var shelf intel.Shelf
				var rec intel.Record
				if err := rows.Scan(&shelf, &rec.CVE, &rec.Score, &rec.Percentile, &rec.Detail); err != nil {
					return internal("a row of a public source can't be read", err)
				}
				known.Add(sources[shelf], rec)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return known, err
}

// Enrich looks up what public sources say of the findings' CVE ids, all of them at once. Call it outside of a view, for
// a page or a batch.
func (s *Store) Enrich(ctx context.Context, found ...*finding.Finding) error {
	var cves []string
	for _, f := range found {
		cves = append(cves, f.CVE...)
	}
	if len(cves) == 0 {
		return nil
	}
	known, err := s.KnownIntel(ctx, cves)
	if err != nil {
		return err
	}
	for _, f := range found {
		f.Intel = known.Assess(f.CVE, f.CVSS != nil)
	}
	return nil
}

// enrichResults is Enrich for results.
func (s *Store) enrichResults(ctx context.Context, results []scan.Result) error {
	found := make([]*finding.Finding, len(results))
	for i := range results {
		found[i] = &results[i].Finding
	}
	return s.Enrich(ctx, found...)
}

// known narrows a list of findings to those with a CVE id that public sources say something of. KEV lists few, so its
// rows lead; of EPSS, which knows nearly all, the organization's own ids do.
func (l *listing) known(org uid.Org, f triage.Filter) {
	if f.KEV {
		l.leading("f.id IN (SELECT k.id FROM intel_source s CROSS JOIN intel_cve i CROSS JOIN finding_cve k "+
			"WHERE s.source = 'kev' AND i.shelf = s.shelf AND k.org = ? AND k.cve = i.cve)", string(org))
	}
	if f.MinEPSS > 0 {
		l.leading("f.id IN (SELECT k.id FROM intel_source s CROSS JOIN finding_cve k CROSS JOIN intel_cve i "+
			"WHERE s.source = 'epss' AND k.org = ? AND i.shelf = s.shelf AND i.cve = k.cve AND i.score >= ?)", string(org), f.MinEPSS)
	}
}
