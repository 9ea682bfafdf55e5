package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// Post implements hook.Post over all organizations, for the server's office only.
type Post struct{ reader }

var _ hook.Post = Post{}

// Post is the view of whoever brings events to their receivers.
func (s *Store) Post() Post { return Post{reader{s}} }

// Depth returns how many deliveries are pending, at most 10,001.
func (p Post) Depth(ctx context.Context) (int, error) {
	var n int
	err := p.oneOfAll(ctx, func(ctx context.Context, v *View) error { return v.row(ctx, "all.post.depth", nil, &n) })
	return n, err
}

// FanOut implements hook.Post: a look first, and a unit only where somebody is owed something.
func (p Post) FanOut(ctx context.Context, f hook.Fan, route func([]hook.Posted, map[uid.Org][]hook.Webhook) ([]hook.Message, error)) (hook.Fanned, error) {
	if !f.Write {
		done, messages, err := p.look(ctx, f, route)
		if err != nil || messages == 0 {
			return done, err
		}
	}
	var done hook.Fanned
	ev := audit.Bookkeeping("events of the outbox become deliveries")
	err := p.s.changeAll(ctx, ev, func(ctx context.Context, t *Tx) error {
		done = hook.Fanned{}
		var cursor int64
		if err := t.row(ctx, "all.post.cursor_hold", nil, &cursor); err != nil {
			return err
		}
		events, hooks, err := posted(ctx, &t.handle, max(cursor, f.After), f.Limit)
		if err != nil {
			return err
		}
		messages, err := route(events, hooks)
		if err != nil {
			return err
		}
		more := len(events) == f.Limit
		events, messages, cut := bounded(events, messages)
		if done, err = t.post(ctx, messages); err != nil {
			return err
		}
		done.Read, done.Last, done.More = len(events), lastOf(events, max(cursor, f.After)), more || cut
		_, err = t.exec(ctx, "all.post.cursor_move", done.Last)
		return err
	})
	return done, err
}

// look reads what a fan-out would read and counts the messages that would come of it.
func (p Post) look(ctx context.Context, f hook.Fan, route func([]hook.Posted, map[uid.Org][]hook.Webhook) ([]hook.Message, error)) (hook.Fanned, int, error) {
	var done hook.Fanned
	var n int
	err := p.viewAll(ctx, func(ctx context.Context, v *View) error {
		var cursor int64
		if err := v.row(ctx, "all.post.cursor", nil, &cursor); err != nil {
			return err
		}
		events, hooks, err := posted(ctx, &v.handle, max(cursor, f.After), f.Limit)
		if err != nil {
			return err
		}
		messages, err := route(events, hooks)
		done, n = hook.Fanned{Read: len(events), Last: lastOf(events, max(cursor, f.After)), More: len(events) == f.Limit}, len(messages)
		return err
	})
	return done, n, err
}

// bounded cuts events and their messages where they would be too many deliveries for one unit.
func bounded(events []hook.Posted, messages []hook.Message) ([]hook.Posted, []hook.Message, bool) {
	drops := 0
	for i, m := range messages {
		drops += len(m.Drops)
		if i == 0 || drops <= hook.MaxDrops {
			continue
		}
		end := slices.IndexFunc(events, func(e hook.Posted) bool { return e.Seq == m.Seq })
		return events[:max(end, 0)], messages[:i], true
	}
	return events, messages, false
}

func lastOf(events []hook.Posted, otherwise int64) int64 {
	if len(events) == 0 {
		return otherwise
	}
	return events[len(events)-1].Seq
}

// posted reads events behind a place, and the webhooks of their organizations as far as routing needs them.
func posted(ctx context.Context, h *handle, after int64, limit int) ([]hook.Posted, map[uid.Org][]hook.Webhook, error) {
	var events []hook.Posted
	var orgs []uid.Org
	err := h.each(ctx, "all.post.events", []any{after, limit}, func(rows *sql.Rows) error {
		var e hook.Posted
		var typ, data string
		var at int64
		var callback sql.NullString
		if err := rows.Scan(&e.Seq, &e.Org, &typ, &e.Subject, &at, &data, &callback); err != nil {
			return internal("an event can't be read", err)
		}
		e.Type, e.At, e.Data, e.Callback = event.Type(typ), timeOf(at), json.RawMessage(data), callback.String
		events = append(events, e)
		if !slices.Contains(orgs, e.Org) {
			orgs = append(orgs, e.Org)
		}
		return nil
	})
	if err != nil || len(events) == 0 {
		return nil, nil, err
	}
	hooks := map[uid.Org][]hook.Webhook{}
	err = eachOf(ctx, h, "all.webhook.of", nil, orgs, func(rows *sql.Rows) error {
		var w hook.Webhook
		var patterns []byte
		var stop sql.NullString
		var created int64
		if err := rows.Scan(&w.Org, &w.ID, &patterns, &stop, &created); err != nil {
			return internal("a webhook can't be read", err)
		}
		w.Stop, w.CreatedAt = hook.Stop(stop.String), timeOf(created)
		var err error
		w.Events, err = texts[string]("events", patterns)
		hooks[w.Org] = append(hooks[w.Org], w)
		return err
	})
	return events, hooks, err
}

// post writes messages, organization by organization.
func (t *Tx) post(ctx context.Context, messages []hook.Message) (hook.Fanned, error) {
	var done hook.Fanned
	byOrg := map[uid.Org][]hook.Message{}
	for _, m := range messages {
		byOrg[m.Org] = append(byOrg[m.Org], m)
		done.Deliveries += len(m.Drops)
	}
	for org, list := range byOrg {
		if err := t.within(org, func() error { return t.insertMessages(ctx, list, 0) }); err != nil {
			return done, err
		}
	}
	return done, nil
}

// Lanes returns every lane that has pending deliveries.
func (p Post) Lanes(ctx context.Context) ([]hook.Lane, error) {
	var out []hook.Lane
	err := p.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.post.lanes", nil, func(rows *sql.Rows) error {
			var l hook.Lane
			var org sql.NullString
			var due sql.NullInt64
			if err := rows.Scan(&l.Name, &org, &due, &l.Kind); err != nil {
				return internal("a lane can't be read", err)
			}
			l.Org, l.Due = uid.Org(org.String), timeOf(due.Int64)
			if org.Valid && due.Valid {
				out = append(out, l)
			}
			return nil
		})
	})
	return out, err
}

// Claim takes due deliveries of a lane, oldest due first, at most limit.
func (p Post) Claim(ctx context.Context, l hook.Lane, now, lease time.Time, limit int) ([]hook.Letter, error) {
	var out []hook.Letter
	err := p.s.change(ctx, l.Org, audit.Bookkeeping("who sends a due delivery"), func(ctx context.Context, t *Tx) error {
		out = nil
		var ids []uid.Delivery
		args := []any{l.Name, micros(now), micros(lease), min(limit, maxRows)}
		err := t.each(ctx, "post.claim", args, func(rows *sql.Rows) error {
			var id uid.Delivery
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		slices.Sort(ids)
		return eachOf(ctx, &t.handle, "post.letters", nil, slices.Clone(ids), func(rows *sql.Rows) error {
			letter, err := letterOf(rows, now)
			if err != nil {
				return err
			}
			letter.Org, letter.Lane, letter.Lease = l.Org, l.Name, lease
			out = append(out, letter)
			return nil
		})
	})
	slices.SortFunc(out, func(a, b hook.Letter) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out, err
}

// letterOf reads a row of post.letters.
func letterOf(rows *sql.Rows, now time.Time) (hook.Letter, error) {
	var l hook.Letter
	var id, url, callback sql.NullString
	var sealed, previous, secret []byte
	var until sql.NullInt64
	err := rows.Scan(&l.ID, &id, &l.Event, &l.Type, &l.Attempts, &l.Tries, &l.Body, &url, &sealed, &previous, &until, &callback, &secret)
	if err != nil {
		return l, internal("a due delivery can't be read", err)
	}
	l.Hook = uid.Webhook(id.String)
	if l.Hook == "" {
		l.URL, l.Record = callback.String, hook.CallbackRecord
		if secret != nil {
			l.Secrets = [][]byte{secret}
		}
		return l, nil
	}
	l.URL, l.Record = url.String, hook.Record(l.Hook)
	if sealed != nil {
		l.Secrets = [][]byte{sealed}
	}
	if previous != nil && now.Before(timeOf(until.Int64)) {
		l.Secrets = append(l.Secrets, previous)
	}
	return l, nil
}

// Clear holds, or removes, pending deliveries of a lane that isn't open.
func (p Post) Clear(ctx context.Context, l hook.Lane) error {
	return p.s.change(ctx, l.Org, audit.Bookkeeping("deliveries of a webhook that takes none"), func(ctx context.Context, t *Tx) error {
		if l.Kind == hook.LaneGone {
			_, err := t.exec(ctx, "post.drop_lane", l.Name)
			return err
		}
		_, err := t.HoldDeliveries(ctx, uid.Webhook(l.Name))
		return err
	})
}

// Settle writes outcomes and the webhooks' health in one unit.
func (p Post) Settle(ctx context.Context, done []hook.Outcome, judge func(hook.Health, hook.Outcome) (hook.Verdict, hook.Health)) error {
	return p.s.changeAll(ctx, audit.Bookkeeping("outcomes of deliveries"), func(ctx context.Context, t *Tx) error {
		for len(done) > 0 {
			n := 1
			for n < len(done) && done[n].Org == done[0].Org {
				n++
			}
			one := done[:n]
			if err := t.within(one[0].Org, func() error { return t.settle(ctx, one, judge) }); err != nil {
				return err
			}
			done = done[n:]
		}
		return nil
	})
}

// settle writes the outcomes of one organization.
func (t *Tx) settle(ctx context.Context, done []hook.Outcome, judge func(hook.Health, hook.Outcome) (hook.Verdict, hook.Health)) error {
	tries := make([][]any, 0, len(done))
	var good []uid.Delivery
	for i := 0; i < len(done); {
		id := done[i].Hook
		h, known, err := t.health(ctx, id)
		if err != nil {
			return err
		}
		for ; i < len(done) && done[i].Hook == id; i++ {
			o := done[i]
			var v hook.Verdict
			v, h = judge(h, o)
			tries = append(tries, attemptRow(o.ID, o.Attempt))
			if v.State == hook.Delivered {
				good = append(good, o.ID)
				continue
			}
			if _, err := t.exec(ctx, "delivery.failed", string(o.ID), micros(o.Lease), string(v.State), micros(v.Due)); err != nil {
				return err
			}
		}
		if !known {
			continue
		}
		if _, err := t.exec(ctx, "webhook.health", string(id), h.Failures, micros(h.FailingSince), micros(h.LastAt), micros(h.LastOKAt)); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(good, maxRows) {
		text, args, err := listed(&t.handle, "delivery.delivered", nil, chunk)
		if err != nil {
			return err
		}
		if _, err := t.execText(ctx, text, args); err != nil {
			return err
		}
	}
	_, err := t.insertMany(ctx, "delivery.attempt_insert", tries)
	return err
}

// health reads a webhook's health and holds it; false where there is no webhook, as for callbacks.
func (t *Tx) health(ctx context.Context, id uid.Webhook) (hook.Health, bool, error) {
	if id == "" {
		return hook.Health{}, false, nil
	}
	var h hook.Health
	known := false
	err := t.each(ctx, "webhook.health_hold", []any{string(id)}, func(rows *sql.Rows) error {
		var since, last, lastOK int64
		if err := rows.Scan(&h.Failures, &since, &last, &lastOK); err != nil {
			return internal("a webhook can't be read", err)
		}
		h.FailingSince, h.LastAt, h.LastOKAt, known = timeOf(since), timeOf(last), timeOf(lastOK), true
		return nil
	})
	return h, known, err
}

// Release gives claimed letters back, due at once.
func (p Post) Release(ctx context.Context, letters []hook.Letter, now time.Time) error {
	if len(letters) == 0 {
		return nil
	}
	return p.s.changeAll(ctx, audit.Bookkeeping("who sends a due delivery"), func(ctx context.Context, t *Tx) error {
		for _, l := range letters {
			err := t.within(l.Org, func() error {
				_, err := t.exec(ctx, "delivery.release", string(l.ID), micros(now), micros(l.Lease))
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ReleaseAll gives all claimed letters back: for a process that is the only one, when it starts.
func (p Post) ReleaseAll(ctx context.Context, now time.Time) error {
	return p.s.changeAll(ctx, audit.Bookkeeping("who sends a due delivery"), func(ctx context.Context, t *Tx) error {
		_, err := t.exec(ctx, "all.post.release", micros(now))
		return err
	})
}
