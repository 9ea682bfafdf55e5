package scan_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// row is a scan with what the database keeps beside it.
type row struct {
	scan.Scan

	admitted   bool
	generation int64 // fence whose results are visible
	looked     engine.Looked
}

// memory is a database of scans in memory: units are atomic and one after the other, transitions are those of the
// store's statements.
type memory struct {
	now    func() time.Time
	jobs   chan job.Scan
	limits tenant.Concurrency

	mu        sync.Mutex
	rows      map[uid.Scan]row
	results   map[uid.Scan]map[int64][]scan.Seen
	findings  map[string]finding.Finding // by fingerprint
	missed    []uid.Finding              // a person decided on them, and a complete scan no longer sees them
	artifacts map[uid.Scan]map[int64][]scan.Artifact
	assets    map[uid.Scan]map[int64][]asset.Observation
	batches   map[uid.Batch]scan.Batch
	events    []event.Event
	audits    []audit.Event
	scope     asset.Scope
	quota     int64
	next      int
	hub       map[string]map[chan struct{}]struct{}
	largest   int // most rows of one unit
}

func newMemory() *memory {
	scope, err := asset.ParseScope([]asset.Rule{{Value: "192.0.2.0/24"}, {Value: "example.org"}}, nil)
	if err != nil {
		panic(err)
	}
	return &memory{
		now: time.Now, jobs: make(chan job.Scan, 10_000), limits: tenant.Concurrency{Organization: 100, Engine: 100, TargetHost: 100},
		rows: map[uid.Scan]row{}, results: map[uid.Scan]map[int64][]scan.Seen{}, findings: map[string]finding.Finding{},
		artifacts: map[uid.Scan]map[int64][]scan.Artifact{}, assets: map[uid.Scan]map[int64][]asset.Observation{}, scope: scope,
		hub: map[string]map[chan struct{}]struct{}{}, batches: map[uid.Batch]scan.Batch{},
	}
}

func (m *memory) Scan(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[id]
	if !ok || r.Org != org {
		return scan.Scan{}, fault.Missing("scan")
	}
	return r.Scan, ctx.Err()
}

func (m *memory) Scans(_ context.Context, org uid.Org, _ scan.Query) (scan.List, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var l scan.List
	for _, r := range m.rows {
		if r.Org == org {
			l.Items = append(l.Items, r.Scan)
		}
	}
	return l, nil
}

func (m *memory) Looked(_ context.Context, _ uid.Org, id uid.Scan) (engine.Looked, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[id].looked, nil
}

func (m *memory) Children(_ context.Context, org uid.Org, id uid.Scan) ([]scan.Scan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []scan.Scan
	for _, child := range slices.Sorted(maps.Keys(m.rows)) {
		if r := m.rows[child]; r.Org == org && r.Parent == id {
			out = append(out, r.Scan)
		}
	}
	return out, nil
}

func (m *memory) Results(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery) (scan.Results, error) {
	var out scan.Results
	err := m.EachResult(ctx, org, id, q, func(r scan.Result) error {
		out.Items = append(out.Items, r)
		return nil
	})
	return out, err
}

func (m *memory) EachResult(_ context.Context, _ uid.Org, id uid.Scan, q scan.ResultQuery, f func(scan.Result) error) error {
	m.mu.Lock()
	shown := slices.Clone(m.results[id][m.rows[id].generation])
	m.mu.Unlock()
	slices.SortFunc(shown, func(a, b scan.Seen) int {
		return cmp.Or(cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	for _, s := range shown {
		m.mu.Lock()
		known := m.findings[s.Fingerprint]
		m.mu.Unlock()
		known.Observation = s.Observation
		if q.Severity != "" && q.Severity != s.Severity {
			continue
		}
		if err := f(scan.Result{Finding: known, Occurrence: s.Occurrence, Ordinal: s.Ordinal}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Artifacts(_ context.Context, _ uid.Org, id uid.Scan) ([]scan.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.artifacts[id][m.rows[id].generation], nil
}

func (m *memory) ScanAssets(_ context.Context, _ uid.Org, id uid.Scan) ([]asset.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.assets[id][m.rows[id].generation], nil
}

func (m *memory) ScanScope(context.Context, uid.Org) (asset.Scope, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scope, nil
}

func (m *memory) Organization(_ context.Context, org uid.Org) (tenant.Organization, error) {
	return tenant.Organization{ID: org, Plan: tenant.Enterprise}, nil
}

func (m *memory) Events(_ context.Context, _ uid.Org, subject string, after int64, limit int) ([]event.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []event.Event
	for _, e := range m.events {
		if e.Subject == subject && e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) OpenFindings(_ context.Context, _ uid.Org, engineID, host, after string) ([]finding.Finding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []finding.Finding
	for _, print := range slices.Sorted(maps.Keys(m.findings)) {
		f := m.findings[print]
		if f.Engine == engineID && f.Location.Host == host && f.Status != finding.Fixed && print > after && len(out) < 500 {
			out = append(out, f)
		}
	}
	return out, nil
}

func (m *memory) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, scan.Tx) error) error {
	return m.change(ctx, ev, func(ctx context.Context, tx *memoryTx) error {
		tx.org = org
		return unit(ctx, tx)
	})
}

// change runs the unit twice, as a store may, and keeps the second run's writes or none.
func (m *memory) change(ctx context.Context, ev audit.Event, unit func(context.Context, *memoryTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.snapshot()
	for range 2 {
		m.restore(before)
		tx := &memoryTx{memory: m}
		if err := unit(context.WithoutCancel(ctx), tx); err != nil {
			m.restore(before)
			return err
		}
	}
	if !ev.Unlogged() {
		m.audits = append(m.audits, ev)
	}
	for _, e := range m.events[len(before.events):] {
		for ch := range m.hub[e.Subject] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func nested[V any](in map[uid.Scan]map[int64][]V) map[uid.Scan]map[int64][]V {
	out := make(map[uid.Scan]map[int64][]V, len(in))
	for id, by := range in {
		out[id] = maps.Clone(by)
		for g, list := range by {
			out[id][g] = slices.Clip(list)
		}
	}
	return out
}

func (m *memory) snapshot() *memory {
	return &memory{
		rows: maps.Clone(m.rows), results: nested(m.results), findings: maps.Clone(m.findings), artifacts: nested(m.artifacts),
		assets: nested(m.assets), events: slices.Clip(m.events), quota: m.quota, next: m.next, batches: maps.Clone(m.batches),
	}
}

func (m *memory) restore(b *memory) {
	m.rows, m.results, m.findings = maps.Clone(b.rows), nested(b.results), maps.Clone(b.findings)
	m.artifacts, m.assets, m.events, m.quota, m.next = nested(b.artifacts), nested(b.assets), b.events, b.quota, b.next
	m.batches = maps.Clone(b.batches)
}

type memoryTx struct {
	*memory

	org uid.Org
}

func lost() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "the scan isn't this worker's any more")
}

// transition changes a row that fits, as an UPDATE with these conditions would.
func (t *memoryTx) transition(id uid.Scan, fits func(row) bool, change func(*row)) error {
	r, ok := t.rows[id]
	if !ok || r.Org != t.org || !fits(r) {
		return lost()
	}
	change(&r)
	t.rows[id] = r
	return nil
}

func (t *memoryTx) Consume(_ context.Context, _ usage.Metric, _ string, n, limit int64) error {
	if limit > 0 && t.quota+n > limit {
		return fault.New(fault.Exhausted, fault.CodeQuota, "the quota is used up")
	}
	t.quota += n
	return nil
}

func (t *memoryTx) InsertScan(_ context.Context, s scan.Scan) error {
	t.rows[s.ID] = row{Scan: s}
	return nil
}

func (t *memoryTx) CancelScan(_ context.Context, id uid.Scan, at time.Time) (scan.Scan, error) {
	r, ok := t.rows[id]
	if !ok || r.Org != t.org {
		return scan.Scan{}, fault.Missing("scan")
	}
	err := t.transition(id, func(r row) bool { return !r.Status.Terminal() }, func(r *row) {
		r.Status, r.EndedAt, r.admitted, r.generation = scan.Cancelled, at, false, r.Fence
	})
	if err != nil {
		return r.Scan, fault.New(fault.Conflict, fault.CodeNotCancellable, "the scan has ended already")
	}
	return t.rows[id].Scan, nil
}

func (t *memoryTx) CancelChildren(ctx context.Context, parent uid.Scan, at time.Time) ([]scan.Scan, error) {
	var out []scan.Scan
	for _, id := range slices.Sorted(maps.Keys(t.rows)) {
		if r := t.rows[id]; r.Parent == parent && !r.Status.Terminal() {
			s, err := t.CancelScan(ctx, id, at)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func (t *memoryTx) StartScan(_ context.Context, id uid.Scan, fence int64, at time.Time) error {
	return t.transition(id, func(r row) bool { return r.Status == scan.Queued && r.admitted && r.Fence == fence }, func(r *row) {
		r.Status, r.StartedAt, r.Progress, r.Phase = scan.Running, at, 0, ""
		r.Attempt++
	})
}

func (t *memoryTx) KeepLease(_ context.Context, id uid.Scan, fence int64, until time.Time, progress int, phase string) error {
	return t.transition(id, func(r row) bool { return r.admitted && r.Fence == fence }, func(r *row) {
		r.LeaseUntil, r.Progress, r.Phase = until, max(r.Progress, progress), phase
	})
}

func (t *memoryTx) RequeueScan(_ context.Context, id uid.Scan, fence int64, counted bool) error {
	return t.transition(id, func(r row) bool { return r.admitted && r.Fence == fence }, func(r *row) {
		if r.Status == scan.Running && !counted {
			r.Attempt--
		}
		r.Status, r.admitted, r.Progress, r.Phase = scan.Queued, false, 0, ""
		r.Fence++
	})
}

func (t *memoryTx) FinishScan(_ context.Context, id uid.Scan, fence int64, f scan.Finish) error {
	fits := func(r row) bool { return r.admitted && r.Fence == fence }
	if f.Status == scan.Cancelled {
		fits = func(r row) bool { return r.Status == scan.Cancelled && r.Fence == fence }
	}
	return t.transition(id, fits, func(r *row) {
		r.Outcome, r.Reasons, r.Version, r.Summary, r.generation = f.Outcome, f.Reasons, f.Version, f.Summary, fence
		r.looked = f.Looked
		if f.Status == scan.Cancelled {
			return
		}
		r.Status, r.EndedAt, r.Error, r.admitted = f.Status, f.At, f.Error, false
	})
}

func (t *memoryTx) SummariseScan(_ context.Context, id uid.Scan) (scan.Scan, error) {
	r, ok := t.rows[id]
	if !ok || r.Org != t.org {
		return scan.Scan{}, fault.Missing("scan")
	}
	r.Summary = finding.Summary{}
	for _, o := range t.results[id][r.generation] {
		r.Summary.Add(o.Severity)
	}
	t.rows[id] = r
	return r.Scan, nil
}

// hold is the guard of a worker's writes.
func (t *memoryTx) hold(id uid.Scan, fits func(row) bool) (int64, error) {
	r := t.rows[id]
	if r.Org != t.org || !fits(r) || (r.Status != scan.Running && r.Status != scan.Cancelled) {
		return 0, lost()
	}
	return r.Fence, nil
}

func (t *memoryTx) PutArtifact(_ context.Context, id uid.Scan, attempt int, a scan.Artifact) error {
	fence, err := t.hold(id, func(r row) bool { return r.Attempt == attempt })
	if err != nil {
		return err
	}
	put(t.artifacts, id, fence, a)
	return nil
}

func put[V any](m map[uid.Scan]map[int64][]V, id uid.Scan, fence int64, v V) {
	if m[id] == nil {
		m[id] = map[int64][]V{}
	}
	m[id][fence] = append(m[id][fence], v)
}

func (t *memoryTx) RecordFindings(_ context.Context, s scan.Scan, seen []scan.Seen, at time.Time) ([]finding.Change, error) {
	t.largest = max(t.largest, len(seen))
	if _, err := t.hold(s.ID, func(r row) bool { return r.Fence == s.Fence }); err != nil {
		return nil, err
	}
	var out []finding.Change
	for _, o := range seen {
		f := t.findings[o.Fingerprint]
		status, fate := finding.Next(f.Status)
		if fate == finding.Created {
			t.next++
			f.ID, f.Engine, f.Fingerprint, f.FirstSeenAt = uid.Finding(fmt.Sprint("finding-", t.next)), s.Engine, o.Fingerprint, at
		}
		f.Observation, f.Status, f.LastSeenAt, f.Scan = o.Observation, status, at, s.ID
		t.findings[o.Fingerprint] = f
		put(t.results, s.ID, s.Fence, o)
		out = append(out, finding.Change{ID: f.ID, Fate: fate, Status: status})
	}
	return out, nil
}

func (t *memoryTx) FixFindings(_ context.Context, ids []uid.Finding, _ uid.Scan, at time.Time) (int, error) {
	n := 0
	for print, f := range t.findings {
		if slices.Contains(ids, f.ID) && f.Status == finding.Open {
			f.Status, f.FixedAt = finding.Fixed, at
			t.findings[print] = f
			n++
		}
	}
	return n, nil
}

func (t *memoryTx) MissFindings(_ context.Context, ids []uid.Finding, _ uid.Scan, _ time.Time) error {
	for _, f := range t.findings {
		if slices.Contains(ids, f.ID) && f.Status.Human() {
			t.missed = append(t.missed, f.ID)
		}
	}
	return nil
}

func (t *memoryTx) RecordAssets(_ context.Context, s scan.Scan, obs []asset.Observation, _ time.Time) error {
	t.largest = max(t.largest, len(obs))
	if _, err := t.hold(s.ID, func(r row) bool { return r.Fence == s.Fence }); err != nil {
		return err
	}
	for _, o := range obs {
		put(t.assets, s.ID, s.Fence, o)
	}
	return nil
}

func (t *memoryTx) Emit(_ context.Context, typ event.Type, subject string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	t.events = append(t.events, event.Event{Seq: int64(len(t.events) + 1), Org: t.org, Type: typ, Subject: subject, At: t.now(), Data: b})
	return nil
}

// Admit implements scan.Line.
func (m *memory) Admit(ctx context.Context, _, until time.Time,
	decide func([]scan.Waiting, []scan.Slot, map[uid.Org]tenant.Concurrency) []scan.Waiting,
) (int, error) {
	var jobs []job.Scan
	err := m.change(ctx, audit.Bookkeeping("admission"), func(_ context.Context, tx *memoryTx) error {
		jobs = nil
		var waiting []scan.Waiting
		limits := map[uid.Org]tenant.Concurrency{}
		for _, r := range tx.rows {
			limits[r.Org] = m.limits
			if r.Status == scan.Queued && !r.admitted {
				waiting = append(waiting, scan.Waiting{Org: r.Org, Scan: r.ID, Engine: r.Engine, Host: r.Host, Due: r.Due()})
			}
		}
		slices.SortFunc(waiting, func(a, b scan.Waiting) int { return cmp.Compare(a.Scan, b.Scan) })
		for _, w := range decide(waiting, m.slots(func(r row) bool { return r.admitted }), limits) {
			r := tx.rows[w.Scan]
			r.Fence, r.admitted, r.LeaseUntil = r.Fence+1, true, until
			tx.rows[w.Scan] = r
			jobs = append(jobs, job.Scan{Org: w.Org, Scan: w.Scan, Fence: r.Fence})
		}
		return nil
	})
	for _, j := range jobs {
		m.jobs <- j
	}
	return len(jobs), err
}

// Expired implements scan.Line.
func (m *memory) Expired(_ context.Context, now time.Time, limit int) ([]scan.Slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dead := m.slots(func(r row) bool { return r.admitted && r.LeaseUntil.Before(now) })
	return dead[:min(len(dead), limit)], nil
}

func (m *memory) slots(which func(row) bool) []scan.Slot {
	var out []scan.Slot
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		if r := m.rows[id]; which(r) {
			out = append(out, scan.Slot{Org: r.Org, Scan: r.ID, Engine: r.Engine, Host: r.Host, Fence: r.Fence, Attempt: r.Attempt})
		}
	}
	return out
}

// Subscribe implements scan.Hub.
func (m *memory) Subscribe(_ uid.Org, subject string) (<-chan struct{}, func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := make(chan struct{}, 1)
	if m.hub[subject] == nil {
		m.hub[subject] = map[chan struct{}]struct{}{}
	}
	m.hub[subject][ch] = struct{}{}
	return ch, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.hub[subject], ch)
	}, nil
}

// types lists the events about a scan, progress left out.
func (m *memory) types(id uid.Scan) []event.Type {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []event.Type{}
	for _, e := range m.events {
		if e.Subject == string(id) && e.Type != event.ScanProgress {
			out = append(out, e.Type)
		}
	}
	return out
}

// edit changes a row behind everybody's back.
func (m *memory) edit(id uid.Scan, change func(*row)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	change(&r)
	m.rows[id] = r
}

func (m *memory) row(id uid.Scan) row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[id]
}

// blobs keeps blobs in memory.
type blobs struct {
	mu   sync.Mutex
	kept map[string][]byte
	open int // begun and neither committed nor aborted
	full bool
}

func (b *blobs) Create(uid.Org, string) (scan.Blob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	return &blob{all: b}, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func (b *blobs) Open(_ context.Context, _ uid.Org, digest string) (io.ReadSeekCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.kept[digest]
	if !ok {
		return nil, fault.Missing("artifact")
	}
	return readCloser{bytes.NewReader(data)}, nil
}

type blob struct {
	all  *blobs
	data []byte
}

func (b *blob) Write(p []byte) (int, error) {
	if b.all.full {
		return 0, fmt.Errorf("disk full")
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
func (b *blob) Size() int64 { return int64(len(b.data)) }

func (b *blob) Commit() (string, error) {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	sum := sha256.Sum256(b.data)
	digest := hex.EncodeToString(sum[:])
	b.all.kept[digest] = b.data
	b.all.open--
	return digest, nil
}

func (b *blob) Abort() error {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	b.all.open--
	return nil
}

// runner hands out nothing but a name.
type runner struct {
	fingerprint func(string) string // nil = none

	mu   sync.Mutex
	open int
}

func (r *runner) equip() (engine.Env, func() error, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	return engine.Env{Work: "/scratch", Fingerprint: r.fingerprint}, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open--
		return nil
	}, nil
}
