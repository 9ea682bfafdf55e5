package asset_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA uid.Org = "01890000-0000-7000-8000-00000000000a"
	orgB uid.Org = "01890000-0000-7000-8000-00000000000b"
)

// store is an inventory in memory that keeps organizations apart and notes every audit event.
type store struct {
	mu     sync.Mutex
	rows   map[uid.Org]map[uid.Asset]asset.Asset
	scopes map[uid.Org]asset.Scope
	events []audit.Event
}

func newStore() *store {
	return &store{rows: map[uid.Org]map[uid.Asset]asset.Asset{}, scopes: map[uid.Org]asset.Scope{}}
}

func (s *store) Asset(_ context.Context, org uid.Org, id uid.Asset) (asset.Asset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.rows[org][id]
	if !ok {
		return asset.Asset{}, fault.Missing("asset")
	}
	return a, nil
}

func (s *store) Assets(_ context.Context, org uid.Org, q asset.Query) (asset.List, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l asset.List
	for _, a := range s.rows[org] {
		if len(l.Items) < q.Page.Limit {
			l.Items = append(l.Items, a)
		}
	}
	return l, nil
}

func (s *store) ScanScope(_ context.Context, org uid.Org) (asset.Scope, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scopes[org], nil
}

func (s *store) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, asset.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[org] == nil {
		s.rows[org] = map[uid.Asset]asset.Asset{}
	}
	if err := unit(ctx, storeTx{s, org}); err != nil {
		return err
	}
	s.events = append(s.events, ev)
	return nil
}

type storeTx struct {
	*store

	org uid.Org
}

func (t storeTx) AssetForUpdate(_ context.Context, id uid.Asset) (asset.Asset, error) {
	a, ok := t.rows[t.org][id]
	if !ok {
		return asset.Asset{}, fault.Missing("asset")
	}
	return a, nil
}

func (t storeTx) InsertAsset(_ context.Context, a asset.Asset) error {
	for _, b := range t.rows[t.org] {
		if b.Kind == a.Kind && b.Name == a.Name {
			return fault.New(fault.Conflict, fault.CodeConflict, "there is such an asset")
		}
	}
	t.rows[t.org][a.ID] = a
	return nil
}

func (t storeTx) UpdateAsset(_ context.Context, a asset.Asset) error {
	if _, ok := t.rows[t.org][a.ID]; !ok {
		return fault.Missing("asset")
	}
	t.rows[t.org][a.ID] = a
	return nil
}

func (t storeTx) DeleteAsset(_ context.Context, id uid.Asset) error {
	if _, ok := t.rows[t.org][id]; !ok {
		return fault.Missing("asset")
	}
	delete(t.rows[t.org], id)
	return nil
}

func (t storeTx) ObserveAssets(context.Context, []asset.Observation, time.Time) error { return nil }

func (t storeTx) PutScanScope(_ context.Context, s asset.Scope) error {
	t.scopes[t.org] = s
	return nil
}

func setup(t *testing.T) (*asset.Service, *store) {
	t.Helper()
	at := time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC)
	now := func() time.Time { at = at.Add(time.Second); return at }
	st := newStore()
	return asset.New(asset.Deps{Store: st, Now: now, IDs: uid.NewSource(now, strings.NewReader(strings.Repeat("x", 1<<16)))}), st
}

func TestAssetIsKnownByItsCanonicalName(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for _, c := range []struct {
		kind       asset.Kind
		name, want string
	}{
		{asset.KindHost, "db server 3", "db server 3"},
		{asset.KindHost, "WWW.Example.org.", "www.example.org"},
		{asset.KindHost, "::FFFF:192.0.2.7", "192.0.2.7"},
		{asset.KindDomain, "Example.ORG", "example.org"},
		{asset.KindURL, "https://Example.org:443/a#b", "https://example.org/a"},
		{asset.KindService, "Example.org:443", "example.org:443/tcp"},
		{asset.KindService, "[2001:DB8::1]:53/udp", "[2001:db8::1]:53/udp"},
		{asset.KindImage, "Registry.example.org/app:1", "registry.example.org/app:1"},
		{asset.KindRepository, "https://git.example.org/team/app/", "https://git.example.org/team/app"},
		{asset.KindRepository, "team/app", "team/app"},
		{asset.KindVault, "kv prod", "kv prod"},
		{asset.KindSecret, "cafe\u0301", "café"},
	} {
		got, err := s.Create(t.Context(), orgA, asset.Draft{Kind: c.kind, Name: c.name})
		if err != nil || got.Name != c.want || got.Kind != c.kind {
			t.Errorf("Create(%s, %q) = %q (%v), want %q", c.kind, c.name, got.Name, err, c.want)
		}
	}
	_, err := s.Create(t.Context(), orgA, asset.Draft{Kind: asset.KindHost, Name: "www.example.org"})
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("the same asset in another spelling: %v, want a Conflict", err)
	}
	if _, err := s.Create(t.Context(), orgB, asset.Draft{Kind: asset.KindHost, Name: "www.example.org"}); err != nil {
		t.Errorf("the same asset of another organization: %v", err)
	}
}

func TestAssetIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	s, st := setup(t)
	for location, d := range map[string]asset.Draft{
		"kind":       {Kind: "planet", Name: "x"},
		"name":       {Kind: asset.KindHost, Name: "-x"},
		"tags":       {Kind: asset.KindVault, Name: "x", Tags: make([]string, 21)},
		"tags[1]":    {Kind: asset.KindVault, Name: "x", Tags: []string{"a", "b\nc"}},
		"note":       {Kind: asset.KindVault, Name: "x", Note: strings.Repeat("é", 2001)},
		"attributes": {Kind: asset.KindVault, Name: "x", Attributes: json.RawMessage(`[1]`)},
	} {
		_, err := s.Create(t.Context(), orgA, d)
		if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Location != location {
			t.Errorf("%s: %v", location, err)
		}
	}
	for _, d := range []asset.Draft{
		{Kind: asset.KindVault, Name: ""},
		{Kind: asset.KindVault, Name: " x"},
		{Kind: asset.KindVault, Name: strings.Repeat("x", 256)},
		{Kind: asset.KindVault, Name: "a\u202eb"},
		{Kind: asset.KindVault, Name: "a\xff"},
		{Kind: asset.KindService, Name: "example.org"},
		{Kind: asset.KindService, Name: "example.org:0"},
		{Kind: asset.KindService, Name: "example.org:1/icmp"},
		{Kind: asset.KindHost, Name: "127.1"},
		{Kind: asset.KindURL, Name: "https://example.org/" + strings.Repeat("a", 300)},
		{Kind: asset.KindVault, Name: "x", Attributes: json.RawMessage(`{"a"`)},
		{Kind: asset.KindVault, Name: "x", Attributes: json.RawMessage(`{"a":"` + strings.Repeat("x", 16<<10) + `"}`)},
		{Kind: asset.KindVault, Name: "x", Tags: []string{strings.Repeat("x", 65)}},
		{Kind: asset.KindVault, Name: "x", Note: "a\x00"},
	} {
		if _, err := s.Create(t.Context(), orgA, d); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v, want an Invalid fault", d, err)
		}
	}
	if len(st.rows[orgA]) != 0 || len(st.events) != 0 {
		t.Error("a refused asset left something behind")
	}
}

func TestAssetIsChangedFieldByField(t *testing.T) {
	t.Parallel()
	s, st := setup(t)
	made, err := s.Create(t.Context(), orgA, asset.Draft{
		Kind: asset.KindHost, Name: "example.org", Note: "a\r\nb", Tags: []string{"x", "x", "y"}, Attributes: json.RawMessage(`{ "os" : "linux" }`),
	})
	if err != nil {
		t.Fatal(err)
	}
	status, tags, none := asset.Removed, []string{"z"}, json.RawMessage(`null`)
	got, err := s.Update(t.Context(), orgA, made.ID, asset.Patch{Status: &status, Tags: &tags, Attributes: &none})
	if err != nil {
		t.Fatal(err)
	}
	want := made
	want.Note, want.Status, want.Tags, want.Attributes, want.UpdatedAt = "a\nb", asset.Removed, []string{"z"}, nil, got.UpdatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
	if !got.UpdatedAt.After(made.UpdatedAt) || got.UpdatedAt.Nanosecond()%1000 != 0 {
		t.Errorf("updated at %v after %v", got.UpdatedAt, made.UpdatedAt)
	}
	if diff := cmp.Diff([]event.Audit{event.AssetCreated, event.AssetUpdated}, []event.Audit{st.events[0].Type, st.events[1].Type}); diff != "" {
		t.Error(diff)
	}
	bad := "gone"
	if _, err := s.Update(t.Context(), orgA, made.ID, asset.Patch{Status: &bad}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an unknown status: %v", err)
	}
	for _, org := range []uid.Org{orgB} {
		if _, err := s.Get(t.Context(), org, made.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization reads it: %v", err)
		}
		if _, err := s.Update(t.Context(), org, made.ID, asset.Patch{}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization changes it: %v", err)
		}
		if err := s.Delete(t.Context(), org, made.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another organization deletes it: %v", err)
		}
	}
	if err := s.Delete(t.Context(), orgA, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), orgA, made.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a deleted asset: %v", err)
	}
	if err := s.Delete(t.Context(), orgA, "../x"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an id that is none: %v", err)
	}
}

func TestListIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for _, name := range []string{"a.example", "b.example"} {
		if _, err := s.Create(t.Context(), orgA, asset.Draft{Kind: asset.KindHost, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := s.List(t.Context(), orgA, asset.Query{}); err != nil || len(l.Items) != 2 {
		t.Errorf("%d items (%v)", len(l.Items), err)
	}
	var over asset.Query
	over.Page.Limit = 101
	var far asset.Query
	far.Page.Offset = 10_001
	for _, q := range []asset.Query{over, far, {Kind: "planet"}, {Status: "gone"}} {
		if _, err := s.List(t.Context(), orgA, q); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestScanScopeIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	s, st := setup(t)
	put, err := s.PutScanScope(t.Context(), orgA, []asset.Rule{{Value: "10.1.2.3/8"}}, []asset.Rule{{Value: "10.9.0.0/16"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.ScanScope(t.Context(), orgA)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(put, got); diff != "" || got.Allow[0].Value != "10.0.0.0/8" || got.UpdatedAt.IsZero() {
		t.Errorf("scope %+v (-put +got):\n%s", got, diff)
	}
	if _, err := s.PutScanScope(t.Context(), orgA, []asset.Rule{{Value: "nonsense nonsense"}}, nil); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a wrong rule: %v", err)
	}
	if other, err := s.ScanScope(t.Context(), orgB); err != nil || len(other.Allow) != 0 {
		t.Errorf("another organization's scope: %+v (%v)", other, err)
	}
	if len(st.events) != 1 || st.events[0].Type != event.ScopeUpdated {
		t.Errorf("audit events %+v", st.events)
	}
}
