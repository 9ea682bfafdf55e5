package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan"
)

// columns of the CSV document, in order. They are a contract with whoever reads it by name.
func columns() []string {
	return []string{
		"id", "severity", "title", "category", "confidence", "status", "rule", "host", "port", "protocol", "url", "method",
		"parameter", "file", "line", "package", "version", "fixedVersion", "image", "cve", "cwe", "cvss", "engines",
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
	err := each(func(r scan.Result) error {
		row := cells(NewFinding(r))
		for i, c := range row {
			row[i] = Cell(c)
		}
		return out.Write(row)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
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
		strings.Join(f.CVE, " "), strings.Join(f.CWE, " "), score, strings.Join(f.Engines, " "),
		f.FirstSeenAt, f.LastSeenAt, f.Description, f.Evidence, f.Remediation,
		strings.Join(f.References, " "), f.Fingerprint,
	}
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Cell returns s as a spreadsheet shows it and doesn't run it: text that begins, also behind white space, with = + - @
// or their full-width forms, or with a tab or line break, gets a leading apostrophe. NUL bytes are left out.
func Cell(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if s == "" {
		return s
	}
	trimmed := strings.TrimLeft(s, " \t\r\n\v\f\u00a0\ufeff")
	if s[0] == '\t' || s[0] == '\r' || s[0] == '\n' {
		return "'" + s
	}
	for _, lead := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(trimmed, lead) {
			return "'" + s
		}
	}
	return s
}
