package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// casesCommand is what the sub-commands of `assay cases` share.
type casesCommand struct {
	IO

	server string
	json   bool
}

func cases(stdio IO) *cobra.Command {
	k := &casesCommand{IO: stdio}
	c := &cobra.Command{
		Use: "cases", Short: "Findings of several engines that are one issue: list, show, split, join",
		Long: "A case is one real issue with the findings of all engines that saw it, and says why each belongs. The server is --server\n" +
			"or ASSAY_SERVER, the key is ASSAY_API_KEY; it needs findings:read, and findings:write to split and join.",
	}
	for _, sub := range []*cobra.Command{k.list(), k.show(), k.split(), k.join()} {
		serverFlags(sub, &k.server)
		sub.Flags().BoolVar(&k.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

func (k *casesCommand) list() *cobra.Command {
	var q client.CaseQuery
	c := &cobra.Command{
		Use: "list", Short: "List cases, the most dangerous first", Args: cobra.NoArgs,
		Example: "  assay cases list --status open --min-risk 60\n  assay cases list --host shop.example --sort lastSeen",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := k.client(k.server)
			if err != nil {
				return err
			}
			page, err := api.Cases(cmd.Context(), q)
			if err != nil {
				return err
			}
			if k.json {
				return k.IO.json(page)
			}
			k.caseTable(page.Data...)
			if page.Meta.NextCursor != "" {
				k.said("more: --cursor %s", page.Meta.NextCursor)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&q.Severity, "severity", "", "only these severities, such as critical,high")
	f.StringVar(&q.Status, "status", "", "only in these statuses: open, confirmed, accepted, false_positive, fixed")
	f.StringVar(&q.Engine, "engine", "", "only those that this engine saw")
	f.StringVar(&q.Host, "host", "", "only on this host, by any name or address that is known of it")
	f.StringVar(&q.CVE, "cve", "", "only with this CVE id")
	f.IntVar(&q.MinRisk, "min-risk", 0, "only of at least this risk, 0 to 100")
	f.StringVar(&q.Q, "search", "", "words of title or asset")
	f.StringVar(&q.Sort, "sort", "", "risk (default), severity or lastSeen")
	f.IntVar(&q.Limit, "limit", 20, "how many, at most 100")
	f.StringVar(&q.Cursor, "cursor", "", "go on after an earlier page")
	return c
}

func (k *casesCommand) show() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a case: its findings and why they belong, its risk and what it is made of", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := k.client(k.server)
			if err != nil {
				return err
			}
			d, err := api.Case(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return k.print(d)
		},
	}
}

func (k *casesCommand) split() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "split CASE FINDING", Short: "Take a finding out of a case, for good", Args: cobra.ExactArgs(2),
		Long: "The finding gets a case of its own, whatever later scans see. `assay cases join` takes this back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := k.client(k.server)
			if err != nil {
				return err
			}
			d, err := api.SplitCase(cmd.Context(), args[0], args[1], why)
			if err != nil {
				return err
			}
			return k.print(d)
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for colleagues")
	return c
}

func (k *casesCommand) join() *cobra.Command {
	var why, other string
	var ids []string
	c := &cobra.Command{
		Use: "join CASE", Short: "Put another case or single findings into a case, for good", Args: cobra.ExactArgs(1),
		Long:    "It holds, whatever later scans see. `assay cases split` takes it back.",
		Example: "  assay cases join CASE --case OTHER --reason 'one statement behind both'\n  assay cases join CASE --finding ID --finding ID",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (other == "") == (len(ids) == 0) {
				return usage{errors.New("give --case, or --finding (several times for several)")}
			}
			api, err := k.client(k.server)
			if err != nil {
				return err
			}
			d, err := api.JoinCase(cmd.Context(), args[0], other, ids, why)
			if err != nil {
				return err
			}
			return k.print(d)
		},
	}
	c.Flags().StringVar(&other, "case", "", "another case, all of it")
	c.Flags().StringArrayVar(&ids, "finding", nil, "a finding's id; may be given several times")
	c.Flags().StringVar(&why, "reason", "", "why, for colleagues")
	return c
}

func (k *casesCommand) caseTable(list ...client.Case) {
	rows := make([][]string, 0, len(list))
	for _, c := range list {
		rows = append(rows, []string{
			c.ID, strconv.Itoa(c.RiskScore), c.Severity, c.Confidence, c.Status, c.Asset, strings.Join(c.Engines, ","), strconv.Itoa(c.Findings), c.Title,
		})
	}
	k.table([]string{"ID", "RISK", "SEVERITY", "CONFIDENCE", "STATUS", "ASSET", "ENGINES", "FINDINGS", "TITLE"}, rows)
}

// print shows a case with all that is known of it.
func (k *casesCommand) print(d client.CaseDetail) error {
	if k.json {
		return k.IO.json(d)
	}
	k.caseTable(d.Case)
	if d.MergedInto != "" {
		k.said("its findings went into the case %s", d.MergedInto)
		return nil
	}
	rows := make([][]string, 0, len(d.Members))
	for _, m := range d.Members {
		rows = append(rows, []string{m.FindingID, m.Engine, m.Rule, m.Status, m.Confidence, m.Why.Text})
	}
	k.prose([]string{"FINDING", "ENGINE", "RULE", "STATUS", "CONFIDENCE", "WHY IT BELONGS"}, rows)
	rows = rows[:0]
	for _, r := range d.RiskReasons {
		rows = append(rows, []string{strconv.Itoa(r.Points), r.Code, r.Text})
	}
	k.prose([]string{"POINTS", "RISK", "WHY"}, rows)
	if len(d.Looked) > 0 {
		rows = rows[:0]
		for _, l := range d.Looked {
			rows = append(rows, []string{l.Engine, l.Target, when(&l.At), l.Text})
		}
		k.prose([]string{"ENGINE", "TARGET", "TIME", "LOOKED"}, rows)
	}
	return nil
}
