package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhook is a registered receiver.
type Webhook struct {
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	Description       string     `json:"description,omitempty"`
	URL               string     `json:"url"`
	Events            []string   `json:"events"`
	IsActive          bool       `json:"isActive"`
	IsHealthy         bool       `json:"isHealthy"`
	DisabledReason    string     `json:"disabledReason,omitempty"`
	Failures          int        `json:"failures"`
	LastDeliveryAt    *time.Time `json:"lastDeliveryAt"`
	LastSuccessAt     *time.Time `json:"lastSuccessAt"`
	CreatedAt         time.Time  `json:"createdAt"`
	PreviousExpiresAt *time.Time `json:"previousSecretExpiresAt,omitempty"`
	// Secret is set once, in the answer to a creation or rotation.
	Secret string `json:"secret,omitempty"`
}

// WebhookOrder is a webhook to be registered.
type WebhookOrder struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	URL         string   `json:"url"`
	Events      []string `json:"events,omitempty"`
}

// WebhookPatch changes what isn't nil.
type WebhookPatch struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	URL         *string   `json:"url,omitempty"`
	Events      *[]string `json:"events,omitempty"`
	IsActive    *bool     `json:"isActive,omitempty"`
	ReplayHeld  *bool     `json:"replayHeld,omitempty"`
}

// Trial is what came of a test.
type Trial struct {
	Success      bool    `json:"success"`
	Status       *int    `json:"status"`
	DurationMs   float64 `json:"durationMs"`
	Error        string  `json:"error,omitempty"`
	ResponseBody string  `json:"responseBody,omitempty"`
	EventID      string  `json:"eventId"`
	DeliveryID   string  `json:"deliveryId"`
}

// Delivery is one event's way to a receiver. Request and Tries are set where one is read by itself.
type Delivery struct {
	ID             string           `json:"id"`
	EventID        string           `json:"eventId"`
	Event          string           `json:"event"`
	Status         string           `json:"status"`
	Attempts       int              `json:"attempts"`
	CreatedAt      time.Time        `json:"createdAt"`
	LastAttemptAt  *time.Time       `json:"lastAttemptAt"`
	NextAttemptAt  *time.Time       `json:"nextAttemptAt"`
	ResponseStatus *int             `json:"responseStatus"`
	DurationMs     *float64         `json:"durationMs"`
	Error          string           `json:"error,omitempty"`
	Request        *DeliveryRequest `json:"request,omitempty"`
	Tries          []DeliveryTry    `json:"tries,omitempty"`
}

// DeliveryRequest is what is sent.
type DeliveryRequest struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// DeliveryTry is one try.
type DeliveryTry struct {
	Attempt        int       `json:"attempt"`
	At             time.Time `json:"at"`
	ResponseStatus *int      `json:"responseStatus"`
	DurationMs     float64   `json:"durationMs"`
	Error          string    `json:"error,omitempty"`
	ResponseBody   string    `json:"responseBody,omitempty"`
}

// Deliveries is one page of deliveries, newest first.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
	Pagination Pagination `json:"pagination"`
}

// DeliveryQuery filters a list of deliveries; empty fields don't filter.
type DeliveryQuery struct {
	Status, Event, Cursor string
	Limit                 int
}

// Replayed says what a replay has made due.
type Replayed struct {
	Deliveries int  `json:"deliveries"`
	More       bool `json:"more"`
}

// Callback is where a scan's end is told to, and what came of it.
type Callback struct {
	ScanID     string     `json:"scanId"`
	URL        string     `json:"url"`
	Deliveries []Delivery `json:"deliveries"`
}

func webhookPath(id string, more ...string) string {
	parts := []string{"/webhooks", url.PathEscape(id)}
	for _, m := range more {
		parts = append(parts, url.PathEscape(m))
	}
	return strings.Join(parts, "/")
}

// CreateWebhook registers a receiver; its secret is in the answer and nowhere else.
func (c *Client) CreateWebhook(ctx context.Context, o WebhookOrder) (Webhook, error) {
	return scanDo[Webhook](ctx, c, call{method: http.MethodPost, path: "/webhooks", in: o})
}

// Webhooks lists the organization's webhooks, newest first.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	data, err := scanDo[struct {
		Webhooks []Webhook `json:"webhooks"`
	}](ctx, c, call{method: http.MethodGet, path: "/webhooks", query: url.Values{"limit": {"100"}}})
	return data.Webhooks, err
}

// Webhook returns one webhook.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	return scanDo[Webhook](ctx, c, call{method: http.MethodGet, path: webhookPath(id)})
}

// UpdateWebhook changes what the patch sets.
func (c *Client) UpdateWebhook(ctx context.Context, id string, p WebhookPatch) (Webhook, error) {
	return scanDo[Webhook](ctx, c, call{method: http.MethodPatch, path: webhookPath(id), in: p})
}

// DeleteWebhook removes a webhook with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	_, err := scanDo[Webhook](ctx, c, call{method: http.MethodDelete, path: webhookPath(id)})
	return err
}

// TestWebhook sends a test event now and returns what came of it.
func (c *Client) TestWebhook(ctx context.Context, id string) (Trial, error) {
	return scanDo[Trial](ctx, c, call{method: http.MethodPost, path: webhookPath(id, "test")})
}

// RotateWebhookSecret gives a webhook a new secret, which is in the answer; the old one signs too for some hours.
func (c *Client) RotateWebhookSecret(ctx context.Context, id string, overlapHours int) (Webhook, error) {
	return scanDo[Webhook](ctx, c, call{method: http.MethodPost, path: webhookPath(id, "rotate-secret"), in: map[string]int{"overlapHours": overlapHours}})
}

// Deliveries returns one page of a webhook's deliveries, newest first.
func (c *Client) Deliveries(ctx context.Context, id string, q DeliveryQuery) (Deliveries, error) {
	v := url.Values{}
	for name, value := range map[string]string{"status": q.Status, "event": q.Event, "cursor": q.Cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return scanDo[Deliveries](ctx, c, call{method: http.MethodGet, path: webhookPath(id, "deliveries"), query: v})
}

// Delivery returns one delivery with its request and its tries.
func (c *Client) Delivery(ctx context.Context, id, delivery string) (Delivery, error) {
	return scanDo[Delivery](ctx, c, call{method: http.MethodGet, path: webhookPath(id, "deliveries", delivery)})
}

// Redeliver makes a delivery again.
func (c *Client) Redeliver(ctx context.Context, id, delivery string) (Delivery, error) {
	return scanDo[Delivery](ctx, c, call{method: http.MethodPost, path: webhookPath(id, "deliveries", delivery, "redeliver")})
}

// Replay makes held (or failed) deliveries of a webhook again.
func (c *Client) Replay(ctx context.Context, id, status, from, to string) (Replayed, error) {
	in := map[string]string{}
	for name, value := range map[string]string{"status": status, "from": from, "to": to} {
		if value != "" {
			in[name] = value
		}
	}
	return scanDo[Replayed](ctx, c, call{method: http.MethodPost, path: webhookPath(id, "replay"), in: in})
}

// Callback returns what came of a scan's callback.
func (c *Client) Callback(ctx context.Context, scan string) (Callback, error) {
	return scanDo[Callback](ctx, c, call{method: http.MethodGet, path: "/scans/" + url.PathEscape(scan) + "/callback"})
}
