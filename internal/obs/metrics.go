package obs

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the numbers of one process, on a registry of their own. Methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	scans    *prometheus.CounterVec
	scanTime *prometheus.HistogramVec
	findings *prometheus.CounterVec
	jobs     *prometheus.CounterVec
	hooks    *prometheus.HistogramVec
	shakes   *prometheus.CounterVec
}

// NewMetrics makes the registry with the metrics of the Go runtime and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "assay_http_request_duration_seconds", Help: "Time from the first byte read to the last written, by route pattern.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_http_refused_total", Help: "Requests refused before a handler, by code.",
		}, []string{"code"}),
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_scans_total", Help: "Scans that ended, by engine, status and outcome.",
		}, []string{"engine", "status", "outcome"}),
		scanTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "assay_scan_duration_seconds", Help: "Time from start to end of a scan, by engine.",
			Buckets: prometheus.ExponentialBuckets(0.5, 2, 14),
		}, []string{"engine"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_findings_total", Help: "Findings recorded, by engine and what became of them.",
		}, []string{"engine", "fate"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_jobs_total", Help: "Background jobs worked, by kind and decision.",
		}, []string{"kind", "decision"}),
		hooks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "assay_webhook_attempt_duration_seconds", Help: "Time that a receiver took for one try, by what became of the delivery.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"outcome"}),
	}
	m.shakes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "assay_tls_handshakes_total", Help: "TLS handshakes that were finished, by key exchange.",
	}, []string{"key_exchange"})
	m.registry.MustRegister(m.shakes, m.requests, m.refused, m.scans, m.scanTime, m.findings, m.jobs, m.hooks,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gauge registers a number that is read at each scrape. read must be quick and safe for concurrent use.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// ObserveRequest counts one answered request. route is the pattern, "" where none matched.
func (m *Metrics) ObserveRequest(method, route string, status int, d time.Duration) {
	m.requests.WithLabelValues(knownMethod(method), route, strconv.Itoa(status)).Observe(d.Seconds())
}

// knownMethod keeps the label a closed set: a caller can send any word as method.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// ObserveRefusal counts a request that never reached a handler; code is a fault code.
func (m *Metrics) ObserveRefusal(code string) { m.refused.WithLabelValues(code).Inc() }

// ObserveScan counts a scan that ended.
func (m *Metrics) ObserveScan(engine, status, outcome string, d time.Duration) {
	m.scans.WithLabelValues(engine, status, outcome).Inc()
	m.scanTime.WithLabelValues(engine).Observe(d.Seconds())
}

// ObserveFindings counts what became of findings.
func (m *Metrics) ObserveFindings(engine, fate string, n int) {
	m.findings.WithLabelValues(engine, fate).Add(float64(n))
}

// ObserveJob counts one worked job.
func (m *Metrics) ObserveJob(kind, decision string) { m.jobs.WithLabelValues(kind, decision).Inc() }

// ObserveHandshake counts a finished handshake; group is the key exchange that the server chose from its own short list.
func (m *Metrics) ObserveHandshake(group string) { m.shakes.WithLabelValues(group).Inc() }

// ObserveDelivery counts one try to deliver an event; outcome is the delivery's state after it: delivered, pending (it
// is tried again), failed or held.
func (m *Metrics) ObserveDelivery(outcome string, d time.Duration) {
	m.hooks.WithLabelValues(outcome).Observe(d.Seconds())
}
