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

const (
	tagWebhooks = "Webhooks"
	webhooks    = Base + "/webhooks"
)

// Webhooks is what the handlers need to register receivers. Another organization's webhook is a NotFound fault.
type Webhooks interface {
	Create(ctx context.Context, a access.Actor, d hook.Draft) (hook.Issued, error)
	Get(ctx context.Context, org uid.Org, id uid.Webhook) (hook.Webhook, error)
	List(ctx context.Context, org uid.Org, p page.Request) (hook.List, error)
	Update(ctx context.Context, a access.Actor, id uid.Webhook, p hook.Patch) (hook.Webhook, error)
	Delete(ctx context.Context, a access.Actor, id uid.Webhook) (hook.Webhook, error)
	Rotate(ctx context.Context, a access.Actor, id uid.Webhook, overlapHours *int) (hook.Issued, error)
	Test(ctx context.Context, a access.Actor, id uid.Webhook) (hook.Trial, error)
}

func (h *handlers) webhookRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[newWebhookIn, envelope.Created[IssuedWebhook]]{
			ID: "createWebhook", Method: http.MethodPost, Path: webhooks, Family: problem.Scan, Scope: access.WebhooksCreate,
			Audit: event.WebhookCreated, Status: http.StatusCreated, Tags: []string{tagWebhooks}, Summary: "Register a webhook",
			Description: "Events are sent as the Standard Webhooks specification says, so that its public libraries verify them. " +
				"`secret` is shown in this answer and never again; it can be rotated.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.webhookCreated, Handle: h.createWebhook,
		}),
		api.Op(api.Route[webhooksIn, envelope.Out[WebhookPage]]{
			ID: "listWebhooks", Method: http.MethodGet, Path: webhooks, Family: problem.Scan, Scope: access.WebhooksRead,
			Audit: event.WebhookListed, Tags: []string{tagWebhooks}, Summary: "List webhooks", Description: "Newest first.",
			Handle: h.listWebhooks,
		}),
		api.Op(api.Route[WebhookRef, envelope.Out[Webhook]]{
			ID: "getWebhook", Method: http.MethodGet, Path: webhooks + "/{id}", Family: problem.Scan, Scope: access.WebhooksRead,
			Audit: event.WebhookRead, Resource: "webhook", Tags: []string{tagWebhooks}, Summary: "Get a webhook",
			Description: "With its health and newest delivery; the secret is never shown again.", Handle: h.getWebhook,
		}),
		api.Op(api.Route[patchWebhookIn, envelope.Out[Webhook]]{
			ID: "updateWebhook", Method: http.MethodPatch, Path: webhooks + "/{id}", Family: problem.Scan, Scope: access.WebhooksUpdate,
			Audit: event.WebhookUpdated, Resource: "webhook", Tags: []string{tagWebhooks}, Summary: "Change a webhook",
			Description: "Fields that are left out stay. `isActive: false` disables it: events are held, not lost. `isActive: true` enables " +
				"it, gives it a fresh start, and delivers what was held unless `replayHeld` is false.",
			Handle: h.updateWebhook,
		}),
		api.Op(api.Route[WebhookRef, envelope.Out[Webhook]]{
			ID: "deleteWebhook", Method: http.MethodDelete, Path: webhooks + "/{id}", Family: problem.Scan, Scope: access.WebhooksDelete,
			Audit: event.WebhookDeleted, Resource: "webhook", Tags: []string{tagWebhooks}, Summary: "Delete a webhook",
			Description: "At once, with its secrets and its deliveries.", Handle: h.deleteWebhook,
		}),
		api.Op(api.Route[WebhookRef, envelope.Out[Trial]]{
			ID: "testWebhook", Method: http.MethodPost, Path: webhooks + "/{id}/test", Family: problem.Scan, Scope: access.WebhooksTest,
			Audit: event.WebhookTested, Resource: "webhook", Tags: []string{tagWebhooks}, Summary: "Send a test event",
			Description: "Sends a signed event of type `webhook.test` now, also to a disabled webhook, and answers with what came of it, after " +
				"10 seconds at most. It doesn't change the webhook's health.",
			Handle: h.testWebhook,
		}),
		api.Op(api.Route[rotateWebhookIn, envelope.Out[RotatedWebhook]]{
			ID: "rotateWebhookSecret", Method: http.MethodPost, Path: webhooks + "/{id}/rotate-secret", Family: problem.Scan,
			Scope: access.WebhooksUpdate, Audit: event.WebhookSecretRotated, Resource: "webhook", Tags: []string{tagWebhooks},
			Summary: "Rotate a webhook's secret",
			Description: "A new secret at once. For `overlapHours` (default 24, 0 cuts the old one) every message carries two signatures, so that " +
				"the receiver may change at any moment in between.",
			Once: true, Replay: h.webhookRotated, Handle: h.rotateWebhook,
		}),
	}
}

// NewWebhook is a webhook to be registered (scans.md 3.3).
type NewWebhook struct {
	Name        string   `json:"name" minLength:"1" maxLength:"255"`
	Description string   `json:"description,omitempty" maxLength:"2000"`
	URL         string   `json:"url" minLength:"1" maxLength:"2048" doc:"https; http only to networks that the operator allows. Private addresses are refused unless allowed." example:"https://hooks.example.org/assay"`
	Events      []string `json:"events,omitempty" maxItems:"50" doc:"Event types, a noun's (scan.*), or * for all. Default scan.completed and scan.failed."`
}

// WebhookPatch changes what is given.
type WebhookPatch struct {
	Name        *string   `json:"name,omitempty" minLength:"1" maxLength:"255"`
	Description *string   `json:"description,omitempty" maxLength:"2000"`
	URL         *string   `json:"url,omitempty" minLength:"1" maxLength:"2048"`
	Events      *[]string `json:"events,omitempty" maxItems:"50"`
	IsActive    *bool     `json:"isActive,omitempty"`
	ReplayHeld  *bool     `json:"replayHeld,omitempty" doc:"With isActive true: whether held events are delivered now. Default true."`
}

// Webhook is a webhook without its secret.
type Webhook struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Description    string    `json:"description"`
	URL            string    `json:"url"`
	Events         []string  `json:"events"`
	IsActive       bool      `json:"isActive" doc:"false: events are held until it is enabled again."`
	IsHealthy      bool      `json:"isHealthy" doc:"false after 5 failures in a row, until the next success."`
	DisabledReason string    `json:"disabledReason,omitempty" enum:"user,gone,failing" doc:"gone: the receiver answered 410; failing: 5 days of failures."`
	Failures       int       `json:"failures" doc:"Failures since the last success."`
	FailingSince   *api.Time `json:"failingSince,omitempty"`
	LastDeliveryAt *api.Time `json:"lastDeliveryAt" nullable:"true" doc:"The last try."`
	LastSuccessAt  *api.Time `json:"lastSuccessAt" nullable:"true"`
	CreatedBy      string    `json:"createdBy"`
	CreatedAt      api.Time  `json:"createdAt"`
	UpdatedAt      api.Time  `json:"updatedAt"`
	// PreviousExpiresAt is set during the overlap of a rotation.
	PreviousExpiresAt *api.Time `json:"previousSecretExpiresAt,omitempty" doc:"Until when the secret before the last rotation signs too."`
}

// IssuedWebhook is a new webhook with its secret, shown once.
type IssuedWebhook struct {
	Webhook
	Secret      string `json:"secret,omitempty" doc:"whsec_ and base64, as Standard Webhooks libraries take it; only in the first answer."`
	SecretShown bool   `json:"secretShown" doc:"false where the answer repeats an earlier one."`
}

// RotatedWebhook is the answer to a rotation.
type RotatedWebhook struct {
	ID                string    `json:"id"`
	Secret            string    `json:"secret,omitempty" doc:"The new secret; only in the first answer."`
	SecretShown       bool      `json:"secretShown" doc:"false where the answer repeats an earlier one."`
	PreviousExpiresAt *api.Time `json:"previousSecretExpiresAt" nullable:"true" doc:"Until when the old secret signs too."`
}

// WebhookPage is one page of webhooks.
type WebhookPage struct {
	Webhooks   []Webhook           `json:"webhooks"`
	Pagination envelope.Pagination `json:"pagination"`
}

// Trial is what came of a test.
type Trial struct {
	Success    bool    `json:"success" doc:"The receiver answered 2xx."`
	Status     *int    `json:"status" nullable:"true" doc:"The answer's status; null where there was none."`
	DurationMs float64 `json:"durationMs"`
	Error      string  `json:"error,omitempty"`
	Response   string  `json:"responseBody,omitempty" doc:"The first KiB of the answer, control characters masked."`
	EventID    string  `json:"eventId" doc:"The webhook-id header."`
	DeliveryID string  `json:"deliveryId"`
}

type newWebhookIn struct {
	Body NewWebhook
}

type webhooksIn struct {
	envelope.Paging
}

// WebhookRef names a webhook.
type WebhookRef struct {
	ID string `path:"id" doc:"The webhook's id."`
}

type patchWebhookIn struct {
	WebhookRef
	Body WebhookPatch
}

type rotateWebhookIn struct {
	WebhookRef
	Body *RotateWebhook
}

// RotateWebhook says how long the old secret signs beside the new one.
type RotateWebhook struct {
	Overlap *int `json:"overlapHours,omitempty" minimum:"0" maximum:"168" doc:"Default 24."`
}

func webhookView(w hook.Webhook, now time.Time) Webhook {
	v := Webhook{
		ID: string(w.ID), Name: w.Name, Description: w.Description, URL: w.URL, Events: envelope.List(w.Events), IsActive: w.Active(),
		IsHealthy: w.Healthy(), DisabledReason: string(w.Stop), Failures: w.Failures, FailingSince: api.Moment(w.FailingSince),
		LastDeliveryAt: api.Moment(w.LastAt), LastSuccessAt: api.Moment(w.LastOKAt), CreatedBy: w.CreatedBy,
		CreatedAt: api.At(w.CreatedAt), UpdatedAt: api.At(w.UpdatedAt),
	}
	if now.Before(w.PreviousUntil) {
		v.PreviousExpiresAt = api.Moment(w.PreviousUntil)
	}
	return v
}

func (h *handlers) createWebhook(ctx context.Context, in *newWebhookIn) (*envelope.Created[IssuedWebhook], error) {
	b := in.Body
	issued, err := h.d.Webhooks.Create(ctx, mw.ActorFrom(ctx), hook.Draft{Name: b.Name, Description: b.Description, URL: b.URL, Events: b.Events})
	if err != nil {
		return nil, err
	}
	v := IssuedWebhook{Webhook: webhookView(issued.Webhook, h.d.Now()), Secret: issued.Secret.Reveal(), SecretShown: true}
	return envelope.Made(api.Path(webhooks, v.ID), v), nil
}

func (h *handlers) webhookCreated(ctx context.Context, id string) (*envelope.Created[IssuedWebhook], error) {
	w, err := h.d.Webhooks.Get(ctx, mw.ActorFrom(ctx).Org, uid.Webhook(id))
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(webhooks, id), IssuedWebhook{Webhook: webhookView(w, h.d.Now())}), nil
}

func (h *handlers) listWebhooks(ctx context.Context, in *webhooksIn) (*envelope.Out[WebhookPage], error) {
	org, filters := mw.ActorFrom(ctx).Org, page.Filters("webhooks")
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Webhooks.List(ctx, org, p)
	if err != nil {
		return nil, err
	}
	out := WebhookPage{Webhooks: make([]Webhook, len(l.Items)), Pagination: in.View(org, filters, l.Total, l.Next)}
	for i, w := range l.Items {
		out.Webhooks[i] = webhookView(w, h.d.Now())
	}
	return envelope.OK(out), nil
}

func (h *handlers) getWebhook(ctx context.Context, in *WebhookRef) (*envelope.Out[Webhook], error) {
	w, err := h.d.Webhooks.Get(ctx, mw.ActorFrom(ctx).Org, uid.Webhook(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(webhookView(w, h.d.Now())), nil
}

func (h *handlers) updateWebhook(ctx context.Context, in *patchWebhookIn) (*envelope.Out[Webhook], error) {
	b := in.Body
	w, err := h.d.Webhooks.Update(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID), hook.Patch{
		Name: b.Name, Description: b.Description, URL: b.URL, Events: b.Events, Active: b.IsActive, Replay: b.ReplayHeld,
	})
	if err != nil {
		return nil, err
	}
	return envelope.OK(webhookView(w, h.d.Now())), nil
}

func (h *handlers) deleteWebhook(ctx context.Context, in *WebhookRef) (*envelope.Out[Webhook], error) {
	w, err := h.d.Webhooks.Delete(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(webhookView(w, h.d.Now())), nil
}

func (h *handlers) testWebhook(ctx context.Context, in *WebhookRef) (*envelope.Out[Trial], error) {
	t, err := h.d.Webhooks.Test(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(Trial{
		Success: t.Attempt.OK(), Status: statusOf(t.Attempt), DurationMs: millis(t.Attempt.Took), Error: t.Attempt.Error,
		Response: t.Attempt.Answer, EventID: t.Delivery.Event, DeliveryID: string(t.Delivery.ID),
	}), nil
}

func (h *handlers) rotateWebhook(ctx context.Context, in *rotateWebhookIn) (*envelope.Out[RotatedWebhook], error) {
	var overlap *int
	if in.Body != nil {
		overlap = in.Body.Overlap
	}
	issued, err := h.d.Webhooks.Rotate(ctx, mw.ActorFrom(ctx), uid.Webhook(in.ID), overlap)
	if err != nil {
		return nil, err
	}
	return envelope.OK(RotatedWebhook{
		ID: in.ID, Secret: issued.Secret.Reveal(), SecretShown: true, PreviousExpiresAt: api.Moment(issued.Webhook.PreviousUntil),
	}), nil
}

func (h *handlers) webhookRotated(ctx context.Context, id string) (*envelope.Out[RotatedWebhook], error) {
	w, err := h.d.Webhooks.Get(ctx, mw.ActorFrom(ctx).Org, uid.Webhook(id))
	if err != nil {
		return nil, err
	}
	return envelope.OK(RotatedWebhook{ID: id, PreviousExpiresAt: api.Moment(w.PreviousUntil)}), nil
}
