package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
)

// json prints one value, indented, as the only thing on standard output.
func (stdio IO) json(v any) error {
	enc := json.NewEncoder(stdio.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows under a header. Cells come from servers and targets: control characters never reach a terminal.
func (stdio IO) table(header []string, rows [][]string) {
	if len(rows) == 0 {
		fmt.Fprintln(stdio.Out, "none")
		return
	}
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
	}
	t := table.New().Border(lipgloss.HiddenBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderHeader(false).Headers(header...).Rows(rows...).
		StyleFunc(func(row, _ int) lipgloss.Style {
			s := lipgloss.NewStyle().PaddingRight(1)
			if row == table.HeaderRow {
				return s.Bold(stdio.Styled)
			}
			return s
		})
	for line := range strings.SplitSeq(t.Render(), "\n") {
		fmt.Fprintln(stdio.Out, strings.TrimRight(line, " "))
	}
}

// printable replaces what a terminal could obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '·'
		}
		return r
	}, s)
}

// printableLines is printable for text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// shorten cuts a cell to n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// when prints a time for people, "–" where there is none.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
