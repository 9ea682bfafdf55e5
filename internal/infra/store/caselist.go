package store

import (
	"context"
	"database/sql"

	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Cases returns one page of cases. As with findings, each status (and run of severities) is a range of its own in the
// index of the list's order; the ranges are read side by side and merged.
func (r CaseStore) Cases(ctx context.Context, org uid.Org, q correlation.Query) (correlation.List, error) {
	p, err := normal(q.Page)
	if err != nil {
		return correlation.List{}, err
	}
	var out correlation.List
	err = r.view(ctx, org, func(ctx context.Context, v *View) error {
		out = correlation.List{}
		ranges := caseRanges(org, q)
		keys, err := mergedKeys(ctx, v, ranges, p)
		if err != nil {
			return err
		}
		if len(keys) > p.Limit {
			keys = keys[:p.Limit]
			out.Next = keys[p.Limit-1]
		}
		if out.Items, err = casesByKey(ctx, &v.handle, keys); err != nil || !p.WantTotal {
			return err
		}
		out.Total, err = caseTotal(ctx, v, ranges)
		return err
	})
	return out, err
}

// casesByKey reads the rows of a page's keys, in their order.
func casesByKey(ctx context.Context, h *handle, keys []page.Key) ([]correlation.Record, error) {
	out := make([]correlation.Record, 0, len(keys))
	if len(keys) == 0 {
		return out, nil
	}
	ids := make([]uid.Case, len(keys))
	for i, k := range keys {
		ids[i] = uid.Case(k.ID)
	}
	found := map[uid.Case]correlation.Record{}
	err := eachOf(ctx, h, "case.rows", nil, ids, func(rows *sql.Rows) error {
		c, err := caseRow(rows)
		found[c.ID] = c
		return err
	})
	for _, id := range ids {
		if c, ok := found[id]; ok {
			out = append(out, c)
		}
	}
	return out, err
}

// caseRanges are the ranges that together are the list.
func caseRanges(org uid.Org, q correlation.Query) []*listing {
	if q.CVE != "" || q.Asset != "" {
		l := caseRange(q)
		if q.CVE != "" {
			l.leading("c.id IN (SELECT f.case_id FROM finding_cve k CROSS JOIN finding f "+
				"WHERE k.org = ? AND k.cve = ? AND f.org = k.org AND f.id = k.id AND f.case_id IS NOT NULL)", string(org), q.CVE)
		}
		if q.Asset != "" {
			l.either("c.asset = ?", q.Asset)
		}
		l.also("c.status || '' IN ("+marks(len(caseStatuses(q)))+")", anys(caseStatuses(q))...)
		l.severe(q)
		l.narrowCases(q)
		return []*listing{l}
	}
	var out []*listing
	for _, status := range caseStatuses(q) {
		for _, run := range caseRuns(q) {
			l := caseRange(q)
			l.leading("c.status = ?", string(status))
			if len(run) < len(finding.Severities()) {
				l.leading("c.place >= ? AND c.place < ?", placeFrom(run[len(run)-1]), placeFrom(run[0])+1<<56)
			}
			if q.Sort != correlation.BySeverity {
				l.severe(q)
			}
			l.narrowCases(q)
			out = append(out, l)
		}
	}
	return out
}

func caseStatuses(q correlation.Query) []correlation.Status {
	return orAll(q.Statuses, correlation.Statuses())
}

// caseRuns cuts the severities into ranges, where they order the list.
func caseRuns(q correlation.Query) [][]finding.Severity {
	if q.Sort != correlation.BySeverity {
		return [][]finding.Severity{finding.Severities()}
	}
	return severityRuns(q.Severities)
}

func caseRange(q correlation.Query) *listing {
	switch q.Sort {
	case correlation.BySeverity:
		return &listing{base: "case.worst", order: "c.place, c.id"}
	case correlation.ByLastSeen:
		return &listing{base: "case.seen", order: "c.last_seen_at, c.id"}
	case correlation.ByRisk:
	}
	l := &listing{base: "case.risky", order: "c.risk, c.id"}
	if q.MinRisk > 0 && q.CVE == "" {
		l.leading("c.risk >= ?", int64(q.MinRisk))
	}
	return l
}

// severe narrows by severity, row by row.
func (l *listing) severe(q correlation.Query) {
	if len(q.Severities) == 0 {
		return
	}
	ranks := make([]any, len(q.Severities))
	for i, s := range q.Severities {
		ranks[i] = int64(s.Rank())
	}
	l.also("c.severity IN ("+marks(len(ranks))+")", ranks...)
}

// narrowCases adds what has no index.
func (l *listing) narrowCases(q correlation.Query) {
	if q.MinRisk > 0 {
		l.also("c.risk >= ?", int64(q.MinRisk))
	}
	if q.Engine != "" {
		l.also("c.engines LIKE ?", `%"`+q.Engine+`"%`)
	}
	if q.Q == "" {
		return
	}
	l.unknown = true
	asked := words(maxQueryWords, q.Q)
	l.nothing = l.nothing || len(asked) == 0
	for _, w := range asked {
		l.also("c.words LIKE ?", "% "+w+"%") // a word holds letters, marks and digits, so no wildcard
	}
}

// caseTotal counts the ranges of a list together, as far as each can be counted.
func caseTotal(ctx context.Context, v *View, ranges []*listing) (page.Total, error) {
	sum := page.Total{Known: true}
	for _, l := range ranges {
		l.page = page.Request{WantTotal: true}
		n, err := l.total(ctx, &v.handle)
		if err != nil || !n.Known {
			return page.Total{}, err
		}
		sum.N += n.N
		sum.Capped = sum.Capped || n.Capped
	}
	if sum.N > page.CountCap || sum.Capped {
		sum.N, sum.Capped = page.CountCap, true
	}
	return sum, nil
}
