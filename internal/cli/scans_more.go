package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// Bounds of a batch file: bytes that are read, and orders that one call takes.
const (
	maxBatchFile = 64 << 20
	batchCall    = 1_000
)

func (s *scansCommand) batch() *cobra.Command {
	var o client.BatchOrder
	var pairs []string
	var once string
	c := &cobra.Command{
		Use: "batch FILE|-", Short: "Submit many scans at once", Args: cobra.ExactArgs(1),
		Long: "Submit many scans at once, from a file or standard input (-). The file holds targets, one a line (# begins a comment), or a JSON\n" +
			"list of orders, or a JSON object as POST /scans/batch takes it. Flags are defaults of every order. More than 1,000 go in several\n" +
			"calls. Exit 1 says that some were refused.",
		Example: "  assay scans batch hosts.txt --type nmap --option ports=1-1024 --tag nightly\n" +
			"  assay scans batch orders.json --atomic --idempotency-key nightly-2026-11-22",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			if err := readBatch(cmd.InOrStdin(), args[0], &o); err != nil {
				return err
			}
			if len(pairs) > 0 {
				if o.Options, err = options(cmd.Context(), api, o.ScanType, pairs); err != nil {
					return err
				}
			}
			return s.submitAll(cmd, api, o, once)
		},
	}
	f := c.Flags()
	f.StringVar(&o.ScanType, "type", "", "engine of orders that name none")
	f.StringVar(&o.Name, "name", "", "a name")
	f.StringVar(&o.Priority, "priority", "", "critical, high, normal or low")
	f.StringSliceVar(&o.Tags, "tag", nil, "tags")
	f.IntVar(&o.Timeout, "timeout", 0, "seconds, 10–86400 (default 3600)")
	f.StringArrayVar(&pairs, "option", nil, "an engine option as NAME=VALUE; needs --type")
	f.StringVar(&o.CallbackURL, "callback-url", "", "told once of each scan's end")
	f.BoolVar(&o.Atomic, "atomic", false, "all or none (at most 1,000)")
	f.StringVar(&once, "idempotency-key", "", "makes a repeated call take effect once")
	return c
}

// readBatch reads orders in any of the three forms.
func readBatch(in io.Reader, name string, o *client.BatchOrder) error {
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the file that the caller names
		if err != nil {
			return usage{err}
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxBatchFile+1))
	if err != nil {
		return usage{err}
	}
	if len(raw) > maxBatchFile {
		return usage{errors.New("the file is longer than 64 MiB")}
	}
	switch text := bytes.TrimSpace(raw); {
	case len(text) == 0:
	case text[0] == '{':
		err = json.Unmarshal(text, o)
	case text[0] == '[':
		err = json.Unmarshal(text, &o.Scans)
	default:
		for line := range strings.Lines(string(raw)) {
			line, _, _ = strings.Cut(line, " #")
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				o.Targets = append(o.Targets, line)
			}
		}
	}
	if err != nil {
		return usage{fmt.Errorf("the file holds no JSON that can be read: %w", err)}
	}
	if len(o.Scans)+len(o.Targets) == 0 {
		return usage{errors.New("the file holds no orders")}
	}
	return nil
}

// submitAll submits in as many calls as are needed, and tells what became of each order.
func (s *scansCommand) submitAll(cmd *cobra.Command, api *client.Client, o client.BatchOrder, once string) error {
	all := client.Batch{Items: []client.BatchItem{}}
	orders, targets := o.Scans, o.Targets
	if o.Atomic && len(orders)+len(targets) > batchCall {
		return usage{errors.New("--atomic takes at most 1,000 orders")}
	}
	for call := 0; len(orders)+len(targets) > 0; call++ {
		n, m := min(len(orders), batchCall), min(len(targets), batchCall)
		part, key := o, once
		part.Scans, part.Targets = orders[:n], targets[:m]
		orders, targets = orders[n:], targets[m:]
		if key != "" && call > 0 {
			key += "-" + strconv.Itoa(call)
		}
		b, err := api.SubmitBatch(cmd.Context(), part, key)
		if err != nil {
			if call > 0 {
				s.said("%d scans were accepted before this", all.Accepted)
			}
			return err
		}
		for _, item := range b.Items {
			item.Index += call * batchCall
			all.Items = append(all.Items, item)
		}
		all.Accepted, all.Refused = all.Accepted+b.Accepted, all.Refused+b.Refused
		if call == 0 {
			all.ID = b.ID
		}
	}
	if err := s.showBatch(all); err != nil {
		return err
	}
	if all.Refused > 0 {
		return exit{exitBad}
	}
	return nil
}

func (s *scansCommand) showBatch(b client.Batch) error {
	if s.json {
		return s.IO.json(b)
	}
	rows := make([][]string, len(b.Items))
	for i, item := range b.Items {
		row := []string{strconv.Itoa(item.Index), "–", "–", ""}
		if item.Scan != nil {
			row[1], row[2], row[3] = item.Scan.ID, item.Scan.Target, item.Scan.Status
		} else if e := item.Error; e != nil {
			row[3] = e.Message + " (" + e.Code + ")"
			for _, w := range e.Errors {
				row[3] += "; " + w.Location + ": " + w.Message
			}
		}
		rows[i] = row
	}
	s.table([]string{"ORDER", "ID", "TARGET", "OUTCOME"}, rows)
	s.said("%d accepted, %d refused", b.Accepted, b.Refused)
	return nil
}

func (s *scansCommand) compare() *cobra.Command {
	var q client.ComparisonQuery
	var format, out string
	c := &cobra.Command{
		Use: "compare BASE OTHER", Short: "What is new, gone and unchanged from one scan to another", Args: cobra.ExactArgs(2),
		Long: "What is new in OTHER against BASE, what is gone, and what is in both. Gone is not fixed: what OTHER didn't look at is gone from it\n" +
			"too, and the words on standard error say where the two differ in what they looked at. Exit 1 says that there is something new.",
		Example: "  assay scans compare BASE OTHER --change new\n  assay scans compare BASE OTHER --format csv --out changes.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			switch format {
			case "":
				return s.compared(cmd, api, args, q)
			case "csv":
			default:
				return usage{errors.New("--format takes csv")}
			}
			return s.toFile(out, func(w fileWriter) error {
				doc, err := api.CompareCSV(cmd.Context(), args[0], args[1], q)
				if err != nil {
					return err
				}
				defer func() { _ = doc.Close() }()
				_, err = io.Copy(w, doc)
				return err
			})
		},
	}
	c.Flags().StringVar(&q.Change, "change", "", "only new, gone or unchanged (default: new and gone)")
	c.Flags().StringVar(&q.Severity, "severity", "", "only critical, high, medium, low or info")
	c.Flags().StringVar(&format, "format", "", "csv (default: a table, or JSON with --json)")
	outFlag(c, &out)
	return c
}

func (s *scansCommand) compared(cmd *cobra.Command, api *client.Client, args []string, q client.ComparisonQuery) error {
	changes := []string{q.Change}
	if q.Change == "" && !s.json {
		changes = []string{"new", "gone"}
	}
	var all client.Comparison
	for _, change := range changes {
		for q.Change, q.Cursor, q.Limit = change, "", 100; ; {
			page, err := api.Compare(cmd.Context(), args[0], args[1], q)
			if err != nil {
				return err
			}
			page.Findings = append(all.Findings, page.Findings...)
			all = page
			if q.Cursor = page.Pagination.NextCursor; q.Cursor == "" {
				break
			}
		}
	}
	if err := s.showComparison(all); err != nil {
		return err
	}
	if all.Summary.New.Total > 0 {
		return exit{exitBad}
	}
	return nil
}

func (s *scansCommand) showComparison(c client.Comparison) error {
	for _, v := range c.Caveats {
		s.said("note: %s", printable(v.Message))
	}
	if s.json {
		return s.IO.json(c)
	}
	rows := make([][]string, len(c.Findings))
	for i, f := range c.Findings {
		rows[i] = []string{f.Change, f.Severity, f.Title, f.Location.Host, f.Status}
	}
	s.prose([]string{"CHANGE", "SEVERITY", "FINDING", "HOST", "NOW"}, rows)
	s.said("%d new, %d gone, %d unchanged", c.Summary.New.Total, c.Summary.Gone.Total, c.Summary.Unchanged.Total)
	return nil
}

func (s *scansCommand) tag() *cobra.Command {
	var remove []string
	var name string
	c := &cobra.Command{
		Use: "tag ID [TAG...]", Short: "Add tags to a scan, take some away, rename it", Args: cobra.MinimumNArgs(1),
		Example: "  assay scans tag ID reviewed --remove open --name 'after the fix'",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(s.server)
			if err != nil {
				return err
			}
			scan, err := api.Scan(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			tags := []string{}
			for _, t := range append(slices.Clone(scan.Tags), args[1:]...) {
				if !slices.Contains(tags, t) && !slices.Contains(remove, t) {
					tags = append(tags, t)
				}
			}
			p := client.ScanPatch{Tags: &tags}
			if cmd.Flags().Changed("name") {
				p.Name = &name
			}
			if scan, err = api.EditScan(cmd.Context(), args[0], p); err != nil {
				return err
			}
			if err := s.show(scan); err != nil {
				return err
			}
			if !s.json {
				s.said("tags: %s", printable(strings.Join(scan.Tags, ", ")))
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&remove, "remove", nil, "tags to take away")
	c.Flags().StringVar(&name, "name", "", "a new name; empty takes it away")
	return c
}
