package usage

import (
	"context"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/uid"
)

// Ledger is where the kept counters and the call log are read. All of it is one organization's.
type Ledger interface {
	// CallCounts returns the calls of each stretch of the given length, oldest first, without those in which nothing was
	// called. Stretches are aligned to UTC hours or days; step is one of the two.
	CallCounts(ctx context.Context, org uid.Org, r Range, step time.Duration) ([]CallPoint, error)
	// Submissions is CallCounts for the scans that were submitted.
	Submissions(ctx context.Context, org uid.Org, r Range, step time.Duration) ([]Submitted, error)
	// EngineCounts returns the scans of each engine that counted any, by its id.
	EngineCounts(ctx context.Context, org uid.Org, r Range) ([]EngineCount, error)
	// Used returns how much of the metric was used in the period ("2026-11").
	Used(ctx context.Context, org uid.Org, m Metric, period string) (int64, error)
	// CallLog returns one page of calls.
	CallLog(ctx context.Context, org uid.Org, q CallQuery) (CallPage, error)
}

// CallPoint is what was called in a stretch of time. Start is the stretch's aligned beginning.
type CallPoint struct {
	CallCount

	Start time.Time
}

// Submitted is how many scans were submitted in a stretch of time.
type Submitted struct {
	Start time.Time
	Scans int64
}

// EngineCount is what one engine did.
type EngineCount struct {
	ScanCount

	Engine string
}

// ReportsDeps is what Reports are made of; all are required.
type ReportsDeps struct {
	Ledger  Ledger
	Counter Counter // the windows, for what is left of the plan's requests
	Now     func() time.Time
}

// Reports tells an organization what it used. It only reads, and is safe for concurrent use.
type Reports struct{ d ReportsDeps }

// NewReports returns Reports.
func NewReports(d ReportsDeps) *Reports { return &Reports{d: d} }

// Summary is what an organization used in a period.
type Summary struct {
	CallCount

	Range         Range
	Scans         int64    // submitted
	Engines       []string // that were asked for, by id
	QuotaConsumed int64    // of the scans: all but those that failed for the platform's own reasons
}

// Summary sums a period up. An unknown period is an Invalid fault.
func (r *Reports) Summary(ctx context.Context, org uid.Org, l Lookback) (Summary, error) {
	within, err := l.At(r.d.Now())
	if err != nil {
		return Summary{}, err
	}
	calls, err := r.d.Ledger.CallCounts(ctx, org, within, oneDay)
	if err != nil {
		return Summary{}, err
	}
	engines, err := r.d.Ledger.EngineCounts(ctx, org, within)
	if err != nil {
		return Summary{}, err
	}
	out := Summary{Range: within, Engines: []string{}}
	for _, p := range calls {
		out.Add(p.CallCount)
	}
	for _, e := range engines {
		if e.Submitted == 0 {
			continue
		}
		out.Scans += e.Submitted
		out.QuotaConsumed += e.Submitted - e.Returned
		out.Engines = append(out.Engines, e.Engine)
	}
	return out, nil
}

// History is a period as a series.
type History struct {
	Range       Range
	Granularity Granularity
	Points      []Point // every one of the period, oldest first
}

// Point is one stretch of a history.
type Point struct {
	CallCount

	Start time.Time
	Scans int64 // submitted
}

// History returns the period as points, also those in which nothing happened. An empty granularity means the one that
// suits the period; an unknown period is an Invalid fault.
func (r *Reports) History(ctx context.Context, org uid.Org, l Lookback, g Granularity) (History, error) {
	within, err := l.At(r.d.Now())
	if err != nil {
		return History{}, err
	}
	if g == "" {
		g = l.Grain()
	}
	step := g.Step()
	calls, err := r.d.Ledger.CallCounts(ctx, org, within, step)
	if err != nil {
		return History{}, err
	}
	scans, err := r.d.Ledger.Submissions(ctx, org, within, step)
	if err != nil {
		return History{}, err
	}
	starts := within.Starts(g)
	out := History{Range: within, Granularity: g, Points: make([]Point, len(starts))}
	place := make(map[int64]*Point, len(starts))
	for i, at := range starts {
		out.Points[i].Start = at
		place[at.Truncate(step).Unix()] = &out.Points[i]
	}
	for _, c := range calls {
		if p := place[c.Start.Unix()]; p != nil {
			p.CallCount = c.CallCount
		}
	}
	for _, s := range scans {
		if p := place[s.Start.Unix()]; p != nil {
			p.Scans = s.Scans
		}
	}
	return out, nil
}

// ByScanType returns the period by engine, by id. An unknown period is an Invalid fault.
func (r *Reports) ByScanType(ctx context.Context, org uid.Org, l Lookback) (Range, []EngineCount, error) {
	within, err := l.At(r.d.Now())
	if err != nil {
		return Range{}, nil, err
	}
	list, err := r.d.Ledger.EngineCounts(ctx, org, within)
	return within, list, err
}

// Calls returns one page of the call log.
func (r *Reports) Calls(ctx context.Context, org uid.Org, q CallQuery) (CallPage, error) {
	return r.d.Ledger.CallLog(ctx, org, q)
}

// Allowance is one quota of a plan and how much of it is used.
type Allowance struct {
	Metric Metric
	Limit  int64 // 0 = unlimited
	Used   int64
	Period string // "month" or "day"
	Range  Range  // the present period; it is renewed at its end
}

// Remaining is what is left, and false where there is no limit.
func (a Allowance) Remaining() (int64, bool) { return max(a.Limit-a.Used, 0), a.Limit > 0 }

// Quota returns the plan's quotas as they stand for the actor's organization: scans of the UTC month, requests of the
// UTC day.
func (r *Reports) Quota(ctx context.Context, a access.Actor) ([]Allowance, error) {
	now := r.d.Now()
	quota := tenant.Plan(a.Plan).Quota()
	scans := Allowance{Metric: MetricScans, Limit: quota.ScansPerMonth, Period: "month", Range: Month(now)}
	var err error
	if scans.Used, err = r.d.Ledger.Used(ctx, a.Org, MetricScans, Period(now)); err != nil {
		return nil, err
	}
	requests := Allowance{Metric: MetricRequests, Limit: quota.RequestsPerDay, Period: "day", Range: Today(now)}
	if requests.Used, err = r.requests(ctx, a.Org, requests, now); err != nil {
		return nil, err
	}
	return []Allowance{scans, requests}, nil
}

// requests is what the window that refuses has counted; where the plan has no limit there is none, and the kept counters
// say it.
func (r *Reports) requests(ctx context.Context, org uid.Org, a Allowance, now time.Time) (int64, error) {
	if a.Limit > 0 {
		d, err := r.d.Counter.Peek(ctx, Charge{PlanKey: "org:" + string(org), PlanDay: a.Limit}, now)
		if err != nil || !d.OK {
			return a.Limit, err
		}
		return max(a.Limit-d.Remaining-1, 0), nil // a peek answers as if the call were charged
	}
	points, err := r.d.Ledger.CallCounts(ctx, org, a.Range, oneDay)
	if err != nil {
		return 0, err
	}
	var used int64
	for _, p := range points {
		used += p.Calls
	}
	return used, nil
}
