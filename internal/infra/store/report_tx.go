package store

import (
	"context"
	"encoding/json"
	"time"

	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// reportDocs forms the columns of a definition that are documents.
func reportDocs(r report.Report) (filter string, sched any, err error) {
	if filter, err = encode(filterRow(r.Filter)); err != nil || r.Schedule == nil {
		return filter, nil, err
	}
	text, err := encode(r.Schedule)
	return filter, text, err
}

// InsertReport adds a definition; an organization that has report.MaxReports gets a Conflict fault.
func (t *Tx) InsertReport(ctx context.Context, r report.Report) error {
	filter, sched, err := reportDocs(r)
	if err != nil {
		return err
	}
	full := func() error {
		return fault.New(fault.Conflict, fault.CodeConflict, "the organization has 100 reports already; delete one first")
	}
	return t.one(ctx, full, "report.insert", string(r.ID), r.Name, string(r.Kind), string(r.Format), filter, sched, flag(r.Enabled),
		orNull(r.Stopped), r.Owner, r.CreatedBy, micros(r.CreatedAt), micros(r.UpdatedAt), micros(r.NextAt), int64(report.MaxReports))
}

// ReportForUpdate reads a definition as it is inside this unit and holds it until the unit ends; NotFound where there
// is none.
func (t *Tx) ReportForUpdate(ctx context.Context, id uid.Report) (report.Report, error) {
	if err := t.one(ctx, missingReport, "report.hold", string(id)); err != nil {
		return report.Report{}, err
	}
	return reportByID(ctx, &t.handle, id)
}

// UpdateReport writes everything of a definition but id, creation and mark; NotFound where there is none.
func (t *Tx) UpdateReport(ctx context.Context, r report.Report) error {
	filter, sched, err := reportDocs(r)
	if err != nil {
		return err
	}
	return t.one(ctx, missingReport, "report.update", string(r.ID), r.Name, string(r.Kind), string(r.Format), filter, sched,
		flag(r.Enabled), orNull(r.Stopped), r.Owner, micros(r.UpdatedAt), micros(r.NextAt))
}

// DeleteReport removes a definition with its runs; NotFound where there is none.
func (t *Tx) DeleteReport(ctx context.Context, id uid.Report) error {
	return t.one(ctx, missingReport, "report.delete", string(id))
}

// InsertReportRun adds a queued run; a second one of a due time, and one beside a run that is asked for and hasn't
// ended, are Conflict faults.
func (t *Tx) InsertReportRun(ctx context.Context, r report.Run) error {
	return t.one(ctx, reportTaken, "report.run_insert", string(r.ID), string(r.Report), string(r.Kind), string(r.Format),
		string(r.Status), orNull(r.AskedBy), micros(r.Due), micros(r.From), micros(r.To))
}

// TakeReportRun begins a run whose fence is still r.Fence; a Conflict fault when another has it.
func (t *Tx) TakeReportRun(ctx context.Context, r report.Run, at, until time.Time) error {
	return t.one(ctx, reportTaken, "report.run_take", string(r.ID), r.Fence, micros(at), micros(until))
}

// FreeReportRun puts a run that is held under r.Fence back into the line; a Conflict fault when another has it.
func (t *Tx) FreeReportRun(ctx context.Context, r report.Run, before time.Time, counted bool) error {
	return t.one(ctx, reportTaken, "report.run_free", string(r.ID), r.Fence, flag(!counted), micros(before))
}

// FinishReportRun writes the end of a run that is held under r.Fence; a Conflict fault when another has it.
func (t *Tx) FinishReportRun(ctx context.Context, r report.Run, mark time.Time) error {
	counts, err := encode(r.Counts)
	if err != nil {
		return err
	}
	var failure json.RawMessage
	if r.Error != nil {
		text, err := encode(r.Error)
		if err != nil {
			return err
		}
		failure = json.RawMessage(text)
	}
	err = t.one(ctx, reportTaken, "report.run_finish", string(r.ID), r.Fence, string(r.Status), micros(r.EndedAt), counts, r.Size,
		orNull(r.SHA256), rawOrNull(failure))
	if err != nil || mark.IsZero() {
		return err
	}
	_, err = t.exec(ctx, "report.mark", string(r.Report), micros(mark))
	return err
}

// DropReportRuns removes ended runs of a report beyond the newest keep.
func (t *Tx) DropReportRuns(ctx context.Context, of uid.Report, keep int) error {
	_, err := t.exec(ctx, "report.run_drop", string(of), int64(keep))
	return err
}
