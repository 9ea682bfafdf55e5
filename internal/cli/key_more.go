package cli

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/client"
)

// keyService is what acts on one key: the operator on a data folder, or the API.
type keyService interface {
	Key(ctx context.Context, id string) (client.Key, error)
	UpdateKey(ctx context.Context, id string, p client.KeyPatch) (client.Key, error)
	RotateKey(ctx context.Context, id string, graceHours int) (client.Key, error)
	SuspendKey(ctx context.Context, id string) (client.Key, error)
	ResumeKey(ctx context.Context, id string) (client.Key, error)
}

// service returns who acts on keys.
func (k *keyCommand) service(cmd *cobra.Command) (keyService, error) {
	if k.local(cmd) {
		op, err := k.operator(cmd)
		return operatorKeys{op, k.org}, err
	}
	return k.client(k.server)
}

// show prints one key.
func (k *keyCommand) show(v client.Key) error {
	if k.json {
		return k.IO.json(v)
	}
	any := func(list []string) string { //nolint:predeclared // reads well
		if len(list) == 0 {
			return "any"
		}
		return strings.Join(list, " ")
	}
	windows := []string{strconv.Itoa(v.RateLimitPerMinute), strconv.Itoa(v.RateLimitPerHour), strconv.Itoa(v.RateLimitPerDay)}
	k.table([]string{"ID", "NAME", "KEY", "STATE", "EXPIRES", "LAST USED"}, [][]string{{v.ID, v.Name, v.Prefix + "…", v.Status, when(v.ExpiresAt), when(v.LastUsedAt)}})
	k.said("scopes: %s", printable(any(v.Scopes)))
	k.said("engines: %s; addresses: %s; calls a minute/hour/day: %s", printable(any(v.AllowedScanTypes)), printable(any(v.AllowedIPAddresses)), strings.Join(windows, "/"))
	if v.PreviousExpiresAt != nil {
		k.said("the secret before the last rotation ends %s", when(v.PreviousExpiresAt))
	}
	return nil
}

// simple makes a command of an act on one key.
func (k *keyCommand) simple(use, short string, do func(ctx context.Context, s keyService, id string) (client.Key, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := k.service(cmd)
			if err != nil {
				return err
			}
			v, err := do(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			return k.show(v)
		},
	}
}

func (k *keyCommand) get() *cobra.Command {
	return k.simple("get", "Show a key", func(ctx context.Context, s keyService, id string) (client.Key, error) { return s.Key(ctx, id) })
}

func (k *keyCommand) suspend() *cobra.Command {
	return k.simple("suspend", "Stop a key until it is resumed; as operator or administrator", func(ctx context.Context, s keyService, id string) (client.Key, error) {
		return s.SuspendKey(ctx, id)
	})
}

func (k *keyCommand) resume() *cobra.Command {
	return k.simple("resume", "Let a suspended key work again; as operator or administrator", func(ctx context.Context, s keyService, id string) (client.Key, error) {
		return s.ResumeKey(ctx, id)
	})
}

func (k *keyCommand) rotate() *cobra.Command {
	var grace int
	c := &cobra.Command{
		Use: "rotate ID", Short: "Give a key a new secret; it is shown once", Args: cobra.ExactArgs(1),
		Example: "  assay key rotate ID --grace 1",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := k.service(cmd)
			if err != nil {
				return err
			}
			v, err := s.RotateKey(cmd.Context(), args[0], grace)
			if err != nil {
				return err
			}
			if k.json {
				return k.IO.json(v)
			}
			k.said("the new key is shown once; keep it now")
			k.table([]string{"ID", "KEY", "OLD ONE ENDS"}, [][]string{{v.ID, v.Secret, when(v.PreviousExpiresAt)}})
			return nil
		},
	}
	c.Flags().IntVar(&grace, "grace", 24, "hours for which the old secret works on, 0–168")
	return c
}

func (k *keyCommand) update() *cobra.Command {
	var name, description string
	var scopes, engines, addresses []string
	var minute, hour, day, expires int
	c := &cobra.Command{
		Use: "update ID", Short: "Change a key", Args: cobra.ExactArgs(1),
		Long:    "Change a key: what isn't given stays. An empty list lifts a restriction (--engine ''), --expires 0 takes the end away.",
		Example: "  assay key update ID --scope scans:read --per-minute 10\n  assay key update ID --engine '' --expires 0",
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "its name")
	f.StringVar(&description, "description", "", "what it is for")
	f.StringSliceVar(&scopes, "scope", nil, "scopes")
	f.StringSliceVar(&engines, "engine", nil, "engines it may use; empty: all")
	f.StringSliceVar(&addresses, "address", nil, "addresses and networks it may come from; empty: any")
	f.IntVar(&minute, "per-minute", 0, "calls a minute")
	f.IntVar(&hour, "per-hour", 0, "calls an hour")
	f.IntVar(&day, "per-day", 0, "calls a day")
	f.IntVar(&expires, "expires", 0, "days until it ends, 1–3650; 0: never")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := k.service(cmd)
		if err != nil {
			return err
		}
		var p client.KeyPatch
		changed := func(flag string) bool { return f.Changed(flag) }
		put(&p.Name, name, changed("name"))
		put(&p.Description, description, changed("description"))
		put(&p.Scopes, scopes, changed("scope"))
		put(&p.AllowedScanTypes, filled(engines), changed("engine"))
		put(&p.AllowedIPAddresses, filled(addresses), changed("address"))
		put(&p.RateLimitPerMinute, minute, changed("per-minute"))
		put(&p.RateLimitPerHour, hour, changed("per-hour"))
		put(&p.RateLimitPerDay, day, changed("per-day"))
		if changed("expires") {
			p.ExpiresInDays = json.RawMessage("null")
			if expires != 0 {
				p.ExpiresInDays = json.RawMessage(strconv.Itoa(expires))
			}
		}
		v, err := s.UpdateKey(cmd.Context(), args[0], p)
		if err != nil {
			return err
		}
		return k.show(v)
	}
	return c
}

// put sets a field of a change where its flag was given.
func put[T any](field **T, value T, given bool) {
	if given {
		*field = &value
	}
}

// filled drops the empty word that an empty flag leaves; the list is never nil.
func filled(list []string) []string {
	out := []string{}
	for _, v := range list {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// operatorKeys acts on the keys of one organization of a data folder.
type operatorKeys struct {
	op  app.Operator
	org string
}

// Key implements keyService.
func (o operatorKeys) Key(ctx context.Context, id string) (client.Key, error) {
	return o.op.Key(ctx, o.org, id)
}

// UpdateKey implements keyService.
func (o operatorKeys) UpdateKey(ctx context.Context, id string, p client.KeyPatch) (client.Key, error) {
	return o.op.UpdateKey(ctx, o.org, id, p)
}

// RotateKey implements keyService.
func (o operatorKeys) RotateKey(ctx context.Context, id string, graceHours int) (client.Key, error) {
	return o.op.RotateKey(ctx, o.org, id, graceHours)
}

// SuspendKey implements keyService.
func (o operatorKeys) SuspendKey(ctx context.Context, id string) (client.Key, error) {
	return o.op.SuspendKey(ctx, o.org, id)
}

// ResumeKey implements keyService.
func (o operatorKeys) ResumeKey(ctx context.Context, id string) (client.Key, error) {
	return o.op.ResumeKey(ctx, o.org, id)
}
