package obs_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/obs"
	"assay.dev/assay/internal/word/secret"
)

func scrape(t *testing.T, m *obs.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetricsAreServedInPrometheusFormWithClosedLabels(t *testing.T) {
	t.Parallel()
	m := obs.NewMetrics()
	m.ObserveRequest(http.MethodGet, "/api/assets", 200, 3*time.Millisecond)
	m.ObserveRequest("BREW<script>", "", 405, time.Millisecond)
	m.ObserveScan("nmap", "completed", "complete", 2*time.Second)
	m.ObserveFindings("nmap", "created", 7)
	m.Gauge("assay_queue_waiting", "Scans in line.", func() float64 { return 3 })
	text := scrape(t, m)
	for _, want := range []string{
		`assay_http_request_duration_seconds_count{method="GET",route="/api/assets",status="200"} 1`,
		`assay_http_request_duration_seconds_count{method="other",route="",status="405"} 1`,
		`assay_scans_total{engine="nmap",outcome="complete",status="completed"} 1`,
		`assay_findings_total{engine="nmap",fate="created"} 7`,
		`assay_queue_waiting 3`, `go_goroutines`, `process_resident_memory_bytes`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(text, "BREW") {
		t.Error("a caller's word became a label")
	}
}

func TestLogsAreStructuredUTCAndRedacted(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := obs.NewLogger(&b, "info", "json")
	log.DebugContext(t.Context(), "unseen")
	log.InfoContext(t.Context(), "seen", slog.Any("key", secret.New("asy_live_value")))
	if s := b.String(); !strings.Contains(s, `"msg":"seen"`) || !strings.Contains(s, `Z"`) || strings.Contains(s, "asy_live") || strings.Contains(s, "unseen") {
		t.Errorf("log line: %s", s)
	}
}

func TestTracesReachTheCollector(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	traces, err := obs.NewTraces(t.Context(), collector.URL, "test", http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	h := traces.Handler(http.NotFoundHandler(), func(*http.Request) string { return "/api/assets/{id}" })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/assets/secret-id", nil))
	_, end := traces.Start(t.Context(), "scan.run")
	end(errors.New("x"))
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent := <-got; !strings.HasPrefix(sent, "/v1/traces ") || !strings.Contains(sent, "GET /api/assets/{id}") || !strings.Contains(sent, "scan.run") {
		t.Errorf("the collector got %q", sent)
	}
}

func TestWithoutACollectorNothingIsWrapped(t *testing.T) {
	t.Parallel()
	traces, err := obs.NewTraces(t.Context(), "", "test", nil)
	if err != nil || traces != nil {
		t.Fatalf("got %v, %v", traces, err)
	}
	ctx, end := traces.Start(t.Context(), "x")
	end(nil)
	if ctx != t.Context() || traces.Shutdown(t.Context()) != nil {
		t.Error("a nil Traces did something")
	}
}
