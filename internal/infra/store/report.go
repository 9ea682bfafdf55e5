package store

import (
	"context"
	"database/sql"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// ReportStore implements report.Store.
type ReportStore struct {
	reader
	changer[report.Tx]
}

var (
	_ report.Store = ReportStore{}
	_ report.Tx    = (*Tx)(nil)
)

// Reports is the view of recurring reports.
func (s *Store) Reports() ReportStore { return ReportStore{reader{s}, changer[report.Tx]{s}} }

func missingReport() error { return fault.Missing("report") }

func missingReportRun() error { return fault.Missing("report run") }

// reportTaken is the answer to who comes second.
func reportTaken() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "a run of this report is under way already")
}

// filterRow is how a filter is kept. Its names are data: one is never renamed.
type filterRow struct {
	Severities []finding.Severity `json:"severity,omitempty"`
	Engine     string             `json:"engine,omitempty"`
	Tag        string             `json:"tag,omitempty"`
	Host       string             `json:"host,omitempty"`
}

// reportRow are the columns of report.rows.
type reportRow struct {
	report                       report.Report
	filter, schedule             []byte
	stopped                      sql.NullString
	enabled                      int64
	created, updated, next, mark int64
}

func (r *reportRow) dest() []any {
	p := &r.report
	return []any{
		&p.ID, &p.Name, &p.Kind, &p.Format, &r.filter, &r.schedule, &r.enabled, &r.stopped, &p.Owner, &p.CreatedBy, &r.created,
		&r.updated, &r.next, &r.mark,
	}
}

func (r *reportRow) done(org uid.Org) (report.Report, error) {
	p := r.report
	p.Org, p.Enabled, p.Stopped = org, r.enabled != 0, r.stopped.String
	p.CreatedAt, p.UpdatedAt, p.NextAt, p.Mark = timeOf(r.created), timeOf(r.updated), timeOf(r.next), timeOf(r.mark)
	var f filterRow
	if err := decode("filter", r.filter, &f); err != nil {
		return p, err
	}
	p.Filter = report.Filter(f)
	if len(r.schedule) == 0 {
		return p, nil
	}
	p.Schedule = &schedule.Spec{}
	return p, decode("schedule", r.schedule, p.Schedule)
}

// Report returns one definition of the organization, a NotFound fault where there is none.
func (r ReportStore) Report(ctx context.Context, org uid.Org, id uid.Report) (report.Report, error) {
	var out report.Report
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		out, err = reportByID(ctx, &v.handle, id)
		return err
	})
	return out, err
}

func reportByID(ctx context.Context, h *handle, id uid.Report) (out report.Report, err error) {
	if !uid.Valid(string(id)) {
		return out, missingReport()
	}
	found := false
	err = eachByID(ctx, h, "report.rows", " AND r.id = ?", []any{string(id)}, func(rows *sql.Rows) error {
		var row reportRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a report can't be read", err)
		}
		found = true
		out, err = row.done(h.scope.org)
		return err
	})
	if err == nil && !found {
		err = missingReport()
	}
	return out, err
}

// eachByID reads the rows of a named query that ends in its WHERE under one more condition.
func eachByID(ctx context.Context, h *handle, name, condition string, values []any, f func(*sql.Rows) error) error {
	q, args, err := h.find(name, nil)
	if err != nil {
		return err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(condition, values...)
	return h.eachText(ctx, c.text.String(), c.args, f)
}

// Reports returns one page of definitions, newest first.
func (r ReportStore) Reports(ctx context.Context, org uid.Org, p page.Request) (report.List, error) {
	p, err := normal(p)
	if err != nil {
		return report.List{}, err
	}
	var out report.List
	l := &listing{base: "report.rows", order: "r.id", page: p}
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row reportRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a report can't be read", err)
		}
		v, err := row.done(org)
		out.Items = append(out.Items, v)
		return err
	})
	if err != nil {
		return report.List{}, err
	}
	if more {
		out.Next = page.Key{ID: string(out.Items[len(out.Items)-1].ID)}
	}
	out.Total = total
	return out, nil
}

// runRow are the columns of report.run_rows.
type runRow struct {
	run                                 report.Run
	asked, digest                       sql.NullString
	due, from, to, hold, started, ended int64
	counts, failure                     []byte
}

func (r *runRow) dest() []any {
	n := &r.run
	return []any{
		&n.ID, &n.Report, &n.Kind, &n.Format, &n.Status, &r.asked, &r.due, &r.from, &r.to, &n.Attempt, &n.Fence, &r.hold, &r.started,
		&r.ended, &r.counts, &n.Size, &r.digest, &r.failure,
	}
}

func (r *runRow) done(org uid.Org) (report.Run, error) {
	n := r.run
	n.Org, n.AskedBy, n.SHA256 = org, r.asked.String, r.digest.String
	n.Due, n.From, n.To = timeOf(r.due), timeOf(r.from), timeOf(r.to)
	n.HoldUntil, n.StartedAt, n.EndedAt = timeOf(r.hold), timeOf(r.started), timeOf(r.ended)
	if err := decode("counts", r.counts, &n.Counts); err != nil {
		return n, err
	}
	return n, decode("error", r.failure, &n.Error)
}

// ReportRun returns a run of this very report; NotFound where there is none.
func (r ReportStore) ReportRun(ctx context.Context, org uid.Org, of uid.Report, id uid.ReportRun) (out report.Run, err error) {
	found := false
	err = r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		return eachByID(ctx, &v.handle, "report.run_rows", " AND n.report = ? AND n.id = ?", []any{string(of), string(id)}, func(rows *sql.Rows) error {
			var row runRow
			if err := rows.Scan(row.dest()...); err != nil {
				return internal("a report run can't be read", err)
			}
			found = true
			out, err = row.done(org)
			return err
		})
	})
	if err == nil && !found {
		err = missingReportRun()
	}
	return out, err
}

// ReportRuns returns one page of a report's runs, newest first.
func (r ReportStore) ReportRuns(ctx context.Context, org uid.Org, of uid.Report, p page.Request) (report.Runs, error) {
	p, err := normal(p)
	if err != nil {
		return report.Runs{}, err
	}
	var out report.Runs
	l := &listing{base: "report.run_rows", order: "n.id", page: p}
	l.leading("n.report = ?", string(of))
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row runRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a report run can't be read", err)
		}
		v, err := row.done(org)
		out.Items = append(out.Items, v)
		return err
	})
	if err != nil {
		return report.Runs{}, err
	}
	if more {
		out.Next = page.Key{ID: string(out.Items[len(out.Items)-1].ID)}
	}
	out.Total = total
	return out, nil
}

// ReportLine implements report.Line over all organizations, for the server only.
type ReportLine struct{ reader }

var _ report.Line = ReportLine{}

// ReportLine is the runner's view.
func (s *Store) ReportLine() ReportLine { return ReportLine{reader{s}} }

// DueReports returns enabled reports whose next due time has come, at most limit, the longest due first.
func (l ReportLine) DueReports(ctx context.Context, now time.Time, limit int) ([]report.Report, error) {
	var out []report.Report
	err := l.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.report_due", []any{micros(now), limit}, func(rows *sql.Rows) error {
			var org uid.Org
			var row reportRow
			if err := rows.Scan(append([]any{&org}, row.dest()...)...); err != nil {
				return internal("a report can't be read", err)
			}
			v, err := row.done(org)
			out = append(out, v)
			return err
		})
	})
	return out, err
}

// OpenReportRuns returns runs that may be begun, at most limit.
func (l ReportLine) OpenReportRuns(ctx context.Context, now time.Time, limit int) ([]report.Run, error) {
	var out []report.Run
	err := l.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.report_run_open", []any{micros(now), limit}, func(rows *sql.Rows) error {
			var org uid.Org
			var row runRow
			if err := rows.Scan(append([]any{&org}, row.dest()...)...); err != nil {
				return internal("a report run can't be read", err)
			}
			v, err := row.done(org)
			out = append(out, v)
			return err
		})
	})
	return out, err
}
