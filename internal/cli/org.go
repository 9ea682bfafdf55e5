package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
)

func org(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "org", Short: "Organizations of this server: create, list, plan, suspend"}
	var asJSON bool
	show := func(list ...app.Organization) error {
		if asJSON && len(list) == 1 {
			return stdio.json(list[0])
		}
		rows := [][]string{}
		for _, o := range list {
			state := "active"
			if o.Suspended {
				state = "suspended"
			}
			rows = append(rows, []string{o.ID, o.Name, o.Plan, state, when(&o.CreatedAt)})
		}
		stdio.table([]string{"ID", "NAME", "PLAN", "STATE", "CREATED"}, rows)
		return nil
	}
	one := func(act func(cmd *cobra.Command, o app.Operator, args []string) (app.Organization, error)) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			made, err := act(cmd, app.NewOperator(cfg), args)
			if err != nil {
				return err
			}
			return show(made)
		}
	}
	var plan string
	var resume bool
	create := &cobra.Command{
		Use: "create NAME", Short: "Create an organization; its scan scope starts empty", Args: cobra.ExactArgs(1),
		RunE: one(func(cmd *cobra.Command, o app.Operator, args []string) (app.Organization, error) {
			return o.CreateOrganization(cmd.Context(), app.OrganizationOrder{Name: args[0], Plan: plan})
		}),
	}
	create.Flags().StringVar(&plan, "plan", "enterprise", "free, starter, pro or enterprise")
	set := &cobra.Command{
		Use: "plan ID PLAN", Short: "Set an organization's plan", Args: cobra.ExactArgs(2),
		RunE: one(func(cmd *cobra.Command, o app.Operator, args []string) (app.Organization, error) {
			return o.SetPlan(cmd.Context(), args[0], args[1])
		}),
	}
	suspend := &cobra.Command{
		Use: "suspend ID", Short: "Refuse all calls of an organization, or take that back", Args: cobra.ExactArgs(1),
		RunE: one(func(cmd *cobra.Command, o app.Operator, args []string) (app.Organization, error) {
			return o.Suspend(cmd.Context(), args[0], !resume)
		}),
	}
	suspend.Flags().BoolVar(&resume, "resume", false, "let it work again")
	list := &cobra.Command{
		Use: "list", Short: "List organizations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			all, err := app.NewOperator(cfg).Organizations(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(all)
			}
			return show(all...)
		},
	}
	for _, sub := range []*cobra.Command{create, list, set, suspend} {
		dataFlag(sub)
		sub.Flags().BoolVar(&asJSON, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

func keys(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Public keys by which others verify this server's log"}
	var orgID, out string
	export := &cobra.Command{
		Use: "export", Short: "Write an organization's verification keys, with their history", Args: cobra.NoArgs,
		Example: "  assay keys export --data assay-data --org ID --out keys.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			return stdio.toFile(out, func(w fileWriter) error {
				return app.NewOperator(cfg).ExportKeys(cmd.Context(), orgID, w)
			})
		},
	}
	dataFlag(export)
	orgFlag(export, &orgID)
	outFlag(export, &out)
	c.AddCommand(export)
	return c
}

func orgFlag(c *cobra.Command, org *string) {
	c.Flags().StringVar(org, "org", "", "organization id (may be left out where there is only one); system is the server's own")
}

func outFlag(c *cobra.Command, out *string) {
	c.Flags().StringVar(out, "out", "-", "file to write; - is standard output")
}

// said confirms on standard error, so that standard output stays for results.
func (stdio IO) said(format string, args ...any) { fmt.Fprintf(stdio.Err, format+"\n", args...) }
