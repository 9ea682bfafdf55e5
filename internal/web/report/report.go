// Package report is a scan's results as documents: the JSON views of the API, CSV for tables, SARIF 2.1.0 for tools.
//
// It writes and never reads: no store, no clock. Large documents are streamed, one finding in memory at a time. What
// engines say is hostile text to a spreadsheet and to a browser; each format takes care of its own reader. Start with
// Finding.
package report

import (
	"strconv"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
)

// Finding is one finding as the API shows it (decisions C7).
type Finding struct {
	ID          string           `json:"id" doc:"The finding's id; it stays the same over scans."`
	Fingerprint string           `json:"fingerprint" doc:"Identity of the weakness at its place."`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	Severity    string           `json:"severity" enum:"critical,high,medium,low,info"`
	Confidence  string           `json:"confidence" enum:"certain,firm,tentative"`
	Category    string           `json:"category"`
	CVE         []string         `json:"cve" example:"[\"CVE-2021-41773\"]"`
	CWE         []string         `json:"cwe" example:"[\"CWE-319\"]"`
	CVSS        *finding.CVSS    `json:"cvss,omitempty"`
	CVSSSource  string           `json:"cvssSource,omitempty" enum:"engine,nvd" doc:"Who gave the CVSS: the engine, or NVD where the engine gave none."`
	EPSS        *float64         `json:"epss" doc:"Probability of exploitation within 30 days, the highest of its CVEs; null where it isn't known."`
	Percentile  *float64         `json:"epssPercentile" doc:"Share of all scored CVEs at or below that probability; null where it isn't known."`
	KEV         *bool            `json:"kev" doc:"True where one of its CVEs is known to be exploited; null where that isn't known."`
	KEVDueDate  string           `json:"kevDueDate,omitempty" format:"date" doc:"When CISA's catalogue wants it fixed; of several CVEs the first."`
	Location    finding.Location `json:"location"`
	Evidence    string           `json:"evidence"`
	Remediation string           `json:"remediation"`
	References  []string         `json:"references"`
	Engines     []string         `json:"engines" doc:"All engines that saw it."`
	Members     []Member         `json:"members,omitempty" doc:"Where several engines carried the scan out: the findings that this one was made of."`
	Rule        string           `json:"rule" doc:"The engine's own id of the check."`
	FirstSeenAt string           `json:"firstSeenAt" format:"date-time"`
	LastSeenAt  string           `json:"lastSeenAt" format:"date-time"`
	FixedAt     string           `json:"fixedAt,omitempty" format:"date-time"`
	Status      string           `json:"status" enum:"open,fixed,confirmed,false_positive,accepted" doc:"Where the finding stands now."`
}

// Summary counts findings by severity.
type Summary struct {
	Total      int        `json:"total"`
	BySeverity BySeverity `json:"bySeverity"`
}

// BySeverity holds one count for each severity.
type BySeverity struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Info     int `json:"info"`
}

// Member is one engine's finding within a merged one.
type Member struct {
	ID     string `json:"id"`
	Engine string `json:"engine"`
	Rule   string `json:"rule"`
	ScanID string `json:"scanId" doc:"The scan that saw it."`
	Why    string `json:"why,omitempty" doc:"It belongs to the others."`
}

func members(list []scan.Member) []Member {
	var out []Member
	for _, m := range list {
		out = append(out, Member{ID: string(m.Finding), Engine: m.Engine, Rule: m.Rule, ScanID: string(m.Scan), Why: m.Why})
	}
	return out
}

// NewFinding makes the view of one result.
func NewFinding(r scan.Result) Finding {
	v := Finding{
		ID: string(r.ID), Fingerprint: r.Fingerprint, Title: r.Title, Description: r.Description,
		Severity: string(r.Severity), Confidence: string(r.Confidence), Category: string(r.Category),
		CVE: list(r.CVE), CVSS: r.CVSS, CWE: weaknesses(r.CWE), Location: r.Location, Evidence: r.Evidence,
		Remediation: r.Remediation, References: list(r.References), Engines: list(r.Engines), Members: members(r.Members), Rule: r.Rule,
		FirstSeenAt: stamp(r.FirstSeenAt), LastSeenAt: stamp(r.LastSeenAt), Status: string(r.Status),
	}
	if !r.FixedAt.IsZero() {
		v.FixedAt = stamp(r.FixedAt)
	}
	v.enrich(r.Intel)
	return v
}

// enrich adds what public sources say. The engine's own CVSS stays.
func (f *Finding) enrich(i finding.Intel) {
	if f.CVSS != nil {
		f.CVSSSource = "engine"
	} else if i.CVSS != nil {
		f.CVSS, f.CVSSSource = i.CVSS, "nvd"
	}
	if i.EPSS != nil {
		f.EPSS, f.Percentile = &i.EPSS.Score, &i.EPSS.Percentile
	}
	if i.KEV != nil {
		f.KEV = new(true)
		if !i.KEV.Due.IsZero() {
			f.KEVDueDate = i.KEV.Due.Format(time.DateOnly)
		}
	}
}

// NewSummary makes the view of a summary.
func NewSummary(s finding.Summary) Summary {
	return Summary{Total: s.Total, BySeverity: BySeverity{
		Critical: s.Critical, High: s.High, Medium: s.Medium, Low: s.Low, Info: s.Info,
	}}
}

// list returns s, an empty list where it is nil: an answer's lists are never null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// stamp returns t as answers show it: RFC 3339 in UTC.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func weaknesses(ids []int) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = "CWE-" + strconv.Itoa(id)
	}
	return out
}

// Each streams results in order; it stops with f's error.
type Each func(f func(scan.Result) error) error
