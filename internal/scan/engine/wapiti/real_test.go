package wapiti_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/wapiti"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
	"assay.dev/assay/internal/word/secret"
)

// ground is a run's real surroundings: runner, proxy and dialer, as a scan has them.
type ground struct {
	env   engine.Env
	raw   *memory
	log   *memory
	mu    sync.Mutex
	dials []string
}

type memory struct {
	mu   sync.Mutex
	b    bytes.Buffer
	word string // its first appearance is told to seen
	seen func()
}

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.b.Write(p)
	if m.word != "" && strings.Contains(m.b.String(), m.word) {
		m.seen()
	}
	return n, err
}

func (*memory) Truncated() bool { return false }

func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.String()
}

// newGround lets a run reach the target's own URL and nothing else. path are the folders of programs; none = the
// system's.
func newGround(t *testing.T, target asset.Target, path ...string) *ground {
	t.Helper()
	r, err := runner.New(runner.Config{Scratch: t.TempDir(), Mark: runner.Mark(t.TempDir()), Path: path, Helper: runnertest.Helper(t)})
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
	g := &ground{raw: &memory{}, log: &memory{}}
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	dialer := egress.NewScanDialer(egress.ScanConfig{
		Target: target, Addrs: []netip.Addr{target.Addr()},
		Scope: asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleURL, Value: "http://" + target.URL().Host + "/"}}},
	})
	proxy := egress.NewProxy(func(ctx context.Context, network, address string) (net.Conn, error) {
		g.mu.Lock()
		g.dials = append(g.dials, address)
		g.mu.Unlock()
		return dialer.DialContext(ctx, network, address)
	}, logger)
	launcher := r.Launcher(runner.Run{Scan: "real", Work: work, Proxy: proxy.Serve})
	t.Cleanup(func() {
		for _, c := range []io.Closer{launcher, proxy, files} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	g.env = engine.Env{
		Proc: launcher, Dial: dialer, Work: work, Files: files, Now: time.Now, Log: logger, Proxy: launcher.ProxyAddress,
		Progress: func(percent int, phase string) { t.Logf("%d %% %s", percent, phase) },
		Artifact: func(name, _ string) (engine.Artifact, error) {
			if name == "report.json" {
				return g.raw, nil
			}
			return g.log, nil
		},
	}
	return g
}

// realWapiti skips aloud where wapiti isn't installed, and fails there when REQUIRE_ENGINES is set, as CI does.
func realWapiti(t *testing.T) {
	t.Helper()
	a := wapiti.Engine{}.Check(t.Context(), newGround(t, at(t, "http://127.0.0.1/")).env)
	switch {
	case a.Available:
		t.Log("wapiti", a.Version)
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set: " + a.Reason)
	default:
		t.Skip("SKIPPED: this test drives the real wapiti. " + a.Reason)
	}
}

func at(t *testing.T, target string) asset.Target {
	t.Helper()
	to, err := asset.ParseTarget(target, asset.TypeURL)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func order(t *testing.T, target, options string) engine.Request {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		t.Fatal(err)
	}
	o, err := engine.ParseOptions(wapiti.New().Manifest(), raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Request{Scan: "real", Target: at(t, target), Options: o}
}

func findings(t *testing.T, raw string, req engine.Request) []finding.Observation {
	t.Helper()
	var out []finding.Observation
	_, err := wapiti.New().Parse(strings.NewReader(raw), req, func(i engine.Item) error {
		out = append(out, *i.Finding)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// quick are the modules that find something in seconds.
const quick = `{"modules":["csp","cookieflags","http_headers","csrf","sql","redirect"]}`

func TestRealWapitiFindsWhatWasPlanted(t *testing.T) {
	realWapiti(t)
	web := targets.Web(t)
	req := order(t, web.URL, quick)
	g := newGround(t, req.Target)
	v, err := wapiti.New().Run(t.Context(), g.env, req)
	if err != nil || v.Version == "" || v.Outcome == engine.Failed || v.Outcome == engine.NothingReachable {
		t.Fatalf("%+v, %v\n%s", v, err, g.log.String())
	}
	t.Logf("%+v", v)
	got := findings(t, g.raw.String(), req)
	for _, f := range web.Flaws {
		if slices.Contains([]string{"W02b", "W06a", "W06b", "W06c", "W08a", "W09"}, f.ID) && !slices.ContainsFunc(got, f.Is) {
			t.Errorf("%s %s is missing in %+v", f.ID, f.What, got)
		}
	}
	if len(g.dials) == 0 {
		t.Error("nothing went through the proxy")
	}
}

func TestRealWapitiSignsInWithoutShowingTheSecret(t *testing.T) {
	realWapiti(t)
	var signed, cookies, bare atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer CANARY-3f9a" && r.Header.Get("X-Extra") == "one" {
			signed.Add(1)
		} else {
			bare.Add(1)
		}
		if c, err := r.Cookie("sid"); err == nil && c.Value == "CANARY-sid" {
			cookies.Add(1)
		}
		_, _ = io.WriteString(w, `<a href="/a?x=1">a</a>`)
	}))
	t.Cleanup(site.Close)
	req := order(t, site.URL+"/", `{"modules":["csp","redirect"]}`)
	req.Config.Headers = []engine.Header{{Name: "Cookie", Value: secret.New("sid=CANARY-sid")}, {Name: "X-Extra", Value: secret.New("one")}}
	req.Config.Authentication = secret.New(`{"type":"bearer","token":"CANARY-3f9a"}`)
	g := newGround(t, req.Target)
	v, err := wapiti.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome != engine.Complete {
		t.Fatalf("%+v, %v\n%s", v, err, g.log.String())
	}
	if signed.Load() == 0 || bare.Load() > 0 || cookies.Load() == 0 {
		t.Errorf("%d requests signed, %d not, %d with the cookie", signed.Load(), bare.Load(), cookies.Load())
	}
	if strings.Contains(g.raw.String()+g.log.String(), "CANARY") {
		t.Error("the raw output holds a secret")
	}
}

// TestRealWapitiStaysWithinScope has a page that sends Wapiti to another host and to another port.
func TestRealWapitiStaysWithinScope(t *testing.T) {
	realWapiti(t)
	var strays atomic.Int32
	trap := func(address string) string {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Skip("SKIPPED: no second loopback address: ", err)
		}
		s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays.Add(1) })}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return "http://" + l.Addr().String()
	}
	host, port := trap("127.0.0.2:0"), trap("127.0.0.1:0")
	var direct atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		direct.Add(1)
		switch r.URL.Path {
		case "/":
			_, _ = fmt.Fprintf(w, `<a href="/a?x=1">a</a> <a href="/b?x=1">b</a> <a href="%s/c?x=1">c</a> <a href="%s/d?x=1">d</a><form action="%s/e"><input name=q></form>`, host, port, port)
		case "/a":
			http.Redirect(w, r, host+"/a", http.StatusFound)
		case "/b":
			http.Redirect(w, r, port+"/b", http.StatusFound)
		}
	}))
	t.Cleanup(site.Close)
	req := order(t, site.URL+"/", `{"modules":["csp","redirect","file"]}`)
	g := newGround(t, req.Target)
	v, err := wapiti.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome == engine.Failed {
		t.Fatalf("%+v, %v\n%s", v, err, g.log.String())
	}
	if strays.Load() > 0 {
		t.Errorf("%d requests left the scope\n%s", strays.Load(), g.log.String())
	}
	if direct.Load() == 0 || len(g.dials) == 0 {
		t.Errorf("%d requests, %d connections by the proxy", direct.Load(), len(g.dials))
	}
}

func TestRealWapitiSavesWhatItHadWhenCancelled(t *testing.T) {
	realWapiti(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := order(t, targets.Web(t).URL, `{"modules":["csp","cookieflags","http_headers","file"]}`)
	g := newGround(t, req.Target)
	g.log.word, g.log.seen = "in the cookie", cancel
	v, err := wapiti.New().Run(ctx, g.env, req)
	if err != nil || v.Outcome != engine.Partial || v.Coverage != nil {
		t.Fatalf("%+v, %v", v, err)
	}
	t.Logf("%+v", v)
	got := findings(t, g.raw.String(), req)
	saved := strings.Contains(v.Reasons[0], "is kept")
	if saved != (len(got) > 0) {
		t.Errorf("%+v, but %d findings\n%s", v, len(got), g.log.String())
	}
}

func TestADeadTargetIsNotReached(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	req := order(t, "http://"+l.Addr().String()+"/?id=1", `{}`)
	g := newGround(t, req.Target)
	if v, err := wapiti.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.NothingReachable {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestAStoppedProgramIsAskedForItsReport has a stand-in at the process boundary: its first start ends by the signal, its
// second writes the recorded report.
func TestAStoppedProgramIsAskedForItsReport(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join("testdata", "saved", "raw.json"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\ncase \"$*\" in *--skip-crawl*) /bin/cat > report.json <<'REPORT'\n" + string(sample) + "\nREPORT\nexit 0;; esac\n" +
		"echo 'Wapiti-3.0.4 (x)'\necho '[*] Wapiti found 3 URLs and forms during the scan'\necho '[*] Launching module csp'\necho READY\nwhile :; do /bin/sleep 0.05; done\n"
	standIn(t, filepath.Join(bin, "wapiti"), script)
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	ctx, cancel := context.WithCancel(t.Context())
	req := order(t, site.URL+"/", `{}`)
	g := newGround(t, req.Target, bin)
	g.log.word, g.log.seen = "READY", cancel
	v, err := wapiti.New().Run(ctx, g.env, req)
	if err != nil || v.Outcome != engine.Partial || !strings.Contains(v.Reasons[0], "is kept") {
		t.Fatalf("%+v, %v: %s", v, err, g.log.String())
	}
	if len(findings(t, g.raw.String(), req)) == 0 {
		t.Errorf("nothing was saved: %s", g.raw.String())
	}
}

// standIn writes a program where the user that programs run as may find it.
func standIn(t *testing.T, file, script string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755); err != nil { // t.TempDir keeps it to its owner
		t.Fatal(err)
	}
}
