package app

import (
	"context"
	"encoding/json"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

type keyChange struct {
	Org   string          `json:"org"`
	Key   string          `json:"key"`
	Patch client.KeyPatch `json:"patch,omitzero"`
	Grace int             `json:"grace,omitempty"` // hours
}

// Key returns an API key.
func (o Operator) Key(ctx context.Context, org, id string) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.get", keyChange{Org: org, Key: id})
}

// UpdateKey changes an API key.
func (o Operator) UpdateKey(ctx context.Context, org, id string, p client.KeyPatch) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.update", keyChange{Org: org, Key: id, Patch: p})
}

// RotateKey gives a key a new secret, which is in the answer and nowhere else.
func (o Operator) RotateKey(ctx context.Context, org, id string, graceHours int) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.rotate", keyChange{Org: org, Key: id, Grace: graceHours})
}

// SuspendKey stops a key until it is resumed.
func (o Operator) SuspendKey(ctx context.Context, org, id string) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.suspend", keyChange{Org: org, Key: id})
}

// ResumeKey lets a suspended key work again.
func (o Operator) ResumeKey(ctx context.Context, org, id string) (client.Key, error) {
	return ask[client.Key](ctx, o, "key.resume", keyChange{Org: org, Key: id})
}

// onKey makes an act on one key.
func onKey(do func(ctx context.Context, g *ground, a access.Actor, in keyChange) (access.Key, error)) act {
	return typed(func(ctx context.Context, g *ground, in keyChange) (client.Key, error) {
		org, err := g.resolve(ctx, in.Org)
		if err != nil {
			return client.Key{}, err
		}
		k, err := do(ctx, g, access.Operator(org), in)
		return g.showKey(k), err
	})
}

func keyActs() map[string]act {
	return map[string]act{
		"key.get": onKey(func(ctx context.Context, g *ground, a access.Actor, in keyChange) (access.Key, error) {
			return g.access.Key(ctx, a, uid.Key(in.Key))
		}),
		"key.update": onKey(updateKey),
		"key.rotate": typed(rotateKey),
		"key.suspend": onKey(func(ctx context.Context, g *ground, a access.Actor, in keyChange) (access.Key, error) {
			return g.access.SuspendKey(ctx, a, uid.Key(in.Key))
		}),
		"key.resume": onKey(func(ctx context.Context, g *ground, a access.Actor, in keyChange) (access.Key, error) {
			return g.access.ResumeKey(ctx, a, uid.Key(in.Key))
		}),
	}
}

func updateKey(ctx context.Context, g *ground, a access.Actor, in keyChange) (access.Key, error) {
	p := access.KeyPatch{
		Name: in.Patch.Name, Description: in.Patch.Description, Scopes: in.Patch.Scopes, Engines: in.Patch.AllowedScanTypes,
		Addresses: in.Patch.AllowedIPAddresses, PerMinute: in.Patch.RateLimitPerMinute, PerHour: in.Patch.RateLimitPerHour,
		PerDay: in.Patch.RateLimitPerDay,
	}
	switch days := in.Patch.ExpiresInDays; {
	case len(days) == 0:
	case string(days) == "null":
		p.NeverExpires = true
	default:
		var n int
		if err := json.Unmarshal(days, &n); err != nil {
			return access.Key{}, fault.Wrong("expiresInDays", "must be a whole number of days, or null")
		}
		p.ExpiresInDays = &n
	}
	return g.access.UpdateKey(ctx, a, uid.Key(in.Key), p)
}

func rotateKey(ctx context.Context, g *ground, in keyChange) (client.Key, error) {
	org, err := g.resolve(ctx, in.Org)
	if err != nil {
		return client.Key{}, err
	}
	issued, err := g.access.RotateKey(ctx, access.Operator(org), uid.Key(in.Key), &in.Grace)
	if err != nil {
		return client.Key{}, err
	}
	shown := g.showKey(issued.Key)
	shown.Secret = issued.Secret.Reveal()
	return shown, nil
}
