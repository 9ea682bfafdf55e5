package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func (h *house) hooks(tb testing.TB, org uid.Org, unit func(context.Context, hook.Tx) error) error {
	tb.Helper()
	return h.s.Hooks().Change(tb.Context(), org, act(), unit)
}

func (h *house) newHook(org uid.Org, events ...string) hook.Webhook {
	now := h.clock.Advance(time.Second)
	return hook.Webhook{
		ID: uid.Webhook("wh-" + h.ids.New()), Org: org, Name: "hook", Description: "note", URL: "https://h.example/", Events: events,
		CreatedBy: "key:1", CreatedAt: now, UpdatedAt: now, Sealed: []byte("sealed"),
	}
}

func (h *house) addHook(tb testing.TB, w hook.Webhook) hook.Webhook {
	tb.Helper()
	must(tb, h.hooks(tb, w.Org, func(ctx context.Context, tx hook.Tx) error { return tx.InsertWebhook(ctx, w) }))
	return w
}

// emit writes events that become visible to readers of the outbox.
func (h *house) emit(tb testing.TB, org uid.Org, typ event.Type, subjects ...string) {
	tb.Helper()
	must(tb, h.hooks(tb, org, func(ctx context.Context, tx hook.Tx) error {
		for _, s := range subjects {
			if err := tx.Emit(ctx, typ, s, map[string]string{"s": s}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(tb, h.s.Sequence(tb.Context()))
}

// route is what decides who is owed an event here: everybody who wants its type.
func (h *house) route(events []hook.Posted, hooks map[uid.Org][]hook.Webhook) ([]hook.Message, error) {
	var out []hook.Message
	now := h.clock.Now()
	for _, e := range events {
		m := hook.Message{Org: e.Org, ID: "evt_" + h.ids.New(), Type: e.Type, At: now, Seq: e.Seq, Body: []byte(e.Subject)}
		for _, w := range hooks[e.Org] {
			if w.Wants(e.Type) {
				d := hook.Drop{ID: uid.Delivery(h.ids.New()), Hook: w.ID, Lane: string(w.ID), State: hook.Pending, Due: now}
				if !w.Active() {
					d.State = hook.Held
				}
				m.Drops = append(m.Drops, d)
			}
		}
		if e.Callback != "" {
			m.Drops = append(m.Drops, hook.Drop{ID: uid.Delivery(h.ids.New()), Scan: uid.Scan(e.Subject), Lane: "cb-" + e.Callback, State: hook.Pending, Due: now})
		}
		if len(m.Drops) > 0 {
			out = append(out, m)
		}
	}
	return out, nil
}

// fan fans out all there is and returns the number of deliveries.
func (h *house) fan(tb testing.TB) int {
	tb.Helper()
	n := 0
	for {
		done := got(h.s.Post().FanOut(tb.Context(), hook.Fan{Limit: 50}, h.route))(tb)
		n += done.Deliveries
		if !done.More {
			return n
		}
	}
}

func (h *house) lanes(tb testing.TB) map[string]hook.Lane {
	tb.Helper()
	out := map[string]hook.Lane{}
	for _, l := range got(h.s.Post().Lanes(tb.Context()))(tb) {
		out[l.Name] = l
	}
	return out
}

// claim takes what is due in a lane.
func (h *house) claim(tb testing.TB, lane string, limit int) []hook.Letter {
	tb.Helper()
	l, ok := h.lanes(tb)[lane]
	if !ok {
		return nil
	}
	now := h.clock.Now()
	return got(h.s.Post().Claim(tb.Context(), l, now, now.Add(time.Minute), limit))(tb)
}

func (h *house) settle(tb testing.TB, done ...hook.Outcome) {
	tb.Helper()
	must(tb, h.s.Post().Settle(tb.Context(), done, hook.Judge))
}

func (h *house) outcome(l hook.Letter, status int) hook.Outcome {
	return hook.Outcome{Letter: l, Attempt: hook.Attempt{N: l.Attempts + 1, At: h.clock.Now(), Took: 3 * time.Millisecond, Status: status, Answer: "a"}}
}

func (h *house) delivery(tb testing.TB, org uid.Org, id uid.Delivery) hook.Delivery {
	tb.Helper()
	return got(h.s.Hooks().Delivery(tb.Context(), org, id))(tb)
}

func webhooks(t *testing.T, h *house) {
	var all []hook.Webhook
	for range 5 {
		all = append(all, h.addHook(t, h.newHook(h.ours, "scan.*", "finding.opened")))
	}
	h.addHook(t, h.newHook(h.theirs, "*"))
	w := all[2]
	same(t, "a webhook", w, got(h.s.Hooks().Webhook(t.Context(), h.ours, w.ID))(t))
	_, err := h.s.Hooks().Webhook(t.Context(), h.theirs, w.ID)
	wantMissing(t, err)
	_, err = h.s.Hooks().Webhook(t.Context(), h.ours, "wh-junk")
	wantMissing(t, err)

	ids := walk(t, func(p page.Request) ([]hook.Webhook, page.Key, error) {
		l, err := h.s.Hooks().Webhooks(t.Context(), h.ours, p)
		return l.Items, l.Next, err
	}, func(w hook.Webhook) string { return string(w.ID) }, 2)
	if len(ids) != 5 || !slices.IsSortedFunc(ids, func(a, b string) int { return -strings.Compare(a, b) }) {
		t.Errorf("ids %v; want 5, newest first", ids)
	}
	if l := got(h.s.Hooks().Webhooks(t.Context(), h.ours, pageAll()))(t); l.Total.N != 5 {
		t.Errorf("total %+v", l.Total)
	}

	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		n, err := tx.CountWebhooks(ctx)
		if n != 5 {
			t.Errorf("counted %d", n)
		}
		return err
	}))
	w.Name, w.Description, w.URL, w.Events, w.Stop = "other", "", "https://o.example/", []string{"*"}, hook.StoppedFailed
	w.Failures, w.FailingSince = 7, h.clock.Now()
	w.Sealed, w.Previous, w.PreviousUntil, w.UpdatedAt = []byte("new"), []byte("old"), h.clock.Now().Add(time.Hour), h.clock.Advance(time.Second)
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		held, err := tx.WebhookForUpdate(ctx, w.ID)
		if err != nil || held.Name != "hook" {
			t.Errorf("held %+v, %v", held, err)
		}
		return tx.UpdateWebhook(ctx, w)
	}))
	same(t, "a changed webhook", w, got(h.s.Hooks().Webhook(t.Context(), h.ours, w.ID))(t))
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return tx.DeleteWebhook(ctx, w.ID) }))
	wantMissing(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return tx.DeleteWebhook(ctx, w.ID) }))
	wantMissing(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.WebhookForUpdate(ctx, w.ID)
		return err
	}))
}

func fanOut(t *testing.T, h *house) {
	on, off := h.newHook(h.ours, "scan.*"), h.newHook(h.ours, "*")
	off.Stop = hook.StoppedByUser
	h.addHook(t, on)
	h.addHook(t, off)
	other := h.addHook(t, h.newHook(h.theirs, "scan.completed"))
	told := h.newScan(h.ours, "nmap", "host")
	told.Callback = "https://c.example/done"
	h.addScans(t, told)
	same(t, "a callback", told.Callback, got(h.s.Hooks().Callback(t.Context(), h.ours, told.ID))(t))
	_, err := h.s.Hooks().Callback(t.Context(), h.theirs, told.ID)
	wantMissing(t, err)
	h.fan(t)

	// A fan-out that fails halfway has no effect, and nothing is lost by it.
	h.emit(t, h.ours, event.ScanCompleted, string(told.ID), "b")
	h.emit(t, h.ours, event.FindingOpened, "c")
	h.emit(t, h.theirs, event.ScanCompleted, "d")
	broken := errors.New("broken")
	calls := 0
	_, err = h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50}, func(e []hook.Posted, w map[uid.Org][]hook.Webhook) ([]hook.Message, error) {
		m, err := h.route(e, w)
		if calls++; calls > 1 && err == nil {
			m = append(m, m[0]) // an id twice
		}
		return m, err
	})
	if err == nil || calls != 2 {
		t.Fatalf("a broken fan-out gives %v after %d calls", err, calls)
	}
	if _, err := h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50}, func([]hook.Posted, map[uid.Org][]hook.Webhook) ([]hook.Message, error) {
		return nil, broken
	}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if n := h.fan(t); n != 7 { // on: 2; off: 3; theirs: 1; callback: 1
		t.Errorf("%d deliveries; want 7", n)
	}
	if n := h.fan(t); n != 0 {
		t.Errorf("%d deliveries of events that were fanned out", n)
	}
	states := func(org uid.Org, q hook.DeliveryQuery) string {
		q.Page = pageAll()
		l := got(h.s.Hooks().Deliveries(t.Context(), org, q))(t)
		parts := []string{fmt.Sprint(l.Total.N, ":")}
		for _, d := range l.Items {
			parts = append(parts, fmt.Sprint(d.Type, "=", d.State))
		}
		return strings.Join(parts, " ")
	}
	for want, q := range map[string]hook.DeliveryQuery{
		"2: scan.completed=pending scan.completed=pending":               {Hook: on.ID},
		"3: finding.opened=held scan.completed=held scan.completed=held": {Hook: off.ID},
		"2: scan.completed=held scan.completed=held":                     {Hook: off.ID, Type: event.ScanCompleted},
		"1: scan.completed=pending":                                      {Scan: told.ID},
		"0:":                                                             {Hook: on.ID, State: hook.Held},
	} {
		if got := states(h.ours, q); got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	if got := states(h.theirs, hook.DeliveryQuery{Hook: other.ID}); got != "1: scan.completed=pending" {
		t.Errorf("theirs: %s", got)
	}
	if got := states(h.theirs, hook.DeliveryQuery{Hook: on.ID}); got != "0:" {
		t.Errorf("ours seen by theirs: %s", got)
	}
	lanes := h.lanes(t)
	if len(lanes) != 3 || lanes[string(on.ID)].Org != h.ours || lanes["cb-"+told.Callback].Kind != hook.LaneOpen {
		t.Errorf("lanes %+v", lanes)
	}
	if n := got(h.s.Post().Depth(t.Context()))(t); n != 4 {
		t.Errorf("depth %d", n)
	}

	// Nothing is written for events that nobody wants, until it is asked for; and what was passed over isn't looked at again.
	h.emit(t, h.theirs, event.ScanQueued, "e")
	done := got(h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50}, h.route))(t)
	again := got(h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50}, h.route))(t)
	behind := got(h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50, After: done.Last}, h.route))(t)
	written := got(h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50, After: done.Last, Write: true}, h.route))(t)
	after := got(h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 50}, h.route))(t)
	if done.Read != 1 || again != done || behind.Read != 0 || behind.Last != done.Last || written.Last != done.Last || after.Read != 0 {
		t.Errorf("looked %+v, again %+v, behind it %+v, written %+v, after that %+v", done, again, behind, written, after)
	}
}

func fanOutAtOnce(t *testing.T, h *house) {
	w := h.addHook(t, h.newHook(h.ours, "*"))
	var subjects []string
	for n := range 120 {
		subjects = append(subjects, fmt.Sprint(n))
	}
	h.emit(t, h.ours, event.ScanQueued, subjects...)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				done, err := h.s.Post().FanOut(t.Context(), hook.Fan{Limit: 7}, h.route)
				if err != nil {
					t.Errorf("fanning out: %v", err)
				}
				if err != nil || (done.Read == 0 && !done.More) {
					return
				}
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	var mu sync.Mutex
	for range 6 { // and claims at once
		all.Go(func() {
			for {
				now := h.clock.Now()
				letters, err := h.s.Post().Claim(t.Context(), hook.Lane{Name: string(w.ID), Org: h.ours}, now, now.Add(time.Minute), 9)
				if err != nil {
					t.Errorf("claiming: %v", err)
				}
				if err != nil || len(letters) == 0 {
					return
				}
				mu.Lock()
				for _, l := range letters {
					seen[string(l.Body)]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, s := range subjects {
		if seen[s] != 1 {
			t.Errorf("event %s was claimed %d times", s, seen[s])
		}
	}
}

// hookEstate is what an organization has of webhooks in the sweeps of isolation.
type hookEstate struct {
	hook     hook.Webhook
	delivery uid.Delivery
	told     scan.Scan
}

func (h *house) furnishHooks(tb testing.TB, org uid.Org) hookEstate {
	tb.Helper()
	e := hookEstate{hook: h.addHook(tb, h.newHook(org, "*")), told: h.newScan(org, "nmap", "told")}
	e.delivery = h.trial(tb, e.hook, h.ids)
	e.told.Callback = "https://c.example/"
	h.addScans(tb, e.told)
	return e
}

func (h *house) hookReaders(o estate) portTries {
	org, hooks := h.theirs, h.s.Hooks()
	return portTries{port: reflect.TypeFor[hook.Store](), tries: map[string]attempt{
		"Webhook":  func(ctx context.Context) (any, error) { return hooks.Webhook(ctx, org, o.hooks.hook.ID) },
		"Delivery": func(ctx context.Context) (any, error) { return hooks.Delivery(ctx, org, o.hooks.delivery) },
		"Callback": func(ctx context.Context) (any, error) { return hooks.Callback(ctx, org, o.hooks.told.ID) },
		"Webhooks": func(ctx context.Context) (any, error) {
			l, err := hooks.Webhooks(ctx, org, pageAll())
			return slices.ContainsFunc(l.Items, func(w hook.Webhook) bool { return w.ID == o.hooks.hook.ID }) || l.Total.N != 1, err
		},
		"Deliveries": func(ctx context.Context) (any, error) {
			l, err := hooks.Deliveries(ctx, org, hook.DeliveryQuery{Hook: o.hooks.hook.ID, Page: pageAll()})
			c, cerr := hooks.Deliveries(ctx, org, hook.DeliveryQuery{Scan: o.hooks.told.ID, Page: pageAll()})
			return len(l.Items)+l.Total.N+len(c.Items) > 0, errors.Join(err, cerr)
		},
	}}
}

func (h *house) hookWriters(o estate) portTries {
	at := h.clock.Now()
	in := func(f func(context.Context, hook.Tx) error) attempt {
		return func(ctx context.Context) (any, error) { return nil, h.s.Hooks().Change(ctx, h.theirs, act(), f) }
	}
	w := o.hooks.hook
	none := func(n int, err error) error {
		if err == nil && n != 0 {
			return tamperError("a unit touched another organization's deliveries")
		}
		return err
	}
	return portTries{port: reflect.TypeFor[hook.Tx](), tries: map[string]attempt{
		"CountWebhooks": in(func(ctx context.Context, tx hook.Tx) error {
			n, err := tx.CountWebhooks(ctx)
			return none(n-1, err)
		}),
		"InsertWebhook":    in(func(ctx context.Context, tx hook.Tx) error { return tx.InsertWebhook(ctx, w) }),
		"WebhookForUpdate": in(func(ctx context.Context, tx hook.Tx) error { return mustFail(second(tx.WebhookForUpdate(ctx, w.ID))) }),
		"UpdateWebhook": in(func(ctx context.Context, tx hook.Tx) error {
			return tx.UpdateWebhook(ctx, hook.Webhook{ID: w.ID, Sealed: []byte("x")})
		}),
		"DeleteWebhook":  in(func(ctx context.Context, tx hook.Tx) error { return tx.DeleteWebhook(ctx, w.ID) }),
		"DropDeliveries": in(func(ctx context.Context, tx hook.Tx) error { return none(tx.DropDeliveries(ctx, w.ID)) }),
		"HoldDeliveries": in(func(ctx context.Context, tx hook.Tx) error { return none(tx.HoldDeliveries(ctx, w.ID)) }),
		"ReviveDeliveries": in(func(ctx context.Context, tx hook.Tx) error {
			return none(tx.ReviveDeliveries(ctx, hook.Revival{Hook: w.ID, State: hook.Held, At: at, Limit: 9}))
		}),
		"Redeliver": in(func(ctx context.Context, tx hook.Tx) error { return mustFail(tx.Redeliver(ctx, o.hooks.delivery, at)) }),
		"InsertTrial": in(func(ctx context.Context, tx hook.Tx) error {
			m := hook.Message{ID: "evt_x", At: at, Body: []byte("{}"), Drops: []hook.Drop{{ID: uid.Delivery(h.ids.New()), Hook: "wh-x", Lane: "x", State: hook.Held}}}
			return tx.InsertTrial(ctx, m, hook.Attempt{N: 9, At: at})
		}),
		"Emit": in(func(ctx context.Context, tx hook.Tx) error {
			return tx.Emit(ctx, event.ScanStarted, "x", map[string]int{})
		}),
	}}
}
