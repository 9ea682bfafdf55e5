package store

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// totals remembers how many rows a list has, so that reading its pages doesn't count them each time. What is
// remembered is good until the organization's next change, which this process sees where it is the only one that
// writes: on SQLite. Changes count before their callers are answered, so nobody misses a row of their own.
type totals struct {
	all  atomic.Uint64 // changes over all organizations
	orgs sync.Map      // uid.Org → *atomic.Uint64, changes of one

	mu   sync.Mutex
	kept map[string]keptTotal
}

type keptTotal struct {
	version uint64
	total   page.Total
}

// maxTotals bounds what is remembered; when it is full all of it is forgotten.
const maxTotals = 1024

// changed notes a change in the scope.
func (c *totals) changed(sc scope) {
	if sc.all {
		c.all.Add(1)
		return
	}
	c.of(sc.org).Add(1)
}

func (c *totals) of(org uid.Org) *atomic.Uint64 {
	if n, ok := c.orgs.Load(org); ok {
		return n.(*atomic.Uint64)
	}
	n, _ := c.orgs.LoadOrStore(org, new(atomic.Uint64))
	return n.(*atomic.Uint64)
}

// version rises with every change that an organization may see. Take it before counting.
func (c *totals) version(org uid.Org) uint64 { return c.all.Load() + c.of(org).Load() }

func (c *totals) get(key string, version uint64) (page.Total, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[key]
	return k.total, ok && k.version == version
}

func (c *totals) put(key string, version uint64, total page.Total) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxTotals {
		c.kept = map[string]keptTotal{}
	}
	c.kept[key] = keptTotal{version, total}
}

// totalKey names a count: its statement and all its values, the organization first.
func totalKey(text string, args []any) string {
	var b strings.Builder
	b.WriteString(text)
	for _, a := range args {
		fmt.Fprintf(&b, "\x00%T %v", a, a)
	}
	return b.String()
}
