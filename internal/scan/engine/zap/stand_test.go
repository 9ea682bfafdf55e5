package zap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// stand is a stand-in for a ZAP daemon at its HTTP boundary, and the Env that starts it: what ZAP's core can't do here
// (rules) it plays by timers. Paths, field names, text-typed numbers, error codes and the 400 status follow ZAP's API.
// It runs in memory, within a synctest bubble.
type stand struct {
	boot     time.Duration // until it answers
	spider   time.Duration // how long a crawl takes
	active   time.Duration
	passive  int      // passive rules; 0 = the add-on is missing
	attacks  int      // active rules
	hangAt   int      // percent at which the active scan stays
	dieAt    int      // percent at which the process is gone
	page     string   // head of the target's answer
	alerts   []string // JSON objects; the last half is found by the active scan
	refuse   map[string]string
	stubborn bool // doesn't end by itself
	mute     bool // never answers
	dial     func(int) error
	launched error
	cut      bool
	late     bool // doesn't say its version in time, but this
	said     string

	mu       sync.Mutex
	proc     engine.Process
	calls    []string
	bodies   []string
	raw      map[string]*bytes.Buffer
	order    []string
	percents []int
	log      bytes.Buffer
	dials    int
	began    map[string]time.Time
	stopped  map[string]bool
	over     chan struct{}
	end      sync.Once
	root     *os.Root
	onCall   func(path string)
}

func newStand(t *testing.T) *stand {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return &stand{
		boot: 10 * time.Second, spider: 30 * time.Second, active: 2 * time.Minute, passive: 3, attacks: 2, page: "HTTP/1.1 200 OK\r\n\r\n",
		alerts: made(), raw: map[string]*bytes.Buffer{}, began: map[string]time.Time{}, stopped: map[string]bool{}, over: make(chan struct{}), root: root,
	}
}

// made are alerts as fakezap makes them up.
func made() []string {
	one := func(plugin, ref, name, risk, confidence, cwe, path, param, attack, evidence string) string {
		b, err := json.Marshal(map[string]any{
			"sourceid": "3", "other": "", "method": "GET", "evidence": evidence, "pluginId": plugin, "cweid": cwe, "confidence": confidence,
			"sourceMessageId": 1, "wascid": "15", "description": "<p>" + name + ".</p>", "messageId": "1", "inputVector": "", "url": "http://www.example.org" + path,
			"tags":      map[string]string{"CWE-" + cwe: "https://cwe.mitre.org/data/definitions/" + cwe + ".html"},
			"reference": "https://www.zaproxy.org/docs/alerts/" + plugin + "/", "solution": "<p>Mend it.</p>", "alert": name, "name": name, "param": param,
			"attack": attack, "risk": risk, "id": "1", "alertRef": ref, "nodeName": "",
		})
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	return []string{
		one("10038", "10038-1", "Content Security Policy (CSP) Header Not Set", "Medium", "High", "693", "/about", "", "", ""),
		one("10038", "10038-1", "Content Security Policy (CSP) Header Not Set", "Medium", "High", "693", "/", "", "", ""),
		one("10010", "10010", "Cookie No HttpOnly Flag", "Low", "Medium", "1004", "/", "session", "", "Set-Cookie: session"),
		one("10036", "10036-2", "Server Leaks Version Information", "Low", "High", "497", "/", "", "", "Apache/2.4.49 (Unix)"),
		one("10109", "10109", "Modern Web Application", "Informational", "Medium", "-1", "/", "", "", "<a href=\"#\">"),
		one("40012", "40012", "Cross Site Scripting (Reflected)", "High", "Medium", "79", "/search?q=x", "q", "<scrIpt>alert(1);</scRipt>", "<scrIpt>alert(1);</scRipt>"),
		one("40018", "40018", "SQL Injection", "High", "Medium", "89", "/item?id=1%27", "id", "1'", "HTTP/1.1 500 Internal Server Error"),
		one("40018", "40018", "SQL Injection", "High", "False Positive", "89", "/about", "x", "1'", ""),
	}
}

// Launch implements engine.Launcher.
func (s *stand) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	s.proc = p
	if s.launched != nil {
		return engine.Exit{Code: -1}, s.launched
	}
	if slices.Contains(p.Args, "-version") {
		if s.late {
			_, err := p.Stdout.Write([]byte(s.said))
			return engine.Exit{Code: -1, Canceled: true}, err
		}
		_, err := p.Stdout.Write([]byte("Defaulting ZAP install dir to /opt/zap\n728 [main] INFO  org.x - Copying\n2.17.0\n"))
		return engine.Exit{}, err
	}
	l := &pipe{conns: make(chan net.Conn), over: s.over}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	var all sync.WaitGroup
	all.Go(func() { _ = srv.Serve(l) })
	life, gone := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() {
		if sleep(life, s.boot) && !s.mute {
			p.Ready(life, l.dial)
		}
	})
	exit := engine.Exit{}
	select {
	case <-s.over:
		if s.stubborn {
			<-ctx.Done()
			exit = engine.Exit{Code: -1, Signaled: true, Canceled: true}
		}
	case <-ctx.Done():
		exit = engine.Exit{Code: -1, Signaled: true, Canceled: true}
	}
	gone()
	s.quit()
	_ = srv.Close()
	all.Wait()
	return exit, nil
}

func sleep(ctx context.Context, d time.Duration) bool { return rest(ctx, d) }

// quit ends the process.
func (s *stand) quit() { s.end.Do(func() { close(s.over) }) }

type pipe struct {
	conns chan net.Conn
	over  chan struct{}
}

func (l *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *pipe) Close() error   { return nil }
func (l *pipe) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipe) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.over:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stand) env(t *testing.T) engine.Env {
	t.Helper()
	return engine.Env{
		Proc: s, Dial: s, Work: "/scan", Files: s, Now: time.Now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Rand:     strings.NewReader(strings.Repeat("0123456789abcdef", 4)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Proxy:    func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
		Artifact: func(name, _ string) (engine.Artifact, error) {
			s.raw[name] = &bytes.Buffer{}
			s.order = append(s.order, name)
			return kept{s.raw[name], s.cut}, nil
		},
	}
}

type kept struct {
	*bytes.Buffer
	cut bool
}

func (k kept) Truncated() bool { return k.cut }

// DialContext implements engine.Dialer: the target.
func (s *stand) DialContext(context.Context, string, string) (net.Conn, error) {
	s.dials++
	if s.dial != nil {
		if err := s.dial(s.dials); err != nil {
			return nil, err
		}
	}
	here, there := net.Pipe()
	_ = there.Close()
	return here, nil
}

// Write and Open implement engine.Files.
func (s *stand) Write(name string, b []byte) error { return s.root.WriteFile(name, b, 0o600) }
func (s *stand) Open(name string) (fs.File, error) { return s.root.Open(name) }
func (s *stand) file(t *testing.T, name string) string {
	t.Helper()
	b, _ := s.root.ReadFile(name)
	return string(b)
}

func (s *stand) key() string {
	b, _ := s.root.ReadFile(configFile)
	for line := range strings.Lines(string(b)) {
		if key, ok := strings.CutPrefix(line, "api.key="); ok {
			return strings.TrimSpace(key)
		}
	}
	return ""
}

// ServeHTTP is the API.
func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/JSON"), "/")
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+path+"?"+r.URL.RawQuery)
	s.bodies = append(s.bodies, path+" "+r.PostForm.Encode())
	answer, code := s.answer(path, r)
	s.mu.Unlock()
	if s.onCall != nil {
		s.onCall(path)
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("X-ZAP-API-Key") != s.key() || r.Host == "" {
		code = "bad_api_key"
	}
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"code": code, "message": code}
	}
	_ = json.NewEncoder(w).Encode(answer)
	if path == "core/action/shutdown" {
		s.quit()
	}
}

func (s *stand) percent(kind string) int {
	took := map[string]time.Duration{"spider": s.spider, "ascan": s.active}[kind]
	if s.stopped[kind] {
		return 100
	}
	n := int(min(100, 100*time.Since(s.began[kind])/max(took, 1)))
	if kind == "ascan" && s.hangAt > 0 {
		n = min(n, s.hangAt)
	}
	if kind == "ascan" && s.dieAt > 0 && n >= s.dieAt {
		s.quit()
	}
	return n
}

func (s *stand) answer(path string, r *http.Request) (answer map[string]any, code string) {
	if c := s.refuse[path]; c != "" {
		return nil, c
	}
	component, _, _ := strings.Cut(path, "/")
	if s.refuse[component] != "" || component == "pscan" && s.passive == 0 {
		return nil, "no_implementor"
	}
	ok := map[string]any{"Result": "OK"}
	switch path {
	case "core/view/version":
		return map[string]any{"version": "2.17.0"}, ""
	case "network/view/isHttpProxyEnabled":
		return map[string]any{"isHttpProxyEnabled": "true"}, ""
	case "core/action/accessUrl":
		return map[string]any{"accessUrl": []any{map[string]any{"responseHeader": s.page, "responseBody": "x"}}}, ""
	case "autoupdate/view/installedAddons":
		return map[string]any{"installedAddons": []any{
			map[string]any{"id": "ascanrules", "version": "72"}, map[string]any{"id": "pscanrules", "version": "67"}, map[string]any{"id": "spider", "version": "1"},
		}}, ""
	case "pscan/view/scanners":
		return map[string]any{"scanners": rulesOf(10010, 10036, 10038)}, ""
	case "ascan/view/scanners":
		return map[string]any{"scanners": rulesOf(40012, 40018)[:s.attacks]}, ""
	case "pscan/view/recordsToScan":
		return map[string]any{"recordsToScan": "0"}, ""
	case "core/view/numberOfMessages":
		return map[string]any{"numberOfMessages": strconv.Itoa(s.percent("spider") + s.percent("ascan"))}, ""
	case "core/view/urls":
		return map[string]any{"urls": []string{"http://www.example.org/", "http://www.example.org/item?id=1"}}, ""
	case "spider/action/scan", "ascan/action/scan":
		s.began[component] = time.Now()
		return map[string]any{"scan": "0"}, ""
	case "spider/view/status", "ascan/view/status":
		return map[string]any{"status": strconv.Itoa(s.percent(component))}, ""
	case "spider/action/stop", "ascan/action/stop", "spider/action/stopAllScans", "ascan/action/stopAllScans":
		s.stopped[component] = true
		return ok, ""
	case "ascan/view/scanProgress":
		state := []string{"Complete", fmt.Sprint(s.percent("ascan"), "%")}
		if s.percent("ascan") >= 100 && !s.stopped["ascan"] {
			state[1] = "Complete"
		}
		return map[string]any{"scanProgress": []any{"http://www.example.org", map[string]any{"HostProcess": []any{
			map[string]any{"Plugin": []string{"Cross Site Scripting", "40012", "release", state[0], "1", "2", "1"}},
			map[string]any{"Plugin": []string{"SQL Injection", "40018", "release", state[1], "1", "2", "1"}},
		}}}}, ""
	case "alert/view/alerts":
		return s.page2(r), ""
	}
	return s.plan(path, ok)
}

// page2 is one page of the alerts so far.
func (s *stand) page2(r *http.Request) map[string]any {
	seen := s.alerts
	if s.began["ascan"].IsZero() || s.percent("ascan") < 50 {
		seen = seen[:(len(seen)+1)/2]
	}
	from, _ := strconv.Atoi(r.Form.Get("start"))
	count, _ := strconv.Atoi(r.Form.Get("count"))
	seen = seen[min(from, len(seen)):]
	seen = seen[:min(count, len(seen))]
	list := []json.RawMessage{}
	for _, a := range seen {
		list = append(list, json.RawMessage(a))
	}
	return map[string]any{"alerts": list}
}

// plan plays the automation framework: the jobs one after the other.
func (s *stand) plan(path string, ok map[string]any) (answer map[string]any, code string) {
	switch path {
	case "automation/action/runPlan":
		s.began["plan"], s.began["spider"] = time.Now(), time.Now()
		return map[string]any{"planId": "0"}, ""
	case "spider/view/scans", "ascan/view/scans":
		component, _, _ := strings.Cut(path, "/")
		return map[string]any{"scans": []any{map[string]any{"id": "0", "progress": strconv.Itoa(s.percent(component)), "state": "RUNNING"}}}, ""
	case "automation/action/stopPlan":
		return ok, ""
	case "automation/view/planProgress":
		text, _ := s.root.ReadFile(planFile)
		info := []string{"Job spider started"}
		finished, crawled := "", time.Since(s.began["plan"]) > s.spider
		if crawled {
			info = append(info, "Job spider found 23 URLs", "Job spider finished, time taken: 00:00:30", "Job passiveScan-wait started", "Job passiveScan-wait finished, time taken: 00:00:00")
		}
		full := strings.Contains(string(text), "activeScan")
		if crawled && full {
			if s.began["ascan"].IsZero() {
				s.began["ascan"] = time.Now()
			}
			info = append(info, "Job activeScan started")
			if s.percent("ascan") >= 100 {
				info = append(info, "Job activeScan finished, time taken: 00:02:00")
			}
		}
		if crawled && (!full || s.percent("ascan") >= 100) {
			finished = "2026-11-22T12:06:14.640Z"
		}
		return map[string]any{"warn": []string{}, "error": []string{}, "planId": 0, "started": "2026-11-22T12:06:12.558Z", "finished": finished, "info": info}, ""
	}
	if strings.Contains(path, "/action/") {
		return ok, ""
	}
	return nil, "bad_view"
}

func rulesOf(ids ...int) []any {
	var out []any
	for _, n := range ids {
		out = append(out, map[string]any{"id": strconv.Itoa(n), "enabled": "true", "name": "x", "alertThreshold": "DEFAULT"})
	}
	return out
}

// request is an order for the target, with options and config given as JSON.
func request(tb testing.TB, target, options, config string) engine.Request {
	tb.Helper()
	var o, c map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		tb.Fatal(err)
	}
	parsed, err := engine.ParseOptions(manifest(), o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	conf, err := engine.ParseConfig(manifest(), c)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: parsed, Config: conf}
}
