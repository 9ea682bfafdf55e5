package correlation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// shelf keeps cases of one organization in memory.
type shelf struct {
	scene   correlation.Scene
	entries []correlation.Entry
	aliases correlation.Aliases
	next    int
}

func newShelf(members []correlation.Member) *shelf {
	s := &shelf{scene: correlation.Scene{Cases: map[uid.Case]correlation.Record{}}, aliases: names()}
	for i, m := range members {
		s.scene.Findings = append(s.scene.Findings, correlation.Standing{
			Member: m, Finding: findingID(i), Status: finding.Open, Risk: -1,
			FirstSeenAt: at0.Add(time.Duration(i) * time.Hour), LastSeenAt: at0.Add(100 * time.Hour),
		})
	}
	return s
}

var at0 = time.Date(2026, 3, 6, 10, 0, 0, 0, time.UTC)

func findingID(i int) uid.Finding {
	return uid.Finding(fmt.Sprintf("0190f000-0000-7000-8000-%012d", i))
}

func (s *shelf) newID() uid.Case {
	s.next++
	return uid.Case(fmt.Sprintf("0190c000-0000-7000-8000-%012d", s.next))
}

func (s *shelf) put(p correlation.Plan) {
	for _, c := range p.Cases {
		s.scene.Cases[c.ID] = c
	}
	for _, f := range p.Findings {
		i := slices.IndexFunc(s.scene.Findings, func(have correlation.Standing) bool { return have.Finding == f.Finding })
		f.Keyed = f.Keys
		s.scene.Findings[i] = f
	}
	s.entries = append(s.entries, p.Entries...)
}

// arrange runs correlation by itself and returns what it changed.
func (s *shelf) arrange() correlation.Plan {
	p := correlation.Arrange(s.scene, correlation.Setting{Aliases: s.aliases, Now: at0, NewID: s.newID})
	s.put(p)
	return p
}

// cases are the ids of findings that are together, whatever the ids of their cases.
func (s *shelf) cases() []string {
	by := map[uid.Case][]string{}
	for _, f := range s.scene.Findings {
		by[f.Case] = append(by[f.Case], string(f.Finding)[30:])
	}
	var out []string
	for _, list := range by {
		slices.Sort(list)
		out = append(out, strings.Join(list, "+"))
	}
	slices.Sort(out)
	return out
}

// check fails where a case isn't what its findings make it.
func (s *shelf) check(t interface{ Fatalf(string, ...any) }) {
	members := map[uid.Case]int{}
	for _, f := range s.scene.Findings {
		members[f.Case]++
	}
	for id, c := range s.scene.Cases {
		if members[id] != c.Members || (c.Members == 0) != (c.Status == correlation.CaseMerged) {
			t.Fatalf("%s says %d findings and %s, and has %d", id, c.Members, c.Status, members[id])
		}
	}
	if len(members) > len(s.scene.Cases) {
		t.Fatalf("findings are in %d cases, of which %d are kept", len(members), len(s.scene.Cases))
	}
}

func TestArrangingWhatWasArrangedChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(anyMembers(t))
		s.arrange()
		s.check(t)
		s.scene.Findings = rapid.Permutation(s.scene.Findings).Draw(t, "order")
		if p := s.arrange(); !p.Empty() {
			t.Fatalf("a second look changes %+v", p)
		}
	})
}

func TestCasesAreTheSameHoweverFindingsCameIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t)
		whole := newShelf(members)
		whole.arrange()
		parts := newShelf(members)
		all := parts.scene.Findings
		parts.scene.Findings = nil
		for _, f := range rapid.Permutation(all).Draw(t, "order") {
			parts.scene.Findings = append(parts.scene.Findings, f)
			parts.arrange()
			parts.check(t)
		}
		if diff := cmp.Diff(whole.cases(), parts.cases()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// The shelf is also the store of a service, so that what people do is tried as they do it.

func (s *shelf) Case(_ context.Context, _ uid.Org, id uid.Case) (correlation.Record, error) {
	c, ok := s.scene.Cases[id]
	if !ok {
		return c, fault.Missing("case")
	}
	return c, nil
}

func (s *shelf) Cases(context.Context, uid.Org, correlation.Query) (correlation.List, error) {
	return correlation.List{Items: slices.Collect(maps.Values(s.scene.Cases))}, nil
}

func (s *shelf) CaseMembers(ctx context.Context, _ uid.Org, id uid.Case) ([]correlation.Standing, error) {
	var out []correlation.Standing
	for _, f := range s.scene.Findings {
		if f.Case == id {
			out = append(out, f)
		}
	}
	return out, ctx.Err()
}

func (s *shelf) CaseHistory(context.Context, uid.Org, uid.Case) ([]correlation.Entry, error) {
	return s.entries, nil
}

func (s *shelf) CaseLooks(context.Context, uid.Org, []string, time.Time) ([]correlation.Look, error) {
	return []correlation.Look{
		{Engine: "nikto", Target: "http://h.example/"},
		{Engine: "wapiti", Target: "http://h.example:8080/"},
		{Engine: "nuclei", Target: "http://h.example/b"},
		{Engine: "sqlmap", Target: "h.example"},
		{Engine: "zap", Target: "h.example"},
	}, nil
}

func (s *shelf) Aliases(context.Context, uid.Org) (correlation.Aliases, error) { return s.aliases, nil }

func (s *shelf) Change(ctx context.Context, _ uid.Org, _ audit.Event, unit func(context.Context, correlation.Tx) error) error {
	return unit(ctx, shelfTx{s})
}

// shelfTx is a unit on the shelf.
type shelfTx struct{ s *shelf }

func (t shelfTx) Gather(context.Context, []uid.Finding, correlation.Aliases) (correlation.Scene, error) {
	scene := t.s.scene
	scene.Findings, scene.Pins, scene.Cases = slices.Clone(scene.Findings), slices.Clone(scene.Pins), maps.Clone(scene.Cases)
	return scene, nil
}

func (t shelfTx) CaseFindings(ctx context.Context, id uid.Case, limit int) ([]uid.Finding, error) {
	list, err := t.s.CaseMembers(ctx, "", id)
	if err != nil || len(list) == 0 {
		return nil, errors.Join(err, fault.Missing("case"))
	}
	var out []uid.Finding
	for _, f := range list[:min(len(list), limit)] {
		out = append(out, f.Finding)
	}
	slices.Sort(out)
	return out, nil
}

func (t shelfTx) PutPins(_ context.Context, pins []correlation.Pin) error {
	t.s.scene.Pins = append(t.s.scene.Pins, pins...)
	return nil
}

func (t shelfTx) DropPins(_ context.Context, pins []correlation.Pin) error {
	t.s.scene.Pins = slices.DeleteFunc(t.s.scene.Pins, func(p correlation.Pin) bool {
		return slices.ContainsFunc(pins, func(gone correlation.Pin) bool { return p.Finding == gone.Finding && p.Other == gone.Other })
	})
	return nil
}

func (t shelfTx) PutPlan(_ context.Context, p correlation.Plan) error {
	t.s.put(p)
	return nil
}

func (t shelfTx) Emit(context.Context, event.Type, string, any) error { return nil }

func (s *shelf) service() *correlation.Service {
	return correlation.New(correlation.Deps{Store: s, Now: func() time.Time { return at0 }, IDs: uid.NewSource(func() time.Time { return at0 }, strings.NewReader(strings.Repeat("x", 1<<16)))})
}

func somebody() access.Actor {
	return access.Actor{Org: "0190aaaa-0000-7000-8000-00000000000a", Kind: audit.ActorUser, ID: "u"}
}

func TestWhatPeopleSplitAndJoinHoldsAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(anyMembers(t))
		if len(s.scene.Findings) < 2 {
			return
		}
		s.arrange()
		before := s.cases()
		f := rapid.SampledFrom(s.scene.Findings).Draw(t, "finding")
		other := rapid.SampledFrom(s.scene.Findings).Draw(t, "other")
		ctx, service := context.Background(), s.service()
		switch {
		case f.Case != other.Case: // joined, and parted again
			if _, err := service.Join(ctx, somebody(), other.Case, f.Case, nil, "because"); err != nil {
				t.Fatal(err)
			}
			s.check(t)
			held := s.cases()
			if p := s.arrange(); !p.Empty() {
				t.Fatalf("correlation overrules a person: %+v", p)
			}
			if len(held) != len(before)-1 {
				t.Fatalf("%q became %q", before, held)
			}
			if _, err := service.Split(ctx, somebody(), other.Case, f.Finding, ""); err != nil {
				t.Fatal(err)
			}
		case s.scene.Cases[f.Case].Members > 1: // parted, and joined again
			if _, err := service.Split(ctx, somebody(), f.Case, f.Finding, "because"); err != nil {
				t.Fatal(err)
			}
			s.check(t)
			if p := s.arrange(); !p.Empty() {
				t.Fatalf("correlation overrules a person: %+v", p)
			}
			if !slices.Contains(s.cases(), string(f.Finding)[30:]) {
				t.Fatalf("%s isn't alone: %q", f.Finding, s.cases())
			}
			if _, err := service.Join(ctx, somebody(), f.Case, "", []uid.Finding{f.Finding}, ""); err != nil {
				t.Fatal(err)
			}
		}
		s.check(t)
		if diff := cmp.Diff(before, s.cases()); diff != "" {
			t.Fatal(diff)
		}
		if len(s.scene.Pins) != 0 {
			t.Fatalf("left behind: %+v", s.scene.Pins)
		}
	})
}

func TestAnyCorrectionsLeaveCasesWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(anyMembers(t))
		if len(s.scene.Findings) < 2 {
			return
		}
		s.arrange()
		ctx, service := context.Background(), s.service()
		for range rapid.IntRange(1, 6).Draw(t, "acts") {
			f := rapid.SampledFrom(s.scene.Findings).Draw(t, "finding")
			other := rapid.SampledFrom(s.scene.Findings).Draw(t, "other")
			// The findings above are as they were drawn; the shelf has them as they are.
			i := slices.IndexFunc(s.scene.Findings, func(x correlation.Standing) bool { return x.Finding == f.Finding })
			f = s.scene.Findings[i]
			switch rapid.IntRange(0, 2).Draw(t, "act") {
			case 0:
				_, err := service.Split(ctx, somebody(), f.Case, f.Finding, "")
				if err == nil && slices.ContainsFunc(s.scene.Findings, func(x correlation.Standing) bool { return x.Finding == f.Finding && x.Case == f.Case }) {
					t.Fatalf("%s is still in its case", f.Finding)
				}
			case 1:
				_, _ = service.Join(ctx, somebody(), other.Case, f.Case, nil, "")
			case 2:
				if _, err := service.Join(ctx, somebody(), other.Case, "", []uid.Finding{f.Finding}, ""); err == nil {
					same := map[uid.Case]bool{}
					for _, x := range s.scene.Findings {
						if x.Finding == f.Finding || x.Finding == other.Finding {
							same[x.Case] = true
						}
					}
					if len(same) != 1 {
						t.Fatalf("%s and %s aren't together", f.Finding, other.Finding)
					}
				}
			}
			s.check(t)
			if p := s.arrange(); !p.Empty() {
				t.Fatalf("correlation overrules a person: %+v", p)
			}
		}
	})
}

func TestACaseIsFixedWhenAllItsFindingsAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   []finding.Status
		want correlation.Status
	}{
		{[]finding.Status{finding.Fixed, finding.Fixed}, correlation.CaseFixed},
		{[]finding.Status{finding.Fixed, finding.FalsePositive}, correlation.CaseFixed},
		{[]finding.Status{finding.FalsePositive}, correlation.CaseFalsePositive},
		{[]finding.Status{finding.Fixed, finding.Open}, correlation.CaseOpen},
		{[]finding.Status{finding.Fixed, finding.Accepted}, correlation.CaseAccepted},
		{[]finding.Status{finding.Open, finding.Confirmed}, correlation.CaseConfirmed},
	} {
		if got := correlation.StatusOf(tt.in); got != tt.want {
			t.Errorf("%v make %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestOnlyALookAtThePlaceIsSilence(t *testing.T) {
	t.Parallel()
	s := newShelf([]correlation.Member{seen("a", "zap", "40018", finding.Observation{
		Title: "a", Category: finding.CategoryVulnerability, CWE: []int{89}, Location: at("http://h.example/a", "p"),
	})})
	s.arrange()
	d, err := s.service().Get(context.Background(), somebody().Org, s.scene.Findings[0].Case)
	if err != nil {
		t.Fatal(err)
	}
	var engines []string
	for _, l := range d.Looks {
		engines = append(engines, l.Engine)
	}
	// Another port, another path, a look at ports and the engine that saw it are no silence.
	if diff := cmp.Diff([]string{"nikto"}, engines); diff != "" {
		t.Error(diff)
	}
}

func TestListsAreAskedForByAnyNameOfAnAsset(t *testing.T) {
	t.Parallel()
	l, err := newShelf(nil).service().List(context.Background(), somebody().Org, correlation.Query{Asset: "192.0.2.7", Page: page.Request{Limit: 1}})
	if err != nil || len(l.Items) != 0 {
		t.Errorf("%v, %v", l, err)
	}
}
