// Package usage is how much is used: the fixed rate-limit windows of each principal, the quotas of a plan, and what the
// kept counters tell of calls and scans.
//
// It counts and refuses; it never decides who somebody is. Windows are aligned to UTC minute, hour and day (decisions
// G9), counters to UTC hours. Start with Service, then window.go; for reports with Reports, then count.go.
package usage

import (
	"context"
	"time"

	"assay.dev/assay/internal/org/access"
)

// Window names one of the three windows, or the plan's daily quota of requests.
type Window string

// Windows.
const (
	Minute Window = "minute"
	Hour   Window = "hour"
	Day    Window = "day"
	Plan   Window = "plan" // the organization's plan: requests in a UTC day
)

// Decision is the answer to one charge. Limit, Remaining and Reset describe the window with the least share left; Limit
// 0 means that no window applies.
type Decision struct {
	OK        bool
	Window    Window // the refusing one, or the one with the least share left
	Limit     int64
	Remaining int64
	Reset     time.Time
}

// Charge is one call to be counted against a principal and, where PlanKey isn't empty, against its organization's
// daily quota. All windows are checked before any is charged; a refused call is charged to the minute window only.
type Charge struct {
	Key     string // principal: "key:<id>", "user:<id>", "addr:<address or /64>"
	Windows access.Windows
	PlanKey string // "org:<id>"
	PlanDay int64  // 0 = unlimited
}

// Counter counts calls. The memory counter serves one process, the store's serves many.
type Counter interface {
	Take(ctx context.Context, c Charge, now time.Time) (Decision, error)
	// Peek answers as Take would, without charging.
	Peek(ctx context.Context, c Charge, now time.Time) (Decision, error)
}

// Metric names a quota counter kept per organization and period.
type Metric string

// Metrics.
const (
	MetricScans    Metric = "scans"    // accepted scan submissions in a UTC month
	MetricRequests Metric = "requests" // API calls in a UTC day; the windows count them
)

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	// Consume adds n to the metric's counter of the period ("2026-11") unless that would pass limit (0 = unlimited); then
	// it is an Exhausted QUOTA_EXCEEDED fault and nothing is counted.
	Consume(ctx context.Context, m Metric, period string, n, limit int64) error
}

// Row is the state of one counted key: the starts of its windows in Unix seconds and the calls charged to each. Rows of
// plan keys use the day alone.
type Row struct {
	Key                              string
	MinuteStart, HourStart, DayStart int64
	MinuteCount, HourCount, DayCount int64
}

// Snapshot is a set of rows, in no order.
type Snapshot struct{ Rows []Row }

// Keeper keeps the memory counter's rows over a restart. It is bookkeeping and leaves no audit entry. The rows belong
// to no organization: their keys are ids that are unique on the server.
type Keeper interface {
	// SaveWindows inserts or replaces the rows by key, in one unit; at most 500 at a time. Rows whose day began before
	// keep are dropped.
	SaveWindows(ctx context.Context, rows []Row, keep time.Time) error
	// LoadWindows returns the rows whose day began at since or later.
	LoadWindows(ctx context.Context, since time.Time) (Snapshot, error)
}
