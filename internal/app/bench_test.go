package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/word/secret"
)

// These benchmarks measure a whole server over HTTP, on SQLite, with shipped defaults: audit, scopes and limits on, each
// answer durable before it is sent. Client and server are one process, so processor times are those of both.
// docs/performance.md says what to compare them with.

const (
	benchCallers = 16
	benchRows    = 10_000
)

// benched is a server that a benchmark started.
type benched struct {
	url, key string
	client   *client.Client
	http     *http.Client
	stop     func()
}

func benchConfig(b *testing.B) config.Config {
	b.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Listen, cfg.RateLimitCeiling = filepath.Join(b.TempDir(), "data"), "127.0.0.1:0", 0
	return cfg
}

// benchServer starts a server; an empty key stands for a folder that is to be set up first.
func benchServer(b *testing.B, cfg config.Config, key string) *benched {
	b.Helper()
	server, err := app.New(b.Context(), cfg, app.Seams{Log: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Ready()
	h := &benched{url: server.URL(), key: key, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: benchCallers, MaxConnsPerHost: benchCallers},
	}}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(h.stop)
	if key == "" {
		made, err := app.Init(b.Context(), cfg, app.InitOrder{Organization: "Ours", Admin: "admin"})
		if err != nil {
			b.Fatal(err)
		}
		h.key = made.APIKey
	}
	if h.client, err = client.New(h.url, secret.New(h.key), h.http.Transport); err != nil {
		b.Fatal(err)
	}
	return h
}

// send makes one call and reads the whole answer.
func (h *benched) send(ctx context.Context, method, path, body string, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, h.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", h.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := h.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // a benchmark's answer
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return err
}

// load runs n calls by the callers and returns how long each took, sorted.
func load(b *testing.B, n int, f func(ctx context.Context, i int) error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range benchCallers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := f(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

func (h *benched) assets(b *testing.B, prefix string, n int) []time.Duration {
	b.Helper()
	return load(b, n, func(ctx context.Context, i int) error {
		body := fmt.Sprintf(`{"name":"%s-%d.example.org","note":"made by a benchmark"}`, prefix, i)
		return h.send(ctx, http.MethodPost, "/api/assets", body, http.StatusCreated)
	})
}

func spread(b *testing.B, took []time.Duration) {
	b.Helper()
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}

// processor is the time that this process has spent, in user and system mode.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func measured(b *testing.B, f func() []time.Duration) {
	b.Helper()
	b.ResetTimer()
	before := processor()
	took := f()
	b.StopTimer()
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64((processor()-before).Microseconds())/float64(len(took)), "cpu-us/req")
	spread(b, took)
}

// BenchmarkCreateOverHTTP adds assets by 16 connections, beside 10,000 that are there.
func BenchmarkCreateOverHTTP(b *testing.B) {
	h := benchServer(b, benchConfig(b), "")
	h.assets(b, "seed", benchRows)
	measured(b, func() []time.Duration { return h.assets(b, "new", b.N) })
}

// BenchmarkListOverHTTP reads the newest 50 of 10,000 assets by 16 connections.
func BenchmarkListOverHTTP(b *testing.B) {
	h := benchServer(b, benchConfig(b), "")
	h.assets(b, "seed", benchRows)
	measured(b, func() []time.Duration {
		return load(b, b.N, func(ctx context.Context, _ int) error {
			return h.send(ctx, http.MethodGet, "/api/assets?limit=50", "", http.StatusOK)
		})
	})
}

// allowLoopback lets the organization scan this machine.
func (h *benched) allowLoopback(b *testing.B) {
	b.Helper()
	err := h.send(b.Context(), http.MethodPut, "/api/org/scan-scope",
		`{"allow":[{"kind":"cidr","value":"127.0.0.0/8"}],"deny":[]}`, http.StatusOK)
	if err != nil {
		b.Fatal(err)
	}
}

// scan submits an order and returns the scan as it ended.
func (h *benched) scan(b *testing.B, o client.Order) client.Scan {
	b.Helper()
	s, err := h.client.Submit(b.Context(), o, "")
	if err == nil {
		s, err = h.client.Watch(b.Context(), s.ID, func(client.Event) {})
	}
	if err != nil {
		b.Fatal(err)
	}
	if s.Status != "completed" || s.StartedAt == nil || s.CompletedAt == nil {
		b.Fatalf("the scan ended as %+v", s)
	}
	return s
}

// BenchmarkSubmitToStart is the time from the scan's entry to its engine's start, on an idle server.
func BenchmarkSubmitToStart(b *testing.B) {
	h := benchServer(b, benchConfig(b), "")
	h.allowLoopback(b)
	var took []time.Duration
	for b.Loop() {
		s := h.scan(b, client.Order{Target: "127.0.0.1", ScanType: "sentinel", Options: map[string]json.RawMessage{"ports": json.RawMessage(`"1"`), "engines": json.RawMessage(`["sentinel"]`)}})
		took = append(took, s.StartedAt.Sub(s.CreatedAt))
	}
	slices.Sort(took)
	spread(b, took)
}

// BenchmarkNmapScan pairs a whole scan by Nmap with the same command run bare, in turn.
func BenchmarkNmapScan(b *testing.B) {
	program, err := exec.LookPath("nmap")
	if err != nil {
		b.Skip("NOT MEASURED WITH NMAP: install it")
	}
	cfg := benchConfig(b)
	bin := b.TempDir()
	said := filepath.Join(bin, "arguments")
	script := "#!/bin/sh\ncase \"$*\" in *--noninteractive*) printf '%s\\n' \"$@\" >" + said + ";; esac\nexec " + program + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "nmap"), []byte(script), 0o700); err != nil {
		b.Fatal(err)
	}
	cfg.EnginePath = append([]string{bin}, cfg.EnginePath...)
	h := benchServer(b, cfg, "")
	h.allowLoopback(b)
	var starts, wholes, bares, over []time.Duration
	for b.Loop() {
		s := h.scan(b, client.Order{Target: "127.0.0.1", ScanType: "nmap", Options: map[string]json.RawMessage{"ports": json.RawMessage(`"1-1000"`)}})
		whole := s.CompletedAt.Sub(s.CreatedAt)
		args, err := os.ReadFile(said)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		out, err := exec.CommandContext(b.Context(), program, strings.Fields(string(args))...).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		bare := time.Since(start)
		starts, wholes, bares = append(starts, s.StartedAt.Sub(s.CreatedAt)), append(wholes, whole), append(bares, bare)
		over = append(over, whole-bare)
	}
	for _, list := range [][]time.Duration{starts, wholes, bares, over} {
		slices.Sort(list)
	}
	spread(b, starts)
	median := func(list []time.Duration) float64 { return list[len(list)/2].Seconds() * 1000 }
	b.ReportMetric(median(wholes), "scan-ms")
	b.ReportMetric(median(bares), "bare-ms")
	b.ReportMetric(median(over), "over-ms")
}

// done is the number of scans that have ended.
func (h *benched) done(b *testing.B) int {
	b.Helper()
	l, err := h.client.Scans(b.Context(), client.ListQuery{Status: "completed", Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	if l.Pagination.Total == nil {
		b.Fatal("the list says no total")
	}
	return *l.Pagination.Total
}

// BenchmarkRestart starts a server with 10,000 assets and 10,000 scans in line: until it answers, and until the first
// scan has started.
func BenchmarkRestart(b *testing.B) {
	cfg := benchConfig(b)
	cfg.Roles = []string{"api"} // nobody works the line yet
	h := benchServer(b, cfg, "")
	h.allowLoopback(b)
	h.assets(b, "seed", benchRows)
	load(b, benchRows, func(ctx context.Context, i int) error {
		return h.send(ctx, http.MethodPost, scanAPI+"/scans",
			`{"target":"127.0.`+strconv.Itoa(i/250)+`.`+strconv.Itoa(1+i%250)+`","scanType":"sentinel","options":{"ports":"1","depth":"quick"}}`, http.StatusCreated)
	})
	key := h.key
	h.stop()
	cfg.Roles, cfg.ShutdownTimeout = config.Default().Roles, time.Second
	var healthy, first []time.Duration
	for b.Loop() {
		start := time.Now()
		h := benchServer(b, cfg, key)
		if err := h.send(b.Context(), http.MethodGet, "/health", "", http.StatusOK); err != nil {
			b.Fatal(err)
		}
		healthy = append(healthy, time.Since(start))
		for before := h.done(b); h.done(b) == before; { // the first few may be over by now: then the next counts
			time.Sleep(time.Millisecond)
		}
		first = append(first, time.Since(start))
		h.stop()
	}
	slices.Sort(healthy)
	slices.Sort(first)
	b.ReportMetric(healthy[len(healthy)/2].Seconds()*1000, "healthy-ms")
	b.ReportMetric(first[len(first)/2].Seconds()*1000, "first-scan-done-ms")
}
