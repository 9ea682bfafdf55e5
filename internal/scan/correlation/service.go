package correlation

import (
	"context"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of what people do.
const (
	MaxJoined = 100 // findings that one call may put into a case
	MaxReason = 2_000
)

// Deps are what the service needs.
type Deps struct {
	Store Store
	Now   func() time.Time
	IDs   *uid.Source
}

// Service is the cases of organizations, as people read and correct them. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{d} }

// Detail is a case with its findings.
type Detail struct {
	Record

	Reasons  []finding.RiskReason // of its risk, as it is by what is known now; they sum to Risk
	Findings []Standing           // the first MaxShown, the most telling first
	History  []Entry              // newest first
	Looks    []Look               // of engines that looked where the case is since it was first seen, and didn't report it
}

// Get returns a case; NotFound where there is none.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Case) (Detail, error) {
	r, err := s.d.Store.Case(ctx, org, id)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Record: r}
	if d.Findings, err = s.d.Store.CaseMembers(ctx, org, id); err != nil {
		return d, err
	}
	if d.History, err = s.d.Store.CaseHistory(ctx, org, id); err != nil || len(d.Findings) == 0 {
		return d, err
	}
	aliases, err := s.d.Store.Aliases(ctx, org)
	if err != nil {
		return d, err
	}
	d.explain(aliases)
	looks, err := s.d.Store.CaseLooks(ctx, org, hostsOf(d.Findings, aliases), r.FirstSeenAt)
	d.Looks = slices.DeleteFunc(looks, func(l Look) bool {
		return slices.Contains(r.Engines, l.Engine) || !slices.ContainsFunc(d.Findings, func(f Standing) bool { return l.covers(f.Location) })
	})
	return d, err
}

// explain weighs the case by what is known now, and puts the findings that speak for it first.
func (d *Detail) explain(aliases Aliases) {
	for i, f := range d.Findings {
		if r := f.Assess(d.Confidence, aliases); i == 0 || r.Score > d.Risk || d.Reasons == nil {
			d.Reasons, d.Risk = r.Reasons, r.Score
		}
	}
	slices.SortStableFunc(d.Findings, func(a, b Standing) int { return compareMembers(&a.Member, &b.Member) })
}

// hostsOf returns all hosts under which the assets of findings are known.
func hostsOf(list []Standing, aliases Aliases) []string {
	var hosts []string
	for _, f := range list {
		if host := f.Location.Spot().Host; host != "" {
			hosts = append(hosts, host)
			hosts = append(hosts, aliases.Hosts(aliases.Asset(host))...)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// covers reports whether a complete look at the target was one at the place: of a URL the same port and a path below
// it, of a host what is on its ports, and not the pages behind them.
func (l Look) covers(at finding.Location) bool {
	place := at.Spot()
	if !strings.Contains(l.Target, "://") {
		return len(place.Path) < 2 && place.File == ""
	}
	looked := finding.Location{URL: l.Target}.Spot()
	if place.Port != looked.Port {
		return false
	}
	return place.Path == "" || looked.Path == "/" || place.Path == looked.Path || strings.HasPrefix(place.Path, looked.Path+"/")
}

// List returns one page of cases.
func (s *Service) List(ctx context.Context, org uid.Org, q Query) (List, error) {
	q.CVE = strings.ToUpper(strings.TrimSpace(q.CVE))
	if q.Asset != "" {
		aliases, err := s.d.Store.Aliases(ctx, org)
		if err != nil {
			return List{}, err
		}
		q.Asset = aliases.Asset(q.Asset)
	}
	return s.d.Store.Cases(ctx, org, q)
}

// Risk weighs one finding by what is known now: its score and reasons in the case that it is in. false where it wasn't
// correlated yet.
func (s *Service) Risk(ctx context.Context, org uid.Org, f finding.Finding, in uid.Case) (finding.Risk, bool, error) {
	if in == "" {
		return finding.Risk{}, false, nil
	}
	r, err := s.d.Store.Case(ctx, org, in)
	if fault.KindOf(err) == fault.NotFound { // it went into another meanwhile
		return finding.Risk{}, false, nil
	}
	if err != nil {
		return finding.Risk{}, false, err
	}
	aliases, err := s.d.Store.Aliases(ctx, org)
	if err != nil {
		return finding.Risk{}, false, err
	}
	st := Standing{Member: Member{Observation: f.Observation}, Status: f.Status, Intel: f.Intel}
	return st.Assess(r.Confidence, aliases), true, nil
}

// Split takes a finding out of its case, for good: correlation won't put it back. A finding that people had put there
// goes as it came, with what belongs to it. Errors: NotFound where the case or the finding in it isn't there, Conflict
// where the case has no other finding, Invalid for a reason that is too long.
func (s *Service) Split(ctx context.Context, a access.Actor, id uid.Case, f uid.Finding, reason string) (Detail, error) {
	reason, err := checkedReason(reason)
	if err != nil {
		return Detail{}, err
	}
	by := Author{Kind: a.Kind, ID: a.ID}
	err = s.act(ctx, a.Org, subject{id: id, seeds: []uid.Finding{f}, act: event.CaseSplit}, func(c *correction, anchor uid.Finding) error {
		c.in.Keep[id] = anchor
		at, ok := c.finding(f)
		if !ok || at.Case != id {
			return fault.Missing("finding in this case")
		}
		if c.scene.Cases[id].Members < 2 {
			return fault.New(fault.Conflict, fault.CodeConflict, "it is the only finding of the case")
		}
		c.takeOut(f, Pin{Was: id, Reason: reason, By: by, At: c.in.Now})
		c.in.Act = &Entry{Kind: EntrySplit, By: by, Reason: reason}
		return nil
	})
	if err != nil {
		return Detail{}, err
	}
	return s.Get(ctx, a.Org, id)
}

// Join puts into a case the findings of another one, or single findings, for good. Errors: NotFound for a case or
// finding that isn't there, Invalid for a call that names neither, both, or more than MaxJoined.
func (s *Service) Join(ctx context.Context, a access.Actor, id, other uid.Case, list []uid.Finding, reason string) (Detail, error) {
	reason, err := checkedReason(reason)
	if err != nil {
		return Detail{}, err
	}
	switch {
	case (other == "") == (len(list) == 0):
		return Detail{}, fault.Wrong("findingIds", "name findings, or with caseId another case, and not both")
	case other == id:
		return Detail{}, fault.Wrong("caseId", "must be another case")
	case len(list) > MaxJoined:
		return Detail{}, fault.Wrong("findingIds", "must name at most 100 findings")
	}
	by := Author{Kind: a.Kind, ID: a.ID}
	err = s.act(ctx, a.Org, subject{id: id, other: other, seeds: list, act: event.CaseJoined}, func(c *correction, anchor uid.Finding) error {
		pin := Pin{Reason: reason, By: by, At: c.in.Now}
		c.in.Keep[id] = anchor
		c.in.Act = &Entry{Kind: EntryJoined, By: by, Reason: reason}
		if other != "" {
			pin.Finding, pin.Other, pin.Was = c.whole, anchor, other
			c.add(pin)
			return nil
		}
		for _, f := range list {
			if err := c.putIn(f, anchor, id, pin); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Detail{}, err
	}
	return s.Get(ctx, a.Org, id)
}

func checkedReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if len([]rune(reason)) > MaxReason {
		return "", fault.Wrong("reason", "must hold at most 2,000 characters")
	}
	return reason, nil
}

// subject is what a correction is about: a case, another one (empty = none), and single findings.
type subject struct {
	id, other uid.Case
	seeds     []uid.Finding
	act       event.Audit
}

// act gathers the subject, lets do change the pins, and writes what follows. anchor is the finding that stands for the
// case.
func (s *Service) act(ctx context.Context, org uid.Org, on subject, do func(c *correction, anchor uid.Finding) error) error {
	for _, f := range on.seeds {
		if !uid.Valid(string(f)) {
			return fault.Missing("finding")
		}
	}
	aliases, err := s.d.Store.Aliases(ctx, org)
	if err != nil {
		return err
	}
	ev := audit.Event{Type: on.act, Resource: audit.Resource{Kind: "case", ID: string(on.id)}}
	return s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error {
		here, err := tx.CaseFindings(ctx, on.id, MaxShown)
		if err != nil {
			return err
		}
		all := slices.Concat(on.seeds, here)
		c := &correction{in: Setting{
			Aliases: aliases, Now: s.d.Now().UTC().Truncate(time.Microsecond), NewID: func() uid.Case { return uid.Case(s.d.IDs.New()) },
			Keep: map[uid.Case]uid.Finding{},
		}}
		if on.other != "" {
			there, err := tx.CaseFindings(ctx, on.other, 1)
			if err != nil {
				return err
			}
			c.whole = there[0]
			all = append(all, there...)
		}
		if c.scene, err = tx.Gather(ctx, all, aliases); err != nil {
			return err
		}
		anchor := here[0]
		for _, f := range here {
			if !slices.Contains(on.seeds, f) {
				anchor = f
				break
			}
		}
		if err := do(c, anchor); err != nil {
			return err
		}
		return c.write(ctx, tx)
	})
}
