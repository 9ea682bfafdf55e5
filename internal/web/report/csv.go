package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/scan"
)

// columns of the CSV document, in order. They are a contract with whoever reads it by name.
func columns() []string {
	return []string{
		"id", "severity", "title", "category", "confidence", "status", "rule", "host", "port", "protocol", "url", "method",
		"parameter", "file", "line", "package", "version", "fixedVersion", "image", "cve", "cwe", "cvss", "epss", "kev", "engines",
		"firstSeenAt", "lastSeenAt", "description", "evidence", "remediation", "references", "fingerprint",
	}
}

// CSV writes results as RFC 4180 CSV with a header line, UTF-8 without a mark. A cell that a spreadsheet would take for
// a formula is led by an apostrophe.
func CSV(w io.Writer, each Each) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns()); err != nil {
		return err
	}
	err := each(func(r scan.Result) error { return writeRow(out, cells(NewFinding(r))) })
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// writeRow writes cells as a spreadsheet may read them.
func writeRow(out *csv.Writer, row []string) error {
	for i, c := range row {
		row[i] = Cell(c)
	}
	return out.Write(row)
}

func cells(f Finding) []string {
	score := ""
	if f.CVSS != nil {
		score = strconv.FormatFloat(f.CVSS.Score, 'f', 1, 64)
	}
	at := f.Location
	return []string{
		f.ID, f.Severity, f.Title, f.Category, f.Confidence, f.Status, f.Rule, at.Host, number(at.Port), at.Protocol, at.URL,
		at.Method, at.Parameter, at.File, number(at.Line), at.Package, at.Version, at.FixedVersion, at.Image,
		strings.Join(f.CVE, " "), strings.Join(f.CWE, " "), score, epss(f), kev(f), strings.Join(f.Engines, " "),
		f.FirstSeenAt, f.LastSeenAt, f.Description, f.Evidence, f.Remediation,
		strings.Join(f.References, " "), f.Fingerprint,
	}
}

// epss and kev are empty where nothing is known: unknown is never zero.
func epss(f Finding) string {
	if f.EPSS == nil {
		return ""
	}
	return strconv.FormatFloat(*f.EPSS, 'f', -1, 64)
}

func kev(f Finding) string {
	if f.KEV == nil {
		return ""
	}
	return strconv.FormatBool(*f.KEV)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Cell returns s as a spreadsheet shows it and doesn't run it: text that begins, also behind white space and invisible
// characters, with = + - @ or their other widths, or with a tab or line break, gets a leading apostrophe. So does what
// stands behind a line break, tab or semicolon within the text, because programs set up for another language part cells
// there. NUL bytes are left out.
func Cell(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if s == "" || !strings.ContainsAny(s, "=+-@＝＋－＠﹦﹢﹣﹫−\t\r\n") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 1)
	begin := true
	for i, r := range s {
		if begin && (formula(s[i:]) || i == 0 && (r == '\t' || r == '\r' || r == '\n')) {
			b.WriteByte('\'')
		}
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		b.WriteString(s[i : i+size])
		begin = r == '\n' || r == '\r' || r == '\t' || r == ';'
	}
	return b.String()
}

// formula reports whether text up to its first break begins as a formula does.
func formula(s string) bool {
	for _, r := range s {
		switch r {
		case '=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫', '−':
			return true
		case '\n', '\r', '\t', ';':
			return false
		}
		if !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) && r != utf8.RuneError {
			return false
		}
	}
	return false
}
