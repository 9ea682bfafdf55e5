package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Findings returns one page of findings. Each status, and each run of severities, is a range of its own in the index of
// the list's order: the ranges are read side by side and merged, so that a page costs the same however many findings
// there are. The keys come first, the rows of the page's keys then.
func (r TriageStore) Findings(ctx context.Context, org uid.Org, q triage.Query) (triage.List, error) {
	p, err := normal(q.Page)
	if err != nil {
		return triage.List{}, err
	}
	q.Page = p
	var out triage.List
	err = r.view(ctx, org, func(ctx context.Context, v *View) error {
		out = triage.List{}
		cells, err := findingCounts(ctx, v)
		if err != nil {
			return err
		}
		few, err := fewKinds(ctx, v, q)
		if err != nil {
			return err
		}
		ranges := findingRanges(org, q, few, countOf(cells, q.Filter))
		keys, err := mergedKeys(ctx, v, ranges, p)
		if err != nil {
			return err
		}
		if len(keys) > p.Limit {
			keys = keys[:p.Limit]
			out.Next = keys[p.Limit-1]
		}
		ids := make([]uid.Finding, len(keys))
		for i, k := range keys {
			ids[i] = uid.Finding(k.ID)
		}
		if out.Items, err = decidedByID(ctx, &v.handle, ids); err != nil || !p.WantTotal {
			return err
		}
		out.Total, err = findingTotal(ctx, v, q, ranges, countOf(cells, q.Filter))
		return err
	})
	if err != nil {
		return triage.List{}, err
	}
	found := make([]*finding.Finding, len(out.Items))
	for i := range out.Items {
		found[i] = &out.Items[i].Finding
	}
	return out, r.reader.s.Enrich(ctx, found...)
}

// mergedKeys reads the page's keys and one more where there are further ones.
func mergedKeys(ctx context.Context, v *View, ranges []*listing, p page.Request) ([]page.Key, error) {
	var keys []page.Key
	for _, l := range ranges {
		l.page = page.Request{Limit: p.Offset + p.Limit, After: p.After}
		err := l.every(ctx, v, func(rows *sql.Rows) error {
			var k page.Key
			if err := rows.Scan(&k.Sort, &k.ID); err != nil {
				return internal("a finding can't be read", err)
			}
			keys = append(keys, k)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(keys, func(a, b page.Key) int {
		return cmp.Or(cmp.Compare(b.Sort, a.Sort), strings.Compare(b.ID, a.ID))
	})
	keys = keys[min(p.Offset, len(keys)):]
	return keys[:min(p.Limit+1, len(keys))], nil
}

// every calls scan for a page's rows and for the one after them.
func (l *listing) every(ctx context.Context, v *View, scan func(*sql.Rows) error) error {
	if l.empty() {
		return nil
	}
	text, args, err := l.compose(&v.handle)
	if err != nil {
		return err
	}
	return v.eachText(ctx, text, args, scan)
}

// findingRanges are the ranges of a list that together are the list: one where a filter with an index of its own leads,
// otherwise one for each status and run of severities. few says that rule and words leave few findings, count how many
// severity and status leave: the newest of many are met soon enough going back in time, those of few are sorted.
func findingRanges(org uid.Org, q triage.Query, few bool, count int) []*listing {
	l := findingRange(q)
	l.known(org, q.Filter)
	if keyed := l.byKey(q.Filter); keyed || few || (q.Sort == triage.Newest && count > fewEnough) {
		l.kinds(org, q.Filter, few && !keyed)
		l.severities(q.Severities)
		l.statuses(q.Statuses)
		l.narrow(q.Filter)
		return []*listing{l}
	}
	var out []*listing
	runs := severityRuns(q.Severities)
	if q.Sort == triage.Riskiest {
		runs = [][]finding.Severity{finding.Severities()}
	}
	for _, status := range orAll(q.Statuses, finding.Statuses()) {
		for _, run := range runs {
			l := findingRange(q)
			l.leading("f.status = ?", string(status))
			if q.Sort == triage.Riskiest {
				l.severities(q.Severities)
			}
			if len(run) < len(finding.Severities()) {
				l.leading("f.place >= ? AND f.place < ?", placeFrom(run[len(run)-1]), placeFrom(run[0])+1<<56)
			}
			l.kinds(org, q.Filter, false)
			l.narrow(q.Filter)
			out = append(out, l)
		}
	}
	return out
}

func findingRange(q triage.Query) *listing {
	if q.Sort == triage.Riskiest {
		return &listing{base: "triage.risky", order: "f.risk, f.id"}
	}
	if q.Sort == triage.Newest {
		return &listing{base: "triage.newest", order: "f.id"}
	}
	return &listing{base: "triage.worst", order: "f.place, f.id"}
}

// byKey leads by the most telling of the filters that have an index of their own, and reports whether one has.
func (l *listing) byKey(q triage.Filter) bool {
	if q.CVE != "" {
		l.base += "_cve"
		l.leading("k.cve = ?", q.CVE)
	}
	if q.Case != "" {
		l.either("f.case_id = ? AND f.case_id IS NOT NULL", string(q.Case))
	}
	if q.Unseen {
		l.either("f.unseen_at > 0")
	}
	if q.Host != "" {
		l.either("f.host = ?", q.Host)
	}
	return len(l.lead) > 0
}

// fewEnough is up to how many findings are read and sorted; where there are more, going along the list's order meets
// them soon enough.
const fewEnough = 5_000

// fewKinds reports whether the findings that rule and words ask for are few.
func fewKinds(ctx context.Context, v *View, q triage.Query) (bool, error) {
	if (q.Rule == "" && q.Q == "") || (&listing{}).byKey(q.Filter) {
		return false, nil
	}
	l := &listing{base: "triage.any", page: page.Request{WantTotal: true}}
	l.kinds(v.Org(), q.Filter, true)
	l.unknown = false
	n, err := l.total(ctx, &v.handle)
	return n.Known && !n.Capped && n.N <= fewEnough, err
}

// kinds narrows to the kinds of findings that have the rule and hold, for each word of q, one that begins with it. With
// lead the first of these conditions is the index that is read; an expression hides the others from the planner.
func (l *listing) kinds(org uid.Org, f triage.Filter, lead bool) {
	column := "f.kind + 0"
	add := func(condition string, args ...any) {
		if lead {
			lead = false
			l.leading("f.kind"+condition, args...)
			return
		}
		l.also(column+condition, args...)
	}
	if f.Rule != "" {
		add(" IN (SELECT k.kind FROM finding_kind k WHERE k.org = ? AND k.rule = ?)", string(org), f.Rule)
	}
	if f.Q == "" {
		return
	}
	l.unknown = true
	asked := slices.DeleteFunc(words(maxQueryWords, f.Q), isNumber)
	l.nothing = l.nothing || len(asked) == 0
	for _, w := range asked {
		add(" IN (SELECT w.kind FROM finding_word w WHERE w.org = ? AND w.word >= ? AND w.word < ?)", string(org), w, w+afterAll)
	}
}

// statuses narrows by status, row by row: an expression keeps the planner from reading and sorting a whole status where
// another index has the order.
func (l *listing) statuses(list []finding.Status) {
	if len(list) > 0 {
		l.also("f.status || '' IN ("+marks(len(list))+")", anys(list)...)
	}
}

// severities narrows by severity, row by row.
func (l *listing) severities(list []finding.Severity) {
	if len(list) == 0 {
		return
	}
	ranks := make([]any, len(list))
	for i, s := range list {
		ranks[i] = int64(s.Rank())
	}
	l.also("f.severity IN ("+marks(len(list))+")", ranks...)
}

// narrow adds what has no index.
func (l *listing) narrow(f triage.Filter) {
	if f.Engine != "" {
		l.also("f.engine || '' = ?", f.Engine)
	}
	if f.Category != "" {
		l.also("f.category = ?", string(f.Category))
	}
	for _, t := range []struct {
		condition string
		at        time.Time
	}{
		{"f.first_seen_at >= ?", f.FirstFrom},
		{"f.first_seen_at < ?", f.FirstTo},
		{"f.last_seen_at >= ?", f.LastFrom},
		{"f.last_seen_at < ?", f.LastTo},
	} {
		if !t.at.IsZero() {
			l.also(t.condition, micros(t.at))
		}
	}
}

// countOf is how many findings have the severities and statuses.
func countOf(cells []triage.Cell, f triage.Filter) int {
	n := 0
	for _, c := range cells {
		if (len(f.Severities) == 0 || slices.Contains(f.Severities, c.Severity)) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, c.Status)) {
			n += c.N
		}
	}
	return n
}

// findingTotal is how many there are: from the kept counts where only they narrow the list, counted over a range's index
// where one narrows it, otherwise unknown.
func findingTotal(ctx context.Context, v *View, q triage.Query, ranges []*listing, count int) (page.Total, error) {
	if plainFilter(q.Filter) {
		return page.Total{N: min(count, page.CountCap), Known: true, Capped: count > page.CountCap}, nil
	}
	l := ranges[0]
	if len(l.lead) == 0 || len(ranges) != 1 {
		if q.Rule == "" {
			return page.Total{}, nil
		}
		l = findingRanges(v.Org(), q, true, count)[0]
	}
	l.page = page.Request{WantTotal: true}
	return l.total(ctx, &v.handle)
}

// plainFilter reports whether nothing but severity and status narrows the list.
func plainFilter(f triage.Filter) bool {
	f.Severities, f.Statuses = nil, nil
	return f.Category == "" && f.Engine == "" && f.Host == "" && f.CVE == "" && f.Rule == "" && f.Q == "" && !f.Unseen && !f.KEV && f.MinEPSS == 0 && f.Case == "" &&
		f.FirstFrom.IsZero() && f.FirstTo.IsZero() && f.LastFrom.IsZero() && f.LastTo.IsZero()
}

// severityRuns cuts a set of severities into runs that lie side by side; none = all.
func severityRuns(asked []finding.Severity) [][]finding.Severity {
	var runs [][]finding.Severity
	last := -2
	for _, s := range finding.Severities() {
		if len(asked) > 0 && !slices.Contains(asked, s) {
			continue
		}
		if s.Rank() != last+1 {
			runs = append(runs, nil)
		}
		last = s.Rank()
		runs[len(runs)-1] = append(runs[len(runs)-1], s)
	}
	return runs
}

func orAll[T comparable](asked, all []T) []T {
	if len(asked) == 0 {
		return all
	}
	var out []T
	for _, v := range all {
		if slices.Contains(asked, v) {
			out = append(out, v)
		}
	}
	return out
}

// marks are n parameters of an IN list.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func anys[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
