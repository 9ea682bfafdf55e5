package hookapi

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Deliveries is what the handlers need of events on their way. Another organization's delivery is a NotFound fault.
type Deliveries interface {
	Deliveries(ctx context.Context, org uid.Org, q hook.DeliveryQuery) (hook.DeliveryList, error)
	Delivery(ctx context.Context, org uid.Org, id uid.Webhook, d uid.Delivery) (hook.Delivery, error)
	DeliveryByID(ctx context.Context, org uid.Org, d uid.Delivery) (hook.Delivery, error)
	Redeliver(ctx context.Context, a access.Actor, id uid.Webhook, d uid.Delivery) (hook.Delivery, error)
	Replay(ctx context.Context, a access.Actor, id uid.Webhook, o hook.ReplayOrder) (hook.Replayed, error)
	// Callback returns where a scan's end is told to, and the deliveries made of it.
	Callback(ctx context.Context, org uid.Org, q hook.DeliveryQuery) (string, hook.DeliveryList, error)
}

func (h *handlers) deliveryRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[deliveriesIn, envelope.Out[DeliveryPage]]{
			ID: "listWebhookDeliveries", Method: http.MethodGet, Path: webhooks + "/{id}/deliveries", Family: problem.Scan,
			Scope: access.WebhooksRead, Audit: event.WebhookDeliveryListed, Resource: "webhook", Tags: []string{tagWebhooks},
			Summary: "List a webhook's deliveries", Description: "Newest first; kept for 30 days.", Handle: h.listDeliveries,
		}),
		api.Op(api.Route[DeliveryRef, envelope.Out[DeliveryDetail]]{
			ID: "getWebhookDelivery", Method: http.MethodGet, Path: webhooks + "/{id}/deliveries/{deliveryId}", Family: problem.Scan,
			Scope: access.WebhooksRead, Audit: event.WebhookDeliveryRead, Resource: "webhook", Tags: []string{tagWebhooks},
			Summary:     "Get a delivery with its request and every try",
			Description: "The request as it was sent, its signature masked, and what came of each try.", Handle: h.getDelivery,
		}),
		api.Op(api.Route[DeliveryRef, envelope.Out[DeliveryDetail]]{
			ID: "redeliverWebhookDelivery", Method: http.MethodPost, Path: webhooks + "/{id}/deliveries/{deliveryId}/redeliver",
			Family: problem.Scan, Scope: access.WebhooksUpdate, Audit: event.WebhookRedelivered, Resource: "webhook", Tags: []string{tagWebhooks},
			Summary: "Deliver an event again",
			Description: "With the same `webhook-id` and the same bytes, at once and with a fresh schedule of retries. A receiver that remembers " +
				"ids tells it from a new event.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.redelivered, Handle: h.redeliver,
		}),
		api.Op(api.Route[replayIn, envelope.Out[Replayed]]{
			ID: "replayWebhook", Method: http.MethodPost, Path: webhooks + "/{id}/replay", Family: problem.Scan,
			Scope: access.WebhooksUpdate, Audit: event.WebhookReplayed, Resource: "webhook", Tags: []string{tagWebhooks},
			Summary: "Deliver held or failed events",
			Description: "Oldest first, at most 10,000 a call; `more` says that another call would find more. Held are the events that came while " +
				"the webhook was disabled.",
			Errors: []int{http.StatusConflict}, Handle: h.replayHook,
		}),
		api.Op(api.Route[callbackIn, envelope.Out[CallbackView]]{
			ID: "getScanCallback", Method: http.MethodGet, Path: Base + "/scans/{id}/callback", Family: problem.Scan,
			Scope: access.WebhooksRead, Audit: event.ScanCallbackRead, Resource: "scan", Tags: []string{tagWebhooks},
			Summary: "Get what came of a scan's callback", Description: "404 where the scan was submitted without `callbackUrl`.", Handle: h.getCallback,
		}),
	}
}

// DeliveryRef names a delivery.
type DeliveryRef struct {
	WebhookRef
	DeliveryID string `path:"deliveryId" doc:"The delivery's id."`
}

type deliveriesIn struct {
	WebhookRef
	envelope.Paging
	Status string `query:"status" enum:"pending,delivered,failed,held"`
	Event  string `query:"event" maxLength:"64" doc:"An event type, exactly."`
}

type callbackIn struct {
	ID string `path:"id" doc:"The scan's id."`
	envelope.Paging
}

type replayIn struct {
	WebhookRef
	Body *ReplayOrder
}

// ReplayOrder says what to deliver again.
type ReplayOrder struct {
	Status string `json:"status,omitempty" enum:"held,failed" default:"held"`
	From   string `json:"from,omitempty" maxLength:"40" doc:"Made at or after: RFC 3339, or a date."`
	To     string `json:"to,omitempty" maxLength:"40" doc:"Made before: RFC 3339; a date is inclusive."`
}

// Replayed says what a replay has made due.
type Replayed struct {
	Deliveries int  `json:"deliveries"`
	More       bool `json:"more" doc:"Another call would find more."`
}

// Delivery is one event's way to a receiver.
type Delivery struct {
	ID         string    `json:"id"`
	EventID    string    `json:"eventId" doc:"The webhook-id header: the same over all tries and redeliveries."`
	Event      string    `json:"event" doc:"The event's type."`
	Status     string    `json:"status" enum:"pending,delivered,failed,held"`
	Attempts   int       `json:"attempts"`
	CreatedAt  api.Time  `json:"createdAt"`
	LastAt     *api.Time `json:"lastAttemptAt" nullable:"true"`
	NextAt     *api.Time `json:"nextAttemptAt" nullable:"true" doc:"When it is tried next; null where it isn't."`
	Response   *int      `json:"responseStatus" nullable:"true" doc:"Of the last try; null where there was no answer."`
	DurationMs *float64  `json:"durationMs" nullable:"true" doc:"Of the last try."`
	Error      string    `json:"error,omitempty" doc:"Of the last try."`
}

// DeliveryDetail is a delivery with its request and its tries.
type DeliveryDetail struct {
	Delivery
	Request DeliveryRequest `json:"request"`
	Tries   []DeliveryTry   `json:"tries" doc:"Oldest first, at most 200."`
}

// DeliveryRequest is what is sent.
type DeliveryRequest struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers" doc:"Of the last try; the signature is masked."`
	Body    string            `json:"body" doc:"The exact bytes that are signed and sent."`
}

// DeliveryTry is one try.
type DeliveryTry struct {
	Attempt    int      `json:"attempt"`
	At         api.Time `json:"at"`
	Status     *int     `json:"responseStatus" nullable:"true"`
	DurationMs float64  `json:"durationMs"`
	Error      string   `json:"error,omitempty"`
	Response   string   `json:"responseBody,omitempty" doc:"The first KiB of the answer, control characters masked."`
}

// DeliveryPage is one page of deliveries.
type DeliveryPage struct {
	Deliveries []Delivery          `json:"deliveries"`
	Pagination envelope.Pagination `json:"pagination"`
}

// CallbackView is where a scan's end is told to, and what came of it.
type CallbackView struct {
	ScanID     string              `json:"scanId"`
	URL        string              `json:"url"`
	Deliveries []Delivery          `json:"deliveries" doc:"Empty until the scan has ended."`
	Pagination envelope.Pagination `json:"pagination"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func statusOf(a hook.Attempt) *int {
	if a.Status == 0 {
		return nil
	}
	return &a.Status
}

func deliveryView(d hook.Delivery) Delivery {
	v := Delivery{
		ID: string(d.ID), EventID: d.Event, Event: string(d.Type), Status: string(d.State), Attempts: d.Attempts,
		CreatedAt: api.At(d.CreatedAt), NextAt: api.Moment(d.NextAt),
	}
	if d.Last != nil {
		took := millis(d.Last.Took)
		v.LastAt, v.Response, v.DurationMs, v.Error = api.Moment(d.Last.At), statusOf(*d.Last), &took, d.Last.Error
	}
	return v
}

func deliveryDetail(d hook.Delivery) DeliveryDetail {
	v := DeliveryDetail{
		Delivery: deliveryView(d), Request: DeliveryRequest{URL: d.URL, Body: string(d.Body)}, Tries: make([]DeliveryTry, len(d.Tries)),
	}
	last := hook.Attempt{At: d.CreatedAt}
	for i, a := range d.Tries {
		v.Tries[i] = DeliveryTry{
			Attempt: a.N, At: api.At(a.At), Status: statusOf(a), DurationMs: millis(a.Took), Error: a.Error, Response: a.Answer,
		}
		last = a
	}
	v.Request.Headers = hook.Shown(d, last)
	return v
}

func deliveryViews(items []hook.Delivery) []Delivery {
	out := make([]Delivery, len(items))
	for i, d := range items {
		out[i] = deliveryView(d)
	}
	return out
}

func (h *handlers) listDeliveries(ctx context.Context, in *deliveriesIn) (*envelope.Out[DeliveryPage], error) {
	org, filters := mw.ActorFrom(ctx).Org, page.Filters("webhook deliveries", in.ID, in.Status, in.Event)
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Deliveries.Deliveries(ctx, org, hook.DeliveryQuery{
		Hook: uid.Webhook(in.ID), State: hook.State(in.Status), Type: event.Type(in.Event), Page: p,
	})
	if err != nil {
		return nil, err
	}
	return envelope.OK(DeliveryPage{Deliveries: deliveryViews(l.Items), Pagination: in.View(org, filters, l.Total, l.Next)}), nil
}

func (h *handlers) getDelivery(ctx context.Context, in *DeliveryRef) (*envelope.Out[DeliveryDetail], error) {
	d, err := h.d.Deliveries.Delivery(ctx, mw.ActorFrom(ctx).Org, uid.Webhook(in.ID), uid.Delivery(in.DeliveryID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(deliveryDetail(d)), nil
}

func (h *handlers) redeliver(ctx context.Context, in *DeliveryRef) (*envelope.Out[DeliveryDetail], error) {
	d, err := h.d.Deliveries.Redeliver(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID), uid.Delivery(in.DeliveryID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(deliveryDetail(d)), nil
}

func (h *handlers) redelivered(ctx context.Context, id string) (*envelope.Out[DeliveryDetail], error) {
	d, err := h.d.Deliveries.DeliveryByID(ctx, mw.ActorFrom(ctx).Org, uid.Delivery(id))
	if err != nil {
		return nil, err
	}
	return envelope.OK(deliveryDetail(d)), nil
}

func (h *handlers) replayHook(ctx context.Context, in *replayIn) (*envelope.Out[Replayed], error) {
	var o hook.ReplayOrder
	if b := in.Body; b != nil {
		var err error
		if o.From, o.To, err = envelope.Span(b.From, b.To); err != nil {
			return nil, err
		}
		o.State = hook.State(b.Status)
	}
	r, err := h.d.Deliveries.Replay(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID), o)
	if err != nil {
		return nil, err
	}
	return envelope.OK(Replayed(r)), nil
}

func (h *handlers) getCallback(ctx context.Context, in *callbackIn) (*envelope.Out[CallbackView], error) {
	org, filters := mw.ActorFrom(ctx).Org, page.Filters("callback", in.ID)
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	url, l, err := h.d.Deliveries.Callback(ctx, org, hook.DeliveryQuery{Scan: uid.Scan(in.ID), Page: p})
	if err != nil {
		return nil, err
	}
	return envelope.OK(CallbackView{ScanID: in.ID, URL: url, Deliveries: deliveryViews(l.Items), Pagination: in.View(org, filters, l.Total, l.Next)}), nil
}
