package client

import (
	"context"
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
