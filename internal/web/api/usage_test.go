package api_test

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/word/event"
)

const usagePath = "/scan-api/api/v1/usage"

func TestUsageTellsWhatTheLogProves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.call("GET", "/api/assets", "", key(b.key)).want(200)
	}
	b.call("GET", "/api/assets/0190b6f2-0000-7000-8000-000000000001", "", key(b.key)).want(404)
	b.call("GET", "/no-such-route", "", key(b.key)).want(404)
	b.call("GET", "/api/assets", "").want(401) // of nobody: it's in the operator's log
	b.call("GET", "/api/assets", "", key(b.other)).want(200)
	poor := b.newKey(b.ours, "scans:read")
	refused := b.call("GET", usagePath+"/summary", "", key(poor)).want(403)
	if refused.text("code") != "INSUFFICIENT_SCOPE" {
		t.Error(refused.Body)
	}
	got := b.call("GET", usagePath+"/summary", "", key(b.key)).want(200)
	want := map[string]any{
		"tenantId": string(b.ours), "period": map[string]any{"start": "2026-02-05T00:00:00Z", "end": "2026-03-06T23:59:59Z"},
		"totalCalls": 6.0, "successCalls": 3.0, "errorCalls": 3.0, "avgDurationMs": 0.0, "maxDurationMs": 0.0,
		"totalScans": 0.0, "distinctScanTypes": 0.0, "scanTypesUsed": []any{}, "quotaConsumedCalls": 0.0,
	}
	if diff := cmp.Diff(want, got.at("data")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := b.call("GET", usagePath+"/summary?period=24h", "", key(b.other)).want(200).at("data.totalCalls"); n != 1.0 {
		t.Errorf("theirs: %v calls", n)
	}
	b.call("GET", usagePath+"/summary?period=1y", "", key(b.key)).want(400)
	b.call("GET", usagePath+"/history?granularity=weekly", "", key(b.key)).want(400)
}

func TestAHistoryIsHourlyOrDaily(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for query, want := range map[string]struct {
		points      int
		granularity string
	}{
		"": {168, "hourly"}, "?period=24h": {24, "hourly"}, "?period=30d": {30, "daily"}, "?period=90d": {90, "daily"},
		"?period=7d&granularity=daily": {7, "daily"}, "?period=90d&granularity=hourly": {90 * 24, "hourly"},
		"?period=24h&granularity=daily": {2, "daily"},
	} {
		got := b.call("GET", usagePath+"/history"+query, "", key(b.key)).want(200)
		points := got.at("data.points").([]any)
		if len(points) != want.points || got.text("data.granularity") != want.granularity {
			t.Errorf("%s: %d points, %s", query, len(points), got.text("data.granularity"))
		}
	}
	got := b.call("GET", usagePath+"/history?period=24h", "", key(b.key)).want(200)
	last := got.at("data.points").([]any)[23].(map[string]any)
	want := map[string]any{"start": "2026-03-06T10:00:00Z", "calls": 7.0, "success": 7.0, "errors": 0.0, "scans": 0.0, "avgDurationMs": 0.0}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if items := b.call("GET", usagePath+"/by-scan-type", "", key(b.key)).want(200).at("data.items"); len(items.([]any)) != 0 {
		t.Errorf("%v", items)
	}
}

func TestQuotasSayWhatIsUnlimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.call("GET", usagePath+"/quota", "", key(b.key)).want(200)
	want := map[string]any{"plan": "enterprise", "quotas": []any{
		map[string]any{"metric": "scans", "limit": nil, "used": 0.0, "remaining": nil, "period": "month", "resetAt": "2026-04-01T00:00:00Z"},
		map[string]any{"metric": "requests", "limit": nil, "used": 0.0, "remaining": nil, "period": "day", "resetAt": "2026-03-07T00:00:00Z"},
	}}
	if diff := cmp.Diff(want, got.at("data")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCallsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 7 {
		b.clock.Advance(time.Minute)
		b.call("GET", fmt.Sprintf("/api/assets?limit=%d", i+1), "", key(b.key)).want(200)
		b.call("POST", "/api/assets", `{"name":""}`, key(b.key)).want(422)
		b.call("GET", "/api/assets", "", key(b.other)).want(200)
	}
	calls := func(query string) []any {
		t.Helper()
		return b.call("GET", usagePath+"/calls?"+query, "", key(b.key)).want(200).at("data.calls").([]any)
	}
	for query, want := range map[string]int{
		"status=4xx&limit=100": 7, "status=422&limit=100": 7, "status=404": 0, "method=POST": 7, "route=/api/assets&method=GET": 7,
		"eventType=asset.listed": 7, "eventType=asset.": 0, "from=2026-03-06T10:06:00Z&to=2026-03-06T10:07:00Z": 2, "to=2026-03-05": 0,
		"from=2026-03-06&to=2026-03-06&route=/api/assets": 14,
	} {
		if got := calls(query); len(got) != want {
			t.Errorf("%s: %d calls, want %d", query, len(got), want)
		}
	}
	first := b.call("GET", usagePath+"/calls?limit=3&method=GET&route=/api/assets", "", key(b.key)).want(200)
	cursor := url.QueryEscape(first.text("data.pagination.nextCursor"))
	var ids []any
	for _, c := range append(first.at("data.calls").([]any), calls("limit=100&method=GET&route=/api/assets&cursor="+cursor)...) {
		ids = append(ids, c.(map[string]any)["id"])
	}
	var want []any
	trail := b.entries(b.ours)
	for i := range trail {
		if e := trail[len(trail)-1-i]; e.Type == event.AssetListed {
			want = append(want, string(e.ID))
		}
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("pages differ from the log (-log +pages)\n%s", diff)
	}
	b.call("GET", usagePath+"/calls?method=POST&cursor="+cursor, "", key(b.key)).want(400)
	b.call("GET", usagePath+"/calls?limit=3&method=GET&route=/api/assets&cursor="+cursor, "", key(b.other)).want(400)
	for _, bad := range []string{"status=9xx", "status=+40", "from=x", "limit=101", "method=BREW", "cursor=AAAA", "format=pdf"} {
		b.call("GET", usagePath+"/calls?"+bad, "", key(b.key)).want(400)
	}
}

func TestCallsAsCSVRunNothingInASpreadsheet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("GET", "/api/assets", "", key(b.key), with("X-Request-Id", "-1:2")).want(200)
	got := b.call("GET", usagePath+"/calls?format=csv&limit=1&route=/api/assets", "", key(b.key)).want(200)
	rows, err := csv.NewReader(strings.NewReader(got.Body.String())).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v %v", rows, err)
	}
	if rows[0][11] != "clientRequestId" || rows[1][11] != "'-1:2" || rows[1][7] != "200" {
		t.Errorf("%q", rows)
	}
	if got.Header().Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%v", got.Header())
	}
	if all := b.call("GET", usagePath+"/calls?format=csv&limit=100", "", key(b.key)).want(200); len(all.Header().Values("X-Next-Cursor")) > 0 {
		t.Error("there is nothing more")
	}
	more := b.call("GET", usagePath+"/calls?format=csv&limit=1", "", key(b.key)).want(200)
	if more.Header().Get("X-Next-Cursor") == "" {
		t.Error("there is more, and the answer doesn't say where")
	}
}
