package scanapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	tagKeys = "API keys"
	keys    = Base + "/api-keys"
)

func (h *handlers) keyRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[newKeyIn, envelope.Created[IssuedKey]]{
			ID: "createApiKey", Method: http.MethodPost, Path: keys, Family: problem.Scan, Scope: access.KeysManage,
			Audit: event.KeyCreated, Status: http.StatusCreated, Tags: []string{tagKeys}, Summary: "Create an API key",
			Description: "The key is shown in this answer and never again. A key can't give more than its creator has.",
			Once:        true, Replay: h.keyCreated, Handle: h.createKey,
		}),
		api.Op(api.Route[keysIn, envelope.Out[KeyPage]]{
			ID: "listApiKeys", Method: http.MethodGet, Path: keys, Family: problem.Scan, Scope: access.KeysManage,
			Audit: event.KeyListed, Tags: []string{tagKeys}, Summary: "List API keys", Auditors: true,
			Description: "Newest first, revoked and expired ones included. Signed-in auditors may read it too.", Handle: h.listKeys,
		}),
		api.Op(api.Route[KeyRef, envelope.Out[Key]]{
			ID: "getApiKey", Method: http.MethodGet, Path: keys + "/{id}", Family: problem.Scan, Scope: access.KeysManage,
			Audit: event.KeyRead, Resource: "api_key", Tags: []string{tagKeys}, Summary: "Get an API key", Auditors: true,
			Description: "Without its secret, which is shown at creation and rotation only. Signed-in auditors may read it too.",
			Handle: h.onKey(func(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error) {
				return h.d.Keys.Key(ctx, a, id)
			}),
		}),
		api.Op(api.Route[patchKeyIn, envelope.Out[Key]]{
			ID: "updateApiKey", Method: http.MethodPatch, Path: keys + "/{id}", Family: problem.Scan, Scope: access.KeysManage,
			Audit: event.KeyUpdated, Resource: "api_key", Tags: []string{tagKeys}, Summary: "Change an API key",
			Description: "Fields that are left out stay; an empty list lifts a restriction; `expiresInDays: null` takes the end away.",
			Errors:      []int{http.StatusConflict}, Handle: h.updateKey,
		}),
		api.Op(api.Route[KeyRef, envelope.Out[Key]]{
			ID: "revokeApiKey", Method: http.MethodDelete, Path: keys + "/{id}", Family: problem.Scan, Scope: access.KeysManage,
			Audit: event.KeyRevoked, Resource: "api_key", Tags: []string{tagKeys}, Summary: "Revoke an API key",
			Description: "At once, on every node within a second, and for good.", Handle: h.onKey(func(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error) {
				return h.d.Keys.RevokeKey(ctx, a, id)
			}),
		}),
		api.Op(api.Route[rotateKeyIn, envelope.Out[RotatedKey]]{
			ID: "rotateApiKey", Method: http.MethodPost, Path: keys + "/{id}/rotate", Family: problem.Scan,
			Scope: access.KeysManage, Audit: event.KeyRotated, Resource: "api_key", Tags: []string{tagKeys},
			Summary:     "Rotate an API key",
			Description: "A new secret at once; the old one works on for `gracePeriodHours` (default 24, 0 cuts it). Id and restrictions stay.",
			Errors:      []int{http.StatusConflict}, Once: true, Replay: h.keyRotated, Handle: h.rotateKey,
		}),
		api.Op(api.Route[KeyRef, envelope.Out[Key]]{
			ID: "suspendApiKey", Method: http.MethodPost, Path: keys + "/{id}/suspend", Family: problem.Scan,
			Scope: access.KeysManage, Audit: event.KeySuspended, Resource: "api_key", Tags: []string{tagKeys},
			Summary: "Suspend an API key", Description: "By an administrator; until it is resumed.",
			Errors: []int{http.StatusConflict}, Handle: h.onKey(func(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error) {
				return h.d.Keys.SuspendKey(ctx, a, id)
			}),
		}),
		api.Op(api.Route[KeyRef, envelope.Out[Key]]{
			ID: "resumeApiKey", Method: http.MethodPost, Path: keys + "/{id}/resume", Family: problem.Scan,
			Scope: access.KeysManage, Audit: event.KeyResumed, Resource: "api_key", Tags: []string{tagKeys},
			Summary:     "Resume a suspended API key",
			Description: "It is good again at once; a revoked or expired key stays so.",
			Errors:      []int{http.StatusConflict}, Handle: h.onKey(func(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error) {
				return h.d.Keys.ResumeKey(ctx, a, id)
			}),
		}),
	}
}

// NewKey is a key to be made (scans.md 3.5).
type NewKey struct {
	Name        string   `json:"name" minLength:"1" maxLength:"255"`
	Description string   `json:"description,omitempty" maxLength:"2000"`
	Scopes      []string `json:"scopes" minItems:"1" maxItems:"100" doc:"resource:action, or resource:* for all of a resource." example:"[\"scans:create\",\"results:read\"]"`
	Engines     []string `json:"allowedScanTypes,omitempty" maxItems:"20" doc:"Empty: any engine."`
	Addresses   []string `json:"allowedIpAddresses,omitempty" maxItems:"100" doc:"Addresses and CIDR blocks; empty: any."`
	PerMinute   *int     `json:"rateLimitPerMinute,omitempty" minimum:"0" doc:"Default 60."`
	PerHour     *int     `json:"rateLimitPerHour,omitempty" minimum:"0" doc:"Default 1,000."`
	PerDay      *int     `json:"rateLimitPerDay,omitempty" minimum:"0" doc:"Default 10,000."`
	ExpiresIn   *int     `json:"expiresInDays,omitempty" minimum:"1" maximum:"3650" doc:"Default: never."`
}

// KeyPatch changes what is given.
type KeyPatch struct {
	Name        *string         `json:"name,omitempty" minLength:"1" maxLength:"255"`
	Description *string         `json:"description,omitempty" maxLength:"2000"`
	Scopes      *[]string       `json:"scopes,omitempty" maxItems:"100"`
	Engines     *[]string       `json:"allowedScanTypes,omitempty" maxItems:"20"`
	Addresses   *[]string       `json:"allowedIpAddresses,omitempty" maxItems:"100"`
	PerMinute   *int            `json:"rateLimitPerMinute,omitempty" minimum:"0"`
	PerHour     *int            `json:"rateLimitPerHour,omitempty" minimum:"0"`
	PerDay      *int            `json:"rateLimitPerDay,omitempty" minimum:"0"`
	ExpiresIn   json.RawMessage `json:"expiresInDays,omitempty" doc:"Days from now, 1 to 3650; null: never."`
}

// Key is an API key without its secret.
type Key struct {
	ID                 string    `json:"id"`
	Name               string    `json:"name"`
	Description        string    `json:"description"`
	Prefix             string    `json:"prefix" doc:"The first characters, by which to know it."`
	Status             string    `json:"status" enum:"active,suspended,revoked,expired"`
	Scopes             []string  `json:"scopes"`
	AllowedScanTypes   []string  `json:"allowedScanTypes"`
	AllowedIPAddresses []string  `json:"allowedIpAddresses"`
	RateLimitPerMinute int       `json:"rateLimitPerMinute" doc:"0: no window."`
	RateLimitPerHour   int       `json:"rateLimitPerHour"`
	RateLimitPerDay    int       `json:"rateLimitPerDay"`
	CreatedBy          string    `json:"createdBy"`
	CreatedAt          api.Time  `json:"createdAt"`
	ExpiresAt          *api.Time `json:"expiresAt" nullable:"true"`
	LastUsedAt         *api.Time `json:"lastUsedAt" nullable:"true"`
	SuspendedAt        *api.Time `json:"suspendedAt,omitempty"`
	RevokedAt          *api.Time `json:"revokedAt,omitempty"`
	PreviousExpiresAt  *api.Time `json:"previousExpiresAt,omitempty" doc:"When the secret before the last rotation ends."`
}

// IssuedKey is a new key with its secret, shown once.
type IssuedKey struct {
	Key
	Secret      string `json:"key,omitempty" doc:"The key itself; only in the first answer."`
	SecretShown bool   `json:"secretShown" doc:"false where the answer repeats an earlier one."`
}

// RotatedKey is the answer to a rotation.
type RotatedKey struct {
	ID                string    `json:"id"`
	Secret            string    `json:"key,omitempty" doc:"The new key; only in the first answer."`
	SecretShown       bool      `json:"secretShown" doc:"false where the answer repeats an earlier one."`
	PreviousExpiresAt *api.Time `json:"previousExpiresAt" nullable:"true" doc:"When the old secret ends."`
}

// KeyPage is one page of keys.
type KeyPage struct {
	Keys       []Key               `json:"apiKeys"`
	Pagination envelope.Pagination `json:"pagination"`
}

type newKeyIn struct {
	Body NewKey
}

type keysIn struct {
	envelope.Paging
}

// KeyRef names a key.
type KeyRef struct {
	ID string `path:"id" doc:"The key's id."`
}

type patchKeyIn struct {
	KeyRef
	Body KeyPatch
}

type rotateKeyIn struct {
	KeyRef
	Body *RotateKey
}

// RotateKey says how long the old secret lives on.
type RotateKey struct {
	Grace *int `json:"gracePeriodHours,omitempty" minimum:"0" maximum:"168" doc:"Default 24."`
}

func (h *handlers) keyView(k access.Key) Key { return keyView(k, h.d.Now()) }

func keyView(k access.Key, now time.Time) Key {
	v := Key{
		ID: string(k.ID), Name: k.Name, Description: k.Description, Prefix: k.Prefix, Status: string(k.State(now)),
		Scopes: make([]string, len(k.Scopes)), AllowedScanTypes: envelope.List(k.Engines),
		AllowedIPAddresses: make([]string, len(k.Addresses)), RateLimitPerMinute: k.Windows.PerMinute,
		RateLimitPerHour: k.Windows.PerHour, RateLimitPerDay: k.Windows.PerDay, CreatedBy: k.CreatedBy,
		CreatedAt: api.At(k.CreatedAt), ExpiresAt: api.Moment(k.ExpiresAt), LastUsedAt: api.Moment(k.LastUsedAt),
		SuspendedAt: api.Moment(k.SuspendedAt), RevokedAt: api.Moment(k.RevokedAt),
	}
	for i, s := range k.Scopes {
		v.Scopes[i] = string(s)
	}
	for i, p := range k.Addresses {
		v.AllowedIPAddresses[i] = p.String()
		if p.IsSingleIP() {
			v.AllowedIPAddresses[i] = p.Addr().String()
		}
	}
	if now.Before(k.PreviousExpires) {
		v.PreviousExpiresAt = api.Moment(k.PreviousExpires)
	}
	return v
}

func (h *handlers) createKey(ctx context.Context, in *newKeyIn) (*envelope.Created[IssuedKey], error) {
	b := in.Body
	issued, err := h.d.Keys.CreateKey(ctx, mw.ActorFrom(ctx), access.NewKey{
		Name: b.Name, Description: b.Description, Scopes: b.Scopes, Engines: b.Engines, Addresses: b.Addresses,
		PerMinute: b.PerMinute, PerHour: b.PerHour, PerDay: b.PerDay, ExpiresInDays: b.ExpiresIn,
	})
	if err != nil {
		return nil, err
	}
	v := IssuedKey{Key: h.keyView(issued.Key), Secret: issued.Secret.Reveal(), SecretShown: true}
	return envelope.Made(api.Path(keys, v.ID), v), nil
}

func (h *handlers) keyCreated(ctx context.Context, id string) (*envelope.Created[IssuedKey], error) {
	k, err := h.d.Keys.Key(ctx, mw.ActorFrom(ctx), uid.Key(id))
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(keys, id), IssuedKey{Key: h.keyView(k)}), nil
}

func (h *handlers) listKeys(ctx context.Context, in *keysIn) (*envelope.Out[KeyPage], error) {
	actor := mw.ActorFrom(ctx)
	filters := page.Filters("api-keys")
	p, err := in.Request(actor.Org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Keys.Keys(ctx, actor, p)
	if err != nil {
		return nil, err
	}
	out := KeyPage{Keys: make([]Key, len(l.Items)), Pagination: in.View(actor.Org, filters, l.Total, l.Next)}
	for i, k := range l.Items {
		out.Keys[i] = h.keyView(k)
	}
	return envelope.OK(out), nil
}

func (h *handlers) updateKey(ctx context.Context, in *patchKeyIn) (*envelope.Out[Key], error) {
	b := in.Body
	days, never, err := daysOrNull(b.ExpiresIn)
	if err != nil {
		return nil, err
	}
	k, err := h.d.Keys.UpdateKey(ctx, mw.ActorFrom(ctx), uid.Key(in.ID), access.KeyPatch{
		Name: b.Name, Description: b.Description, Scopes: b.Scopes, Engines: b.Engines, Addresses: b.Addresses,
		PerMinute: b.PerMinute, PerHour: b.PerHour, PerDay: b.PerDay, ExpiresInDays: days, NeverExpires: never,
	})
	if err != nil {
		return nil, err
	}
	return envelope.OK(h.keyView(k)), nil
}

func (h *handlers) rotateKey(ctx context.Context, in *rotateKeyIn) (*envelope.Out[RotatedKey], error) {
	var grace *int
	if in.Body != nil {
		grace = in.Body.Grace
	}
	issued, err := h.d.Keys.RotateKey(ctx, mw.ActorFrom(ctx), uid.Key(in.ID), grace)
	if err != nil {
		return nil, err
	}
	return envelope.OK(RotatedKey{
		ID: string(issued.Key.ID), Secret: issued.Secret.Reveal(), SecretShown: true,
		PreviousExpiresAt: api.Moment(issued.Key.PreviousExpires),
	}), nil
}

func (h *handlers) keyRotated(ctx context.Context, id string) (*envelope.Out[RotatedKey], error) {
	k, err := h.d.Keys.Key(ctx, mw.ActorFrom(ctx), uid.Key(id))
	if err != nil {
		return nil, err
	}
	return envelope.OK(RotatedKey{ID: id, PreviousExpiresAt: api.Moment(k.PreviousExpires)}), nil
}

// onKey makes the handler of an operation that takes a key's id and gives the key.
func (h *handlers) onKey(do func(context.Context, access.Actor, uid.Key) (access.Key, error)) func(context.Context, *KeyRef) (*envelope.Out[Key], error) {
	return func(ctx context.Context, in *KeyRef) (*envelope.Out[Key], error) {
		k, err := do(ctx, mw.ActorFrom(ctx), uid.Key(in.ID))
		if err != nil {
			return nil, err
		}
		return envelope.OK(h.keyView(k)), nil
	}
}

// daysOrNull tells a number of days from null and from nothing.
func daysOrNull(raw json.RawMessage) (days *int, never bool, err error) {
	switch {
	case len(raw) == 0:
		return nil, false, nil
	case string(raw) == "null":
		return nil, true, nil
	}
	var n int
	if json.Unmarshal(raw, &n) != nil {
		return nil, false, fault.Wrong("expiresInDays", "must be a whole number of days, or null")
	}
	return &n, false, nil
}
