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

// table prints rows under a header; on a terminal that is too narrow, the widest cells are cut. Cells come from servers
// and targets: control characters never reach a terminal.
func (stdio IO) table(header []string, rows [][]string) { stdio.lay(header, rows, shorten) }

// prose is table for cells of text: where the terminal is too narrow, they go on in the next line.
func (stdio IO) prose(header []string, rows [][]string) {
	stdio.lay(header, rows, func(s string, n int) string { return lipgloss.Wrap(s, n, ",") })
}

func (stdio IO) lay(header []string, rows [][]string, narrow func(string, int) string) {
	if len(rows) == 0 {
		fmt.Fprintln(stdio.Out, "none")
		return
	}
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
	}
	widths := fit(header, rows, stdio.Width)
	for _, row := range rows {
		for i := range row {
			if lipgloss.Width(row[i]) > widths[i] {
				row[i] = narrow(row[i], widths[i])
			}
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

// Of a table on a terminal: the columns between two cells, and how narrow a column may become.
const (
	gap       = 2
	narrowest = 12
)

// fit returns the widths of the columns in a line of so many columns (0 = any). The widest give way first; ids and keys
// stay whole, because people copy them.
func fit(header []string, rows [][]string, line int) []int {
	widths := make([]int, len(header))
	total := -gap
	for i := range header {
		widths[i] = lipgloss.Width(header[i])
		for _, row := range rows {
			widths[i] = max(widths[i], lipgloss.Width(row[i]))
		}
		total += widths[i] + gap
	}
	for line > 0 && total > line {
		widest := -1
		for i, w := range widths {
			if header[i] != "ID" && header[i] != "KEY" && w > narrowest && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
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
