package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func (h *house) templates(tb testing.TB, org uid.Org, unit func(context.Context, template.Tx) error) error {
	tb.Helper()
	return h.s.Templates().Change(tb.Context(), org, act(), unit)
}

func (h *house) newTemplate(org uid.Org, name string, tags ...string) template.Template {
	now := h.clock.Advance(time.Second)
	return template.Template{
		ID: uid.Template("tmpl-" + h.ids.New()), Org: org, Name: name, Description: "every night", Engine: "nmap",
		Priority: scan.High, Options: attributes(`{"ports":"1-1024"}`), Tags: tags, Timeout: 60, Targets: []string{"192.0.2.1", "192.0.2.2"},
		CreatedBy: "key:1", CreatedAt: now, UpdatedAt: now, Version: 1,
	}
}

// scheduled makes the template start at the given time.
func scheduled(t template.Template, next time.Time) template.Template {
	t.Schedule = &template.Schedule{
		Spec: schedule.Spec{Cron: "0 * * * *", TimeZone: "UTC", Jitter: 7, Overlap: schedule.Skip}, Enabled: true, RunsAs: "user:1",
		Next: next, Start: next.Add(3 * time.Second),
	}
	return t
}

func (h *house) addTemplates(tb testing.TB, list ...template.Template) {
	tb.Helper()
	for _, m := range list {
		must(tb, h.templates(tb, m.Org, func(ctx context.Context, tx template.Tx) error { return tx.InsertTemplate(ctx, m) }))
	}
}

func templates(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Templates()
	bare := h.newTemplate(h.ours, "bare")
	bare.Options, bare.Targets, bare.Description = nil, nil, ""
	full := scheduled(h.newTemplate(h.ours, "full", "a", "b"), h.clock.Now().Add(time.Hour))
	full.Config, full.Sealed, full.TargetType = attributes(`{"rateLimit":5}`), []byte{1, 0, 2}, asset.TypeIP
	full.Schedule.Last, full.Schedule.Stopped = h.clock.Now(), &template.Stopped{Reason: template.KeyRevoked, At: h.clock.Now()}
	h.addTemplates(t, bare, full)
	same(t, "a template without anything", bare, got(st.Template(ctx, h.ours, bare.ID))(t))
	same(t, "a template", full, got(st.Template(ctx, h.ours, full.ID))(t))

	// A name is unique in its organization, in the other it is free.
	twice := h.newTemplate(h.ours, "full")
	wantConflict(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.InsertTemplate(ctx, twice) }))
	h.addTemplates(t, h.newTemplate(h.theirs, "full"))
	renamed := full
	renamed.Name = "bare"
	wantConflict(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.ReplaceTemplate(ctx, renamed) }))

	replaced := h.newTemplate(h.ours, "other words", "c")
	replaced.ID, replaced.CreatedAt, replaced.Version, replaced.Engine = full.ID, full.CreatedAt, 2, "sentinel"
	must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
		same(t, "a held template", full, got(tx.TemplateForUpdate(ctx, full.ID))(t))
		return tx.ReplaceTemplate(ctx, replaced)
	}))
	same(t, "a replaced template", replaced, got(st.Template(ctx, h.ours, full.ID))(t))
	for q, want := range map[template.Query]int{{Tag: "a"}: 0, {Tag: "c"}: 1, {Q: "full"}: 0, {Q: "oth night"}: 1, {Engine: "sentinel"}: 1, {Engine: "nmap"}: 1} {
		if l := got(st.Templates(ctx, h.ours, q))(t); len(l.Items) != want {
			t.Errorf("%+v shows %d templates; want %d", q, len(l.Items), want)
		}
	}

	must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.DeleteTemplate(ctx, full.ID) }))
	for _, gone := range []uid.Template{full.ID, "tmpl-x", uid.Template(h.ids.New())} {
		wantMissing(t, second(st.Template(ctx, h.ours, gone)))
		wantMissing(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.DeleteTemplate(ctx, gone) }))
		wantMissing(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
			return second(tx.TemplateForUpdate(ctx, gone))
		}))
	}
}

func templateLists(t *testing.T, h *house) {
	var all []template.Template
	for i := range 30 {
		var tags []string
		if i%3 == 0 {
			tags = []string{"third", "x"}
		}
		m := h.newTemplate(h.ours, fmt.Sprintf("nightly %d", i), tags...)
		if i%2 == 0 {
			m.Engine = "sentinel"
		}
		all = append(all, m)
	}
	h.addTemplates(t, all...)
	h.addTemplates(t, h.newTemplate(h.theirs, "nightly", "third"))
	slices.Reverse(all)
	for _, q := range []template.Query{{}, {Engine: "nmap"}, {Tag: "third"}, {Tag: "third", Engine: "nmap"}, {Tag: "none"}} {
		var want []string
		for _, m := range all {
			if (q.Engine == "" || q.Engine == m.Engine) && (q.Tag == "" || slices.Contains(m.Tags, q.Tag)) {
				want = append(want, string(m.ID))
			}
		}
		same(t, fmt.Sprintf("list %+v", q), want, walk(t, func(p page.Request) ([]template.Template, page.Key, error) {
			q.Page = p
			l, err := h.s.Templates().Templates(t.Context(), h.ours, q)
			return l.Items, l.Next, err
		}, func(m template.Template) string { return string(m.ID) }, 4))
		q.Page = page.Request{WantTotal: true}
		if l := got(h.s.Templates().Templates(t.Context(), h.ours, q))(t); l.Total != (page.Total{N: len(want), Known: true}) {
			t.Errorf("total of %+v = %+v; want %d", q, l.Total, len(want))
		}
	}
}

// taking is the claim on a template's next due time, an hour before the following one.
func taking(m template.Template) template.Taking {
	return template.Taking{
		Template: m.ID, Version: m.Version, Next: m.Schedule.Next, Due: m.Schedule.Next,
		Following: m.Schedule.Next.Add(time.Hour), Start: m.Schedule.Next.Add(time.Hour + time.Second),
	}
}

func (h *house) take(tb testing.TB, c template.Taking, id uid.TemplateRun, due time.Time) (taken, ran bool, err error) {
	tb.Helper()
	err = h.templates(tb, h.ours, func(ctx context.Context, tx template.Tx) error {
		var err error
		if taken, ran, err = tx.TakeRun(ctx, c); err != nil || !taken || ran {
			return err
		}
		return tx.InsertRun(ctx, template.Run{ID: id, Template: c.Template, Due: due, At: due.Add(time.Second), State: template.Skipped})
	})
	return taken, ran, err
}

func templateRuns(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Templates()
	next := h.clock.Now().Add(time.Hour)
	m := scheduled(h.newTemplate(h.ours, "nightly"), next)
	h.addTemplates(t, m)
	run := template.Run{
		ID: uid.TemplateRun(h.ids.New()), Template: m.ID, Due: next, At: next.Add(time.Minute), State: template.Partial, Replaced: 2,
		Items: []template.Item{{Target: "192.0.2.1", Scan: uid.Scan(h.ids.New())}, {Target: "192.0.2.2", Code: fault.CodeTargetForbidden, Message: "no"}},
	}
	must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
		taken, ran, err := tx.TakeRun(ctx, taking(m))
		if err != nil || !taken || ran {
			t.Errorf("taken %v, ran %v, %v", taken, ran, err)
		}
		return tx.InsertRun(ctx, run)
	}))
	same(t, "runs", []template.Run{run}, got(st.Runs(ctx, h.ours, m.ID, page.Request{}))(t).Items)
	after := got(st.Template(ctx, h.ours, m.ID))(t)
	if s := after.Schedule; !s.Last.Equal(next) || !s.Next.Equal(next.Add(time.Hour)) || !s.Start.Equal(next.Add(time.Hour+time.Second)) || after.Version != 1 {
		t.Errorf("after a run: %+v, version %d", s, after.Version)
	}

	// What was taken can't be taken again; nor what was changed; nor a due time that has its run.
	if taken, _, err := h.take(t, taking(m), "x", next); taken || err != nil {
		t.Errorf("taken twice, %v", err)
	}
	stale := taking(after)
	stale.Version++
	if taken, _, err := h.take(t, stale, "x", next); taken || err != nil {
		t.Errorf("a changed template was taken, %v", err)
	}
	again := taking(after)
	again.Due = next
	if taken, ran, err := h.take(t, again, "x", next); !taken || !ran || err != nil {
		t.Errorf("a due time that had run: %v, %v, %v", taken, ran, err)
	}
	wantConflict(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.InsertRun(ctx, run) }))

	// A stop holds unless the template has gone on.
	now := got(st.Template(ctx, h.ours, m.ID))(t)
	stop := func(version int64) (ok bool) {
		must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
			var err error
			ok, err = tx.StopSchedule(ctx, m.ID, version, template.Stopped{Reason: template.ScopeLost, At: next})
			return err
		}))
		return ok
	}
	if stop(now.Version+1) || !stop(now.Version) || stop(now.Version) {
		t.Error("a stop must hold once, for the version that was read")
	}
	end := got(st.Template(ctx, h.ours, m.ID))(t)
	if s := end.Schedule; s.Enabled || !s.Next.IsZero() || s.Stopped == nil || s.Stopped.Reason != template.ScopeLost || end.Version != now.Version+1 {
		t.Errorf("stopped: %+v, version %d", end.Schedule, end.Version)
	}
	if taken, _, err := h.take(t, taking(now), "x", next); taken || err != nil {
		t.Errorf("a stopped schedule was taken, %v", err)
	}
	must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error { return tx.DeleteTemplate(ctx, m.ID) }))
	if l := got(st.Runs(ctx, h.ours, m.ID, page.Request{}))(t); len(l.Items) != 0 {
		t.Error("the runs of a deleted template are left")
	}
}

func templateHistory(t *testing.T, h *house) {
	m := scheduled(h.newTemplate(h.ours, "nightly"), h.clock.Now())
	h.addTemplates(t, m)
	first := h.clock.Now()
	must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
		for i := range 1020 {
			r := template.Run{ID: uid.TemplateRun(fmt.Sprintf("run-%04d", i)), Template: m.ID, Due: first.Add(time.Duration(i) * time.Hour), State: template.Started}
			if err := tx.InsertRun(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}))
	ids := walk(t, func(p page.Request) ([]template.Run, page.Key, error) {
		l, err := h.s.Templates().Runs(t.Context(), h.ours, m.ID, p)
		return l.Items, l.Next, err
	}, func(r template.Run) string { return string(r.ID) }, 100)
	if len(ids) != 1000 || ids[0] != "run-1019" || ids[999] != "run-0020" {
		t.Errorf("%d runs are kept, from %s to %s", len(ids), ids[0], ids[len(ids)-1])
	}
}

// templateScans are the scans that come from templates.
func templateScans(t *testing.T, h *house) {
	ctx := t.Context()
	m := h.newTemplate(h.ours, "nightly")
	made := func(run uid.TemplateRun, id uid.Template) scan.Scan {
		s := h.newScan(h.ours, "nmap", "192.0.2.7", "t")
		s.Template, s.Run = id, run
		h.addScans(t, s)
		return s
	}
	one, byHand, direct := made("run-1", m.ID), made("", m.ID), made("", "")
	two := made("run-2", m.ID)
	made("run-9", "tmpl-other")
	same(t, "a scan of a run", one, got(h.s.Scans().Scan(ctx, h.ours, one.ID))(t))
	same(t, "a scan without a template", direct, got(h.s.Scans().Scan(ctx, h.ours, direct.ID))(t))
	same(t, "scans of the template", []string{string(two.ID), string(byHand.ID), string(one.ID)}, h.scanIDs(t, scan.Query{Template: m.ID}))
	same(t, "queued ones with a tag", []string{string(two.ID), string(byHand.ID), string(one.ID)},
		h.scanIDs(t, scan.Query{Template: m.ID, Tag: "t", Status: scan.Queued}))
	running := func() (ids []uid.Scan) {
		must(t, h.templates(t, h.ours, func(ctx context.Context, tx template.Tx) error {
			var err error
			ids, err = tx.RunningScans(ctx, m.ID)
			return err
		}))
		slices.Sort(ids)
		return ids
	}
	same(t, "running", []uid.Scan{one.ID, two.ID}, running())
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error { return second(tx.CancelScan(ctx, one.ID, h.clock.Now())) }))
	same(t, "running after a cancellation", []uid.Scan{two.ID}, running())
}

func agenda(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Templates()
	base := h.clock.Now()
	var want []template.Ref
	for i := range 10 {
		org := []uid.Org{h.ours, h.theirs}[i%2]
		m := scheduled(h.newTemplate(org, fmt.Sprintf("t%d", i)), base.Add(time.Duration(i/3)*time.Minute))
		h.addTemplates(t, m)
		want = append(want, template.Ref{Org: org, ID: m.ID, Start: m.Schedule.Start})
	}
	off := scheduled(h.newTemplate(h.ours, "off"), base)
	off.Schedule.Enabled, off.Schedule.Next, off.Schedule.Start = false, time.Time{}, time.Time{}
	h.addTemplates(t, off)
	var all []template.Ref
	for after := (template.Ref{}); ; after = all[len(all)-1] {
		list := got(st.DueTemplates(ctx, base.Add(time.Hour), after, 4))(t)
		all = append(all, list...)
		if len(list) < 4 {
			break
		}
	}
	same(t, "all that is due", want, all)
	same(t, "due by the first minute", want[:3], got(st.DueTemplates(ctx, base.Add(3*time.Second), template.Ref{}, 64))(t))
	if n := got(st.NextStart(ctx, base.Add(3*time.Second)))(t); !n.Equal(want[3].Start) {
		t.Errorf("next start is %v", n)
	}
	if n := got(st.NextStart(ctx, base.Add(time.Hour)))(t); !n.IsZero() {
		t.Errorf("after the last start there is %v", n)
	}
	must(t, h.tenants(t, h.theirs, func(ctx context.Context, tx tenant.Tx) error { return tx.SetSuspended(ctx, true) }))
	for _, r := range got(st.DueTemplates(ctx, base.Add(time.Hour), template.Ref{}, 64))(t) {
		if r.Org == h.theirs {
			t.Error("a suspended organization's template is due")
		}
	}
}

// takenOnce lets many take one due time at once.
func takenOnce(t *testing.T, h *house) {
	m := scheduled(h.newTemplate(h.ours, "nightly"), h.clock.Now())
	h.addTemplates(t, m)
	var mu sync.Mutex
	var all sync.WaitGroup
	wins := 0
	for i := range 16 {
		all.Go(func() {
			taken, ran, err := h.take(t, taking(m), uid.TemplateRun(fmt.Sprint(i)), m.Schedule.Next)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || ran {
				t.Errorf("ran %v, %v", ran, err)
			}
			if taken {
				wins++
			}
		})
	}
	all.Wait()
	if l := got(h.s.Templates().Runs(t.Context(), h.ours, m.ID, page.Request{}))(t); wins != 1 || len(l.Items) != 1 {
		t.Errorf("%d took it, %d runs", wins, len(l.Items))
	}
}

func (h *house) templateReaders(o estate) map[string]attempt {
	st, org := h.s.Templates(), h.theirs
	return map[string]attempt{
		"Template": func(ctx context.Context) (any, error) { return st.Template(ctx, org, o.template.ID) },
		"Templates": func(ctx context.Context) (any, error) {
			for _, q := range []template.Query{{}, {Tag: "tag"}, {Engine: "nmap"}, {Q: o.template.Name}} {
				q.Page = pageAll()
				l, err := st.Templates(ctx, org, q)
				if err != nil || l.Total.N > 1 || slices.ContainsFunc(l.Items, func(m template.Template) bool { return m.ID == o.template.ID }) {
					return l, err
				}
			}
			return nil, nil
		},
		"Runs": func(ctx context.Context) (any, error) {
			l, err := st.Runs(ctx, org, o.template.ID, pageAll())
			return l.Items, err
		},
	}
}

var errTakenBack = errors.New("taken back")

func (h *house) templateWriters(mine, o estate) map[string]attempt {
	at := h.clock.Now()
	in := func(f func(context.Context, template.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Templates().Change(ctx, h.theirs, act(), f)
		}
	}
	out := map[string]attempt{
		"TemplateForUpdate": in(func(ctx context.Context, tx template.Tx) error {
			return mustFail(second(tx.TemplateForUpdate(ctx, o.template.ID)))
		}),
		// A copy of ours under its id would be theirs: it is taken back, so that the other tries don't find it.
		"InsertTemplate": in(func(ctx context.Context, tx template.Tx) error {
			return errors.Join(tx.InsertTemplate(ctx, o.template), errTakenBack)
		}),
		"ReplaceTemplate": in(func(ctx context.Context, tx template.Tx) error {
			changed := o.template
			changed.Name = "changed"
			return tx.ReplaceTemplate(ctx, changed)
		}),
		"DeleteTemplate": in(func(ctx context.Context, tx template.Tx) error { return tx.DeleteTemplate(ctx, o.template.ID) }),
		"TakeRun": in(func(ctx context.Context, tx template.Tx) error {
			taken, ran, err := tx.TakeRun(ctx, taking(o.template))
			if taken || ran {
				return tamperError("a unit took another organization's run")
			}
			return err
		}),
		"InsertRun": in(func(ctx context.Context, tx template.Tx) error {
			return tx.InsertRun(ctx, template.Run{ID: "x", Template: o.template.ID, Due: at})
		}),
		"RunningScans": in(func(ctx context.Context, tx template.Tx) error {
			ids, err := tx.RunningScans(ctx, o.template.ID)
			if len(ids) > 0 {
				return tamperError("a unit saw another organization's scans")
			}
			return err
		}),
		"StopSchedule": in(func(ctx context.Context, tx template.Tx) error {
			ok, err := tx.StopSchedule(ctx, o.template.ID, 1, template.Stopped{At: at})
			if ok {
				return tamperError("a unit stopped another organization's schedule")
			}
			return err
		}),
	}
	shared := h.scanWriters(mine, o)
	for _, name := range []string{"Consume", "InsertScans", "EmitAll", "CancelScan", "CancelChildren", "Emit"} {
		out[name] = shared[name]
	}
	return out
}

// furnishTemplate adds a template with a schedule, a run and a scan of it.
func (h *house) furnishTemplate(tb testing.TB, e *estate, org uid.Org, name string) {
	tb.Helper()
	e.template = scheduled(h.newTemplate(org, name, "tag"), h.clock.Now())
	h.addTemplates(tb, e.template)
	must(tb, h.templates(tb, org, func(ctx context.Context, tx template.Tx) error {
		if err := tx.Emit(ctx, event.ScheduleStopped, string(e.template.ID), map[string]int{}); err != nil {
			return err
		}
		return tx.InsertRun(ctx, template.Run{ID: "run", Template: e.template.ID, Due: h.clock.Now().Add(-time.Hour)})
	}))
	s := h.newScan(org, "nmap", name)
	s.Template, s.Run = e.template.ID, "run"
	h.addScans(tb, s)
}
