package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync"

	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Topic is what a subscriber waits for: new outbox events of one organization about one subject.
type Topic struct {
	Org     uid.Org
	Subject string
}

// maxEventData bounds an event's data, which holds ids and counts only.
const maxEventData = 16 << 10

// Emit writes an outbox event in the unit; subscribers hear of it after commit. data becomes a JSON object.
func (t *Tx) Emit(ctx context.Context, typ event.Type, subject string, data any) error {
	return t.EmitAll(ctx, typ, []string{subject}, []any{data})
}

// EmitAll writes one event of the type for each subject, with the data of the same index, in few statements.
func (t *Tx) EmitAll(ctx context.Context, typ event.Type, subjects []string, data []any) error {
	if len(data) != len(subjects) {
		return internal("events and what they are about don't match", nil)
	}
	rows := make([][]any, len(subjects))
	for i, subject := range subjects {
		b, err := json.Marshal(data[i])
		if err != nil {
			return internal("an event can't be written down", err)
		}
		if len(b) > maxEventData {
			return internal("an event is too large", nil)
		}
		rows[i] = []any{string(typ), subject, micros(t.s.now()), string(b)}
	}
	if _, err := t.insertMany(ctx, "outbox.insert", rows); err != nil {
		return err
	}
	for _, subject := range subjects {
		t.wakes = append(t.wakes, Topic{Org: t.scope.org, Subject: subject})
	}
	return nil
}

// maxEvents bounds one read of the outbox.
const maxEvents = 1000

// Events returns an organization's outbox events about the subject after seq, oldest first, at most limit (0 and more
// than 1,000 = 1,000).
func (r reader) Events(ctx context.Context, org uid.Org, subject string, after int64, limit int) ([]event.Event, error) {
	if limit <= 0 || limit > maxEvents {
		limit = maxEvents
	}
	var list []event.Event
	err := r.each(ctx, org, "outbox.events", []any{subject, after, limit}, func(rows *sql.Rows) error {
		e := event.Event{Org: org, Subject: subject}
		var typ, data string
		var at int64
		if err := rows.Scan(&e.Seq, &typ, &at, &data); err != nil {
			return internal("an event can't be read", err)
		}
		e.Type, e.At, e.Data = event.Type(typ), timeOf(at), json.RawMessage(data)
		list = append(list, e)
		return nil
	})
	return list, err
}

// Events is reader.Events, for whoever serves live streams.
func (s *Store) Events(ctx context.Context, org uid.Org, subject string, after int64, limit int) ([]event.Event, error) {
	return reader{s}.Events(ctx, org, subject, after, limit)
}

// Hub wakes those who wait for outbox events. A wake says "look again", not what happened: it carries nothing and may
// come without need, but never before the events can be read.
type Hub struct {
	mu   sync.Mutex
	subs map[Topic]map[chan struct{}]struct{}
	all  map[chan struct{}]struct{} // woken by every topic
	n    int
}

// maxSubscriptions bounds the waiting streams of a process.
const maxSubscriptions = 10_000

func newHub() *Hub {
	return &Hub{subs: map[Topic]map[chan struct{}]struct{}{}, all: map[chan struct{}]struct{}{}}
}

// Hub returns the store's hub.
func (s *Store) Hub() *Hub { return s.hub }

// Subscribe returns a channel that gets a value after each commit that emitted an event of the topic (several may
// share one), and the function that ends the subscription, which must be called. Read the events after subscribing,
// or one may fall between. Too many subscriptions are an Exhausted fault.
func (h *Hub) Subscribe(org uid.Org, subject string) (<-chan struct{}, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n >= maxSubscriptions {
		return nil, nil, fault.New(fault.Exhausted, fault.CodeTooManyStreams, "too many streams are open; close some")
	}
	t, ch := Topic{Org: org, Subject: subject}, make(chan struct{}, 1)
	if h.subs[t] == nil {
		h.subs[t] = map[chan struct{}]struct{}{}
	}
	h.subs[t][ch] = struct{}{}
	h.n++
	return ch, sync.OnceFunc(func() { h.end(t, ch) }), nil
}

// SubscribeAll is Subscribe for events of every organization and subject: for the server's own readers of the outbox,
// which are few.
func (h *Hub) SubscribeAll() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.all, ch)
	}
}

func (h *Hub) end(t Topic, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs[t], ch)
	if len(h.subs[t]) == 0 {
		delete(h.subs, t)
	}
	h.n--
}

func (h *Hub) wake(topics []Topic) {
	if len(topics) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		for ch := range h.subs[t] {
			poke(ch)
		}
	}
	for ch := range h.all {
		poke(ch)
	}
}

// wakeAll is for when wakes may have been lost.
func (h *Hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, subs := range h.subs {
		for ch := range subs {
			poke(ch)
		}
	}
	for ch := range h.all {
		poke(ch)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is waiting already
	}
}
