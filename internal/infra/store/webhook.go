package store

import (
	"context"
	"database/sql"
	"errors"

	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// HookStore implements hook.Store.
type HookStore struct {
	reader
	changer[hook.Tx]
}

var (
	_ hook.Store = HookStore{}
	_ hook.Tx    = (*Tx)(nil)
)

// Hooks is the view of webhooks and their deliveries.
func (s *Store) Hooks() HookStore { return HookStore{reader{s}, changer[hook.Tx]{s}} }

func missingWebhook() error { return fault.Missing("webhook") }

// hookRow are the columns of webhook.rows.
type hookRow struct {
	hook                                            hook.Webhook
	events                                          []byte
	stop                                            sql.NullString
	since, last, lastOK, created, updated, previous int64
}

func (r *hookRow) dest() []any {
	w := &r.hook
	return []any{
		&w.ID, &w.Name, &w.Description, &w.URL, &r.events, &r.stop, &w.Failures, &r.since, &r.last, &r.lastOK,
		&w.CreatedBy, &r.created, &r.updated, &w.Sealed, &w.Previous, &r.previous,
	}
}

func (r *hookRow) done(org uid.Org) (hook.Webhook, error) {
	w := r.hook
	w.Org, w.Stop = org, hook.Stop(r.stop.String)
	w.FailingSince, w.LastAt, w.LastOKAt = timeOf(r.since), timeOf(r.last), timeOf(r.lastOK)
	w.CreatedAt, w.UpdatedAt, w.PreviousUntil = timeOf(r.created), timeOf(r.updated), timeOf(r.previous)
	var err error
	w.Events, err = texts[string]("events", r.events)
	return w, err
}

// Webhook returns one webhook of the organization, NotFound where there is none.
func (r HookStore) Webhook(ctx context.Context, org uid.Org, id uid.Webhook) (hook.Webhook, error) {
	var w hook.Webhook
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		w, err = webhookByID(ctx, &v.handle, id)
		return err
	})
	return w, err
}

func webhookByID(ctx context.Context, h *handle, id uid.Webhook) (hook.Webhook, error) {
	if !hook.ValidID(string(id)) {
		return hook.Webhook{}, missingWebhook()
	}
	q, args, err := h.find("webhook.rows", nil)
	if err != nil {
		return hook.Webhook{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND w.id = ?", string(id))
	var r hookRow
	err = h.failed(readFault(h.sql.QueryRowContext(ctx, c.text.String(), c.args...).Scan(r.dest()...)))
	if errors.Is(err, sql.ErrNoRows) {
		return hook.Webhook{}, missingWebhook()
	}
	if err != nil {
		return hook.Webhook{}, err
	}
	return r.done(h.scope.org)
}

// Webhooks returns one page of webhooks, newest first.
func (r HookStore) Webhooks(ctx context.Context, org uid.Org, p page.Request) (hook.List, error) {
	p, err := normal(p)
	if err != nil {
		return hook.List{}, err
	}
	l := &listing{base: "webhook.rows", order: "w.id", page: p}
	var out hook.List
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row hookRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a webhook can't be read", err)
		}
		w, err := row.done(org)
		out.Items = append(out.Items, w)
		return err
	})
	if err != nil {
		return hook.List{}, err
	}
	if more {
		out.Next = page.Key{ID: string(out.Items[len(out.Items)-1].ID)}
	}
	out.Total = total
	return out, nil
}

// Callback returns the address that a scan's end is told to, NotFound where there is none.
func (r HookStore) Callback(ctx context.Context, org uid.Org, id uid.Scan) (string, error) {
	var url string
	err := r.row(ctx, org, "callback.url", []any{string(id)}, &url)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fault.Missing("callback")
	}
	return url, err
}

// insertCallbacks notes where the ends of new scans are told to.
func (t *Tx) insertCallbacks(ctx context.Context, list []scan.Scan) error {
	var rows [][]any
	for _, s := range list {
		if s.Callback != "" {
			rows = append(rows, []any{string(s.ID), s.Callback})
		}
	}
	_, err := t.insertMany(ctx, "callback.insert", rows)
	return err
}

// CountWebhooks returns how many webhooks the organization has, and lets nobody else add one until the unit ends.
func (t *Tx) CountWebhooks(ctx context.Context) (int, error) {
	if err := t.one(ctx, missingOrganization, "webhook.org_hold"); err != nil {
		return 0, err
	}
	var n int
	err := t.row(ctx, "webhook.count", nil, &n)
	return n, err
}

// InsertWebhook adds a webhook.
func (t *Tx) InsertWebhook(ctx context.Context, w hook.Webhook) error {
	_, err := t.exec(ctx, "webhook.insert", string(w.ID), w.Name, w.Description, w.URL, list(w.Events), orNull(w.Stop), w.CreatedBy,
		micros(w.CreatedAt), micros(w.UpdatedAt), w.Sealed)
	return err
}

// WebhookForUpdate reads a webhook as it is inside this unit and holds it until the unit ends; NotFound where there is
// none.
func (t *Tx) WebhookForUpdate(ctx context.Context, id uid.Webhook) (hook.Webhook, error) {
	if !hook.ValidID(string(id)) {
		return hook.Webhook{}, missingWebhook()
	}
	if err := t.one(ctx, missingWebhook, "webhook.hold", string(id)); err != nil {
		return hook.Webhook{}, err
	}
	return webhookByID(ctx, &t.handle, id)
}

// UpdateWebhook writes everything that people change; when its receiver answered last stays.
func (t *Tx) UpdateWebhook(ctx context.Context, w hook.Webhook) error {
	return t.one(ctx, missingWebhook, "webhook.update", string(w.ID), w.Name, w.Description, w.URL, list(w.Events), orNull(w.Stop),
		w.Failures, micros(w.FailingSince), micros(w.UpdatedAt), w.Sealed, bytesOrNull(w.Previous), micros(w.PreviousUntil))
}

// DeleteWebhook removes a webhook with its secrets; its deliveries stay for DropDeliveries.
func (t *Tx) DeleteWebhook(ctx context.Context, id uid.Webhook) error {
	return t.one(ctx, missingWebhook, "webhook.delete", string(id))
}
