package cli

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// usageCommand is what the sub-commands of `assay usage` share.
type usageCommand struct {
	IO

	server string
	json   bool
}

func used(stdio IO) *cobra.Command {
	u := &usageCommand{IO: stdio}
	c := &cobra.Command{
		Use: "usage", Short: "What your organization used: calls, scans, quotas, the call log",
		Long: "What the key's organization used. The server is --server or ASSAY_SERVER, the key is ASSAY_API_KEY and needs the\n" +
			"scope usage:read. Times are UTC.",
	}
	for _, sub := range []*cobra.Command{u.summary(), u.history(), u.byScanType(), u.quota(), u.calls()} {
		serverFlags(sub, &u.server)
		sub.Flags().BoolVar(&u.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

// show prints JSON, or else what rows makes of it as a table.
func (u *usageCommand) show(v any, header []string, rows func() [][]string) error {
	if u.json {
		return u.IO.json(v)
	}
	u.table(header, rows())
	return nil
}

func periodFlag(c *cobra.Command, period *string, std string) {
	c.Flags().StringVar(period, "period", std, "24h, 7d, 30d or 90d")
}

func (u *usageCommand) summary() *cobra.Command {
	var period string
	c := &cobra.Command{
		Use: "summary", Short: "Sum a period up", Args: cobra.NoArgs, Example: "  assay usage summary --period 7d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := u.client(u.server)
			if err != nil {
				return err
			}
			s, err := api.UsageSummary(cmd.Context(), period)
			if err != nil {
				return err
			}
			return u.show(s, []string{"WHAT", "VALUE"}, func() [][]string {
				return [][]string{
					{"period", moment(s.Period.Start) + " to " + moment(s.Period.End)},
					{"calls", number(s.TotalCalls)},
					{"  answered", number(s.SuccessCalls)},
					{"  refused or failed", number(s.ErrorCalls)},
					{"mean duration", duration(s.AvgDurationMs)},
					{"longest", duration(s.MaxDurationMs)},
					{"scans submitted", number(s.TotalScans)},
					{"  of the quota", number(s.QuotaConsumedCalls)},
					{"engines", strings.Join(s.ScanTypesUsed, " ")},
				}
			})
		},
	}
	periodFlag(c, &period, "30d")
	return c
}

func (u *usageCommand) history() *cobra.Command {
	var period, granularity string
	c := &cobra.Command{
		Use: "history", Short: "Show a period hour by hour or day by day", Args: cobra.NoArgs,
		Example: "  assay usage history --period 30d --granularity daily",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := u.client(u.server)
			if err != nil {
				return err
			}
			h, err := api.UsageHistory(cmd.Context(), period, granularity)
			if err != nil {
				return err
			}
			return u.show(h, []string{"START", "CALLS", "SUCCESS", "ERRORS", "SCANS", "MEAN"}, func() [][]string {
				rows := make([][]string, len(h.Points))
				for i, p := range h.Points {
					rows[i] = []string{moment(p.Start), number(p.Calls), number(p.Success), number(p.Errors), number(p.Scans), duration(p.AvgDurationMs)}
				}
				return rows
			})
		},
	}
	periodFlag(c, &period, "7d")
	c.Flags().StringVar(&granularity, "granularity", "", "hourly or daily (default: hourly for 24h and 7d, else daily)")
	return c
}

func (u *usageCommand) byScanType() *cobra.Command {
	var period string
	c := &cobra.Command{
		Use: "by-scan-type", Short: "Break a period down by engine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := u.client(u.server)
			if err != nil {
				return err
			}
			b, err := api.UsageByScanType(cmd.Context(), period)
			if err != nil {
				return err
			}
			return u.show(b, []string{"ENGINE", "SCANS", "COMPLETED", "FAILED", "CANCELLED", "MEAN", "FINDINGS"}, func() [][]string {
				rows := make([][]string, len(b.Items))
				for i, e := range b.Items {
					rows[i] = []string{
						e.ScanType, number(e.Scans), number(e.Completed), number(e.Failed), number(e.Cancelled), duration(e.AvgDurationMs),
						number(e.Findings),
					}
				}
				return rows
			})
		},
	}
	periodFlag(c, &period, "30d")
	return c
}

func (u *usageCommand) quota() *cobra.Command {
	return &cobra.Command{
		Use: "quota", Short: "Show what the plan allows and how much of it is used", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := u.client(u.server)
			if err != nil {
				return err
			}
			q, err := api.UsageQuota(cmd.Context())
			if err != nil {
				return err
			}
			return u.show(q, []string{"PLAN", "QUOTA", "LIMIT", "USED", "REMAINING", "RENEWED"}, func() [][]string {
				rows := make([][]string, len(q.Quotas))
				for i, a := range q.Quotas {
					rows[i] = []string{q.Plan, a.Metric + " a " + a.Period, limit(a.Limit), number(a.Used), limit(a.Remaining), moment(a.ResetAt)}
				}
				return rows
			})
		},
	}
}

func (u *usageCommand) calls() *cobra.Command {
	var q client.CallQuery
	var asCSV bool
	c := &cobra.Command{
		Use: "calls", Short: "List calls, newest first", Args: cobra.NoArgs,
		Long: "List the calls of your organization's keys and users, newest first. It reads on until --limit calls are found or the\n" +
			"log has no more; say --from and --to to search a part of a long log.",
		Example: "  assay usage calls --status 4xx --from 2026-11-01\n  assay usage calls --limit 1000 --csv > calls.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return usage{errors.New("--limit must be at least 1")}
			}
			if asCSV && u.json {
				return usage{errors.New("--csv and --json exclude each other")}
			}
			api, err := u.client(u.server)
			if err != nil {
				return err
			}
			if asCSV {
				return u.callsCSV(cmd, api, q)
			}
			list, err := allCalls(cmd, api, q)
			if err != nil {
				return err
			}
			return u.show(list, []string{"TIME", "STATUS", "METHOD", "ROUTE", "EVENT", "ACTOR", "TOOK"}, func() [][]string {
				rows := make([][]string, len(list))
				for i, k := range list {
					rows[i] = []string{
						moment(k.Time), strconv.Itoa(k.Status), k.Method, k.Route, k.EventType, k.Actor.Kind + " " + k.Actor.ID, duration(k.DurationMs),
					}
				}
				return rows
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.EventType, "event", "", "only of this type, such as scan.submitted")
	f.StringVar(&q.Actor, "actor", "", "only of the key or user with this id")
	f.StringVar(&q.Method, "method", "", "only with this method, such as POST")
	f.StringVar(&q.Route, "route", "", "only of this route, such as /scan-api/api/v1/scans/{id}")
	f.StringVar(&q.Status, "status", "", "only with this status (404) or of this class (4xx)")
	f.StringVar(&q.From, "from", "", "called at or after: YYYY-MM-DD or RFC 3339")
	f.StringVar(&q.To, "to", "", "called before; a date is inclusive")
	f.IntVar(&q.Limit, "limit", 20, "calls at most")
	f.BoolVar(&asCSV, "csv", false, "print CSV")
	return c
}

// pageOf is how many calls one request asks for.
func pageOf(left int) int { return min(left, 100) }

// allCalls reads pages until there are enough.
func allCalls(cmd *cobra.Command, api *client.Client, q client.CallQuery) ([]client.Call, error) {
	out := []client.Call{}
	most := q.Limit
	for {
		q.Limit = pageOf(most - len(out))
		found, err := api.Calls(cmd.Context(), q)
		if err != nil {
			return nil, err
		}
		out = append(out, found.Calls...)
		q.Cursor = found.Pagination.NextCursor
		if len(out) >= most || q.Cursor == "" {
			return out, nil
		}
	}
}

// callsCSV prints pages as one document: the header line of the first only.
func (u *usageCommand) callsCSV(cmd *cobra.Command, api *client.Client, q client.CallQuery) error {
	out := bufio.NewWriter(u.Out)
	for left, first := q.Limit, true; left > 0; first = false {
		q.Limit = pageOf(left)
		body, next, err := api.CallsCSV(cmd.Context(), q)
		if err != nil {
			return err
		}
		n, err := copyCSV(out, body, first)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
		left -= n
		if q.Cursor = next; next == "" {
			break
		}
	}
	return out.Flush()
}

// copyCSV copies a page and counts its calls: cells of calls hold no line breaks.
func copyCSV(w io.Writer, r io.Reader, header bool) (n int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for at := 0; lines.Scan(); at++ {
		if at == 0 && !header {
			continue
		}
		if at > 0 {
			n++
		}
		if _, err := io.WriteString(w, lines.Text()+"\n"); err != nil {
			return n, err
		}
	}
	return n, lines.Err()
}

func moment(t time.Time) string { return when(&t) }

func number(n int64) string { return strconv.FormatInt(n, 10) }

func duration(ms float64) string { return strconv.FormatFloat(ms, 'f', 1, 64) + " ms" }

func limit(n *int64) string {
	if n == nil {
		return "unlimited"
	}
	return number(*n)
}
