// Package report is recurring reports: what an organization wants to be told, how often, and the documents that came
// of it.
//
// A report is a definition: what is told of (findings, scans, or what has changed since the last time), narrowed by
// filters, in one format, on a schedule or on demand. Each due time makes exactly one run, also with several nodes, and
// a run makes one document, kept by digest. It runs as whoever defined it last and stops when they lose the right.
// The package knows the forms of documents only as a function that it is given, and must never render anything itself.
// Start with Report, then service.go for definitions and runner.go for runs.
package report

import (
	"context"
	"io"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Kind is what a report tells of.
type Kind string

// Kinds.
const (
	Findings Kind = "findings" // those that aren't fixed, as they stand when the run begins
	Scans    Kind = "scans"    // those that were ordered since the last report
	Changes  Kind = "changes"  // findings that are new or fixed since the last report
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Findings, Scans, Changes} }

// Format is the form of a report's documents.
type Format string

// Formats. A report of scans has no SARIF form.
const (
	HTML  Format = "html"
	CSV   Format = "csv"
	JSON  Format = "json"
	SARIF Format = "sarif"
)

// Formats lists them.
func Formats() []Format { return []Format{HTML, CSV, JSON, SARIF} }

// Bounds.
const (
	MaxName     = 255       // bytes of a name
	MaxReports  = 100       // definitions of an organization
	MaxTag      = 64        // bytes
	MaxHost     = 255       // bytes
	MaxDocument = 256 << 20 // bytes of one document
	KeptRuns    = 90        // runs of each report
	KeptDays    = 400       // days that a run is kept at most
	MaxAttempts = 3         // how often a run that was cut off or met a failure is begun
)

// Filter narrows a report. Empty fields don't.
type Filter struct {
	Severities []finding.Severity `json:"severity,omitempty"` // of findings; of scans, those with at least one such finding
	Engine     string             `json:"engine,omitempty"`
	Tag        string             `json:"tag,omitempty"`  // of the scan, or of the scan that saw the finding last
	Host       string             `json:"host,omitempty"` // as locations name it
}

// Report is a definition.
type Report struct {
	ID     uid.Report
	Org    uid.Org
	Name   string
	Kind   Kind
	Format Format
	Filter Filter
	// Schedule is when it runs; nil = on demand only. Its overlap says nothing: runs of a report come one after the other.
	Schedule  *schedule.Spec
	Enabled   bool
	Stopped   string // why the server disabled it; empty where nobody or a person did
	Owner     string // principal whose rights count: who wrote the definition last
	CreatedBy string // principal
	CreatedAt time.Time
	UpdatedAt time.Time
	NextAt    time.Time // next due time without jitter; zero = none
	Mark      time.Time // end of the period that the last counting run told of; zero = none yet
}

// Status is where a run stands.
type Status string

// Statuses.
const (
	Queued  Status = "queued"
	Running Status = "running"
	Ready   Status = "ready"
	Failed  Status = "failed"
)

// Run is one making of a report, and its document.
type Run struct {
	ID        uid.ReportRun
	Org       uid.Org
	Report    uid.Report
	Kind      Kind   // of the definition when the run was made
	Format    Format // likewise
	Status    Status
	AskedBy   string    // principal that asked for it now; empty = it was due
	Due       time.Time // when it was due, or asked for
	From, To  time.Time // the period it tells of, From exclusive; a zero From = since ever
	Attempt   int
	Fence     int64 // rises with each begin; who has another number may not write
	HoldUntil time.Time
	StartedAt time.Time
	EndedAt   time.Time
	Counts    Counts
	Size      int64  // of the document in bytes
	SHA256    string // of the document, lower-case hex
	Error     *Error
}

// Counts is what a document holds.
type Counts struct {
	Findings finding.Summary `json:"findings"`
	New      int             `json:"new"`   // of changes
	Fixed    int             `json:"fixed"` // of changes
	Scans    int             `json:"scans"`
}

// Error is why a run failed, for people and programs.
type Error struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
}

// List is one page of reports, newest first.
type List struct {
	Items []Report
	Total page.Total
	Next  page.Key
}

// Runs is one page of a report's runs, newest first.
type Runs struct {
	Items []Run
	Total page.Total
	Next  page.Key
}

// Store is what reports need of a database, scoped to org throughout; another organization's report is a NotFound
// fault.
type Store interface {
	Report(ctx context.Context, org uid.Org, id uid.Report) (Report, error)
	Reports(ctx context.Context, org uid.Org, p page.Request) (List, error)
	// ReportRun returns a run of this very report.
	ReportRun(ctx context.Context, org uid.Org, report uid.Report, id uid.ReportRun) (Run, error)
	ReportRuns(ctx context.Context, org uid.Org, report uid.Report, p page.Request) (Runs, error)
	// Snapshot shows f one state of the database for as long as f runs.
	Snapshot(ctx context.Context, org uid.Org, f func(context.Context, Snapshot) error) error
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Snapshot is one state of what reports tell of. Streams hold a bounded part and stop with f's error.
type Snapshot interface {
	CountFindings(ctx context.Context, q Query) (finding.Summary, error)
	// EachFinding streams findings worst first.
	EachFinding(ctx context.Context, q Query, f func(finding.Finding) error) error
	// CountScans returns how many scans match and their findings together.
	CountScans(ctx context.Context, q Query) (int, finding.Summary, error)
	// EachScan streams scans newest first.
	EachScan(ctx context.Context, q Query, f func(scan.Scan) error) error
}

// Part says which findings are meant.
type Part string

// Parts. Scans have none.
const (
	Standing Part = "standing" // not fixed, seen first at To or before
	Fresh    Part = "new"      // not fixed, seen first in the period
	Gone     Part = "fixed"    // fixed in the period
)

// Query says what a run tells of.
type Query struct {
	Filter

	Part     Part
	From, To time.Time // From exclusive
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	RunTx

	// InsertReport adds a definition; an organization that has MaxReports gets a Conflict fault.
	InsertReport(ctx context.Context, r Report) error
	// ReportForUpdate reads a definition as it is inside this unit and holds it until the unit ends.
	ReportForUpdate(ctx context.Context, id uid.Report) (Report, error)
	// UpdateReport writes everything but id, creation and mark.
	UpdateReport(ctx context.Context, r Report) error
	// DeleteReport removes a definition with its runs.
	DeleteReport(ctx context.Context, id uid.Report) error
	// Emit writes an outbox event in the unit; subscribers hear of it after commit.
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}

// RunTx are the writes about runs.
type RunTx interface {
	// InsertReportRun adds a queued run. A second run of a due time, and one beside a run that is asked for and not yet
	// ended, are Conflict faults.
	InsertReportRun(ctx context.Context, r Run) error
	// TakeReportRun begins a run whose fence is still r.Fence: fence and attempt rise by one, it is held until the given
	// time. A Conflict fault when another has it or it has ended.
	TakeReportRun(ctx context.Context, r Run, at, until time.Time) error
	// FreeReportRun puts a run that is held under r.Fence back into the line, not to be begun before the given time;
	// counted says whether the attempt counts.
	FreeReportRun(ctx context.Context, r Run, before time.Time, counted bool) error
	// FinishReportRun writes the end of a run that is held under r.Fence: status, end, counts, size, digest, error. mark is
	// the new mark of its report, zero = as it was. A Conflict fault when another has it.
	FinishReportRun(ctx context.Context, r Run, mark time.Time) error
	// DropReportRuns removes ended runs of a report beyond the newest keep.
	DropReportRuns(ctx context.Context, report uid.Report, keep int) error
}

// Line is the view over all organizations, for the server only.
type Line interface {
	// DueReports returns enabled reports whose next due time has come, at most limit, the longest due first.
	DueReports(ctx context.Context, now time.Time, limit int) ([]Report, error)
	// OpenReportRuns returns runs that may be begun: queued ones, and held ones whose time is over; at most limit, oldest
	// first.
	OpenReportRuns(ctx context.Context, now time.Time, limit int) ([]Run, error)
}

// Blobs keeps documents by digest, apart for each organization.
type Blobs interface {
	Create(org uid.Org, id string) (scan.Blob, error)
	// Open returns a document, which the caller closes; NotFound where there is none.
	Open(ctx context.Context, org uid.Org, digest string) (io.ReadSeekCloser, error)
}

// Owners says whether a report's owner still holds the rights it needs: nil, or a Forbidden, Unauthenticated or
// NotFound fault when they are lost. Any other fault means that it can't be known now.
type Owners func(ctx context.Context, org uid.Org, principal string, kind Kind) error

// Document is what a form is made of. Its streams may be read once each.
type Document struct {
	Report Report
	Run    Run // with its counts
	Made   time.Time
	// Standing, Fresh and Gone stream findings worst first, Scans scans newest first; those that the kind doesn't have are
	// empty.
	Findings func(p Part, f func(finding.Finding) error) error
	Scans    func(f func(scan.Scan) error) error
}

// Render writes a document in the run's format.
type Render func(w io.Writer, d Document) error
