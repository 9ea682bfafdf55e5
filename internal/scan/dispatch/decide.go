package dispatch

import (
	"cmp"
	"container/heap"
	"slices"
	"sort"
	"time"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/uid"
)

// Admission picks which waiting scans start next (decisions C17). It is pure: the same line gives the same answer.
type Admission struct {
	Now      time.Time
	Capacity int // scans that the installation runs at once, over all nodes; 0 = no bound
	Most     int // picks of one round; 0 = no bound
}

// Pick returns the scans to start, in order. Levels come strictly one after the other: a scan's level is its priority,
// raised by one for each scan.AgeStep it has waited. Within a level the organization with the fewest running scans is
// next, then the scan that is due first. Three counters hold throughout: scans of the organization, of the engine
// within it, and on the target host within it. limits of an organization that is missing are the defaults.
func (a Admission) Pick(waiting []scan.Waiting, running []scan.Slot, limits map[uid.Org]tenant.Concurrency) []scan.Waiting {
	p := picker{a: a, limits: limits, orgs: map[uid.Org]int{}, engines: map[pair]int{}, hosts: map[pair]int{}}
	for _, s := range running {
		p.count(s.Org, s.Engine, s.Host)
	}
	p.total = len(running)
	line := waiting
	if !slices.IsSortedFunc(line, byDue) { // the store's lines are
		line = slices.SortedFunc(slices.Values(line), byDue)
	}
	for len(line) > 0 && !p.full() {
		// Levels rise with due, so that a line by due is one by level.
		n := sort.Search(len(line), func(i int) bool { return a.level(line[i]) > a.level(line[0]) })
		p.level(line[:n])
		line = line[n:]
	}
	return p.picked
}

func byDue(x, y scan.Waiting) int {
	return cmp.Or(x.Due.Compare(y.Due), cmp.Compare(x.Scan, y.Scan))
}

// level is 0 for what is critical or has waited that long, and rises by one for each scan.AgeStep until it is due.
func (a Admission) level(w scan.Waiting) int64 {
	left := w.Due.Sub(a.Now)
	if left <= 0 {
		return 0
	}
	return int64((left + scan.AgeStep - 1) / scan.AgeStep)
}

// pair is an organization and its engine or target host.
type pair struct {
	org  uid.Org
	what string
}

type picker struct {
	a      Admission
	limits map[uid.Org]tenant.Concurrency

	total   int
	orgs    map[uid.Org]int
	engines map[pair]int
	hosts   map[pair]int
	picked  []scan.Waiting
}

func (p *picker) count(org uid.Org, engine, host string) {
	p.orgs[org]++
	p.engines[pair{org, engine}]++
	p.hosts[pair{org, host}]++
}

func (p *picker) full() bool {
	return (p.a.Capacity > 0 && p.total >= p.a.Capacity) || (p.a.Most > 0 && len(p.picked) >= p.a.Most)
}

func (p *picker) limit(org uid.Org) tenant.Concurrency {
	if l, ok := p.limits[org]; ok {
		return l
	}
	return tenant.Defaults().Concurrency
}

// level picks from scans of one level, sorted by due. What a counter refuses stays refused, because counters only
// rise within a round.
func (p *picker) level(line []scan.Waiting) {
	byOrg := map[uid.Org]*queue{}
	var turns turns
	for _, w := range line {
		q := byOrg[w.Org]
		if q == nil {
			q = &queue{org: w.Org, running: p.orgs[w.Org]}
			byOrg[w.Org] = q
			turns = append(turns, q)
		}
		q.line = append(q.line, w)
	}
	heap.Init(&turns)
	for len(turns) > 0 && !p.full() {
		q := turns[0]
		if !p.next(q) {
			heap.Pop(&turns)
			continue
		}
		heap.Fix(&turns, 0)
	}
}

// next takes the first scan of the queue that may start, and reports false when none may. It may only discard what it
// skips: then the queue's place among the others has changed too.
func (p *picker) next(q *queue) bool {
	limit := p.limit(q.org)
	if p.orgs[q.org] >= limit.Organization {
		return false
	}
	w := q.line[0]
	if p.engines[pair{w.Org, w.Engine}] < limit.Engine && p.hosts[pair{w.Org, w.Host}] < limit.TargetHost {
		p.picked = append(p.picked, w)
		p.total++
		p.count(w.Org, w.Engine, w.Host)
		q.running++
	}
	q.line = q.line[1:]
	return len(q.line) > 0
}

// queue is one organization's scans of a level.
type queue struct {
	org     uid.Org
	running int
	line    []scan.Waiting // never empty while it is in turns
}

// turns is a heap of queues: the one whose turn it is on top.
type turns []*queue

// Len implements heap.Interface.
func (t turns) Len() int { return len(t) }

// Less implements heap.Interface.
func (t turns) Less(i, j int) bool {
	a, b := t[i], t[j]
	return cmp.Or(cmp.Compare(a.running, b.running), a.line[0].Due.Compare(b.line[0].Due), cmp.Compare(a.line[0].Scan, b.line[0].Scan)) < 0
}

// Swap implements heap.Interface.
func (t turns) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *turns) Push(x any) { *t = append(*t, x.(*queue)) }

// Pop implements heap.Interface.
func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
