package store

import (
	"context"
	"database/sql"
	"slices"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/word/uid"
)

// reportBatch is how many rows a stream of a snapshot holds at once.
const reportBatch = 500

// reportSnapshot implements report.Snapshot on one view.
type reportSnapshot struct {
	s *Store
	v *View
}

// Snapshot shows f one state of the database for as long as f runs.
func (r ReportStore) Snapshot(ctx context.Context, org uid.Org, f func(context.Context, report.Snapshot) error) error {
	return r.view(ctx, org, func(ctx context.Context, v *View) error { return f(ctx, reportSnapshot{r.reader.s, v}) })
}

// findingConditions says which findings a query means.
func findingConditions(q report.Query) []condition {
	var out []condition
	add := func(text string, args ...any) { out = append(out, condition{text, args}) }
	switch q.Part {
	case report.Fresh:
		add("f.status <> 'fixed' AND f.first_seen_at > ? AND f.first_seen_at <= ?", micros(q.From), micros(q.To))
	case report.Gone:
		add("f.status = 'fixed' AND f.fixed_at > ? AND f.fixed_at <= ?", micros(q.From), micros(q.To))
	case report.Standing:
		add("f.status <> 'fixed' AND f.first_seen_at <= ?", micros(q.To))
	}
	if q.Engine != "" {
		add("f.engine = ?", q.Engine)
	}
	if q.Host != "" {
		add("f.host = ?", q.Host)
	}
	if q.Tag != "" {
		add("EXISTS (SELECT 1 FROM scan_tag k WHERE k.org = f.org AND k.id = f.scan AND k.tag = ?)", q.Tag)
	}
	return out
}

// ranksOf returns the ranks of the severities that a query means, worst first.
func ranksOf(severities []finding.Severity) []finding.Severity {
	if len(severities) == 0 {
		return finding.Severities()
	}
	return slices.DeleteFunc(finding.Severities(), func(s finding.Severity) bool { return !slices.Contains(severities, s) })
}

// unkept reports whether a filter holds text that no row can hold.
func unkept(f report.Filter) bool {
	return !storable(f.Engine) || !storable(f.Tag) || !storable(f.Host)
}

// CountFindings counts what matches by severity.
func (s reportSnapshot) CountFindings(ctx context.Context, q report.Query) (sum finding.Summary, err error) {
	if unkept(q.Filter) {
		return sum, nil
	}
	found, args, err := s.v.find("report.finding_counts", nil)
	if err != nil {
		return sum, err
	}
	c := composed{d: s.s.dialect, args: args}
	c.text.WriteString(found.text)
	c.conditions(findingConditions(q))
	meant := ranksOf(q.Severities)
	err = s.v.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var n [5]int
		if err := rows.Scan(&n[0], &n[1], &n[2], &n[3], &n[4]); err != nil {
			return internal("a count can't be read", err)
		}
		for rank, sev := range finding.Severities() {
			if slices.Contains(meant, sev) {
				sum = plus(sum, sev, n[rank])
			}
		}
		return nil
	})
	return sum, err
}

func plus(sum finding.Summary, sev finding.Severity, n int) finding.Summary {
	one := finding.Summary{}
	one.Add(sev)
	sum.Total += n
	sum.Critical += n * one.Critical
	sum.High += n * one.High
	sum.Medium += n * one.Medium
	sum.Low += n * one.Low
	sum.Info += n * one.Info
	return sum
}

// EachFinding streams findings worst first, and by age within a severity: each severity is one walk along the key, so
// that no index is kept for reports alone.
func (s reportSnapshot) EachFinding(ctx context.Context, q report.Query, f func(finding.Finding) error) error {
	if unkept(q.Filter) {
		return nil
	}
	for _, sev := range ranksOf(q.Severities) {
		after := ""
		for {
			batch, err := s.findings(ctx, q, sev, after)
			if err != nil {
				return err
			}
			for _, found := range batch {
				if err := f(found); err != nil {
					return err
				}
			}
			if len(batch) < reportBatch {
				break
			}
			after = string(batch[len(batch)-1].ID)
		}
	}
	return nil
}

// findings reads the next findings of one severity.
func (s reportSnapshot) findings(ctx context.Context, q report.Query, sev finding.Severity, after string) ([]finding.Finding, error) {
	found, args, err := s.v.find("report.findings", nil)
	if err != nil {
		return nil, err
	}
	c := composed{d: s.s.dialect, args: args}
	c.text.WriteString(found.text)
	c.conditions(findingConditions(q))
	c.add(" AND f.severity = ? AND f.id > ? ORDER BY f.id", int64(sev.Rank()), after)
	c.add(c.limit(), int64(reportBatch))
	var out []finding.Finding
	err = s.v.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var v finding.Finding
		var engines, doc []byte
		var first, last, fixed int64
		if err := rows.Scan(&v.ID, &v.Engine, &v.Fingerprint, &v.Status, &first, &last, &fixed, &v.Scan, &engines, &doc); err != nil {
			return internal("a finding can't be read", err)
		}
		v.FirstSeenAt, v.LastSeenAt, v.FixedAt = timeOf(first), timeOf(last), timeOf(fixed)
		var err error
		if v.Engines, err = texts[string]("engines", engines); err != nil {
			return err
		}
		v.Observation, err = observationOf(doc)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	// What public sources say isn't of the snapshot: it is read beside it. Only one snapshot is open in a process, so
	// that this can't use up the connections.
	known := make([]*finding.Finding, len(out))
	for i := range out {
		known[i] = &out[i]
	}
	return out, s.s.Enrich(ctx, known...)
}

// CountScans returns how many scans match and their findings together.
func (s reportSnapshot) CountScans(ctx context.Context, q report.Query) (n int, sum finding.Summary, err error) {
	err = s.EachScan(ctx, q, func(found scan.Scan) error {
		n++
		t := found.Summary
		sum.Total += t.Total
		sum.Critical, sum.High, sum.Medium = sum.Critical+t.Critical, sum.High+t.High, sum.Medium+t.Medium
		sum.Low, sum.Info = sum.Low+t.Low, sum.Info+t.Info
		return nil
	})
	return n, sum, err
}

// EachScan streams scans newest first.
func (s reportSnapshot) EachScan(ctx context.Context, q report.Query, f func(scan.Scan) error) error {
	if unkept(q.Filter) {
		return nil
	}
	at, id := micros(q.To), "~" // behind every id
	for {
		batch, err := s.scans(ctx, q, at, id)
		if err != nil {
			return err
		}
		for _, found := range batch {
			if !holds(found.Summary, q.Severities) {
				continue
			}
			if err := f(found); err != nil {
				return err
			}
		}
		if len(batch) < reportBatch {
			return nil
		}
		last := batch[len(batch)-1]
		at, id = micros(last.CreatedAt), string(last.ID)
	}
}

// holds reports whether a scan found something of one of the severities; none named = any scan.
func holds(sum finding.Summary, severities []finding.Severity) bool {
	if len(severities) == 0 {
		return true
	}
	counts := []int{sum.Critical, sum.High, sum.Medium, sum.Low, sum.Info}
	return slices.ContainsFunc(severities, func(s finding.Severity) bool { return counts[s.Rank()] > 0 })
}

func (s reportSnapshot) scans(ctx context.Context, q report.Query, at int64, id string) ([]scan.Scan, error) {
	found, args, err := s.v.find("scan.rows", nil)
	if err != nil {
		return nil, err
	}
	c := composed{d: s.s.dialect, args: args}
	c.text.WriteString(found.text)
	c.add(" AND s.generation >= 0 AND s.created_at > ? AND (s.created_at, s.id) < (?, ?)", micros(q.From), at, id)
	if q.Engine != "" {
		c.add(" AND s.engine = ?", q.Engine)
	}
	if q.Host != "" {
		c.add(" AND s.host = ?", q.Host)
	}
	if q.Tag != "" {
		c.add(" AND EXISTS (SELECT 1 FROM scan_tag k WHERE k.org = s.org AND k.id = s.id AND k.tag = ?)", q.Tag)
	}
	c.text.WriteString(" ORDER BY s.created_at DESC, s.id DESC")
	c.add(c.limit(), int64(reportBatch))
	var out []scan.Scan
	err = s.v.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var row scanRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a scan can't be read", err)
		}
		v, err := row.done(s.v.scope.org)
		out = append(out, v)
		return err
	})
	return out, err
}
