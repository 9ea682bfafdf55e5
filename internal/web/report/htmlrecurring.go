package report

import (
	"errors"
	"io"
	"strings"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	recurring "assay.dev/assay/internal/scan/report"
)

func (d recurringDocument) html(w io.Writer) error {
	p, err := newPage(w)
	if err != nil {
		return err
	}
	p.part("head", d.head())
	if d.Run.Kind == recurring.Scans {
		err = p.scans(d.Scans)
	}
	for _, part := range d.parts() {
		if err == nil {
			err = p.list(part, d.each(part.part))
		}
	}
	if err != nil {
		return err
	}
	if p.cut {
		p.part("note", "This document shows the first "+thousands(MaxShown)+" entries of "+thousands(d.total())+
			". A report in the format csv or json holds all of them.")
	}
	p.part("foot", []string{
		"Made by Assay " + visible(d.version) + " on " + moment(d.Made) + ", run " + string(d.Run.ID) + ".",
		"Where a CVE, a score or a date is missing, it isn't known; nothing that is unknown counts as zero. " +
			"This file loads nothing and runs nothing.",
	})
	return p.end()
}

func (d recurringDocument) total() int {
	c := d.Run.Counts
	switch d.Run.Kind {
	case recurring.Changes:
		return c.New + c.Fixed
	case recurring.Scans:
		return c.Scans
	case recurring.Findings:
	}
	return c.Findings.Total
}

// list writes one part with its findings.
func (p *page) list(l part, each Each) error {
	p.group = ""
	p.part("section", section{ID: l.id, Title: l.title, Text: l.text})
	before := p.shown
	if err := p.findings(each); err != nil {
		return err
	}
	if p.shown == before && !p.cut {
		p.part("note", l.none)
	}
	return p.err
}

// scanView is a scan as one row of a document. All texts are visible.
type scanView struct {
	Target, Name, Engine, Outcome, Tone, At, Took string
	Critical, High, Total                         string
}

func (p *page) scans(each func(func(scan.Scan) error) error) error {
	p.part("section", section{ID: "scans", Title: "Scans", Text: "Newest first. Times are in UTC."})
	p.part("scans-head", nil)
	err := each(func(s scan.Scan) error {
		if p.shown == MaxShown {
			p.cut = true
			return errEnough
		}
		p.shown++
		p.part("scan", scanLine(s))
		return p.err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	p.part("scans-foot", nil)
	if p.shown == 0 {
		p.part("note", "No scan was ordered in this period.")
	}
	return p.err
}

func scanLine(s scan.Scan) scanView {
	v := scanView{
		Target: visible(s.Target), Name: visible(s.Name), Engine: engineName(s), Outcome: string(s.Outcome), At: s.CreatedAt.UTC().Format("2006-01-02 15:04"),
		Took: took(s.StartedAt, s.EndedAt), Critical: "–", High: "–", Total: "–",
	}
	if s.Status.Terminal() {
		v.Critical, v.High, v.Total = thousands(s.Summary.Critical), thousands(s.Summary.High), thousands(s.Summary.Total)
	}
	switch {
	case s.Status != scan.Completed || v.Outcome == "":
		v.Outcome = string(s.Status)
		if s.Status == scan.Failed {
			v.Tone = "bad"
		}
	case s.Outcome == engine.Complete:
		v.Tone = "good"
	case s.Outcome == engine.Partial:
		v.Tone = "warn"
	default:
		v.Tone = "bad"
	}
	v.Outcome = strings.ReplaceAll(visible(v.Outcome), "_", " ")
	return v
}

func (d recurringDocument) head() headView {
	what := map[recurring.Kind]string{
		recurring.Findings: "Open findings", recurring.Changes: "What has changed", recurring.Scans: "Scans",
	}[d.Run.Kind]
	h := newHead(d.Report.Name, "Assay report: "+what, d.Report.Name)
	h.Lede = d.lede()
	c := d.Run.Counts
	title := "Findings by severity"
	switch d.Run.Kind {
	case recurring.Changes:
		title = "New findings by severity"
	case recurring.Scans:
		title = "Findings of these scans by severity"
	case recurring.Findings:
	}
	h.tally(title, c.Findings)
	if d.Run.Kind == recurring.Changes {
		h.Counts = append(h.Counts, count{"fixed", "Fixed", thousands(c.Fixed)})
	}
	h.FactsTitle, h.Facts = "The report", d.facts()
	h.Lists = []listView{{ID: "not", Title: "What this report doesn't tell", Items: d.untold()}}
	return h
}

func (d recurringDocument) lede() string {
	c := d.Run.Counts
	switch d.Run.Kind {
	case recurring.Changes:
		return thousands(c.New) + " new, " + thousands(c.Fixed) + " fixed since " + moment(d.Run.From) + "."
	case recurring.Scans:
		return quantity(c.Scans, "scan") + " since " + moment(d.Run.From) + ", with " + quantity(c.Findings.Total, "finding") + "."
	case recurring.Findings:
	}
	text := quantity(c.Findings.Total, "finding")
	if c.Findings.Total == 1 {
		text += " stands"
	} else {
		text += " stand"
	}
	text += " open on " + moment(d.Run.To)
	if worst := worstOf(c.Findings); worst != "" {
		text += ", the worst of severity " + worst
	}
	return text + "."
}

func quantity(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}

func (d recurringDocument) facts() []fact {
	var out []fact
	add := func(name, value string, mono bool) {
		if value != "" {
			out = append(out, fact{Name: name, Value: visible(value), Mono: mono})
		}
	}
	add("Period from", timeText(d.Run.From), false)
	add("Until", timeText(d.Run.To), false)
	f := d.Report.Filter
	names := make([]string, len(f.Severities))
	for i, s := range f.Severities {
		names[i] = string(s)
	}
	add("Severity", strings.Join(names, ", "), false)
	add("Engine", f.Engine, false)
	add("Tag", f.Tag, false)
	add("Host", f.Host, false)
	if s := d.Report.Schedule; s != nil {
		add("Schedule", s.Cron+" ("+s.TimeZone+")", true)
	}
	add("Report", string(d.Report.ID), true)
	return out
}

// untold lists what the document leaves out.
func (d recurringDocument) untold() []string {
	var items []string
	f := d.Report.Filter
	if len(f.Severities) > 0 && len(f.Severities) < len(finding.Severities()) {
		text := "Findings of other severities than those above."
		if d.Run.Kind == recurring.Scans {
			text = "Scans that found nothing of the severities above."
		}
		items = append(items, text)
	}
	if f.Engine != "" || f.Tag != "" || f.Host != "" {
		items = append(items, "Whatever the filters above leave out.")
	}
	switch d.Run.Kind {
	case recurring.Findings:
		items = append(items, "Findings that are fixed.")
	case recurring.Changes:
		items = append(items, "Findings that stood before this period and still do.")
	case recurring.Scans:
		items = append(items, "What the scans found, one by one: each scan has a report of its own.")
	}
	return append(items, "What no scan has looked at: that a place isn't named says nothing about it unless a complete scan covered it.")
}
