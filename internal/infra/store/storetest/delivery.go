package storetest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

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
