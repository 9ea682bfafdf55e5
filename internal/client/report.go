package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ReportFilters narrow a recurring report; empty fields don't.
type ReportFilters struct {
	Severity []string `json:"severity,omitempty"`
	Engine   string   `json:"engine,omitempty"`
	Tag      string   `json:"tag,omitempty"`
	Host     string   `json:"host,omitempty"`
}

// ReportSchedule is when a report runs.
type ReportSchedule struct {
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone,omitempty"`
	Jitter   int    `json:"jitterSeconds,omitempty"`
}

// ReportDefinition is a recurring report to be made. A nil schedule means on demand only.
type ReportDefinition struct {
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Format   string          `json:"format,omitempty"`
	Filters  ReportFilters   `json:"filters"`
	Schedule *ReportSchedule `json:"schedule,omitempty"`
	Enabled  *bool           `json:"enabled,omitempty"`
}

// Report is a recurring report.
type Report struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Kind      string          `json:"kind"`
	Format    string          `json:"format"`
	Filters   ReportFilters   `json:"filters"`
	Schedule  *ReportSchedule `json:"schedule,omitempty"`
	Enabled   bool            `json:"enabled"`
	Stopped   string          `json:"stopped,omitempty"`
	RunsAs    string          `json:"runsAs"`
	CreatedAt time.Time       `json:"createdAt"`
	NextRunAt *time.Time      `json:"nextRunAt"`
}

// ReportCounts is what a report's document holds.
type ReportCounts struct {
	Findings Summary `json:"findings"`
	New      int     `json:"new"`
	Fixed    int     `json:"fixed"`
	Scans    int     `json:"scans"`
}

// ReportRun is one making of a report.
type ReportRun struct {
	ID          string        `json:"id"`
	ReportID    string        `json:"reportId"`
	Kind        string        `json:"kind"`
	Format      string        `json:"format"`
	Status      string        `json:"status"`
	DueAt       time.Time     `json:"dueAt"`
	CompletedAt *time.Time    `json:"completedAt"`
	Counts      *ReportCounts `json:"counts,omitempty"`
	Size        int64         `json:"size,omitempty"`
	SHA256      string        `json:"sha256,omitempty"`
	Document    string        `json:"document,omitempty"`
	Error       *Failure      `json:"error,omitempty"`
}

// Ended reports whether the run is ready or has failed.
func (r ReportRun) Ended() bool { return r.Status == "ready" || r.Status == "failed" }

// reportPage is one page of a list beside the scan API.
type reportPage[T any] struct {
	Data []T `json:"data"`
	Meta struct {
		NextCursor string `json:"nextCursor"`
	} `json:"meta"`
}

func reportPath(id string, more ...string) string {
	var p strings.Builder
	p.WriteString("/api/reports/" + url.PathEscape(id))
	for _, m := range more {
		p.WriteString("/" + url.PathEscape(m))
	}
	return p.String()
}

// CreateReport defines a recurring report.
func (c *Client) CreateReport(ctx context.Context, d ReportDefinition) (out Report, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/api/reports", in: d}, &out)
	return out, err
}

// Reports lists the organization's reports, newest first: there are at most 100.
func (c *Client) Reports(ctx context.Context) ([]Report, error) {
	var out reportPage[Report]
	err := c.do(ctx, call{method: http.MethodGet, path: "/api/reports", query: url.Values{"limit": {"100"}}}, &out)
	return out.Data, err
}

// Report returns one report.
func (c *Client) Report(ctx context.Context, id string) (out Report, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: reportPath(id)}, &out)
	return out, err
}

// ReplaceReport replaces a report's definition; from now on it runs as the caller.
func (c *Client) ReplaceReport(ctx context.Context, id string, d ReportDefinition) (out Report, err error) {
	err = c.do(ctx, call{method: http.MethodPut, path: reportPath(id), in: d}, &out)
	return out, err
}

// DeleteReport removes a report with its runs.
func (c *Client) DeleteReport(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: reportPath(id)}, nil)
}

// RunReport asks for a run now.
func (c *Client) RunReport(ctx context.Context, id string) (out ReportRun, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: reportPath(id, "run")}, &out)
	return out, err
}

// ReportRuns lists a report's newest runs, at most 100.
func (c *Client) ReportRuns(ctx context.Context, id string, limit int) ([]ReportRun, error) {
	var out reportPage[ReportRun]
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	err := c.do(ctx, call{method: http.MethodGet, path: reportPath(id, "runs"), query: q}, &out)
	return out.Data, err
}

// ReportRun returns one run of a report.
func (c *Client) ReportRun(ctx context.Context, id, run string) (out ReportRun, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: reportPath(id, "runs", run)}, &out)
	return out, err
}

// ReportDocument streams the document of a run that is ready; the caller closes it.
func (c *Client) ReportDocument(ctx context.Context, id, run string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: reportPath(id, "runs", run, "document")})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
