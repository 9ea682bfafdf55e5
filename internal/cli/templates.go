package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
)

// templatesCommand is what the sub-commands of `assay templates` share.
type templatesCommand struct {
	IO

	server string
	json   bool
}

func templates(stdio IO) *cobra.Command {
	t := &templatesCommand{IO: stdio}
	c := &cobra.Command{
		Use: "templates", Short: "Scan templates and schedules over the API: create, launch, runs and more",
		Long: "Scan templates over the API of a running server: orders that are given again, by hand or by a schedule.\n" +
			"The server is --server or ASSAY_SERVER, the key is ASSAY_API_KEY.",
	}
	for _, sub := range []*cobra.Command{t.create(), t.list(), t.get(), t.replace(), t.remove(), t.launch(), t.runs()} {
		serverFlags(sub, &t.server)
		sub.Flags().BoolVar(&t.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

// over makes a command's run of what it does with the API.
func (t *templatesCommand) over(do func(cmd *cobra.Command, api *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		api, err := t.client(t.server)
		if err != nil {
			return err
		}
		return do(cmd, api, args)
	}
}

// templateFlags are a template as flags say it, on top of what a file says.
type templateFlags struct {
	file, name, engine string
	pairs              []string
	order              client.TemplateOrder
	schedule           client.ScheduleOrder
	paused             bool
}

func (f *templateFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.file, "file", "", "a file with the template as JSON or YAML, in the fields of the API; - reads standard input. Flags go before it")
	s.StringVar(&f.name, "name", "", "the template's name, unique in the organization")
	s.StringVar(&f.order.Description, "description", "", "what it is for")
	s.StringVar(&f.order.ScanType, "type", "", "the engine, such as sentinel or nmap")
	s.StringVar(&f.order.TargetType, "target-type", "", "host, url, domain, ip or network (default: read off each target)")
	s.StringVar(&f.order.Priority, "priority", "", "critical, high, normal or low")
	s.StringSliceVar(&f.order.Tags, "tag", nil, "a tag; may be given several times")
	s.IntVar(&f.order.Timeout, "timeout", 0, "longest duration of a scan in seconds, 10–86400")
	s.StringArrayVar(&f.pairs, "option", nil, "an engine option as NAME=VALUE; commas part the values of a list")
	s.StringVar(&f.engine, "engine-config", "", "a file with the scans' config as a JSON object (headers, authentication, ...); - reads standard input")
	s.StringArrayVar(&f.order.Targets, "target", nil, "a target of the schedule; may be given several times")
	s.StringVar(&f.schedule.Cron, "cron", "", "when it starts by itself: minute hour day-of-month month day-of-week")
	s.StringVar(&f.schedule.TimeZone, "time-zone", "", "the schedule's time zone, such as Europe/Paris (default UTC)")
	s.StringVar(&f.schedule.Overlap, "overlap", "", "while an earlier run goes on: skip, allow or replace (default skip)")
	s.IntVar(&f.schedule.JitterSeconds, "jitter", 0, "start up to so many seconds late, at most 3600")
	s.BoolVar(&f.paused, "paused", false, "keep the schedule without starting it")
}

// read makes the order of the file and the flags.
func (f *templateFlags) read(cmd *cobra.Command, api *client.Client) (client.TemplateOrder, error) {
	o, err := templateFile(cmd.InOrStdin(), f.file)
	if err != nil {
		return o, err
	}
	set(&o.Name, f.name)
	set(&o.Description, f.order.Description)
	set(&o.ScanType, f.order.ScanType)
	set(&o.TargetType, f.order.TargetType)
	set(&o.Priority, f.order.Priority)
	set(&o.Timeout, f.order.Timeout)
	if f.order.Tags != nil {
		o.Tags = f.order.Tags
	}
	if f.order.Targets != nil {
		o.Targets = f.order.Targets
	}
	given, err := options(cmd.Context(), api, o.ScanType, f.pairs)
	if err != nil {
		return o, err
	}
	for name, value := range given {
		if o.Options == nil {
			o.Options = map[string]json.RawMessage{}
		}
		o.Options[name] = value
	}
	conf, err := engineConfig(cmd.InOrStdin(), f.engine)
	if err != nil {
		return o, err
	}
	if conf != nil {
		o.Config = conf
	}
	return o, f.time(&o)
}

// time lays the flags of the schedule over that of the file.
func (f *templateFlags) time(o *client.TemplateOrder) error {
	if f.schedule == (client.ScheduleOrder{}) && !f.paused {
		return nil
	}
	if o.Schedule == nil {
		if f.schedule.Cron == "" {
			return usage{errors.New("--cron says when the schedule starts; the other flags of a schedule need it")}
		}
		o.Schedule = &client.ScheduleOrder{}
	}
	set(&o.Schedule.Cron, f.schedule.Cron)
	set(&o.Schedule.TimeZone, f.schedule.TimeZone)
	set(&o.Schedule.Overlap, f.schedule.Overlap)
	set(&o.Schedule.JitterSeconds, f.schedule.JitterSeconds)
	if f.paused {
		o.Schedule.Enabled = new(false)
	}
	return nil
}

func set[T comparable](to *T, from T) {
	var zero T
	if from != zero {
		*to = from
	}
}

// maxTemplateFile bounds what is read of a template's file, in bytes; the server takes less.
const maxTemplateFile = 1 << 20

// templateFile reads a template from a file of JSON or YAML, "-" being in. No name is an empty template.
func templateFile(in io.Reader, name string) (o client.TemplateOrder, err error) {
	if name == "" {
		return o, nil
	}
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the file that the caller names
		if err != nil {
			return o, usage{fmt.Errorf("--file: %w", err)}
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxTemplateFile+1))
	if err != nil {
		return o, usage{fmt.Errorf("--file: %w", err)}
	}
	if len(raw) > maxTemplateFile {
		return o, usage{errors.New("--file: the file is too large")}
	}
	if raw, err = config.Document(raw); err != nil {
		return o, usage{fmt.Errorf("--file: %w", err)}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return o, usage{fmt.Errorf("--file: %w", err)}
	}
	return o, nil
}

func (t *templatesCommand) create() *cobra.Command {
	var f templateFlags
	var once string
	c := &cobra.Command{
		Use: "create", Short: "Create a template, with a schedule or without", Args: cobra.NoArgs,
		Example: "  assay templates create --name web --type nmap --option ports=80,443\n" +
			"  assay templates create --name nightly --type sentinel --target example.org --cron '30 2 * * *' --time-zone Europe/Paris\n" +
			"  assay templates create --file template.yaml",
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, _ []string) error {
			o, err := f.read(cmd, api)
			if err != nil {
				return err
			}
			return t.shown(api.CreateTemplate(cmd.Context(), o, once))
		}),
	}
	f.add(c)
	c.Flags().StringVar(&once, "idempotency-key", "", "makes a repeated call take effect once")
	return c
}

func (t *templatesCommand) replace() *cobra.Command {
	var f templateFlags
	c := &cobra.Command{
		Use: "replace ID", Short: "Replace a template: what is left out is gone", Args: cobra.ExactArgs(1),
		Example: "  assay templates replace ID --file template.yaml --paused",
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			o, err := f.read(cmd, api)
			if err != nil {
				return err
			}
			return t.shown(api.ReplaceTemplate(cmd.Context(), args[0], o))
		}),
	}
	f.add(c)
	return c
}

func (t *templatesCommand) list() *cobra.Command {
	var q client.TemplateQuery
	c := &cobra.Command{
		Use: "list", Short: "List templates, newest first", Args: cobra.NoArgs,
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, _ []string) error {
			page, err := api.Templates(cmd.Context(), q)
			if err != nil {
				return err
			}
			if t.json {
				return t.IO.json(page)
			}
			t.rows(page.Templates...)
			if page.Pagination.NextCursor != "" {
				t.said("more: --cursor %s", page.Pagination.NextCursor)
			}
			return nil
		}),
	}
	f := c.Flags()
	f.StringVar(&q.ScanType, "type", "", "only this engine")
	f.StringVar(&q.Tag, "tag", "", "only with this tag")
	f.StringVar(&q.Q, "search", "", "words in name or description")
	f.IntVar(&q.Limit, "limit", 20, "how many, at most 100")
	f.StringVar(&q.Cursor, "cursor", "", "go on after an earlier page")
	return c
}

func (t *templatesCommand) rows(list ...client.Template) {
	rows := [][]string{}
	for _, v := range list {
		cron, state := "–", "by hand"
		next := "–"
		if s := v.Schedule; s != nil {
			cron, state, next = s.Cron+" "+s.TimeZone, "paused", when(s.NextRunAt)
			switch {
			case s.Enabled:
				state = "on"
			case s.Stopped != nil:
				state = "stopped: " + s.Stopped.Message
			}
		}
		rows = append(rows, []string{v.ID, v.Name, v.ScanType, strings.Join(v.Targets, " "), cron, next, state})
	}
	t.table([]string{"ID", "NAME", "TYPE", "TARGETS", "SCHEDULE", "NEXT RUN", "STATE"}, rows)
}

func (t *templatesCommand) shown(v client.Template, err error) error {
	if err != nil {
		return err
	}
	if t.json {
		return t.IO.json(v)
	}
	t.rows(v)
	return nil
}

func (t *templatesCommand) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one template", Args: cobra.ExactArgs(1),
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			return t.shown(api.Template(cmd.Context(), args[0]))
		}),
	}
}

func (t *templatesCommand) remove() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete a template and its schedule; its scans stay", Args: cobra.ExactArgs(1),
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			v, err := api.DeleteTemplate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if t.json {
				return t.IO.json(v)
			}
			t.said("deleted %s", v.ID)
			return nil
		}),
	}
}

func (t *templatesCommand) launch() *cobra.Command {
	var o client.LaunchOrder
	var pairs []string
	var once, conf string
	var wait bool
	c := &cobra.Command{
		Use: "launch ID TARGET", Short: "Launch a scan from a template", Args: cobra.ExactArgs(2),
		Example: "  assay templates launch ID 127.0.0.1 --option ports=22 --watch",
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			o.Target = args[1]
			var err error
			if len(pairs) > 0 {
				from, err := api.Template(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if o.Options, err = options(cmd.Context(), api, from.ScanType, pairs); err != nil {
					return err
				}
			}
			if o.Config, err = engineConfig(cmd.InOrStdin(), conf); err != nil {
				return err
			}
			made, err := api.LaunchTemplate(cmd.Context(), args[0], o, once)
			if err != nil {
				return err
			}
			s := &scansCommand{IO: t.IO, server: t.server, json: t.json}
			if wait {
				return s.follow(cmd, api, made.ID)
			}
			if err := s.show(made); err != nil || t.json {
				return err
			}
			t.said("follow it with: assay scans watch %s", made.ID)
			return nil
		}),
	}
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "a name for people (default: the template's)")
	f.StringVar(&o.TargetType, "target-type", "", "host, url, domain, ip or network")
	f.StringVar(&o.Priority, "priority", "", "critical, high, normal or low")
	f.StringSliceVar(&o.Tags, "tag", nil, "tags in place of the template's; may be given several times")
	f.IntVar(&o.Timeout, "timeout", 0, "longest duration in seconds, 10–86400")
	f.StringArrayVar(&pairs, "option", nil, "an engine option as NAME=VALUE, beside or in place of the template's")
	f.StringVar(&conf, "engine-config", "", "a file with config as a JSON object, beside or in place of the template's; - reads standard input")
	f.StringVar(&o.AssetID, "asset", "", "the id of the asset that the scan is about")
	f.StringVar(&once, "idempotency-key", "", "makes a repeated call take effect once")
	f.BoolVar(&wait, "watch", false, "follow it to its end and print the findings")
	return c
}

func (t *templatesCommand) runs() *cobra.Command {
	var limit int
	var cursor string
	c := &cobra.Command{
		Use: "runs ID", Short: "List what a template's schedule has started, newest first", Args: cobra.ExactArgs(1),
		RunE: t.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			page, err := api.TemplateRuns(cmd.Context(), args[0], limit, cursor)
			if err != nil {
				return err
			}
			if t.json {
				return t.IO.json(page)
			}
			rows := [][]string{}
			for _, r := range page.Runs {
				var scans, why []string
				for _, item := range r.Items {
					if item.Error != nil {
						why = append(why, item.Target+": "+item.Error.Message)
						continue
					}
					scans = append(scans, item.ScanID)
				}
				rows = append(rows, []string{
					when(&r.DueAt), when(&r.StartedAt), r.State, strconv.Itoa(r.Accepted), strings.Join(scans, " "), strings.Join(why, "; "),
				})
			}
			t.table([]string{"DUE", "STARTED", "STATE", "SCANS", "IDS", "REFUSED"}, rows)
			if page.Pagination.NextCursor != "" {
				t.said("more: --cursor %s", page.Pagination.NextCursor)
			}
			return nil
		}),
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many, at most 100")
	c.Flags().StringVar(&cursor, "cursor", "", "go on after an earlier page")
	return c
}
