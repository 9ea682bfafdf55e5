package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// TemplateOrder is a template to be created, or put in place of another (scans.md 3.2).
type TemplateOrder struct {
	Name        string                     `json:"name"`
	Description string                     `json:"description,omitempty"`
	ScanType    string                     `json:"scanType"`
	TargetType  string                     `json:"targetType,omitempty"`
	Priority    string                     `json:"priority,omitempty"`
	Options     map[string]json.RawMessage `json:"options,omitempty"`
	Config      json.RawMessage            `json:"config,omitempty"`
	Tags        []string                   `json:"tags,omitempty"`
	Timeout     int                        `json:"timeout,omitempty"`
	Targets     []string                   `json:"targets,omitempty"`
	Schedule    *ScheduleOrder             `json:"schedule,omitempty"`
}

// ScheduleOrder is when a template is to start by itself.
type ScheduleOrder struct {
	Cron          string `json:"cron"`
	TimeZone      string `json:"timeZone,omitempty"`
	Overlap       string `json:"overlap,omitempty"`
	JitterSeconds int    `json:"jitterSeconds,omitempty"`
	Enabled       *bool  `json:"enabled,omitempty"` // nil = true
}

// Template is a scan template as the API shows it.
type Template struct {
	ID          string          `json:"id"`
	TenantID    string          `json:"tenantId"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	ScanType    string          `json:"scanType"`
	TargetType  string          `json:"targetType,omitempty"`
	Priority    string          `json:"priority"`
	Options     json.RawMessage `json:"options,omitempty"`
	Config      json.RawMessage `json:"config,omitempty"`
	Tags        []string        `json:"tags"`
	Timeout     int             `json:"timeout"`
	Targets     []string        `json:"targets"`
	Schedule    *Schedule       `json:"schedule,omitempty"`
	CreatedBy   string          `json:"createdBy"`
	CreatedAt   time.Time       `json:"createdAt"`
	UpdatedAt   time.Time       `json:"updatedAt"`
}

// Schedule is a template's schedule, and where it stands.
type Schedule struct {
	Cron          string           `json:"cron"`
	TimeZone      string           `json:"timeZone"`
	Overlap       string           `json:"overlap"`
	JitterSeconds int              `json:"jitterSeconds"`
	Enabled       bool             `json:"enabled"`
	RunsAs        string           `json:"runsAs"`
	NextDueAt     *time.Time       `json:"nextDueAt"`
	NextRunAt     *time.Time       `json:"nextRunAt"`
	LastDueAt     *time.Time       `json:"lastDueAt"`
	Stopped       *ScheduleStopped `json:"stopped,omitempty"`
}

// ScheduleStopped is why the server disabled a schedule.
type ScheduleStopped struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// Templates is one page of templates, newest first.
type Templates struct {
	Templates  []Template `json:"templates"`
	Pagination Pagination `json:"pagination"`
}

// TemplateQuery filters a list of templates; empty fields don't filter.
type TemplateQuery struct {
	ScanType, Tag, Q string
	Limit            int
	Cursor           string
}

// TemplateRun is one start of a template by its schedule.
type TemplateRun struct {
	ID        string            `json:"id"`
	DueAt     time.Time         `json:"dueAt"`
	StartedAt time.Time         `json:"startedAt"`
	State     string            `json:"state"`
	Accepted  int               `json:"accepted"`
	Refused   int               `json:"refused"`
	Replaced  int               `json:"replaced"`
	Items     []TemplateRunItem `json:"items"`
}

// TemplateRunItem is what became of one target.
type TemplateRunItem struct {
	Target string   `json:"target"`
	ScanID string   `json:"scanId,omitempty"`
	Error  *Failure `json:"error,omitempty"`
}

// TemplateRuns is one page of a template's runs, newest first.
type TemplateRuns struct {
	Runs       []TemplateRun `json:"runs"`
	Pagination Pagination    `json:"pagination"`
}

const templatePath = "/scan-templates"

func templateAt(id string) string { return templatePath + "/" + url.PathEscape(id) }

// keyed are the headers of a call that takes effect once; empty = no protection.
func keyed(once string) map[string]string {
	if once == "" {
		return nil
	}
	return map[string]string{"Idempotency-Key": once}
}

func windowed(v url.Values, limit int, cursor string) url.Values {
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	return v
}

// CreateTemplate keeps a new template. once makes a repeated call take effect once; empty = no protection.
func (c *Client) CreateTemplate(ctx context.Context, o TemplateOrder, once string) (Template, error) {
	return scanDo[Template](ctx, c, call{method: http.MethodPost, path: templatePath, in: o, headers: keyed(once)})
}

// Templates returns one page of templates.
func (c *Client) Templates(ctx context.Context, q TemplateQuery) (Templates, error) {
	v := url.Values{}
	for name, value := range map[string]string{"scanType": q.ScanType, "tag": q.Tag, "q": q.Q} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return scanDo[Templates](ctx, c, call{method: http.MethodGet, path: templatePath, query: windowed(v, q.Limit, q.Cursor)})
}

// Template returns one template.
func (c *Client) Template(ctx context.Context, id string) (Template, error) {
	return scanDo[Template](ctx, c, call{method: http.MethodGet, path: templateAt(id)})
}

// ReplaceTemplate puts the order in the place of all that a template is.
func (c *Client) ReplaceTemplate(ctx context.Context, id string, o TemplateOrder) (Template, error) {
	return scanDo[Template](ctx, c, call{method: http.MethodPut, path: templateAt(id), in: o})
}

// DeleteTemplate removes a template with the history of its schedule; its scans stay.
func (c *Client) DeleteTemplate(ctx context.Context, id string) (Template, error) {
	return scanDo[Template](ctx, c, call{method: http.MethodDelete, path: templateAt(id)})
}

// LaunchTemplate submits a scan of the template; what o gives beside the target stands in place of the template's. once
// makes a repeated call take effect once; empty = no protection.
func (c *Client) LaunchTemplate(ctx context.Context, id string, o LaunchOrder, once string) (Scan, error) {
	return scanDo[Scan](ctx, c, call{method: http.MethodPost, path: templateAt(id) + "/launch", in: o, headers: keyed(once)})
}

// LaunchOrder is what a launch gives; all but the target may be left out.
type LaunchOrder struct {
	Target     string                     `json:"target"`
	ScanType   string                     `json:"scanType,omitempty"`
	Name       string                     `json:"name,omitempty"`
	TargetType string                     `json:"targetType,omitempty"`
	Priority   string                     `json:"priority,omitempty"`
	Options    map[string]json.RawMessage `json:"options,omitempty"`
	Config     json.RawMessage            `json:"config,omitempty"`
	Tags       []string                   `json:"tags,omitempty"`
	Timeout    int                        `json:"timeout,omitempty"`
	AssetID    string                     `json:"assetId,omitempty"`
}

// TemplateRuns returns one page of what a template's schedule has started.
func (c *Client) TemplateRuns(ctx context.Context, id string, limit int, cursor string) (TemplateRuns, error) {
	return scanDo[TemplateRuns](ctx, c, call{method: http.MethodGet, path: templateAt(id) + "/runs", query: windowed(url.Values{}, limit, cursor)})
}
