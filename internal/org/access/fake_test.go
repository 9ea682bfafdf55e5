package access_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// secretRow is one living or dead secret of a key.
type secretRow struct {
	key   uid.Key
	until time.Time
}

// memory is a store in memory with the contract of access.Store: one unit at a time, nothing of a failed one.
type memory struct {
	mu       sync.Mutex
	orgs     map[uid.Org]tenant.Organization
	keys     map[uid.Key]access.Key
	secrets  map[access.Hash]secretRow
	users    map[uid.User]access.User
	sessions map[uid.Session]access.Session
	events   []recorded
	lookups  int
	touches  int
	fail     error  // answers the next change
	before   func() // runs before the next change, outside the lock
	during   func() // runs in the next look-up of a hash, after the row was read
}

type recorded struct {
	Org   uid.Org
	Event audit.Event
}

func newMemory() *memory {
	return &memory{
		orgs: map[uid.Org]tenant.Organization{}, keys: map[uid.Key]access.Key{}, secrets: map[access.Hash]secretRow{},
		users: map[uid.User]access.User{}, sessions: map[uid.Session]access.Session{},
	}
}

func (m *memory) Organization(_ context.Context, org uid.Org) (tenant.Organization, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.orgs[org]
	if !ok {
		return o, fault.Missing("organization")
	}
	return o, nil
}

func (m *memory) KeyByHash(_ context.Context, h access.Hash) (access.KeyMatch, error) {
	m.mu.Lock()
	m.lookups++
	row, ok := m.secrets[h]
	k := m.keys[row.key]
	o := m.orgs[k.Org]
	during := m.during
	m.during = nil
	m.mu.Unlock()
	if during != nil {
		during()
	}
	if !ok {
		return access.KeyMatch{}, fault.Missing("API key")
	}
	return access.KeyMatch{Key: k, Hash: h, Plan: string(o.Plan), Suspended: o.Suspended, SecretUntil: row.until}, nil
}

func (m *memory) SessionByHash(_ context.Context, h access.Hash) (access.SessionMatch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	for _, s := range m.sessions {
		if s.Hash == h {
			o := m.orgs[s.Org]
			return access.SessionMatch{Session: s, User: m.users[s.User], Plan: string(o.Plan), Suspended: o.Suspended}, nil
		}
	}
	return access.SessionMatch{}, fault.Missing("session")
}

func (m *memory) UserByName(_ context.Context, name string) (access.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		if u.Username == name {
			return u, nil
		}
	}
	return access.User{}, fault.Missing("user")
}

func (m *memory) User(_ context.Context, org uid.Org, id uid.User) (access.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u, ok := m.users[id]; ok && u.Org == org {
		return u, nil
	}
	return access.User{}, fault.Missing("user")
}

func (m *memory) APIKey(_ context.Context, org uid.Org, id uid.Key) (access.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.keys[id]; ok && k.Org == org {
		return k, nil
	}
	return access.Key{}, fault.Missing("API key")
}

func (m *memory) APIKeys(_ context.Context, org uid.Org, p page.Request) (access.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out access.Keys
	for _, k := range m.keys {
		if k.Org == org && len(out.Items) < p.Limit {
			out.Items = append(out.Items, k)
		}
	}
	return out, nil
}

func (m *memory) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, access.Tx) error) error {
	m.mu.Lock()
	before, failing := m.before, m.fail
	m.before, m.fail = nil, nil
	m.mu.Unlock()
	if before != nil {
		before()
	}
	if failing != nil {
		return failing
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	keys, secrets, users, sessions := maps.Clone(m.keys), maps.Clone(m.secrets), maps.Clone(m.users), maps.Clone(m.sessions)
	if err := unit(ctx, tx{m, org}); err != nil {
		m.keys, m.secrets, m.users, m.sessions = keys, secrets, users, sessions
		return err
	}
	if !ev.Unlogged() {
		m.events = append(m.events, recorded{org, ev})
	}
	return nil
}

// locked looks at or changes the store while a goroutine of the service may use it.
func locked[T any](m *memory, f func() T) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

func (m *memory) touched() int { return locked(m, func() int { return m.touches }) }

func (m *memory) last() recorded {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == 0 {
		return recorded{}
	}
	return m.events[len(m.events)-1]
}

type tx struct {
	m   *memory
	org uid.Org
}

func (t tx) KeyForUpdate(_ context.Context, id uid.Key) (access.Key, error) {
	if k, ok := t.m.keys[id]; ok && k.Org == t.org {
		return k, nil
	}
	return access.Key{}, fault.Missing("API key")
}

func (t tx) UserForUpdate(_ context.Context, id uid.User) (access.User, error) {
	if u, ok := t.m.users[id]; ok && u.Org == t.org {
		return u, nil
	}
	return access.User{}, fault.Missing("user")
}

func (t tx) InsertKey(_ context.Context, k access.Key, h access.Hash) error {
	t.m.keys[k.ID] = k
	t.m.secrets[h] = secretRow{key: k.ID}
	return nil
}

func (t tx) UpdateKey(_ context.Context, k access.Key) error {
	t.m.keys[k.ID] = k
	return nil
}

func (t tx) RotateKey(_ context.Context, id uid.Key, prefix string, h access.Hash, _, ends time.Time) error {
	for old, row := range t.m.secrets {
		switch {
		case row.key != id:
		case row.until.IsZero():
			t.m.secrets[old] = secretRow{key: id, until: ends}
		default:
			delete(t.m.secrets, old)
		}
	}
	t.m.secrets[h] = secretRow{key: id}
	k := t.m.keys[id]
	k.Prefix, k.PreviousExpires = prefix, ends
	t.m.keys[id] = k
	return nil
}

func (t tx) TouchKeys(_ context.Context, used map[uid.Key]time.Time) error {
	for id, at := range used {
		t.m.touches++
		k := t.m.keys[id]
		k.LastUsedAt = at
		t.m.keys[id] = k
	}
	return nil
}

func (t tx) InsertUser(_ context.Context, u access.User) error {
	for _, have := range t.m.users {
		if have.Username == u.Username {
			return fault.New(fault.Conflict, fault.CodeConflict, "the user name is taken")
		}
	}
	t.m.users[u.ID] = u
	return nil
}

func (t tx) UpdateUser(_ context.Context, u access.User) error {
	t.m.users[u.ID] = u
	return nil
}

func (t tx) InsertSession(_ context.Context, s access.Session) error {
	t.m.sessions[s.ID] = s
	return nil
}

func (t tx) TouchSession(_ context.Context, id uid.Session, seen time.Time) error {
	t.m.touches++
	s := t.m.sessions[id]
	s.SeenAt = seen
	t.m.sessions[id] = s
	return nil
}

func (t tx) EndSession(_ context.Context, id uid.Session) error {
	delete(t.m.sessions, id)
	return nil
}

func (t tx) EndSessions(_ context.Context, user uid.User, but uid.Session) error {
	for id, s := range t.m.sessions {
		if s.User == user && id != but {
			delete(t.m.sessions, id)
		}
	}
	return nil
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a service over a store in memory with one organization, its operator and a moving clock.
type bench struct {
	*access.Service
	store *memory
	clock *clock
	org   uid.Org
	admin access.Actor // the operator
}

func newBench(tb testing.TB, change ...func(*access.Deps)) *bench {
	tb.Helper()
	c := &clock{t: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	ids := uid.NewSource(c.Now, rand.Reader)
	b := &bench{store: newMemory(), clock: c, org: uid.Org(ids.New())}
	b.store.orgs[b.org] = tenant.Organization{ID: b.org, Name: "Grove Hill", Plan: tenant.Enterprise}
	d := access.Deps{
		Store: b.store, Organizations: b.store, Now: c.Now, IDs: ids, Rand: rand.Reader,
		Log: slog.New(slog.DiscardHandler), Engines: []string{"nmap", "sentinel", "trivy", "zap"}, Ceiling: 1,
	}
	for _, f := range change {
		f(&d)
	}
	b.Service = access.New(d)
	b.admin = access.Operator(b.org)
	return b
}

// key makes a key as the operator and returns it with its secret.
func (b *bench) key(tb testing.TB, in access.NewKey) access.Issued {
	tb.Helper()
	if in.Name == "" {
		in.Name = "test"
	}
	if in.Scopes == nil {
		in.Scopes = []string{"scans:read"}
	}
	got, err := b.CreateKey(tb.Context(), b.admin, in)
	if err != nil {
		tb.Fatalf("creating a key: %v", err)
	}
	return got
}

// wantCode fails unless err is a fault of the kind and code.
func wantCode(tb testing.TB, err error, kind fault.Kind, code fault.Code) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error, want %s", code)
	}
	if f := fault.Of(err); f.Kind != kind || f.Code != code {
		tb.Fatalf("got %s %s, want %s %s", f.Kind, f.Error(), kind, code)
	}
}

// locations returns the fields that a fault names.
func locations(err error) []string {
	var out []string
	if f := fault.Of(err); f != nil {
		for _, field := range f.Fields {
			out = append(out, field.Location)
		}
	}
	return out
}
