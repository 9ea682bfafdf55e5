package triage

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Deps is what triage works with. All are required.
type Deps struct {
	Store  Store
	Lapses Lapses
	Now    func() time.Time
	Log    *slog.Logger
}

// Service is triage for every organization. It is safe for concurrent use.
type Service struct {
	d     Deps
	nudge chan struct{} // an acceptance was made that may end before what Run waits for
}

// New returns the service.
func New(d Deps) *Service { return &Service{d: d, nudge: make(chan struct{}, 1)} }

// now is the clock as the database keeps it.
func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

func missing() error { return fault.Missing("finding") }

// Get returns a finding as it stands now, NotFound where there is none.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Finding) (Finding, error) {
	if !uid.Valid(string(id)) {
		return Finding{}, missing()
	}
	f, err := s.d.Store.Finding(ctx, org, id)
	if err == nil && f.lapsed(s.now()) {
		if err = s.settle(ctx, org); err == nil {
			f, err = s.d.Store.Finding(ctx, org, id)
		}
	}
	if err != nil {
		return Finding{}, err
	}
	return f.At(s.now()), nil
}

// List returns one page of findings as they stand now. A limit of 0 is page.DefaultLimit; what is out of bounds or
// unknown is an Invalid fault.
func (s *Service) List(ctx context.Context, org uid.Org, q Query) (List, error) {
	if err := q.check(); err != nil {
		return List{}, err
	}
	if err := s.settle(ctx, org); err != nil {
		return List{}, err
	}
	l, err := s.d.Store.Findings(ctx, org, q)
	if err != nil {
		return List{}, err
	}
	now := s.now()
	for i, f := range l.Items {
		l.Items[i] = f.At(now)
	}
	return l, nil
}

// check completes a query and refuses what can't be asked.
func (q *Query) check() error {
	if q.Sort == "" {
		q.Sort = Worst
	}
	if q.Sort != Worst && q.Sort != Newest && q.Sort != Riskiest {
		return fault.Wrong("sort", "must be severity, newest or risk")
	}
	if q.Page.Limit == 0 {
		q.Page.Limit = page.DefaultLimit
	}
	if q.Page.Limit < 1 || q.Page.Limit > page.MaxLimit {
		return fault.Wrong("limit", "must be from 1 to 100")
	}
	if q.Page.Offset < 0 || q.Page.Offset > page.MaxOffset {
		return fault.Wrong("offset", "must be from 0 to 10,000; use a cursor to go further")
	}
	return q.Filter.check()
}

func (f *Filter) check() error {
	for _, s := range f.Severities {
		if !slices.Contains(finding.Severities(), s) {
			return fault.Wrong("severity", "must be critical, high, medium, low or info")
		}
	}
	for _, s := range f.Statuses {
		if !slices.Contains(finding.Statuses(), s) {
			return fault.Wrong("status", "must be open, confirmed, false_positive, accepted or fixed")
		}
	}
	if f.Host != "" {
		f.Host = finding.CanonicalHost(f.Host)
	}
	f.CVE = strings.ToUpper(f.CVE)
	if q := strings.ToUpper(strings.TrimSpace(f.Q)); f.CVE == "" && isCVE(q) {
		f.CVE, f.Q = q, ""
	}
	return nil
}

// isCVE reports whether s is the whole of a CVE id.
func isCVE(s string) bool {
	year, number, ok := strings.Cut(strings.TrimPrefix(s, "CVE-"), "-")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return ok && strings.HasPrefix(s, "CVE-") && len(year) == 4 && len(number) >= 4 && digits(year) && digits(number)
}

// History returns one page of what happened to a finding, newest first; NotFound where there is none. kinds narrows it;
// none = all.
func (s *Service) History(ctx context.Context, org uid.Org, id uid.Finding, kinds []Kind, p page.Request) (Entries, error) {
	if !uid.Valid(string(id)) {
		return Entries{}, missing()
	}
	return s.d.Store.History(ctx, org, id, kinds, p)
}

// Counts returns how many findings of each severity stand in each status now; all pairs are there.
func (s *Service) Counts(ctx context.Context, org uid.Org) ([]Cell, error) {
	if err := s.settle(ctx, org); err != nil {
		return nil, err
	}
	kept, err := s.d.Store.FindingCounts(ctx, org)
	if err != nil {
		return nil, err
	}
	var out []Cell
	for _, sev := range finding.Severities() {
		for _, status := range finding.Statuses() {
			c := Cell{Severity: sev, Status: status}
			for _, k := range kept {
				if k.Severity == sev && k.Status == status {
					c.N = k.N
				}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// DecideMatching decides on all findings that the filter matches, when they are as many as expected: otherwise a
// Conflict fault says how many there are, and nothing is decided. At most MaxMatched. The findings are decided in units
// of MaxIDs; one that changes between being matched and being decided is an outcome of Result Stale.
func (s *Service) DecideMatching(ctx context.Context, a access.Actor, f Filter, expected int, d Decision) (Decided, error) {
	if _, err := d.checked(s.now()); err != nil {
		return Decided{}, err
	}
	if expected < 1 || expected > MaxMatched {
		return Decided{}, fault.Wrong("expected", "must be from 1 to 10,000")
	}
	targets, err := s.match(ctx, a.Org, f)
	if err != nil {
		return Decided{}, err
	}
	if len(targets) != expected {
		return Decided{}, fault.New(fault.Conflict, fault.CodeConflict,
			"the filter matches "+count(len(targets))+" now, not as many as expected; nothing was decided. Look at the list again")
	}
	out := Decided{Counts: map[Result]int{}}
	for part := range slices.Chunk(targets, MaxIDs) {
		done, _, err := s.decide(ctx, a, part, d, event.FindingsDecided)
		if err != nil {
			return Decided{}, err
		}
		for _, o := range done.Outcomes {
			out.add(o)
		}
	}
	return out, nil
}

// match returns what the filter matches, at most one more than MaxMatched.
func (s *Service) match(ctx context.Context, org uid.Org, f Filter) ([]target, error) {
	var out []target
	q := Query{Filter: f, Page: page.Request{Limit: page.MaxLimit}}
	for len(out) <= MaxMatched {
		l, err := s.List(ctx, org, q)
		if err != nil {
			return nil, err
		}
		for _, found := range l.Items {
			out = append(out, target{found.ID, Guard{Revision: found.Revision}})
		}
		if l.Next.Zero() {
			break
		}
		q.Page.After = l.Next
	}
	return out, nil
}

// Reasons in notices.
const (
	ReasonExpired = "expired" // an acceptance ended
	ReasonTriaged = "triaged" // a person decided
)

// MaxNoticeIDs is how many findings one event names; more make more events.
const MaxNoticeIDs = 100

// Notice is the data of finding.* events that no scan caused: ids, counts and the status decided on.
type Notice struct {
	Status     finding.Status `json:"status"`
	Reason     string         `json:"reason"`
	Count      int            `json:"count"`
	FindingIDs []uid.Finding  `json:"findingIds"`
}

// emit tells of ids in events of at most MaxNoticeIDs. An event is about its finding where there is one, about the
// organization where there are several.
func emit(ctx context.Context, tx Tx, org uid.Org, typ event.Type, ids []uid.Finding, n Notice) error {
	subject := string(org)
	if len(ids) == 1 {
		subject = string(ids[0])
	}
	for part := range slices.Chunk(ids, MaxNoticeIDs) {
		n.Count, n.FindingIDs = len(part), part
		if err := tx.Emit(ctx, typ, subject, n); err != nil {
			return err
		}
	}
	return nil
}
