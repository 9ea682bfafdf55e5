package scanapi

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/envelope"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const tagUsage = "Usage"

// Usage is what the handlers need of the usage reports. All of it is the given organization's.
type Usage interface {
	Summary(ctx context.Context, org uid.Org, l usage.Lookback) (usage.Summary, error)
	History(ctx context.Context, org uid.Org, l usage.Lookback, g usage.Granularity) (usage.History, error)
	ByScanType(ctx context.Context, org uid.Org, l usage.Lookback) (usage.Range, []usage.EngineCount, error)
	Quota(ctx context.Context, a access.Actor) ([]usage.Allowance, error)
	Calls(ctx context.Context, org uid.Org, q usage.CallQuery) (usage.CallPage, error)
}

// whatCounts says to readers of the API document what the numbers are.
const whatCounts = "A call is a request with a valid credential that the server answered, also with an error; each is an entry of " +
	"the audit log. Requests without a valid credential, and those over a rate limit, are in the operator's log and don't count. " +
	"Times are UTC: `24h` are the last 24 whole hours including the present one, the others whole days including today."

func (h *handlers) usageRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[periodIn, envelope.Out[UsageSummary]]{
			ID: "getUsageSummary", Method: http.MethodGet, Path: Base + "/usage/summary", Family: problem.Scan,
			Scope: access.UsageRead, Audit: event.UsageSummed, Tags: []string{tagUsage}, Summary: "Sum up a period",
			Description: whatCounts, Handle: h.usageSummary,
		}),
		api.Op(api.Route[historyIn, envelope.Out[UsageHistory]]{
			ID: "getUsageHistory", Method: http.MethodGet, Path: Base + "/usage/history", Family: problem.Scan,
			Scope: access.UsageRead, Audit: event.UsageHistory, Tags: []string{tagUsage}, Summary: "Get a period as a series",
			Description: "One point for every hour or day of the period, oldest first, also where nothing happened.", Handle: h.usageHistory,
		}),
		api.Op(api.Route[periodIn, envelope.Out[UsageByScanType]]{
			ID: "getUsageByScanType", Method: http.MethodGet, Path: Base + "/usage/by-scan-type", Family: problem.Scan,
			Scope: access.UsageRead, Audit: event.UsageByEngine, Tags: []string{tagUsage}, Summary: "Break a period down by engine",
			Description: "Scans count when they are submitted; completed, failed, cancelled, duration and findings when they end.",
			Handle:      h.usageByScanType,
		}),
		api.Op(api.Route[struct{}, envelope.Out[UsageQuota]]{
			ID: "getUsageQuota", Method: http.MethodGet, Path: Base + "/usage/quota", Family: problem.Scan,
			Scope: access.UsageRead, Audit: event.QuotaRead, Tags: []string{tagUsage}, Summary: "Get the plan's quotas",
			Description: "Only accepted submissions consume the quota of scans; a scan that fails for the server's own reasons gives it back.",
			Handle:      h.usageQuota,
		}),
		h.callsRoute(),
	}
}

type periodIn struct {
	Period string `query:"period" enum:"24h,7d,30d,90d" default:"30d"`
}

type historyIn struct {
	Period      string `query:"period" enum:"24h,7d,30d,90d" default:"7d"`
	Granularity string `query:"granularity" enum:"hourly,daily" doc:"Default: hourly for 24h and 7d, else daily."`
}

// UsagePeriod is what a report covers, both ends included, in seconds.
type UsagePeriod struct {
	Start api.Time `json:"start"`
	End   api.Time `json:"end" doc:"The period's last second."`
}

func period(r usage.Range) UsagePeriod { return UsagePeriod{second(r.Start), second(r.Last())} }

func second(t time.Time) api.Time { return api.Time(t.UTC().Format(time.RFC3339)) }

// UsageSummary is what an organization used in a period (scans.md 3.4).
type UsageSummary struct {
	TenantID           string      `json:"tenantId"`
	Period             UsagePeriod `json:"period"`
	TotalCalls         int64       `json:"totalCalls"`
	SuccessCalls       int64       `json:"successCalls" doc:"Answered 2xx."`
	ErrorCalls         int64       `json:"errorCalls" doc:"Answered 4xx or 5xx."`
	AvgDurationMs      float64     `json:"avgDurationMs" doc:"Until the answer was decided; 0 where nothing was called."`
	MaxDurationMs      float64     `json:"maxDurationMs"`
	TotalScans         int64       `json:"totalScans" doc:"Submitted."`
	DistinctScanTypes  int         `json:"distinctScanTypes"`
	ScanTypesUsed      []string    `json:"scanTypesUsed"`
	QuotaConsumedCalls int64       `json:"quotaConsumedCalls" doc:"Submissions that consumed quota: all but those whose scan failed for the server's own reasons."`
}

func (h *handlers) usageSummary(ctx context.Context, in *periodIn) (*envelope.Out[UsageSummary], error) {
	org := mw.ActorFrom(ctx).Org
	s, err := h.d.Usage.Summary(ctx, org, usage.Lookback(in.Period))
	if err != nil {
		return nil, err
	}
	return envelope.OK(UsageSummary{
		TenantID: string(org), Period: period(s.Range), TotalCalls: s.Calls, SuccessCalls: s.Success, ErrorCalls: s.Errors,
		AvgDurationMs: s.AvgMs(), MaxDurationMs: s.MaxMs(), TotalScans: s.Scans, DistinctScanTypes: len(s.Engines),
		ScanTypesUsed: envelope.List(s.Engines), QuotaConsumedCalls: s.QuotaConsumed,
	}), nil
}

// UsageHistory is a period as a series.
type UsageHistory struct {
	Granularity string       `json:"granularity" enum:"hourly,daily"`
	Period      UsagePeriod  `json:"period"`
	Points      []UsagePoint `json:"points"`
}

// UsagePoint is one hour or day.
type UsagePoint struct {
	Start         api.Time `json:"start"`
	Calls         int64    `json:"calls"`
	Success       int64    `json:"success"`
	Errors        int64    `json:"errors"`
	Scans         int64    `json:"scans" doc:"Submitted."`
	AvgDurationMs float64  `json:"avgDurationMs" doc:"0 where nothing was called."`
}

func (h *handlers) usageHistory(ctx context.Context, in *historyIn) (*envelope.Out[UsageHistory], error) {
	found, err := h.d.Usage.History(ctx, mw.ActorFrom(ctx).Org, usage.Lookback(in.Period), usage.Granularity(in.Granularity))
	if err != nil {
		return nil, err
	}
	out := UsageHistory{Granularity: string(found.Granularity), Period: period(found.Range), Points: make([]UsagePoint, len(found.Points))}
	for i, p := range found.Points {
		out.Points[i] = UsagePoint{
			Start: second(p.Start), Calls: p.Calls, Success: p.Success, Errors: p.Errors, Scans: p.Scans, AvgDurationMs: p.AvgMs(),
		}
	}
	return envelope.OK(out), nil
}

// UsageByScanType is a period by engine.
type UsageByScanType struct {
	Period UsagePeriod   `json:"period"`
	Items  []EngineUsage `json:"items"`
}

// EngineUsage is what one engine did in a period.
type EngineUsage struct {
	ScanType      string  `json:"scanType"`
	Scans         int64   `json:"scans" doc:"Submitted in the period."`
	Completed     int64   `json:"completed" doc:"Ended in the period, as the following fields."`
	Failed        int64   `json:"failed"`
	Cancelled     int64   `json:"cancelled"`
	AvgDurationMs float64 `json:"avgDurationMs" doc:"From start to end, of those that had started; 0 where there are none."`
	Findings      int64   `json:"findings"`
}

func (h *handlers) usageByScanType(ctx context.Context, in *periodIn) (*envelope.Out[UsageByScanType], error) {
	within, found, err := h.d.Usage.ByScanType(ctx, mw.ActorFrom(ctx).Org, usage.Lookback(in.Period))
	if err != nil {
		return nil, err
	}
	out := UsageByScanType{Period: period(within), Items: make([]EngineUsage, len(found))}
	for i, e := range found {
		out.Items[i] = EngineUsage{
			ScanType: e.Engine, Scans: e.Submitted, Completed: e.Completed, Failed: e.Failed, Cancelled: e.Cancelled,
			AvgDurationMs: e.AvgMs(), Findings: e.Findings,
		}
	}
	return envelope.OK(out), nil
}

// UsageQuota is what a plan allows and how much of it is used.
type UsageQuota struct {
	Plan   string      `json:"plan" enum:"free,starter,pro,enterprise"`
	Quotas []QuotaUsed `json:"quotas"`
}

// QuotaUsed is one quota.
type QuotaUsed struct {
	Metric    string   `json:"metric" enum:"scans,requests"`
	Limit     *int64   `json:"limit" nullable:"true" doc:"null = unlimited."`
	Used      int64    `json:"used"`
	Remaining *int64   `json:"remaining" nullable:"true" doc:"null = unlimited."`
	Period    string   `json:"period" enum:"month,day" doc:"A calendar month or day in UTC."`
	ResetAt   api.Time `json:"resetAt"`
}

func (h *handlers) usageQuota(ctx context.Context, _ *struct{}) (*envelope.Out[UsageQuota], error) {
	actor := mw.ActorFrom(ctx)
	found, err := h.d.Usage.Quota(ctx, actor)
	if err != nil {
		return nil, err
	}
	out := UsageQuota{Plan: actor.Plan, Quotas: make([]QuotaUsed, len(found))}
	for i, a := range found {
		q := QuotaUsed{Metric: string(a.Metric), Used: a.Used, Period: a.Period, ResetAt: second(a.Range.End)}
		if left, limited := a.Remaining(); limited {
			q.Limit, q.Remaining = &a.Limit, &left
		}
		out.Quotas[i] = q
	}
	return envelope.OK(out), nil
}
