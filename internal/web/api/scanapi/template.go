package scanapi

import (
	"context"
	"encoding/json"
	"net/http"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	tagTemplates = "Scan templates"
	templates    = Base + "/scan-templates"
)

// Templates is what the handlers need of templates. Another organization's template is a NotFound fault.
type Templates interface {
	Create(ctx context.Context, a access.Actor, d template.Draft) (template.Template, error)
	Get(ctx context.Context, org uid.Org, id uid.Template) (template.Template, error)
	List(ctx context.Context, org uid.Org, q template.Query) (template.List, error)
	Replace(ctx context.Context, a access.Actor, id uid.Template, d template.Draft) (template.Template, error)
	Delete(ctx context.Context, a access.Actor, id uid.Template) (template.Template, error)
	Launch(ctx context.Context, a access.Actor, id uid.Template, over scan.Order) (scan.Scan, error)
	Runs(ctx context.Context, org uid.Org, id uid.Template, p page.Request) (template.Runs, error)
}

func (h *handlers) templateRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[newTemplateIn, envelope.Created[Template]]{
			ID: "createScanTemplate", Method: http.MethodPost, Path: templates, Family: problem.Scan, Scope: access.TemplatesCreate,
			Audit: event.TemplateCreated, Status: http.StatusCreated, Tags: []string{tagTemplates}, Summary: "Create a scan template",
			Description: "All of an order but, mostly, its target; checked as an order is. With `targets` and `schedule` it starts by itself, in " +
				"the name of who wrote the schedule: an enabled schedule needs scans:create and templates:read as well. 409: the name is taken.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.templateCreated, Handle: h.createTemplate,
		}),
		api.Op(api.Route[templatesIn, envelope.Out[TemplatePage]]{
			ID: "listScanTemplates", Method: http.MethodGet, Path: templates, Family: problem.Scan, Scope: access.TemplatesRead,
			Audit: event.TemplateListed, Tags: []string{tagTemplates}, Summary: "List scan templates",
			Description: "Newest first. Filters combine; `q` is free text over name and description.", Handle: h.listTemplates,
		}),
		api.Op(api.Route[TemplateRef, envelope.Out[Template]]{
			ID: "getScanTemplate", Method: http.MethodGet, Path: templates + "/{id}", Family: problem.Scan, Scope: access.TemplatesRead,
			Audit: event.TemplateRead, Resource: "scan_template", Tags: []string{tagTemplates}, Summary: "Get a scan template",
			Description: "With its schedule and next start; secret config values are masked.", Handle: h.getTemplate,
		}),
		api.Op(api.Route[replaceTemplateIn, envelope.Out[Template]]{
			ID: "replaceScanTemplate", Method: http.MethodPut, Path: templates + "/{id}", Family: problem.Scan, Scope: access.TemplatesUpdate,
			Audit: event.TemplateUpdated, Resource: "scan_template", Tags: []string{tagTemplates}, Summary: "Replace a scan template",
			Description: "The whole of it: what is left out is gone. A masked value of `config`, sent back as it was shown, keeps what is stored. " +
				"The schedule runs in the caller's name from now on; where `cron` and `timeZone` are what they were, the next due time stays.",
			Errors: []int{http.StatusConflict}, Handle: h.replaceTemplate,
		}),
		api.Op(api.Route[TemplateRef, envelope.Out[Template]]{
			ID: "deleteScanTemplate", Method: http.MethodDelete, Path: templates + "/{id}", Family: problem.Scan, Scope: access.TemplatesDelete,
			Audit: event.TemplateDeleted, Resource: "scan_template", Tags: []string{tagTemplates}, Summary: "Delete a scan template",
			Description: "With its schedule and the history of its runs. Its scans stay.", Handle: h.deleteTemplate,
		}),
		api.Op(api.Route[launchIn, envelope.Created[Scan]]{
			ID: "launchScanTemplate", Method: http.MethodPost, Path: templates + "/{id}/launch", Family: problem.Scan, Scope: access.ScansCreate,
			Audit: event.TemplateLaunched, Resource: "scan_template", Status: http.StatusCreated, Tags: []string{tagTemplates},
			Summary: "Launch a scan from a template",
			Description: "Needs templates:read as well. Fields that are given stand in place of the template's; `options` and `config` merge key by " +
				"key. The engine must be one that the caller's key allows. Answers as `POST /scans`.",
			Errors: []int{http.StatusConflict}, Once: true, Replay: h.submitted, Handle: h.launchTemplate,
		}),
		api.Op(api.Route[runsIn, envelope.Out[TemplateRunPage]]{
			ID: "listScanTemplateRuns", Method: http.MethodGet, Path: templates + "/{id}/runs", Family: problem.Scan, Scope: access.TemplatesRead,
			Audit: event.TemplateRunsRead, Resource: "scan_template", Tags: []string{tagTemplates}, Summary: "List what a schedule has started",
			Description: "Newest due time first; the last 1,000 are kept. One run for each due time that came, also where it was skipped or refused.",
			Handle:      h.listRuns,
		}),
	}
}

// NewTemplate is a template to be created, or put in place of another (scans.md 3.2).
type NewTemplate struct {
	Name        string                     `json:"name" minLength:"1" maxLength:"255" doc:"Unique in the organization." example:"Nightly ports"`
	Description string                     `json:"description,omitempty" maxLength:"2000"`
	ScanType    string                     `json:"scanType" minLength:"1" maxLength:"32" doc:"The engine; GET /engines lists them." example:"nmap"`
	TargetType  string                     `json:"targetType,omitempty" enum:"host,url,domain,ip,network,image,repository,filesystem" doc:"Of its targets; inferred from each when absent."`
	Priority    string                     `json:"priority,omitempty" enum:"critical,high,normal,low" default:"normal"`
	Options     map[string]json.RawMessage `json:"options,omitempty" doc:"The engine's own options, as GET /engines declares them."`
	Config      map[string]json.RawMessage `json:"config,omitempty" doc:"As in POST /scans. Header values and authentication are write-only."`
	Tags        []string                   `json:"tags,omitempty" maxItems:"20" doc:"Of the template, and of its scans."`
	Timeout     int                        `json:"timeout,omitempty" minimum:"10" maximum:"86400" default:"3600" doc:"Seconds."`
	Targets     []string                   `json:"targets,omitempty" maxItems:"100" doc:"What the schedule scans."`
	Schedule    *NewTemplateSchedule       `json:"schedule,omitempty"`
}

// NewTemplateSchedule is when a template starts by itself.
type NewTemplateSchedule struct {
	Cron     string `json:"cron" minLength:"1" maxLength:"100" doc:"Minute, hour, day of month, month, day of week." example:"30 2 * * *"`
	TimeZone string `json:"timeZone,omitempty" maxLength:"64" default:"UTC" doc:"IANA name, such as Europe/Paris. A time that the clock skips runs right after, one that comes twice runs once."`
	Overlap  string `json:"overlap,omitempty" enum:"skip,allow,replace" default:"skip" doc:"What happens while scans of an earlier run have not ended: the new run is left out, both go on, or the earlier scans are cancelled."`
	Jitter   int    `json:"jitterSeconds,omitempty" minimum:"0" maximum:"3600" doc:"Each run starts up to so many seconds late, the same on every node."`
	Enabled  *bool  `json:"enabled,omitempty" default:"true"`
}

// Template is a template as the API shows it.
type Template struct {
	ID          string            `json:"id"`
	TenantID    string            `json:"tenantId" doc:"The organization."`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	ScanType    string            `json:"scanType"`
	TargetType  string            `json:"targetType,omitempty"`
	Priority    string            `json:"priority" enum:"critical,high,normal,low"`
	Options     json.RawMessage   `json:"options,omitempty"`
	Config      json.RawMessage   `json:"config,omitempty" doc:"With header values and authentication masked."`
	Tags        []string          `json:"tags"`
	Timeout     int               `json:"timeout"`
	Targets     []string          `json:"targets"`
	Schedule    *TemplateSchedule `json:"schedule,omitempty"`
	CreatedBy   string            `json:"createdBy"`
	CreatedAt   api.Time          `json:"createdAt"`
	UpdatedAt   api.Time          `json:"updatedAt"`
}

// TemplateSchedule is a template's schedule, and where it stands.
type TemplateSchedule struct {
	Cron      string                   `json:"cron"`
	TimeZone  string                   `json:"timeZone"`
	Overlap   string                   `json:"overlap" enum:"skip,allow,replace"`
	Jitter    int                      `json:"jitterSeconds"`
	Enabled   bool                     `json:"enabled"`
	RunsAs    string                   `json:"runsAs" doc:"The principal that wrote the schedule: its runs have its rights, and end with them."`
	NextDueAt *api.Time                `json:"nextDueAt" nullable:"true" doc:"null unless it is enabled."`
	NextRunAt *api.Time                `json:"nextRunAt" nullable:"true" doc:"nextDueAt and its jitter."`
	LastDueAt *api.Time                `json:"lastDueAt" nullable:"true" doc:"The last due time that was run."`
	Stopped   *TemplateScheduleStopped `json:"stopped,omitempty" doc:"The server disabled the schedule; put the template again to start it anew."`
}

// TemplateScheduleStopped is why the server disabled a schedule.
type TemplateScheduleStopped struct {
	Reason  string   `json:"reason" enum:"key_revoked,key_suspended,key_expired,user_disabled,owner_gone,scope_lost,engine_lost,schedule_not_readable"`
	Message string   `json:"message"`
	At      api.Time `json:"at"`
}

// TemplatePage is one page of templates.
type TemplatePage struct {
	Templates  []Template          `json:"templates"`
	Pagination envelope.Pagination `json:"pagination"`
}

// Launch is what a launch gives; all but the target stands in place of the template's.
type Launch struct {
	Target      string                     `json:"target" minLength:"1" maxLength:"2048" doc:"URL, host, domain, IP address, CIDR block, image or repository." example:"127.0.0.1"`
	ScanType    string                     `json:"scanType,omitempty" maxLength:"32"`
	Name        string                     `json:"name,omitempty" maxLength:"255" doc:"Default: the template's."`
	TargetType  string                     `json:"targetType,omitempty" enum:"host,url,domain,ip,network,image,repository,filesystem"`
	Priority    string                     `json:"priority,omitempty" enum:"critical,high,normal,low"`
	Options     map[string]json.RawMessage `json:"options,omitempty"`
	Config      map[string]json.RawMessage `json:"config,omitempty"`
	Tags        []string                   `json:"tags,omitempty" maxItems:"20"`
	Timeout     int                        `json:"timeout,omitempty" minimum:"10" maximum:"86400" doc:"Seconds."`
	AssetID     string                     `json:"assetId,omitempty" maxLength:"36"`
	CallbackURL string                     `json:"callbackUrl,omitempty" maxLength:"2048" doc:"As in POST /scans."`
}

// TemplateRun is one start of a template by its schedule.
type TemplateRun struct {
	ID        string            `json:"id"`
	DueAt     api.Time          `json:"dueAt"`
	StartedAt api.Time          `json:"startedAt"`
	State     string            `json:"state" enum:"started,partial,refused,skipped" doc:"partial: some targets were refused; skipped: an earlier run was still going on."`
	Accepted  int               `json:"accepted"`
	Refused   int               `json:"refused"`
	Replaced  int               `json:"replaced" doc:"Scans of earlier runs that were cancelled for it."`
	Items     []TemplateRunItem `json:"items" doc:"One for each target, in order."`
}

// TemplateRunItem is what became of one target: exactly one of scanId and error is there.
type TemplateRunItem struct {
	Target string            `json:"target"`
	ScanID string            `json:"scanId,omitempty"`
	Error  *TemplateRunError `json:"error,omitempty"`
}

// TemplateRunError is why a target was refused.
type TemplateRunError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// TemplateRunPage is one page of runs.
type TemplateRunPage struct {
	Runs       []TemplateRun       `json:"runs"`
	Pagination envelope.Pagination `json:"pagination"`
}

type newTemplateIn struct {
	Body NewTemplate
}

type templatesIn struct {
	envelope.Paging
	ScanType string `query:"scanType" maxLength:"32"`
	Tag      string `query:"tag" maxLength:"64"`
	Q        string `query:"q" maxLength:"255"`
}

// TemplateRef names a template.
type TemplateRef struct {
	ID string `path:"id" doc:"The template's id."`
}

type replaceTemplateIn struct {
	TemplateRef
	Body NewTemplate
}

type launchIn struct {
	TemplateRef
	Body Launch
}

type runsIn struct {
	TemplateRef
	envelope.Paging
}

func (n NewTemplate) draft() template.Draft {
	d := template.Draft{
		Name: n.Name, Description: n.Description, Engine: n.ScanType, TargetType: asset.TargetType(n.TargetType),
		Priority: scan.Priority(n.Priority), Options: n.Options, Config: n.Config, Tags: n.Tags, Timeout: n.Timeout, Targets: n.Targets,
	}
	if s := n.Schedule; s != nil {
		d.Schedule = &template.Plan{
			Spec:    schedule.Spec{Cron: s.Cron, TimeZone: s.TimeZone, Jitter: s.Jitter, Overlap: schedule.Overlap(s.Overlap)},
			Enabled: s.Enabled == nil || *s.Enabled,
		}
	}
	return d
}

func templateView(t template.Template) Template {
	v := Template{
		ID: string(t.ID), TenantID: string(t.Org), Name: t.Name, Description: t.Description, ScanType: t.Engine, TargetType: string(t.TargetType),
		Priority: string(t.Priority), Options: t.Options, Config: t.Config, Tags: envelope.List(t.Tags), Timeout: t.Timeout, Targets: envelope.List(t.Targets),
		CreatedBy: t.CreatedBy, CreatedAt: api.At(t.CreatedAt), UpdatedAt: api.At(t.UpdatedAt),
	}
	s := t.Schedule
	if s == nil {
		return v
	}
	v.Schedule = &TemplateSchedule{
		Cron: s.Cron, TimeZone: s.TimeZone, Overlap: string(s.Overlap), Jitter: s.Jitter, Enabled: s.Enabled, RunsAs: s.RunsAs,
		NextDueAt: api.Moment(s.Next), NextRunAt: api.Moment(s.Start), LastDueAt: api.Moment(s.Last),
	}
	if s.Stopped != nil {
		v.Schedule.Stopped = &TemplateScheduleStopped{Reason: string(s.Stopped.Reason), Message: s.Stopped.Reason.Text(), At: api.At(s.Stopped.At)}
	}
	return v
}

func runView(r template.Run) TemplateRun {
	v := TemplateRun{
		ID: string(r.ID), DueAt: api.At(r.Due), StartedAt: api.At(r.At), State: string(r.State), Replaced: r.Replaced, Items: make([]TemplateRunItem, len(r.Items)),
	}
	for i, item := range r.Items {
		v.Items[i] = TemplateRunItem{Target: item.Target, ScanID: string(item.Scan)}
		if item.Code == "" {
			v.Accepted++
			continue
		}
		v.Refused++
		v.Items[i].Error = &TemplateRunError{Code: string(item.Code), Message: item.Message}
	}
	return v
}

func (h *handlers) createTemplate(ctx context.Context, in *newTemplateIn) (*envelope.Created[Template], error) {
	t, err := h.d.Templates.Create(ctx, mw.ActorFrom(ctx), in.Body.draft())
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(templates, string(t.ID)), templateView(t)), nil
}

func (h *handlers) templateCreated(ctx context.Context, id string) (*envelope.Created[Template], error) {
	t, err := h.d.Templates.Get(ctx, mw.ActorFrom(ctx).Org, uid.Template(id))
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(templates, id), templateView(t)), nil
}

func (h *handlers) listTemplates(ctx context.Context, in *templatesIn) (*envelope.Out[TemplatePage], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("scan-templates", in.ScanType, in.Tag, in.Q)
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Templates.List(ctx, org, template.Query{Engine: in.ScanType, Tag: in.Tag, Q: in.Q, Page: p})
	if err != nil {
		return nil, err
	}
	out := TemplatePage{Templates: make([]Template, len(l.Items)), Pagination: in.View(org, filters, l.Total, l.Next)}
	for i, t := range l.Items {
		out.Templates[i] = templateView(t)
	}
	return envelope.OK(out), nil
}

func (h *handlers) getTemplate(ctx context.Context, in *TemplateRef) (*envelope.Out[Template], error) {
	t, err := h.d.Templates.Get(ctx, mw.ActorFrom(ctx).Org, uid.Template(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(templateView(t)), nil
}

func (h *handlers) replaceTemplate(ctx context.Context, in *replaceTemplateIn) (*envelope.Out[Template], error) {
	t, err := h.d.Templates.Replace(ctx, mw.ActorFrom(ctx), uid.Template(in.ID), in.Body.draft())
	if err != nil {
		return nil, err
	}
	return envelope.OK(templateView(t)), nil
}

func (h *handlers) deleteTemplate(ctx context.Context, in *TemplateRef) (*envelope.Out[Template], error) {
	t, err := h.d.Templates.Delete(ctx, mw.ActorFrom(ctx), uid.Template(in.ID))
	if err != nil {
		return nil, err
	}
	return envelope.OK(templateView(t)), nil
}

func (h *handlers) launchTemplate(ctx context.Context, in *launchIn) (*envelope.Created[Scan], error) {
	s, err := h.d.Templates.Launch(ctx, mw.ActorFrom(ctx), uid.Template(in.ID), Order(in.Body).order())
	if err != nil {
		return nil, err
	}
	return envelope.Made(api.Path(Base+"/scans", string(s.ID)), view(s)), nil
}

func (h *handlers) listRuns(ctx context.Context, in *runsIn) (*envelope.Out[TemplateRunPage], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("scan-template-runs", in.ID)
	p, err := in.Request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Templates.Runs(ctx, org, uid.Template(in.ID), p)
	if err != nil {
		return nil, err
	}
	out := TemplateRunPage{Runs: make([]TemplateRun, len(l.Items)), Pagination: in.View(org, filters, l.Total, l.Next)}
	for i, r := range l.Items {
		out.Runs[i] = runView(r)
	}
	return envelope.OK(out), nil
}
