package access

import (
	"sync"
	"time"
)

const (
	// maxStale bounds how old a cached answer of the store may be. With the length of one lookup it keeps the promise
	// that a revocation holds on every node within a second (decisions G3).
	maxStale = 500 * time.Millisecond
	// maxCached bounds the memory of each cache; at about a kilobyte an entry.
	maxCached = 10_000
)

// cache keeps what the store said of a secret's hash. Absence is never cached, so a key works everywhere as soon as
// it exists. Values are shared and must not be changed.
type cache[V any] struct {
	mu    sync.RWMutex
	gen   uint64 // raised by clear, so that a lookup begun before it can't bring an old answer back
	items map[Hash]cached[V]
}

type cached[V any] struct {
	value *V
	since time.Time // when the lookup began
}

func newCache[V any]() *cache[V] { return &cache[V]{items: make(map[Hash]cached[V])} }

// get returns a fresh value, or the generation to hand to put.
func (c *cache[V]) get(h Hash, now time.Time) (v *V, gen uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.items[h]
	if !ok || !fresh(e.since, now) {
		return nil, c.gen, false
	}
	return e.value, c.gen, true
}

func (c *cache[V]) put(h Hash, v *V, since time.Time, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen != c.gen {
		return
	}
	if len(c.items) >= maxCached {
		c.shrink(since)
	}
	c.items[h] = cached[V]{value: v, since: since}
}

// shrink makes room: stale entries go, and where all are fresh, any tenth of them.
func (c *cache[V]) shrink(now time.Time) {
	for h, e := range c.items {
		if !fresh(e.since, now) {
			delete(c.items, h)
		}
	}
	for h := range c.items {
		if len(c.items) <= maxCached*9/10 {
			return
		}
		delete(c.items, h)
	}
}

func (c *cache[V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	clear(c.items)
}

// fresh also refuses entries from the future: a clock set back must not make them live longer.
func fresh(since, now time.Time) bool {
	age := now.Sub(since)
	return age >= 0 && age <= maxStale
}
