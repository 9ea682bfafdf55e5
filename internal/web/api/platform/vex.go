package platform

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// VEX is what the handlers need of package vex.
type VEX interface {
	Export(ctx context.Context, org uid.Org, q vex.Query) (func(io.Writer) error, error)
	Import(ctx context.Context, a access.Actor, document []byte, o vex.Options) (vex.Report, error)
}

const (
	mediaOpenVEX   = "application/vnd.openvex+json"
	mediaCycloneDX = "application/vnd.cyclonedx+json"
)

func (h *handlers) vexRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[exportVEXIn, api.Stream]{
			ID: "exportVEX", Method: http.MethodGet, Path: "/api/vex", Family: problem.Platform,
			Scope: access.FindingsRead, Audit: event.VEXExported, Tags: []string{tagFindings}, Summary: "Export decisions as a VEX document",
			Description: "What people decided on findings that have a CVE id: false positives as not affected, accepted and confirmed ones as " +
				"affected, fixed ones as fixed, and open ones as under investigation. An OpenVEX document must state something, so it is 404 " +
				"where nothing matches.",
			Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
			Produces: []api.Media{
				{Type: mediaOpenVEX, Doc: "OpenVEX 0.2.0"},
				{Type: mediaCycloneDX, Doc: "CycloneDX 1.6"},
			},
			Handle: h.exportVEX,
		}),
		api.Op(api.Route[importVEXIn, Out[VEXReport]]{
			ID: "importVEX", Method: http.MethodPost, Path: "/api/vex", Family: problem.Platform,
			Scope: access.FindingsWrite, Audit: event.VEXImported, Tags: []string{tagFindings}, Summary: "Take a VEX document over",
			Description: "OpenVEX 0.2.0 or CycloneDX 1.4 to 1.6 as JSON, at most 16 MiB. Statements are matched to findings by CVE id, and by host, " +
				"package URL or image where they name one. What a person decided stays unless overwrite=true; a finding with several CVE ids is a " +
				"false positive or fixed only where all of them are; nobody's risk is accepted. The same document twice changes nothing.",
			MaxBody: vex.MaxDocument, Document: true, Handle: h.importVEX,
		}),
	}
}

type exportVEXIn struct {
	Format  string `query:"format" enum:"openvex,cyclonedx" default:"openvex"`
	Host    string `query:"host" maxLength:"255" doc:"Only findings on this host."`
	Scan    string `query:"scan" maxLength:"64" doc:"Only findings that this scan saw."`
	Product string `query:"product" maxLength:"2048" doc:"Only findings at this host, package URL, package name or image."`
}

func (h *handlers) exportVEX(ctx context.Context, in *exportVEXIn) (*api.Stream, error) {
	org := mw.ActorFrom(ctx).Org
	o, err := h.d.Organizations.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	q := vex.Query{Format: vex.Format(in.Format), Author: o.Name, Host: in.Host, Scan: uid.Scan(in.Scan), Product: in.Product}
	write, err := h.d.VEX.Export(ctx, org, q)
	if err != nil {
		return nil, err
	}
	media, name := mediaOpenVEX, "findings.openvex.json"
	if q.Format == vex.CycloneDX {
		media, name = mediaCycloneDX, "findings.cdx.json"
	}
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		return write(w)
	}), nil
}

// VEXDocument is a VEX document as it came.
type VEXDocument []byte

// UnmarshalJSON keeps the bytes.
func (d *VEXDocument) UnmarshalJSON(b []byte) error {
	*d = append((*d)[:0], b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (VEXDocument) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "An OpenVEX or CycloneDX document."}
}

type importVEXIn struct {
	DryRun    bool `query:"dryRun" doc:"Say what would happen, and decide nothing."`
	Overwrite bool `query:"overwrite" doc:"Decide also where a person decided otherwise."`
	Body      VEXDocument
}

// VEXReport is what a document did.
type VEXReport struct {
	Format     string       `json:"format" enum:"openvex,cyclonedx"`
	DryRun     bool         `json:"dryRun"`
	Statements VEXCounts    `json:"statements"`
	Findings   VEXFindings  `json:"findings"`
	Problems   []VEXProblem `json:"problems" doc:"What had no effect; the first 100."`
}

// VEXCounts counts statements.
type VEXCounts struct {
	Total     int `json:"total"`
	Matched   int `json:"matched" doc:"Speak of at least one finding."`
	Unmatched int `json:"unmatched"`
}

// VEXFindings counts the findings that statements speak of.
type VEXFindings struct {
	Total     int `json:"total"`
	Applied   int `json:"applied" doc:"Decided on as the document says; of a dry run, that would be."`
	Unchanged int `json:"unchanged" doc:"Stood so already, or a scan no longer sees them."`
	Conflicts int `json:"conflicts" doc:"A person decided otherwise, which stays."`
	Partial   int `json:"partial" doc:"Have further CVE ids, of which the document doesn't say the same."`
	Changed   int `json:"changed" doc:"Were changed meanwhile; import again."`
}

// VEXProblem is one thing that had no effect.
type VEXProblem struct {
	Statement     int    `json:"statement" doc:"Its index in the document, from 0."`
	Vulnerability string `json:"vulnerability,omitempty"`
	FindingID     string `json:"findingId,omitempty"`
	Reason        string `json:"reason" enum:"no_cve,no_state,unmatched,conflict,partial,changed"`
}

func (h *handlers) importVEX(ctx context.Context, in *importVEXIn) (*Out[VEXReport], error) {
	r, err := h.d.VEX.Import(ctx, mw.ActorFrom(ctx), in.Body, vex.Options{DryRun: in.DryRun, Overwrite: in.Overwrite})
	if err != nil {
		return nil, err
	}
	out := VEXReport{
		Format: string(r.Format), DryRun: in.DryRun, Statements: VEXCounts{r.Statements, r.Matched, r.Unmatched},
		Findings: VEXFindings{r.Findings, r.Applied, r.Unchanged, r.Conflicts, r.Partial, r.Changed}, Problems: make([]VEXProblem, len(r.Problems)),
	}
	for i, p := range r.Problems {
		out.Problems[i] = VEXProblem{Statement: p.Statement, Vulnerability: p.CVE, FindingID: string(p.Finding), Reason: string(p.Why)}
	}
	return &Out[VEXReport]{Body: out}, nil
}
