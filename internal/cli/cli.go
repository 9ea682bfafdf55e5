// Package cli is the command tree of `assay`. Commands are thin: those about scans and keys are clients of the API like
// everybody else's program, those with --data act on a data folder through package app, and `serve` and `demo` run the
// server.
//
// Results go to standard output as tables, or as JSON with --json and then nothing else; words for people go to standard
// error. Exit codes: 0 good, 1 bad or findings, 2 usage or error, 3 an untrusted key. Start with Main.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/word/fault"
)

// Exit codes.
const (
	exitGood      = 0
	exitBad       = 1
	exitError     = 2
	exitUntrusted = 3
)

// IO is what a command may touch of its process. Tests hand in their own.
type IO struct {
	Out      io.Writer
	Err      io.Writer
	Environ  []string
	Terminal bool // standard error is a terminal: bars may be drawn
	Styled   bool // standard output is a terminal: headers may be bold
	Width    int  // columns of that terminal, within which tables are kept; 0 = any

	ca *string // --ca
}

// OS returns the real process's.
func OS() IO {
	stdio := IO{
		Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(),
		Terminal: term.IsTerminal(int(os.Stderr.Fd())), Styled: term.IsTerminal(int(os.Stdout.Fd())),
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		stdio.Width = width
	}
	return stdio
}

// getenv looks a variable up, "" where it isn't set.
func (stdio IO) getenv(name string) string {
	for _, kv := range stdio.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// exit ends a command with a code and no further words.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("exit %d", e.code) }

// usage is a mistake in how the command was called.
type usage struct{ error }

// Main runs one command line and returns the exit code. The first interrupt ends the command in good order, a second
// one at once.
func Main(args []string, stdio IO) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := tree(stdio)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return stdio.report(cmd, err)
}

// report says what went wrong, and turns it into the exit code.
func (stdio IO) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitGood
	}
	if e, ok := errors.AsType[exit](err); ok {
		return e.code
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		fmt.Fprintf(stdio.Err, "assay: %s\n", printableLines(err.Error()))
		if _, ok := errors.AsType[usage](err); ok {
			fmt.Fprintf(stdio.Err, "see '%s --help'\n", cmd.CommandPath())
		}
		return exitError
	}
	fmt.Fprintf(stdio.Err, "assay: %s (%s)\n", printableLines(f.Text), printable(string(f.Code)))
	for _, field := range f.Fields {
		fmt.Fprintf(stdio.Err, "  %s: %s\n", printable(field.Location), printable(field.Message))
	}
	if f.Kind == fault.Internal && f.Unwrap() != nil {
		fmt.Fprintf(stdio.Err, "  cause: %s\n", printableLines(f.Unwrap().Error())) // this command line is the operator's, who must see it
	}
	if f.Code == fault.CodeUntrustedKey {
		return exitUntrusted
	}
	return code(f.Kind)
}

// code maps every kind to an exit code; package comment.
func code(k fault.Kind) int {
	switch k {
	case fault.Internal, fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.Conflict,
		fault.Exhausted, fault.Unavailable, fault.Unsupported, fault.Canceled:
		return exitError
	}
	return exitError
}

func tree(stdio IO) *cobra.Command {
	root := &cobra.Command{
		Use:   "assay",
		Short: "Finds what is wrong, keeps what is secret alive, proves what is right",
		Long: "Assay is a self-hosted security assurance platform: scans behind one API, and a provable log of every call.\n\n" +
			"New here? `assay demo` starts a server, scans a weak target of its own and shows what was found.",
		SilenceUsage: true, SilenceErrors: true,
	}
	stdio.ca = new("")
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().String("config", "", "settings file (YAML); also ASSAY_CONFIG")
	root.PersistentFlags().StringVar(stdio.ca, "ca", "", "file with the authorities to trust for https servers (PEM); also ASSAY_CA_FILE")
	root.AddGroup(
		&cobra.Group{ID: "server", Title: "The server:"},
		&cobra.Group{ID: "use", Title: "Using it:"},
		&cobra.Group{ID: "proof", Title: "Proving it:"},
	)
	for _, group := range []struct {
		id       string
		commands []*cobra.Command
	}{
		{"server", []*cobra.Command{demo(stdio), serve(stdio), initialize(stdio), org(stdio), intel(stdio), certificates(stdio), engines(stdio), examine(stdio), configuration(stdio)}},
		{"use", []*cobra.Command{scans(stdio), findings(stdio), cases(stdio), templates(stdio), vex(stdio), reports(stdio), webhooks(stdio), used(stdio), key(stdio)}},
		{"proof", []*cobra.Command{logs(stdio), keys(stdio)}},
	} {
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(version(stdio))
	strict(root)
	root.SetHelpCommand(help())
	return root
}

// help shows a command's help; a command that isn't there is a mistake in usage.
func help() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Show the help of a command",
		RunE: func(c *cobra.Command, args []string) error {
			cmd, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage{fmt.Errorf("there is no command %q", strings.Join(args, " "))}
			}
			return cmd.Help()
		},
	}
}

// strict makes wrong arguments of every command a mistake in usage, and a mistyped sub-command one too; a command that
// only has sub-commands shows its help.
func strict(c *cobra.Command) {
	for _, sub := range c.Commands() {
		strict(sub)
	}
	check := c.Args
	if check == nil && c.HasSubCommands() {
		check = func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		}
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return usage{argumentMistake(cmd, args, err)}
		}
		return nil
	}
}

// argumentMistake says what a command wants in the words of its usage line.
func argumentMistake(cmd *cobra.Command, args []string, err error) error {
	_, wanted, _ := strings.Cut(cmd.Use, " ")
	name := strings.TrimPrefix(cmd.CommandPath(), "assay ")
	switch {
	case cmd.HasSubCommands():
		return err
	case wanted == "":
		return fmt.Errorf("%s takes no arguments, so not %q", name, args[0])
	case len(args) == 0:
		return fmt.Errorf("%s wants %s, and nothing was given", name, wanted)
	}
	return fmt.Errorf("%s wants %s; the number of arguments given is %d", name, wanted, len(args))
}

func version(stdio IO) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := app.Version()
			if asJSON {
				return stdio.json(v)
			}
			fmt.Fprintf(stdio.Out, "assay %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// settings loads the configuration for a command that works on a data folder; flags that were given win.
func (stdio IO) settings(cmd *cobra.Command) (config.Config, error) {
	flags := map[string]any{}
	for name, key := range map[string]string{
		"data": "data", "listen": "listen", "tls-cert": "tls_cert", "tls-key": "tls_key", "pq-only": "tls_pq_only",
	} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			flags[key] = f.Value.String()
		}
	}
	file, _ := cmd.Flags().GetString("config")
	if file == "" {
		file = stdio.getenv("ASSAY_CONFIG")
	}
	cfg, err := config.Load(config.Sources{File: file, Environ: stdio.Environ, Flags: flags})
	if err != nil {
		return config.Config{}, usage{err}
	}
	return cfg, nil
}
