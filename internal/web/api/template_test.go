package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const scanTemplates = "/scan-api/api/v1/scan-templates"

// templateScans lets templates order scans of the fake.
type templateScans struct{ *scanFake }

func (templateScans) Check(a access.Actor, o scan.Order) (scan.Scan, error) {
	if err := a.MayEngine(o.Engine); err != nil {
		return scan.Scan{}, err
	}
	if o.Engine != "nmap" {
		return scan.Scan{}, fault.Wrong("scanType", "must be nmap")
	}
	s := scan.Scan{Engine: o.Engine, Target: o.Target, Priority: o.Priority, Tags: o.Tags, Timeout: o.Timeout}
	if s.Priority == "" {
		s.Priority = scan.Normal
	}
	return s, nil
}

func (f templateScans) Judge(_ context.Context, a access.Actor, orders []scan.Order) []scan.BatchItem {
	out := make([]scan.BatchItem, len(orders))
	for i, o := range orders {
		s, err := f.Check(a, o)
		out[i] = scan.BatchItem{Scan: s, Refused: fault.Of(err)}
	}
	return out
}

func (f templateScans) Submit(ctx context.Context, a access.Actor, o scan.Order) (scan.Scan, error) {
	s, err := f.Check(a, o)
	if err != nil {
		return s, err
	}
	s.ID, s.Org, s.Name, s.Template, s.CreatedAt, s.Status = uid.Scan(f.ids.New()), a.Org, o.Name, o.Template, f.clock.Now(), scan.Queued
	f.put(s)
	return s, f.store.Record(ctx, a.Org, audit.Event{Type: event.TemplateLaunched, Resource: audit.Resource{Kind: "scan", ID: string(s.ID)}})
}

func (templateScans) Plan(context.Context, access.Actor) (tenant.Plan, error) {
	return tenant.Enterprise, nil
}

func (templateScans) Enter(context.Context, scan.EntryTx, tenant.Plan, []scan.BatchItem) error {
	return nil
}

func (templateScans) End(context.Context, scan.EndTx, uid.Scan) (bool, error) { return false, nil }

func (templateScans) Entered() {}

// openSealer is plainSealer with a way back.
type openSealer struct{ plainSealer }

func (openSealer) Open(_ uid.Org, _ string, sealed []byte) ([]byte, error) {
	return []byte(strings.TrimPrefix(string(sealed), "sealed ")), nil
}

func newTemplates(b *bundle) *template.Service {
	return template.New(template.Deps{
		Store: b.store.Templates(), Scans: templateScans{b.scans}, Sealer: openSealer{}, Zone: time.LoadLocation, Now: b.clock.Now, IDs: b.clock.IDs(),
	})
}

func (b *bundle) someTemplate(org uid.Org) template.Template {
	b.t.Helper()
	t, err := b.templates.Create(b.t.Context(), access.Operator(org), template.Draft{Name: "t" + b.scans.ids.New(), Engine: "nmap"})
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

func TestATemplateFromItsCreationToItsLaunch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	once := with("Idempotency-Key", "k")
	body := `{"name":"Nightly","description":"d","scanType":"nmap","priority":"high","options":{},"config":{},"tags":["a"],"timeout":60,
		"targets":["127.0.0.1"],"schedule":{"cron":"30 2 * * *","timeZone":"Europe/Paris","jitterSeconds":60,"overlap":"replace"}}`
	made := b.call("POST", scanTemplates, body, key(b.key), once).want(201)
	at := made.Header().Get("Location")
	if at != scanTemplates+"/"+made.text("data.id") || !strings.HasPrefix(made.text("data.id"), "tmpl-") || made.text("data.tenantId") != string(b.ours) {
		t.Fatalf("%s %s", at, made.Body)
	}
	for field, want := range map[string]any{
		"cron": "30 2 * * *", "timeZone": "Europe/Paris", "overlap": "replace", "enabled": true, "jitterSeconds": 60.0,
		"nextDueAt": "2026-03-07T01:30:00Z", "lastDueAt": nil,
	} {
		if got := made.at("data.schedule." + field); got != want {
			t.Errorf("schedule.%s is %v, want %v", field, got, want)
		}
	}
	again := b.call("POST", scanTemplates, body, key(b.key), once).want(201)
	got := b.call("GET", at, "", key(b.key)).want(200)
	if again.Body.String() != made.Body.String() || got.Body.String() != made.Body.String() {
		t.Errorf("%s\n%s\n%s", made.Body, again.Body, got.Body)
	}
	if w := b.call("POST", scanTemplates, body, key(b.key)).want(409); w.text("code") != "CONFLICT" {
		t.Error(w.Body)
	}
	b.call("POST", scanTemplates, body, key(b.other)).want(201)

	put := b.call("PUT", at, `{"name":"Nightly","scanType":"nmap","schedule":{"cron":"0 3 * * *","enabled":false},"targets":["127.0.0.1"]}`, key(b.key)).want(200)
	if put.at("data.schedule.enabled") != false || put.at("data.schedule.nextDueAt") != nil || put.text("data.description") != "" {
		t.Error(put.Body)
	}
	for bad, field := range map[string]string{
		`{"name":"x","scanType":"nmap","schedule":{"cron":"0 0 30 2 *"},"targets":["127.0.0.1"]}`: "schedule.cron",
		`{"name":"x","scanType":"nmap","schedule":{"cron":"* * * * *"}}`:                          "targets",
		`{"name":"x","scanType":"zap9"}`:                                                          "scanType",
	} {
		w := b.call("POST", scanTemplates, bad, key(b.key)).want(400)
		if !strings.Contains(w.Body.String(), field) || w.text("code") != "VALIDATION_ERROR" {
			t.Errorf("%s: %s", bad, w.Body)
		}
	}
	launched := b.call("POST", at+"/launch", `{"target":"127.0.0.1","name":"now"}`, key(b.key), once).want(201)
	if launched.text("data.name") != "now" || launched.text("data.scanType") != "nmap" || launched.Header().Get("Location") != scans+"/"+launched.text("data.id") {
		t.Error(launched.Body)
	}
	if replay := b.call("POST", at+"/launch", `{"target":"127.0.0.1","name":"now"}`, key(b.key), once).want(201); replay.text("data.id") != launched.text("data.id") {
		t.Error(replay.Body)
	}
	b.call("POST", at+"/launch", `{}`, key(b.key)).want(400)
	b.call("DELETE", at, "", key(b.key)).want(200)
	b.call("GET", at, "", key(b.key)).want(404)
}

func TestTemplatesAreListedByFilterAndCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"one", "two", "three"} {
		b.call("POST", scanTemplates, `{"name":"`+name+`","scanType":"nmap","tags":["`+name+`"]}`, key(b.key)).want(201)
	}
	b.someTemplate(b.theirs)
	first := b.call("GET", scanTemplates+"?limit=2", "", key(b.key)).want(200)
	if first.at("data.pagination.total") != 3.0 || first.at("data.pagination.totalPages") != 2.0 || len(first.at("data.templates").([]any)) != 2 {
		t.Error(first.Body)
	}
	rest := b.call("GET", scanTemplates+"?limit=2&cursor="+first.text("data.pagination.nextCursor"), "", key(b.key)).want(200)
	if len(rest.at("data.templates").([]any)) != 1 || rest.at("data.pagination.nextCursor") != nil {
		t.Error(rest.Body)
	}
	for query, want := range map[string]int{"?tag=two": 1, "?q=thr": 1, "?scanType=nmap": 3, "?scanType=sentinel": 0, "?tag=two&q=one": 0} {
		if w := b.call("GET", scanTemplates+query, "", key(b.key)).want(200); len(w.at("data.templates").([]any)) != want {
			t.Errorf("%s: %s", query, w.Body)
		}
	}
}

func TestRunsOfAScheduleAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.someTemplate(b.ours)
	at := b.clock.Now()
	err := b.store.Templates().Change(t.Context(), b.ours, audit.Event{Type: event.ScheduleRan}, func(ctx context.Context, tx template.Tx) error {
		for i, state := range []template.State{template.Partial, template.Skipped} {
			r := template.Run{ID: uid.TemplateRun(b.scans.ids.New()), Template: m.ID, Due: at.Add(time.Duration(i) * time.Hour), At: at, State: state}
			if state == template.Partial {
				r.Replaced = 3
				r.Items = []template.Item{{Target: "127.0.0.1", Scan: "s"}, {Target: "192.0.2.1", Code: fault.CodeQuota, Message: "used up"}}
			}
			if err := tx.InsertRun(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := b.call("GET", scanTemplates+"/"+string(m.ID)+"/runs?limit=1", "", key(b.key)).want(200)
	if runs := first.at("data.runs").([]any); len(runs) != 1 || runs[0].(map[string]any)["state"] != "skipped" || first.at("data.pagination.total") != 2.0 {
		t.Error(first.Body)
	}
	rest := b.call("GET", scanTemplates+"/"+string(m.ID)+"/runs?cursor="+first.text("data.pagination.nextCursor"), "", key(b.key)).want(200)
	run := rest.at("data.runs").([]any)[0].(map[string]any)
	if run["state"] != "partial" || run["accepted"] != 1.0 || run["refused"] != 1.0 || run["replaced"] != 3.0 || run["dueAt"] != "2026-03-06T10:00:00Z" ||
		!strings.Contains(rest.Body.String(), `"error":{"code":"QUOTA_EXCEEDED","message":"used up"}`) {
		t.Error(rest.Body)
	}
}
