package scanapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Comparisons is what the handlers need to put two scans beside each other.
type Comparisons interface {
	Pair(ctx context.Context, org uid.Org, base, other uid.Scan) (comparison.Pair, error)
	List(ctx context.Context, p comparison.Pair, q comparison.Query) (comparison.List, error)
	Each(ctx context.Context, p comparison.Pair, q comparison.Query, f func(comparison.Item) error) error
}

func (h *handlers) compareRoutes() []api.Entry {
	return []api.Entry{api.Op(api.Route[compareIn, api.Stream]{
		ID: "compareScans", Method: http.MethodGet, Path: Base + "/scans/{id}/compare", Family: problem.Scan,
		Scope: access.ResultsRead, Audit: event.ScanCompared, Resource: "scan", Tags: []string{tagScans},
		Summary: "Compare two scans",
		Description: "What is new in the scan `with` against this one, what is gone from it, and what is in both: new first, then gone, then " +
			"unchanged, each worst first. Weaknesses are told apart by fingerprint, each counts once. Gone is not fixed: `caveats` says where the " +
			"scans differ in what they looked at, and each finding's `status` says where it stands now. As JSON a page in the envelope, as csv the " +
			"whole document. One of them not terminal yet: 409 `RESULTS_NOT_READY`.",
		Errors: []int{http.StatusConflict},
		Produces: []api.Media{
			{Type: "application/json", Schema: envelope.Envelope[Comparison]{}},
			{Type: mediaCSV, Doc: "RFC 4180, with a header line: change, and then the columns of results"},
		},
		Handle: h.compare,
	})}
}

type compareIn struct {
	ID string `path:"id" doc:"The scan that is the base."`
	envelope.Paging
	With     string `query:"with" required:"true" minLength:"1" maxLength:"36" doc:"The scan to compare with the base, as a rule the newer one."`
	Change   string `query:"change" enum:"new,gone,unchanged"`
	Severity string `query:"severity" enum:"critical,high,medium,low,info"`
	Format   string `query:"format" maxLength:"32" doc:"json (default) or csv."`
	Accept   string `header:"Accept" hidden:"true"`
}

// Comparison is one page of a comparison.
type Comparison struct {
	Base       Scan                `json:"base"`
	Compare    Scan                `json:"compare"`
	Summary    ComparisonSummary   `json:"summary"`
	Caveats    []Caveat            `json:"caveats" doc:"Why the difference may mean less than it seems; empty where the scans looked at the same."`
	Findings   []Compared          `json:"findings"`
	Pagination envelope.Pagination `json:"pagination"`
}

// ComparisonSummary counts weaknesses by change.
type ComparisonSummary struct {
	New       report.Summary `json:"new"`
	Gone      report.Summary `json:"gone"`
	Unchanged report.Summary `json:"unchanged"`
}

// Caveat is something to bear in mind of a comparison.
type Caveat struct {
	Code    string `json:"code" enum:"base_incomplete,other_incomplete,different_target,different_engine,different_version,different_options,other_older"`
	Message string `json:"message"`
}

// Compared is one weakness of a comparison.
type Compared struct {
	Change string `json:"change" enum:"new,gone,unchanged"`
	report.Finding
}

func (h *handlers) compare(ctx context.Context, in *compareIn) (*api.Stream, error) {
	org := mw.ActorFrom(ctx).Org
	p, err := h.d.Comparisons.Pair(ctx, org, uid.Scan(in.ID), uid.Scan(in.With))
	if err != nil {
		return nil, err
	}
	format, err := formatOf(in.Format, in.Accept)
	if err != nil {
		return nil, err
	}
	q := comparison.Query{Change: comparison.Change(in.Change), Severity: finding.Severity(in.Severity)}
	switch {
	case format == "csv":
		return document(ctx, mediaCSV+"; charset=utf-8", in.ID+"-"+in.With+".csv", func(w io.Writer) error {
			return report.ComparisonCSV(w, func(f func(comparison.Item) error) error { return h.d.Comparisons.Each(ctx, p, q, f) })
		}), nil
	case in.Format != "" && format != "json":
		return nil, fault.New(fault.Invalid, fault.CodeFormat, "a comparison comes as json or csv")
	}
	out, err := h.comparisonPage(ctx, p, q, in)
	if err != nil {
		return nil, err
	}
	return document(ctx, "application/json", "", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(envelope.Envelope[Comparison]{Success: true, Data: out})
	}), nil
}

func (h *handlers) comparisonPage(ctx context.Context, p comparison.Pair, q comparison.Query, in *compareIn) (Comparison, error) {
	filters := page.Filters("compare", in.ID, in.With, in.Change, in.Severity)
	var err error
	if q.Page, err = in.Request(p.Base.Org, filters); err != nil {
		return Comparison{}, err
	}
	l, err := h.d.Comparisons.List(ctx, p, q)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{
		Base: view(p.Base), Compare: view(p.Other), Caveats: make([]Caveat, len(p.Caveats)), Findings: make([]Compared, len(l.Items)),
		Summary: ComparisonSummary{
			New: report.NewSummary(p.Summary.New), Gone: report.NewSummary(p.Summary.Gone), Unchanged: report.NewSummary(p.Summary.Unchanged),
		},
		Pagination: in.View(p.Base.Org, filters, l.Total, l.Next),
	}
	for i, c := range p.Caveats {
		out.Caveats[i] = Caveat{Code: string(c), Message: c.Text()}
	}
	for i, item := range l.Items {
		out.Findings[i] = Compared{Change: string(item.Change), Finding: report.NewFinding(item.Result)}
	}
	return out, nil
}
