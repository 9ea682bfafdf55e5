package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	recurring "assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/report"
)

// recurringDocument is a report over the sample: what is new of changes, the first two findings, and the third is
// fixed.
func recurringDocument(kind recurring.Kind, format recurring.Format) recurring.Document {
	to := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	d := recurring.Document{
		Report: recurring.Report{
			ID: "01900000-0000-7000-8000-0000000000bb", Name: "Monday's report", Filter: recurring.Filter{Severities: []finding.Severity{finding.Critical, finding.High, finding.Medium}},
			Schedule: &schedule.Spec{Cron: "0 7 * * mon", TimeZone: "Europe/Paris"},
		},
		Run: recurring.Run{
			ID: "01900000-0000-7000-8000-0000000000cc", Kind: kind, Format: format, From: to.AddDate(0, 0, -7), To: to,
			Counts: recurring.Counts{Findings: finding.Summary{Total: 2, Critical: 1, High: 1}},
		},
		Made: to.Add(time.Second),
	}
	switch kind {
	case recurring.Changes:
		d.Run.Counts.New, d.Run.Counts.Fixed = 2, 1
	case recurring.Scans:
		d.Run.Counts.Scans = 2
	case recurring.Findings:
		d.Run.From = time.Time{}
	}
	d.Findings = func(p recurring.Part, f func(finding.Finding) error) error {
		list := sample()[:2]
		if p == recurring.Gone {
			list = sample()[2:3]
			list[0].Status, list[0].FixedAt = finding.Fixed, to.Add(-time.Hour)
		}
		for _, r := range list {
			if err := f(r.Finding); err != nil {
				return err
			}
		}
		return nil
	}
	d.Scans = func(f func(scan.Scan) error) error {
		partial := scanDocument().Scan
		queued := partial
		queued.Status, queued.Outcome, queued.StartedAt, queued.EndedAt = scan.Queued, "", time.Time{}, time.Time{}
		queued.Target = "=queued.example.org"
		return errors.Join(f(partial), f(queued))
	}
	return d
}

func TestRecurringReportsAreTheGoldenOnes(t *testing.T) {
	t.Parallel()
	for _, kind := range recurring.Kinds() {
		for _, format := range recurring.Formats() {
			if kind == recurring.Scans && format == recurring.SARIF {
				continue
			}
			var b bytes.Buffer
			if err := report.Recurring("1.0.0")(&b, recurringDocument(kind, format)); err != nil {
				t.Fatalf("%s as %s: %v", kind, format, err)
			}
			testkit.Golden(t, fmt.Sprintf("report-%s.%s", kind, format), b.Bytes())
			switch format {
			case recurring.HTML:
				whole(t, b.String())
			case recurring.CSV:
				rows, err := csv.NewReader(&b).ReadAll()
				if err != nil || len(rows) != map[recurring.Kind]int{recurring.Findings: 3, recurring.Changes: 4, recurring.Scans: 3}[kind] {
					t.Errorf("%s: %d rows, %v", kind, len(rows), err)
				}
			case recurring.JSON:
				var doc map[string]any
				if err := json.Unmarshal(b.Bytes(), &doc); err != nil || doc["report"] == nil || doc["summary"] == nil {
					t.Errorf("%s: %v", kind, err)
				}
			case recurring.SARIF:
				inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				if err := officialSchema(t).Validate(inst); err != nil {
					t.Error(err)
				}
				read, err := sarif.FromBytes(b.Bytes())
				if err != nil || kind == recurring.Changes && (*read.Runs[0].Results[0].BaselineState != "new" || *read.Runs[0].Results[2].BaselineState != "absent") {
					t.Errorf("%s: %v", kind, err)
				}
			}
		}
	}
}

func TestAnEmptyRecurringReportSaysSo(t *testing.T) {
	t.Parallel()
	for kind, want := range map[recurring.Kind]string{
		recurring.Findings: "No finding stands open.", recurring.Changes: "Nothing new was found.", recurring.Scans: "No scan was ordered in this period.",
	} {
		d := recurringDocument(kind, recurring.HTML)
		d.Run.Counts = recurring.Counts{}
		d.Findings = func(recurring.Part, func(finding.Finding) error) error { return nil }
		d.Scans = func(func(scan.Scan) error) error { return nil }
		var b bytes.Buffer
		if err := report.Recurring("1.0.0")(&b, d); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v, without %q", kind, err, want)
		}
		whole(t, b.String())
	}
}

func TestALongRecurringReportShowsTheFirstAndSaysSo(t *testing.T) {
	t.Parallel()
	d := recurringDocument(recurring.Changes, recurring.HTML)
	d.Run.Counts.New, d.Run.Counts.Fixed = 6_000, 6_000
	d.Findings = func(_ recurring.Part, f func(finding.Finding) error) error {
		for range 6_000 {
			if err := f(sample()[1].Finding); err != nil {
				return err
			}
		}
		return nil
	}
	var b bytes.Buffer
	if err := report.Recurring("1.0.0")(&b, d); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<article"); n != report.MaxShown || !strings.Contains(b.String(), "the first 5,000 entries of 12,000") || strings.Contains(b.String(), "Nothing was fixed.") {
		t.Errorf("%d shown", n)
	}
}

func TestARecurringReportStopsWithItsSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, kind := range recurring.Kinds() {
		for _, format := range recurring.Formats() {
			d := recurringDocument(kind, format)
			d.Findings = func(recurring.Part, func(finding.Finding) error) error { return broken }
			d.Scans = func(func(scan.Scan) error) error { return broken }
			if kind == recurring.Scans && format == recurring.SARIF {
				continue
			}
			if err := report.Recurring("")(io.Discard, d); !errors.Is(err, broken) {
				t.Errorf("%s as %s: %v", kind, format, err)
			}
		}
	}
}
