package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// UsagePeriod is what a report covers, both ends included.
type UsagePeriod struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// UsageSummary is what an organization used in a period.
type UsageSummary struct {
	TenantID           string      `json:"tenantId"`
	Period             UsagePeriod `json:"period"`
	TotalCalls         int64       `json:"totalCalls"`
	SuccessCalls       int64       `json:"successCalls"`
	ErrorCalls         int64       `json:"errorCalls"`
	AvgDurationMs      float64     `json:"avgDurationMs"`
	MaxDurationMs      float64     `json:"maxDurationMs"`
	TotalScans         int64       `json:"totalScans"`
	DistinctScanTypes  int         `json:"distinctScanTypes"`
	ScanTypesUsed      []string    `json:"scanTypesUsed"`
	QuotaConsumedCalls int64       `json:"quotaConsumedCalls"`
}

// UsageHistory is a period as a series, oldest first.
type UsageHistory struct {
	Granularity string       `json:"granularity"`
	Period      UsagePeriod  `json:"period"`
	Points      []UsagePoint `json:"points"`
}

// UsagePoint is one hour or day.
type UsagePoint struct {
	Start         time.Time `json:"start"`
	Calls         int64     `json:"calls"`
	Success       int64     `json:"success"`
	Errors        int64     `json:"errors"`
	Scans         int64     `json:"scans"`
	AvgDurationMs float64   `json:"avgDurationMs"`
}

// UsageByScanType is a period by engine.
type UsageByScanType struct {
	Period UsagePeriod   `json:"period"`
	Items  []EngineUsage `json:"items"`
}

// EngineUsage is what one engine did.
type EngineUsage struct {
	ScanType      string  `json:"scanType"`
	Scans         int64   `json:"scans"`
	Completed     int64   `json:"completed"`
	Failed        int64   `json:"failed"`
	Cancelled     int64   `json:"cancelled"`
	AvgDurationMs float64 `json:"avgDurationMs"`
	Findings      int64   `json:"findings"`
}

// UsageQuota is what a plan allows and how much of it is used.
type UsageQuota struct {
	Plan   string      `json:"plan"`
	Quotas []QuotaUsed `json:"quotas"`
}

// QuotaUsed is one quota; nil means unlimited.
type QuotaUsed struct {
	Metric    string    `json:"metric"`
	Limit     *int64    `json:"limit"`
	Used      int64     `json:"used"`
	Remaining *int64    `json:"remaining"`
	Period    string    `json:"period"`
	ResetAt   time.Time `json:"resetAt"`
}

// Call is one call of the API, as the call log has it.
type Call struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	EventType  string    `json:"eventType"`
	Actor      Subject   `json:"actor"`
	Method     string    `json:"method"`
	Route      string    `json:"route"`
	Status     int       `json:"status"`
	DurationMs float64   `json:"durationMs"`
	Resource   *Subject  `json:"resource,omitempty"`
	RequestID  string    `json:"clientRequestId,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// Subject is who called, or what a call was about.
type Subject struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Calls is one page of the call log, newest first. It may be short, or empty, and still have a NextCursor.
type Calls struct {
	Calls      []Call `json:"calls"`
	Pagination struct {
		Limit      int    `json:"limit"`
		NextCursor string `json:"nextCursor,omitempty"`
	} `json:"pagination"`
}

// CallQuery filters the call log; empty fields don't filter. Times are RFC 3339 or dates.
type CallQuery struct {
	EventType, Actor, Method, Route, Status, From, To string
	Limit                                             int
	Cursor                                            string
}

func (q CallQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"eventType": q.EventType, "actor": q.Actor, "method": q.Method, "route": q.Route, "status": q.Status, "from": q.From,
		"to": q.To, "cursor": q.Cursor,
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

// usageQuery names a period and a granularity; empty ones are the server's defaults.
func usageQuery(period, granularity string) url.Values {
	v := url.Values{}
	if period != "" {
		v.Set("period", period)
	}
	if granularity != "" {
		v.Set("granularity", granularity)
	}
	return v
}

// UsageSummary sums a period up: 24h, 7d, 30d or 90d; empty = 30d.
func (c *Client) UsageSummary(ctx context.Context, period string) (UsageSummary, error) {
	return scanDo[UsageSummary](ctx, c, call{method: http.MethodGet, path: "/usage/summary", query: usageQuery(period, "")})
}

// UsageHistory returns a period as a series, hourly or daily; empty = 7d, and what suits it.
func (c *Client) UsageHistory(ctx context.Context, period, granularity string) (UsageHistory, error) {
	return scanDo[UsageHistory](ctx, c, call{method: http.MethodGet, path: "/usage/history", query: usageQuery(period, granularity)})
}

// UsageByScanType returns a period by engine; empty = 30d.
func (c *Client) UsageByScanType(ctx context.Context, period string) (UsageByScanType, error) {
	return scanDo[UsageByScanType](ctx, c, call{method: http.MethodGet, path: "/usage/by-scan-type", query: usageQuery(period, "")})
}

// UsageQuota returns the plan's quotas.
func (c *Client) UsageQuota(ctx context.Context) (UsageQuota, error) {
	return scanDo[UsageQuota](ctx, c, call{method: http.MethodGet, path: "/usage/quota"})
}

// Calls returns one page of the call log.
func (c *Client) Calls(ctx context.Context, q CallQuery) (Calls, error) {
	return scanDo[Calls](ctx, c, call{method: http.MethodGet, path: "/usage/calls", query: q.values()})
}

// CallsCSV streams one page of the call log as CSV, which the caller closes, and returns the cursor of the next page,
// empty on the last.
func (c *Client) CallsCSV(ctx context.Context, q CallQuery) (body io.ReadCloser, next string, err error) {
	v := q.values()
	v.Set("format", "csv")
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/scan-api/api/v1/usage/calls", query: v})
	if err != nil {
		return nil, "", err
	}
	return resp.Body, resp.Header.Get("X-Next-Cursor"), nil
}
