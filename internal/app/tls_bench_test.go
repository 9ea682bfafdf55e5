package app_test

import (
	"context"
	gotls "crypto/tls"
	"net/http"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/config"
)

// BenchmarkOverTLS repeats the two main calls with connections kept alive: over plain HTTP, over TLS, and over HTTP/2.
func BenchmarkOverTLS(b *testing.B) {
	calls := map[string]func(b *testing.B, h *benched) []time.Duration{
		"create": func(b *testing.B, h *benched) []time.Duration { //nolint:thelper // what is measured
			return h.assets(b, "new", b.N)
		},
		"list": func(b *testing.B, h *benched) []time.Duration { //nolint:thelper // what is measured
			return load(b, b.N, func(ctx context.Context, _ int) error {
				return h.send(ctx, http.MethodGet, "/api/assets?limit=50", "", http.StatusOK)
			})
		},
	}
	for _, way := range []string{"plain", "tls", "http2"} {
		for _, call := range []string{"create", "list"} {
			b.Run(call+"/"+way, func(b *testing.B) {
				cfg := benchConfig(b)
				if way != "plain" {
					made, err := app.SelfSigned(config.Config{Data: cfg.Data}, []string{"127.0.0.1"}, 1, false)
					if err != nil {
						b.Fatal(err)
					}
					cfg.TLSCert, cfg.TLSKey = made.Cert, made.Key
				}
				h := benchServer(b, cfg, "")
				transport := h.http.Transport.(*http.Transport)
				transport.TLSClientConfig = &gotls.Config{InsecureSkipVerify: true}
				transport.ForceAttemptHTTP2 = way == "http2"
				h.assets(b, "seed", 1000)
				measured(b, func() []time.Duration { return calls[call](b, h) })
			})
		}
	}
}
