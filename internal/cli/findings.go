package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// findingsCommand is what the sub-commands of `assay findings` share.
type findingsCommand struct {
	IO

	server string
	json   bool
}

func findings(stdio IO) *cobra.Command {
	f := &findingsCommand{IO: stdio}
	c := &cobra.Command{
		Use: "findings", Short: "Findings over all scans, and decisions on them: list, get, history, triage",
		Long: "Findings of all scans as they stand now, and decisions on them. The server is --server or ASSAY_SERVER, the key is\n" +
			"ASSAY_API_KEY; it needs findings:read, and findings:write to decide.",
	}
	for _, sub := range []*cobra.Command{f.list(), f.get(), f.history(), f.triage()} {
		serverFlags(sub, &f.server)
		sub.Flags().BoolVar(&f.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

// filterFlags are the ones that narrow findings.
func filterFlags(c *cobra.Command, q *client.FindingQuery) {
	f := c.Flags()
	f.StringVar(&q.Severity, "severity", "", "only these severities, such as critical,high")
	f.StringVar(&q.Status, "status", "", "only in these statuses: open, confirmed, false_positive, accepted, fixed")
	f.StringVar(&q.Category, "category", "", "only of this category")
	f.StringVar(&q.Engine, "engine", "", "only of this engine")
	f.StringVar(&q.Host, "host", "", "only of this host")
	f.StringVar(&q.CVE, "cve", "", "only with this CVE id")
	f.StringVar(&q.Rule, "rule", "", "only of this rule, the engine's own id of the check")
	f.StringVar(&q.Q, "search", "", "words of title, rule or package")
	f.BoolVar(&q.Unseen, "unseen", false, "only those with a decision that complete scans no longer see")
}

func (f *findingsCommand) list() *cobra.Command {
	var q client.FindingQuery
	c := &cobra.Command{
		Use: "list", Short: "List findings, worst first", Args: cobra.NoArgs,
		Example: "  assay findings list --severity critical,high --status open\n  assay findings list --search log4j --sort newest",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := f.client(f.server)
			if err != nil {
				return err
			}
			page, err := api.Findings(cmd.Context(), q)
			if err != nil {
				return err
			}
			if f.json {
				return f.IO.json(page)
			}
			f.findingTable(page.Data...)
			if page.Meta.NextCursor != "" {
				f.said("more: --cursor %s", page.Meta.NextCursor)
			}
			return nil
		},
	}
	filterFlags(c, &q)
	c.Flags().StringVar(&q.Case, "case", "", "only of this case")
	c.Flags().StringVar(&q.Asset, "asset", "", "only on the host of this asset")
	c.Flags().StringVar(&q.Sort, "sort", "", "severity (default), newest or risk")
	c.Flags().IntVar(&q.Limit, "limit", 20, "how many, at most 100")
	c.Flags().StringVar(&q.Cursor, "cursor", "", "go on after an earlier page")
	return c
}

func (f *findingsCommand) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one finding", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := f.client(f.server)
			if err != nil {
				return err
			}
			found, err := api.Finding(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return f.show(found)
		},
	}
}

func (f *findingsCommand) history() *cobra.Command {
	var cursor string
	var limit int
	c := &cobra.Command{
		Use: "history ID", Short: "Show what happened to a finding, newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := f.client(f.server)
			if err != nil {
				return err
			}
			page, err := api.FindingHistory(cmd.Context(), args[0], cursor, limit)
			if err != nil {
				return err
			}
			if f.json {
				return f.IO.json(page)
			}
			rows := make([][]string, 0, len(page.Data))
			for _, e := range page.Data {
				rows = append(rows, []string{when(&e.At), e.Kind, e.To, whoseDoing(e), whyDone(e)})
			}
			f.prose([]string{"TIME", "WHAT", "STATUS", "BY", "WHY"}, rows)
			if page.Meta.NextCursor != "" {
				f.said("more: --cursor %s", page.Meta.NextCursor)
			}
			return nil
		},
	}
	c.Flags().StringVar(&cursor, "cursor", "", "go on after an earlier page")
	c.Flags().IntVar(&limit, "limit", 20, "how many, at most 100")
	return c
}

func whoseDoing(e client.FindingEvent) string {
	switch {
	case e.By != nil:
		return e.By.Kind + " " + e.By.ID
	case e.ScanID != "":
		return "scan " + e.ScanID
	}
	return "–"
}

func whyDone(e client.FindingEvent) string {
	if e.Decision == nil {
		return ""
	}
	return reason(*e.Decision)
}

// reason is why a decision was made, in a line.
func reason(d client.Decision) string {
	var parts []string
	for _, p := range []string{d.Reason, d.Justification} {
		if p != "" {
			parts = append(parts, strings.ReplaceAll(p, "\n", " "))
		}
	}
	if d.Until != nil {
		parts = append(parts, "until "+when(d.Until))
	}
	return strings.Join(parts, "; ")
}

func (f *findingsCommand) triage() *cobra.Command {
	var d client.Decision
	var q client.FindingQuery
	var ids []string
	var until string
	var yes bool
	c := &cobra.Command{
		Use: "triage STATUS", Short: "Decide on findings: confirmed, false_positive, accepted, fixed, or open again", Args: cobra.ExactArgs(1),
		Long: "Decides on findings by --id, or on all that the filters match: without --yes it says how many those are and does nothing.\n" +
			"Decisions survive every scan, but fixed ends when a later scan sees the finding again, and accepted at its --until.",
		Example: "  assay findings triage accepted --id ID --reason 'behind the VPN' --until 90d\n" +
			"  assay findings triage false_positive --rule nmap:ftp-anon --host 10.0.0.7 --reason 'a honeypot' --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			d.Status = args[0]
			if d.Until, err = deadline(until, time.Now()); err != nil {
				return err
			}
			filtered := q != client.FindingQuery{}
			if filtered == (len(ids) > 0) {
				return usage{errors.New("give --id (several times for several), or filters such as --rule and --host")}
			}
			api, err := f.client(f.server)
			if err != nil {
				return err
			}
			if filtered {
				return f.triageMatching(cmd.Context(), api, d, q, yes)
			}
			res, err := api.TriageMany(cmd.Context(), client.BulkDecision{Decision: d, IDs: ids})
			if err != nil {
				return err
			}
			return f.decided(res)
		},
	}
	fl := c.Flags()
	fl.StringVar(&d.Reason, "reason", "", "why; required for accepted, and for false_positive without a justification")
	fl.StringVar(&until, "until", "", "when an acceptance ends: a date, a time, or days from now such as 90d")
	fl.StringVar(&d.Justification, "justification", "", "of false_positive, in the words of VEX")
	fl.StringVar(&d.Note, "note", "", "for colleagues")
	fl.StringArrayVar(&ids, "id", nil, "a finding's id; may be given several times")
	fl.BoolVar(&yes, "yes", false, "decide on all that the filters match")
	filterFlags(c, &q)
	return c
}

// maxMatched is how many findings one decision by filter may match.
const maxMatched = 10_000

func (f *findingsCommand) triageMatching(ctx context.Context, api *client.Client, d client.Decision, q client.FindingQuery, yes bool) error {
	n, err := countFindings(ctx, api, q)
	if err != nil {
		return err
	}
	if n == 0 {
		f.said("no finding matches")
		return nil
	}
	if n > maxMatched {
		return usage{fmt.Errorf("more than %d findings match; narrow the filters", maxMatched)}
	}
	if !yes {
		f.said("%d findings match; add --yes to decide on them", n)
		return nil
	}
	res, err := api.TriageMany(ctx, client.BulkDecision{Decision: d, Expected: n, Filter: &client.FindingFilter{
		Severity: parts(q.Severity), Status: parts(q.Status), Category: q.Category, Engine: q.Engine, Host: q.Host, CVE: q.CVE,
		Rule: q.Rule, Q: q.Q, Unseen: q.Unseen,
	}})
	if err != nil {
		return err
	}
	return f.decided(res)
}

// countFindings is how many match, at most one page more than maxMatched. Where the server doesn't count, they are.
func countFindings(ctx context.Context, api *client.Client, q client.FindingQuery) (int, error) {
	q.Limit = 100
	n := 0
	for {
		page, err := api.Findings(ctx, q)
		if err != nil {
			return 0, err
		}
		if page.Meta.Total != nil && !page.Meta.TotalIsCapped && n == 0 {
			return *page.Meta.Total, nil
		}
		n += len(page.Data)
		if page.Meta.NextCursor == "" || n > maxMatched {
			return n, nil
		}
		q.Cursor = page.Meta.NextCursor
	}
}

// risk is a finding's risk with what it is made of, in a line.
func risk(v client.Tracked) string {
	if v.RiskScore == nil {
		return ""
	}
	said := []string{strconv.Itoa(*v.RiskScore) + " of 100"}
	for _, r := range v.RiskReasons {
		said = append(said, fmt.Sprintf("%+d %s", r.Points, r.Text))
	}
	return strings.Join(said, "; ")
}

func parts(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// deadline reads when an acceptance ends: a date (its end in UTC), an RFC 3339 time, or a number of days. Empty is none.
func deadline(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.Atoi(n); err == nil && days > 0 {
			t := now.UTC().AddDate(0, 0, days).Truncate(time.Second)
			return &t, nil
		}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		t = t.AddDate(0, 0, 1)
		return &t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return &t, nil
	}
	return nil, usage{errors.New("--until takes a date (2027-01-31), a time (2027-01-31T12:00:00Z) or days from now (90d)")}
}

// decided prints what became of each finding; one that couldn't be decided on makes a bad result.
func (f *findingsCommand) decided(res client.TriageResult) error {
	if f.json {
		if err := f.IO.json(res); err != nil {
			return err
		}
	} else {
		rows := make([][]string, 0, len(res.Outcomes))
		for _, o := range res.Outcomes {
			rows = append(rows, []string{o.ID, o.Result, o.Status})
		}
		f.table([]string{"ID", "RESULT", "STATUS"}, rows)
	}
	if left := res.NotFound + res.Conflicts; left > 0 {
		f.said("%d of %d findings weren't decided on", left, len(res.Outcomes))
		return exit{exitBad}
	}
	return nil
}

// show prints one finding.
func (f *findingsCommand) show(v client.Tracked) error {
	if f.json {
		return f.IO.json(v)
	}
	f.findingTable(v)
	rows := [][]string{
		{"Rule", v.Rule},
		{"Where", place(v.Location)},
		{"CVE", strings.Join(v.CVE, ", ")},
		{"Seen", when(&v.FirstSeenAt) + " to " + when(&v.LastSeenAt)},
		{"Not seen since", when(v.NotSeenSince)},
		{"What", v.Description},
		{"Evidence", v.Evidence},
		{"What to do", v.Remediation},
		{"Case", v.CaseID},
		{"Risk", risk(v)},
	}
	if d := v.Decision; d != nil {
		rows = append(rows, []string{"Decision", d.Status + " by " + d.By.Kind + " " + d.By.ID + ", " + when(&d.At)}, []string{"Reason", reason(d.Decision)}, []string{"Note", d.Note})
	}
	kept := rows[:0]
	for _, r := range rows {
		if r[1] != "" && r[1] != "–" {
			kept = append(kept, []string{r[0], strings.Join(strings.Fields(r[1]), " ")})
		}
	}
	f.prose([]string{"", ""}, kept)
	return nil
}

func (f *findingsCommand) findingTable(list ...client.Tracked) {
	rows := make([][]string, 0, len(list))
	for _, v := range list {
		rows = append(rows, []string{v.ID, v.Severity, v.Status, place(v.Location), shorten(v.Title, 60), when(&v.LastSeenAt)})
	}
	f.table([]string{"ID", "SEVERITY", "STATUS", "WHERE", "TITLE", "LAST SEEN"}, rows)
}
