package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/simulator"
	"assay.dev/assay/internal/testkit"
)

// patience bounds waits for things that come by themselves; a test that reaches it has failed.
const patience = 60 * time.Second

const scanAPI = "/scan-api/api/v1"

func TestMain(m *testing.M) {
	// These tests wait for engines and servers more than they compute.
	_ = flag.Set("test.parallel", "4") // a flag of the command line still wins
	os.Exit(m.Run())
}

// house is a whole server in this process, set up as `assay init` does it, with the API key of its organization.
type house struct {
	t   *testing.T
	cfg config.Config
	url string
	op  app.Operator
	log *logs
	srv *app.App
	caller
}

// caller is somebody with an API key of an organization.
type caller struct {
	t   *testing.T
	url string
	org string
	key string
	web *http.Client // nil = net/http's
}

// logs collects the server's log.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// drop takes an expected line out.
func (l *logs) drop(part string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.buf.String(), "\n")
	l.buf.Reset()
	l.buf.WriteString(strings.Join(slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, part) }), "\n"))
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// each runs f on a fresh server over SQLite and on one over PostgreSQL.
func each(t *testing.T, f func(t *testing.T, h *house)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, ""))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, testkit.Database(t)))
	})
}

// open starts a server on an empty folder and sets it up. It is stopped with the test, in good order.
func open(t *testing.T, database string, change ...func(*config.Config)) *house {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Listen, cfg.Database = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", database
	cfg.RateLimitCeiling, cfg.ShutdownTimeout = 0, 5*time.Second
	for _, c := range change {
		c(&cfg)
	}
	h := &house{t: t, cfg: cfg, op: app.NewOperator(cfg), log: &logs{}}
	server, err := app.New(t.Context(), cfg, app.Seams{Log: h.log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background()) // ends in the clean-up
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server did not stop in good order: %v", err)
		}
		if out := h.log.String(); strings.Contains(out, "panic") || strings.Contains(out, "level=ERROR") || t.Failed() {
			if !t.Failed() {
				t.Error("the server logged an error")
			}
			t.Logf("the server's log:\n%s", out)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatalf("the server ended: %v", err)
	}
	made, err := app.Init(t.Context(), cfg, app.InitOrder{Organization: "Ours", Admin: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	h.url, h.srv = server.URL(), server
	h.caller = caller{t: t, url: server.URL(), org: made.OrganizationID, key: made.APIKey}
	return h
}

// everything are the scopes of a key that may do all.
func everything() []string {
	return []string{"scans:*", "results:read", "keys:manage", "assets:*", "org:manage", "audit:*"}
}

// stranger makes another organization and a key in it.
func (h *house) stranger(plan string) caller {
	h.t.Helper()
	made, err := h.op.CreateOrganization(h.t.Context(), app.OrganizationOrder{Name: "Theirs", Plan: plan})
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := h.op.CreateKey(h.t.Context(), made.ID, client.KeyOrder{Name: "theirs", Scopes: everything()})
	if err != nil {
		h.t.Fatal(err)
	}
	return caller{t: h.t, url: h.url, org: made.ID, key: key.Secret}
}

// answer is what a call got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// code is the error's code, "" where it is none.
func (a answer) code() string {
	var doc struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &doc)
	return doc.Code
}

// into decodes the body, in the scan API's envelope or bare.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	var e struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(a.body, &e); err == nil && bytes.HasPrefix(a.body, []byte(`{"success"`)) {
		a.body = e.Data
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("the answer can't be read: %v\n%s", err, a.body)
	}
}

// call makes one call; header holds pairs of names and values.
func (c caller) call(method, path string, in any, header ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, in, header...)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c caller) try(method, path string, in any, header ...string) (answer, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, body)
	if err != nil {
		return answer{}, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("X-API-Key", c.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	web := c.web
	if web == nil {
		web = http.DefaultClient
	}
	resp, err := web.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: b}, err
}

// must is call for calls that have to succeed.
func (c caller) must(method, path string, in, out any) answer {
	c.t.Helper()
	a := c.call(method, path, in)
	if a.status >= 300 {
		c.t.Fatalf("%s %s: %d\n%s", method, path, a.status, a.body)
	}
	if out != nil {
		a.into(c.t, out)
	}
	return a
}

// order is a scan order; options are JSON.
type order struct {
	Target   string         `json:"target"`
	ScanType string         `json:"scanType"`
	Options  map[string]any `json:"options,omitempty"`
	Config   map[string]any `json:"config,omitempty"`
	Timeout  int            `json:"timeout,omitempty"`
	Tags     []string       `json:"tags,omitempty"`
}

func (c caller) submit(o order) string {
	c.t.Helper()
	var s client.Scan
	c.must(http.MethodPost, scanAPI+"/scans", o, &s)
	return s.ID
}

func (c caller) scan(id string) client.Scan {
	c.t.Helper()
	var s client.Scan
	c.must(http.MethodGet, scanAPI+"/scans/"+id, nil, &s)
	return s
}

// ended waits for a scan's end.
func (c caller) ended(id string) client.Scan {
	c.t.Helper()
	var s client.Scan
	c.until("the scan's end", patience, func() bool {
		s = c.scan(id)
		return s.Terminal()
	})
	return s
}

// until looks again and again, and fails the test where it never comes to pass.
func (c caller) until(what string, patience time.Duration, ok func() bool) {
	c.t.Helper()
	if !c.eventually(patience, ok) {
		c.t.Fatalf("waited in vain for %s", what)
	}
}

// eventually looks again and again, and reports whether it came to pass.
func (c caller) eventually(patience time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
	return true
}

// seen is a finding as results show it.
type seen struct {
	client.Finding

	FixedAt *time.Time `json:"fixedAt"`
}

// results reads all of a scan's results.
func (c caller) results(id string) (found []seen, total int) {
	c.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Findings   []seen
			Summary    client.Summary
			Pagination client.Pagination
		}
		path := scanAPI + "/scans/" + id + "/results?limit=100"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		c.must(http.MethodGet, path, nil, &page)
		found = append(found, page.Findings...)
		if cursor = page.Pagination.NextCursor; cursor == "" {
			return found, page.Summary.Total
		}
	}
}

// sentinel is an order of our own probes alone on some ports of a host.
func sentinel(target, ports string) order {
	return order{Target: target, ScanType: "sentinel", Options: map[string]any{"ports": ports, "engines": []string{"sentinel"}}}
}

func weakTarget(t *testing.T) *simulator.WeakTarget {
	t.Helper()
	w, err := simulator.StartWeakTarget(t.Context(), simulator.WeakConfig{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// needNmap skips where Nmap is missing, aloud; with REQUIRE_ENGINES=1 that is a failure.
func needNmap(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nmap"); errors.Is(err, exec.ErrNotFound) {
		if os.Getenv("REQUIRE_ENGINES") == "1" {
			t.Fatal("REQUIRE_ENGINES=1 but nmap is not installed")
		}
		t.Skip("NOT TESTED WITH NMAP: install it, or run make test")
	}
}

// tarpit opens ports that take connections and never say a word.
func tarpit(t *testing.T, n int) (ports string) {
	t.Helper()
	var list []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		list = append(list, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = c.Close() }()
					_, _ = io.Copy(io.Discard, c)
				}()
			}
		}()
	}
	return strings.Join(list, ",")
}
