package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/uid"
)

// meter gathers what one batch of audit entries adds to the kept counters, so that a batch costs one statement for each
// table, however many entries it holds. It is written in the transaction that gives those entries their places: the
// counters say what the log proves, at any moment and after any crash.
type meter struct {
	calls map[callKey]*usage.CallCount
	scans map[scanKey]*usage.ScanCount
}

type callKey struct {
	org  uid.Org
	hour int64
}

type scanKey struct {
	org    uid.Org
	hours  int64 // length of the row's stretch: 1 or 24
	hour   int64
	engine string
}

// hourLen is the grain of the counters in microseconds.
const hourLen = int64(time.Hour / time.Microsecond)

func hourOf(at int64) int64 { return at - at%hourLen }

func dayOf(at int64) int64 { return at - at%(24*hourLen) }

// call counts an entry by its time.
func (m *meter) call(org uid.Org, at int64, c usage.CallCount) {
	k := callKey{org, hourOf(at)}
	if sum := m.calls[k]; sum != nil {
		sum.Add(c)
		return
	}
	if m.calls == nil {
		m.calls = map[callKey]*usage.CallCount{}
	}
	m.calls[k] = &c
}

// scan counts what a unit did to scans.
func (m *meter) scan(list []tally) {
	for _, t := range list {
		m.scanIn(scanKey{t.Org, 1, t.Hour, t.Engine}, t.ScanCount)
		m.scanIn(scanKey{t.Org, 24, dayOf(t.Hour), t.Engine}, t.ScanCount)
	}
}

func (m *meter) scanIn(k scanKey, c usage.ScanCount) {
	if sum := m.scans[k]; sum != nil {
		sum.Add(c)
		return
	}
	if m.scans == nil {
		m.scans = map[scanKey]*usage.ScanCount{}
	}
	m.scans[k] = &c
}

// write adds what was gathered to the counters. Rows go in the order of their keys, so that two transactions never
// wait for each other in a ring.
func (m *meter) write(ctx context.Context, s *Store, tx *sql.Tx) error {
	if len(m.calls) > 0 {
		flat := make([]any, 0, 7*len(m.calls))
		for _, k := range sortedKeys(m.calls, func(a, b callKey) int {
			return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.hour, b.hour))
		}) {
			c := m.calls[k]
			flat = append(flat, string(k.org), k.hour, c.Calls, c.Success, c.Errors, c.Micros, c.MaxMicros)
		}
		if err := s.execMany(ctx, tx, "all.usage_call_add", flat); err != nil {
			return err
		}
	}
	if len(m.scans) == 0 {
		return nil
	}
	flat := make([]any, 0, 12*len(m.scans))
	for _, k := range sortedKeys(m.scans, func(a, b scanKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.hours, b.hours), cmp.Compare(a.hour, b.hour), cmp.Compare(a.engine, b.engine))
	}) {
		c := m.scans[k]
		flat = append(flat, string(k.org), k.hours, k.hour, k.engine, c.Submitted, c.Returned, c.Completed, c.Failed, c.Cancelled,
			c.Ran, c.Micros, c.Findings)
	}
	return s.execMany(ctx, tx, "all.usage_scan_add", flat)
}

func sortedKeys[K comparable, V any](m map[K]V, order func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	if len(keys) > 1 {
		slices.SortFunc(keys, order)
	}
	return keys
}

// tally is what a unit did to scans of one engine in one hour. On SQLite it reaches the batch's meter in memory; on
// PostgreSQL it waits beside the unit's entry until the sequencer counts it.
type tally struct {
	usage.ScanCount

	Org    uid.Org `json:"o"`
	Hour   int64   `json:"h"`
	Engine string  `json:"e"`
}

// count notes what the unit does to a scan. The unit must have an audit entry: counters say nothing that the log
// doesn't prove.
func (t *Tx) count(engine string, at time.Time, c usage.ScanCount) error {
	if t.unit.leaf == nil {
		return internal("a scan was counted in a unit that leaves no audit entry", nil)
	}
	n := tally{ScanCount: c, Org: t.scope.org, Hour: hourOf(micros(at)), Engine: engine}
	for i, have := range t.tallies {
		if have.Org == n.Org && have.Hour == n.Hour && have.Engine == n.Engine {
			t.tallies[i].Add(c)
			return nil
		}
	}
	t.tallies = append(t.tallies, n)
	return nil
}

// tallyText is how tallies wait beside an entry; NULL where there are none.
func tallyText(list []tally) (any, error) {
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // NULL is the value
	}
	b, err := json.Marshal(list)
	if err != nil {
		return nil, internal("what a unit did to scans can't be written down", err)
	}
	return string(b), nil
}
