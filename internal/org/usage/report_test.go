package usage_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func date(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestAPeriodIsOfWholeDaysIncludingToday(t *testing.T) {
	t.Parallel()
	now := date("2026-03-06T10:17:42Z")
	for period, want := range map[usage.Lookback][2]string{
		usage.Last24h: {"2026-03-05T11:00:00Z", "2026-03-06T10:59:59Z"},
		usage.Last7d:  {"2026-02-28T00:00:00Z", "2026-03-06T23:59:59Z"},
		usage.Last30d: {"2026-02-05T00:00:00Z", "2026-03-06T23:59:59Z"},
		usage.Last90d: {"2025-12-07T00:00:00Z", "2026-03-06T23:59:59Z"},
	} {
		r, err := period.At(now)
		if err != nil || !r.Start.Equal(date(want[0])) || !r.Last().Equal(date(want[1])) {
			t.Errorf("%s = %v to %v (%v), want %v", period, r.Start, r.Last(), err, want)
		}
	}
	if _, err := usage.Lookback("1y").At(now); fault.Of(err).Code != fault.CodeValidation {
		t.Errorf("an unknown period: %v", err)
	}
}

// moments draws times in zones whose clocks are changed: none of it may matter.
func moments(t *rapid.T) time.Time {
	zone := rapid.SampledFrom([]string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"}).Draw(t, "zone")
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.FixedZone(zone, 5*3600+45*60)
	}
	return time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(t, "at")).In(loc)
}

func TestPeriodsHoldNowAndTheirPointsCoverThemOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := moments(t)
		l := rapid.SampledFrom([]usage.Lookback{usage.Last24h, usage.Last7d, usage.Last30d, usage.Last90d}).Draw(t, "period")
		g := rapid.SampledFrom([]usage.Granularity{usage.Hourly, usage.Daily}).Draw(t, "granularity")
		r, err := l.At(now)
		if err != nil || now.Before(r.Start) || !now.Before(r.End) {
			t.Fatalf("%v isn't in %v (%v)", now, r, err)
		}
		length := map[usage.Lookback]time.Duration{usage.Last24h: 24, usage.Last7d: 7 * 24, usage.Last30d: 30 * 24, usage.Last90d: 90 * 24}[l] * time.Hour
		if r.End.Sub(r.Start) != length || r.Start.Location() != time.UTC {
			t.Fatalf("%s is %v long, from %v", l, r.End.Sub(r.Start), r.Start)
		}
		starts := r.Starts(g)
		if !starts[0].Equal(r.Start) {
			t.Fatalf("the first point begins at %v, the period at %v", starts[0], r.Start)
		}
		for i, at := range starts[1:] {
			if gap := at.Sub(starts[i]); gap <= 0 || gap > g.Step() || !at.Equal(at.Truncate(g.Step())) {
				t.Fatalf("a point begins at %v, %v after the one before", at, gap)
			}
		}
		if last := r.End.Sub(starts[len(starts)-1]); last <= 0 || last > g.Step() {
			t.Fatalf("the last point is %v long", last)
		}
	})
}

func TestMonthsAndDaysHoldTheirMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := moments(t)
		for _, r := range []usage.Range{usage.Month(now), usage.Today(now)} {
			if now.Before(r.Start) || !now.Before(r.End) || r.Start.UTC().Hour() != 0 {
				t.Fatalf("%v isn't in %v", now, r)
			}
		}
		m := usage.Month(now)
		if usage.Period(m.Start) != usage.Period(now) || usage.Period(m.Last()) != usage.Period(now) || usage.Period(m.End) == usage.Period(now) {
			t.Fatalf("the month of %v is %v", now, m)
		}
	})
}

func TestAddingCountsIsCountingAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			status int
			micros int64
		}
		list := rapid.SliceOf(rapid.Custom(func(t *rapid.T) call {
			return call{rapid.IntRange(200, 599).Draw(t, "status"), rapid.Int64Range(0, 1e9).Draw(t, "micros")}
		})).Draw(t, "calls")
		cut := rapid.IntRange(0, len(list)).Draw(t, "cut")
		sum := func(list []call) (c usage.CallCount) {
			for _, k := range list {
				one, ok := usage.CallOf("GET", k.status, k.micros)
				if !ok {
					t.Fatal("a call isn't counted")
				}
				c.Add(one)
			}
			return c
		}
		all, split := sum(list), sum(list[:cut])
		split.Add(sum(list[cut:]))
		if all != split || all.Calls != int64(len(list)) || all.Success+all.Errors != all.Calls || all.AvgMs() > all.MaxMs() {
			t.Fatalf("%+v, in two parts %+v", all, split)
		}
	})
}

func TestOnlyAnsweredRequestsAreCalls(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]audit.Entry{
		"an act of the server":          {Status: 200},
		"a further entry of a call":     {Method: "POST"},
		"a summary of refusals":         {Status: 429, Count: 12},
		"an act of the operator, no id": {},
	} {
		if _, ok := usage.CallOf(e.Method, e.Status, e.DurationMicros); ok {
			t.Errorf("%s is counted", name)
		}
	}
	if c, ok := usage.CallOf("GET", 403, 7); !ok || c.Errors != 1 {
		t.Errorf("a refused call counts as %+v", c)
	}
}

func TestStatusesAreOneOrAClass(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]usage.Statuses{"": {}, "404": {Least: 404, Most: 404}, "4xx": {Least: 400, Most: 499}, "5XX": {Least: 500, Most: 599}} {
		if got, err := usage.ParseStatuses("status", text); err != nil || got != want {
			t.Errorf("%q = %+v (%v)", text, got, err)
		}
	}
	for _, text := range []string{"4x", "9xx", "0xx", "99", "600", "-04", "+04", "4 4", "xx", "４０４"} {
		if got, err := usage.ParseStatuses("status", text); err == nil {
			t.Errorf("%q = %+v", text, got)
		}
	}
}

func FuzzParseStatuses(f *testing.F) {
	for _, s := range []string{"", "404", "4xx", "xx", "+40"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := usage.ParseStatuses("status", s)
		if err == nil && !got.Any() && (got.Least < 100 || got.Most > 599 || got.Least > got.Most) {
			t.Errorf("%q = %+v", s, got)
		}
	})
}

// ledger answers as it was told to.
type ledger struct {
	usage.Ledger

	calls       []usage.CallPoint
	submissions []usage.Submitted
	engines     []usage.EngineCount
	used        int64
	err         error
	asked       usage.Range
}

func (l *ledger) CallCounts(_ context.Context, _ uid.Org, r usage.Range, _ time.Duration) ([]usage.CallPoint, error) {
	l.asked = r
	return l.calls, l.err
}

func (l *ledger) Submissions(context.Context, uid.Org, usage.Range, time.Duration) ([]usage.Submitted, error) {
	return l.submissions, l.err
}

func (l *ledger) EngineCounts(context.Context, uid.Org, usage.Range) ([]usage.EngineCount, error) {
	return l.engines, l.err
}

func (l *ledger) Used(context.Context, uid.Org, usage.Metric, string) (int64, error) {
	return l.used, l.err
}

const reporter uid.Org = "0190b6f2-0000-7000-8000-00000000000a"

func reports(l *ledger, c usage.Counter) (*usage.Reports, time.Time) {
	now := date("2026-03-06T10:17:42Z")
	return usage.NewReports(usage.ReportsDeps{Ledger: l, Counter: c, Now: func() time.Time { return now }}), now
}

func TestASummaryAddsUp(t *testing.T) {
	t.Parallel()
	l := &ledger{
		calls: []usage.CallPoint{
			{CallCount: usage.CallCount{Calls: 3, Success: 2, Errors: 1, Micros: 3000, MaxMicros: 2000}},
			{CallCount: usage.CallCount{Calls: 1, Success: 1, Micros: 5000, MaxMicros: 5000}},
		},
		engines: []usage.EngineCount{
			{Engine: "nmap", ScanCount: usage.ScanCount{Submitted: 4, Returned: 1}},
			{Engine: "zap", ScanCount: usage.ScanCount{Completed: 2}}, // submitted before the period
			{Engine: "trivy", ScanCount: usage.ScanCount{Submitted: 1}},
		},
	}
	r, _ := reports(l, usage.NewMemory())
	s, err := r.Summary(t.Context(), reporter, usage.Last30d)
	if err != nil {
		t.Fatal(err)
	}
	if s.Calls != 4 || s.Success+s.Errors != s.Calls || s.AvgMs() != 2 || s.MaxMs() != 5 || s.Scans != 5 || s.QuotaConsumed != 4 ||
		!slices.Equal(s.Engines, []string{"nmap", "trivy"}) {
		t.Errorf("%+v", s)
	}
}

func TestAHistoryHasEveryPoint(t *testing.T) {
	t.Parallel()
	at := date("2026-03-06T09:00:00Z")
	l := &ledger{
		calls:       []usage.CallPoint{{Start: at, CallCount: usage.CallCount{Calls: 7}}, {Start: date("1999-01-01T00:00:00Z")}},
		submissions: []usage.Submitted{{Start: at, Scans: 2}},
	}
	r, _ := reports(l, usage.NewMemory())
	h, err := r.History(t.Context(), reporter, usage.Last24h, "")
	if err != nil || h.Granularity != usage.Hourly || len(h.Points) != 24 {
		t.Fatalf("%+v (%v)", h, err)
	}
	want := usage.Point{Start: at, CallCount: usage.CallCount{Calls: 7}, Scans: 2}
	if diff := cmp.Diff(want, h.Points[22]); diff != "" {
		t.Error(diff)
	}
	days := date("2026-03-05T00:00:00Z") // the first day's counters are those of its part in the period
	l.calls, l.submissions = []usage.CallPoint{{Start: days, CallCount: usage.CallCount{Calls: 1}}}, nil
	if h, err = r.History(t.Context(), reporter, usage.Last24h, usage.Daily); err != nil || len(h.Points) != 2 || h.Points[0].Calls != 1 {
		t.Errorf("%+v (%v)", h, err)
	}
	if !h.Points[0].Start.Equal(date("2026-03-05T11:00:00Z")) {
		t.Errorf("the first day begins at %v", h.Points[0].Start)
	}
}

func TestQuotasAreWhatRefuses(t *testing.T) {
	t.Parallel()
	counter := usage.NewMemory()
	l := &ledger{used: 40, calls: []usage.CallPoint{{CallCount: usage.CallCount{Calls: 12}}}}
	r, now := reports(l, counter)
	charges := usage.New(usage.Deps{Counter: counter, Now: func() time.Time { return now }})
	actor := access.Actor{Org: reporter, Plan: "free", Kind: audit.ActorKey, ID: "k"}
	for want := range int64(5) {
		got, err := r.Quota(t.Context(), actor)
		if err != nil {
			t.Fatal(err)
		}
		if scans := got[0]; scans.Limit != 100 || scans.Used != 40 || !scans.Range.End.Equal(date("2026-04-01T00:00:00Z")) {
			t.Errorf("scans: %+v", scans)
		}
		if left, limited := got[0].Remaining(); left != 60 || !limited {
			t.Errorf("%d scans are left", left)
		}
		if requests := got[1]; requests.Limit != 1000 || requests.Used != want || !requests.Range.End.Equal(date("2026-03-07T00:00:00Z")) {
			t.Errorf("requests: %+v, want %d used", requests, want)
		}
		if _, err := charges.Charge(t.Context(), actor); err != nil {
			t.Fatal(err)
		}
	}
	actor.Plan = "enterprise"
	got, err := r.Quota(t.Context(), actor)
	if err != nil || got[1].Limit != 0 || got[1].Used != 12 {
		t.Errorf("unlimited: %+v (%v)", got, err)
	}
	if _, limited := got[1].Remaining(); limited {
		t.Error("what is unlimited has a rest")
	}
}

func TestAUsedUpQuotaIsAllUsed(t *testing.T) {
	t.Parallel()
	r, now := reports(&ledger{}, full{})
	got, err := r.Quota(t.Context(), access.Actor{Org: reporter, Plan: "free"})
	if err != nil || got[1].Used != 1000 {
		t.Errorf("%+v (%v) at %v", got, err, now)
	}
}

// full refuses everything.
type full struct{ usage.Counter }

func (full) Peek(context.Context, usage.Charge, time.Time) (usage.Decision, error) {
	return usage.Decision{Window: usage.Plan, Limit: 1000}, nil
}

func TestReportsPassFailuresOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("no")
	r, _ := reports(&ledger{err: broken}, usage.NewMemory())
	_, summary := r.Summary(t.Context(), reporter, usage.Last7d)
	_, history := r.History(t.Context(), reporter, usage.Last7d, "")
	_, _, engines := r.ByScanType(t.Context(), reporter, usage.Last7d)
	_, quota := r.Quota(t.Context(), access.Actor{Org: reporter})
	for _, err := range []error{summary, history, engines, quota} {
		if !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	}
}

func TestAQueryMatchesWhatItSays(t *testing.T) {
	t.Parallel()
	at := date("2026-03-06T10:00:00Z")
	l := audit.Leaf{Type: event.AssetRead, ActorID: "k", Method: "GET", Route: "/a", Status: 404, Time: at}
	for name, q := range map[string]usage.CallQuery{
		"nothing": {}, "type": {EventType: event.AssetRead}, "actor": {Actor: "k"}, "method": {Method: "GET"}, "route": {Route: "/a"},
		"status": {Status: usage.Statuses{Least: 400, Most: 499}}, "from": {From: at}, "to": {To: at.Add(1)},
	} {
		if !q.Matches(&l) {
			t.Errorf("%s: no match", name)
		}
	}
	for name, q := range map[string]usage.CallQuery{
		"type": {EventType: event.AssetListed}, "actor": {Actor: "kk"}, "method": {Method: "POST"}, "route": {Route: "/"},
		"status": {Status: usage.Statuses{Least: 403, Most: 403}}, "from": {From: at.Add(1)}, "to": {To: at},
	} {
		if q.Matches(&l) {
			t.Errorf("%s: a match", name)
		}
	}
}
