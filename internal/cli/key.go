package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/client"
)

// keyCommand serves the sub-commands of `assay key`, over the API where ASSAY_API_KEY is set, else on a data folder.
type keyCommand struct {
	IO

	server, org string
	json        bool
}

func key(stdio IO) *cobra.Command {
	k := &keyCommand{IO: stdio}
	c := &cobra.Command{
		Use: "key", Short: "API keys: create, list, change, rotate, suspend, revoke",
		Long: "API keys, either over the API (ASSAY_API_KEY holds a key with the scope keys:manage) or, as operator, on a data folder\n" +
			"(--data), also beside a running server.",
	}
	for _, sub := range []*cobra.Command{k.create(), k.list(), k.get(), k.update(), k.rotate(), k.suspend(), k.resume(), k.revoke()} {
		serverFlags(sub, &k.server)
		dataFlag(sub)
		orgFlag(sub, &k.org)
		sub.Flags().BoolVar(&k.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

// local reports whether the command acts on a data folder.
func (k *keyCommand) local(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("data") || k.getenv("ASSAY_API_KEY") == ""
}

// operator returns who acts on the data folder.
func (k *keyCommand) operator(cmd *cobra.Command) (app.Operator, error) {
	cfg, err := k.settings(cmd)
	return app.NewOperator(cfg), err
}

func (k *keyCommand) create() *cobra.Command {
	var o client.KeyOrder
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a key; it is shown once", Args: cobra.ExactArgs(1),
		Example: "  assay key create ci --scope scans:create,scans:read,results:read --expires 90",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			made, err := k.make(cmd, o)
			if err != nil {
				return err
			}
			if k.json {
				return k.IO.json(made)
			}
			k.said("the key is shown once; keep it now")
			k.table([]string{"ID", "NAME", "KEY", "SCOPES"}, [][]string{{made.ID, made.Name, made.Secret, strings.Join(made.Scopes, " ")}})
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Scopes, "scope", []string{"scans:*", "results:read"}, "scopes, such as scans:create or scans:*")
	f.StringSliceVar(&o.AllowedScanTypes, "engine", nil, "engines it may use (default: all)")
	f.StringSliceVar(&o.AllowedIPAddresses, "address", nil, "addresses and networks it may come from (default: any)")
	f.StringVar(&o.Description, "description", "", "what it is for")
	f.IntVar(&o.ExpiresInDays, "expires", 0, "days until it ends, 1–3650 (default: never)")
	f.IntVar(&o.RateLimitPerMinute, "per-minute", 0, "calls a minute (default 60)")
	f.IntVar(&o.RateLimitPerHour, "per-hour", 0, "calls an hour (default 1000)")
	f.IntVar(&o.RateLimitPerDay, "per-day", 0, "calls a day (default 10000)")
	return c
}

func (k *keyCommand) make(cmd *cobra.Command, o client.KeyOrder) (client.Key, error) {
	if k.local(cmd) {
		op, err := k.operator(cmd)
		if err != nil {
			return client.Key{}, err
		}
		return op.CreateKey(cmd.Context(), k.org, o)
	}
	api, err := k.client(k.server)
	if err != nil {
		return client.Key{}, err
	}
	return api.CreateKey(cmd.Context(), o)
}

func (k *keyCommand) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List keys, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := k.all(cmd)
			if err != nil {
				return err
			}
			if k.json {
				return k.IO.json(list)
			}
			rows := [][]string{}
			for _, v := range list {
				rows = append(rows, []string{v.ID, v.Name, v.Prefix + "…", v.Status, when(v.ExpiresAt), when(v.LastUsedAt), shorten(strings.Join(v.Scopes, " "), 40)})
			}
			k.table([]string{"ID", "NAME", "KEY", "STATE", "EXPIRES", "LAST USED", "SCOPES"}, rows)
			return nil
		},
	}
}

func (k *keyCommand) all(cmd *cobra.Command) ([]client.Key, error) {
	if k.local(cmd) {
		op, err := k.operator(cmd)
		if err != nil {
			return nil, err
		}
		return op.Keys(cmd.Context(), k.org)
	}
	api, err := k.client(k.server)
	if err != nil {
		return nil, err
	}
	return api.Keys(cmd.Context())
}

func (k *keyCommand) revoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a key at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if k.local(cmd) {
				op, err := k.operator(cmd)
				if err != nil {
					return err
				}
				err = op.RevokeKey(cmd.Context(), k.org, args[0])
				if err == nil {
					k.said("revoked %s", args[0])
				}
				return err
			}
			api, err := k.client(k.server)
			if err != nil {
				return err
			}
			if err := api.RevokeKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			k.said("revoked %s", args[0])
			return nil
		},
	}
}
