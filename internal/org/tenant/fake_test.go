package tenant_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// memory is a store in memory with the contracts of tenant.Store and tenant.Admin.
type memory struct {
	mu       sync.Mutex
	orgs     map[uid.Org]tenant.Organization
	settings map[uid.Org]tenant.Settings
	sealed   map[uid.Org][]byte
	keys     map[uid.Org][]byte
	events   []audit.Event
}

func newMemory() *memory {
	return &memory{
		orgs: map[uid.Org]tenant.Organization{}, settings: map[uid.Org]tenant.Settings{},
		sealed: map[uid.Org][]byte{}, keys: map[uid.Org][]byte{},
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

func (m *memory) Settings(_ context.Context, org uid.Org) (tenant.Settings, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.settings[org]
	if !ok {
		return s, fault.Missing("organization")
	}
	return s, nil
}

func (m *memory) Organizations(context.Context) ([]tenant.Organization, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []tenant.Organization
	for _, o := range m.orgs {
		out = append(out, o)
	}
	return out, nil
}

func (m *memory) CreateOrganization(ctx context.Context, o tenant.Organization, s tenant.Settings, keys []byte, init func(context.Context, tenant.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orgs[o.ID], m.settings[o.ID], m.keys[o.ID] = o, s, keys
	if err := init(ctx, tx{m, o.ID}); err != nil {
		delete(m.orgs, o.ID)
		return err
	}
	return nil
}

func (m *memory) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, tenant.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	orgs, settings, sealed := maps.Clone(m.orgs), maps.Clone(m.settings), maps.Clone(m.sealed)
	for range 2 { // a unit may run twice
		m.orgs, m.settings, m.sealed = maps.Clone(orgs), maps.Clone(settings), maps.Clone(sealed)
		if err := unit(ctx, tx{m, org}); err != nil {
			m.orgs, m.settings, m.sealed = orgs, settings, sealed
			return err
		}
	}
	m.events = append(m.events, ev)
	return nil
}

type tx struct {
	m   *memory
	org uid.Org
}

func (t tx) SettingsForUpdate(context.Context) (tenant.Settings, error) {
	s, ok := t.m.settings[t.org]
	if !ok {
		return s, fault.Missing("organization")
	}
	return s, nil
}

func (t tx) PutSettings(_ context.Context, s tenant.Settings) error {
	t.m.settings[t.org] = s
	return nil
}

func (t tx) SetPlan(_ context.Context, p tenant.Plan) error {
	o := t.m.orgs[t.org]
	o.Plan = p
	t.m.orgs[t.org] = o
	return nil
}

func (t tx) SetSuspended(_ context.Context, suspended bool) error {
	o := t.m.orgs[t.org]
	o.Suspended = suspended
	t.m.orgs[t.org] = o
	return nil
}

func (t tx) PutCallbackSecret(_ context.Context, sealed []byte) error {
	t.m.sealed[t.org] = sealed
	return nil
}

// sealer marks what it sealed instead of encrypting it.
type sealer struct{ fail bool }

func (s sealer) Seal(org uid.Org, record string, plain []byte) ([]byte, error) {
	if s.fail {
		return nil, errors.New("no master key")
	}
	return append([]byte(string(org)+"|"+record+"|"), plain...), nil
}

func wantCode(tb testing.TB, err error, kind fault.Kind, code fault.Code) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error, want %s", code)
	}
	if f := fault.Of(err); f.Kind != kind || f.Code != code {
		tb.Fatalf("got %s %s, want %s %s", f.Kind, f.Error(), kind, code)
	}
}
