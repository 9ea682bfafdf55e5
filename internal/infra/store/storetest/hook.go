package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

func claims(t *testing.T, h *house) {
	w := h.newHook(h.ours, "*")
	h.addHook(t, w)
	w.Previous, w.PreviousUntil = []byte("previous"), h.clock.Now().Add(time.Hour)
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return tx.UpdateWebhook(ctx, w) }))
	told := h.newScan(h.ours, "nmap", "host")
	told.Callback = "https://c.example/done"
	h.addScans(t, told)
	h.emit(t, h.ours, event.ScanCompleted, string(told.ID), "b", "c")
	h.fan(t)
	lane := string(w.ID)
	first := h.claim(t, lane, 2)
	if len(first) != 2 || string(first[0].Body) != string(told.ID) || string(first[1].Body) != "b" {
		t.Fatalf("claimed %+v; want the first two, in their order", first)
	}
	l := first[1]
	l.Lease = time.Time{}
	same(t, "a letter", hook.Letter{
		Org: h.ours, ID: first[1].ID, Lane: lane, Hook: w.ID, Event: first[1].Event, Type: event.ScanCompleted, Body: []byte("b"),
		URL: w.URL, Record: hook.Record(w.ID), Secrets: [][]byte{w.Sealed, w.Previous},
	}, l)
	if second := h.claim(t, lane, 9); len(second) != 1 || string(second[0].Body) != "c" {
		t.Errorf("then %+v", second)
	}
	h.clock.Advance(59 * time.Second)
	if early := h.claim(t, lane, 9); len(early) != 0 {
		t.Errorf("%d are claimed within their lease", len(early))
	}
	h.clock.Advance(2 * time.Second)
	late := h.claim(t, lane, 9)
	if len(late) != 3 {
		t.Fatalf("%d are claimed after their lease", len(late))
	}
	must(t, h.s.Post().Release(t.Context(), late[:1], h.clock.Now()))
	must(t, h.s.Post().Release(t.Context(), first[1:], h.clock.Now())) // not theirs any more
	if again := h.claim(t, lane, 9); len(again) != 1 || again[0].ID != late[0].ID {
		t.Errorf("after a release %+v", again)
	}
	must(t, h.s.Post().ReleaseAll(t.Context(), h.clock.Now()))
	if again := h.claim(t, lane, 9); len(again) != 3 {
		t.Errorf("after releasing all, %d", len(again))
	}
	h.clock.Advance(2 * time.Hour)
	if again := h.claim(t, lane, 9); len(again) != 3 || len(again[0].Secrets) != 1 {
		t.Errorf("the old secret signs after its time: %+v", again)
	}

	callback := h.claim(t, "cb-"+told.Callback, 9)
	if len(callback) != 1 || callback[0].URL != told.Callback || callback[0].Secrets != nil || callback[0].Record != hook.CallbackRecord {
		t.Errorf("a callback without a secret is claimed as %+v", callback)
	}
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		return tx.(interface {
			PutCallbackSecret(ctx context.Context, sealed []byte) error
		}).PutCallbackSecret(ctx, []byte("secret"))
	}))
	must(t, h.s.Post().ReleaseAll(t.Context(), h.clock.Now()))
	if callback = h.claim(t, "cb-"+told.Callback, 9); len(callback) != 1 || string(callback[0].Secrets[0]) != "secret" {
		t.Errorf("a callback is claimed as %+v", callback)
	}
}

func closedLanes(t *testing.T, h *house) {
	off, gone := h.addHook(t, h.newHook(h.ours, "*")), h.addHook(t, h.newHook(h.ours, "*"))
	h.emit(t, h.ours, event.ScanQueued, "a", "b")
	h.fan(t)
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		off.Stop = hook.StoppedGone
		if err := tx.UpdateWebhook(ctx, off); err != nil {
			return err
		}
		return tx.DeleteWebhook(ctx, gone.ID)
	}))
	lanes := h.lanes(t)
	if lanes[string(off.ID)].Kind != hook.LaneClosed || lanes[string(gone.ID)].Kind != hook.LaneGone {
		t.Fatalf("lanes %+v", lanes)
	}
	for _, l := range lanes {
		must(t, h.s.Post().Clear(t.Context(), l))
	}
	if left := h.lanes(t); len(left) != 0 {
		t.Errorf("lanes %+v are left", left)
	}
	q := hook.DeliveryQuery{Hook: off.ID, State: hook.Held, Page: pageAll()}
	if l := got(h.s.Hooks().Deliveries(t.Context(), h.ours, q))(t); len(l.Items) != 2 {
		t.Errorf("held: %+v", l.Items)
	}
	if l := got(h.s.Hooks().Deliveries(t.Context(), h.ours, hook.DeliveryQuery{Hook: gone.ID, Page: pageAll()}))(t); len(l.Items) != 0 {
		t.Errorf("of a deleted webhook: %+v", l.Items)
	}
}

func outcomes(t *testing.T, h *house) {
	w := h.addHook(t, h.newHook(h.ours, "*"))
	told := h.newScan(h.ours, "nmap", "host")
	told.Callback = "https://c.example/done"
	h.addScans(t, told)
	h.emit(t, h.ours, event.ScanCompleted, string(told.ID), "b", "c", "d")
	h.fan(t)
	lane := string(w.ID)
	got4 := h.claim(t, lane, 9)
	callback := h.claim(t, "cb-"+told.Callback, 9)[0]
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return nil }))
	bad := h.outcome(got4[1], 500)
	bad.Error, bad.Chance = "the receiver answered 500", 0
	gone := h.outcome(callback, http.StatusGone)
	h.settle(t, gone, h.outcome(got4[0], 200), bad)
	first := h.delivery(t, h.ours, got4[0].ID)
	if first.State != hook.Delivered || first.Attempts != 1 || first.Last.Status != 200 || !first.NextAt.IsZero() || string(first.Body) != string(told.ID) || first.URL != w.URL || len(first.Tries) != 1 {
		t.Errorf("delivered: %+v", first)
	}
	second := h.delivery(t, h.ours, got4[1].ID)
	if second.State != hook.Pending || second.Attempts != 1 || second.Last.Error == "" || second.NextAt.Sub(bad.At) != 5*time.Second+bad.Took {
		t.Errorf("failed once: %+v", second)
	}
	if d := h.delivery(t, h.ours, callback.ID); d.State != hook.Failed || d.URL != told.Callback || d.Scan != told.ID || d.Hook != "" {
		t.Errorf("a callback that is gone: %+v", d)
	}
	health := got(h.s.Hooks().Webhook(t.Context(), h.ours, w.ID))(t).Health
	if health.Failures != 1 || health.FailingSince.IsZero() || health.LastOKAt.IsZero() {
		t.Errorf("health %+v", health)
	}

	// A failure of somebody whose lease is over changes nothing; a success does.
	h.clock.Advance(2 * time.Minute)
	again := h.claim(t, lane, 9)
	if len(again) != 3 {
		t.Fatalf("%d are due", len(again))
	}
	h.settle(t, h.outcome(got4[2], 500))
	if d := h.delivery(t, h.ours, got4[2].ID); d.State != hook.Pending || d.Attempts != 0 {
		t.Errorf("a late failure: %+v", d)
	}
	h.settle(t, h.outcome(got4[2], 204))
	if d := h.delivery(t, h.ours, got4[2].ID); d.State != hook.Delivered {
		t.Errorf("a late success: %+v", d)
	}
	// What was held under a try stays held when it fails, and is delivered when it succeeds.
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		_, err := tx.HoldDeliveries(ctx, w.ID)
		return err
	}))
	var rest []hook.Outcome
	for _, l := range again {
		switch l.ID {
		case got4[1].ID:
			rest = append(rest, h.outcome(l, 500))
		case got4[3].ID:
			rest = append(rest, h.outcome(l, 200))
		}
	}
	h.settle(t, rest...)
	if a, b := h.delivery(t, h.ours, got4[1].ID), h.delivery(t, h.ours, got4[3].ID); a.State != hook.Held || a.Attempts != 2 || b.State != hook.Delivered {
		t.Errorf("held: %+v, delivered: %+v", a, b)
	}
	// A deleted webhook under a try is nobody's failure.
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return tx.DeleteWebhook(ctx, w.ID) }))
	h.settle(t, h.outcome(got4[0], 500))
}

func replays(t *testing.T, h *house) {
	w := h.newHook(h.ours, "*")
	w.Stop = hook.StoppedByUser
	h.addHook(t, w)
	var subjects []string
	for n := range 12 {
		subjects = append(subjects, fmt.Sprint(n))
	}
	h.emit(t, h.ours, event.ScanQueued, subjects[:6]...)
	h.fan(t)
	middle := h.clock.Advance(time.Second)
	h.emit(t, h.ours, event.ScanQueued, subjects[6:]...)
	h.fan(t)
	revive := func(r hook.Revival) int {
		r.Hook, r.At = w.ID, h.clock.Now()
		n := 0
		must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) (err error) {
			n, err = tx.ReviveDeliveries(ctx, r)
			return err
		}))
		return n
	}
	if n := revive(hook.Revival{State: hook.Failed, Limit: 500}); n != 0 {
		t.Errorf("%d failed ones", n)
	}
	if n := revive(hook.Revival{State: hook.Held, From: middle, Limit: 4}); n != 4 {
		t.Errorf("%d of the later ones, want 4", n)
	}
	if n := revive(hook.Revival{State: hook.Held, To: middle, Limit: 500}); n != 6 {
		t.Errorf("%d of the earlier ones, want 6", n)
	}
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error {
		w.Stop = ""
		return tx.UpdateWebhook(ctx, w)
	}))
	letters := h.claim(t, string(w.ID), 50)
	if len(letters) != 10 || !slices.IsSortedFunc(letters, func(a, b hook.Letter) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		t.Errorf("%d are due", len(letters))
	}
	h.settle(t, h.outcome(letters[0], 200))
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) error { return tx.Redeliver(ctx, letters[0].ID, h.clock.Now()) }))
	again := h.claim(t, string(w.ID), 50)
	if len(again) != 1 || again[0].Event != letters[0].Event || string(again[0].Body) != string(letters[0].Body) || again[0].Tries != 0 || again[0].Attempts != 1 {
		t.Errorf("redelivered as %+v", again)
	}
	wantMissing(t, h.hooks(t, h.theirs, func(ctx context.Context, tx hook.Tx) error { return tx.Redeliver(ctx, letters[0].ID, h.clock.Now()) }))
	n := 0
	must(t, h.hooks(t, h.ours, func(ctx context.Context, tx hook.Tx) (err error) {
		n, err = tx.DropDeliveries(ctx, w.ID)
		return err
	}))
	if n != 12 {
		t.Errorf("%d dropped", n)
	}
}

// hookRetention checks that old deliveries go, held ones as well, and that the outbox keeps what was not fanned out.
func hookRetention(t *testing.T, h *house) {
	now := time.Now //nolint:forbidigo // the store of these tests has the real clock
	old := now().Add(-31 * 24 * time.Hour)
	ids := uid.NewSource(func() time.Time { return old }, randomness{})
	w := h.addHook(t, h.newHook(h.ours, "*"))
	fresh := h.trial(t, w, uid.NewSource(now, randomness{}))
	var stale []uid.Delivery
	for range 3 {
		stale = append(stale, h.trial(t, w, ids))
	}
	must(t, h.s.Sweep(t.Context()))
	for _, id := range stale {
		_, err := h.s.Hooks().Delivery(t.Context(), h.ours, id)
		wantMissing(t, err)
	}
	h.delivery(t, h.ours, fresh)
	h.inRaw(t, h.ours, func(r raw) {
		for _, table := range []string{"hook_event", "hook_attempt", "hook_delivery"} {
			if rows := r.rows(table, h.ours); len(rows) != 1 {
				t.Errorf("%s holds %d rows", table, len(rows))
			}
		}
	})
}

type randomness struct{}

func (randomness) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i)
	}
	return len(b), nil
}

// trial writes a delivery that a test of the webhook left.
func (h *house) trial(tb testing.TB, w hook.Webhook, ids *uid.Source) uid.Delivery {
	tb.Helper()
	id := uid.Delivery(ids.New())
	m := hook.Message{
		Org: w.Org, ID: "evt_" + ids.New(), Type: event.WebhookTest, At: h.clock.Now(), Body: []byte("{}"),
		Drops: []hook.Drop{{ID: id, Hook: w.ID, Lane: string(w.ID), State: hook.Held}},
	}
	must(tb, h.hooks(tb, w.Org, func(ctx context.Context, tx hook.Tx) error {
		return tx.InsertTrial(ctx, m, hook.Attempt{N: 1, At: h.clock.Now(), Status: 200})
	}))
	return id
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
