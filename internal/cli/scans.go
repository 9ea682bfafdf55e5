package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// serverFlags say which server to ask; the key comes from the environment only, since arguments are seen by everybody.
func serverFlags(c *cobra.Command, server *string) {
	c.Flags().StringVar(server, "server", "", "address of the server; also ASSAY_SERVER (default http://127.0.0.1:8080)")
}

// client returns a client that signs with ASSAY_API_KEY.
func (stdio IO) client(server string) (*client.Client, error) {
	if server == "" {
		server = stdio.getenv("ASSAY_SERVER")
	}
	if server == "" {
		server = "http://127.0.0.1:8080"
	}
	key := stdio.getenv("ASSAY_API_KEY")
	if key == "" {
		return nil, usage{errors.New("set ASSAY_API_KEY to an API key; `assay key create` makes one")}
	}
	transport, err := stdio.transport()
	if err != nil {
		return nil, err
	}
	return client.New(server, secret.New(key), transport)
}

// scansCommand is what the sub-commands of `assay scans` share.
type scansCommand struct {
	IO

	server string
	json   bool
}

func scans(stdio IO) *cobra.Command {
	s := &scansCommand{IO: stdio}
	c := &cobra.Command{
		Use: "scans", Short: "Scans over the API: submit, batch, list, tag, watch, results, compare, cancel",
		Long: "Scans over the API of a running server. The server is --server or ASSAY_SERVER, the key is ASSAY_API_KEY.",
	}
	for _, sub := range []*cobra.Command{s.submit(), s.batch(), s.list(), s.get(), s.tag(), s.watch(), s.results(), s.compare(), s.cancel()} {
		serverFlags(sub, &s.server)
		sub.Flags().BoolVar(&s.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

func (s *scansCommand) submit() *cobra.Command {
	var o client.Order
	var pairs []string
	var once, config string
	var wait bool
	c := &cobra.Command{
		Use: "submit TARGET", Short: "Submit a scan", Args: cobra.ExactArgs(1),
		Example: "  assay scans submit 127.0.0.1 --type nmap --option ports=22,80,443 --watch\n" +
			"  assay scans submit https://staging.example.org --type sentinel --option depth=quick",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			o.Target = args[0]
			if o.Options, err = options(cmd.Context(), api, o.ScanType, pairs); err != nil {
				return err
			}
			if o.Config, err = engineConfig(cmd.InOrStdin(), config); err != nil {
				return err
			}
			scan, err := api.Submit(cmd.Context(), o, once)
			if err != nil {
				return err
			}
			if wait {
				return s.follow(cmd, api, scan.ID)
			}
			if err := s.show(scan); err != nil || s.json {
				return err
			}
			s.said("follow it with: assay scans watch %s", scan.ID)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.ScanType, "type", "sentinel", "the engine, such as sentinel or nmap; GET /scan-api/api/v1/engines lists them")
	f.StringVar(&o.TargetType, "target-type", "", "host, url, domain, ip or network (default: read off the target)")
	f.StringVar(&o.Name, "name", "", "a name for people")
	f.StringVar(&o.Priority, "priority", "", "critical, high, normal or low")
	f.StringSliceVar(&o.Tags, "tag", nil, "a tag; may be given several times")
	f.IntVar(&o.Timeout, "timeout", 0, "longest duration in seconds, 10–86400")
	f.StringArrayVar(&pairs, "option", nil, "an engine option as NAME=VALUE; commas part the values of a list")
	f.StringVar(&config, "engine-config", "", "a file with the scan's config as a JSON object (headers, authentication, ...); - reads standard input")
	f.StringVar(&o.AssetID, "asset", "", "the id of the asset that the scan is about")
	f.StringVar(&o.CallbackURL, "callback-url", "", "told once of the scan's end, signed with the organization's callback secret")
	f.StringVar(&once, "idempotency-key", "", "makes a repeated call take effect once")
	f.BoolVar(&wait, "watch", false, "follow it to its end and print the findings")
	return c
}

func (s *scansCommand) list() *cobra.Command {
	var q client.ListQuery
	c := &cobra.Command{
		Use: "list", Short: "List scans, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			page, err := api.Scans(cmd.Context(), q)
			if err != nil {
				return err
			}
			if s.json {
				return s.IO.json(page)
			}
			s.scanTable(page.Scans...)
			if page.Pagination.NextCursor != "" {
				s.said("more: --cursor %s", page.Pagination.NextCursor)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&q.ScanType, "type", "", "only this engine")
	f.StringVar(&q.Status, "status", "", "only this status")
	f.StringVar(&q.Tag, "tag", "", "only with this tag")
	f.StringVar(&q.Target, "target", "", "only this target")
	f.StringVar(&q.Q, "search", "", "words in name or target")
	f.StringVar(&q.Parent, "parent", "", "only the scans that carry out this one")
	f.IntVar(&q.Limit, "limit", 20, "how many, at most 100")
	f.StringVar(&q.Cursor, "cursor", "", "go on after an earlier page")
	return c
}

func (s *scansCommand) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Aliases: []string{"show"}, Short: "Show one scan, the scans that carry it out, and what was looked at", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			scan, err := api.Scan(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.show(scan)
		},
	}
}

func (s *scansCommand) cancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Cancel a queued or running scan", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			scan, err := api.Cancel(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.show(scan)
		},
	}
}

func (s *scansCommand) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Follow a scan to its end, then print its findings", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			return s.follow(cmd, api, args[0])
		},
	}
}

func (s *scansCommand) results() *cobra.Command {
	var format, out string
	c := &cobra.Command{
		Use: "results ID", Short: "Print a scan's findings, or write them as html, csv, sarif, cyclonedx or raw", Args: cobra.ExactArgs(1),
		Example: "  assay scans results ID --format html --out report.html\n  assay scans results ID --format sarif --out results.sarif",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			if format == "" {
				return s.findings(cmd, api, args[0])
			}
			return s.toFile(out, func(w fileWriter) error {
				doc, err := api.Document(cmd.Context(), args[0], format)
				if err != nil {
					return err
				}
				defer func() { _ = doc.Close() }()
				_, err = io.Copy(w, doc)
				return err
			})
		},
	}
	c.Flags().StringVar(&format, "format", "", "html, csv, sarif, cyclonedx or raw (default: a table, or JSON with --json)")
	outFlag(c, &out)
	return c
}

// show prints one scan.
func (s *scansCommand) show(scan client.Scan) error {
	if s.json {
		return s.IO.json(scan)
	}
	s.scanTable(scan)
	for _, r := range scan.OutcomeReasons {
		s.said("%s", printable(r))
	}
	if scan.Error != nil {
		s.said("%s (%s)", printable(scan.Error.Message), scan.Error.Code)
	}
	s.childTable(scan.Children)
	s.covered(scan.Coverage)
	return nil
}

func (s *scansCommand) scanTable(list ...client.Scan) {
	rows := make([][]string, 0, len(list))
	for _, v := range list {
		found := "–"
		if v.Summary != nil {
			found = fmt.Sprint(v.Summary.Total)
		}
		outcome := v.Outcome
		if outcome == "" {
			outcome = "–"
		}
		rows = append(rows, []string{v.ID, v.ScanType, shorten(v.Target, 50), course(v), outcome, found, when(&v.CreatedAt)})
	}
	s.table([]string{"ID", "ENGINE", "TARGET", "STATUS", "OUTCOME", "FOUND", "CREATED"}, rows)
}

// course is how far a scan is.
func course(v client.Scan) string {
	if v.Status == "queued" {
		return v.Status
	}
	return fmt.Sprintf("%s %d %%", v.Status, v.Progress)
}

// failed turns a scan that ended badly into the exit code of a bad result.
func failed(scan client.Scan) error {
	if scan.Status == "failed" {
		text := "the scan failed"
		if scan.Error != nil {
			text = scan.Error.Message
		}
		return fault.New(fault.Unavailable, fault.CodeScanFailed, text)
	}
	return nil
}
