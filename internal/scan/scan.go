// Package scan is wing one, what is wrong: scans from submission to results. It validates an order against the
// engine's manifest and the organization's scope, decides which scan starts next, runs it under a lease, and turns
// raw output into findings.
//
// It knows engines only by their port and the database only by the interfaces below. Start with Scan, then submit.go,
// dispatch.go and execute.go.
package scan

import (
	"context"
	"encoding/json"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Status is a scan's state (scans.md section 2).
type Status string

// Statuses.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Terminal reports whether the state is final.
func (s Status) Terminal() bool { return s == Completed || s == Failed || s == Cancelled }

// Priority orders waiting scans.
type Priority string

// Priorities, first served first.
const (
	Critical Priority = "critical"
	High     Priority = "high"
	Normal   Priority = "normal"
	Low      Priority = "low"
)

// Rank is 0 for critical to 3 for low.
func (p Priority) Rank() int {
	switch p {
	case Critical:
		return 0
	case High:
		return 1
	case Normal:
		return 2
	case Low:
		return 3
	}
	return 2
}

// AgeStep is the time a scan must wait to move up one priority (decisions C17).
const AgeStep = 10 * time.Minute

// MaxAttempts is how often an interrupted scan is started before it fails (decisions C3).
const MaxAttempts = 3

// Bounds and default of a scan's timeout in seconds (decisions C3).
const (
	MinTimeout     = 10
	MaxTimeout     = 86_400
	DefaultTimeout = 3_600
)

// Scan is one order and what became of it.
type Scan struct {
	ID         uid.Scan
	Org        uid.Org
	Engine     string // scanType
	Name       string
	Target     string // canonical text
	TargetType asset.TargetType
	Host       string // what the limit per target host counts: address, name or network
	Priority   Priority
	Status     Status
	Progress   int    // 0–100
	Phase      string // what the engine is doing, for people
	Options    json.RawMessage
	Config     json.RawMessage // as shown: header values and authentication masked
	Sealed     []byte          // the whole config, sealed under the organization and scan id; nil = none
	Tags       []string
	Timeout    int // seconds
	Asset      uid.Asset
	Template   uid.Template    // that it was launched from; empty = none
	Run        uid.TemplateRun // of the template's schedule; empty = none
	CreatedBy  string          // principal
	CreatedAt  time.Time
	StartedAt  time.Time
	EndedAt    time.Time
	Attempt    int   // starts so far
	Fence      int64 // rises with each admission; a worker with another number may not write
	LeaseUntil time.Time
	Outcome    engine.Outcome // set when terminal
	Reasons    []string
	Error      *Error
	Version    string // of the engine that ran
	Summary    finding.Summary
	Callback   string   // address that the scan's end is told to; known only when it is submitted
	Course     *Course  // of a scan that others carry out; nil = an engine runs it
	Parent     uid.Scan // that it carries out a part of; empty = none
	Stage      string   // the parent's phase that it belongs to
	// Ordered is when the order was given that it is a part of, which is its place in the line; known only when it is
	// entered, zero = CreatedAt.
	Ordered time.Time
}

// Error is why a scan failed, for people and programs.
type Error struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
}

// Due is the scan's place in the waiting line: created-at plus one AgeStep a rank. Sorting by it is strict priority
// with ageing of one level per AgeStep waited, without ever rewriting a row.
func (s Scan) Due() time.Time {
	from := s.CreatedAt
	if !s.Ordered.IsZero() {
		from = s.Ordered
	}
	return from.Add(time.Duration(s.Priority.Rank()) * AgeStep)
}

// Artifact is a kept raw output, addressed by digest.
type Artifact struct {
	Name      string
	MediaType string
	Size      int64
	SHA256    string // lower-case hex
	Truncated bool
}

// Result is one finding as one scan saw it, with the state the finding is in now.
type Result struct {
	finding.Finding

	Occurrence string // identity of the exact place, "o1:" + hex
	Ordinal    int    // position within the scan, 0-based, by severity and then as parsed
	// Members are the findings that a parent's result was made of, itself among them; nil for results of one engine.
	Members []Member
}

// Member is one engine's finding in a result that several may share.
type Member struct {
	Finding uid.Finding `json:"id"`
	Engine  string      `json:"engine"`
	Rule    string      `json:"rule"`
	Scan    uid.Scan    `json:"scan"`          // the child that saw it
	Why     string      `json:"why,omitempty"` // it belongs to the others
}

// Query filters a list of scans. Empty fields don't filter.
type Query struct {
	Engine   string
	Status   Status
	Priority Priority
	Tag      string
	Target   string
	Asset    uid.Asset
	Template uid.Template
	Parent   uid.Scan  // only its children
	Children bool      // children too, which are left out otherwise
	From, To time.Time // by creation, To exclusive
	Q        string    // free text over name and target: its total is unknown
	Oldest   bool      // oldest first
	Page     page.Request
}

// List is one page of scans.
type List struct {
	Items []Scan
	Total page.Total
	Next  page.Key
}

// ResultQuery filters the findings of one scan.
type ResultQuery struct {
	Severity finding.Severity
	Category finding.Category
	Q        string
	Page     page.Request
}

// Results is one page of a scan's findings, worst first.
type Results struct {
	Items []Result
	Total page.Total
	Next  page.Key
}

// Store is what scans need of a database, scoped to org throughout; another organization's scan is a NotFound fault.
type Store interface {
	Reader

	ScanScope(ctx context.Context, org uid.Org) (asset.Scope, error)
	Organization(ctx context.Context, org uid.Org) (tenant.Organization, error)
	// Events returns outbox events about the subject after seq, oldest first, at most limit.
	Events(ctx context.Context, org uid.Org, subject string, after int64, limit int) ([]event.Event, error)
	// OpenFindings returns findings of one engine that are not fixed, on one host, after the given fingerprint in
	// fingerprint order, at most 500; ones with a person's decision until it is noted that no scan sees them.
	OpenFindings(ctx context.Context, org uid.Org, engineID, host, after string) ([]finding.Finding, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Reader are the reads of scans and what they found.
type Reader interface {
	Scan(ctx context.Context, org uid.Org, id uid.Scan) (Scan, error)
	Scans(ctx context.Context, org uid.Org, q Query) (List, error)
	// Batch returns what became of each order of a batch, the scans as they are now.
	Batch(ctx context.Context, org uid.Org, id uid.Batch) (Batch, error)
	Results(ctx context.Context, org uid.Org, id uid.Scan, q ResultQuery) (Results, error)
	// EachResult streams all results that match, in order, without holding them; it stops with f's error.
	EachResult(ctx context.Context, org uid.Org, id uid.Scan, q ResultQuery, f func(Result) error) error
	Artifacts(ctx context.Context, org uid.Org, id uid.Scan) ([]Artifact, error)
	ScanAssets(ctx context.Context, org uid.Org, id uid.Scan) ([]asset.Observation, error)
	// Looked returns what the scan's end says that it looked at.
	Looked(ctx context.Context, org uid.Org, id uid.Scan) (engine.Looked, error)
	// Children returns a scan's children, oldest first, at most 500.
	Children(ctx context.Context, org uid.Org, id uid.Scan) ([]Scan, error)
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice, and holds at most
// 500 rows.
type Tx interface {
	usage.Tx

	OrderTx
	Recorder

	// StartScan moves an admitted scan to running; a Conflict fault when it was cancelled or the fence is another's.
	StartScan(ctx context.Context, id uid.Scan, fence int64, at time.Time) error
	// KeepLease extends the lease and writes progress; a Conflict fault when the scan isn't ours any more.
	KeepLease(ctx context.Context, id uid.Scan, fence int64, until time.Time, progress int, phase string) error
	// RequeueScan gives an admitted or running scan back to the line. counted says whether the attempt counts.
	RequeueScan(ctx context.Context, id uid.Scan, fence int64, counted bool) error
	// FinishScan makes a running scan terminal and this attempt's results visible; a Conflict fault when it isn't ours.
	// With f.Status Cancelled it attaches outcome, reasons, version, summary and the partial results to a scan that was
	// cancelled while it ran under this fence; status and end stay as the cancellation set them.
	FinishScan(ctx context.Context, id uid.Scan, fence int64, f Finish) error
	// SummariseScan counts the results that a scan which has ended shows, writes that as its summary and returns it; for
	// whoever ends a scan that somebody else ran. NotFound where there is none.
	SummariseScan(ctx context.Context, id uid.Scan) (Scan, error)

	// Emit writes an outbox event in the unit; subscribers hear of it after commit.
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}

// OrderTx are the writes of what people ask for.
type OrderTx interface {
	BatchTx
	EditTx
	FamilyTx

	InsertScan(ctx context.Context, s Scan) error
	// CancelScan moves a queued or running scan to cancelled and returns it; SCAN_NOT_CANCELLABLE when it is terminal.
	CancelScan(ctx context.Context, id uid.Scan, at time.Time) (Scan, error)
}

// Recorder are the writes of what a scan found.
type Recorder interface {
	// PutArtifact, RecordFindings and RecordAssets write for the attempt that runs under the scan's fence, also after the
	// scan was cancelled; under another fence they are Conflict faults.
	PutArtifact(ctx context.Context, id uid.Scan, attempt int, a Artifact) error
	// RecordFindings upserts findings by fingerprint under the rules of finding.Life and writes the scan's own result
	// rows for the attempt; it returns what became of each, in order.
	RecordFindings(ctx context.Context, scan Scan, seen []Seen, at time.Time) ([]finding.Change, error)
	// FixFindings marks open findings fixed; ones a person decided on keep their status.
	FixFindings(ctx context.Context, ids []uid.Finding, scan uid.Scan, at time.Time) (int, error)
	// MissFindings notes since when complete scans no longer see findings that a person has decided on, at most 500 at
	// a time; others, and ones of which it is noted, stay as they are.
	MissFindings(ctx context.Context, ids []uid.Finding, scan uid.Scan, at time.Time) error
	RecordAssets(ctx context.Context, scan Scan, obs []asset.Observation, at time.Time) error
}

// Seen is one observation with its identities, ready to be recorded.
type Seen struct {
	finding.Observation

	Fingerprint string
	Occurrence  string
	Case        string // key of the case it may belong to, empty = none
	Ordinal     int
}

// Finish is the end of a scan.
type Finish struct {
	Status  Status
	At      time.Time
	Outcome engine.Outcome
	Reasons []string
	Error   *Error
	Version string
	Summary finding.Summary
	Looked  engine.Looked
	Free    bool // it failed for the platform's own reasons: what it took of the plan's quota is given back
}

// Line is the dispatcher's view of all organizations' scans: the one read across them, for the server only.
type Line interface {
	// Admit shows decide what waits and what runs and, in the same transaction, admits what it picks: fence raised, lease
	// given to worker, a job enqueued. It returns how many were admitted.
	Admit(ctx context.Context, now, leaseUntil time.Time, decide func(waiting []Waiting, running []Slot, limits map[uid.Org]tenant.Concurrency) []Waiting) (int, error)
	// Expired returns admitted or running scans whose lease ended before now, at most limit.
	Expired(ctx context.Context, now time.Time, limit int) ([]Slot, error)
}

// Waiting is a queued scan in the line.
type Waiting struct {
	Org    uid.Org
	Scan   uid.Scan
	Engine string
	Host   string
	Due    time.Time
}

// Slot is a scan that was admitted and isn't terminal.
type Slot struct {
	Org     uid.Org
	Scan    uid.Scan
	Engine  string
	Host    string
	Fence   int64
	Attempt int
}

// Job is the order to run an admitted scan.
type Job = job.Scan
