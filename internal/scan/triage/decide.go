package triage

import (
	"context"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Result is what became of one finding of a decision.
type Result string

// Results.
const (
	Done      Result = "decided"
	Unchanged Result = "unchanged" // this very decision is in force already
	Absent    Result = "not_found" // it isn't there, or belongs to another organization
	Stale     Result = "conflict"  // somebody, or a scan, changed it meanwhile
)

// Outcome is the result for one finding. Status is where it stands now, empty where it is absent.
type Outcome struct {
	ID     uid.Finding
	Result Result
	Status finding.Status
}

// Decided is the result of a decision on several findings, in the order in which they were named.
type Decided struct {
	Outcomes []Outcome
	Counts   map[Result]int
}

func (d *Decided) add(o Outcome) {
	d.Outcomes = append(d.Outcomes, o)
	d.Counts[o.Result]++
}

// Guard is what a caller believes of a finding; where it stands otherwise nothing is decided. Zero fields don't guard.
type Guard struct {
	Revision int64
	Status   finding.Status
}

func (g Guard) fits(f Finding) bool {
	return (g.Revision == 0 || g.Revision == f.Revision) && (g.Status == "" || g.Status == f.Status)
}

// target is a finding to be decided on.
type target struct {
	id    uid.Finding
	guard Guard
}

// checked returns the decision in the form that is kept, an Invalid fault where it can't be made at now.
func (d Decision) checked(now time.Time) (Decision, error) {
	var err error
	if d.Reason, err = asset.ParseNote("reason", strings.TrimSpace(d.Reason)); err != nil {
		return d, err
	}
	if d.Note, err = asset.ParseNote("note", strings.TrimSpace(d.Note)); err != nil {
		return d, err
	}
	d.Until = d.Until.UTC().Truncate(time.Microsecond)
	if d.Status != finding.Accepted && !d.Until.IsZero() {
		return d, fault.Wrong("until", "belongs to accepted alone")
	}
	if d.Status != finding.FalsePositive && d.Justification != "" {
		return d, fault.Wrong("justification", "belongs to false_positive alone")
	}
	if d.Justification != "" && !slices.Contains(Justifications(), d.Justification) {
		return d, fault.Wrong("justification", "must be one of "+strings.Join(Justifications(), ", "))
	}
	switch d.Status {
	case finding.Open, finding.Confirmed, finding.Fixed:
		return d, nil
	case finding.FalsePositive:
		if d.Reason == "" && d.Justification == "" {
			return d, fault.Wrong("reason", "is required for false_positive: say why it is none, or give a justification")
		}
		return d, nil
	case finding.Accepted:
		return d, d.checkAcceptance(now)
	}
	return d, fault.Wrong("status", "must be open, confirmed, false_positive, accepted or fixed")
}

func (d Decision) checkAcceptance(now time.Time) error {
	switch {
	case d.Reason == "":
		return fault.Wrong("reason", "is required for accepted: say why the risk is carried")
	case d.Until.IsZero():
		return fault.Wrong("until", "is required for accepted: say when it is looked at again")
	case !d.Until.After(now):
		return fault.Wrong("until", "must lie in the future")
	case d.Until.After(now.AddDate(MaxYears, 0, 0)):
		return fault.Wrong("until", "may be at most two years ahead")
	}
	return nil
}

// decide makes d of a finding that stands as of now, and returns what enters the history; nil where nothing changes.
func (f *Finding) decide(d Decision, by Author, now time.Time) *Entry {
	if f.says(d) {
		return nil
	}
	e := &Entry{Seq: f.Entries + 1, At: now, Kind: KindDecided, From: f.Status, To: d.Status, By: by, Decision: d}
	f.Entries, f.Revision = e.Seq, e.Seq
	f.Ruling = &Ruling{Decision: d, By: by, At: now, Before: f.Status}
	switch {
	case d.Status == finding.Open:
		f.Ruling = nil // what is open waits for a decision
		f.FixedAt = time.Time{}
	case d.Status != finding.Fixed:
		f.FixedAt = time.Time{}
	case f.Status != finding.Fixed:
		f.FixedAt = now
	}
	if !d.Status.Human() {
		f.NotSeenSince = time.Time{}
	}
	f.Status = d.Status
	return e
}

// says reports whether d is in force already.
func (f *Finding) says(d Decision) bool {
	if f.Status != d.Status {
		return false
	}
	if f.Ruling == nil {
		return d.Reason == "" && d.Note == "" && !d.Status.Human()
	}
	r := f.Ruling.Decision
	same := r.Reason == d.Reason && r.Justification == d.Justification && r.Note == d.Note
	return same && r.Until.Equal(d.Until)
}

// lapse opens a finding whose acceptance has ended by now, and returns what enters the history; nil where none did.
func (f *Finding) lapse(now time.Time) *Entry {
	if !f.lapsed(now) {
		return nil
	}
	e := &Entry{
		Seq: f.Entries + 1, At: now, Kind: KindExpired, From: f.Status, To: finding.Open,
		By: Author{Kind: audit.ActorSystem, ID: "system"}, Decision: f.Ruling.Decision,
	}
	f.Entries, f.Revision = e.Seq, e.Seq
	f.Status, f.Ruling, f.NotSeenSince = finding.Open, nil, time.Time{}
	return e
}

// Decide makes one decision on at most MaxIDs findings, all in one unit. Unknown ids are outcomes, not errors; naming
// one twice counts once. Errors: Invalid for a decision that can't be made.
func (s *Service) Decide(ctx context.Context, a access.Actor, ids []uid.Finding, d Decision) (Decided, error) {
	return s.DecideGuarded(ctx, a, ids, d, Guard{})
}

// DecideGuarded is Decide for findings that stand as the guard says; others are outcomes of Result Stale.
func (s *Service) DecideGuarded(ctx context.Context, a access.Actor, ids []uid.Finding, d Decision, g Guard) (Decided, error) {
	if len(ids) == 0 || len(ids) > MaxIDs {
		return Decided{}, fault.Wrong("ids", "must name from 1 to 500 findings")
	}
	targets := make([]target, 0, len(ids))
	seen := map[uid.Finding]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			targets = append(targets, target{id, g})
		}
	}
	out, _, err := s.decide(ctx, a, targets, d, event.FindingsDecided)
	return out, err
}

// DecideOne decides on one finding and returns it as it is now. NotFound where there is none, Conflict where it stands
// otherwise than the guard says.
func (s *Service) DecideOne(ctx context.Context, a access.Actor, id uid.Finding, d Decision, g Guard) (Finding, error) {
	out, held, err := s.decide(ctx, a, []target{{id, g}}, d, event.FindingDecided)
	if err != nil {
		return Finding{}, err
	}
	switch out.Outcomes[0].Result {
	case Absent:
		return Finding{}, missing()
	case Stale:
		return Finding{}, fault.New(fault.Conflict, fault.CodeConflict,
			"the finding was changed meanwhile; read it again and decide on what it is now")
	case Done, Unchanged:
	}
	return held[id], nil
}

// decide runs one decision on targets without duplicates, at most MaxIDs, and returns the findings that were held, as
// they are now.
func (s *Service) decide(ctx context.Context, a access.Actor, targets []target, d Decision, act event.Audit) (Decided, map[uid.Finding]Finding, error) {
	now := s.now()
	d, err := d.checked(now)
	if err != nil {
		return Decided{}, nil, err
	}
	var out Decided
	var held map[uid.Finding]Finding
	ev := audit.Event{Type: act, Resource: audit.Resource{Kind: "finding"}, Reason: string(d.Status)}
	if len(targets) == 1 && uid.Valid(string(targets[0].id)) {
		ev.Resource.ID = string(targets[0].id)
	} else {
		ev.Bulk = true
	}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		j := judgement{d: d, by: Author{Kind: a.Kind, ID: a.ID}, now: now, held: map[uid.Finding]Finding{}}
		if err := j.hold(ctx, tx, targets); err != nil {
			return err
		}
		for _, t := range targets {
			j.pass(t)
		}
		out, held = j.out, j.held
		if len(j.changes) == 0 {
			return nil
		}
		if err := tx.PutTriage(ctx, j.changes); err != nil {
			return err
		}
		return j.tell(ctx, tx, a.Org)
	})
	if err != nil {
		return Decided{}, nil, err
	}
	if d.Status == finding.Accepted {
		s.wake()
	}
	return out, held, nil
}

// judgement is one unit of deciding.
type judgement struct {
	d   Decision
	by  Author
	now time.Time

	held    map[uid.Finding]Finding
	out     Decided
	changes []Change
	lapsed  []uid.Finding // those whose acceptance had ended before
	decided []uid.Finding
	fixed   []uid.Finding
	back    []uid.Finding // fixed, and open again
}

func (j *judgement) hold(ctx context.Context, tx Tx, targets []target) error {
	j.out.Counts = map[Result]int{}
	ids := make([]uid.Finding, 0, len(targets))
	for _, t := range targets {
		if uid.Valid(string(t.id)) {
			ids = append(ids, t.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	list, err := tx.FindingsForUpdate(ctx, ids)
	for _, f := range list {
		j.held[f.ID] = f
	}
	return err
}

// pass decides on one finding.
func (j *judgement) pass(t target) {
	f, ok := j.held[t.id]
	if !ok {
		j.out.add(Outcome{ID: t.id, Result: Absent})
		return
	}
	if !t.guard.fits(f.At(j.now)) {
		j.out.add(Outcome{ID: t.id, Result: Stale, Status: f.At(j.now).Status})
		return
	}
	c := Change{Before: f.Status}
	if e := f.lapse(j.now); e != nil {
		c.Entries = append(c.Entries, *e)
		j.lapsed = append(j.lapsed, f.ID)
	}
	result := Unchanged
	if e := f.decide(j.d, j.by, j.now); e != nil {
		result = Done
		c.Entries = append(c.Entries, *e)
		j.note(*e, f.ID)
	}
	if c.After = f; len(c.Entries) > 0 {
		j.changes = append(j.changes, c)
	}
	j.held[f.ID] = f
	j.out.add(Outcome{ID: t.id, Result: result, Status: f.Status})
}

func (j *judgement) note(e Entry, id uid.Finding) {
	j.decided = append(j.decided, id)
	switch {
	case e.From != finding.Fixed && e.To == finding.Fixed:
		j.fixed = append(j.fixed, id)
	case e.From == finding.Fixed && e.To != finding.Fixed:
		j.back = append(j.back, id)
	}
}

// tell emits what others want to know.
func (j *judgement) tell(ctx context.Context, tx Tx, org uid.Org) error {
	for _, n := range []struct {
		typ event.Type
		ids []uid.Finding
		why string
	}{
		{event.FindingReopened, j.lapsed, ReasonExpired},
		{event.FindingTriaged, j.decided, ReasonTriaged},
		{event.FindingFixed, j.fixed, ReasonTriaged},
		{event.FindingReopened, j.back, ReasonTriaged},
	} {
		if err := emit(ctx, tx, org, n.typ, n.ids, Notice{Status: j.d.Status, Reason: n.why}); err != nil {
			return err
		}
	}
	return nil
}
