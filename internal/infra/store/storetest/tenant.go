package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func organizations(t *testing.T, h *house) {
	ctx := t.Context()
	want := tenant.Organization{ID: h.ours, Name: "Ours", Plan: tenant.Enterprise, CreatedAt: testkit.Epoch()}
	same(t, "organization", want, got(h.s.Tenants().Organization(ctx, h.ours))(t))
	same(t, "settings", tenant.Defaults(), got(h.s.Tenants().Settings(ctx, h.ours))(t))
	same(t, "signing keys", []byte("sealed"), got(h.s.Tenants().SealedSigningKeys(ctx, h.ours))(t))

	err := h.s.Admin().CreateOrganization(ctx, want, tenant.Defaults(), nil, nil)
	wantConflict(t, err)
	nobody := uid.Org(h.ids.New())
	_, err = h.s.Tenants().Organization(ctx, nobody)
	wantMissing(t, err)
	_, err = h.s.Tenants().Settings(ctx, nobody)
	wantMissing(t, err)
	_, err = h.s.Tenants().SealedCallbackSecret(ctx, h.ours)
	wantMissing(t, err)

	changed := tenant.Defaults()
	changed.TimeZone, changed.Concurrency.Engine = "Europe/Paris", 1
	must(t, h.tenants(t, h.ours, func(ctx context.Context, tx tenant.Tx) error {
		s, err := tx.SettingsForUpdate(ctx)
		if err != nil {
			return err
		}
		s.TimeZone, s.Concurrency.Engine = "Europe/Paris", 1
		if err := tx.PutSettings(ctx, s); err != nil {
			return err
		}
		if err := tx.SetPlan(ctx, tenant.Pro); err != nil {
			return err
		}
		if err := tx.PutCallbackSecret(ctx, []byte{0, 1, 2}); err != nil {
			return err
		}
		return tx.SetSuspended(ctx, true)
	}))
	want.Plan, want.Suspended = tenant.Pro, true
	same(t, "changed organization", want, got(h.s.Tenants().Organization(ctx, h.ours))(t))
	same(t, "changed settings", changed, got(h.s.Tenants().Settings(ctx, h.ours))(t))
	same(t, "callback secret", []byte{0, 1, 2}, got(h.s.Tenants().SealedCallbackSecret(ctx, h.ours))(t))
	same(t, "their settings", tenant.Defaults(), got(h.s.Tenants().Settings(ctx, h.theirs))(t))
	if n := len(got(h.s.Admin().Organizations(ctx))(t)); n != 2 {
		t.Errorf("the operator sees %d organizations; want 2", n)
	}
	wantMissing(t, h.tenants(t, nobody, func(ctx context.Context, tx tenant.Tx) error { return tx.SetPlan(ctx, tenant.Pro) }))
}

func quotas(t *testing.T, h *house) {
	consume := func(org uid.Org, period string, n, limit int64) error {
		return h.scans(t, org, func(ctx context.Context, tx scan.Tx) error {
			return tx.Consume(ctx, usage.MetricScans, period, n, limit)
		})
	}
	wantKind(t, consume(h.ours, "2026-01", 6, 5), fault.Exhausted, fault.CodeQuota)
	must(t, consume(h.ours, "2026-01", 5, 5))
	wantKind(t, consume(h.ours, "2026-01", 1, 5), fault.Exhausted, fault.CodeQuota)
	must(t, consume(h.ours, "2026-02", 1, 5))
	must(t, consume(h.theirs, "2026-01", 5, 5))
	must(t, consume(h.ours, "2026-01", 100, 0))
	if used := got(h.s.Usage().Used(t.Context(), h.ours, usage.MetricScans, "2026-01"))(t); used != 105 {
		t.Errorf("used = %d; want 105", used)
	}

	// Whatever many callers ask for at once, what is granted never passes the limit, and nothing that fits is refused
	// for good.
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		if rounds++; rounds > 12 { // each round is hundreds of durable commits
			return
		}
		limit := rapid.Int64Range(1, 40).Draw(rt, "limit")
		asks := rapid.SliceOfN(rapid.Int64Range(1, 7), 1, 40).Draw(rt, "asks")
		period := fmt.Sprintf("round-%d", rounds)
		var mu sync.Mutex
		var granted, smallestRefused int64
		var wg sync.WaitGroup
		for _, n := range asks {
			wg.Go(func() {
				err := consume(h.ours, period, n, limit)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					granted += n
				} else if smallestRefused == 0 || n < smallestRefused {
					smallestRefused = n
				}
			})
		}
		wg.Wait()
		if granted > limit {
			rt.Fatalf("granted %d of %d", granted, limit)
		}
		if used := got(h.s.Usage().Used(t.Context(), h.ours, usage.MetricScans, period))(t); used != granted {
			rt.Fatalf("counted %d, granted %d", used, granted)
		}
		if smallestRefused != 0 && granted+smallestRefused <= limit {
			rt.Fatalf("%d was refused though only %d of %d are used", smallestRefused, granted, limit)
		}
	})
}
