package access_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func TestStandingIsWhoAPrincipalIsNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Name: "k", Scopes: []string{"scans:create"}, Engines: []string{"nmap"}})
	a, err := b.Standing(t.Context(), b.org, "key:"+string(k.Key.ID))
	if err != nil || a.Principal() != "key:"+string(k.Key.ID) || a.MayEngine("nmap") != nil || a.MayEngine("sentinel") == nil || a.May(access.ScansRead) == nil || a.Plan == "" {
		t.Errorf("%+v, %v", a, err)
	}
	u := b.user(t)
	a, err = b.Standing(t.Context(), b.org, "user:"+string(u.ID))
	if diff := cmp.Diff(u.Role.Scopes(), a.Scopes); err != nil || diff != "" || a.Principal() != "user:"+string(u.ID) {
		t.Errorf("%+v, %v %s", a, err, diff)
	}
	if a, err = b.Standing(t.Context(), b.org, "operator"); err != nil || a.Principal() != "operator" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestStandingEndsWithTheKeyTheUserOrTheOrganization(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	days := 1
	revoked, suspended := b.key(t, access.NewKey{Name: "r", Scopes: []string{"scans:create"}}), b.key(t, access.NewKey{Name: "s", Scopes: []string{"scans:create"}})
	expired := b.key(t, access.NewKey{Name: "e", Scopes: []string{"scans:create"}, ExpiresInDays: &days})
	disabled := b.user(t, func(u *access.User) { u.Disabled = true })
	if _, err := b.RevokeKey(t.Context(), b.admin, revoked.Key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SuspendKey(t.Context(), b.admin, suspended.Key.ID); err != nil {
		t.Fatal(err)
	}
	b.clock.add(24 * time.Hour)
	for principal, want := range map[string]fault.Code{
		"key:" + string(revoked.Key.ID): fault.CodeKeyRevoked, "key:" + string(suspended.Key.ID): fault.CodeKeySuspended,
		"key:" + string(expired.Key.ID): fault.CodeKeyExpired, "user:" + string(disabled.ID): fault.CodeUnauthenticated,
		"key:01900000-0000-7000-8000-00000000ffff": fault.CodeNotFound, "user:x": fault.CodeNotFound, "system": fault.CodeNotFound, "": fault.CodeNotFound,
	} {
		if _, err := b.Standing(t.Context(), b.org, principal); err == nil || fault.Of(err).Code != want {
			t.Errorf("%s: %v, want %s", principal, err, want)
		}
	}
	if _, err := b.Standing(t.Context(), uid.Org("01900000-0000-7000-8000-00000000eeee"), "operator"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of no organization: %v", err)
	}
	b.store.orgs[b.org] = tenant.Organization{ID: b.org, Plan: tenant.Pro, Suspended: true}
	if _, err := b.Standing(t.Context(), b.org, "operator"); err == nil || fault.Of(err).Code != fault.CodeOrgSuspended {
		t.Errorf("suspended: %v", err)
	}
}
