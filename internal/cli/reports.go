package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/word/fault"
)

// reportsCommand is what the sub-commands of `assay reports` share.
type reportsCommand struct {
	IO

	server string
	json   bool
}

func reports(stdio IO) *cobra.Command {
	r := &reportsCommand{IO: stdio}
	c := &cobra.Command{
		Use: "reports", Short: "Recurring reports: create, list, get, run, runs, download, delete",
		Long: "Recurring reports of findings, of scans, or of what has changed. The server is --server or ASSAY_SERVER, the key is\n" +
			"ASSAY_API_KEY; it needs findings:read, and findings:write to define and run them.",
	}
	for _, sub := range []*cobra.Command{r.create(), r.list(), r.get(), r.run(), r.runs(), r.download(), r.remove()} {
		serverFlags(sub, &r.server)
		sub.Flags().BoolVar(&r.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

func (r *reportsCommand) create() *cobra.Command {
	var d client.ReportDefinition
	var s client.ReportSchedule
	c := &cobra.Command{
		Use: "create NAME", Short: "Define a recurring report", Args: cobra.ExactArgs(1),
		Example: "  assay reports create \"What changed\" --kind changes --cron '0 7 * * mon' --time-zone Europe/Paris\n" +
			"  assay reports create worst --kind findings --severity critical,high --format csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			d.Name = args[0]
			switch {
			case s.Cron != "":
				d.Schedule = &s
			case s.TimeZone != "" || s.Jitter != 0:
				return usage{errors.New("--time-zone and --jitter belong to a schedule; give --cron too")}
			}
			made, err := api.CreateReport(cmd.Context(), d)
			if err != nil {
				return err
			}
			if err := r.show(made); err != nil || r.json {
				return err
			}
			r.said("make it now with: assay reports run %s", made.ID)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&d.Kind, "kind", "findings", "findings (that stand), scans or changes (new and fixed since the last report)")
	f.StringVar(&d.Format, "format", "html", "html, csv, json or sarif")
	f.StringSliceVar(&d.Filters.Severity, "severity", nil, "only these severities")
	f.StringVar(&d.Filters.Engine, "engine", "", "only of this engine")
	f.StringVar(&d.Filters.Tag, "tag", "", "only of scans with this tag")
	f.StringVar(&d.Filters.Host, "host", "", "only of this host")
	f.StringVar(&s.Cron, "cron", "", "when: minute hour day-of-month month day-of-week (default: on demand only)")
	f.StringVar(&s.TimeZone, "time-zone", "", "of the schedule, such as Europe/Paris (default UTC)")
	f.IntVar(&s.Jitter, "jitter", 0, "begin up to so many seconds late")
	return c
}

func (r *reportsCommand) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List recurring reports, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			list, err := api.Reports(cmd.Context())
			if err != nil {
				return err
			}
			if r.json {
				return r.IO.json(list)
			}
			r.reportTable(list...)
			return nil
		},
	}
}

func (r *reportsCommand) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one recurring report", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			one, err := api.Report(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return r.show(one)
		},
	}
}

func (r *reportsCommand) run() *cobra.Command {
	var out string
	var wait bool
	c := &cobra.Command{
		Use: "run ID", Short: "Make a report now, beside its schedule", Args: cobra.ExactArgs(1),
		Example: "  assay reports run ID --out report.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			made, err := api.RunReport(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			into := cmd.Flags().Changed("out")
			if wait || into {
				if made, err = settled(cmd, api, made); err != nil {
					return err
				}
			}
			if into {
				return r.save(cmd, api, made, out)
			}
			return r.showRun(made)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is made")
	outFlag(c, &out)
	return c
}

// lookEvery is the pause between two looks at a run that isn't made yet.
const lookEvery = 300 * time.Millisecond

// settled waits for a run's end; one that failed is an error.
func settled(cmd *cobra.Command, api *client.Client, run client.ReportRun) (client.ReportRun, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !run.Ended() {
		select {
		case <-cmd.Context().Done():
			return run, fault.Of(cmd.Context().Err())
		case <-tick.C:
		}
		var err error
		if run, err = api.ReportRun(cmd.Context(), run.ReportID, run.ID); err != nil {
			return run, err
		}
	}
	if run.Error != nil {
		return run, fault.New(fault.Unavailable, fault.Code(run.Error.Code), run.Error.Message)
	}
	return run, nil
}

func (r *reportsCommand) runs() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "runs ID", Short: "List a report's runs, newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			list, err := api.ReportRuns(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			if r.json {
				return r.IO.json(list)
			}
			r.runTable(list...)
			return nil
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many, at most 100")
	return c
}

func (r *reportsCommand) download() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "download ID [RUN]", Short: "Write a run's document, the newest one where no run is named", Args: cobra.RangeArgs(1, 2),
		Example: "  assay reports download ID --out report.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			run := client.ReportRun{ReportID: args[0]}
			if len(args) == 2 {
				run.ID = args[1]
				return r.save(cmd, api, run, out)
			}
			list, err := api.ReportRuns(cmd.Context(), args[0], 100)
			if err != nil {
				return err
			}
			for _, v := range list {
				if v.Status == "ready" {
					return r.save(cmd, api, v, out)
				}
			}
			return fault.New(fault.NotFound, fault.CodeNotFound, "the report has no document yet; make one with `assay reports run`")
		},
	}
	outFlag(c, &out)
	return c
}

func (r *reportsCommand) save(cmd *cobra.Command, api *client.Client, run client.ReportRun, out string) error {
	return r.toFile(out, func(w fileWriter) error {
		doc, err := api.ReportDocument(cmd.Context(), run.ReportID, run.ID)
		if err != nil {
			return err
		}
		defer func() { _ = doc.Close() }()
		_, err = io.Copy(w, doc)
		return err
	})
}

func (r *reportsCommand) remove() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete a recurring report with its runs and documents", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := r.client(r.server)
			if err != nil {
				return err
			}
			if err := api.DeleteReport(cmd.Context(), args[0]); err != nil {
				return err
			}
			r.said("deleted %s", args[0])
			return nil
		},
	}
}

// show prints one report.
func (r *reportsCommand) show(v client.Report) error {
	if r.json {
		return r.IO.json(v)
	}
	r.reportTable(v)
	if v.Stopped != "" {
		r.said("stopped by the server: %s", printable(v.Stopped))
	}
	return nil
}

func (r *reportsCommand) reportTable(list ...client.Report) {
	rows := make([][]string, 0, len(list))
	for _, v := range list {
		schedule := "on demand"
		if v.Schedule != nil {
			schedule = v.Schedule.Cron
		}
		if !v.Enabled {
			schedule += " (rests)"
		}
		rows = append(rows, []string{v.ID, shorten(v.Name, 40), v.Kind, v.Format, schedule, when(v.NextRunAt)})
	}
	r.table([]string{"ID", "NAME", "KIND", "FORMAT", "SCHEDULE", "NEXT"}, rows)
}

func (r *reportsCommand) showRun(v client.ReportRun) error {
	if r.json {
		return r.IO.json(v)
	}
	r.runTable(v)
	return nil
}

func (r *reportsCommand) runTable(list ...client.ReportRun) {
	rows := make([][]string, 0, len(list))
	for _, v := range list {
		rows = append(rows, []string{v.ID, v.Status, v.Format, held(v), fmt.Sprint(v.Size), when(&v.DueAt), when(v.CompletedAt)})
	}
	r.table([]string{"ID", "STATUS", "FORMAT", "HOLDS", "BYTES", "DUE", "MADE"}, rows)
}

// held says what a run's document holds, or why there is none.
func held(v client.ReportRun) string {
	if v.Error != nil {
		return strings.ToLower(v.Error.Code)
	}
	if v.Counts == nil {
		return "–"
	}
	switch v.Kind {
	case "scans":
		return fmt.Sprintf("%d scans", v.Counts.Scans)
	case "changes":
		return fmt.Sprintf("%d new, %d fixed", v.Counts.New, v.Counts.Fixed)
	}
	return fmt.Sprintf("%d findings", v.Counts.Findings.Total)
}
