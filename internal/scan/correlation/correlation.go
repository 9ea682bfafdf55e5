// Package correlation is which findings of several engines are one case, how sure that makes us, and how much danger
// lies in it.
//
// Grouping and scoring are pure: the same findings give the same cases in whatever order they come. A case joins
// findings and never replaces them; why each of them belongs is kept with it, and people can take it apart. It must
// never go by titles, and it knows engines only as names that agree or don't. Start with Group, then tie.go for what
// ties findings together, overlap.go for why ties don't chain, and risk.go for the score.
package correlation

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// Scheme is the version of the grouping. Keys begin with it; another version means that all cases are formed anew.
const Scheme = "c3"

// Member is one finding that may belong with others. It must have passed finding.Clean.
type Member struct {
	finding.Observation

	// ID is the caller's own: a finding's id, or any text that is unique in the call.
	ID     string
	Engine string
	// Engines are all whose word the finding rests on, where it is a merged one; nil = Engine alone. A finding that rests
	// on another engine's word is no second witness beside that engine's own.
	Engines []string
}

// Case is one real issue: at least one member. Members that nothing ties to others are cases of one.
type Case struct {
	// Key is stable over calls as long as what ties the case together stays: "c3:" + hex.
	Key     string
	Kind    Kind
	Asset   string   // canonical name of what it is on; empty where findings name none, or several (a secret)
	Marks   []string // what all members have in common, sorted: "CVE-2021-44228", "CWE-89"
	Members []Joined // the most confident first; the first one's title is the case's
	// Severity is the highest of any member. Confidence is raised by independent agreement, see Agreed.
	Severity   finding.Severity
	Confidence finding.Confidence
	Engines    []string // all that saw it, sorted
}

// Lead is the member that speaks for the case: the most confident one.
func (c Case) Lead() Member { return c.Members[0].Member }

// Joined is a member with the reason why it is in the case.
type Joined struct {
	Member

	Why Why
}

// Why says what ties a member to its case.
type Why struct {
	Kind    Kind
	Marks   []string // what it shares with the others: ids, CWE families, a topic, a fingerprint
	Overlap Overlap  // how its own set compares with the lead's; empty where it is the only one
	Place   string   // where, for people: "db.example:5432", "localhost:8080 /item, parameter id"
	Alias   string   // the name by which the finding knows the asset, where that is another than Place's
}

// Overlap is how two sets of ids compare.
type Overlap string

// Overlaps.
const (
	Exact    Overlap = "exact"
	Subset   Overlap = "subset"
	Superset Overlap = "superset"
	Partial  Overlap = "partial"
)

// Text says it for people.
func (w Why) Text() string {
	var b strings.Builder
	if w.Overlap == "" && w.Kind != KindAlone {
		b.WriteString("the only finding so far; others would join by ")
	}
	switch w.Kind {
	case KindAlone:
		return "nothing ties it to another finding"
	case KindSecret:
		return b.String() + "the same secret, by its fingerprint"
	case KindCertificate:
		b.WriteString("the same certificate with the same kind of flaw (" + strings.Join(w.Marks, ", ") + ")")
	case KindAdvisory:
		b.WriteString("the same advisory (" + strings.Join(w.Marks, ", ") + ")")
	case KindWeakness:
		b.WriteString("the same kind of flaw (" + strings.Join(w.Marks, ", ") + ")")
	}
	b.WriteString(" at " + w.Place)
	if w.Alias != "" {
		b.WriteString(", which this finding calls " + w.Alias)
	}
	switch w.Overlap {
	case Subset:
		b.WriteString("; it names fewer ids than the leading finding")
	case Superset:
		b.WriteString("; it names more ids than the leading finding")
	case Partial:
		b.WriteString("; beside what they share, each names ids that the other doesn't")
	case Exact:
	}
	return b.String()
}

// Group puts members that are one real issue into one case each; every member is in exactly one. aliases say which hosts
// are one asset; the zero value knows the loopback addresses only.
//
// The result doesn't depend on the order of members: cases are sorted by severity, then key. Members must have distinct
// IDs. Two findings of one engine join by the same rules as two of different engines. It takes some 10 µs a member.
//
//	cases := correlation.Group(members, correlation.NewAliases([]string{"shop.example", "192.0.2.7"}))
//	for _, c := range cases { title := c.Lead().Title; … c.Members[i].Why.Text() … }
func Group(members []Member, aliases Aliases) []Case {
	buckets := map[string][]tied{}
	for i := range members {
		t := TieOf(members[i], aliases)
		buckets[t.Bucket] = append(buckets[t.Bucket], tied{&members[i], t})
	}
	out := make([]Case, 0, len(buckets))
	for _, in := range buckets {
		for _, together := range partition(in) {
			out = append(out, form(together))
		}
	}
	slices.SortFunc(out, func(a, b Case) int {
		return cmp.Or(cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), strings.Compare(a.Key, b.Key))
	})
	return out
}

// tied is a member with what ties it.
type tied struct {
	*Member
	Tie
}

// form makes the case of members that belong together.
func form(in []tied) Case {
	slices.SortFunc(in, func(a, b tied) int { return compareMembers(a.Member, b.Member) })
	common := in[0].Marks
	for _, t := range in[1:] {
		common = intersection(common, t.Marks)
	}
	c := Case{Key: keyOf(in), Kind: in[0].Kind, Asset: in[0].Asset, Marks: common}
	for i, t := range in {
		other := in[0]
		if i == 0 && len(in) > 1 {
			other = in[1]
		}
		w := Why{Kind: t.Kind, Marks: common, Place: t.Place}
		if len(in) > 1 {
			w.Overlap = compareSets(t.Marks, other.Marks)
		}
		if t.Host != t.Asset && t.Kind != KindSecret && t.Kind != KindAlone {
			w.Alias = t.Host
		}
		c.Members = append(c.Members, Joined{Member: *t.Member, Why: w})
	}
	c.Severity, c.Confidence, c.Engines = Sum(memberList(in))
	return c
}

// Sum is what members say together: the highest severity, the confidence by agreement, and the engines that saw it.
func Sum(members []Member) (finding.Severity, finding.Confidence, []string) {
	worst := finding.Info
	var engines []string
	for _, m := range members {
		if m.Severity.Rank() < worst.Rank() {
			worst = m.Severity
		}
		engines = append(engines, m.witnesses()...)
	}
	slices.Sort(engines)
	return worst, Agreed(members), slices.Compact(engines)
}

func memberList(in []tied) []Member {
	out := make([]Member, len(in))
	for i, t := range in {
		out[i] = *t.Member
	}
	return out
}

// keyOf names a case by its bucket and, of the sets that lie together there, the smallest: a further finding with the
// same ids leaves the key as it is.
func keyOf(in []tied) string {
	sets := make([]string, len(in))
	for i, t := range in {
		sets[i] = strconv.Itoa(100+len(t.Marks)) + " " + strings.Join(t.Marks, " ")
	}
	return finding.Hash(Scheme, in[0].Bucket, slices.Min(sets))
}

// compareMembers sorts the one that speaks for a case first: by confidence, severity, engine and id.
func compareMembers(a, b *Member) int {
	switch {
	case a.Confidence.Better(b.Confidence):
		return -1
	case b.Confidence.Better(a.Confidence):
		return 1
	}
	return cmp.Or(cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), strings.Compare(a.Engine, b.Engine), strings.Compare(a.ID, b.ID))
}

// Lead returns the index of the member that speaks for the others; -1 for none.
func Lead(members []Member) int {
	best := -1
	for i := range members {
		if best < 0 || compareMembers(&members[i], &members[best]) < 0 {
			best = i
		}
	}
	return best
}
