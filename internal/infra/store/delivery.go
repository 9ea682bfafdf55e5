package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func missingDelivery() error { return fault.Missing("delivery") }

// deliveryRow are the columns of delivery.rows.
type deliveryRow struct {
	d                           hook.Delivery
	hook, scan, failure, answer sql.NullString
	due, created                int64
	triedAt, took, status       sql.NullInt64
}

func (r *deliveryRow) dest() []any {
	d := &r.d
	return []any{
		&d.ID, &r.hook, &r.scan, &d.Event, &d.Type, &d.State, &d.Attempts, &r.due, &r.created, &r.triedAt, &r.took, &r.status,
		&r.failure, &r.answer,
	}
}

func (r *deliveryRow) done() hook.Delivery {
	d := r.d
	d.Hook, d.Scan, d.CreatedAt = uid.Webhook(r.hook.String), uid.Scan(r.scan.String), timeOf(r.created)
	if d.State == hook.Pending {
		d.NextAt = timeOf(r.due)
	}
	if r.triedAt.Valid {
		d.Last = &hook.Attempt{
			N: d.Attempts, At: timeOf(r.triedAt.Int64), Took: time.Duration(r.took.Int64) * time.Microsecond, Status: int(r.status.Int64),
			Error: r.failure.String, Answer: r.answer.String,
		}
	}
	return d
}

// Delivery returns one delivery with its message and its tries, the first 200; NotFound where there is none.
func (r HookStore) Delivery(ctx context.Context, org uid.Org, id uid.Delivery) (hook.Delivery, error) {
	if !uid.Valid(string(id)) {
		return hook.Delivery{}, missingDelivery()
	}
	var d hook.Delivery
	err := r.view(ctx, org, func(ctx context.Context, v *View) error {
		q, args, err := v.find("delivery.rows", nil)
		if err != nil {
			return err
		}
		c := composed{d: v.s.dialect, args: args}
		c.text.WriteString(q.text)
		c.add(" AND d.id = ?", string(id))
		var row deliveryRow
		if err := readFault(v.sql.QueryRowContext(ctx, c.text.String(), c.args...).Scan(row.dest()...)); err != nil {
			return err
		}
		d = row.done()
		if err := v.row(ctx, "delivery.message", []any{string(id)}, (*[]byte)(&d.Body), &d.URL); err != nil {
			return err
		}
		return v.each(ctx, "delivery.attempts", []any{string(id)}, func(rows *sql.Rows) error {
			a, err := attemptOf(rows)
			d.Tries = append(d.Tries, a)
			return err
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		return hook.Delivery{}, missingDelivery()
	}
	return d, err
}

func attemptOf(rows *sql.Rows) (hook.Attempt, error) {
	var a hook.Attempt
	var at, took int64
	var failure, answer sql.NullString
	if err := rows.Scan(&a.N, &at, &took, &a.Status, &failure, &answer); err != nil {
		return a, internal("a try can't be read", err)
	}
	a.At, a.Took, a.Error, a.Answer = timeOf(at), time.Duration(took)*time.Microsecond, failure.String, answer.String
	return a, nil
}

// Deliveries returns one page of a webhook's or callback's deliveries, newest first.
func (r HookStore) Deliveries(ctx context.Context, org uid.Org, q hook.DeliveryQuery) (hook.DeliveryList, error) {
	p, err := normal(q.Page)
	if err != nil {
		return hook.DeliveryList{}, err
	}
	l := &listing{base: "delivery.rows", count: "delivery.count", order: "d.id", page: p}
	if q.Scan != "" {
		l.leading("d.scan = ?", string(q.Scan))
	} else {
		l.leading("d.hook = ?", string(q.Hook))
	}
	if q.State != "" {
		l.leading("d.state = ?", string(q.State))
		if q.State != hook.Delivered {
			l.leading("d.state <> 'delivered'") // names the index of what isn't
		}
	}
	if q.Type != "" {
		l.also("d.type = ?", string(q.Type))
	}
	var out hook.DeliveryList
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row deliveryRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a delivery can't be read", err)
		}
		out.Items = append(out.Items, row.done())
		return nil
	})
	if err != nil {
		return hook.DeliveryList{}, err
	}
	if more {
		out.Next = page.Key{ID: string(out.Items[len(out.Items)-1].ID)}
	}
	out.Total = total
	return out, nil
}

// DropDeliveries removes deliveries of a webhook that is gone, at most hook.MaxChunk, and returns how many.
func (t *Tx) DropDeliveries(ctx context.Context, id uid.Webhook) (int, error) {
	n, err := t.exec(ctx, "delivery.drop", string(id))
	return int(n), err
}

// HoldDeliveries makes pending deliveries of a webhook held, at most hook.MaxChunk, and returns how many.
func (t *Tx) HoldDeliveries(ctx context.Context, id uid.Webhook) (int, error) {
	n, err := t.exec(ctx, "delivery.hold", string(id))
	return int(n), err
}

// ReviveDeliveries makes deliveries pending and due at once, and returns how many.
func (t *Tx) ReviveDeliveries(ctx context.Context, r hook.Revival) (int, error) {
	to := int64(math.MaxInt64)
	if !r.To.IsZero() {
		to = micros(r.To)
	}
	n, err := t.exec(ctx, "delivery.revive", string(r.Hook), string(r.State), micros(r.From), to, micros(r.At), min(r.Limit, hook.MaxChunk))
	return int(n), err
}

// Redeliver makes one delivery pending and due at once, whatever its state; NotFound where there is none.
func (t *Tx) Redeliver(ctx context.Context, id uid.Delivery, at time.Time) error {
	return t.one(ctx, missingDelivery, "delivery.again", string(id), micros(at))
}

// InsertTrial writes what a test has sent and what came of it.
func (t *Tx) InsertTrial(ctx context.Context, m hook.Message, a hook.Attempt) error {
	if err := t.insertMessages(ctx, []hook.Message{m}, 1); err != nil {
		return err
	}
	_, err := t.insertMany(ctx, "delivery.attempt_insert", [][]any{attemptRow(m.Drops[0].ID, a)})
	return err
}

func attemptRow(id uid.Delivery, a hook.Attempt) []any {
	return []any{string(id), a.N, micros(a.At), a.Took.Microseconds(), a.Status, orNull(a.Error), orNull(a.Answer)}
}

// insertMessages writes messages of the unit's organization and who is owed them.
func (t *Tx) insertMessages(ctx context.Context, messages []hook.Message, attempts int) error {
	events, drops := make([][]any, 0, len(messages)), make([][]any, 0, len(messages))
	for _, m := range messages {
		events = append(events, []any{m.ID, string(m.Type), micros(m.At), m.Body})
		for _, d := range m.Drops {
			drops = append(drops, []any{
				string(d.ID), orNull(d.Hook), orNull(d.Scan), d.Lane, m.ID, string(m.Type), string(d.State), attempts, micros(d.Due), micros(m.At),
			})
		}
	}
	if _, err := t.insertMany(ctx, "delivery.event_insert", events); err != nil {
		return err
	}
	_, err := t.insertMany(ctx, "delivery.insert", drops)
	return err
}

// hooksKept is how long deliveries are kept, those that are held as well.
const hooksKept = 30 * day

// sweepHooks removes deliveries, tries and messages that are older than hooksKept, organization by organization.
func (s *Store) sweepHooks(ctx context.Context) error {
	old := before(s.now().Add(-hooksKept))
	for after := ""; ; {
		var orgs []uid.Org
		err := reader{s}.viewAll(ctx, func(ctx context.Context, v *View) error {
			orgs = nil
			return v.each(ctx, "all.post.orgs", []any{after}, func(rows *sql.Rows) error {
				var org uid.Org
				err := rows.Scan(&org)
				orgs = append(orgs, org)
				return readFault(err)
			})
		})
		if err != nil || len(orgs) == 0 {
			return err
		}
		for _, org := range orgs {
			if err := s.sweepHooksOf(ctx, org, old); err != nil {
				return err
			}
		}
		after = string(orgs[len(orgs)-1])
	}
}

func (s *Store) sweepHooksOf(ctx context.Context, org uid.Org, old string) error {
	ev := audit.Bookkeeping("expired rows")
	ev.Bulk = true
	for name, id := range map[string]string{"delivery.attempt_expire": old, "delivery.expire": old, "delivery.event_expire": "evt_" + old} {
		any, err := s.anyHookRow(ctx, org, name, id)
		if err != nil {
			return err
		}
		for any {
			err := s.change(ctx, org, ev, func(ctx context.Context, t *Tx) error {
				n, err := t.exec(ctx, name, id)
				any = n > 0
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// anyHookRow looks before it writes: most sweeps find nothing.
func (s *Store) anyHookRow(ctx context.Context, org uid.Org, name, id string) (bool, error) {
	var n int
	err := reader{s}.row(ctx, org, name+"_any", []any{id}, &n)
	return n > 0, err
}

// before is the text that the ids of everything made before a time are less than: a UUIDv7 begins with its time.
func before(t time.Time) string {
	const digits = "0123456789abcdef"
	ms := uint64(max(t.UnixMilli(), 0))
	var b strings.Builder
	for i := 11; i >= 0; i-- {
		b.WriteByte(digits[ms>>(4*i)&0xf])
		if i == 4 {
			b.WriteByte('-')
		}
	}
	return b.String()
}
