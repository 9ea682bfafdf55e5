package template_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func TestATemplateIsCheckedAsItsScansWillBe(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	many := make([]string, 101)
	for i := range many {
		many[i] = "192.0.2.7"
	}
	for _, tt := range []struct {
		name  string
		draft func(*template.Draft)
		code  fault.Code
		field string
	}{
		{"no name", func(d *template.Draft) { d.Name = "" }, fault.CodeValidation, "name"},
		{"a long name", func(d *template.Draft) { d.Name = strings.Repeat("x", 256) }, fault.CodeValidation, "name"},
		{"a long description", func(d *template.Draft) { d.Description = strings.Repeat("x", 2001) }, fault.CodeValidation, "description"},
		{"no engine", func(d *template.Draft) { d.Engine = "gone" }, fault.CodeValidation, "scanType"},
		{"a priority", func(d *template.Draft) { d.Priority = "now" }, fault.CodeValidation, "priority"},
		{"a timeout", func(d *template.Draft) { d.Timeout = 5 }, fault.CodeValidation, "timeout"},
		{"an option", func(d *template.Draft) { d.Options = raw("level", "9") }, fault.CodeValidation, "options.level"},
		{"an unknown option", func(d *template.Draft) { d.Options = raw("speed", "9") }, fault.CodeValidation, "options.speed"},
		{"a config", func(d *template.Draft) { d.Config = raw("rateLimit", "-1") }, fault.CodeValidation, "config.rateLimit"},
		{"a mask of nothing", func(d *template.Draft) { d.Config = raw("headers", `{"A":"[redacted]"}`) }, fault.CodeValidation, "config.headers"},
		{"a tag", func(d *template.Draft) { d.Tags = []string{" "} }, fault.CodeValidation, "tags[0]"},
		{"a target type", func(d *template.Draft) { d.TargetType = "image" }, fault.CodeTargetType, ""},
		{"too many targets", func(d *template.Draft) { d.Targets = many }, fault.CodeValidation, "targets"},
		{"a target twice", func(d *template.Draft) { d.Targets = []string{"192.0.2.7", "192.0.2.7"} }, fault.CodeValidation, "targets[1]"},
		{"an empty target", func(d *template.Draft) { d.Targets = []string{"192.0.2.7", ""} }, fault.CodeValidation, "targets[1]"},
		{"a target out of scope", func(d *template.Draft) { d.Targets = []string{"192.0.2.7", "198.51.100.1"} }, fault.CodeTargetForbidden, "targets[1]"},
		{"a target without address", func(d *template.Draft) { d.Targets = []string{"nowhere.test"} }, fault.CodeValidation, "targets[0]"},
		{"two kinds of wrong targets", func(d *template.Draft) { d.Targets = []string{"198.51.100.1", "nowhere.test"} }, fault.CodeValidation, "targets[0]"},
		{"a schedule without targets", func(d *template.Draft) { d.Targets = nil }, fault.CodeValidation, "targets"},
		{"a cron", func(d *template.Draft) { d.Schedule.Cron = "0 0 30 2 *" }, fault.CodeValidation, "schedule.cron"},
		{"a zone", func(d *template.Draft) { d.Schedule.TimeZone = "Local" }, fault.CodeValidation, "schedule.timeZone"},
		{"a jitter", func(d *template.Draft) { d.Schedule.Jitter = 4000 }, fault.CodeValidation, "schedule.jitterSeconds"},
		{"an overlap", func(d *template.Draft) { d.Schedule.Overlap = "queue" }, fault.CodeValidation, "schedule.overlap"},
	} {
		d := hourly("n", schedule.Skip, "192.0.2.7")
		tt.draft(&d)
		_, err := h.templates.Create(t.Context(), h.actor(), d)
		if err == nil {
			t.Fatalf("%s: accepted", tt.name)
		}
		t.Log(tt.name)
		wantFault(t, err, tt.code, tt.field)
	}
}

func TestATemplateIsKeptAndItsSecretsAreNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	d := hourly("Nightly", schedule.Replace, "example.org", "192.0.2.7")
	d.Description, d.Priority, d.Tags, d.Timeout = "every night", scan.High, []string{"b", "a"}, 60
	d.Options = raw("level", " 3 ")
	d.Config = raw("headers", `{"X-Token":"hunter2"}`, "authentication", `{"password":"hunter2"}`, "rateLimit", "5")
	made := h.create(t, h.actor(), d)
	got := h.get(t, made.ID)
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("what was answered isn't what is kept: %s", diff)
	}
	if string(got.Options) != `{"level":3}` || strings.Contains(string(got.Config), "hunter2") || !strings.Contains(string(got.Config), "X-Token") {
		t.Errorf("options %s, config %s", got.Options, got.Config)
	}
	if s := got.Schedule; s.RunsAs != "operator" || !s.Next.Equal(testkit.Epoch().Add(time.Hour)) || s.TimeZone != "UTC" {
		t.Errorf("%+v", s)
	}
	if !template.ValidID(string(got.ID)) || template.ValidID("tmpl-x") || template.ValidID(strings.TrimPrefix(string(got.ID), "tmpl-")) {
		t.Errorf("id %s", got.ID)
	}
	_, err := h.templates.Create(t.Context(), h.actor(), draft("Nightly"))
	wantFault(t, err, fault.CodeConflict, "")
	for _, id := range []uid.Template{"tmpl-x", "tmpl-01900000-0000-7000-8000-00000000ffff"} {
		_, err = h.templates.Get(t.Context(), h.org, id)
		wantFault(t, err, fault.CodeNotFound, "")
		_, err = h.templates.Runs(t.Context(), h.org, id, pageOf(1))
		wantFault(t, err, fault.CodeNotFound, "")
	}
}

func TestALaunchLaysWhatIsGivenOverTheTemplate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	d := draft("base")
	d.Priority, d.Tags, d.Timeout = scan.Low, []string{"t"}, 60
	d.Options, d.Config = raw("level", "3", "deep", "true"), raw("headers", `{"X-Token":"hunter2"}`, "rateLimit", "5")
	m := h.create(t, h.actor(), d)
	plain, err := h.templates.Launch(t.Context(), h.actor(), m.ID, scan.Order{Target: "192.0.2.7"})
	must(t, err)
	if plain.Name != "base" || plain.Priority != scan.Low || plain.Timeout != 60 || !slices.Equal(plain.Tags, []string{"t"}) ||
		string(plain.Options) != `{"deep":true,"level":3}` || plain.Template != m.ID || plain.Run != "" {
		t.Errorf("%+v", plain)
	}
	if !strings.Contains(string(plain.Sealed), "hunter2") || strings.Contains(string(plain.Config), "hunter2") {
		t.Errorf("config %s, sealed %q", plain.Config, plain.Sealed)
	}
	over, err := h.templates.Launch(t.Context(), h.actor(), m.ID, scan.Order{
		Target: "example.org", Name: "once", Priority: scan.Critical, Tags: []string{}, Timeout: 90,
		Options: raw("level", "5"), Config: raw("rateLimit", "9"),
	})
	must(t, err)
	if over.Name != "once" || over.Priority != scan.Critical || over.Timeout != 90 || len(over.Tags) != 0 ||
		string(over.Options) != `{"deep":true,"level":5}` || !strings.Contains(string(over.Config), `"rateLimit":9`) || !strings.Contains(string(over.Config), "X-Token") {
		t.Errorf("%+v %s %s", over, over.Options, over.Config)
	}
	for _, tt := range []struct {
		order scan.Order
		code  fault.Code
		field string
	}{
		{scan.Order{}, fault.CodeValidation, "target"},
		{scan.Order{Target: "198.51.100.1"}, fault.CodeTargetForbidden, ""},
		{scan.Order{Target: "192.0.2.7", Options: raw("level", "9")}, fault.CodeValidation, "options.level"},
		{scan.Order{Target: "192.0.2.7", Engine: "gone"}, fault.CodeValidation, "scanType"},
	} {
		_, err := h.templates.Launch(t.Context(), h.actor(), m.ID, tt.order)
		wantFault(t, err, tt.code, tt.field)
	}
	if again := h.get(t, m.ID); string(again.Options) != string(m.Options) || len(h.made(t, m.ID)) != 2 {
		t.Error("a launch changed the template, or its scans aren't found by it")
	}
}

func TestRightsOfALaunchAndOfASchedule(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), draft("base"))
	_, narrow := h.key(t, []string{"other"}, "scans:create", "templates:*")
	_, err := h.templates.Launch(t.Context(), narrow, m.ID, scan.Order{Target: "192.0.2.7"})
	wantFault(t, err, fault.CodeScanType, "")
	_, err = h.templates.Create(t.Context(), narrow, draft("mine"))
	wantFault(t, err, fault.CodeScanType, "")
	_, err = h.templates.Replace(t.Context(), narrow, m.ID, draft("mine"))
	wantFault(t, err, fault.CodeScanType, "")
	_, blind := h.key(t, nil, "scans:create", "templates:create")
	_, err = h.templates.Launch(t.Context(), blind, m.ID, scan.Order{Target: "192.0.2.7"})
	wantFault(t, err, fault.CodeScope, "")
	// Who may write templates but not start scans can't make a schedule do it.
	_, writer := h.key(t, nil, "templates:*")
	d := hourly("timed", schedule.Skip, "192.0.2.7")
	_, err = h.templates.Create(t.Context(), writer, d)
	wantFault(t, err, fault.CodeScope, "")
	d.Schedule.Enabled = false
	paused := h.create(t, writer, d)
	d.Schedule.Enabled = true
	_, err = h.templates.Replace(t.Context(), writer, paused.ID, d)
	wantFault(t, err, fault.CodeScope, "")
	// Whoever writes a schedule owns it from then on.
	timed := h.create(t, h.actor(), hourly("other", schedule.Skip, "192.0.2.7"))
	key, able := h.key(t, nil, "scans:create", "templates:*")
	got, err := h.templates.Replace(t.Context(), able, timed.ID, hourly("other", schedule.Skip, "192.0.2.7"))
	must(t, err)
	if got.Schedule.RunsAs != "key:"+string(key.ID) || got.CreatedBy != "operator" {
		t.Errorf("runs as %s, created by %s", got.Schedule.RunsAs, got.CreatedBy)
	}
}

func TestAReplacementIsWholeAndKeepsMaskedSecrets(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	d := hourly("a", schedule.Skip, "192.0.2.7")
	d.Options, d.Tags, d.Config = raw("level", "3"), []string{"t"}, raw("headers", `{"X-Token":"hunter2","Old":"x"}`, "authentication", `{"password":"hunter3"}`)
	m := h.create(t, h.actor(), d)

	d = draft("b")
	d.Config = raw("headers", `{"X-Token":"[redacted]"}`, "authentication", `"[redacted]"`)
	got, err := h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	must(t, err)
	if got.Options != nil || len(got.Tags) != 0 || got.Schedule != nil || got.Targets != nil || got.Version != 2 || got.Name != "b" {
		t.Errorf("%+v", got)
	}
	s, err := h.templates.Launch(t.Context(), h.actor(), m.ID, scan.Order{Target: "192.0.2.7"})
	must(t, err)
	if sealed := string(s.Sealed); !strings.Contains(sealed, "hunter2") || !strings.Contains(sealed, "hunter3") || strings.Contains(sealed, "Old") {
		t.Errorf("the scan got %s", sealed)
	}
	d.Config = nil
	must(t, second(h.templates.Replace(t.Context(), h.actor(), m.ID, d)))
	d.Config = raw("headers", `{"X-Token":"[redacted]"}`)
	_, err = h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	wantFault(t, err, fault.CodeValidation, "config.headers")

	h.create(t, h.actor(), draft("taken"))
	_, err = h.templates.Replace(t.Context(), h.actor(), m.ID, draft("taken"))
	wantFault(t, err, fault.CodeConflict, "")
	must(t, second(h.templates.Delete(t.Context(), h.actor(), m.ID)))
	_, err = h.templates.Delete(t.Context(), h.actor(), m.ID)
	wantFault(t, err, fault.CodeNotFound, "")
	if len(h.made(t, m.ID)) != 1 {
		t.Error("the scan went with its template")
	}
}

func TestAChangeNeitherLosesNorDoublesADueTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), hourly("a", schedule.Skip, "192.0.2.7"))
	due := m.Schedule.Next
	h.clock.Advance(time.Hour + time.Second) // due, and not started yet
	d := hourly("renamed", schedule.Skip, "192.0.2.7")
	got, err := h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	must(t, err)
	if !got.Schedule.Next.Equal(due) {
		t.Errorf("next is %v; want %v, which hasn't run", got.Schedule.Next, due)
	}
	h.look(t)
	if runs := h.runs(t, m.ID); len(runs) != 1 || !runs[0].Due.Equal(due) {
		t.Errorf("%+v", runs)
	}
	// Other times begin anew, from now.
	d.Schedule.Cron = "30 * * * *"
	got, err = h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	must(t, err)
	if want := due.Add(30 * time.Minute); !got.Schedule.Next.Equal(want) || !got.Schedule.Last.Equal(due) {
		t.Errorf("next %v; want %v; last %v", got.Schedule.Next, want, got.Schedule.Last)
	}
	// What came while it was off isn't caught up.
	d.Schedule.Enabled = false
	got, err = h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	must(t, err)
	if !got.Schedule.Next.IsZero() || !got.Schedule.Start.IsZero() {
		t.Errorf("%+v", got.Schedule)
	}
	h.clock.Advance(5 * time.Hour)
	h.look(t)
	d.Schedule.Enabled = true
	got, err = h.templates.Replace(t.Context(), h.actor(), m.ID, d)
	must(t, err)
	if !got.Schedule.Next.After(h.clock.Now()) || len(h.runs(t, m.ID)) != 1 {
		t.Errorf("next %v at %v, %d runs", got.Schedule.Next, h.clock.Now(), len(h.runs(t, m.ID)))
	}
	if h.woken != 5 {
		t.Errorf("the scheduler was woken %d times", h.woken)
	}
}

func TestOfTwoReplacementsAtOnceOneIsToldToReadAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), draft("a"))
	racing := template.New(template.Deps{
		Store: &meddled{Store: h.db.Templates(), before: func() {
			must(t, second(h.templates.Replace(t.Context(), h.actor(), m.ID, draft("b"))))
		}}, Scans: h.scans, Sealer: sealer{}, Zone: time.LoadLocation, Now: h.clock.Now, IDs: h.clock.IDs(),
	})
	_, err := racing.Replace(t.Context(), h.actor(), m.ID, draft("c"))
	wantFault(t, err, fault.CodeConflict, "")
	if got := h.get(t, m.ID); got.Name != "b" || got.Version != 2 {
		t.Errorf("%+v", got)
	}
}

func second[T any](_ T, err error) error { return err }
