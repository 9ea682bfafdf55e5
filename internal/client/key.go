package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Key is an API key without its secret.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"`
	Status     string     `json:"status"`
	Scopes     []string   `json:"scopes"`
	CreatedAt  time.Time  `json:"createdAt"`
	ExpiresAt  *time.Time `json:"expiresAt"`
	LastUsedAt *time.Time `json:"lastUsedAt"`

	Description        string     `json:"description,omitempty"`
	AllowedScanTypes   []string   `json:"allowedScanTypes,omitempty"`
	AllowedIPAddresses []string   `json:"allowedIpAddresses,omitempty"`
	RateLimitPerMinute int        `json:"rateLimitPerMinute,omitempty"`
	RateLimitPerHour   int        `json:"rateLimitPerHour,omitempty"`
	RateLimitPerDay    int        `json:"rateLimitPerDay,omitempty"`
	PreviousExpiresAt  *time.Time `json:"previousExpiresAt,omitempty"` // end of the secret before the last rotation

	// Secret is set once, in the answer to a creation or rotation.
	Secret string `json:"key,omitempty"`
}

// KeyOrder is a key to be made (scans.md 3.5).
type KeyOrder struct {
	Name               string   `json:"name"`
	Description        string   `json:"description,omitempty"`
	Scopes             []string `json:"scopes"`
	AllowedScanTypes   []string `json:"allowedScanTypes,omitempty"`
	AllowedIPAddresses []string `json:"allowedIpAddresses,omitempty"`
	RateLimitPerMinute int      `json:"rateLimitPerMinute,omitempty"`
	RateLimitPerHour   int      `json:"rateLimitPerHour,omitempty"`
	RateLimitPerDay    int      `json:"rateLimitPerDay,omitempty"`
	ExpiresInDays      int      `json:"expiresInDays,omitempty"`
}

// CreateKey makes a key; its secret is in the answer and nowhere else.
func (c *Client) CreateKey(ctx context.Context, o KeyOrder) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodPost, path: "/api-keys", in: o})
}

// Keys lists the organization's keys, newest first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	data, err := scanDo[struct {
		Keys []Key `json:"apiKeys"`
	}](ctx, c, call{method: http.MethodGet, path: "/api-keys", query: url.Values{"limit": {"100"}}})
	return data.Keys, err
}

// RevokeKey ends a key at once.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, err := scanDo[map[string]any](ctx, c, call{method: http.MethodDelete, path: "/api-keys/" + url.PathEscape(id)})
	return err
}

// KeyPatch changes what is set. ExpiresInDays is a number, or the word null for never.
type KeyPatch struct {
	Name               *string         `json:"name,omitempty"`
	Description        *string         `json:"description,omitempty"`
	Scopes             *[]string       `json:"scopes,omitempty"`
	AllowedScanTypes   *[]string       `json:"allowedScanTypes,omitempty"`
	AllowedIPAddresses *[]string       `json:"allowedIpAddresses,omitempty"`
	RateLimitPerMinute *int            `json:"rateLimitPerMinute,omitempty"`
	RateLimitPerHour   *int            `json:"rateLimitPerHour,omitempty"`
	RateLimitPerDay    *int            `json:"rateLimitPerDay,omitempty"`
	ExpiresInDays      json.RawMessage `json:"expiresInDays,omitempty"`
}

func keyPath(id, act string) string { return "/api-keys/" + url.PathEscape(id) + act }

// Key returns one key.
func (c *Client) Key(ctx context.Context, id string) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodGet, path: keyPath(id, "")})
}

// UpdateKey changes a key.
func (c *Client) UpdateKey(ctx context.Context, id string, p KeyPatch) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodPatch, path: keyPath(id, ""), in: p})
}

// RotateKey gives a key a new secret, which is in the answer and nowhere else; the old one works on for so many hours.
func (c *Client) RotateKey(ctx context.Context, id string, graceHours int) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodPost, path: keyPath(id, "/rotate"), in: map[string]int{"gracePeriodHours": graceHours}})
}

// SuspendKey stops a key until it is resumed; only an administrator's session may.
func (c *Client) SuspendKey(ctx context.Context, id string) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodPost, path: keyPath(id, "/suspend")})
}

// ResumeKey lets a suspended key work again; only an administrator's session may.
func (c *Client) ResumeKey(ctx context.Context, id string) (Key, error) {
	return scanDo[Key](ctx, c, call{method: http.MethodPost, path: keyPath(id, "/resume")})
}
