package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	recurring "assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Reports is what the handlers need of recurring reports. Another organization's report is a NotFound fault.
type Reports interface {
	Create(ctx context.Context, a access.Actor, d recurring.Draft) (recurring.Report, error)
	Get(ctx context.Context, org uid.Org, id uid.Report) (recurring.Report, error)
	List(ctx context.Context, org uid.Org, p page.Request) (recurring.List, error)
	Update(ctx context.Context, a access.Actor, id uid.Report, d recurring.Draft) (recurring.Report, error)
	Delete(ctx context.Context, org uid.Org, id uid.Report) error
	RunNow(ctx context.Context, a access.Actor, id uid.Report) (recurring.Run, error)
	Run(ctx context.Context, org uid.Org, id uid.Report, run uid.ReportRun) (recurring.Run, error)
	Runs(ctx context.Context, org uid.Org, id uid.Report, p page.Request) (recurring.Runs, error)
	Open(ctx context.Context, org uid.Org, id uid.Report, run uid.ReportRun) (recurring.Run, io.ReadCloser, error)
}

const (
	tagReports = "Reports"
	reports    = "/api/reports"
)

func (h *handlers) reportRoutes() []api.Entry {
	return append(h.reportRunRoutes(),
		api.Op(api.Route[newReportIn, Created[Report]]{
			ID: "createReport", Method: http.MethodPost, Path: reports, Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.ReportCreated, Status: http.StatusCreated, Tags: []string{tagReports}, Summary: "Define a recurring report",
			Description: "A report of findings, of scans, or of what has changed, on a schedule or on demand. It runs as whoever wrote its " +
				"definition last, and stops when they may no longer read what it tells of. Each run emits `report.ready` or `report.failed`, " +
				"which webhooks can take. At most 100 for each organization.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.reportCreated, Handle: h.createReport,
		}),
		api.Op(api.Route[reportsIn, Out[Page[Report]]]{
			ID: "listReports", Method: http.MethodGet, Path: reports, Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.ReportListed, Tags: []string{tagReports}, Summary: "List recurring reports", Description: "Newest first.", Handle: h.listReports,
		}),
		api.Op(api.Route[ReportRef, Out[Report]]{
			ID: "getReport", Method: http.MethodGet, Path: reports + "/{id}", Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.ReportRead, Resource: "report", Tags: []string{tagReports}, Summary: "Get a recurring report",
			Description: "Its definition and when it is made next.", Handle: h.getReport,
		}),
		api.Op(api.Route[putReportIn, Out[Report]]{
			ID: "replaceReport", Method: http.MethodPut, Path: reports + "/{id}", Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.ReportUpdated, Resource: "report", Tags: []string{tagReports}, Summary: "Replace a recurring report's definition",
			Description: "Runs that were made stay. From now on it runs as the caller.", Handle: h.putReport,
		}),
		api.Op(api.Route[ReportRef, struct{}]{
			ID: "deleteReport", Method: http.MethodDelete, Path: reports + "/{id}", Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.ReportDeleted, Resource: "report", Status: http.StatusNoContent, Tags: []string{tagReports},
			Summary: "Delete a recurring report", Description: "With its runs and their documents.", Handle: h.deleteReport,
		}),
	)
}

func (h *handlers) reportRunRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[ReportRef, Created[ReportRun]]{
			ID: "runReport", Method: http.MethodPost, Path: reports + "/{id}/run", Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.ReportRunAsked, Resource: "report", Status: http.StatusAccepted, Tags: []string{tagReports}, Summary: "Make a report now",
			Description: "Beside its schedule. The answer's Location is the run; its document comes a moment later. While one that was asked for " +
				"hasn't ended, another is a conflict.",
			Errors: []int{http.StatusConflict}, Handle: h.runReport,
		}),
		api.Op(api.Route[runsIn, Out[Page[ReportRun]]]{
			ID: "listReportRuns", Method: http.MethodGet, Path: reports + "/{id}/runs", Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.ReportRunsListed, Resource: "report", Tags: []string{tagReports}, Summary: "List a report's runs",
			Description: "Newest first. The last 90 are kept, for 400 days at most.", Handle: h.listReportRuns,
		}),
		api.Op(api.Route[runRef, Out[ReportRun]]{
			ID: "getReportRun", Method: http.MethodGet, Path: reports + "/{id}/runs/{runId}", Family: problem.Platform,
			Scope: access.FindingsRead, Audit: event.ReportRunRead, Resource: "report", Tags: []string{tagReports},
			Summary:     "Get a run of a report",
			Description: "What the run covers, what became of it, and how large its document is.", Handle: h.getReportRun,
		}),
		api.Op(api.Route[runRef, api.Stream]{
			ID: "getReportDocument", Method: http.MethodGet, Path: reports + "/{id}/runs/{runId}/document", Family: problem.Platform,
			Scope: access.FindingsRead, Audit: event.ReportDocumentRead, Resource: "report", Tags: []string{tagReports},
			Summary: "Get a run's document", Description: "In the format that the report had when it ran. A run that isn't ready has none: 409.",
			Errors: []int{http.StatusConflict}, Produces: []api.Media{
				{Type: "text/html", Doc: "One file that loads and runs nothing."},
				{Type: "text/csv", Doc: "RFC 4180, with a header line"},
				{Type: "application/json", Doc: "The report, its summary, and its findings or scans."},
				{Type: "application/sarif+json", Doc: "SARIF 2.1.0"},
			},
			Handle: h.reportDocument,
		}),
	}
}

// ReportFilters narrow a report. What is left out doesn't.
type ReportFilters struct {
	Severity []string `json:"severity,omitempty" enum:"critical,high,medium,low,info" maxItems:"5" doc:"Of findings; of scans, those that found something of it."`
	Engine   string   `json:"engine,omitempty" maxLength:"64" example:"nmap"`
	Tag      string   `json:"tag,omitempty" maxLength:"64" doc:"Of the scan, or of the scan that saw the finding last."`
	Host     string   `json:"host,omitempty" maxLength:"255" doc:"As locations of findings name it."`
}

// ReportSchedule is when a report runs.
type ReportSchedule struct {
	Cron     string `json:"cron" maxLength:"100" doc:"Five fields: minute, hour, day of month, month, day of week." example:"0 7 * * mon"`
	TimeZone string `json:"timeZone,omitempty" maxLength:"64" default:"UTC" doc:"IANA name." example:"Europe/Paris"`
	Jitter   int    `json:"jitterSeconds,omitempty" minimum:"0" maximum:"3600" doc:"Begins up to so many seconds late."`
}

// ReportDefinition is a report as somebody writes it down.
type ReportDefinition struct {
	Name     string          `json:"name" minLength:"1" maxLength:"255" example:"Monday's changes"`
	Kind     string          `json:"kind" enum:"findings,scans,changes" doc:"findings: all that aren't fixed; scans: those ordered since the last report; changes: findings that are new or fixed since the last report."`
	Format   string          `json:"format,omitempty" enum:"html,csv,json,sarif" default:"html" doc:"sarif for findings and changes only."`
	Filters  ReportFilters   `json:"filters" required:"false"`
	Schedule *ReportSchedule `json:"schedule,omitempty" doc:"Left out: on demand only."`
	Enabled  *bool           `json:"enabled,omitempty" doc:"false: the schedule rests. Default: true."`
}

// Report is a recurring report.
type Report struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Kind      string          `json:"kind" enum:"findings,scans,changes"`
	Format    string          `json:"format" enum:"html,csv,json,sarif"`
	Filters   ReportFilters   `json:"filters"`
	Schedule  *ReportSchedule `json:"schedule,omitempty"`
	Enabled   bool            `json:"enabled"`
	Stopped   string          `json:"stopped,omitempty" doc:"Why the server disabled it."`
	RunsAs    string          `json:"runsAs" doc:"Whose rights count: who wrote the definition last."`
	CreatedBy string          `json:"createdBy"`
	CreatedAt api.Time        `json:"createdAt"`
	UpdatedAt api.Time        `json:"updatedAt"`
	NextRunAt *api.Time       `json:"nextRunAt" nullable:"true" doc:"When it is due next, without jitter."`
}

// ReportRun is one making of a report.
type ReportRun struct {
	ID          string        `json:"id"`
	ReportID    string        `json:"reportId"`
	Kind        string        `json:"kind" enum:"findings,scans,changes"`
	Format      string        `json:"format" enum:"html,csv,json,sarif"`
	Status      string        `json:"status" enum:"queued,running,ready,failed"`
	RequestedBy string        `json:"requestedBy,omitempty" doc:"Who asked for it; absent where it was due."`
	DueAt       api.Time      `json:"dueAt"`
	Period      ReportPeriod  `json:"period"`
	StartedAt   *api.Time     `json:"startedAt" nullable:"true"`
	CompletedAt *api.Time     `json:"completedAt" nullable:"true"`
	Counts      *ReportCounts `json:"counts,omitempty"`
	Size        int64         `json:"size,omitempty" doc:"Bytes of the document."`
	SHA256      string        `json:"sha256,omitempty" doc:"Of the document."`
	Document    string        `json:"document,omitempty" doc:"Path of the document."`
	Error       *ReportError  `json:"error,omitempty"`
}

// ReportPeriod is the time that a run tells of.
type ReportPeriod struct {
	Start *api.Time `json:"start" nullable:"true" doc:"Exclusive; null for a report of findings, which tells of a state."`
	End   api.Time  `json:"end"`
}

// ReportCounts is what a document holds.
type ReportCounts struct {
	Findings report.Summary `json:"findings" doc:"Of changes, the new ones; of scans, of all scans together."`
	New      int            `json:"new"`
	Fixed    int            `json:"fixed"`
	Scans    int            `json:"scans"`
}

// ReportError is why a run has no document.
type ReportError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type newReportIn struct {
	Body ReportDefinition
}

// ReportRef names a report.
type ReportRef struct {
	ID string `path:"id" doc:"The report's id."`
}

type putReportIn struct {
	ReportRef
	Body ReportDefinition
}

type reportsIn struct {
	Paging
}

type runsIn struct {
	ReportRef
	Paging
}

type runRef struct {
	ReportRef
	RunID string `path:"runId" doc:"The run's id."`
}

// draft turns a definition into what package report takes.
func (d ReportDefinition) draft() recurring.Draft {
	out := recurring.Draft{
		Name: d.Name, Kind: recurring.Kind(d.Kind), Format: recurring.Format(d.Format), Enabled: d.Enabled == nil || *d.Enabled,
		Filter: recurring.Filter{Engine: d.Filters.Engine, Tag: d.Filters.Tag, Host: d.Filters.Host},
	}
	for _, s := range d.Filters.Severity {
		out.Filter.Severities = append(out.Filter.Severities, finding.Severity(s))
	}
	if s := d.Schedule; s != nil {
		out.Schedule = &schedule.Spec{Cron: s.Cron, TimeZone: s.TimeZone, Jitter: s.Jitter}
	}
	return out
}

func reportView(r recurring.Report) Report {
	v := Report{
		ID: string(r.ID), Name: r.Name, Kind: string(r.Kind), Format: string(r.Format), Enabled: r.Enabled, Stopped: r.Stopped,
		Filters: ReportFilters{Engine: r.Filter.Engine, Tag: r.Filter.Tag, Host: r.Filter.Host}, RunsAs: r.Owner, CreatedBy: r.CreatedBy,
		CreatedAt: api.At(r.CreatedAt), UpdatedAt: api.At(r.UpdatedAt), NextRunAt: api.Moment(r.NextAt),
	}
	for _, s := range r.Filter.Severities {
		v.Filters.Severity = append(v.Filters.Severity, string(s))
	}
	if s := r.Schedule; s != nil {
		v.Schedule = &ReportSchedule{Cron: s.Cron, TimeZone: s.TimeZone, Jitter: s.Jitter}
	}
	return v
}

func runView(r recurring.Run) ReportRun {
	v := ReportRun{
		ID: string(r.ID), ReportID: string(r.Report), Kind: string(r.Kind), Format: string(r.Format), Status: string(r.Status),
		RequestedBy: r.AskedBy, DueAt: api.At(r.Due), Period: ReportPeriod{Start: api.Moment(r.From), End: api.At(r.To)},
		StartedAt: api.Moment(r.StartedAt), CompletedAt: api.Moment(r.EndedAt),
	}
	if r.Status == recurring.Ready {
		v.Counts = &ReportCounts{Findings: report.NewSummary(r.Counts.Findings), New: r.Counts.New, Fixed: r.Counts.Fixed, Scans: r.Counts.Scans}
		v.Size, v.SHA256, v.Document = r.Size, r.SHA256, recurring.DocumentPath(r.Report, r.ID)
	}
	if r.Error != nil {
		v.Error = &ReportError{Code: string(r.Error.Code), Message: r.Error.Message}
	}
	return v
}

func (h *handlers) createReport(ctx context.Context, in *newReportIn) (*Created[Report], error) {
	r, err := h.d.Reports.Create(ctx, mw.ActorFrom(ctx), in.Body.draft())
	if err != nil {
		return nil, err
	}
	return &Created[Report]{Location: api.Path(reports, string(r.ID)), Body: reportView(r)}, nil
}

func (h *handlers) reportCreated(ctx context.Context, id string) (*Created[Report], error) {
	r, err := h.d.Reports.Get(ctx, mw.ActorFrom(ctx).Org, uid.Report(id))
	if err != nil {
		return nil, err
	}
	return &Created[Report]{Location: api.Path(reports, id), Body: reportView(r)}, nil
}

func (h *handlers) listReports(ctx context.Context, in *reportsIn) (*Out[Page[Report]], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("reports")
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Reports.List(ctx, org, p)
	if err != nil {
		return nil, err
	}
	out := Page[Report]{Data: make([]Report, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, r := range l.Items {
		out.Data[i] = reportView(r)
	}
	return &Out[Page[Report]]{Body: out}, nil
}

func (h *handlers) getReport(ctx context.Context, in *ReportRef) (*Out[Report], error) {
	r, err := h.d.Reports.Get(ctx, mw.ActorFrom(ctx).Org, uid.Report(in.ID))
	if err != nil {
		return nil, err
	}
	return &Out[Report]{Body: reportView(r)}, nil
}

func (h *handlers) putReport(ctx context.Context, in *putReportIn) (*Out[Report], error) {
	r, err := h.d.Reports.Update(ctx, mw.ActorFrom(ctx), uid.Report(in.ID), in.Body.draft())
	if err != nil {
		return nil, err
	}
	return &Out[Report]{Body: reportView(r)}, nil
}

func (h *handlers) deleteReport(ctx context.Context, in *ReportRef) (*struct{}, error) {
	if err := h.d.Reports.Delete(ctx, mw.ActorFrom(ctx).Org, uid.Report(in.ID)); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}

func (h *handlers) runReport(ctx context.Context, in *ReportRef) (*Created[ReportRun], error) {
	r, err := h.d.Reports.RunNow(ctx, mw.ActorFrom(ctx), uid.Report(in.ID))
	if err != nil {
		return nil, err
	}
	return &Created[ReportRun]{Location: reports + "/" + in.ID + "/runs/" + string(r.ID), Body: runView(r)}, nil
}

func (h *handlers) listReportRuns(ctx context.Context, in *runsIn) (*Out[Page[ReportRun]], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("report runs", in.ID)
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Reports.Runs(ctx, org, uid.Report(in.ID), p)
	if err != nil {
		return nil, err
	}
	out := Page[ReportRun]{Data: make([]ReportRun, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, r := range l.Items {
		out.Data[i] = runView(r)
	}
	return &Out[Page[ReportRun]]{Body: out}, nil
}

func (h *handlers) getReportRun(ctx context.Context, in *runRef) (*Out[ReportRun], error) {
	r, err := h.d.Reports.Run(ctx, mw.ActorFrom(ctx).Org, uid.Report(in.ID), uid.ReportRun(in.RunID))
	if err != nil {
		return nil, err
	}
	return &Out[ReportRun]{Body: runView(r)}, nil
}

func (h *handlers) reportDocument(ctx context.Context, in *runRef) (*api.Stream, error) {
	run, doc, err := h.d.Reports.Open(ctx, mw.ActorFrom(ctx).Org, uid.Report(in.ID), uid.ReportRun(in.RunID))
	if err != nil {
		return nil, err
	}
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		defer func() { _ = doc.Close() }()
		media, ending := report.MediaType(run.Format)
		disposition := "attachment"
		if run.Format == recurring.HTML {
			disposition = "inline"
			w.Header().Set("Content-Security-Policy", report.HTMLPolicy())
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Length", strconv.FormatInt(run.Size, 10))
		w.Header().Set("Content-Disposition", fmt.Sprintf(`%s; filename="assay-report-%s.%s"`, disposition, run.ID, ending))
		_, err := io.Copy(w, doc)
		return err
	}), nil
}
