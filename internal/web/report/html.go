package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"errors"
	"html/template"
	"io"
	"strconv"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
)

// MaxShown is how many findings or scans an HTML document shows in full, worst first. Where there are more it says so;
// CSV, JSON and SARIF hold all of them.
const MaxShown = 5_000

//go:embed page/report.tmpl
var pageTemplate string

//go:embed page/report.css
var pageStyle string

// HTMLPolicy is the Content-Security-Policy of an HTML document: nothing is loaded or run, only its own style counts.
// The document says so itself; whoever serves it sends this as the header, which can say more than a document may.
func HTMLPolicy() string {
	return policy() + "; frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
}

func policy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'"
}

// HTML writes a scan's report for people as one file that needs nothing else: first what a manager reads, then the
// findings, worst first. Findings are streamed; each is read, shown and forgotten, and behind MaxShown no more are read.
func HTML(w io.Writer, d ScanDocument, each Each) error {
	p, err := newPage(w)
	if err != nil {
		return err
	}
	p.part("head", d.head())
	p.part("section", section{ID: "findings", Title: "Findings", Text: d.intro()})
	if err := p.findings(each); err != nil {
		return err
	}
	switch {
	case p.cut && len(d.Only) == 0:
		p.part("note", "This document shows the first "+thousands(MaxShown)+" of "+thousands(d.Scan.Summary.Total)+
			" findings, the worst ones. The CSV, JSON and SARIF forms of these results hold all of them.")
	case p.cut:
		p.part("note", "This document shows the first "+thousands(MaxShown)+" findings, the worst ones, and there are more. "+
			"The CSV, JSON and SARIF forms of these results hold all of them.")
	case p.shown == 0:
		p.part("note", d.none())
	}
	p.part("foot", []string{
		"Made by Assay " + visible(d.Version) + " on " + moment(d.Now) + " from scan " + string(d.Scan.ID) + ".",
		"Where a CVE, a score or a date is missing, it isn't known; nothing that is unknown counts as zero. " +
			"This file loads nothing and runs nothing.",
	})
	return p.end()
}

// section begins a part of the document.
type section struct{ ID, Title, Text string }

// page is an HTML document being written.
type page struct {
	tpl   *template.Template
	out   *bufio.Writer
	err   error
	shown int
	cut   bool
	group string
}

func newPage(w io.Writer) (*page, error) {
	tpl, err := template.New("report").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	return &page{tpl: tpl, out: bufio.NewWriterSize(w, 32<<10)}, nil
}

// part writes one piece of the template; the first error stays.
func (p *page) part(name string, data any) {
	if p.err == nil {
		p.err = p.tpl.ExecuteTemplate(p.out, name, data)
	}
}

func (p *page) end() error {
	if p.err != nil {
		return p.err
	}
	return p.out.Flush()
}

// errEnough ends the reading of findings that wouldn't be shown.
var errEnough = errors.New("enough findings")

// findings writes an article for each, under a heading for each severity.
func (p *page) findings(each Each) error {
	err := each(func(r scan.Result) error {
		if p.shown == MaxShown {
			p.cut = true
			return errEnough
		}
		p.finding(r)
		return p.err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return p.err
}

func (p *page) finding(r scan.Result) {
	f := NewFinding(r)
	if f.Severity != p.group {
		p.group = f.Severity
		p.part("group", severityTitle(f.Severity))
	}
	p.shown++
	p.part("finding", article(f, p.shown))
}

func severityTitle(s string) string {
	switch finding.Severity(s) {
	case finding.Critical:
		return "Critical"
	case finding.High:
		return "High"
	case finding.Medium:
		return "Medium"
	case finding.Low:
		return "Low"
	case finding.Info:
		return "Information"
	}
	return "Other"
}

// thousands writes a number for people: 12,345.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
