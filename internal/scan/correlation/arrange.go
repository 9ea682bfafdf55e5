package correlation

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/uid"
)

// Scene is what Arrange decides on: whole cases, never parts of one.
type Scene struct {
	Findings []Standing
	Cases    map[uid.Case]Record // those that the findings are in
	Pins     []Pin
}

// Plan is what must be written so that the findings of a scene are in the right cases. An empty one changes nothing.
type Plan struct {
	Cases    []Record
	Findings []Standing // with case, keys, belief and risk as they are to be
	Entries  []Entry
}

// Empty reports whether there is nothing to write.
func (p Plan) Empty() bool { return len(p.Cases) == 0 && len(p.Findings) == 0 && len(p.Entries) == 0 }

// Setting is what Arrange is told beside the scene.
type Setting struct {
	Aliases Aliases
	Now     time.Time
	NewID   func() uid.Case
	// Keep says which case goes with which finding where a case comes apart or several meet, before any other rule.
	Keep map[uid.Case]uid.Finding
	// Act is what a person did, for the history; nil where correlation runs by itself.
	Act *Entry
}

// Arrange puts the findings of a scene into cases, by Group and by what people pinned, and returns what changes. It is
// pure but for NewID. The same scene gives the same plan in whatever order it comes, and a scene that was arranged gives
// an empty one.
//
// A case keeps its id where its findings go: with the set that Keep names, else the one that holds most of its findings,
// else the one with the oldest. Where several cases meet, the largest remains, then the oldest, and the others say
// where they went.
func Arrange(s Scene, in Setting) Plan {
	sets := s.sets(in.Aliases)
	ids := in.identify(sets)
	var p Plan
	history := map[uid.Case]*turnover{}
	for i := range sets {
		sets[i].settle(ids[i], in, &p, history)
	}
	p.close(s, in, history, ids)
	slices.SortFunc(p.Cases, func(a, b Record) int { return strings.Compare(string(a.ID), string(b.ID)) })
	slices.SortFunc(p.Findings, func(a, b Standing) int { return strings.Compare(string(a.Finding), string(b.Finding)) })
	return p
}

// bunch is the findings of one case to be.
type bunch struct {
	groups  []Case // of correlation; more than one where people joined them
	members []*Standing
	beliefs map[uid.Finding]Belief
	cases   map[uid.Case]int // in which its findings are now, and how many
	records map[uid.Case]Record
}

// oldest is the finding that was found first, by which bunches are told apart.
func (b *bunch) oldest() uid.Finding { return b.members[0].Finding }

// sets forms the bunches: groups of what isn't set apart, joined by people's links.
func (s Scene) sets(aliases Aliases) []bunch {
	standing := make(map[string]*Standing, len(s.Findings))
	apart := map[uid.Finding]Pin{}
	for i := range s.Findings {
		standing[string(s.Findings[i].Finding)] = &s.Findings[i]
	}
	for _, p := range s.Pins {
		if p.Other == "" {
			apart[p.Finding] = p
		}
	}
	var free []Member
	var groups []Case
	for i := range s.Findings {
		f := &s.Findings[i]
		f.ID = string(f.Finding)
		if _, out := apart[f.Finding]; out {
			groups = append(groups, Group([]Member{f.Member}, aliases)...)
		} else {
			free = append(free, f.Member)
		}
	}
	groups = append(groups, Group(free, aliases)...)
	of := map[uid.Finding]int{}
	for i, g := range groups {
		for _, m := range g.Members {
			of[uid.Finding(m.ID)] = i
		}
	}
	roots := joined(len(groups), of, s.Pins)
	byRoot := map[int]*bunch{}
	for i, g := range groups {
		b := byRoot[roots[i]]
		if b == nil {
			b = &bunch{beliefs: map[uid.Finding]Belief{}, cases: map[uid.Case]int{}, records: s.Cases}
			byRoot[roots[i]] = b
		}
		b.take(g, standing, apart)
	}
	out := make([]bunch, 0, len(byRoot))
	for _, b := range byRoot {
		slices.SortFunc(b.members, func(a, c *Standing) int { return strings.Compare(string(a.Finding), string(c.Finding)) })
		b.hand(s.Pins)
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, c bunch) int { return strings.Compare(string(a.oldest()), string(c.oldest())) })
	return out
}

// joined returns for each group the number of the group that stands for all that people linked to it.
func joined(n int, of map[uid.Finding]int, pins []Pin) []int {
	root := make([]int, n)
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			i = root[i]
		}
		return i
	}
	for _, p := range pins {
		a, okA := of[p.Finding]
		b, okB := of[p.Other]
		if p.Other != "" && okA && okB {
			a, b = find(a), find(b)
			root[max(a, b)] = min(a, b)
		}
	}
	for i := range root {
		root[i] = find(i)
	}
	return root
}

func (b *bunch) take(g Case, standing map[string]*Standing, apart map[uid.Finding]Pin) {
	b.groups = append(b.groups, g)
	for _, m := range g.Members {
		f := standing[m.ID]
		b.members = append(b.members, f)
		belief := Belief{Why: m.Why}
		if p, out := apart[f.Finding]; out {
			belief.Hand, belief.By, belief.Apart = p.Reason, p.By, true
		}
		b.beliefs[f.Finding] = belief
		if f.Case != "" {
			b.cases[f.Case]++
		}
	}
}

// hand notes whom people put here: the findings of all groups but the one that was there first.
func (b *bunch) hand(pins []Pin) {
	if len(b.groups) < 2 {
		return
	}
	slices.SortFunc(b.groups, func(x, y Case) int {
		return cmp.Or(len(y.Members)-len(x.Members), strings.Compare(x.Key, y.Key))
	})
	here := map[uid.Finding]bool{}
	for _, f := range b.members {
		here[f.Finding] = true
	}
	for _, g := range b.groups {
		for _, m := range g.Members {
			for _, p := range pins {
				if p.Other == "" || !here[p.Other] || uid.Finding(m.ID) != p.Finding {
					continue
				}
				for _, same := range g.Members {
					belief := b.beliefs[uid.Finding(same.ID)]
					belief.Hand, belief.By, belief.Apart = p.Reason, p.By, false
					b.beliefs[uid.Finding(same.ID)] = belief
				}
			}
		}
	}
}

// identify gives every bunch the id of its case.
func (in Setting) identify(sets []bunch) []uid.Case {
	ids := make([]uid.Case, len(sets))
	taken := map[uid.Case]bool{}
	type claim struct {
		set  int
		id   uid.Case
		n    int
		kept bool
	}
	var claims []claim
	for i, b := range sets {
		for id, n := range b.cases {
			kept := slices.ContainsFunc(b.members, func(f *Standing) bool { return in.Keep[id] == f.Finding })
			claims = append(claims, claim{i, id, n, kept})
		}
		for id, f := range in.Keep {
			if b.cases[id] == 0 && slices.ContainsFunc(b.members, func(m *Standing) bool { return m.Finding == f }) {
				claims = append(claims, claim{i, id, 0, true})
			}
		}
	}
	slices.SortFunc(claims, func(a, b claim) int {
		if a.kept != b.kept {
			if a.kept {
				return -1
			}
			return 1
		}
		return cmp.Or(b.n-a.n, strings.Compare(string(a.id), string(b.id)), a.set-b.set)
	})
	for _, c := range claims {
		if ids[c.set] == "" && !taken[c.id] {
			ids[c.set], taken[c.id] = c.id, true
		}
	}
	for i := range ids {
		if ids[i] == "" {
			ids[i] = in.NewID()
		}
	}
	return ids
}

// turnover is who came into a case, from where, and who left.
type turnover struct {
	came, left []uid.Finding
	from, to   map[uid.Case]bool
}

func turn(history map[uid.Case]*turnover, id uid.Case) *turnover {
	if history[id] == nil {
		history[id] = &turnover{from: map[uid.Case]bool{}, to: map[uid.Case]bool{}}
	}
	return history[id]
}

// settle writes down what the bunch is as the case id.
func (b *bunch) settle(id uid.Case, in Setting, p *Plan, history map[uid.Case]*turnover) {
	before, known := b.records[id]
	r, dangers := b.record(id, in)
	r.Entries = before.Entries
	for i, f := range b.members {
		now := *f
		now.Case, now.Belief, now.Risk = id, b.beliefs[f.Finding], dangers[i].Score
		now.Keys = KeysOf(f.Member, in.Aliases)
		if f.Case != id {
			now.Since = in.Now
			if known || f.Case != "" {
				turn(history, id).note(&turn(history, id).came, f.Finding, turn(history, id).from, f.Case)
			}
			if f.Case != "" {
				old := turn(history, f.Case)
				old.note(&old.left, f.Finding, old.to, id)
			}
		}
		if !sameStanding(*f, now) {
			p.Findings = append(p.Findings, now)
		}
	}
	if !known || !sameRecord(before, r) {
		p.Cases = append(p.Cases, r)
	}
}

func (t *turnover) note(list *[]uid.Finding, f uid.Finding, others map[uid.Case]bool, other uid.Case) {
	*list = append(*list, f)
	if other != "" {
		others[other] = true
	}
}

// record is the case as its members make it. What is fixed or false counts only where nothing else is left.
func (b *bunch) record(id uid.Case, in Setting) (Record, []finding.Risk) {
	r := Record{ID: id, Kind: b.groups[0].Kind, Asset: b.groups[0].Asset, Members: len(b.members)}
	var all, live []Member
	var statuses []finding.Status
	cves := map[string]bool{}
	for _, f := range b.members {
		statuses = append(statuses, f.Status)
		all = append(all, f.Member)
		if over(f.Status) == "" {
			live = append(live, f.Member)
		}
		if r.FirstSeenAt.IsZero() || f.FirstSeenAt.Before(r.FirstSeenAt) {
			r.FirstSeenAt = f.FirstSeenAt
		}
		r.LastSeenAt, r.FixedAt = latest(r.LastSeenAt, f.LastSeenAt), latest(r.FixedAt, f.FixedAt)
		for _, c := range f.CVE {
			cves[c] = true
		}
	}
	if r.Status = StatusOf(statuses); r.Status != CaseFixed {
		r.FixedAt = time.Time{}
	}
	if len(live) == 0 {
		live = all
	}
	r.Severity, r.Confidence, _ = Sum(live)
	_, _, r.Engines = Sum(all)
	lead := live[Lead(live)]
	r.Title = lead.Title
	r.CVE = slices.Sorted(maps.Keys(cves))
	r.CVE = r.CVE[:min(len(r.CVE), finding.MaxIDs)]
	return b.assess(r, in)
}

// assess weighs every member by what the case as a whole is sure of.
func (b *bunch) assess(r Record, in Setting) (Record, []finding.Risk) {
	risks := make([]finding.Risk, len(b.members))
	for i, f := range b.members {
		risks[i] = f.Assess(r.Confidence, in.Aliases)
		r.Risk = max(r.Risk, risks[i].Score)
	}
	return r, risks
}

// Assess weighs the danger of a finding in a case of the given confidence.
func (f Standing) Assess(c finding.Confidence, aliases Aliases) finding.Risk {
	return Assess(Danger{
		Severity: f.Severity, CVSS: f.CVSS, CVE: f.CVE, CWE: f.CWE, Intel: f.Intel, Confidence: c, Status: f.Status,
		Location: f.Location, Exposure: ExposureOf(aliases.Addresses(f.Location.Spot().Host)),
	})
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// close writes down what became of cases that have no findings any more, and what enters the histories.
func (p *Plan) close(s Scene, in Setting, history map[uid.Case]*turnover, ids []uid.Case) {
	for _, id := range slices.Sorted(maps.Keys(history)) {
		t := history[id]
		before := s.Cases[id]
		at := slices.IndexFunc(p.Cases, func(r Record) bool { return r.ID == id })
		if !slices.Contains(ids, id) {
			before.Status, before.Members, before.Risk = CaseMerged, 0, 0
			before.MergedInto = slices.Min(slices.Collect(maps.Keys(t.to)))
			p.Cases = append(p.Cases, before)
			at = len(p.Cases) - 1
		}
		if at < 0 { // its findings changed and it didn't: its history grows all the same
			p.Cases = append(p.Cases, before)
			at = len(p.Cases) - 1
		}
		for _, e := range t.entries(p.Cases[at], in) {
			p.Cases[at].Entries++
			e.Seq = p.Cases[at].Entries
			p.Entries = append(p.Entries, e)
		}
	}
}

// entries are the lines that a turnover adds to the history of a case.
func (t *turnover) entries(r Record, in Setting) []Entry {
	e := Entry{Case: r.ID, At: in.Now}
	var out []Entry
	add := func(kind EntryKind, list []uid.Finding, others map[uid.Case]bool) {
		if len(list) == 0 {
			return
		}
		e := e
		e.Kind, e.Count, e.Findings = kind, len(list), list[:min(len(list), MaxNamed)]
		if len(others) > 0 {
			e.Other = slices.Min(slices.Collect(maps.Keys(others)))
		}
		if in.Act != nil {
			e.Kind, e.By, e.Reason = in.Act.Kind, in.Act.By, in.Act.Reason
		} else if r.Status == CaseMerged {
			e.Kind = EntryMerged
		}
		out = append(out, e)
	}
	add(EntryGrew, t.came, t.from)
	add(EntryShrank, t.left, t.to)
	return out
}

func sameStanding(a, b Standing) bool {
	return a.Case == b.Case && slices.Equal(a.Keyed, b.Keys) && sameBelief(a.Belief, b.Belief) && a.Risk == b.Risk
}

func sameBelief(a, b Belief) bool {
	return a.Hand == b.Hand && a.By == b.By && a.Apart == b.Apart && a.Kind == b.Kind && a.Overlap == b.Overlap && a.Place == b.Place && a.Alias == b.Alias &&
		slices.Equal(a.Marks, b.Marks)
}

func sameRecord(a, b Record) bool {
	return a.Title == b.Title && a.Severity == b.Severity && a.Confidence == b.Confidence && a.Status == b.Status && a.Kind == b.Kind &&
		a.Asset == b.Asset && slices.Equal(a.Engines, b.Engines) && slices.Equal(a.CVE, b.CVE) && a.Members == b.Members &&
		a.Risk == b.Risk && a.FirstSeenAt.Equal(b.FirstSeenAt) && a.LastSeenAt.Equal(b.LastSeenAt) && a.FixedAt.Equal(b.FixedAt) &&
		a.MergedInto == b.MergedInto
}
