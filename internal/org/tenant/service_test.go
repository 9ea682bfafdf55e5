package tenant_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const org = uid.Org("019aa000-0000-7000-8000-000000000001")

func newService(m *memory) *tenant.Service {
	return tenant.New(tenant.Deps{Store: m, Sealer: sealer{}, Rand: rand.Reader, Zone: time.LoadLocation})
}

func newOperator(m *memory, told *[]uid.Org) *tenant.Operator {
	now := func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 1500, time.UTC) }
	return tenant.NewOperator(tenant.OperatorDeps{
		Admin: m, Store: m, Now: now, IDs: uid.NewSource(now, rand.Reader),
		NewKeys: func(_ context.Context, org uid.Org) ([]byte, error) { return []byte("keys of " + org), nil },
		Changed: func(org uid.Org) { *told = append(*told, org) },
	})
}

func TestNewOrganizationHasDefaultsKeysAndItsFirstRows(t *testing.T) {
	t.Parallel()
	m, told := newMemory(), []uid.Org{}
	o := newOperator(m, &told)
	made, err := o.Create(t.Context(), tenant.NewOrganization{Name: "Grove", Plan: tenant.Pro, Init: func(ctx context.Context, tx tenant.Tx) error {
		return tx.PutCallbackSecret(ctx, []byte("first"))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(tenant.Organization{ID: made.ID, Name: "Grove", Plan: tenant.Pro, CreatedAt: time.Date(2026, 11, 22, 10, 0, 0, 1000, time.UTC)}, made); d != "" {
		t.Errorf("organization (-want +got)\n%s", d)
	}
	if d := cmp.Diff(tenant.Defaults(), m.settings[made.ID]); d != "" {
		t.Errorf("settings (-want +got)\n%s", d)
	}
	if string(m.keys[made.ID]) != "keys of "+string(made.ID) || string(m.sealed[made.ID]) != "first" {
		t.Error("keys or first rows are missing")
	}
	m.orgs[uid.System] = tenant.Organization{ID: uid.System}
	all, err := o.List(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != made.ID {
		t.Errorf("list %v, %v", all, err)
	}
	if _, err := o.Create(t.Context(), tenant.NewOrganization{Name: "Plain", Plan: tenant.Free}); err != nil {
		t.Error(err)
	}
}

func TestBadOrganizationsAreRefused(t *testing.T) {
	t.Parallel()
	m, told := newMemory(), []uid.Org{}
	o := newOperator(m, &told)
	for field, in := range map[string][]tenant.NewOrganization{
		"name": {
			{Plan: tenant.Pro},
			{Name: "  ", Plan: tenant.Pro},
			{Name: " x", Plan: tenant.Pro},
			{Name: "a\nb", Plan: tenant.Pro},
			{Name: "\xff", Plan: tenant.Pro},
			{Name: strings.Repeat("é", 256), Plan: tenant.Pro},
		},
		"plan": {{Name: "x"}, {Name: "x", Plan: "gold"}},
	} {
		for _, order := range in {
			_, err := o.Create(t.Context(), order)
			wantCode(t, err, fault.Invalid, fault.CodeValidation)
			if got := fault.Of(err).Fields[0].Location; got != field {
				t.Errorf("%+v: names %s, want %s", order, got, field)
			}
		}
	}
	if _, err := o.Create(t.Context(), tenant.NewOrganization{Name: strings.Repeat("é", 255), Plan: tenant.Pro}); err != nil {
		t.Errorf("255 characters: %v", err)
	}
}

func TestOperatorChangesPlanAndSuspension(t *testing.T) {
	t.Parallel()
	m, told := newMemory(), []uid.Org{}
	m.orgs[org] = tenant.Organization{ID: org, Plan: tenant.Enterprise}
	o := newOperator(m, &told)
	if err := errors.Join(o.SetPlan(t.Context(), org, tenant.Free), o.Suspend(t.Context(), org)); err != nil {
		t.Fatal(err)
	}
	if got := m.orgs[org]; got.Plan != tenant.Free || !got.Suspended {
		t.Errorf("%+v", got)
	}
	if err := o.Resume(t.Context(), org); err != nil || m.orgs[org].Suspended {
		t.Errorf("resume: %v", err)
	}
	var types []event.Audit
	for _, e := range m.events {
		types = append(types, e.Type)
	}
	if d := cmp.Diff([]event.Audit{event.OrgPlanChanged, event.OrgSuspended, event.OrgResumed}, types); d != "" {
		t.Errorf("events (-want +got)\n%s", d)
	}
	if len(told) != 3 {
		t.Errorf("caches were told %d times, want 3", len(told))
	}
	wantCode(t, o.SetPlan(t.Context(), org, "gold"), fault.Invalid, fault.CodeValidation)
	for _, id := range []uid.Org{uid.System, "", "nonsense", "019aa000-0000-7000-8000-000000000002"} {
		wantCode(t, o.Suspend(t.Context(), id), fault.NotFound, fault.CodeNotFound)
	}
}

func TestSettingsPatchChangesWhatIsSet(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.settings[org] = tenant.Defaults()
	s := newService(m)
	got, err := s.UpdateSettings(t.Context(), org, tenant.SettingsPatch{
		RequireSignedEvidence: new(true), WarningDays: new(60), TimeZone: new("Europe/Paris"), DiscoverySchedule: new("0 3 * * mon-fri"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := tenant.Defaults()
	want.RequireSignedEvidence, want.ExpiryThresholds.WarningDays, want.TimeZone, want.DiscoverySchedule = true, 60, "Europe/Paris", "0 3 * * mon-fri"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answer (-want +got)\n%s", d)
	}
	stored, err := s.Settings(t.Context(), org)
	if d := cmp.Diff(want, stored); d != "" || err != nil {
		t.Errorf("stored (-want +got)\n%s%v", d, err)
	}
	if len(m.events) != 1 || m.events[0].Type != event.SettingsUpdated {
		t.Errorf("events %+v", m.events)
	}
	if got, err := s.UpdateSettings(t.Context(), org, tenant.SettingsPatch{DiscoverySchedule: new("")}); err != nil || got.DiscoverySchedule != "" {
		t.Errorf("schedule taken away: %+v, %v", got, err)
	}
}

func TestEveryWrongSettingIsNamedAndNothingChanges(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.settings[org] = tenant.Defaults()
	s := newService(m)
	_, err := s.UpdateSettings(t.Context(), org, tenant.SettingsPatch{
		CriticalDays: new(0), WarningDays: new(-1), AuditDays: new(364), ScanDays: new(0), TimeZone: new("Mars/Olympus"),
		Organization: new(0), Engine: new(1001), TargetHost: new(101), DiscoverySchedule: new("every day"), RequireSignedEvidence: new(true),
	})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
	var got []string
	for _, f := range fault.Of(err).Fields {
		got = append(got, f.Location)
		if strings.Contains(f.Message, "Mars") || strings.Contains(f.Message, "every day") {
			t.Errorf("a submitted value came back: %s", f.Message)
		}
	}
	want := []string{
		"expiryThresholds.criticalDays", "expiryThresholds.warningDays", "expiryThresholds.criticalDays", "retention.auditDays",
		"retention.scanDays", "timeZone", "concurrency.organization", "concurrency.engine", "concurrency.targetHost", "discoverySchedule",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got)\n%s", d)
	}
	if d := cmp.Diff(tenant.Defaults(), m.settings[org]); d != "" || len(m.events) != 0 {
		t.Errorf("something changed\n%s", d)
	}
	for _, zone := range []string{"", "Local", "../../etc/passwd", strings.Repeat("x", 65)} {
		_, err := s.UpdateSettings(t.Context(), org, tenant.SettingsPatch{TimeZone: &zone})
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
	}
	// A pair that was right apart can be wrong together.
	_, err = s.UpdateSettings(t.Context(), org, tenant.SettingsPatch{CriticalDays: new(31)})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
	_, err = s.UpdateSettings(t.Context(), "019aa000-0000-7000-8000-000000000002", tenant.SettingsPatch{})
	wantCode(t, err, fault.NotFound, fault.CodeNotFound)
}

func TestCallbackSecretIsShownOnceAndKeptSealed(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := newService(m)
	first, err := s.RotateCallbackSecret(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	raw, ok := strings.CutPrefix(first.Reveal(), "whsec_")
	plain, err := base64.StdEncoding.DecodeString(raw)
	if !ok || err != nil || len(plain) != 32 {
		t.Fatalf("not a Standard Webhooks secret of 32 bytes: %v", err)
	}
	if want := string(org) + "|callback_secret|" + string(plain); string(m.sealed[org]) != want {
		t.Error("the sealed record is not the shown secret under its organization and name")
	}
	second, err := s.RotateCallbackSecret(t.Context(), org)
	if err != nil || second == first {
		t.Errorf("rotated into the same secret, %v", err)
	}
	failing := tenant.New(tenant.Deps{Store: m, Sealer: sealer{fail: true}, Rand: rand.Reader, Zone: time.LoadLocation})
	_, err = failing.RotateCallbackSecret(t.Context(), org)
	wantCode(t, err, fault.Internal, fault.CodeInternal)
}
