package sqlmap_test

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
	"assay.dev/assay/internal/scan/engine/sqlmap"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
)

// ground is a run's real surroundings: runner, proxy and dialer, as a scan has them.
type ground struct {
	env   engine.Env
	raw   *memory
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
	g := &ground{raw: &memory{}}
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
		Artifact: func(string, string) (engine.Artifact, error) { return g.raw, nil },
	}
	return g
}

// realSqlmap skips aloud where sqlmap isn't installed, and fails there when REQUIRE_ENGINES is set, as CI does.
func realSqlmap(t *testing.T) {
	t.Helper()
	a := sqlmap.Engine{}.Check(t.Context(), newGround(t, at(t, "http://127.0.0.1/")).env)
	switch {
	case a.Available:
		t.Log("sqlmap", a.Version)
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set: " + a.Reason)
	default:
		t.Skip("SKIPPED: this test drives the real sqlmap. " + a.Reason)
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
	o, err := engine.ParseOptions(sqlmap.New().Manifest(), raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Request{Scan: "real", Target: at(t, target), Options: o}
}

func findings(t *testing.T, raw string, req engine.Request) ([]finding.Observation, finding.Coverage) {
	t.Helper()
	var out []finding.Observation
	cover, err := sqlmap.New().Parse(strings.NewReader(raw), req, func(i engine.Item) error {
		out = append(out, *i.Finding)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, cover
}

func TestRealSqlmapFindsEveryPlantedInjectionOnce(t *testing.T) {
	realSqlmap(t)
	web := targets.Web(t)
	req := order(t, web.URL, `{"threads":4}`)
	g := newGround(t, req.Target)
	v, err := sqlmap.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome != engine.Complete || v.Version == "" || len(v.Looked.Targets) < 5 {
		t.Fatalf("%+v, %v\n%s", v, err, g.raw.String())
	}
	got, cover := findings(t, g.raw.String(), req)
	for _, f := range web.Flaws {
		if !slices.Contains([]string{"W01", "W02", "W15"}, f.ID) {
			continue
		}
		if !slices.ContainsFunc(got, f.Is) {
			t.Errorf("%s %s is missing in %+v", f.ID, f.What, got)
		}
	}
	for _, o := range got {
		if !slices.ContainsFunc(web.Flaws, func(f targets.Flaw) bool { return f.Is(o) }) {
			t.Errorf("nothing was planted for %+v", o.Location)
		}
	}
	if len(got) != 4 || len(cover.Places) != 1 {
		t.Errorf("%d findings, coverage %+v", len(got), cover)
	}
	if len(g.dials) == 0 {
		t.Error("nothing went through the proxy")
	}
}

func TestRealSqlmapReadsTheProofThatWasAgreedTo(t *testing.T) {
	realSqlmap(t)
	req := order(t, targets.Web(t).URL+"item?id=1", `{"proof":"banner","consentToProof":true}`)
	g := newGround(t, req.Target)
	if v, err := sqlmap.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.Complete {
		t.Fatalf("%+v, %v", v, err)
	}
	got, _ := findings(t, g.raw.String(), req)
	if len(got) != 1 || !strings.Contains(got[0].Evidence, "Version read from the database: 3.") {
		t.Errorf("%+v\n%s", got, g.raw.String())
	}
}

// TestRealSqlmapStaysWithinScope has a page that sends sqlmap to another host and to another port.
func TestRealSqlmapStaysWithinScope(t *testing.T) {
	realSqlmap(t)
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
	req := order(t, site.URL+"/", `{}`)
	g := newGround(t, req.Target)
	v, err := sqlmap.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome == engine.Failed {
		t.Fatalf("%+v, %v\n%s", v, err, g.raw.String())
	}
	if strays.Load() > 0 {
		t.Errorf("%d requests left the scope\n%s", strays.Load(), g.raw.String())
	}
	if direct.Load() == 0 || len(g.dials) == 0 {
		t.Errorf("%d requests, %d connections by the proxy", direct.Load(), len(g.dials))
	}
}

func TestRealSqlmapKeepsWhatItHadWhenCancelled(t *testing.T) {
	realSqlmap(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := order(t, targets.Web(t).URL, `{}`)
	g := newGround(t, req.Target)
	g.raw.word, g.raw.seen = "is vulnerable. Do you want to keep testing", cancel
	v, err := sqlmap.New().Run(ctx, g.env, req)
	if err != nil || v.Outcome != engine.Partial {
		t.Fatalf("%+v, %v", v, err)
	}
	got, cover := findings(t, g.raw.String(), req)
	if len(got) == 0 || len(cover.Places) > 0 {
		t.Errorf("findings %+v, coverage %+v\n%s", got, cover, g.raw.String())
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
	if v, err := sqlmap.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.NothingReachable {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestACancelledProgramIsGoneWithWhatItPrinted has a stand-in at the process boundary that prints half a recorded run,
// takes the signal and ends.
func TestACancelledProgramIsGoneWithWhatItPrinted(t *testing.T) {
	for _, end := range []string{"exit 1", ": # it goes on"} {
		bin := t.TempDir()
		sample, err := os.ReadFile(filepath.Join("testdata", "cut-off", "raw.log"))
		if err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\ntrap '" + end + "' INT TERM\n[ -s sqlmap.conf ] || exit 3\n/bin/cat <<'LOG'\n" + string(sample) + "\nLOG\necho READY\nwhile :; do /bin/sleep 0.05; done\n"
		standIn(t, filepath.Join(bin, "sqlmap"), script)
		site := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(site.Close)
		ctx, cancel := context.WithCancel(t.Context())
		req := order(t, site.URL+"/", `{}`)
		g := newGround(t, req.Target, bin)
		g.raw.word, g.raw.seen = "READY", cancel
		v, err := sqlmap.New().Run(ctx, g.env, req)
		if err != nil || v.Outcome != engine.Partial || !strings.Contains(g.raw.String(), "is vulnerable") {
			t.Errorf("%+v, %v: %s", v, err, g.raw.String())
		}
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
