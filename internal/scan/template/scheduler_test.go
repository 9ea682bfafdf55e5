package template_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func pageOf(n int) page.Request { return page.Request{Limit: n} }

func TestADueTemplateStartsOnEveryTargetAndOnce(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		h := newHouse(t, db)
		d := hourly("Nightly", schedule.Skip, "192.0.2.7", "example.org")
		d.Tags, d.Priority, d.Options, d.Config = []string{"t"}, scan.High, raw("level", "2"), raw("headers", `{"A":"hunter2"}`)
		m := h.create(t, h.actor(), d)
		h.clock.Advance(time.Hour - time.Microsecond)
		h.look(t)
		if len(h.runs(t, m.ID)) != 0 {
			t.Fatal("started before its time")
		}
		h.clock.Advance(time.Microsecond)
		for range 3 {
			h.look(t)
		}
		runs := h.runs(t, m.ID)
		scans := h.made(t, m.ID)
		if len(runs) != 1 || len(scans) != 2 || runs[0].State != template.Started || !runs[0].Due.Equal(m.Schedule.Next) || !runs[0].At.Equal(h.clock.Now()) {
			t.Fatalf("%+v, %d scans", runs, len(scans))
		}
		if diff := cmp.Diff([]template.Item{{Target: "192.0.2.7", Scan: scans[1].ID}, {Target: "example.org", Scan: scans[0].ID}}, runs[0].Items); diff != "" {
			t.Error(diff)
		}
		for _, s := range scans {
			if s.Name != "Nightly" || s.Priority != scan.High || s.Run != runs[0].ID || s.CreatedBy != "operator" || s.Status != scan.Queued || len(s.Sealed) == 0 {
				t.Errorf("%+v", s)
			}
		}
		if got := h.get(t, m.ID).Schedule; !got.Last.Equal(m.Schedule.Next) || !got.Next.Equal(m.Schedule.Next.Add(time.Hour)) {
			t.Errorf("%+v", got)
		}
	})
}

func TestWhatWasMissedRunsOnceAfterARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), hourly("a", schedule.Allow, "192.0.2.7"))
	h.clock.Advance(72*time.Hour + 10*time.Minute)
	h.look(t)
	h.look(t)
	runs := h.runs(t, m.ID)
	if len(runs) != 1 || !runs[0].Due.Equal(testkit.Epoch().Add(72*time.Hour)) {
		t.Fatalf("%+v", runs)
	}
	if next := h.get(t, m.ID).Schedule.Next; !next.Equal(testkit.Epoch().Add(73 * time.Hour)) {
		t.Errorf("next is %v", next)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for overlap, want := range map[schedule.Overlap]struct {
		states []template.State // newest first
		scans  map[scan.Status]int
	}{
		schedule.Skip:    {[]template.State{template.Skipped, template.Started}, map[scan.Status]int{scan.Queued: 3}},
		schedule.Allow:   {[]template.State{template.Started, template.Started}, map[scan.Status]int{scan.Queued: 5}},
		schedule.Replace: {[]template.State{template.Started, template.Started}, map[scan.Status]int{scan.Queued: 3, scan.Cancelled: 2}},
	} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, testkit.SQLite(t))
			m := h.create(t, h.actor(), hourly("a", overlap, "192.0.2.7", "example.org"))
			_, err := h.templates.Launch(t.Context(), h.actor(), m.ID, scan.Order{Target: "192.0.2.8"}) // by hand: not of the schedule
			must(t, err)
			for range 2 {
				h.clock.Advance(time.Hour)
				h.look(t)
			}
			var states []template.State
			for _, r := range h.runs(t, m.ID) {
				states = append(states, r.State)
			}
			scans := map[scan.Status]int{}
			for _, s := range h.made(t, m.ID) {
				scans[s.Status]++
			}
			if diff := cmp.Diff(want.states, states) + cmp.Diff(want.scans, scans); diff != "" {
				t.Error(diff)
			}
			if r := h.runs(t, m.ID)[0]; r.Replaced != want.scans[scan.Cancelled] {
				t.Errorf("%d replaced", r.Replaced)
			}
			// Once the earlier ones have ended, the next run starts whatever the rule.
			for _, s := range h.made(t, m.ID) {
				if s.Status == scan.Queued {
					must(t, second(h.scans.Cancel(t.Context(), h.actor(), s.ID)))
				}
			}
			h.clock.Advance(time.Hour)
			h.look(t)
			if r := h.runs(t, m.ID)[0]; r.State != template.Started || r.Replaced != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestARefusalIsWrittenDownAndTheScheduleGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), hourly("a", schedule.Allow, "192.0.2.7", "127.0.0.1"))
	next := func() template.Run {
		h.clock.Advance(time.Hour)
		h.look(t)
		return h.runs(t, m.ID)[0]
	}
	narrow := testkit.OpenScope()
	narrow.Allow = narrow.Allow[1:] // no loopback any more
	h.allow(t, narrow)
	if r := next(); r.State != template.Partial || r.Items[0].Scan == "" || r.Items[1].Code != fault.CodeTargetForbidden || r.Items[1].Message == "" {
		t.Errorf("%+v", r)
	}
	h.allow(t, asset.Scope{})
	if r := next(); r.State != template.Refused || len(r.Items) != 2 {
		t.Errorf("%+v", r)
	}
	h.allow(t, testkit.OpenScope())
	h.plan(t, tenant.Free)
	must(t, h.db.Scans().Change(t.Context(), h.org, audit.Event{Type: event.ScanSubmitted}, func(ctx context.Context, tx scan.Tx) error {
		return tx.Consume(ctx, "scans", "2026-03", 98, 0)
	}))
	h.plan(t, tenant.Free)
	if r := next(); r.State != template.Partial || r.Items[0].Scan == "" || r.Items[1].Code != fault.CodeQuota {
		t.Errorf("%+v", r)
	}
	if r := next(); r.State != template.Refused || r.Items[0].Code != fault.CodeQuota {
		t.Errorf("%+v", r)
	}
	h.plan(t, tenant.Enterprise)
	if r := next(); r.State != template.Started || !h.get(t, m.ID).Schedule.Enabled {
		t.Errorf("%+v", r)
	}
}

func TestAScheduleStopsWithTheRightsOfItsOwner(t *testing.T) {
	t.Parallel()
	scopes := []string{"scans:create", "templates:*"}
	user := func(t *testing.T, h *house, role access.Role) access.Actor {
		t.Helper()
		u := access.User{ID: uid.User(h.clock.IDs().New()), Org: h.org, Username: "u", Role: role, CreatedAt: h.clock.Now()}
		must(t, h.db.Access().Change(t.Context(), h.org, audit.Event{Type: event.UserCreated}, func(ctx context.Context, tx access.Tx) error { return tx.InsertUser(ctx, u) }))
		a, err := h.access.Standing(t.Context(), h.org, "user:"+string(u.ID))
		must(t, err)
		return a
	}
	changeUser := func(t *testing.T, h *house, id string, change func(*access.User)) {
		t.Helper()
		must(t, h.db.Access().Change(t.Context(), h.org, audit.Event{Type: event.UserCreated}, func(ctx context.Context, tx access.Tx) error {
			u, err := tx.UserForUpdate(ctx, uid.User(id))
			if err != nil {
				return err
			}
			change(&u)
			return tx.UpdateUser(ctx, u)
		}))
	}
	days := 1
	for reason, lose := range map[template.Reason]func(t *testing.T, h *house) (owner access.Actor, lose func()){
		template.KeyRevoked: func(t *testing.T, h *house) (access.Actor, func()) {
			k, a := h.key(t, nil, scopes...)
			return a, func() { must(t, second(h.access.RevokeKey(t.Context(), access.Operator(h.org), k.ID))) }
		},
		template.KeySuspended: func(t *testing.T, h *house) (access.Actor, func()) {
			k, a := h.key(t, nil, scopes...)
			return a, func() { must(t, second(h.access.SuspendKey(t.Context(), access.Operator(h.org), k.ID))) }
		},
		template.KeyExpired: func(t *testing.T, h *house) (access.Actor, func()) {
			k, a := h.key(t, nil, scopes...)
			return a, func() {
				must(t, second(h.access.UpdateKey(t.Context(), access.Operator(h.org), k.ID, access.KeyPatch{ExpiresInDays: &days})))
				h.clock.Advance(24 * time.Hour)
			}
		},
		template.ScopeLost: func(t *testing.T, h *house) (access.Actor, func()) {
			k, a := h.key(t, nil, scopes...)
			return a, func() {
				must(t, second(h.access.UpdateKey(t.Context(), access.Operator(h.org), k.ID, access.KeyPatch{Scopes: &[]string{"templates:*"}})))
			}
		},
		template.EngineLost: func(t *testing.T, h *house) (access.Actor, func()) {
			k, a := h.key(t, nil, scopes...)
			return a, func() {
				must(t, second(h.access.UpdateKey(t.Context(), access.Operator(h.org), k.ID, access.KeyPatch{Engines: &[]string{"other"}})))
			}
		},
		template.UserDisabled: func(t *testing.T, h *house) (access.Actor, func()) {
			a := user(t, h, access.RoleUser)
			return a, func() { changeUser(t, h, a.ID, func(u *access.User) { u.Disabled = true }) }
		},
		"scope_lost by role": func(t *testing.T, h *house) (access.Actor, func()) {
			a := user(t, h, access.RoleAdmin)
			return a, func() { changeUser(t, h, a.ID, func(u *access.User) { u.Role = access.RoleAuditor }) }
		},
		template.OwnerGone: func(t *testing.T, h *house) (access.Actor, func()) {
			a := user(t, h, access.RoleUser)
			a.ID = h.clock.IDs().New()
			return a, func() {}
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, testkit.SQLite(t))
			owner, take := lose(t, h)
			m := h.create(t, owner, hourly("a", schedule.Allow, "192.0.2.7"))
			take()
			h.clock.Advance(time.Hour)
			h.look(t)
			want := reason
			if want == "scope_lost by role" {
				want = template.ScopeLost
			}
			got := h.get(t, m.ID).Schedule
			if got.Enabled || got.Stopped == nil || got.Stopped.Reason != want || got.Stopped.Reason.Text() == "" || !got.Next.IsZero() || len(h.made(t, m.ID)) != 0 {
				t.Fatalf("%+v, stopped %+v", got, got.Stopped)
			}
			events, err := h.db.Events(t.Context(), h.org, string(m.ID), 0, 10)
			if err != nil || len(events) != 1 || events[0].Type != event.ScheduleStopped {
				t.Errorf("%+v, %v", events, err)
			}
			h.clock.Advance(time.Hour)
			h.look(t)
			if len(h.runs(t, m.ID)) != 0 {
				t.Error("a stopped schedule ran")
			}
			// Somebody who may can start it again.
			again, err := h.templates.Replace(t.Context(), h.actor(), m.ID, hourly("a", schedule.Allow, "192.0.2.7"))
			if err != nil || !again.Schedule.Enabled || again.Schedule.Stopped != nil {
				t.Errorf("%+v, %v", again.Schedule, err)
			}
		})
	}
}

func TestASuspendedOrganizationsSchedulesWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), hourly("a", schedule.Allow, "192.0.2.7"))
	suspend := func(on bool) {
		must(t, h.db.Tenants().Change(t.Context(), h.org, audit.Event{Type: event.OrgSuspended}, func(ctx context.Context, tx tenant.Tx) error {
			return tx.SetSuspended(ctx, on)
		}))
	}
	suspend(true)
	h.clock.Advance(5 * time.Hour)
	h.look(t)
	if s := h.get(t, m.ID).Schedule; !s.Enabled || len(h.runs(t, m.ID)) != 0 {
		t.Fatalf("%+v", s)
	}
	suspend(false)
	h.look(t)
	if len(h.runs(t, m.ID)) != 1 {
		t.Error("it didn't go on")
	}
}

// meddled is a store whose changes can be made to fail, or be preceded by something.
type meddled struct {
	template.Store

	before func()
	fail   func() error // before the unit is committed
	lose   func() error // after it was
	once   sync.Once
}

func (m *meddled) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, template.Tx) error) error {
	m.once.Do(func() {
		if m.before != nil {
			m.before()
		}
	})
	err := m.Store.Change(ctx, org, ev, func(ctx context.Context, tx template.Tx) error {
		if err := unit(ctx, tx); err != nil {
			return err
		}
		if m.fail != nil {
			return m.fail()
		}
		return nil
	})
	if err == nil && m.lose != nil {
		return m.lose()
	}
	return err
}

var errCrash = errors.New("the process died")

func TestACrashNeitherLosesNorDoublesARun(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		h := newHouse(t, db)
		m := h.create(t, h.actor(), hourly("a", schedule.Replace, "192.0.2.7", "example.org"))
		h.clock.Advance(time.Hour)
		h.node(&meddled{Store: db.Templates(), fail: func() error { return errCrash }}).Look(t.Context())
		if len(h.runs(t, m.ID)) != 0 || len(h.made(t, m.ID)) != 0 {
			t.Fatal("half a run is left of a crash before the commit")
		}
		h.node(&meddled{Store: db.Templates(), lose: func() error { return errCrash }}).Look(t.Context())
		for range 3 { // the restarts
			h.look(t)
		}
		if len(h.runs(t, m.ID)) != 1 || len(h.made(t, m.ID)) != 2 {
			t.Errorf("%d runs, %d scans after a crash behind the commit", len(h.runs(t, m.ID)), len(h.made(t, m.ID)))
		}
	})
}

func TestATemplateChangedBetweenReadingAndStartingIsReadAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, testkit.SQLite(t))
	m := h.create(t, h.actor(), hourly("a", schedule.Allow, "192.0.2.7"))
	h.clock.Advance(time.Hour)
	st := &meddled{Store: h.db.Templates(), before: func() {
		must(t, second(h.templates.Replace(t.Context(), h.actor(), m.ID, hourly("a", schedule.Allow, "192.0.2.8"))))
	}}
	node := h.node(st)
	node.Look(t.Context())
	if len(h.made(t, m.ID)) != 0 {
		t.Fatal("the old targets were scanned")
	}
	node.Look(t.Context())
	if scans := h.made(t, m.ID); len(scans) != 1 || scans[0].Target != "192.0.2.8" {
		t.Errorf("%+v", scans)
	}
}

// What follows is the state machine of schedules against a model, with several nodes on one database.

// model is what one template ought to have run.
type model struct {
	times schedule.Schedule
	next  time.Time // zero = off
	runs  []time.Time
}

func TestEachDueTimeStartsExactlyOnceHoweverManyNodesLook(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		rounds := 0
		rapid.Check(t, func(rt *rapid.T) {
			if rounds++; rounds > 8 { // each is a long story on a real database
				return
			}
			h := newHouse(t, db)
			nodes := make([]*template.Scheduler, 4)
			for i := range nodes {
				nodes[i] = h.node(db.Templates())
			}
			kept := map[uid.Template]*model{}
			var ids []uid.Template
			plan := func(name string) template.Draft {
				d := hourly(name, schedule.Allow, "192.0.2.7", "192.0.2.8")
				d.Schedule.Cron = rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *"}).Draw(rt, "cron")
				d.Schedule.TimeZone = rapid.SampledFrom([]string{"UTC", "Europe/Paris"}).Draw(rt, "zone")
				d.Schedule.Jitter = rapid.SampledFrom([]int{0, 50, 900}).Draw(rt, "jitter")
				d.Schedule.Enabled = rapid.IntRange(0, 5).Draw(rt, "enabled") > 0
				return d
			}
			note := func(m template.Template) {
				times, err := schedule.Parse(m.Schedule.Spec, time.LoadLocation)
				must(t, err)
				k := kept[m.ID]
				if k == nil {
					k = &model{}
					kept[m.ID] = k
				}
				k.times, k.next = times, m.Schedule.Next
			}
			for i := range rapid.IntRange(1, 4).Draw(rt, "templates") {
				m := h.create(t, h.actor(), plan(fmt.Sprintf("t%d", i)))
				ids = append(ids, m.ID)
				note(m)
			}
			for range rapid.IntRange(3, 12).Draw(rt, "steps") {
				switch rapid.IntRange(0, 9).Draw(rt, "step") {
				case 0:
					i := rapid.IntRange(0, len(ids)-1).Draw(rt, "which")
					m, err := h.templates.Replace(t.Context(), h.actor(), ids[i], plan(fmt.Sprintf("t%d", i)))
					must(t, err)
					note(m)
				default:
					h.clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 30, 61, 600, 3600, 86_400, 400_000}).Draw(rt, "seconds")) * time.Second)
				}
				var all sync.WaitGroup
				for _, n := range nodes[:rapid.IntRange(0, len(nodes)).Draw(rt, "nodes")] {
					all.Go(func() { n.Look(t.Context()) })
				}
				all.Wait()
				// Whoever looks last brings everything up to date.
				nodes[0].Look(t.Context())
				for id, k := range kept {
					if k.next.IsZero() {
						continue
					}
					for due, following, ok := k.times.Due(string(id), k.next, h.clock.Now()); ok; due, following, ok = k.times.Due(string(id), k.next, h.clock.Now()) {
						k.runs, k.next = append(k.runs, due), following
					}
				}
			}
			for id, k := range kept {
				h.agree(t, id, k)
			}
		})
	})
}

// agree compares a template's history with the model, and its scans with its history.
func (h *house) agree(t *testing.T, id uid.Template, k *model) {
	t.Helper()
	runs := h.runs(t, id)
	got := map[time.Time]bool{}
	scans := 0
	for _, r := range runs {
		if got[r.Due] || r.State != template.Started || len(r.Items) != 2 {
			t.Errorf("%s: %+v", id, r)
		}
		got[r.Due] = true
		scans += len(r.Items)
	}
	want := map[time.Time]bool{}
	for _, due := range k.runs {
		want[due] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s ran otherwise than it ought to (-want +got):\n%s", id, diff)
	}
	n := 0
	p := page.Request{Limit: 100}
	for {
		l, err := h.scans.List(t.Context(), h.org, scan.Query{Template: id, Page: p})
		must(t, err)
		n += len(l.Items)
		if l.Next.Zero() {
			break
		}
		p.After = l.Next
	}
	if n != scans {
		t.Errorf("%s: %d scans of runs that name %d", id, n, scans)
	}
	if now := h.get(t, id).Schedule; !now.Next.Equal(k.next) {
		t.Errorf("%s: next is %v, want %v", id, now.Next, k.next)
	}
}

// calendar is an agenda in memory that notes when it was looked at.
type calendar struct {
	mu    sync.Mutex
	next  time.Time
	looks []time.Time
}

func (c *calendar) DueTemplates(_ context.Context, now time.Time, _ template.Ref, _ int) ([]template.Ref, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks = append(c.looks, now)
	return nil, nil
}

func (c *calendar) NextStart(_ context.Context, after time.Time) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next.After(after) {
		return c.next, nil
	}
	return time.Time{}, nil
}

func TestTheSchedulerSleepsUntilTheNextStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := &calendar{next: begin.Add(10 * time.Second)}
		s := template.NewScheduler(template.SchedulerDeps{Agenda: c, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var ended atomic.Bool
		go func() {
			must(t, s.Run(ctx))
			ended.Store(true)
		}()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		c.mu.Lock()
		c.next = begin.Add(17 * time.Second)
		c.mu.Unlock()
		s.Wake() // a change in this process
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		synctest.Wait()
		var at []int
		for _, l := range c.looks {
			at = append(at, int(l.Sub(begin)/time.Second))
		}
		if diff := cmp.Diff([]int{0, 10, 15, 17, 47}, at); diff != "" || !ended.Load() {
			t.Errorf("looked at the wrong seconds: %s", diff)
		}
	})
}
