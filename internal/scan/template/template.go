// Package template keeps scans that are ordered again and again: all of an order but, mostly, its target; launched by
// hand with what differs, or started by a schedule on its own targets.
//
// It judges no order itself: what a scan may be says package scan, at the moment when it is ordered. A schedule runs in
// the name of who wrote it, with no more than that one may do at that moment. Start with Template, then service.go,
// and scheduler.go with start.go for what runs by itself.
package template

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// MaxTargets is how many targets a template may hold.
const MaxTargets = 100

// idPrefix begins every id.
const idPrefix = "tmpl-"

// ValidID reports whether s has the form of a template's id.
func ValidID(s string) bool {
	id, ok := strings.CutPrefix(s, idPrefix)
	return ok && uid.Valid(id)
}

// record is the name under which a template's config is sealed.
func record(id uid.Template) string { return "template/" + string(id) }

func missing() error { return fault.Missing("scan template") }

func resource(id uid.Template) audit.Resource {
	return audit.Resource{Kind: "scan_template", ID: string(id)}
}

// Template is an order to be given again.
type Template struct {
	ID          uid.Template
	Org         uid.Org
	Name        string // unique in the organization
	Description string
	Engine      string // scanType
	TargetType  asset.TargetType
	Priority    scan.Priority
	Options     json.RawMessage
	Config      json.RawMessage // as shown: header values and authentication masked
	Sealed      []byte          // the whole config, sealed under the organization and template id; nil = none
	Tags        []string
	Timeout     int // seconds
	Targets     []string
	Schedule    *Schedule // nil = launched by hand only
	CreatedBy   string    // principal
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Version     int64 // rises with each change of the template, but not with its runs
}

// Schedule is when a template starts by itself, and where that stands.
type Schedule struct {
	schedule.Spec

	Enabled bool
	RunsAs  string    // principal that wrote the schedule: runs have its rights
	Next    time.Time // the next due time; zero unless enabled
	Start   time.Time // when the run of Next begins: Next and its jitter
	Last    time.Time // the last due time that was run; zero = none
	Stopped *Stopped  // the server disabled it
}

// Stopped says why the server disabled a schedule.
type Stopped struct {
	Reason Reason    `json:"reason"`
	At     time.Time `json:"at"`
}

// Reason is why the server disabled a schedule.
type Reason string

// Reasons.
const (
	KeyRevoked   Reason = "key_revoked"
	KeySuspended Reason = "key_suspended"
	KeyExpired   Reason = "key_expired"
	UserDisabled Reason = "user_disabled"
	OwnerGone    Reason = "owner_gone"
	ScopeLost    Reason = "scope_lost"
	EngineLost   Reason = "engine_lost"
	NotReadable  Reason = "schedule_not_readable"
)

// Text says the reason for people.
func (r Reason) Text() string {
	switch r {
	case KeyRevoked:
		return "the API key that the schedule runs as was revoked"
	case KeySuspended:
		return "the API key that the schedule runs as was suspended"
	case KeyExpired:
		return "the API key that the schedule runs as has expired"
	case UserDisabled:
		return "the user that the schedule runs as was disabled"
	case OwnerGone:
		return "the key or user that the schedule runs as is gone"
	case ScopeLost:
		return "the key or user that the schedule runs as may no longer launch templates"
	case EngineLost:
		return "the key that the schedule runs as may no longer use this engine"
	case NotReadable:
		return "the schedule can't be read any more; does its time zone still exist?"
	}
	return "the schedule was stopped"
}

// State is how a run began.
type State string

// States.
const (
	Started State = "started" // every target has its scan
	Partial State = "partial" // some targets were refused
	Refused State = "refused" // all were
	Skipped State = "skipped" // the run before was still going on
)

// Run is one start of a template by its schedule.
type Run struct {
	ID       uid.TemplateRun
	Template uid.Template
	Due      time.Time
	At       time.Time // when it was started
	State    State
	Replaced int    // scans of earlier runs that were cancelled for it
	Items    []Item // one for each target, in order; none where it was skipped
}

// Item is what became of one target in a run.
type Item struct {
	Target  string     `json:"target"`
	Scan    uid.Scan   `json:"scan,omitempty"` // empty = refused
	Code    fault.Code `json:"code,omitempty"` // of the refusal
	Message string     `json:"message,omitempty"`
}

// Query filters a list of templates. Empty fields don't filter.
type Query struct {
	Engine string
	Tag    string
	Q      string // free text over name and description: its total is unknown
	Page   page.Request
}

// List is one page of templates, newest first.
type List struct {
	Items []Template
	Total page.Total
	Next  page.Key
}

// Runs is one page of a template's runs, newest first.
type Runs struct {
	Items []Run
	Total page.Total
	Next  page.Key
}

// Store is what templates need of a database, scoped to org throughout; another organization's template is a NotFound
// fault.
type Store interface {
	Template(ctx context.Context, org uid.Org, id uid.Template) (Template, error)
	Templates(ctx context.Context, org uid.Org, q Query) (List, error)
	// Runs returns a page of a template's runs; empty where there is no such template.
	Runs(ctx context.Context, org uid.Org, id uid.Template, p page.Request) (Runs, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	RunTx

	// TemplateForUpdate reads a template as it is inside this unit and holds it until the unit ends; NotFound where there
	// is none.
	TemplateForUpdate(ctx context.Context, id uid.Template) (Template, error)
	// InsertTemplate and ReplaceTemplate answer a name that is taken by a Conflict fault. ReplaceTemplate writes all but
	// id, creator and creation, and raises the version.
	InsertTemplate(ctx context.Context, t Template) error
	ReplaceTemplate(ctx context.Context, t Template) error
	// DeleteTemplate removes a template with its runs; NotFound where there is none. Its scans stay.
	DeleteTemplate(ctx context.Context, id uid.Template) error
}

// RunTx are the writes of runs.
type RunTx interface {
	scan.EntryTx
	scan.EndTx

	// TakeRun moves an enabled schedule from one due time to the next, and is what makes a due time start once: it touches
	// nothing and answers false where the template has gone on since (its version or next due time is another). ran says
	// that the taken due time has a run already, which must not be started again.
	TakeRun(ctx context.Context, t Taking) (taken, ran bool, err error)
	// InsertRun keeps what became of a run.
	InsertRun(ctx context.Context, r Run) error
	// RunningScans returns scans of the template's earlier runs that have not ended, at most 500.
	RunningScans(ctx context.Context, id uid.Template) ([]uid.Scan, error)
	// StopSchedule disables a schedule; false where the template has gone on since.
	StopSchedule(ctx context.Context, id uid.Template, version int64, s Stopped) (bool, error)
}

// Taking is the claim on one due time.
type Taking struct {
	Template  uid.Template
	Version   int64     // as it was read
	Next      time.Time // as it was read
	Due       time.Time // the due time that is run
	Following time.Time // the next due time from now on
	Start     time.Time // when that one begins
}

// Ref names a template of any organization, and when it is to be started.
type Ref struct {
	Org   uid.Org
	ID    uid.Template
	Start time.Time
}

// Agenda is the scheduler's view over all organizations; suspended ones are left out.
type Agenda interface {
	// DueTemplates returns templates to be started at or before now, in order of start and then id, after the given one,
	// at most limit.
	DueTemplates(ctx context.Context, now time.Time, after Ref, limit int) ([]Ref, error)
	// NextStart returns the first start after the given time; zero where there is none.
	NextStart(ctx context.Context, after time.Time) (time.Time, error)
}

// StoppedNotice is the data of schedule.stopped events.
type StoppedNotice struct {
	TemplateID uid.Template `json:"templateId"`
	Reason     Reason       `json:"reason"`
}

// instant is the time as the database keeps it.
func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }
