// Package comparison puts two scans beside each other: which weaknesses are new, which are gone, which are in both.
//
// Weaknesses are told apart by fingerprint, so that a moved line or a new banner is no news. It only reads, and it never
// calls a weakness fixed: what a scan didn't look at is gone from it too, and the caveats say when that may be so. Start
// with Service.
package comparison

import (
	"bytes"
	"context"
	"sync"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Change is what became of a weakness from the base to the other scan.
type Change string

// Changes, in the order in which they are listed.
const (
	Appeared  Change = "new"
	Gone      Change = "gone"
	Unchanged Change = "unchanged"
)

// Changes lists them in their order.
func Changes() []Change { return []Change{Appeared, Gone, Unchanged} }

// Caveat is a reason why a difference may mean less than it seems.
type Caveat string

// Caveats.
const (
	BaseIncomplete   Caveat = "base_incomplete"   // the base didn't see everything: what is new may have been there before
	OtherIncomplete  Caveat = "other_incomplete"  // the other scan didn't see everything: what is gone may be there still
	DifferentTarget  Caveat = "different_target"  // two places are compared, not two times
	DifferentEngine  Caveat = "different_engine"  // engines know different weaknesses
	DifferentVersion Caveat = "different_version" // a newer engine may know more
	DifferentOptions Caveat = "different_options" // they looked at different parts, or differently
	OtherOlder       Caveat = "other_older"       // the base ran later than the other: new and gone are turned around in time
)

// Text says for people what the caveat means.
func (c Caveat) Text() string {
	switch c {
	case BaseIncomplete:
		return "the base scan is not complete: what is new here may have been there before"
	case OtherIncomplete:
		return "the compared scan is not complete: what is gone here may be there still"
	case DifferentTarget:
		return "the scans have different targets"
	case DifferentEngine:
		return "the scans ran with different engines, which know different weaknesses by different rules"
	case DifferentVersion:
		return "the engine ran in different versions: a newer one may know more"
	case DifferentOptions:
		return "the scans ran with different options, so they may have looked at different parts"
	case OtherOlder:
		return "the compared scan is older than the base: new and gone are turned around in time"
	}
	return ""
}

// Summary counts weaknesses by change and severity.
type Summary struct{ New, Gone, Unchanged finding.Summary }

// Of returns the counts of one change.
func (s Summary) Of(c Change) finding.Summary {
	switch c {
	case Appeared:
		return s.New
	case Gone:
		return s.Gone
	case Unchanged:
		return s.Unchanged
	}
	return finding.Summary{}
}

// Item is one weakness, as the other scan saw it, or the base where it is gone.
type Item struct {
	scan.Result

	Change Change
}

// Query filters a comparison. Empty fields don't filter.
type Query struct {
	Change   Change
	Severity finding.Severity
	Page     page.Request // After.ID is the change that After.Sort, a position, lies in
}

// List is one page: new weaknesses first, then gone, then unchanged ones, each worst first.
type List struct {
	Items []Item
	Total page.Total
	Next  page.Key
}

// Pair are two scans that have ended, with what to bear in mind when they are compared.
type Pair struct {
	Base, Other scan.Scan
	Summary     Summary
	Caveats     []Caveat
}

// Side is one weakness list to be read: those of Scan that Than has too (Shared) or lacks.
type Side struct {
	Scan, Than uid.Scan
	Shared     bool
	Severity   finding.Severity
	After      int64 // position of the last one seen; -1 = from the start
	Offset     int   // how many to skip after that
	Limit      int
}

// Store is what comparisons need of a database, scoped to org; another organization's scan is a NotFound fault.
type Store interface {
	Scan(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error)
	// Weaknesses returns what a side holds, worst first, each once by its worst place; more says whether there are further
	// ones.
	Weaknesses(ctx context.Context, org uid.Org, side Side) (found []scan.Result, more bool, err error)
	// Counted counts the weaknesses of one scan by severity: those that the other has too, and those that it lacks.
	Counted(ctx context.Context, org uid.Org, id, than uid.Scan) (shared, only finding.Summary, err error)
}

// maxKept bounds how many summaries are remembered; when there are more, all are forgotten.
const maxKept = 512

// Service compares scans. It is safe for concurrent use.
type Service struct {
	store Store

	mu   sync.Mutex
	kept map[pairKey]Summary
}

type pairKey struct {
	org         uid.Org
	base, other uid.Scan
}

// New returns the service.
func New(store Store) *Service { return &Service{store: store, kept: map[pairKey]Summary{}} }

// Pair reads the two scans and counts. A scan that isn't there is a NotFound fault, one that hasn't ended a Conflict of
// code RESULTS_NOT_READY, a scan beside itself Invalid.
func (s *Service) Pair(ctx context.Context, org uid.Org, base, other uid.Scan) (Pair, error) {
	var p Pair
	if !uid.Valid(string(base)) || !uid.Valid(string(other)) {
		return p, fault.Missing("scan")
	}
	if base == other {
		return p, fault.Wrong("with", "must be another scan")
	}
	var err error
	for _, side := range []struct {
		id uid.Scan
		to *scan.Scan
	}{{base, &p.Base}, {other, &p.Other}} {
		if *side.to, err = s.store.Scan(ctx, org, side.id); err != nil {
			return p, err
		}
		if err := side.to.Ready(); err != nil {
			return p, err
		}
	}
	p.Caveats = caveats(p.Base, p.Other)
	p.Summary, err = s.count(ctx, p)
	return p, err
}

// caveats says what makes the difference of two scans mean less.
func caveats(base, other scan.Scan) []Caveat {
	var out []Caveat
	note := func(c Caveat, when bool) {
		if when {
			out = append(out, c)
		}
	}
	note(BaseIncomplete, base.Outcome != engine.Complete)
	note(OtherIncomplete, other.Outcome != engine.Complete)
	note(DifferentTarget, base.Target != other.Target)
	note(DifferentEngine, base.Engine != other.Engine)
	if base.Engine == other.Engine {
		note(DifferentVersion, base.Version != other.Version)
		note(DifferentOptions, !bytes.Equal(base.Options, other.Options))
	}
	note(OtherOlder, other.CreatedAt.Before(base.CreatedAt))
	return out
}

// count counts once: what a scan has found doesn't change after its end. A cancelled scan's worker may still be writing
// its last results, so that one is counted each time.
func (s *Service) count(ctx context.Context, p Pair) (Summary, error) {
	key := pairKey{p.Base.Org, p.Base.ID, p.Other.ID}
	s.mu.Lock()
	known, ok := s.kept[key]
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	var sum Summary
	var err error
	if sum.Unchanged, sum.New, err = s.store.Counted(ctx, p.Base.Org, p.Other.ID, p.Base.ID); err != nil {
		return sum, err
	}
	if _, sum.Gone, err = s.store.Counted(ctx, p.Base.Org, p.Base.ID, p.Other.ID); err != nil {
		return sum, err
	}
	if p.Base.Status == scan.Cancelled || p.Other.Status == scan.Cancelled {
		return sum, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= maxKept {
		clear(s.kept)
	}
	s.kept[key] = sum
	return sum, nil
}

// List returns one page of a pair's weaknesses.
func (s *Service) List(ctx context.Context, p Pair, q Query) (List, error) {
	limit := q.Page.Limit
	if limit <= 0 || limit > page.MaxLimit {
		limit = page.DefaultLimit
	}
	var out List
	for _, side := range p.sides(q) {
		if len(out.Items) > limit {
			break
		}
		side.Limit = limit + 1 - len(out.Items)
		found, _, err := s.store.Weaknesses(ctx, p.Base.Org, side.Side)
		if err != nil {
			return List{}, err
		}
		for _, r := range found {
			out.Items = append(out.Items, Item{Result: r, Change: side.change})
		}
	}
	if len(out.Items) > limit {
		out.Items = out.Items[:limit]
		last := out.Items[limit-1]
		out.Next = page.Key{Sort: position(last.Result), ID: string(last.Change)}
	}
	if n := p.total(q); q.Page.WantTotal {
		out.Total = page.Total{N: min(n, page.CountCap), Known: true, Capped: n > page.CountCap}
	}
	return out, nil
}

// position is a result's place in its scan, as the store sorts: worst first, then as parsed.
func position(r scan.Result) int64 { return int64(r.Severity.Rank())<<32 | int64(r.Ordinal) }

// section is the part of a list that one change fills.
type section struct {
	Side

	change Change
}

// sides are the sections that a query reads, without those that are empty or lie before its beginning.
func (p Pair) sides(q Query) []section {
	var out []section
	after, offset := q.Page.After, q.Page.Offset
	begun := after.Zero()
	for _, c := range Changes() {
		side := Side{Scan: p.Other.ID, Than: p.Base.ID, Shared: c == Unchanged, Severity: q.Severity, After: -1}
		if c == Gone {
			side.Scan, side.Than = p.Base.ID, p.Other.ID
		}
		if !begun && after.ID == string(c) {
			begun, side.After, offset = true, after.Sort, 0
		}
		holds := count(p.Summary.Of(c), q.Severity)
		if !begun || (q.Change != "" && q.Change != c) || holds == 0 {
			continue
		}
		if offset >= holds {
			offset -= holds
			continue
		}
		side.Offset, offset = offset, 0
		out = append(out, section{side, c})
	}
	return out
}

// total is how many weaknesses match.
func (p Pair) total(q Query) int {
	n := 0
	for _, c := range Changes() {
		if q.Change == "" || q.Change == c {
			n += count(p.Summary.Of(c), q.Severity)
		}
	}
	return n
}

func count(s finding.Summary, severity finding.Severity) int {
	switch severity {
	case finding.Critical:
		return s.Critical
	case finding.High:
		return s.High
	case finding.Medium:
		return s.Medium
	case finding.Low:
		return s.Low
	case finding.Info:
		return s.Info
	}
	return s.Total
}

// batch is how many weaknesses Each holds at once.
const batch = 100

// Each streams all weaknesses that match, in order, without holding them; it stops with f's error.
func (s *Service) Each(ctx context.Context, p Pair, q Query, f func(Item) error) error {
	for _, side := range p.sides(q) {
		side.Limit = batch
		for more := true; more; side.Offset = 0 {
			var found []scan.Result
			var err error
			if found, more, err = s.store.Weaknesses(ctx, p.Base.Org, side.Side); err != nil {
				return err
			}
			for _, r := range found {
				if err := f(Item{Result: r, Change: side.change}); err != nil {
					return err
				}
				side.After = position(r)
			}
		}
	}
	return nil
}
