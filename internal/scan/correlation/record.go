package correlation

import (
	"context"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Status is where a case stands. It follows from its members': see StatusOf.
type Status string

// Statuses of cases.
const (
	CaseConfirmed     Status = "confirmed"      // a person confirmed one of its findings
	CaseOpen          Status = "open"           // at least one is open
	CaseAccepted      Status = "accepted"       // what is left of it is accepted
	CaseFixed         Status = "fixed"          // none is left, and not all were false
	CaseFalsePositive Status = "false_positive" // a person called all of them false
	CaseMerged        Status = "merged"         // all of its findings went into another case
)

// Statuses lists those that lists of cases show, in the order in which people meet them.
func Statuses() []Status {
	return []Status{CaseOpen, CaseConfirmed, CaseAccepted, CaseFalsePositive, CaseFixed}
}

// StatusOf is the status of a case with such members: fixed only where all are, or where the rest never was.
func StatusOf(members []finding.Status) Status {
	at := map[finding.Status]bool{}
	for _, s := range members {
		at[s] = true
	}
	switch {
	case at[finding.Confirmed]:
		return CaseConfirmed
	case at[finding.Open]:
		return CaseOpen
	case at[finding.Accepted]:
		return CaseAccepted
	case at[finding.Fixed]:
		return CaseFixed
	}
	return CaseFalsePositive
}

// Record is a case as it is kept.
type Record struct {
	ID         uid.Case
	Title      string // its leading finding's
	Severity   finding.Severity
	Confidence finding.Confidence
	Status     Status
	Kind       Kind
	Asset      string
	Engines    []string
	CVE        []string // of all its findings, at most finding.MaxIDs
	Members    int
	Risk       int // score of its most dangerous finding, see Assess
	// FirstSeenAt and LastSeenAt are the earliest and latest of its findings; FixedAt is zero unless it is fixed.
	FirstSeenAt time.Time
	LastSeenAt  time.Time
	FixedAt     time.Time
	MergedInto  uid.Case // of a merged one
	Entries     int64    // length of the history
}

// Standing is a finding as it stands in its case.
type Standing struct {
	Member

	Finding uid.Finding
	Scan    uid.Scan // that saw it last
	Status  finding.Status
	Intel   finding.Intel

	FirstSeenAt time.Time
	LastSeenAt  time.Time
	FixedAt     time.Time

	Case   uid.Case // empty until it was correlated
	Since  time.Time
	Keys   []string // by which others find it, see KeysOf
	Keyed  []string // those by which they found it before
	Belief Belief
	Risk   int // score, see Assess; -1 until it was assessed
}

// Belief is why a finding is in its case, as it is kept: Why, and the reason of whoever put it there by hand.
type Belief struct {
	Why

	Hand  string // the reason a person gave; empty where correlation put it there
	By    Author // who that was
	Apart bool   // that person took it out of another case
}

// Text says it for people.
func (b Belief) Text() string {
	if b.By.ID == "" {
		return b.Why.Text()
	}
	text := "put here by hand"
	if b.Apart {
		text = "taken out of another case by hand"
	}
	if b.Hand != "" {
		text += ": " + b.Hand
	}
	return text
}

// Author is who acted.
type Author struct {
	Kind audit.ActorKind
	ID   string
}

// Pin is what a person said of findings and cases; correlation never overrules it. Without Other, the finding stays out
// of whatever correlation would put it in; with Other, the two belong together.
type Pin struct {
	Finding uid.Finding
	Other   uid.Finding
	Was     uid.Case // where Finding was before
	Reason  string
	By      Author
	At      time.Time
}

// EntryKind is what happened to a case.
type EntryKind string

// Kinds of history entries.
const (
	EntryGrew   EntryKind = "grew"   // correlation put findings in
	EntryShrank EntryKind = "shrank" // correlation took findings out
	EntryMerged EntryKind = "merged" // all findings went into the case Other, or came from it
	EntrySplit  EntryKind = "split"  // a person took a finding out
	EntryJoined EntryKind = "joined" // a person put findings in
)

// Entry is one line of a case's history. Entries are never changed.
type Entry struct {
	Case     uid.Case
	Seq      int64
	At       time.Time
	Kind     EntryKind
	By       Author // of what people did
	Other    uid.Case
	Findings []uid.Finding // the first MaxNamed
	Count    int
	Reason   string
}

// MaxNamed is how many findings an entry names.
const MaxNamed = 20

// Query asks for a page of cases. Empty fields don't narrow.
type Query struct {
	Severities []finding.Severity
	Statuses   []Status
	Engine     string
	Asset      string // a host or another asset's name; any of its aliases
	CVE        string
	MinRisk    int
	Q          string // words of title and asset, each of which may be cut short
	Sort       Sort
	Page       page.Request
}

// Sort is the order of a list of cases.
type Sort string

// Orders, each falling.
const (
	ByRisk     Sort = "risk"
	BySeverity Sort = "severity"
	ByLastSeen Sort = "lastSeen"
)

// List is one page of cases.
type List struct {
	Items []Record
	Total page.Total
	Next  page.Key
}

// Look is an engine's last look at where a case is that didn't report it.
type Look struct {
	Engine string
	Scan   uid.Scan
	Target string
	At     time.Time
}

// MaxShown is how many members, history entries and looks a case shows.
const MaxShown = 200

// Store is what cases need of a database, scoped to org throughout; another organization's case is a NotFound fault.
type Store interface {
	Case(ctx context.Context, org uid.Org, id uid.Case) (Record, error)
	Cases(ctx context.Context, org uid.Org, q Query) (List, error)
	// CaseMembers returns the findings of a case, oldest first, at most MaxShown.
	CaseMembers(ctx context.Context, org uid.Org, id uid.Case) ([]Standing, error)
	// CaseHistory returns a case's entries, newest first, at most MaxShown.
	CaseHistory(ctx context.Context, org uid.Org, id uid.Case) ([]Entry, error)
	// CaseLooks returns of each engine the last complete scan of any of the hosts since the given time.
	CaseLooks(ctx context.Context, org uid.Org, hosts []string, since time.Time) ([]Look, error)
	// Aliases returns which hosts of the organization are one asset.
	Aliases(ctx context.Context, org uid.Org) (Aliases, error)
	// Change runs a unit that may arrange cases; other such units of the organization wait meanwhile.
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the reads and writes of one unit. A unit may run twice.
type Tx interface {
	// Gather returns the findings and all that may be one case with any of them: what has or had a key in common, the
	// members of their cases, and what people pinned to them, with intel as it is now.
	Gather(ctx context.Context, seeds []uid.Finding, aliases Aliases) (Scene, error)
	// CaseFindings returns the ids of a case's members, oldest first, at most limit; NotFound where there is no such case.
	CaseFindings(ctx context.Context, id uid.Case, limit int) ([]uid.Finding, error)
	// PutPins adds what a person said; DropPins takes pins back, each from both its ends.
	PutPins(ctx context.Context, pins []Pin) error
	DropPins(ctx context.Context, pins []Pin) error
	// PutPlan writes what changed.
	PutPlan(ctx context.Context, p Plan) error
	// Emit writes an outbox event in the unit.
	Emit(ctx context.Context, t event.Type, subject string, data any) error
}
