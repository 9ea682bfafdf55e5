package report

import (
	"bufio"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	recurring "assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/word/fault"
)

// MediaType returns the media type of a recurring report's documents, and the ending of their file names.
func MediaType(f recurring.Format) (media, ending string) {
	switch f {
	case recurring.HTML:
		return "text/html; charset=utf-8", "html"
	case recurring.CSV:
		return "text/csv; charset=utf-8", "csv"
	case recurring.JSON:
		return "application/json", "json"
	case recurring.SARIF:
		return "application/sarif+json", "sarif"
	}
	return "application/octet-stream", "bin"
}

// Recurring returns the function that writes documents of recurring reports; version is the product's. Findings and
// scans are streamed.
func Recurring(version string) recurring.Render {
	return func(w io.Writer, d recurring.Document) error {
		v := recurringDocument{Document: d, version: version}
		switch d.Run.Format {
		case recurring.HTML:
			return v.html(w)
		case recurring.CSV:
			return v.csv(w)
		case recurring.JSON:
			return v.json(w)
		case recurring.SARIF:
			return v.sarif(w)
		}
		return fault.New(fault.Unsupported, fault.CodeFormat, "this format is not available")
	}
}

type recurringDocument struct {
	recurring.Document

	version string
}

// part is one list of findings of a document.
type part struct {
	part        recurring.Part
	id, title   string
	text, none  string
	name, state string // in JSON and CSV; in SARIF
}

// parts are the lists of findings that the document's kind has.
func (d recurringDocument) parts() []part {
	switch d.Run.Kind {
	case recurring.Findings:
		return []part{{
			part: recurring.Standing, id: "findings", title: "Findings", name: "findings",
			text: "Worst first, and those that stand longest first.", none: "No finding stands open.",
		}}
	case recurring.Changes:
		return []part{
			{part: recurring.Fresh, id: "new", title: "New findings", name: "new", state: "new", text: "Seen for the first time in this period, worst first.", none: "Nothing new was found."},
			{part: recurring.Gone, id: "fixed", title: "Fixed findings", name: "fixed", state: "absent", text: "Fixed in this period, worst first.", none: "Nothing was fixed."},
		}
	case recurring.Scans:
	}
	return nil
}

// each streams a part as results.
func (d recurringDocument) each(p recurring.Part) Each {
	return func(f func(scan.Result) error) error {
		return d.Findings(p, func(found finding.Finding) error { return f(scan.Result{Finding: found}) })
	}
}

// ScanRow is a scan as a report of scans shows it.
type ScanRow struct {
	ID             string   `json:"id"`
	ScanType       string   `json:"scanType"`
	Name           string   `json:"name"`
	Target         string   `json:"target"`
	TargetType     string   `json:"targetType"`
	Status         string   `json:"status"`
	Outcome        string   `json:"outcome"`
	OutcomeReasons []string `json:"outcomeReasons"`
	Tags           []string `json:"tags"`
	CreatedAt      string   `json:"createdAt"`
	StartedAt      *string  `json:"startedAt"`
	CompletedAt    *string  `json:"completedAt"`
	Summary        Summary  `json:"summary"`
}

// NewScanRow makes the view of one scan.
func NewScanRow(s scan.Scan) ScanRow {
	return ScanRow{
		ID: string(s.ID), ScanType: s.Engine, Name: s.Name, Target: s.Target, TargetType: string(s.TargetType),
		Status: string(s.Status), Outcome: string(s.Outcome), OutcomeReasons: list(s.Reasons), Tags: list(s.Tags),
		CreatedAt: stamp(s.CreatedAt), StartedAt: optional(s.StartedAt), CompletedAt: optional(s.EndedAt), Summary: NewSummary(s.Summary),
	}
}

func optional(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}

// recurringHead is what a JSON document says of itself.
type recurringHead struct {
	ReportID string           `json:"reportId"`
	RunID    string           `json:"runId"`
	Name     string           `json:"name"`
	Kind     string           `json:"kind"`
	Filters  recurring.Filter `json:"filters"`
	Period   period           `json:"period"`
	MadeAt   string           `json:"madeAt"`
}

type period struct {
	Start *string `json:"start"`
	End   string  `json:"end"`
}

func (d recurringDocument) json(w io.Writer) error {
	out := bufio.NewWriter(w)
	j := &sarifDoc{out: out}
	j.text(`{"report":`)
	j.json(recurringHead{
		ReportID: string(d.Report.ID), RunID: string(d.Run.ID), Name: d.Report.Name, Kind: string(d.Run.Kind), Filters: d.Report.Filter,
		Period: period{Start: optional(d.Run.From), End: stamp(d.Run.To)}, MadeAt: stamp(d.Made),
	})
	j.text(`,"summary":`)
	j.json(NewSummary(d.Run.Counts.Findings))
	for _, p := range d.parts() {
		j.text(`,"` + p.name + `":[`)
		if err := array(j, d.each(p.part), func(r scan.Result) any { return NewFinding(r) }); err != nil {
			return err
		}
		j.text("]")
	}
	if d.Run.Kind == recurring.Scans {
		j.text(`,"scans":[`)
		if err := array(j, d.Scans, func(s scan.Scan) any { return NewScanRow(s) }); err != nil {
			return err
		}
		j.text("]")
	}
	j.text("}\n")
	if j.err != nil {
		return j.err
	}
	return out.Flush()
}

// array streams the elements of a JSON array.
func array[T any](j *sarifDoc, each func(func(T) error) error, view func(T) any) error {
	first := true
	return each(func(v T) error {
		if !first {
			j.text(",")
		}
		first = false
		j.json(view(v))
		return j.err
	})
}

func (d recurringDocument) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	err := d.rows(out)
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

func (d recurringDocument) rows(out *csv.Writer) error {
	if d.Run.Kind == recurring.Scans {
		if err := out.Write(scanColumns()); err != nil {
			return err
		}
		return d.Scans(func(s scan.Scan) error { return writeRow(out, scanCells(s)) })
	}
	changes := d.Run.Kind == recurring.Changes
	head := columns()
	if changes {
		head = append([]string{"change"}, head...)
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for _, p := range d.parts() {
		err := d.each(p.part)(func(r scan.Result) error {
			row := cells(NewFinding(r))
			if changes {
				row = append([]string{p.name}, row...)
			}
			return writeRow(out, row)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanColumns of a CSV document of scans, in order. They are a contract with whoever reads it by name.
func scanColumns() []string {
	return []string{
		"id", "scanType", "name", "target", "targetType", "status", "outcome", "outcomeReasons", "tags", "createdAt", "startedAt",
		"completedAt", "critical", "high", "medium", "low", "info", "total",
	}
}

func scanCells(s scan.Scan) []string {
	v := NewScanRow(s)
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	row := []string{
		v.ID, v.ScanType, v.Name, v.Target, v.TargetType, v.Status, v.Outcome, strings.Join(v.OutcomeReasons, " | "), strings.Join(v.Tags, " "),
		v.CreatedAt, text(v.StartedAt), text(v.CompletedAt),
	}
	by := v.Summary.BySeverity
	for _, n := range []int{by.Critical, by.High, by.Medium, by.Low, by.Info, v.Summary.Total} {
		row = append(row, strconv.Itoa(n))
	}
	return row
}

func (d recurringDocument) sarif(w io.Writer) error {
	done := map[string]any{"executionSuccessful": true, "endTimeUtc": d.Made.UTC().Format(time.RFC3339)}
	return writeSARIF(w, sarifRun{
		name: "Assay", version: d.version, id: "assay/report/" + string(d.Report.ID) + "/" + string(d.Run.ID), fallback: "target:unknown",
		invocation: done, properties: map[string]any{"report": d.Report.Name, "kind": d.Run.Kind, "periodEnd": stamp(d.Run.To)},
	}, func(f func(scan.Result, string) error) error {
		for _, p := range d.parts() {
			if err := d.each(p.part)(func(r scan.Result) error { return f(r, p.state) }); err != nil {
				return err
			}
		}
		return nil
	})
}
