package report

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
)

// Draft is a definition as somebody wrote it down.
type Draft struct {
	Name     string
	Kind     Kind
	Format   Format
	Filter   Filter
	Schedule *schedule.Spec
	Enabled  bool
}

// wrongs collects wrong fields into one fault.
type wrongs struct{ fields []fault.Field }

func (w *wrongs) add(location, message string) {
	w.fields = append(w.fields, fault.Field{Location: location, Message: message})
}

func (w *wrongs) err() error { return fault.AllWrong(w.fields) }

// check reads a draft and returns it as it is kept, with its schedule understood. Its fault is Invalid and names every
// wrong field.
func (s *Service) check(d Draft) (Draft, *schedule.Schedule, error) {
	var w wrongs
	d.Name = strings.TrimSpace(d.Name)
	if d.Name == "" || len(d.Name) > MaxName || !plain(d.Name) {
		w.add("name", "must have 1 to 255 bytes of text without control characters")
	}
	if !slices.Contains(Kinds(), d.Kind) {
		w.add("kind", "must be one of findings, scans, changes")
	}
	switch {
	case !slices.Contains(Formats(), d.Format):
		w.add("format", "must be one of html, csv, json, sarif")
	case d.Format == SARIF && d.Kind == Scans:
		w.add("format", "sarif holds findings; a report of scans is html, csv or json")
	}
	d.Filter = s.filter(d.Filter, &w)
	var parsed *schedule.Schedule
	if d.Schedule != nil {
		spec := *d.Schedule
		spec.Overlap = ""
		got, err := schedule.Parse(spec, s.d.Zone)
		if err != nil {
			for _, f := range fault.Of(err).Fields {
				w.add("schedule."+f.Location, f.Message)
			}
		}
		spec = got.Spec()
		d.Schedule, parsed = &spec, &got
	}
	return d, parsed, w.err()
}

func (s *Service) filter(f Filter, w *wrongs) Filter {
	for _, sev := range f.Severities {
		if !slices.Contains(finding.Severities(), sev) {
			w.add("filters.severity", "must be a list of critical, high, medium, low, info")
			break
		}
	}
	f.Severities = slices.Clone(f.Severities)
	slices.SortFunc(f.Severities, func(a, b finding.Severity) int { return a.Rank() - b.Rank() })
	f.Severities = slices.Compact(f.Severities)
	if f.Engine != "" && !slices.Contains(s.d.Engines, f.Engine) {
		w.add("filters.engine", "must be an engine of this server; GET /scan-api/api/v1/engines lists them")
	}
	if len(f.Tag) > MaxTag || !plain(f.Tag) {
		w.add("filters.tag", "must have at most 64 bytes of text without control characters")
	}
	f.Host = strings.ToLower(strings.TrimSpace(f.Host))
	if len(f.Host) > MaxHost || !plain(f.Host) {
		w.add("filters.host", "must have at most 255 bytes of text without control characters")
	}
	return f
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// firstSpan is how far back the first run of a report without a schedule looks.
const firstSpan = 7 * 24 * time.Hour

// period returns what a run that is made at now tells of: since the mark, or for the first one since one interval of
// the schedule ago. Reports of findings tell of a state: they have no beginning.
func (r Report) period(s *schedule.Schedule, due, now time.Time) (from, to time.Time) {
	switch {
	case r.Kind == Findings:
		return time.Time{}, now
	case !r.Mark.IsZero():
		return r.Mark, now
	case s == nil:
		return now.Add(-firstSpan), now
	}
	return due.Add(due.Sub(s.Next(due))), now
}

// counts reports whether a run moves its report's mark: what was due does, and what was asked for only where nothing
// is ever due, so that looking in between doesn't shorten the next regular report.
func (r Report) counts(run Run) bool { return run.AskedBy == "" || r.Schedule == nil }
