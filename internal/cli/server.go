package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/app/doctor"
	"assay.dev/assay/internal/config"
)

// dataFlag names the folder; its default is the configuration's.
func dataFlag(c *cobra.Command) {
	c.Flags().String("data", "", "data folder (default "+config.Default().Data+")")
}

func serve(stdio IO) *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: cobra.NoArgs,
		Long: "Run the server on a data folder until it is interrupted. A folder that doesn't exist yet is made, but it holds no\n" +
			"organization: `assay init` makes the first one, beside the running server too.",
		Example: "  assay serve --data /var/lib/assay --listen 127.0.0.1:8080",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			a, err := app.New(cmd.Context(), cfg, app.Seams{Log: stdio.Err})
			if err != nil {
				return err
			}
			if cfg.TLS() {
				defer onHangup(cmd.Context(), a.Reload)()
			}
			go func() {
				<-a.Ready()
				fmt.Fprintf(stdio.Err, "assay %s serves on %s (API reference: %s/docs)\n", app.Version().Version, a.URL(), a.URL())
			}()
			return a.Run(cmd.Context())
		},
	}
	dataFlag(c)
	c.Flags().String("listen", "", "address to serve on (default "+config.Default().Listen+")")
	serverTLSFlags(c)
	return c
}

// onHangup calls f at each SIGHUP, until the function that it returns is called.
func onHangup(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hups:
				f(ctx)
			}
		}
	}()
	return func() {
		signal.Stop(hups)
		cancel()
	}
}

func initialize(stdio IO) *cobra.Command {
	var asJSON bool
	var order app.InitOrder
	c := &cobra.Command{
		Use: "init", Short: "Create the data folder, the first organization, its admin and an API key", Args: cobra.NoArgs,
		Long: "Create everything that a server needs: the data folder with database and keys, one organization, its first admin with\n" +
			"a one-time password, and an API key with every scope. Both secrets are shown now and never again.",
		Example: "  assay init --data /var/lib/assay --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			made, err := app.Init(cmd.Context(), cfg, order)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(made)
			}
			fmt.Fprintf(stdio.Out, "organization  %s (%s)\nadmin         %s\npassword      %s   (one time; you choose a new one at the first login)\nAPI key       %s\n\nThese are shown once. Keep them now.\n",
				made.OrganizationID, order.Organization, made.Admin.Username, made.Admin.Password, made.APIKey)
			return nil
		},
	}
	dataFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().StringVar(&order.Organization, "organization", "Default", "name of the organization")
	c.Flags().StringVar(&order.Admin, "admin", "admin", "user name of the first admin")
	return c
}

func examine(stdio IO) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Say which engines, databases and protections work here, and how to get the missing ones", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			checks := doctor.Run(cmd.Context(), cfg, stdio.authority())
			if asJSON {
				if err := stdio.json(checks); err != nil {
					return err
				}
			} else {
				rows := make([][]string, 0, len(checks))
				for _, c := range checks {
					rows = append(rows, []string{c.State, c.Name, c.Detail})
				}
				stdio.prose([]string{"STATE", "WHAT", "DETAIL"}, rows)
			}
			for _, c := range checks {
				if c.State == doctor.Broken {
					return exit{exitBad}
				}
			}
			return nil
		},
	}
	dataFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func configuration(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check settings, or list all of them"}
	var asJSON bool
	check := &cobra.Command{
		Use: "check", Short: "Read and check the settings without starting anything", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			fmt.Fprintf(stdio.Err, "the settings are good; the server would serve %s from %s\n", cfg.URL(), cfg.Data)
			return nil
		},
	}
	reference := &cobra.Command{
		Use: "reference", Short: "List every setting with its environment variable and default", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return stdio.json(config.Reference())
			}
			rows := [][]string{}
			for _, s := range config.Reference() {
				rows = append(rows, []string{s.Key, s.Env, s.Default, s.Help})
			}
			stdio.prose([]string{"KEY", "ENVIRONMENT", "DEFAULT", "WHAT IT IS"}, rows)
			return nil
		},
	}
	reference.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(check, reference)
	return c
}
