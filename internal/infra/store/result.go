package store

import (
	"context"
	"database/sql"
	"strconv"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// position is a result's place in its scan: worst first, then as parsed.
func position(sev finding.Severity, ordinal int) int64 { return int64(sev.Rank())<<32 | int64(ordinal) }

// Results returns one page of what a scan found, worst first; empty until the scan has ended.
func (r ScanStore) Results(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery) (scan.Results, error) {
	p, err := normal(q.Page)
	if err != nil {
		return scan.Results{}, err
	}
	q.Page = p
	var out scan.Results
	err = r.shown(ctx, org, id, func(ctx context.Context, v *View, generation int64) error {
		out = scan.Results{}
		l := resultListing(id, generation, q)
		more, err := l.run(ctx, v, func(rows *sql.Rows) error {
			found, err := scanResult(rows)
			out.Items = append(out.Items, found)
			return err
		})
		if err != nil {
			return err
		}
		if more {
			out.Next = resultKey(out.Items[len(out.Items)-1])
		}
		out.Total, err = l.total(ctx, &v.handle)
		return err
	})
	if err == nil && p.WantTotal && q.Q == "" && len(out.Items) == 0 {
		out.Total.Known = true
	}
	if err == nil {
		err = r.reader.s.enrichResults(ctx, out.Items)
	}
	return out, err
}

func resultKey(r scan.Result) page.Key {
	return page.Key{Sort: position(r.Severity, r.Ordinal), ID: strconv.Itoa(r.Ordinal)}
}

// resultBatch is how many results EachResult holds at once.
const resultBatch = 200

// EachResult streams all results that match, in order. It reads them in batches, so that no view of the database stays
// open while f writes to a slow reader; what a try has found doesn't change once it is shown.
func (r ScanStore) EachResult(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery, f func(scan.Result) error) error {
	q.Page = page.Request{Limit: resultBatch, After: q.Page.After}
	for {
		var batch []scan.Result
		var more bool
		err := r.shown(ctx, org, id, func(ctx context.Context, v *View, generation int64) error {
			batch = batch[:0]
			var err error
			more, err = resultListing(id, generation, q).run(ctx, v, func(rows *sql.Rows) error {
				found, err := scanResult(rows)
				batch = append(batch, found)
				return err
			})
			return err
		})
		if err == nil {
			err = r.reader.s.enrichResults(ctx, batch)
		}
		if err != nil {
			return err
		}
		for _, found := range batch {
			if err := f(found); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		q.Page.After = resultKey(batch[len(batch)-1])
	}
}

// resultListing is a list over one try of one scan. Its words are looked for row by row: a try's rows are bounded by
// its engine's limit of findings, and an index over every scan's texts would cost more than it finds.
func resultListing(id uid.Scan, generation int64, q scan.ResultQuery) *listing {
	l := &listing{base: "result.rows", count: "result.keys", order: "r.position", oldest: true, page: q.Page}
	l.leading("r.scan = ? AND r.generation = ?", string(id), generation)
	if q.Category != "" {
		l.leading("r.category = ?", string(q.Category))
	}
	if q.Severity != "" {
		l.leading("r.position >= ? AND r.position < ?", position(q.Severity, 0), int64(q.Severity.Rank()+1)<<32)
	}
	if q.Q == "" {
		return l
	}
	l.unknown = true
	asked := words(maxQueryWords, q.Q)
	l.nothing = len(asked) == 0
	for _, w := range asked {
		l.also("r.words LIKE ?", "% "+w+"%") // a word holds letters, marks and digits, so no wildcard
	}
	return l
}

func scanResult(rows *sql.Rows) (scan.Result, error) {
	var r scan.Result
	var doc, engines []byte
	var pos, first, last, fixed int64
	err := rows.Scan(&pos, &r.Occurrence, &doc, &r.ID, &r.Engine, &r.Fingerprint, &r.Status, &first, &last, &fixed,
		&r.Scan, &engines)
	if err != nil {
		return r, internal("a result can't be read", err)
	}
	r.Ordinal = int(pos & 0xffffffff)
	r.FirstSeenAt, r.LastSeenAt, r.FixedAt = timeOf(first), timeOf(last), timeOf(fixed)
	if r.Engines, err = texts[string]("engines", engines); err != nil {
		return r, err
	}
	var d resultDoc
	if err := decode("doc", doc, &d); err != nil {
		return r, err
	}
	r.Observation, r.Members = finding.Observation(d.observationDoc), d.Members
	if len(d.Engines) > 0 {
		r.Engines = d.Engines
	}
	return r, nil
}

// resultDoc is how a result is kept: those of parents say which findings they were made of. Its names are data.
type resultDoc struct {
	observationDoc

	Engines []string      `json:"engines,omitempty"`
	Members []scan.Member `json:"members,omitempty"`
}

// summarise counts what the try under the scan's fence has recorded.
func (t *Tx) summarise(ctx context.Context, s scan.Scan) (finding.Summary, error) {
	var sum finding.Summary
	err := t.each(ctx, "result.severities", []any{string(s.ID), s.Fence}, func(rows *sql.Rows) error {
		var rank, n int
		if err := rows.Scan(&rank, &n); err != nil {
			return internal("a count can't be read", err)
		}
		addCount(&sum, rank, n)
		return nil
	})
	return sum, err
}
