package report

import (
	"context"
	"io"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Notice is the data of report.* events: ids, the period and counts; the document by link.
type Notice struct {
	Report   uid.Report    `json:"reportId"`
	Run      uid.ReportRun `json:"runId,omitempty"`
	Kind     Kind          `json:"kind"`
	Format   Format        `json:"format"`
	From     *time.Time    `json:"periodStart,omitempty"`
	To       *time.Time    `json:"periodEnd,omitempty"`
	Counts   *Counts       `json:"counts,omitempty"`
	Size     int64         `json:"size,omitempty"`
	SHA256   string        `json:"sha256,omitempty"`
	Document string        `json:"document,omitempty"` // path of the document on this server
	Error    fault.Code    `json:"error,omitempty"`
	Stopped  bool          `json:"stopped,omitempty"` // the report doesn't run any more until somebody mends it
}

// DocumentPath is where the API serves a run's document.
func DocumentPath(report uid.Report, run uid.ReportRun) string {
	return "/api/reports/" + string(report) + "/runs/" + string(run) + "/document"
}

func (r Run) notice() Notice {
	n := Notice{Report: r.Report, Run: r.ID, Kind: r.Kind, Format: r.Format, To: &r.To}
	if !r.From.IsZero() {
		n.From = &r.From
	}
	if r.Error != nil {
		n.Error = r.Error.Code
		return n
	}
	n.Counts, n.Size, n.SHA256, n.Document = &r.Counts, r.Size, r.SHA256, DocumentPath(r.Report, r.ID)
	return n
}

// make makes the document of one run, unless another node has it.
func (r *Runner) make(ctx context.Context, run Run) error {
	now := instant(r.d.Now)
	err := r.d.Store.Change(ctx, run.Org, audit.Bookkeeping("a report run is taken; its end is audited"), func(ctx context.Context, tx Tx) error {
		return tx.TakeReportRun(ctx, run, now, now.Add(Hold))
	})
	if err != nil {
		return err
	}
	run.Fence++
	run.Attempt++
	run.StartedAt = now
	rep, err := r.d.Store.Report(ctx, run.Org, run.Report)
	if err == nil {
		err = r.d.Owners(ctx, run.Org, rep.Owner, run.Kind)
	}
	if err == nil && run.Attempt > MaxAttempts {
		err = fault.New(fault.Conflict, fault.CodeConflict, "the report was cut off three times before it was made")
	}
	if err == nil {
		err = r.write(ctx, rep, &run)
	}
	// What happened is kept also when the server is stopping.
	return r.settle(context.WithoutCancel(ctx), rep, run, err, ctx.Err() != nil)
}

// settle writes how a try ended.
func (r *Runner) settle(ctx context.Context, rep Report, run Run, err error, stopping bool) error {
	if err != nil && (stopping || (passing(err) && run.Attempt < MaxAttempts)) {
		again := instant(r.d.Now)
		if !stopping {
			again = again.Add(time.Duration(run.Attempt) * time.Minute)
		}
		freed := r.d.Store.Change(ctx, run.Org, audit.Bookkeeping("a report run is taken; its end is audited"), func(ctx context.Context, tx Tx) error {
			return tx.FreeReportRun(ctx, run, again, !stopping)
		})
		if freed != nil || stopping {
			return freed
		}
		return err
	}
	run.Status, run.EndedAt = Ready, instant(r.d.Now)
	what, told, mark := event.ReportMade, event.ReportReady, time.Time{}
	if err != nil {
		f := fault.Of(err)
		run.Status, run.Error = Failed, &Error{Code: f.Code, Message: f.Text}
		run.Counts, run.Size, run.SHA256 = Counts{}, 0, ""
		what, told = event.ReportNotMade, event.ReportFailed
	} else if rep.counts(run) {
		mark = run.To
	}
	return r.d.Store.Change(ctx, run.Org, audit.Event{Type: what, Resource: resource(run.Report)}, func(ctx context.Context, tx Tx) error {
		if err := tx.FinishReportRun(ctx, run, mark); err != nil {
			return err
		}
		if err := tx.DropReportRuns(ctx, run.Report, KeptRuns); err != nil {
			return err
		}
		return tx.Emit(ctx, told, string(run.Report), run.notice())
	})
}

// passing reports whether the same try may succeed later.
func passing(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.Canceled:
		return true
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.Conflict, fault.Exhausted, fault.Unsupported:
	}
	return false
}

// write makes the document out of one state of the database and keeps it; it fills in the run's counts, size and
// digest.
func (r *Runner) write(ctx context.Context, rep Report, run *Run) error {
	ctx, cancel := context.WithTimeout(ctx, Making)
	defer cancel()
	blob, err := r.d.Blobs.Create(run.Org, string(run.ID)+"-"+strconv.FormatInt(run.Fence, 10))
	if err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the document can't be kept").Because(err)
	}
	err = r.d.Store.Snapshot(ctx, run.Org, func(ctx context.Context, s Snapshot) error {
		var err error
		if run.Counts, err = count(ctx, s, rep, *run); err != nil {
			return err
		}
		return r.d.Render(&bounded{w: blob, ctx: ctx, left: MaxDocument}, document(ctx, s, rep, *run))
	})
	if err != nil {
		_ = blob.Abort() // its leavings are cleared at the next start
		return err
	}
	run.Size = blob.Size()
	if run.SHA256, err = blob.Commit(); err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the document can't be kept").Because(err)
	}
	return nil
}

// query is what a part of the run tells of.
func (r Run) query(f Filter, p Part) Query { return Query{Filter: f, Part: p, From: r.From, To: r.To} }

func count(ctx context.Context, s Snapshot, rep Report, run Run) (c Counts, err error) {
	switch run.Kind {
	case Findings:
		c.Findings, err = s.CountFindings(ctx, run.query(rep.Filter, Standing))
	case Scans:
		c.Scans, c.Findings, err = s.CountScans(ctx, run.query(rep.Filter, ""))
	case Changes:
		if c.Findings, err = s.CountFindings(ctx, run.query(rep.Filter, Fresh)); err != nil {
			return c, err
		}
		c.New = c.Findings.Total
		var gone finding.Summary
		gone, err = s.CountFindings(ctx, run.query(rep.Filter, Gone))
		c.Fixed = gone.Total
	}
	return c, err
}

func document(ctx context.Context, s Snapshot, rep Report, run Run) Document {
	return Document{
		Report: rep, Run: run, Made: run.StartedAt,
		Findings: func(p Part, f func(finding.Finding) error) error {
			if run.Kind == Scans || (run.Kind == Findings) != (p == Standing) {
				return nil
			}
			return s.EachFinding(ctx, run.query(rep.Filter, p), f)
		},
		Scans: func(f func(scan.Scan) error) error {
			if run.Kind != Scans {
				return nil
			}
			return s.EachScan(ctx, run.query(rep.Filter, ""), f)
		},
	}
}

// bounded ends a document that grows beyond all use, or whose time is over.
type bounded struct {
	w    io.Writer
	ctx  context.Context //nolint:containedctx // a writer has no other way to hear of the end
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > b.left {
		return 0, fault.New(fault.Exhausted, fault.CodeTooLarge, "the document would be larger than 256 MiB; narrow the report by its filters")
	}
	b.left -= int64(len(p))
	return b.w.Write(p)
}
