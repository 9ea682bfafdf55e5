package api_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/word/uid"
)

// edge is the chain and the mux over stand-ins that cost nothing: what is measured is the edge alone.
func edge(b *testing.B) *mw.Chain {
	b.Helper()
	clock := testkit.NewClock()
	free := instant{clock: clock, key: access.Actor{
		Org: "01900000-0000-7000-8000-000000000001", Kind: audit.ActorKey, ID: "k", Scopes: access.AllScopes(),
		Windows: access.Windows{PerMinute: 1 << 30}, Plan: "enterprise",
	}}
	a, err := api.New(api.Deps{}, platform.Routes(platform.Deps{Assets: free, Now: clock.Now}))
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // writing the line is part of what is measured
	chain, err := mw.New(mw.Deps{
		Router: a, Auth: free, Audit: free, IDs: clock.IDs(), Now: clock.Now, Log: log,
		Windows: usage.New(usage.Deps{Counter: usage.NewMemory(), Now: clock.Now}),
	})
	if err != nil {
		b.Fatal(err)
	}
	return chain
}

type instant struct {
	platform.Assets

	clock *testkit.Clock
	key   access.Actor
}

func (i instant) Authenticate(context.Context, access.Credentials) (access.Actor, error) {
	return i.key, nil
}

func (instant) Record(context.Context, uid.Org, audit.Event) error { return nil }
func (instant) RecordEntry(context.Context, audit.Entry) error     { return nil }

func (i instant) Create(ctx context.Context, _ uid.Org, d asset.Draft) (asset.Asset, error) {
	audit.CallFrom(ctx).MarkRecorded()
	return asset.Asset{ID: "01900000-0000-7000-8000-000000000002", Kind: d.Kind, Name: d.Name, Tags: d.Tags, CreatedAt: i.clock.Now()}, nil
}

func (i instant) List(context.Context, uid.Org, asset.Query) (asset.List, error) {
	l := asset.List{Items: make([]asset.Asset, 50)}
	for n := range l.Items {
		l.Items[n] = asset.Asset{ID: "01900000-0000-7000-8000-000000000002", Kind: "host", Name: "192.0.2." + strconv.Itoa(n), CreatedAt: i.clock.Now()}
	}
	return l, nil
}

func benchmarkCall(b *testing.B, method, target, body string, want int) {
	b.Helper()
	chain := edge(b)
	var n atomic.Int64
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), method, target, strings.NewReader(body))
		r.Header.Set("X-API-Key", "k")
		r.Header.Set("Content-Type", "application/json")
		w := &drop{header: http.Header{}}
		chain.ServeHTTP(w, r)
		if w.status != want {
			b.Fatal(w.status)
		}
		n.Add(1)
	}
}

// drop is a connection that takes everything at once.
type drop struct {
	header http.Header
	status int
}

func (d *drop) Header() http.Header         { return d.header }
func (d *drop) Write(p []byte) (int, error) { return len(p), nil }
func (d *drop) WriteHeader(status int)      { d.status = status }

func BenchmarkEdgeCreate(b *testing.B) {
	benchmarkCall(b, http.MethodPost, "/api/assets", `{"name":"host 1234","kind":"host","tags":["a","b"],"attributes":{"os":"linux"}}`, 201)
}

func BenchmarkEdgeList50(b *testing.B) {
	benchmarkCall(b, http.MethodGet, "/api/assets?limit=50", "", 200)
}
