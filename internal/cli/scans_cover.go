package cli

import (
	"fmt"
	"strings"

	"assay.dev/assay/internal/client"
)

// maxCovered is how many targets in one state are named.
const maxCovered = 10

// childTable prints the scans that carry out another.
func (s *scansCommand) childTable(list []client.Child) {
	if len(list) == 0 {
		return
	}
	rows := make([][]string, 0, len(list))
	for _, c := range list {
		found, outcome := "–", c.Outcome
		if c.Findings != nil {
			found = fmt.Sprint(c.Findings.Total)
		}
		if outcome == "" {
			outcome = "–"
		}
		rows = append(rows, []string{c.Phase, c.ScanType, shorten(c.Target, 50), course(client.Scan{Status: c.Status, Progress: c.Progress}), outcome, found, c.ID})
	}
	s.table([]string{"PHASE", "ENGINE", "TARGET", "STATUS", "OUTCOME", "FOUND", "ID"}, rows)
}

// covered says what was looked at, and with what: what "nothing found" is worth.
func (stdio IO) covered(c *client.Coverage) {
	if c == nil {
		return
	}
	for _, d := range c.Databases {
		text := strings.TrimSpace(printable(d.Name) + " " + printable(d.Version))
		if d.Entries > 0 {
			text += fmt.Sprintf(", %d entries", d.Entries)
		}
		if d.UpdatedAt != nil {
			text += ", as of " + d.UpdatedAt.Format("2006-01-02")
		}
		stdio.said("judged by %s", text)
	}
	for _, state := range []string{"reached", "partial", "unreachable", "timed_out", "skipped"} {
		var names []string
		for _, t := range c.Targets {
			if t.State == state {
				name := shorten(printable(t.Target), 80)
				if t.Reason != "" {
					name += " (" + shorten(printable(t.Reason), 160) + ")"
				}
				names = append(names, name)
			}
		}
		stdio.coveredLine(strings.ReplaceAll(state, "_", " "), names)
	}
	for _, src := range c.Sources {
		text := fmt.Sprintf("%s %s, %d found", printable(src.Source), strings.ReplaceAll(src.State, "_", " "), src.Found)
		if src.Reason != "" {
			text += " (" + shorten(printable(src.Reason), 160) + ")"
		}
		stdio.said("source: %s", text)
	}
}

func (stdio IO) coveredLine(state string, names []string) {
	if len(names) == 0 {
		return
	}
	rest := ""
	if n := len(names) - maxCovered; n > 0 {
		names, rest = names[:maxCovered], fmt.Sprintf("; and %d more", n)
	}
	stdio.said("%s: %s%s", state, strings.Join(names, "; "), rest)
}
