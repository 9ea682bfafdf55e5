package scanapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
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

const tagScans = "Scans"

func (h *handlers) scanRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[submitIn, envelope.Created[Scan]]{
			ID: "submitScan", Method: http.MethodPost, Path: Base + "/scans", Family: problem.Scan,
			Scope: access.ScansCreate, Audit: event.ScanSubmitted, Status: http.StatusCreated, Tags: []string{tagScans},
			Summary: "Submit a scan",
			Description: "Validates target, options and scope, and puts the scan into the line. It answers at once; follow the scan by " +
				"`/scans/{id}/events` or poll `/scans/{id}`.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.submitted, Handle: h.submit,
		}),
		api.Op(api.Route[listIn, envelope.Out[ScanPage]]{
			ID: "listScans", Method: http.MethodGet, Path: Base + "/scans", Family: problem.Scan, Scope: access.ScansList,
			Audit: event.ScanListed, Tags: []string{tagScans}, Summary: "List scans",
			Description: "Newest first. Filters combine; `q` is free text over name and target. An order that several engines carry out is " +
				"one scan here; `parentId` lists those that carry it out, `includeChildren` all.", Handle: h.list,
		}),
		api.Op(api.Route[ScanRef, envelope.Out[Scan]]{
			ID: "getScan", Method: http.MethodGet, Path: Base + "/scans/{id}", Family: problem.Scan, Scope: access.ScansRead,
			Audit: event.ScanRead, Resource: "scan", Tags: []string{tagScans}, Summary: "Get a scan",
			Description: "Status, progress and, once it has ended, outcome, counts and what was looked at; with the scans that carry it out, " +
				"where others do.", Handle: h.get,
		}),
		api.Op(api.Route[ScanRef, envelope.Out[Scan]]{
			ID: "cancelScan", Method: http.MethodPost, Path: Base + "/scans/{id}/cancel", Family: problem.Scan,
			Scope: access.ScansCancel, Audit: event.ScanCancelAsked, Resource: "scan", Tags: []string{tagScans},
			Summary:     "Cancel a scan",
			Description: "From queued or running. Its processes are gone within 5 seconds; findings so far are kept. Terminal already: 409 `SCAN_NOT_CANCELLABLE`.",
			Errors:      []int{http.StatusConflict}, Handle: h.cancel,
		}),
	}
}

// Order is a scan to be submitted (scans.md 3.1).
type Order struct {
	Target      string                     `json:"target" minLength:"1" maxLength:"2048" doc:"URL, host, domain, IP address, CIDR block, image or repository." example:"127.0.0.1"`
	ScanType    string                     `json:"scanType" minLength:"1" maxLength:"32" doc:"The engine; GET /engines lists them." example:"nmap"`
	Name        string                     `json:"name,omitempty" maxLength:"255"`
	TargetType  string                     `json:"targetType,omitempty" enum:"host,url,domain,ip,network,image,repository,filesystem" doc:"Inferred from the target when absent."`
	Priority    string                     `json:"priority,omitempty" enum:"critical,high,normal,low" default:"normal"`
	Options     map[string]json.RawMessage `json:"options,omitempty" doc:"The engine's own options, as GET /engines declares them."`
	Config      map[string]json.RawMessage `json:"config,omitempty" doc:"rateLimit, maxParallelism, userAgent, headers and authentication, where the engine supports them. Header values and authentication are write-only."`
	Tags        []string                   `json:"tags,omitempty" maxItems:"20"`
	Timeout     int                        `json:"timeout,omitempty" minimum:"10" maximum:"86400" default:"3600" doc:"Seconds."`
	AssetID     string                     `json:"assetId,omitempty" maxLength:"36" doc:"The asset of the inventory that this is about."`
	CallbackURL string                     `json:"callbackUrl,omitempty" maxLength:"2048" doc:"Told once of the scan's end, as a webhook is, signed with the organization's callback secret (POST /api/org/callback-secret/rotate). Needs webhooks:create as well; GET /scans/{id}/callback shows what came of it." example:"https://hooks.example.org/scan-done"`
}

type submitIn struct {
	Body Order
}

// ScanRef names a scan.
type ScanRef struct {
	ID       string `path:"id" doc:"The scan's id."`
	ScanType string `query:"scanType" maxLength:"32" doc:"Optional; where given it must be the scan's own engine."`
}

type listIn struct {
	envelope.Paging
	ScanType string `query:"scanType" maxLength:"32"`
	Status   string `query:"status" enum:"queued,running,completed,failed,cancelled"`
	Priority string `query:"priority" enum:"critical,high,normal,low"`
	Tag      string `query:"tag" maxLength:"64"`
	Target   string `query:"target" maxLength:"2048" doc:"The target's canonical text, exactly."`
	AssetID  string `query:"assetId" maxLength:"36"`
	Parent   string `query:"parentId" maxLength:"36" doc:"Only the scans that carry out this one."`
	Children bool   `query:"includeChildren" doc:"Also scans that carry out others, which are left out otherwise."`
	Template string `query:"templateId" maxLength:"41" doc:"Launched from this template, by hand or by its schedule."`
	From     string `query:"from" maxLength:"40" doc:"Created at or after: RFC 3339, or a date."`
	To       string `query:"to" maxLength:"40" doc:"Created before: RFC 3339; a date is inclusive."`
	Q        string `query:"q" maxLength:"255"`
	Sort     string `query:"sort" enum:"newest,oldest" default:"newest"`
}

// Scan is a scan as the API shows it.
type Scan struct {
	ID             string          `json:"id"`
	ScanType       string          `json:"scanType"`
	Name           string          `json:"name"`
	Target         string          `json:"target"`
	TargetType     string          `json:"targetType"`
	Status         string          `json:"status" enum:"queued,running,completed,failed,cancelled"`
	Outcome        string          `json:"outcome,omitempty" enum:"complete,partial,failed,blocked,nothing_reachable" doc:"How much the scan's silence is worth; set when it is terminal."`
	OutcomeReasons []string        `json:"outcomeReasons,omitempty"`
	Priority       string          `json:"priority" enum:"critical,high,normal,low"`
	Progress       int             `json:"progress" minimum:"0" maximum:"100"`
	Phase          string          `json:"phase,omitempty" doc:"What the engine is doing, for people."`
	Options        json.RawMessage `json:"options,omitempty"`
	Config         json.RawMessage `json:"config,omitempty" doc:"With header values and authentication masked."`
	Tags           []string        `json:"tags"`
	Timeout        int             `json:"timeout"`
	AssetID        string          `json:"assetId,omitempty"`
	TemplateID     string          `json:"templateId,omitempty" doc:"The template that it was launched from."`
	ParentID       string          `json:"parentId,omitempty" doc:"The scan that it carries out a part of."`
	ParentPhase    string          `json:"parentPhase,omitempty" doc:"That scan's phase which it belongs to."`
	Children       []Child         `json:"children,omitempty" doc:"The scans that carry it out, oldest first. In GET /scans/{id} only."`
	Coverage       *Coverage       `json:"coverage,omitempty" doc:"What was looked at, once it has ended. In GET /scans/{id} only."`
	Attempt        int             `json:"attempt" doc:"Starts so far."`
	Error          *ScanError      `json:"error,omitempty"`
	Summary        *report.Summary `json:"summary,omitempty"`
	EngineVersion  string          `json:"engineVersion,omitempty"`
	CreatedBy      string          `json:"createdBy"`
	CreatedAt      api.Time        `json:"createdAt"`
	StartedAt      *api.Time       `json:"startedAt,omitempty"`
	CompletedAt    *api.Time       `json:"completedAt,omitempty"`
}

// ScanError is why a scan failed.
type ScanError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ScanPage is one page of scans.
type ScanPage struct {
	Scans      []Scan              `json:"scans"`
	Pagination envelope.Pagination `json:"pagination"`
}

func view(s scan.Scan) Scan {
	v := Scan{
		ID: string(s.ID), ScanType: s.Engine, Name: s.Name, Target: s.Target, TargetType: string(s.TargetType),
		Status: string(s.Status), Outcome: string(s.Outcome), OutcomeReasons: s.Reasons, Priority: string(s.Priority),
		Progress: s.Progress, Phase: s.Phase, Options: s.Options, Config: s.Config, Tags: envelope.List(s.Tags), Timeout: s.Timeout,
		AssetID: string(s.Asset), TemplateID: string(s.Template), ParentID: string(s.Parent), ParentPhase: s.Stage, Attempt: s.Attempt, EngineVersion: s.Version, CreatedBy: s.CreatedBy,
		CreatedAt: api.At(s.CreatedAt), StartedAt: api.Moment(s.StartedAt), CompletedAt: api.Moment(s.EndedAt),
	}
	if s.Error != nil {
		v.Error = &ScanError{Code: string(s.Error.Code), Message: s.Error.Message}
	}
	if s.Status.Terminal() {
		sum := report.NewSummary(s.Summary)
		v.Summary = &sum
	}
	return v
}

func (h *handlers) submit(ctx context.Context, in *submitIn) (*envelope.Created[Scan], error) {
	s, err := h.d.Scans.Submit(ctx, mw.ActorFrom(ctx), in.Body.order())
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(Base+"/scans", string(s.ID)), view(s)), nil
}

func (h *handlers) submitted(ctx context.Context, id string) (*envelope.Created[Scan], error) {
	s, err := h.d.Scans.Get(ctx, mw.ActorFrom(ctx).Org, uid.Scan(id))
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(Base+"/scans", id), view(s)), nil
}

func (h *handlers) get(ctx context.Context, in *ScanRef) (*envelope.Out[Scan], error) {
	s, err := h.find(ctx, in.ID, in.ScanType)
	if err != nil {
		return nil, err
	}
	v := view(s)
	if v.Coverage, err = h.coverage(ctx, s); err != nil {
		return nil, err
	}
	if s.Course != nil {
		if v.Children, err = h.children(ctx, s); err != nil {
			return nil, err
		}
	}
	return envelope.OK(v), nil
}

// find reads the scan and holds the rule that a given scanType must be its own.
func (h *handlers) find(ctx context.Context, id, scanType string) (scan.Scan, error) {
	if !uid.Valid(id) {
		return scan.Scan{}, fault.Missing("scan")
	}
	s, err := h.d.Scans.Get(ctx, mw.ActorFrom(ctx).Org, uid.Scan(id))
	if err == nil && scanType != "" && scanType != s.Engine {
		return scan.Scan{}, fault.Missing("scan")
	}
	return s, err
}

func (h *handlers) cancel(ctx context.Context, in *ScanRef) (*envelope.Out[Scan], error) {
	if _, err := h.find(ctx, in.ID, in.ScanType); err != nil {
		return nil, err
	}
	s, err := h.d.Scans.Cancel(ctx, mw.ActorFrom(ctx), uid.Scan(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(view(s)), nil
}

func (h *handlers) list(ctx context.Context, in *listIn) (*envelope.Out[ScanPage], error) {
	org := mw.ActorFrom(ctx).Org
	from, to, err := envelope.Span(in.From, in.To)
	if err != nil {
		return nil, err
	}
	filters := page.Filters("scans", in.ScanType, in.Status, in.Priority, in.Tag, in.Target, in.AssetID, in.Template, in.Parent, strconv.FormatBool(in.Children), in.From, in.To, in.Q, in.Sort)
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Scans.List(ctx, org, scan.Query{
		Engine: in.ScanType, Status: scan.Status(in.Status), Priority: scan.Priority(in.Priority), Tag: in.Tag,
		Target: strings.TrimSpace(in.Target), Asset: uid.Asset(in.AssetID), Template: uid.Template(in.Template), Parent: uid.Scan(in.Parent), Children: in.Children, From: from, To: to, Q: in.Q,
		Oldest: in.Sort == "oldest", Page: p,
	})
	if err != nil {
		return nil, err
	}
	out := ScanPage{Scans: make([]Scan, len(l.Items)), Pagination: in.View(org, filters, l.Total, l.Next)}
	for i, s := range l.Items {
		out.Scans[i] = view(s)
	}
	return envelope.OK(out), nil
}
