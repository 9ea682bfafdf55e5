package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// ComparisonStore implements comparison.Store.
type ComparisonStore struct{ ScanStore }

var _ comparison.Store = ComparisonStore{}

// Comparisons is the view of two scans beside each other.
func (s *Store) Comparisons() ComparisonStore { return ComparisonStore{s.Scans()} }

// generations calls f with the tries of two scans whose results are shown. Where one shows none, its generation is 0,
// which no row has.
func (r reader) generations(ctx context.Context, org uid.Org, a, b uid.Scan, f func(ctx context.Context, v *View, a, b int64) error) error {
	if !uid.Valid(string(a)) || !uid.Valid(string(b)) {
		return missingScan()
	}
	return r.view(ctx, org, func(ctx context.Context, v *View) error {
		var shown [2]int64
		for i, id := range []uid.Scan{a, b} {
			err := v.row(ctx, "scan.generation", []any{string(id)}, &shown[i])
			if errors.Is(err, sql.ErrNoRows) {
				return missingScan()
			}
			if err != nil {
				return err
			}
		}
		return f(ctx, v, shown[0], shown[1])
	})
}

// Counted counts the weaknesses of one scan by severity: those that the other has too, and those that it lacks.
func (r ComparisonStore) Counted(ctx context.Context, org uid.Org, id, than uid.Scan) (shared, only finding.Summary, err error) {
	err = r.generations(ctx, org, id, than, func(ctx context.Context, v *View, mine, theirs int64) error {
		shared, only = finding.Summary{}, finding.Summary{}
		return v.each(ctx, "comparison.counts", []any{string(id), mine, string(than), theirs}, func(rows *sql.Rows) error {
			var rank, both, n int
			if err := rows.Scan(&rank, &both, &n); err != nil {
				return internal("a count can't be read", err)
			}
			if both != 0 {
				addCount(&shared, rank, n)
			} else {
				addCount(&only, rank, n)
			}
			return nil
		})
	})
	return shared, only, err
}

// Weaknesses returns what a side of a comparison holds, worst first, each weakness once by its worst place.
func (r ComparisonStore) Weaknesses(ctx context.Context, org uid.Org, side comparison.Side) (found []scan.Result, more bool, err error) {
	err = r.generations(ctx, org, side.Scan, side.Than, func(ctx context.Context, v *View, mine, theirs int64) error {
		found = nil
		l := &listing{base: "result.keys", order: "r.position", oldest: true, page: page.Request{Limit: side.Limit, Offset: side.Offset}}
		l.leading("r.scan = ? AND r.generation = ?", string(side.Scan), mine)
		if side.After >= 0 {
			l.leading("r.position > ?", side.After)
		}
		if side.Severity != "" {
			l.leading("r.position >= ? AND r.position < ?", position(side.Severity, 0), int64(side.Severity.Rank()+1)<<32)
		}
		// Subqueries that count are asked row by row, so that a page stops when it is full: for an EXISTS, PostgreSQL would
		// join all of both scans. The sum keeps it from seeking the least position through the whole scan.
		l.also("r.position = (SELECT min(w.position + 0) FROM scan_result w WHERE w.org = r.org AND w.scan = r.scan " +
			"AND w.generation = r.generation AND w.finding = r.finding)")
		among := "= 0"
		if side.Shared {
			among = "> 0"
		}
		l.also("(SELECT count(*) FROM scan_result o WHERE o.org = r.org AND o.scan = ? AND o.generation = ? AND o.finding = r.finding) "+among,
			string(side.Than), theirs)
		var places []any
		var err error
		more, err = l.run(ctx, v, func(rows *sql.Rows) error {
			var at int64
			err := rows.Scan(&at)
			places = append(places, at)
			return readFault(err)
		})
		if err != nil || len(places) == 0 {
			return err
		}
		found, err = resultsAt(ctx, v, side.Scan, mine, places)
		return err
	})
	return found, more, err
}

// resultsAt reads the results of a try at these positions, in their order. Places are found apart from what is there,
// because a plan that joins both begins with the findings of all scans.
func resultsAt(ctx context.Context, v *View, id uid.Scan, generation int64, places []any) ([]scan.Result, error) {
	q, args, err := v.find("result.rows", nil)
	if err != nil {
		return nil, err
	}
	c := composed{d: v.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND r.scan = ? AND r.generation = ?", string(id), generation)
	c.add(" AND r.position IN (?"+strings.Repeat(", ?", len(places)-1)+") ORDER BY r.position", places...)
	var out []scan.Result
	err = v.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		one, err := scanResult(rows)
		out = append(out, one)
		return err
	})
	return out, err
}

// addCount adds n findings of a severity's rank.
func addCount(sum *finding.Summary, rank, n int) {
	sum.Total += n
	switch rank {
	case finding.Critical.Rank():
		sum.Critical += n
	case finding.High.Rank():
		sum.High += n
	case finding.Medium.Rank():
		sum.Medium += n
	case finding.Low.Rank():
		sum.Low += n
	default:
		sum.Info += n
	}
}
