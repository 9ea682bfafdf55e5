package zap_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/zap"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
)

// The ZAP of these tests is real as far as it can be had: its core and its network, spider and automation add-ons, by
// tools/fetch-zap. It has no rules of its own, which is told by each verdict; alerts are put in over its API.

// Asking a ZAP for its version starts a Java machine: once is enough.
var (
	installed sync.Once
	available engine.Availability
)

// ground is what a real run stands on: the runner, a scratch folder and the run's proxy.
type ground struct {
	env      engine.Env
	mu       sync.Mutex
	raw      map[string]*bytes.Buffer
	phases   []string
	percents []int
	call     func(path string, form url.Values) string // to the daemon
	once     func()                                    // done when the first step begins
}

type memory struct{ *bytes.Buffer }

func (memory) Truncated() bool { return false }

func where(t *testing.T) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	var path []string
	if dir := os.Getenv("ASSAY_TEST_ZAP"); dir != "" {
		path = append(path, dir)
	}
	return append(path, filepath.Join(cache, "assay", "zap-2.17.0"), "/usr/local/bin", "/usr/bin", "/bin")
}

func realGround(t *testing.T, target asset.Target) *ground {
	t.Helper()
	r, err := runner.New(runner.Config{Path: where(t), Scratch: t.TempDir(), Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("real")
	if err != nil {
		t.Fatal(err)
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	anywhere := asset.Scope{Allow: []asset.Rule{{Kind: "cidr", Value: "127.0.0.0/8"}}}
	dial := egress.NewScanDialer(egress.ScanConfig{Target: target, Scope: anywhere})
	proxy := egress.NewProxy(dial.DialContext, logger)
	proc := r.Launcher(runner.Run{Scan: "real", Work: work, Proxy: proxy.Serve})
	t.Cleanup(func() {
		for _, closing := range []func() error{proc.Close, proxy.Close, files.Close} {
			if err := closing(); err != nil {
				t.Error(err)
			}
		}
	})
	g := &ground{raw: map[string]*bytes.Buffer{}}
	g.env = engine.Env{
		Proc: meddling{proc, g}, Work: work, Files: files, Now: time.Now, Log: logger, Proxy: proc.ProxyAddress, Dial: dial, Rand: rand.Reader,
		Progress: func(percent int, phase string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.percents = append(g.percents, percent)
			if percent >= 5 && g.once != nil {
				g.once()
				g.once = nil
			}
			if !slices.Contains(g.phases, phase) {
				g.phases = append(g.phases, phase)
			}
		},
		Artifact: func(name, _ string) (engine.Artifact, error) {
			g.raw[name] = &bytes.Buffer{}
			return memory{g.raw[name]}, nil
		},
	}
	installed.Do(func() {
		checker, ok := zap.New().(engine.Checker)
		if !ok {
			t.Fatal("not a Checker")
		}
		available = checker.Check(t.Context(), g.env)
	})
	switch {
	case available.Available:
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set; run tools/fetch-zap: " + available.Reason)
	default:
		t.Skip("SKIPPED: this test drives a real ZAP; tools/fetch-zap gets it. " + available.Reason)
	}
	return g
}

// meddling is the runner, but for what a test does with the daemon while the engine leads it.
type meddling struct {
	engine.Launcher
	g *ground
}

func (m meddling) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	ready := p.Ready
	if ready != nil {
		p.Ready = func(life context.Context, dial func(context.Context) (net.Conn, error)) {
			m.g.call = m.g.caller(life, p, dial)
			ready(life, dial)
		}
	}
	return m.Launcher.Launch(ctx, p)
}

// caller calls the API as the engine does, by what stands in the settings that it wrote.
func (g *ground) caller(ctx context.Context, p engine.Process, dial func(context.Context) (net.Conn, error)) func(string, url.Values) string {
	file, err := g.env.Files.Open("zap.properties")
	if err != nil {
		panic(err)
	}
	defer func() { _ = file.Close() }()
	text, _ := io.ReadAll(file)
	_, key, _ := strings.Cut(string(text), "api.key=")
	key, _, _ = strings.Cut(key, "\n")
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}}
	return func(path string, form url.Values) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/JSON/%s/", p.Listens, path), strings.NewReader(form.Encode()))
		if err != nil {
			panic(err)
		}
		req.Header.Set("X-ZAP-API-Key", key)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := c.Do(req)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
}

func order(t *testing.T, target, options, config string) engine.Request {
	t.Helper()
	var o, c map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	parsed, err := engine.ParseOptions(zap.New().Manifest(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := engine.ParseConfig(zap.New().Manifest(), c)
	if err != nil {
		t.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		t.Fatal(err)
	}
	return engine.Request{Scan: "real", Target: at, Options: parsed, Config: conf}
}

// plant adds two alerts to the daemon, on its first message.
func (g *ground) plant(t *testing.T) {
	t.Helper()
	g.once = func() {
		for _, name := range []string{"SQL Injection", "Second"} {
			got := g.call("alert/action/addAlert", url.Values{
				"messageId": {"1"}, "name": {name}, "riskId": {"3"}, "confidenceId": {"2"}, "description": {"<p>It <b>injects</b>.</p>"},
				"param": {"id"}, "attack": {"1'"}, "evidence": {"near \"'\": syntax error"}, "solution": {"Bind parameters."},
				"references": {"https://owasp.org/x"}, "cweId": {"89"}, "wascId": {"19"}, "otherInfo": {"o"},
			})
			if !strings.Contains(got, "addAlert") {
				t.Errorf("no alert was added: %s", got)
			}
		}
	}
}

func TestRealZAPCrawlsByEitherDriver(t *testing.T) {
	for _, driver := range []string{"rest", "automation"} {
		t.Run(driver, func(t *testing.T) {
			web := targets.Web(t)
			req := order(t, web.URL, `{"plan":"full","driver":"`+driver+`"}`, `{"rateLimit":200,"userAgent":"assay-test/1","maxParallelism":2}`)
			g := realGround(t, req.Target)
			g.plant(t)
			v, err := zap.New().Run(t.Context(), g.env, req)
			if err != nil {
				t.Fatal(err)
			}
			raw := g.raw["zap.jsonl"].Bytes()
			t.Logf("%v %s", g.phases, raw)
			// It has no rules, and says so: crawled, but never "nothing found".
			if v.Outcome != engine.Partial || v.Version != "2.17.0" || !strings.Contains(strings.Join(v.Reasons, " "), "no passive rules") ||
				!strings.Contains(strings.Join(v.Reasons, " "), "no active rules") || v.Looked.Targets[0].State != engine.LookPartial {
				t.Errorf("%+v", v)
			}
			if !bytes.Contains(raw, []byte(`"spider":"done"`)) || bytes.Contains(raw, []byte(`"urls":0`)) || !slices.IsSorted(g.percents) {
				t.Errorf("%v", g.percents)
			}
			var found []finding.Observation
			cover, err := zap.New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
				found = append(found, *i.Finding)
				return nil
			})
			if err != nil || len(cover.Places) != 0 || len(found) != 2 {
				t.Fatalf("%+v, %+v, %v", found, cover, err)
			}
			if f := found[0]; f.Title != "SQL Injection" || f.Severity != finding.High || f.CWE[0] != 89 || f.Location.Parameter != "id" ||
				f.Location.URL != web.URL || f.Description != "It injects." {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestRealZAPAndADeadTarget(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // listens, and is no web server
		}
	}()
	req := order(t, "http://"+l.Addr().String()+"/", `{}`, `{}`)
	g := realGround(t, req.Target)
	v, err := zap.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome != engine.NothingReachable || v.Looked.Targets[0].State != engine.LookUnreachable {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestRealZAPIsStopped(t *testing.T) {
	web := targets.Web(t)
	req := order(t, web.URL, `{}`, `{"rateLimit":1}`)
	g := realGround(t, req.Target)
	g.plant(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tell := g.env.Progress
	g.env.Progress = func(percent int, phase string) {
		tell(percent, phase)
		if phase == "crawling" && percent > 5 {
			cancel()
		}
	}
	v, err := zap.New().Run(ctx, g.env, req)
	if err != nil || ctx.Err() == nil || v.Outcome != engine.Partial || !bytes.Contains(g.raw["zap.jsonl"].Bytes(), []byte("SQL Injection")) {
		t.Errorf("%+v, %v\n%s", v, err, g.raw["zap.jsonl"])
	}
}
