package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/uid"
)

// What units do to scans, as the kept counters see it. Findings are those that a scan shows: what is found of it
// afterwards (a worker's last words on a cancelled scan) is added to the hour of its end. Children count nothing: one
// order is one scan, and that is the parent.

func (t *Tx) countSubmitted(list []scan.Scan) error {
	for _, s := range list {
		if s.Parent != "" {
			continue // its parent is counted
		}
		if err := t.count(s.Engine, s.CreatedAt, usage.ScanCount{Submitted: 1}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) countCancelled(s scan.Scan) error {
	if s.Parent != "" {
		return nil
	}
	m := scanMark{engine: s.Engine, started: s.StartedAt, ended: s.EndedAt, findings: int64(s.Summary.Total)}
	c := m.end()
	c.Cancelled = 1
	return t.count(s.Engine, s.EndedAt, c)
}

// countFinished counts the end of a scan, which before describes as it was, and gives back what a scan took of the
// quota that failed for our own reasons.
func (t *Tx) countFinished(ctx context.Context, before scanMark, f scan.Finish) error {
	if before.child {
		return nil
	}
	total := int64(f.Summary.Total)
	if f.Status == scan.Cancelled { // it was counted when it was cancelled
		return t.countFound(before.engine, before.ended, total-before.findings)
	}
	m := before
	m.ended, m.findings = f.At, total
	c := m.end()
	if f.Status == scan.Completed {
		c.Completed = 1
	} else {
		c.Failed = 1
	}
	if err := t.count(m.engine, f.At, c); err != nil || !f.Free || f.Status != scan.Failed {
		return err
	}
	if _, err := t.exec(ctx, "usage.give_back", string(usage.MetricScans), usage.Period(m.created), int64(1)); err != nil {
		return err
	}
	return t.count(m.engine, m.created, usage.ScanCount{Returned: 1})
}

func (t *Tx) countFound(engine string, ended time.Time, more int64) error {
	if more == 0 {
		return nil
	}
	return t.count(engine, ended, usage.ScanCount{Findings: more})
}

// scanMark is what the counters need of a scan.
type scanMark struct {
	engine                  string
	created, started, ended time.Time
	findings                int64
	child                   bool // of a parent, which is counted in its place
}

func (t *Tx) mark(ctx context.Context, id uid.Scan) (scanMark, error) {
	var m scanMark
	var created, started, ended int64
	var doc []byte
	err := t.row(ctx, "usage.scan", []any{string(id)}, &m.engine, &created, &started, &ended, &doc, &m.child)
	if errors.Is(err, sql.ErrNoRows) {
		return m, lost()
	}
	if err != nil {
		return m, err
	}
	var sum struct {
		Total int64 `json:"total"`
	}
	if err := decode("summary", doc, &sum); err != nil {
		return m, err
	}
	m.created, m.started, m.ended, m.findings = timeOf(created), timeOf(started), timeOf(ended), sum.Total
	return m, nil
}

// end is what the end of the scan counts, without saying which end it was.
func (m scanMark) end() usage.ScanCount {
	c := usage.ScanCount{Findings: m.findings}
	if !m.started.IsZero() {
		c.Ran, c.Micros = 1, max(m.ended.Sub(m.started).Microseconds(), 0)
	}
	return c
}
