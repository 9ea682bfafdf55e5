package obs

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Traces makes spans and sends them to a collector in batches, off the request's path. A nil *Traces does nothing, so
// that callers need no condition.
type Traces struct{ provider *sdktrace.TracerProvider }

// NewTraces connects to the OTLP/HTTP collector at endpoint ("http://HOST:4318") through transport, which is egress's;
// an empty endpoint returns nil. Nothing is sent before the first span ends.
func NewTraces(ctx context.Context, endpoint, version string, transport http.RoundTripper) (*Traces, error) {
	if endpoint == "" {
		return nil, nil //nolint:nilnil // a nil *Traces is the documented way to have no traces
	}
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		return nil, fmt.Errorf("setting up traces: %w", err)
	}
	return &Traces{provider: sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "assay"), attribute.String("service.version", version))),
	)}, nil
}

// Handler wraps a handler so that each request is a span named by route, which the caller reads after the request was
// routed; incoming trace context is continued.
func (t *Traces) Handler(h http.Handler, route func(*http.Request) string) http.Handler {
	if t == nil {
		return h
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		trace.SpanFromContext(r.Context()).SetName(r.Method + " " + route(r))
	})
	return otelhttp.NewHandler(named, "http", otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Start begins a span for work outside a request (a scan, a phase); end must be called.
func (t *Traces) Start(ctx context.Context, name string) (spanned context.Context, end func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.provider.Tracer("assay").Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			// The error's kind is enough here; its text may hold what only the log may.
			span.SetAttributes(attribute.Bool("error", true))
		}
		span.End()
	}
}

// Shutdown sends what is left, within ctx.
func (t *Traces) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}
