// Package testkit is what tests share: databases that live as long as a test, two organizations, a clock that stands
// still, golden files.
//
// Only tests may import it. It must never hold a rule of the product: a test that needs one asks the product. Start
// with Each, which runs a test on both databases.
package testkit

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/uid"
)

// Clock is a clock that a test moves by hand. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Epoch is where every Clock begins.
func Epoch() time.Time { return time.Date(2026, time.March, 6, 10, 0, 0, 0, time.UTC) }

// NewClock returns a clock that stands at Epoch.
func NewClock() *Clock { return &Clock{now: Epoch()} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock and returns its new time.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// IDs returns a source of ids on the clock.
func (c *Clock) IDs() *uid.Source { return uid.NewSource(c.Now, rand.Reader) }

// Org makes an organization with default settings, the enterprise plan and an empty scan scope.
func Org(tb testing.TB, s *store.Store, name string) uid.Org {
	tb.Helper()
	id := uid.Org(uid.NewSource(Epoch, rand.Reader).New())
	o := tenant.Organization{ID: id, Name: name, Plan: tenant.Enterprise, CreatedAt: Epoch()}
	if err := s.Admin().CreateOrganization(tb.Context(), o, tenant.Defaults(), []byte("sealed"), nil); err != nil {
		tb.Fatalf("making organization %s: %v", name, err)
	}
	return id
}

// TwoOrgs makes the two organizations that every test of isolation needs.
func TwoOrgs(tb testing.TB, s *store.Store) (ours, theirs uid.Org) {
	tb.Helper()
	return Org(tb, s, "Ours"), Org(tb, s, "Theirs")
}

// OpenScope is a scan scope that allows loopback and the documentation networks.
func OpenScope() asset.Scope {
	return asset.Scope{
		Allow: []asset.Rule{
			{Kind: asset.RuleCIDR, Value: "127.0.0.0/8"},
			{Kind: asset.RuleCIDR, Value: "192.0.2.0/24"},
			{Kind: asset.RuleDomain, Value: "example.org"},
		},
		UpdatedAt: Epoch(),
	}
}
