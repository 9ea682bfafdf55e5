package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Order is a scan to be submitted (scans.md 3.1).
type Order struct {
	Target     string                     `json:"target"`
	ScanType   string                     `json:"scanType"`
	Name       string                     `json:"name,omitempty"`
	TargetType string                     `json:"targetType,omitempty"`
	Priority   string                     `json:"priority,omitempty"`
	Options    map[string]json.RawMessage `json:"options,omitempty"`
	Config     json.RawMessage            `json:"config,omitempty"`
	Tags       []string                   `json:"tags,omitempty"`
	Timeout    int                        `json:"timeout,omitempty"`
	AssetID    string                     `json:"assetId,omitempty"`

	CallbackURL string `json:"callbackUrl,omitempty"` // told of the scan's end
}

// Summary counts findings by severity.
type Summary struct {
	Total      int            `json:"total"`
	BySeverity map[string]int `json:"bySeverity"`
}

// Failure is why a scan failed.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Scan is a scan as the API shows it.
type Scan struct {
	ID             string          `json:"id"`
	ScanType       string          `json:"scanType"`
	Name           string          `json:"name,omitempty"`
	Target         string          `json:"target"`
	TargetType     string          `json:"targetType"`
	Status         string          `json:"status"`
	Outcome        string          `json:"outcome,omitempty"`
	OutcomeReasons []string        `json:"outcomeReasons,omitempty"`
	Priority       string          `json:"priority"`
	Progress       int             `json:"progress"`
	Phase          string          `json:"phase,omitempty"`
	ParentID       string          `json:"parentId,omitempty"`
	ParentPhase    string          `json:"parentPhase,omitempty"`
	Children       []Child         `json:"children,omitempty"`
	Coverage       *Coverage       `json:"coverage,omitempty"`
	Attempt        int             `json:"attempt"`
	Tags           []string        `json:"tags,omitempty"`
	Options        json.RawMessage `json:"options,omitempty"`
	Config         json.RawMessage `json:"config,omitempty"`
	Timeout        int             `json:"timeout,omitempty"`
	AssetID        string          `json:"assetId,omitempty"`
	Error          *Failure        `json:"error,omitempty"`
	Summary        *Summary        `json:"summary,omitempty"`
	CreatedAt      time.Time       `json:"createdAt"`
	StartedAt      *time.Time      `json:"startedAt,omitempty"`
	CompletedAt    *time.Time      `json:"completedAt,omitempty"`
}

// Child is a scan that carries out a part of another.
type Child struct {
	ID       string   `json:"id"`
	ScanType string   `json:"scanType"`
	Target   string   `json:"target"`
	Phase    string   `json:"phase"`
	Status   string   `json:"status"`
	Progress int      `json:"progress"`
	Outcome  string   `json:"outcome,omitempty"`
	Findings *Summary `json:"findings,omitempty"`
}

// Coverage is what a scan looked at, and with what.
type Coverage struct {
	Databases []Database   `json:"databases"`
	Targets   []TargetLook `json:"targets"`
	Sources   []SourceLook `json:"sources"`
}

// Database is a body of knowledge that was judged by.
type Database struct {
	Name      string     `json:"name"`
	Version   string     `json:"version,omitempty"`
	UpdatedAt *time.Time `json:"updatedAt,omitempty"`
	Entries   int        `json:"entries,omitempty"`
}

// TargetLook is what became of one target.
type TargetLook struct {
	Target string `json:"target"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// SourceLook is what became of one third party that was asked.
type SourceLook struct {
	Source string `json:"source"`
	State  string `json:"state"`
	Found  int    `json:"found"`
	Reason string `json:"reason,omitempty"`
}

// Terminal reports whether the scan's state is final.
func (s Scan) Terminal() bool {
	return s.Status == "completed" || s.Status == "failed" || s.Status == "cancelled"
}

// Pagination is the scan API's way to say where a page stands.
type Pagination struct {
	Page          int    `json:"page"`
	Limit         int    `json:"limit"`
	Total         *int   `json:"total"`
	TotalPages    *int   `json:"totalPages"`
	TotalIsCapped bool   `json:"totalIsCapped,omitempty"`
	NextCursor    string `json:"nextCursor,omitempty"`
}

// Scans is one page of scans, newest first.
type Scans struct {
	Scans      []Scan     `json:"scans"`
	Pagination Pagination `json:"pagination"`
}

// Location is where a finding is.
type Location struct {
	Host      string `json:"host,omitempty"`
	Port      int    `json:"port,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	URL       string `json:"url,omitempty"`
	Method    string `json:"method,omitempty"`
	Parameter string `json:"parameter,omitempty"`
}

// Finding is one finding of a scan's results.
type Finding struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Severity    string   `json:"severity"`
	Confidence  string   `json:"confidence"`
	Category    string   `json:"category"`
	Rule        string   `json:"rule"`
	Location    Location `json:"location"`
	CVE         []string `json:"cve"`
	CWE         []string `json:"cwe"`
	Evidence    string   `json:"evidence"`
	Remediation string   `json:"remediation"`
	Status      string   `json:"status"`
	Engines     []string `json:"engines"`
}

// Results is one page of a scan's findings, worst first.
type Results struct {
	ScanID     string     `json:"scanId"`
	Status     string     `json:"status"`
	Outcome    string     `json:"outcome"`
	Coverage   *Coverage  `json:"coverage,omitempty"`
	Summary    Summary    `json:"summary"`
	Findings   []Finding  `json:"findings"`
	Pagination Pagination `json:"pagination"`
}

// Engine is one engine of the server.
type Engine struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Available   bool     `json:"available"`
	Reason      string   `json:"reason,omitempty"`
	Version     string   `json:"version,omitempty"`
	TargetTypes []string `json:"targetTypes"`
	Options     Options  `json:"options"`
}

// Options are an engine's options, as much of their JSON Schema as a caller needs to write values down.
type Options struct {
	Properties map[string]Option `json:"properties"`
}

// Option is one option.
type Option struct {
	Type string `json:"type"` // of JSON
}

// ListQuery filters a list of scans; empty fields don't filter.
type ListQuery struct {
	ScanType, Status, Priority, Tag, Target, Q string
	Parent                                     string // only scans that carry out this one
	Limit                                      int
	Cursor                                     string
}

func (q ListQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"scanType": q.ScanType, "status": q.Status, "priority": q.Priority, "tag": q.Tag, "target": q.Target, "q": q.Q, "cursor": q.Cursor, "parentId": q.Parent,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Submit orders a scan. once makes a repeated call take effect once; empty = no protection.
func (c *Client) Submit(ctx context.Context, o Order, once string) (Scan, error) {
	k := call{method: http.MethodPost, path: "/scans", in: o}
	if once != "" {
		k.headers = map[string]string{"Idempotency-Key": once}
	}
	return scanDo[Scan](ctx, c, k)
}

// Scan returns one scan.
func (c *Client) Scan(ctx context.Context, id string) (Scan, error) {
	return scanDo[Scan](ctx, c, call{method: http.MethodGet, path: "/scans/" + url.PathEscape(id)})
}

// Scans returns one page of scans.
func (c *Client) Scans(ctx context.Context, q ListQuery) (Scans, error) {
	return scanDo[Scans](ctx, c, call{method: http.MethodGet, path: "/scans", query: q.values()})
}

// Cancel ends a queued or running scan.
func (c *Client) Cancel(ctx context.Context, id string) (Scan, error) {
	return scanDo[Scan](ctx, c, call{method: http.MethodPost, path: "/scans/" + url.PathEscape(id) + "/cancel"})
}

// Results returns one page of a terminal scan's findings, worst first.
func (c *Client) Results(ctx context.Context, id, cursor string, limit int) (Results, error) {
	q := url.Values{}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return scanDo[Results](ctx, c, call{method: http.MethodGet, path: "/scans/" + url.PathEscape(id) + "/results", query: q})
}

// Document streams a scan's results in another format (html, csv, sarif, cyclonedx, raw); the caller closes it.
func (c *Client) Document(ctx context.Context, id, format string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, call{
		method: http.MethodGet, path: "/scan-api/api/v1/scans/" + url.PathEscape(id) + "/results",
		query: url.Values{"format": {format}},
	})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Engines lists the server's engines.
func (c *Client) Engines(ctx context.Context) ([]Engine, error) {
	data, err := scanDo[struct {
		Engines []Engine `json:"engines"`
	}](ctx, c, call{method: http.MethodGet, path: "/engines"})
	return data.Engines, err
}
