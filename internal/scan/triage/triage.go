// Package triage is what people make of findings: the decisions on them (confirmed, false positive, accepted until a
// date, fixed, open again), what those mean in time and against scans, and the history of each finding.
//
// The division of labour is the rule of the house: a scan opens a finding, sees it again, closes and reopens it, and
// never touches a person's decision; a person decides, and never changes what was seen; time ends an acceptance.
// docs/adr/0013-scans-and-people.md says why. The package must never learn of an engine, and never forget who decided.
// Start with Decision, then decide.go; lapse.go is what time does.
package triage

import (
	"context"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of a decision.
const (
	MaxYears = 2 // how far ahead an acceptance may end
	// MaxIDs is how many findings one decision by id may name, MaxMatched how many a filter may match.
	MaxIDs     = 500
	MaxMatched = 10_000
)

// Decision is what a person says of a finding. finding.Open takes an earlier decision back, or says that what was
// fixed is not. Until is required for finding.Accepted and belongs to it alone: later than now, at most MaxYears ahead.
// Accepted needs a reason, FalsePositive a reason or a justification. Reason and note hold at most 2,000 characters.
type Decision struct {
	Status finding.Status
	Reason string
	Until  time.Time
	// Justification says why a vulnerability doesn't matter here, in the words of VEX (OpenVEX 0.2.0 status
	// justifications); only with FalsePositive. Empty = none.
	Justification string
	Note          string // for colleagues; optional
}

// Justifications are the five of OpenVEX 0.2.0, which CSAF uses as well.
func Justifications() []string {
	return []string{
		"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
	}
}

// Author is who decided: an API key, a user, the operator, or the server itself. A display name is personal data that
// the audit log keeps where it can be erased; it is never copied here.
type Author struct {
	Kind audit.ActorKind
	ID   string
}

// Ruling is a decision in force.
type Ruling struct {
	Decision

	By     Author
	At     time.Time
	Before finding.Status // where the finding stood
}

// Finding is a finding with what people made of it. As it is kept, an acceptance that has ended still says Accepted;
// what the service returns says Open (At).
type Finding struct {
	finding.Finding

	FirstScan uid.Scan // that opened it; empty for findings older than this record
	// NotSeenSince is when a complete scan first no longer saw a finding that a person has decided on, zero while scans
	// see it. The decision stays; this tells that it may have become needless.
	NotSeenSince time.Time
	Ruling       *Ruling // nil = no decision is in force
	// Revision changes with the status and with each decision, and not when a scan sees the finding again. It is the
	// number of the history entry that made the finding what it is.
	Revision int64
	Entries  int64 // length of the history; entries are numbered from 1

	Case uid.Case // of findings that are one real issue; empty until it was correlated
	Risk int      // 0–100 as it was weighed last (package correlation); -1 until it was
}

// At returns the finding as it stands at now: an acceptance whose time is over is none.
func (f Finding) At(now time.Time) Finding {
	if f.lapsed(now) {
		f.Status, f.Ruling, f.NotSeenSince = finding.Open, nil, time.Time{}
	}
	return f
}

func (f Finding) lapsed(now time.Time) bool {
	return f.Status == finding.Accepted && f.Ruling != nil && !f.Ruling.Until.IsZero() && !now.Before(f.Ruling.Until)
}

// Kind is what happened to a finding.
type Kind string

// Kinds of history entries.
const (
	KindOpened   Kind = "opened"   // a scan saw it for the first time
	KindSeen     Kind = "seen"     // another scan saw it again
	KindUnseen   Kind = "unseen"   // a complete scan no longer sees it; a person's decision stays
	KindFixed    Kind = "fixed"    // a complete scan no longer sees it
	KindReopened Kind = "reopened" // a scan sees it again after it was fixed
	KindDecided  Kind = "decided"  // a person decided
	KindExpired  Kind = "expired"  // an acceptance ended, and it is open again
)

// Entry is one line of a finding's history. Entries are never changed.
type Entry struct {
	Seq      int64
	At       time.Time
	Kind     Kind
	From, To finding.Status // From is empty of KindOpened; both are the same where the status stayed
	Scan     uid.Scan       // of what scans did
	By       Author         // of KindDecided; the system's of KindExpired; empty of what scans did
	Decision Decision       // of KindDecided; of KindExpired the one that ended
}

// Filter narrows a list of findings. Zero fields don't narrow. Times: from ≤ t < to.
type Filter struct {
	Severities []finding.Severity
	Statuses   []finding.Status
	Category   finding.Category
	Engine     string
	Host       string // as locations name it; finding.CanonicalHost is applied
	CVE        string // upper case
	Rule       string
	Q          string  // words; of each a finding's title, rule or package holds one that begins with it; numbers don't count
	Unseen     bool    // only those with a decision that complete scans no longer see
	KEV        bool    // only those with a CVE id that is known to be exploited
	MinEPSS    float64 // only those with a CVE id of at least this EPSS score, 0–1; 0 = any
	Case       uid.Case

	FirstFrom, FirstTo time.Time
	LastFrom, LastTo   time.Time
}

// Sort is the order of a list.
type Sort string

// Orders. What is new is what was opened last: the order of a list stays as it is while scans see the findings again.
const (
	Worst    Sort = "severity" // worst first, and of one severity the newest
	Newest   Sort = "newest"
	Riskiest Sort = "risk"
)

// Query asks for a page of findings.
type Query struct {
	Filter

	Sort Sort // empty = Worst
	Page page.Request
}

// List is one page of findings.
type List struct {
	Items []Finding
	Next  page.Key // zero on the last page
	Total page.Total
}

// Entries is one page of a history, newest first.
type Entries struct {
	Items []Entry
	Next  page.Key
	Total page.Total
}

// Cell is how many findings of one severity stand in one status. Cells of none may be left out.
type Cell struct {
	Severity finding.Severity
	Status   finding.Status
	N        int
}

// Store is what triage needs of a database, scoped to org throughout; another organization's finding is a NotFound
// fault.
type Store interface {
	Finding(ctx context.Context, org uid.Org, id uid.Finding) (Finding, error)
	Findings(ctx context.Context, org uid.Org, q Query) (List, error)
	// History returns entries of one finding, newest first, NotFound where there is none. kinds narrows them; none = all.
	History(ctx context.Context, org uid.Org, id uid.Finding, kinds []Kind, p page.Request) (Entries, error)
	// FindingCounts returns the kept counts.
	FindingCounts(ctx context.Context, org uid.Org) ([]Cell, error)
	// HasLapsed reports whether an acceptance of the organization ended at now or before and was not worked off.
	HasLapsed(ctx context.Context, org uid.Org, now time.Time) (bool, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Lapses is the view over all organizations, for the server only.
type Lapses interface {
	// Lapsed returns organizations with acceptances that ended at now or before, at most limit.
	Lapsed(ctx context.Context, now time.Time, limit int) ([]uid.Org, error)
	// NextLapse returns when the next acceptance ends, zero where none will.
	NextLapse(ctx context.Context) (time.Time, error)
}

// Change is a finding that was decided on, as it was and as it is, with what enters its history.
type Change struct {
	Before  finding.Status
	After   Finding
	Entries []Entry
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice, and holds at most
// MaxIDs findings.
type Tx interface {
	// FindingsForUpdate reads findings as they are inside this unit and holds them until it ends; what isn't there is
	// left out. In the order of their ids.
	FindingsForUpdate(ctx context.Context, ids []uid.Finding) ([]Finding, error)
	// LapsedForUpdate is FindingsForUpdate for acceptances that ended at now or before, at most limit.
	LapsedForUpdate(ctx context.Context, now time.Time, limit int) ([]Finding, error)
	// PutTriage writes status, ruling, fix time and history of findings that this unit holds, and keeps the counts.
	PutTriage(ctx context.Context, changes []Change) error
	// Emit writes an outbox event in the unit; subscribers hear of it after commit.
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}
