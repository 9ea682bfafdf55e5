package hook

import (
	"context"
	"encoding/json"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Trial is what came of a test.
type Trial struct {
	Delivery Delivery
	Attempt  Attempt
}

// letterOf is a message to a webhook, ready to be sent with the secrets that sign at the moment.
func letterOf(w Webhook, m Message, now time.Time) Letter {
	l := Letter{
		Org: w.Org, ID: m.Drops[0].ID, Lane: string(w.ID), Hook: w.ID, Event: m.ID, Type: m.Type, Body: m.Body, URL: w.URL,
		Record: Record(w.ID), Secrets: [][]byte{w.Sealed},
	}
	if w.Previous != nil && now.Before(w.PreviousUntil) {
		l.Secrets = append(l.Secrets, w.Previous)
	}
	return l
}

// Test sends a signed event of type webhook.test at once, also to a disabled webhook, and says what came of it. The
// try is kept in the webhook's deliveries, and changes nothing of its health.
func (s *Service) Test(ctx context.Context, a access.Actor, id uid.Webhook) (Trial, error) {
	w, err := s.Get(ctx, a.Org, id)
	if err != nil {
		return Trial{}, err
	}
	now := s.now()
	data, err := json.Marshal(map[string]string{"webhookId": string(id), "message": "This is a test; nothing has happened."})
	if err != nil {
		return Trial{}, fault.Of(err)
	}
	body, err := bodyOf(s.d.Base, event.Event{Org: a.Org, Type: event.WebhookTest, Subject: string(id), At: now, Data: data})
	if err != nil {
		return Trial{}, fault.Of(err)
	}
	m := Message{Org: a.Org, ID: eventPrefix + s.d.IDs.New(), Type: event.WebhookTest, At: now, Body: body}
	m.Drops = []Drop{{ID: uid.Delivery(s.d.IDs.New()), Hook: id, Lane: string(id), State: Failed}}
	o := s.d.Sender.Send(ctx, letterOf(w, m, now))
	if err := ctx.Err(); err != nil {
		return Trial{}, fault.Of(err)
	}
	if o.OK() {
		m.Drops[0].State = Delivered
	}
	ev := audit.Event{Type: event.WebhookTested, Resource: about(id)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error { return tx.InsertTrial(ctx, m, o.Attempt) })
	if err != nil {
		return Trial{}, err
	}
	d := Delivery{
		ID: m.Drops[0].ID, Hook: id, Event: m.ID, Type: m.Type, State: m.Drops[0].State, Attempts: 1, CreatedAt: now,
		URL: w.URL, Body: m.Body,
	}
	return Trial{Delivery: d, Attempt: o.Attempt}, nil
}

// Deliveries returns one page of a webhook's deliveries, newest first.
func (s *Service) Deliveries(ctx context.Context, org uid.Org, q DeliveryQuery) (DeliveryList, error) {
	if _, err := s.Get(ctx, org, q.Hook); err != nil {
		return DeliveryList{}, err
	}
	q.Scan = ""
	return s.d.Store.Deliveries(ctx, org, q)
}

// Delivery returns one delivery of a webhook, with every try.
func (s *Service) Delivery(ctx context.Context, org uid.Org, id uid.Webhook, d uid.Delivery) (Delivery, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return Delivery{}, err
	}
	found, err := s.DeliveryByID(ctx, org, d)
	if err == nil && found.Hook != id {
		return Delivery{}, fault.Missing("delivery")
	}
	return found, err
}

// DeliveryByID returns a delivery, of whichever webhook.
func (s *Service) DeliveryByID(ctx context.Context, org uid.Org, d uid.Delivery) (Delivery, error) {
	if !uid.Valid(string(d)) {
		return Delivery{}, fault.Missing("delivery")
	}
	return s.d.Store.Delivery(ctx, org, d)
}

// Redeliver makes a delivery again, with the same event id and bytes and a fresh schedule, whatever became of it
// before. A webhook that is disabled is a Conflict fault.
func (s *Service) Redeliver(ctx context.Context, a access.Actor, id uid.Webhook, d uid.Delivery) (Delivery, error) {
	if _, err := s.Delivery(ctx, a.Org, id, d); err != nil {
		return Delivery{}, err
	}
	now := s.now()
	ev := audit.Event{Type: event.WebhookRedelivered, Resource: audit.Resource{Kind: "webhook_delivery", ID: string(d)}}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := mustBeActive(ctx, tx, id); err != nil {
			return err
		}
		return tx.Redeliver(ctx, d, now)
	})
	if err != nil {
		return Delivery{}, err
	}
	s.d.Changed()
	return s.Delivery(ctx, a.Org, id, d)
}

func mustBeActive(ctx context.Context, tx Tx, id uid.Webhook) error {
	w, err := tx.WebhookForUpdate(ctx, id)
	if err == nil && !w.Active() {
		return fault.New(fault.Conflict, fault.CodeConflict, "the webhook is disabled; enable it first")
	}
	return err
}

// ReplayOrder says what to deliver again.
type ReplayOrder struct {
	State State // Held or Failed; empty = Held
	From  time.Time
	To    time.Time
}

// Replayed says what a replay has made due.
type Replayed struct {
	Deliveries int
	More       bool // a further call would find more
}

// maxReplay is how many deliveries one replay makes due.
const maxReplay = 20 * MaxChunk

// Replay makes held (or failed) deliveries of a webhook again, oldest first, at most 10,000 a call. A webhook that is
// disabled is a Conflict fault.
func (s *Service) Replay(ctx context.Context, a access.Actor, id uid.Webhook, o ReplayOrder) (Replayed, error) {
	if o.State == "" {
		o.State = Held
	}
	if o.State != Held && o.State != Failed {
		return Replayed{}, fault.Wrong("status", "must be held or failed")
	}
	if !ValidID(string(id)) {
		return Replayed{}, missing()
	}
	r := Revival{Hook: id, State: o.State, From: o.From, To: o.To, At: s.now(), Limit: MaxChunk}
	n := 0
	ev := audit.Event{Type: event.WebhookReplayed, Resource: about(id)}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := mustBeActive(ctx, tx, id); err != nil {
			return err
		}
		var err error
		n, err = tx.ReviveDeliveries(ctx, r)
		return err
	})
	if err != nil {
		return Replayed{}, err
	}
	out := Replayed{Deliveries: n}
	if n == MaxChunk {
		rest, err := s.revive(ctx, a.Org, r)
		if err != nil {
			return out, err
		}
		out.Deliveries, out.More = n+rest, n+rest >= maxReplay
	}
	s.d.Changed()
	return out, nil
}

// revive makes deliveries due in units of MaxChunk, up to maxReplay of them.
func (s *Service) revive(ctx context.Context, org uid.Org, r Revival) (int, error) {
	r.Limit = MaxChunk
	rest := audit.Bookkeeping("further deliveries of a replay whose order is audited")
	rest.Bulk = true
	total := 0
	for n := MaxChunk; n == MaxChunk && total < maxReplay; {
		err := s.d.Store.Change(ctx, org, rest, func(ctx context.Context, tx Tx) (err error) {
			n, err = tx.ReviveDeliveries(ctx, r)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// MayCallback decides on the callback of a scan that the actor wants to submit: the scope webhooks:create and an
// address that a webhook could have, which it returns.
func (s *Service) MayCallback(a access.Actor, address string) (string, error) {
	if err := a.May(access.WebhooksCreate); err != nil {
		return "", err
	}
	return ParseURL("callbackUrl", address, s.d.Addresses)
}

// CanSign is nil where the organization has the secret that its callbacks are signed with, else a Conflict fault of
// code CALLBACK_SECRET_MISSING.
func (s *Service) CanSign(ctx context.Context, org uid.Org) error {
	_, err := s.d.Callbacks.SealedCallbackSecret(ctx, org)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return fault.New(fault.Conflict, fault.CodeCallbackSecret,
			"callbacks are signed, and the organization has no callback secret yet; make one by POST /api/org/callback-secret/rotate and give it to the receiver")
	}
	return err
}

// CallbackRecord is the name under which an organization's callback secret is sealed.
const CallbackRecord = tenant.CallbackRecord

// Callback returns where a scan's end is told to, and the deliveries made of it, newest first. A scan without a
// callback is a NotFound fault.
func (s *Service) Callback(ctx context.Context, org uid.Org, q DeliveryQuery) (string, DeliveryList, error) {
	if !uid.Valid(string(q.Scan)) {
		return "", DeliveryList{}, fault.Missing("callback")
	}
	address, err := s.d.Store.Callback(ctx, org, q.Scan)
	if err != nil {
		return "", DeliveryList{}, err
	}
	q.Hook = ""
	l, err := s.d.Store.Deliveries(ctx, org, q)
	return address, l, err
}
