package vex

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// claims are what a document says.
type claims struct {
	format Format
	id     string // the document's own
	author string
	list   []claim
}

// claim is one statement of a document.
type claim struct {
	index         int
	cves          []string
	where         []scope // empty = wherever the vulnerability is
	status        finding.Status
	justification string
	reason        string
	at            time.Time
	silent        bool // it says nothing about the state
}

// scope is a product with its parts.
type scope struct {
	products []target // names of the same product
	parts    []target // any of them; empty = the product as a whole
}

// names reports whether the claim is about a finding's place.
func (c claim) names(at finding.Location) bool {
	if len(c.where) == 0 {
		return true
	}
	return slices.ContainsFunc(c.where, func(s scope) bool {
		fits := func(t target) bool { return t.names(at) }
		return slices.ContainsFunc(s.products, fits) && (len(s.parts) == 0 || slices.ContainsFunc(s.parts, fits))
	})
}

// Options say how a document is taken over.
type Options struct {
	Overwrite bool // also over what a person decided
	DryRun    bool // say what would happen, and do nothing
}

// Why is the reason for which something of a document had no effect.
type Why string

// Reasons.
const (
	NoCVE     Why = "no_cve"    // the statement names no CVE id
	NoState   Why = "no_state"  // the vulnerability has no analysis
	Unmatched Why = "unmatched" // no finding has the CVE id at that place
	Conflicts Why = "conflict"  // a person decided otherwise
	Partial   Why = "partial"   // the finding has further CVE ids, of which the document doesn't say the same
	Changed   Why = "changed"   // the finding was changed meanwhile
)

// Problem is one thing that had no effect.
type Problem struct {
	Statement int // its index in the document
	CVE       string
	Finding   uid.Finding // empty where no finding is meant
	Why       Why
}

// Report is what a document did.
type Report struct {
	Format     Format
	Statements int // that the document holds
	Matched    int // statements that speak of at least one finding
	Unmatched  int // statements that speak of none
	Findings   int // that statements speak of
	Applied    int // findings that were decided on; of a dry run, that would be
	Unchanged  int // findings that stood so already
	Conflicts  int // findings on which a person had decided otherwise
	Partial    int // findings with further CVE ids
	Changed    int // findings that were changed meanwhile
	Problems   []Problem
}

func (r *Report) problem(p Problem) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, p)
	}
}

// Read checks a document to its end and returns its format.
func Read(b []byte) (Format, error) {
	c, err := read(b)
	return c.format, err
}

func read(b []byte) (claims, error) {
	if len(b) > MaxDocument {
		return claims{}, fault.New(fault.Invalid, fault.CodeTooLarge, "the document is larger than 16 MiB")
	}
	var what struct {
		Context json.RawMessage `json:"@context"`
		Format  json.RawMessage `json:"bomFormat"`
	}
	if err := json.Unmarshal(b, &what); err != nil {
		return claims{}, wrong("", "isn't a JSON object").Because(err)
	}
	switch {
	case string(what.Format) == `"CycloneDX"`:
		return readBOM(b)
	case len(what.Context) > 0:
		return readOpenVEX(b)
	}
	return claims{}, wrong("", "is neither OpenVEX (with @context) nor CycloneDX (with bomFormat)")
}

// Import takes a document over: findings are matched by CVE id, and by place where the document names one, and decided
// on as it says. not_affected becomes a false positive, affected a confirmed finding, fixed fixed, and what is under
// investigation open. A finding with several CVE ids is a false positive or fixed only where all of them are. What a
// person decided stays unless o.Overwrite; what an earlier document decided may be changed by a later one. Findings that
// a scan closed stay closed. Errors: Invalid for a document that isn't one, before anything is decided.
func (s *Service) Import(ctx context.Context, a access.Actor, document []byte, o Options) (Report, error) {
	c, err := read(document)
	if err != nil {
		return Report{}, err
	}
	im := &importing{s: s, actor: a, options: o, claims: c, found: map[uid.Finding]*verdict{}}
	im.report = Report{Format: c.format, Statements: len(c.list)}
	if err := im.match(ctx); err != nil {
		return Report{}, err
	}
	groups := im.judge()
	if o.DryRun {
		for _, g := range groups {
			im.report.Applied += len(g.ids)
		}
		return im.report, nil
	}
	if err := im.decide(ctx, groups); err != nil {
		return im.report, err
	}
	ev := audit.Event{Type: event.VEXImported, Reason: fmt.Sprintf("%d statements, %d findings decided on", im.report.Statements, im.report.Applied)}
	return im.report, s.d.Store.Record(ctx, a.Org, ev)
}

// importing is one document being taken over.
type importing struct {
	s       *Service
	actor   access.Actor
	options Options
	claims  claims
	report  Report
	found   map[uid.Finding]*verdict
	order   []uid.Finding
}

// verdict is what a document says of one finding: for each of its CVE ids the claim that counts, the youngest.
type verdict struct {
	finding triage.Finding
	said    map[string]*claim
}

// match finds the findings that claims are about.
func (im *importing) match(ctx context.Context) error {
	about := map[string][]int{} // claims by CVE id
	for i, c := range im.claims.list {
		for _, id := range c.cves {
			if !c.silent {
				about[id] = append(about[id], i)
			}
		}
	}
	ids := make([]string, 0, len(about))
	for id := range about {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	used := make([]bool, len(im.claims.list))
	total := 0
	for part := range slices.Chunk(ids, triage.MaxIDs) {
		pairs, err := im.s.d.Store.FindingsWithCVE(ctx, im.actor.Org, part, maxTouched+1-total)
		if err != nil {
			return err
		}
		if total += len(pairs); total > maxTouched {
			return fault.New(fault.Exhausted, fault.CodeTooLarge, "the document speaks of more than 50,000 findings; split it")
		}
		for some := range slices.Chunk(pairs, batch) {
			if err := im.matchPairs(ctx, some, about, used); err != nil {
				return err
			}
		}
	}
	for i, c := range im.claims.list {
		im.count(c, used[i])
	}
	im.report.Findings = len(im.found)
	return nil
}

// count says what became of one statement.
func (im *importing) count(c claim, used bool) {
	if used {
		im.report.Matched++
		return
	}
	im.report.Unmatched++
	p := Problem{Statement: c.index, Why: Unmatched}
	switch {
	case len(c.cves) == 0:
		p.Why = NoCVE
	case c.silent:
		p.CVE, p.Why = c.cves[0], NoState
	default:
		p.CVE = c.cves[0]
	}
	im.report.problem(p)
}

func (im *importing) matchPairs(ctx context.Context, pairs []Pair, about map[string][]int, used []bool) error {
	found, err := im.s.byID(ctx, im.actor.Org, pairs, nil)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		f, ok := found[p.Finding]
		if !ok {
			continue
		}
		for _, i := range about[p.CVE] {
			c := &im.claims.list[i]
			if !c.names(f.Location) {
				continue
			}
			used[i] = true
			v := im.found[f.ID]
			if v == nil {
				v = &verdict{finding: f.At(im.s.d.Now()), said: map[string]*claim{}}
				im.found[f.ID] = v
				im.order = append(im.order, f.ID)
			}
			if before := v.said[p.CVE]; before == nil || !c.at.Before(before.at) {
				v.said[p.CVE] = c
			}
		}
	}
	return nil
}

// outcome is what all claims together make of a finding; nil where they don't say the same of all its CVE ids.
func (v *verdict) outcome() (c *claim, cve string, whole bool) {
	counts := map[finding.Status]int{}
	by := map[finding.Status]*claim{}
	at := map[finding.Status]string{}
	for _, id := range v.finding.CVE {
		said := v.said[id]
		if said == nil {
			continue
		}
		counts[said.status]++
		if by[said.status] == nil {
			by[said.status], at[said.status] = said, id
		}
	}
	all := len(v.finding.CVE)
	for _, st := range []finding.Status{finding.Confirmed, finding.Open} { // one is enough
		if counts[st] > 0 {
			return by[st], at[st], true
		}
	}
	for _, st := range []finding.Status{finding.Fixed, finding.FalsePositive} {
		if counts[st] > 0 {
			return by[st], at[st], counts[finding.Fixed]+counts[finding.FalsePositive] == all
		}
	}
	return nil, "", false
}

// group is one decision on many findings that stand alike.
type group struct {
	decision triage.Decision
	guard    triage.Guard
	ids      []uid.Finding
	first    *claim
}

// judge decides what is to become of each finding.
func (im *importing) judge() []*group {
	type key struct {
		decision triage.Decision
		status   finding.Status
	}
	groups := map[key]*group{}
	var out []*group
	for _, id := range im.order {
		v := im.found[id]
		c, cve, whole := v.outcome()
		if c == nil {
			continue
		}
		if !whole {
			im.report.Partial++
			im.report.problem(Problem{Statement: c.index, CVE: cve, Finding: id, Why: Partial})
			continue
		}
		d := im.claims.decision(c)
		if settled(v.finding, d) {
			im.report.Unchanged++
			continue
		}
		if !im.mayDecide(v.finding) {
			im.report.Conflicts++
			im.report.problem(Problem{Statement: c.index, CVE: cve, Finding: id, Why: Conflicts})
			continue
		}
		k := key{d, v.finding.Status}
		g := groups[k]
		if g == nil {
			g = &group{decision: d, guard: triage.Guard{Status: v.finding.Status}, first: c}
			groups[k] = g
			out = append(out, g)
		}
		g.ids = append(g.ids, id)
	}
	return out
}

// settled reports whether there is nothing to decide: it stands so already, or a scan no longer sees it, which says more
// than a document.
func settled(f triage.Finding, d triage.Decision) bool {
	return f.Status == d.Status && (f.Ruling == nil || f.Ruling.Justification == d.Justification) ||
		f.Status == finding.Fixed && f.Ruling == nil
}

// mayDecide reports whether no person has decided, or may be overruled.
func (im *importing) mayDecide(f triage.Finding) bool {
	return im.options.Overwrite || f.Ruling == nil || strings.HasPrefix(f.Ruling.Note, noteMark)
}

// noteMark leads the note of decisions that a document made, so that a later one may change them.
const noteMark = "From the VEX document "

// Bounds of texts that come from documents.
const (
	maxReason = 1500
	maxName   = 200
)

// decision is a claim as triage takes it.
func (c claims) decision(k *claim) triage.Decision {
	d := triage.Decision{Status: k.status, Justification: k.justification, Reason: finding.Line(k.reason, maxReason)}
	if d.Status == finding.FalsePositive && d.Reason == "" && d.Justification == "" {
		d.Reason = "A VEX document says that it is not affected."
	}
	d.Note = noteMark + cmp.Or(finding.Line(c.id, maxName), "without an id")
	if author := finding.Line(c.author, maxName); author != "" {
		d.Note += " by " + author
	}
	return d
}

// decide makes the decisions.
func (im *importing) decide(ctx context.Context, groups []*group) error {
	for _, g := range groups {
		for ids := range slices.Chunk(g.ids, triage.MaxIDs) {
			done, err := im.s.d.Decider.DecideGuarded(ctx, im.actor, ids, g.decision, g.guard)
			if err != nil {
				return err
			}
			for _, o := range done.Outcomes {
				switch o.Result {
				case triage.Done:
					im.report.Applied++
				case triage.Unchanged:
					im.report.Unchanged++
				case triage.Absent, triage.Stale:
					im.report.Changed++
					im.report.problem(Problem{Statement: g.first.index, CVE: g.first.cves[0], Finding: o.ID, Why: Changed})
				}
			}
		}
	}
	return nil
}
