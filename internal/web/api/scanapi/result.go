package scanapi

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
)

func (h *handlers) resultRoutes() []api.Entry {
	return []api.Entry{api.Op(api.Route[resultsIn, api.Stream]{
		ID: "getScanResults", Method: http.MethodGet, Path: Base + "/scans/{id}/results", Family: problem.Scan,
		Scope: access.ResultsRead, Audit: event.ScanResultsRead, Resource: "scan", Tags: []string{tagScans},
		Summary: "Get a scan's results",
		Description: "Worst first. As JSON a page in the envelope; as html, csv, sarif, cyclonedx or raw (the engine's own output) the whole document " +
			"without one. `format` outranks `Accept`, whose weights count. An HTML document shows the first 5,000 findings. A scan that names " +
			"no package has no CycloneDX form: 400 `FORMAT_NOT_SUPPORTED`. Not terminal yet: 409 `RESULTS_NOT_READY`.",
		Errors: []int{http.StatusConflict},
		Produces: []api.Media{
			{Type: "application/json", Schema: envelope.Envelope[ResultPage]{}},
			{Type: mediaHTML, Doc: "A report for people: one file that loads and runs nothing."},
			{Type: mediaSARIF, Doc: "SARIF 2.1.0"},
			{Type: mediaCSV, Doc: "RFC 4180, with a header line"},
			{Type: mediaCycloneDX, Doc: "CycloneDX 1.6: every package that the engine listed, and what is wrong with them."},
			{Type: mediaRaw, Doc: "The engine's own output."},
		},
		Handle: h.results,
	})}
}

type resultsIn struct {
	ScanRef
	envelope.Paging
	Format   string `query:"format" maxLength:"32" doc:"json (default), html, csv, sarif, cyclonedx or raw."`
	Severity string `query:"severity" enum:"critical,high,medium,low,info"`
	Category string `query:"category" enum:"exposure,service,tls,configuration,vulnerability,disclosure,secret,cryptography"`
	Q        string `query:"q" maxLength:"255" doc:"Free text over titles."`
	Accept   string `header:"Accept" hidden:"true"`
}

// ResultPage is one page of a scan's findings with what is known of the scan.
type ResultPage struct {
	ScanID         string              `json:"scanId"`
	ScanType       string              `json:"scanType"`
	Status         string              `json:"status"`
	Outcome        string              `json:"outcome"`
	OutcomeReasons []string            `json:"outcomeReasons"`
	Target         string              `json:"target"`
	Engine         EngineUsed          `json:"engine"`
	Error          *ScanError          `json:"error,omitempty"`
	Coverage       *Coverage           `json:"coverage" doc:"What was looked at: what \"nothing found\" is worth."`
	Summary        report.Summary      `json:"summary"`
	Findings       []report.Finding    `json:"findings"`
	Assets         []AssetSeen         `json:"assets"`
	Artifacts      []Artifact          `json:"artifacts"`
	StartedAt      *api.Time           `json:"startedAt" nullable:"true"`
	CompletedAt    *api.Time           `json:"completedAt" nullable:"true"`
	Pagination     envelope.Pagination `json:"pagination"`
}

// EngineUsed is the engine that ran.
type EngineUsed struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// AssetSeen is an asset that the scan saw.
type AssetSeen struct {
	Kind       string          `json:"kind"`
	Name       string          `json:"name"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

// Artifact is a kept raw output.
type Artifact struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	Truncated bool   `json:"truncated" doc:"The engine wrote more than is kept."`
}

func (h *handlers) results(ctx context.Context, in *resultsIn) (*api.Stream, error) {
	s, err := h.find(ctx, in.ID, in.ScanType)
	if err != nil {
		return nil, err
	}
	f, err := negotiate(in.Format, in.Accept, formats())
	if err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		return nil, err
	}
	q := scan.ResultQuery{Severity: finding.Severity(in.Severity), Category: finding.Category(in.Category), Q: in.Q}
	switch f.name {
	case "json":
		return h.resultJSON(ctx, s, in, q)
	case "raw":
		return h.raw(ctx, s)
	}
	d, err := h.scanDocument(ctx, s, in)
	if err != nil {
		return nil, err
	}
	each := func(f func(scan.Result) error) error { return h.d.Results.EachResult(ctx, s.Org, s.ID, q, f) }
	return file(ctx, f, f.disposition(s.Engine, string(s.ID)), func(w io.Writer) error {
		switch f.name {
		case "html":
			return report.HTML(w, d, each)
		case "sarif":
			return report.SARIF(w, s, each)
		case "cyclonedx":
			return report.CycloneDX(w, d, each)
		}
		return report.CSV(w, each)
	}), nil
}

func (h *handlers) resultJSON(ctx context.Context, s scan.Scan, in *resultsIn, q scan.ResultQuery) (*api.Stream, error) {
	out, err := h.resultPage(ctx, s, in, q)
	if err != nil {
		return nil, err
	}
	return file(ctx, formats()[0], "", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(envelope.Envelope[ResultPage]{Success: true, Data: out})
	}), nil
}

// document streams a document; a name makes it a download.
func document(ctx context.Context, media, name string, write func(io.Writer) error) *api.Stream {
	disposition := ""
	if name != "" {
		disposition = `attachment; filename="` + name + `"`
	}
	return file(ctx, format{header: media}, disposition, write)
}

// file streams a document. A failure before its first byte is answered as any other, without what is true of the
// document only.
func file(ctx context.Context, f format, disposition string, write func(io.Writer) error) *api.Stream {
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		h := w.Header()
		policy := h.Get("Content-Security-Policy")
		h.Add("Vary", "Accept")
		h.Set("Content-Type", f.header)
		if disposition != "" {
			h.Set("Content-Disposition", disposition)
		}
		if f.inline {
			h.Set("Content-Security-Policy", report.HTMLPolicy())
		}
		err := write(w)
		if err != nil {
			h.Del("Content-Disposition")
			h.Set("Content-Security-Policy", policy)
		}
		return err
	})
}

// filtered says in words what results were narrowed to.
func filtered(in *resultsIn) []string {
	var out []string
	if in.Severity != "" {
		out = append(out, "Only findings of severity "+in.Severity+".")
	}
	if in.Category != "" {
		out = append(out, "Only findings of category "+in.Category+".")
	}
	if in.Q != "" {
		out = append(out, "Only findings that match the search for: "+in.Q+".")
	}
	return out
}

// scanDocument gathers what documents tell of a scan beside its findings.
func (h *handlers) scanDocument(ctx context.Context, s scan.Scan, in *resultsIn) (report.ScanDocument, error) {
	d := report.ScanDocument{Scan: s, Only: filtered(in), Version: h.d.Version, Now: h.d.Now()}
	var err error
	if d.Assets, err = h.d.Results.ScanAssets(ctx, s.Org, s.ID); err != nil {
		return d, err
	}
	if d.Artifacts, err = h.d.Results.Artifacts(ctx, s.Org, s.ID); err != nil {
		return d, err
	}
	if h.d.Packages != nil {
		d.Packages = func(f func(finding.Package) error) (bool, error) { return h.d.Packages.Packages(ctx, s, f) }
	}
	d.Looked, err = h.d.Results.Looked(ctx, s.Org, s.ID)
	return d, err
}

func (h *handlers) raw(ctx context.Context, s scan.Scan) (*api.Stream, error) {
	a, r, err := h.d.Results.Raw(ctx, s.Org, s.ID)
	if err != nil {
		return nil, err
	}
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		defer func() { _ = r.Close() }()
		// The type that the engine gave may be one that a browser runs: it is for saving only.
		w.Header().Set("Content-Type", mediaRaw)
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": string(s.ID) + "-" + a.Name}))
		_, err := io.Copy(w, r)
		return err
	}), nil
}

func (h *handlers) resultPage(ctx context.Context, s scan.Scan, in *resultsIn, q scan.ResultQuery) (ResultPage, error) {
	filters := page.Filters("results", in.ID, in.Severity, in.Category, in.Q)
	p, err := in.Request(s.Org, filters)
	if err != nil {
		return ResultPage{}, err
	}
	q.Page = p
	found, err := h.d.Results.Results(ctx, s.Org, s.ID, q)
	if err != nil {
		return ResultPage{}, err
	}
	artifacts, err := h.d.Results.Artifacts(ctx, s.Org, s.ID)
	if err != nil {
		return ResultPage{}, err
	}
	assets, err := h.d.Results.ScanAssets(ctx, s.Org, s.ID)
	if err != nil {
		return ResultPage{}, err
	}
	coverage, err := h.coverage(ctx, s)
	if err != nil {
		return ResultPage{}, err
	}
	out := ResultPage{
		Coverage: coverage,
		ScanID:   string(s.ID), ScanType: s.Engine, Status: string(s.Status), Outcome: string(s.Outcome),
		OutcomeReasons: envelope.List(s.Reasons), Target: s.Target, Engine: EngineUsed{Name: s.Engine, Version: s.Version},
		Error: view(s).Error, Summary: report.NewSummary(s.Summary), Findings: make([]report.Finding, len(found.Items)),
		Assets: make([]AssetSeen, len(assets)), Artifacts: make([]Artifact, len(artifacts)), StartedAt: api.Moment(s.StartedAt),
		CompletedAt: api.Moment(s.EndedAt), Pagination: in.View(s.Org, filters, found.Total, found.Next),
	}
	for i, r := range found.Items {
		out.Findings[i] = report.NewFinding(r)
	}
	for i, a := range assets {
		out.Assets[i] = AssetSeen{Kind: string(a.Kind), Name: a.Name, Attributes: a.Attributes}
	}
	for i, a := range artifacts {
		out.Artifacts[i] = Artifact(a)
	}
	return out, nil
}
