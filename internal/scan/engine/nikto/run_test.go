package nikto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// Nikto can't be had from a registry, so that these tests play it: by recorded output at the launcher, and by a script
// under the real runner.

// stage is an Env whose launcher plays back recorded output.
type stage struct {
	stdout, stderr string
	report         []byte // nil = none is written
	exit           engine.Exit
	err            map[string]error // by program
	dial           func(n int) error
	page           http.Handler
	cut            bool

	starts   []engine.Process
	raws     map[string]*bytes.Buffer
	order    []string
	percents []int
	log      bytes.Buffer
	dials    int
	work     string
	target   net.Addr
	played   reading
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return &stage{work: t.TempDir(), raws: map[string]*bytes.Buffer{}}
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if err := s.err[p.Program]; err != nil {
		return engine.Exit{Code: -1}, err
	}
	for part := range slices.Chunk([]byte(s.stdout), 100) { // lines arrive in pieces
		if _, err := p.Stdout.Write(part); err != nil {
			return engine.Exit{}, err
		}
	}
	if p.Stderr != nil {
		_, _ = io.WriteString(p.Stderr, s.stderr)
	}
	if s.report != nil {
		if err := os.WriteFile(filepath.Join(s.work, reportFile), s.report, 0o600); err != nil {
			return engine.Exit{}, err
		}
	}
	return s.exit, nil
}

func (s *stage) Write(name string, b []byte) error {
	return os.WriteFile(filepath.Join(s.work, name), b, 0o600)
}
func (s *stage) Open(name string) (fs.File, error) { return os.Open(filepath.Join(s.work, name)) }

func (s *stage) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	s.dials++
	if s.dial != nil {
		if err := s.dial(s.dials); err != nil {
			return nil, err
		}
	}
	return new(net.Dialer).DialContext(ctx, network, s.target.String())
}

type kept struct {
	*bytes.Buffer
	cut bool
}

func (k kept) Truncated() bool { return k.cut }

func (s *stage) env(t *testing.T) engine.Env {
	t.Helper()
	page := s.page
	if page == nil {
		page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	}
	srv := httptest.NewServer(page)
	t.Cleanup(srv.Close)
	s.target = srv.Listener.Addr()
	return engine.Env{
		Proc: s, Dial: s, Files: s, Work: s.work, Now: time.Now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Proxy:    func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
		Artifact: func(name, _ string) (engine.Artifact, error) {
			s.raws[name] = &bytes.Buffer{}
			s.order = append(s.order, name)
			return kept{s.raws[name], s.cut}, nil
		},
	}
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// whole is what a run says that came to its end.
func whole(t *testing.T) string {
	t.Helper()
	return strings.Replace(fixture(t, "text/raw.txt"), "Scan terminated:", "8138 requests:", 1)
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	refused := func(int) error { return syscall.ECONNREFUSED }
	hangUp := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	gateway := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	web := func(t *testing.T) (string, []byte) { t.Helper(); return whole(t), []byte(fixture(t, "web/raw.json")) }
	for name, c := range map[string]struct {
		change   func(*testing.T, *stage)
		want     engine.Outcome
		reason   string
		findings int
		covered  bool
	}{
		"whole": {func(t *testing.T, s *stage) { t.Helper(); s.stdout, s.report = web(t) }, engine.Complete, "", 12, true},
		"nothing found": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = "- Nikto v2.6.1\n+ 1 host(s) tested\n", []byte(fixture(t, "none/raw.json"))
		}, engine.Complete, "", 0, true},
		"dead target":    {func(_ *testing.T, s *stage) { s.dial = refused }, engine.NothingReachable, "takes no connection", 0, false},
		"no web server":  {func(_ *testing.T, s *stage) { s.page = hangUp }, engine.NothingReachable, "no web page", 0, false},
		"dead behind it": {func(_ *testing.T, s *stage) { s.page = gateway }, engine.NothingReachable, "no web page", 0, false},
		"out of scope": {func(_ *testing.T, s *stage) {
			s.dial = func(int) error { return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no") }
		}, engine.Blocked, "outside", 0, false},
		"pseudo finding": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = whole(t), []byte(fixture(t, "refused/raw.json"))
		}, engine.NothingReachable, "couldn't connect", 0, false},
		"name unknown": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = whole(t), []byte(fixture(t, "unresolved/raw.json"))
		}, engine.NothingReachable, "couldn't connect", 0, false},
		"maxtime": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = web(t)
			s.stderr = "+ ERROR: Host maximum execution time of 120 seconds reached\n"
		}, engine.Partial, "maxTime", 12, false},
		"error limit": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = web(t)
			s.stdout += "+ ERROR: Error limit (20) reached for host, giving up. Last error: opening stream: can't connect\n"
		}, engine.Partial, "too many errors", 12, false},
		"interrupted": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report, s.exit = "- Nikto v2.6.1\n", []byte(fixture(t, "interrupted/raw.json")), engine.Exit{Code: 1, Canceled: true}
		}, engine.Partial, "stopped", 3, false},
		"terminated, empty report": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report, s.exit = fixture(t, "text/raw.txt"), []byte{}, engine.Exit{Code: -1, Signaled: true, Canceled: true}
		}, engine.Partial, "stopped", 12, false},
		"killed": {func(t *testing.T, s *stage) {
			t.Helper()
			text, _, _ := strings.Cut(fixture(t, "text/raw.txt"), "- STATUS: Completed 1500")
			s.stdout, s.exit = text, engine.Exit{Code: -1, Signaled: true}
		}, engine.Partial, "ended early", 10, false},
		"no report": {func(t *testing.T, s *stage) { t.Helper(); s.stdout = whole(t) }, engine.Partial, "left no report", 12, false},
		"help": {func(_ *testing.T, s *stage) {
			s.stdout = "Unknown option: usepraxy\n\n   Options:\n       -ask+  Whether to ask about submitting updates\n"
		}, engine.Failed, "didn't begin", 0, false},
		"no Perl module": {func(_ *testing.T, s *stage) {
			s.stderr, s.exit = "Can't locate JSON.pm in @INC\n", engine.Exit{Code: 2}
		}, engine.Failed, "didn't begin", 0, false},
		"cut": {func(t *testing.T, s *stage) { t.Helper(); s.stdout, s.report = web(t); s.cut = true }, engine.Partial, "larger", 12, false},
		"dies in between": {func(t *testing.T, s *stage) {
			t.Helper()
			s.stdout, s.report = web(t)
			s.dial = func(n int) error { return map[bool]error{true: syscall.ECONNREFUSED}[n > 2] }
		}, engine.Partial, "stopped taking connections", 12, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c.change(t, s)
			req := request(t, example, `{}`, `{}`)
			v, err := New().Run(t.Context(), s.env(t), req)
			if err != nil || v.Outcome != c.want || !strings.Contains(strings.Join(v.Reasons, " "), c.reason) ||
				(v.Outcome != engine.Complete && len(v.Reasons) == 0) {
				t.Fatalf("%+v, %v; want %s", v, err, c.want)
			}
			if len(v.Looked.Targets) != 1 || (v.Outcome == engine.Complete) != (v.Looked.Targets[0].State == engine.LookReached) {
				t.Errorf("looked %+v", v.Looked)
			}
			at := finding.Location{Host: "127.0.0.1", Port: 8081}
			if covered := v.Coverage != nil && v.Coverage.Covers("nikto:600050", at); covered != c.covered {
				t.Errorf("covered: %v", covered)
			}
			if len(s.order) > 0 {
				if got := parse(t, s.raws[s.order[0]].Bytes(), req); len(got) != c.findings {
					t.Errorf("%d findings in %s, want %d", len(got), s.order[0], c.findings)
				}
			}
			if !slices.IsSorted(s.percents) || len(s.percents) > 0 && s.percents[len(s.percents)-1] > 99 {
				t.Errorf("progress %v", s.percents)
			}
		})
	}
}

func TestProgressFollowsTheRequests(t *testing.T) {
	s := newStage(t)
	s.stdout = whole(t)
	if _, err := New().Run(t.Context(), s.env(t), request(t, example, `{}`, `{}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1, 14, 21, 28}, s.percents); diff != "" {
		t.Error(diff)
	}
}

func TestArgumentsAreBuiltFromValues(t *testing.T) {
	for _, c := range []struct{ target, options, config, want string }{
		{
			"http://www.example.org/", `{}`, `{}`,
			"-host http://www.example.org/ -Format json -output W/nikto.json -Display P -nocheck -ask no -nointeractive -nolookup -useproxy http://127.0.0.1:3128 " +
				"-Tuning 12345789" + "0abde -timeout 10 -maxtime 3000s -nossl",
		},
		{
			"https://www.example.org:8443/shop/?a=b", `{"tuning":["sqlInjection","files"],"maxTime":60,"timeout":5,"pauseMs":20,"cgiDirs":"all","no404":true,"followRedirects":true}`,
			`{"rateLimit":10,"userAgent":"assay/1 (x)"}`,
			"-host https://www.example.org:8443/shop/ -Format json -output W/nikto.json -Display P -nocheck -ask no -nointeractive -nolookup -useproxy http://127.0.0.1:3128 " +
				"-Tuning 19 -timeout 5 -maxtime 60s -ssl -Pause 0.100 -Cgidirs all -no404 -followredirects -useragent assay/1 (x)",
		},
	} {
		got := strings.Join(arguments(request(t, c.target, c.options, c.config), "W", "127.0.0.1:3128"), " ")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(letters(tuningNames()), "6") {
			t.Error("denial of service is asked for")
		}
	}
}

func TestCoverageFollowsWhatWasLookedFor(t *testing.T) {
	for _, c := range []struct {
		target, options, rule, url string
		want                       bool
	}{
		{example, `{}`, "nikto:600050", example, true},
		{example, `{}`, "nikto:cgi/000005", example + "cgi-bin/x", false},
		{example, `{"cgiDirs":"all"}`, "nikto:cgi/000005", example + "cgi-bin/x", true},
		{example, `{}`, "nikto:inclusion/000006", example + "i.php", false},
		{example, `{"tuning":["files"]}`, "nikto:600050", example, false},
		{example + "shop/", `{}`, "nikto:600050", example + "shop/x", true},
		{example + "shop/", `{}`, "nikto:600050", example + "x", false},
	} {
		cover := covered(request(t, c.target, c.options, `{}`))
		if got := cover.Covers(c.rule, finding.Location{Host: "127.0.0.1", Port: 8081, URL: c.url}); got != c.want {
			t.Errorf("%+v: covered: %v", c, got)
		}
	}
	all := request(t, example, `{}`, `{}`)
	all.Options["tuning"] = tuningNames()
	if !covered(all).Covers("nikto:inclusion/000006", finding.Location{Host: "127.0.0.1", Port: 8081, URL: example + "i.php"}) {
		t.Error("with all kinds of tests remote inclusion is covered")
	}
}

func TestFaultsOfTheLauncher(t *testing.T) {
	gone := fault.New(fault.Unavailable, fault.CodeEngine, "no such program")
	s := newStage(t)
	s.err = map[string]error{"nikto": gone, "nikto.pl": gone}
	_, err := New().Run(t.Context(), s.env(t), request(t, example, `{}`, `{}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(fmt.Sprint(err), "sullo/nikto") || len(s.starts) != 2 {
		t.Errorf("got %v", err)
	}
	checker, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	if a := checker.Check(t.Context(), s.env(t)); a.Available || !strings.Contains(a.Reason, "sullo/nikto") {
		t.Errorf("%+v", a)
	}
	for said, want := range map[string]string{
		"- Nikto v2.6.1\n": "2.6.1", "Nikto 2.5.0 (LW 2.5)\n": "2.5.0", "---\nNikto main                    2.1.6\nLibWhisker 2.5\n": "2.1.6", "usage: something else 1.2\n": "",
	} {
		s := newStage(t)
		s.err, s.stdout = map[string]error{"nikto": gone}, said
		if a := checker.Check(t.Context(), s.env(t)); a.Available != (want != "") || a.Version != want || s.starts[1].Program != "nikto.pl" {
			t.Errorf("%q: %+v", said, a)
		}
	}
}

// script plays Nikto as a program: it prints a recorded run at a pace, writes the report at its end or when it is
// interrupted, and leaves an empty one when it is terminated.
const script = `#!/bin/sh
while [ $# -gt 0 ]; do
	[ "$1" = -output ] && out=$2
	shift
done
done_() { cat "$DATA/$1" >"$out"; }
trap 'done_ interrupted/raw.json; exit 1' INT
trap ': >"$out"; exit 143' TERM
while IFS= read -r line; do
	printf '%s\n' "$line"
	sleep "$PACE" &
	wait $!
done <"$DATA/text/raw.txt"
done_ web/raw.json
`

// launcher is the real runner with the script as nikto.pl.
func launcher(t *testing.T, s *stage, pace string) {
	t.Helper()
	data, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	text := strings.Replace(script, "\n", "\nDATA='"+data+"' PACE="+pace+"\n", 1)
	if err := os.WriteFile(filepath.Join(bin, "nikto.pl"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := runner.New(runner.Config{Path: []string{bin, "/usr/bin", "/bin"}, Scratch: t.TempDir(), Mark: runner.Mark(bin), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("played")
	if err != nil {
		t.Fatal(err)
	}
	s.work = work
	run := r.Launcher(runner.Run{Scan: "played", Work: work, Proxy: func(l net.Listener) error { _, err := l.Accept(); return err }})
	t.Cleanup(func() { _ = run.Close() })
	s.err = nil
	s.played = reading{run, data}
}

// reading lets the program read the recorded runs.
type reading struct {
	*runner.Launcher
	data string
}

func (r reading) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	p.Reads = append(p.Reads, r.data)
	return r.Launcher.Launch(ctx, p)
}

func TestPlayedProgramRunsToItsEnd(t *testing.T) {
	s := newStage(t)
	launcher(t, s, "0")
	env := s.env(t)
	env.Proc, env.Proxy = s.played, s.played.ProxyAddress
	req := request(t, example, `{}`, `{}`)
	v, err := New().Run(t.Context(), env, req)
	if err != nil || v.Outcome != engine.Complete || v.Version != "2.6.1" {
		t.Fatalf("%+v, %v\n%s", v, err, s.log.String())
	}
	if got := parse(t, s.raws[reportFile].Bytes(), req); len(got) != 12 || s.order[0] != reportFile {
		t.Errorf("%d findings in %v", len(got), s.order)
	}
}

func TestPlayedProgramIsInterruptedAndKeepsItsReport(t *testing.T) {
	s := newStage(t)
	launcher(t, s, "0.2")
	env := s.env(t)
	env.Proc, env.Proxy = s.played, s.played.ProxyAddress
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env.Progress = func(percent int, _ string) {
		if percent > 0 {
			cancel()
		}
	}
	req := request(t, example, `{}`, `{}`)
	v, err := New().Run(ctx, env, req)
	if err != nil || v.Outcome != engine.Partial {
		t.Fatalf("%+v, %v", v, err)
	}
	if got := parse(t, s.raws[s.order[0]].Bytes(), req); len(got) != 3 || s.order[0] != reportFile {
		t.Errorf("%d findings in %v", len(got), s.order)
	}
}
