package wapiti

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// stage is an Env whose launcher plays back recorded output and leaves a recorded report.
type stage struct {
	plays    []play // one per start
	dialErrs []error
	err      error
	starts   []engine.Process
	files    fstest.MapFS
	kept     map[string]*artifact
	percents []int
	log      bytes.Buffer
	ignores  bool // the program doesn't read PYTHONPATH
}

type play struct {
	stdout, stderr string
	report         []byte
	exit           engine.Exit
}

type artifact struct {
	bytes.Buffer
	cut bool
}

func (a *artifact) Truncated() bool { return a.cut }

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	n := len(s.starts)
	s.starts = append(s.starts, p)
	if s.err != nil || n >= len(s.plays) {
		return engine.Exit{Code: -1}, s.err
	}
	one := s.plays[n]
	if _, err := io.WriteString(p.Stdout, one.stdout); err != nil {
		return engine.Exit{}, err
	}
	if p.Stderr != nil {
		if _, err := io.WriteString(p.Stderr, one.stderr); err != nil {
			return engine.Exit{}, err
		}
	}
	if one.report != nil {
		s.files[reportName] = &fstest.MapFile{Data: one.report}
	}
	if !s.ignores {
		delete(s.files, shimArgs)
	}
	return one.exit, nil
}

func (s *stage) DialContext(context.Context, string, string) (net.Conn, error) {
	if len(s.dialErrs) > 0 {
		err := s.dialErrs[0]
		s.dialErrs = s.dialErrs[1:]
		if err != nil {
			return nil, err
		}
	}
	near, far := net.Pipe()
	_ = far.Close()
	return near, nil
}

// Write and Open make the stage the scratch folder, too.
func (s *stage) Write(name string, content []byte) error {
	s.files[name] = &fstest.MapFile{Data: bytes.Clone(content)}
	return nil
}
func (s *stage) Open(name string) (fs.File, error) { return s.files.Open(name) }

func (s *stage) env() engine.Env {
	s.files, s.kept = fstest.MapFS{}, map[string]*artifact{}
	return engine.Env{
		Proc: s, Dial: s, Files: s, Work: "/scratch", Now: func() time.Time { return time.Unix(0, 0) }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact: func(name, _ string) (engine.Artifact, error) {
			s.kept[name] = &artifact{}
			return s.kept[name], nil
		},
		Proxy: func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
	}
}

func recorded(t *testing.T, name string) play {
	t.Helper()
	one := play{report: sample(t, name)}
	for file, to := range map[string]*string{"stdout.txt": &one.stdout, "stderr.txt": &one.stderr} {
		b, err := os.ReadFile(filepath.Join("testdata", name, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		*to = string(b)
	}
	return one
}

// all is the output of a run in which every module came to its end.
func all(modules ...string) string {
	s := "Wapiti-3.0.4 (wapiti.sourceforge.io)\n[+] GET http://127.0.0.1:8081/ (0)\n[+] GET http://127.0.0.1:8081/item?id=1 (1)\n[*] Wapiti found 2 URLs and forms during the scan\n"
	for _, m := range modules {
		s += "\n[*] Launching module " + m + "\n"
	}
	return s + "A report has been generated in the file report.json\n"
}

func TestVerdicts(t *testing.T) {
	stopped := engine.Exit{Code: -1, Signaled: true, Canceled: true}
	report := sample(t, "many")
	for name, c := range map[string]struct {
		plays  []play
		dials  []error
		want   engine.Outcome
		starts int
	}{
		"everything ran":           {plays: []play{{stdout: all(standard()...), report: report}}, want: engine.Complete, starts: 1},
		"a module didn't start":    {plays: []play{{stdout: all(standard()[1:]...), report: report}}, want: engine.Partial, starts: 1},
		"a module crashed":         {plays: []play{{stdout: all(standard()...), stderr: recorded(t, "module-crashed").stderr, report: report}}, want: engine.Partial, starts: 1},
		"an old run's output":      {plays: []play{recorded(t, "many")}, want: engine.Complete, starts: 1},
		"refused":                  {plays: []play{recorded(t, "refused")}, want: engine.NothingReachable, starts: 1},
		"no module of that name":   {plays: []play{recorded(t, "bad-module")}, want: engine.Partial, starts: 1},
		"no output":                {plays: []play{{exit: engine.Exit{Code: 2}}}, want: engine.Failed, starts: 1},
		"no report":                {plays: []play{{stdout: all(standard()...)}}, want: engine.Failed, starts: 1},
		"lost requests":            {plays: []play{{stdout: all(standard()...) + "3 requests were skipped due to network issues\n", report: report}}, want: engine.Partial, starts: 1},
		"no connection":            {dials: []error{errors.New("refused")}, want: engine.NothingReachable},
		"out of scope":             {dials: []error{fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no")}, want: engine.Blocked},
		"no connection at the end": {plays: []play{{stdout: all(standard()...), report: report}}, dials: []error{nil, errors.New("refused")}, want: engine.Partial, starts: 1},
		"stopped and saved":        {plays: []play{{stdout: all("csp", "sql"), exit: stopped}, recorded(t, "saved")}, want: engine.Partial, starts: 2},
		"stopped and not saved":    {plays: []play{{stdout: all("csp", "sql"), exit: stopped}, {exit: stopped}}, want: engine.Partial, starts: 2},
		"stopped before an attack": {plays: []play{{stdout: "Wapiti-3.0.4\n", exit: stopped}}, want: engine.Partial, starts: 1},
	} {
		s := &stage{plays: c.plays, dialErrs: c.dials}
		v, err := New().Run(t.Context(), s.env(), request(t, `{}`))
		if err != nil || v.Outcome != c.want || len(s.starts) != c.starts {
			t.Errorf("%s: %+v, %v after %d starts; want %s", name, v, err, len(s.starts), c.want)
		}
		if v.Outcome != engine.Complete && (len(v.Reasons) == 0 || v.Coverage != nil) || len(v.Looked.Targets) != 1 {
			t.Errorf("%s: %+v", name, v)
		}
		if !slices.IsSorted(s.percents) || len(s.percents) > 0 && s.percents[len(s.percents)-1] > 99 {
			t.Errorf("%s: progress %v", name, s.percents)
		}
		if want := c.plays; len(want) > 0 && want[len(want)-1].report != nil {
			if diff := cmp.Diff(string(want[len(want)-1].report), s.kept[reportName].String()); diff != "" {
				t.Errorf("%s: the artifact isn't the report:\n%s", name, diff)
			}
		}
	}
}

func TestCoverageFollowsTheModulesAndPages(t *testing.T) {
	s := &stage{plays: []play{{stdout: all("sql", "csp"), report: sample(t, "one-page")}}}
	v, err := New().Run(t.Context(), s.env(), request(t, `{"modules":["sql","csp"]}`))
	if err != nil || v.Outcome != engine.Complete || v.Coverage == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	at := func(path string) finding.Location {
		return finding.Location{Host: "127.0.0.1", Port: 8081, Protocol: "tcp", URL: "http://127.0.0.1:8081" + path}
	}
	if !v.Coverage.Covers("wapiti:sql-injection", at("/item?id=2")) || v.Coverage.Covers("wapiti:sql-injection", at("/other")) ||
		v.Coverage.Covers("wapiti:cross-site-scripting", at("/item")) || !v.Coverage.Covers("wapiti:content-security-policy", at("/")) {
		t.Errorf("%+v", v.Coverage)
	}
}

func TestSecretsGoByFile(t *testing.T) {
	report := []byte(`{"vulnerabilities": {"SQL Injection": [{"path": "/x", "info": "i", "http_request": "GET /x\nx-token: CANARY\"3f9a\ncookie: sid=CANARY-sid"}]}}`)
	s := &stage{plays: []play{{stdout: all() + "x-token: CANARY\"3f9a\n", report: report}}}
	req := request(t, `{"modules":["sql","blindsql"],"level":2,"scope":"page"}`)
	req.Config = engine.Config{
		UserAgent:      "Probe/1",
		Headers:        []engine.Header{{Name: "Cookie", Value: secret.New("sid=CANARY-sid")}, {Name: "X-Token", Value: secret.New(`CANARY"3f9a`)}},
		Authentication: secret.New(`{"type":"basic","username":"bob","password":"CANARY-pw"}`),
	}
	env := s.env()
	var arguments []string
	env.Files = spy{s, func(name string, b []byte) {
		if name == shimArgs {
			if err := json.Unmarshal(b, &arguments); err != nil {
				t.Error(err)
			}
		}
	}}
	if _, err := New().Run(t.Context(), env, req); err != nil {
		t.Fatal(err)
	}
	line := strings.Join(append(slices.Clone(s.starts[0].Args), s.starts[0].Env...), " ")
	if strings.Contains(line, "CANARY") || strings.Contains(line, "Q0FOQVJZ") || !strings.Contains(line, "PYTHONPATH=/scratch/shim") {
		t.Errorf("command line and environment: %s", line)
	}
	for _, want := range []string{"--url=http://127.0.0.1:8081/", "--scope=page", "--proxy=http://127.0.0.1:3128/", "--no-bugreport", "--module=sql,blindsql,timesql", "--level=2", "--user-agent=Probe/1", "--cookie=cookies.json"} {
		if !slices.Contains(s.starts[0].Args, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	if !slices.Equal(arguments, []string{`--header=X-Token: CANARY"3f9a`, "--header=Authorization: Basic Ym9iOkNBTkFSWS1wdw=="}) {
		t.Errorf("handed over: %q", arguments)
	}
	if got := string(s.files[cookiesName].Data); got != `{"127.0.0.1":{"/":{"sid":{"value":"CANARY-sid","expires":null,"secure":false,"port":null,"version":0}}}}` {
		t.Errorf("cookies %s", got)
	}
	if s.starts[0].Network != engine.NetworkProxy {
		t.Error("Wapiti isn't held to the proxy")
	}
	for name, a := range s.kept {
		if strings.Contains(a.String(), "CANARY") {
			t.Errorf("%s holds a secret: %s", name, a.String())
		}
	}
}

type spy struct {
	engine.Files
	wrote func(string, []byte)
}

func (s spy) Write(name string, b []byte) error {
	s.wrote(name, b)
	return s.Files.Write(name, b)
}

func TestARunThatCantHandItsHeadersOverFailsAloud(t *testing.T) {
	s := &stage{plays: []play{{stdout: all(standard()...), report: sample(t, "many")}}, ignores: true}
	req := request(t, `{}`)
	req.Config.Authentication = secret.New(`{"type":"bearer","token":"abcdef"}`)
	if v, err := New().Run(t.Context(), s.env(), req); err != nil || v.Outcome != engine.Failed || len(v.Reasons) == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	req.Config.Authentication = secret.New(`{"type":"digest","username":"bob","password":"x"}`)
	if _, err := New().Run(t.Context(), s.env(), req); fault.KindOf(err) != fault.Invalid {
		t.Errorf("digest: %v", err)
	}
}

func TestCookieFilesNameHostsAsWapitiDoes(t *testing.T) {
	for host, want := range map[string]string{"127.0.0.1": "127.0.0.1", "::1": "[::1].local", "localhost": ".localhost.local", "www.example.org": ".www.example.org"} {
		if got := cookieDomain(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestFaultsOfTheLauncher(t *testing.T) {
	s := &stage{err: fault.New(fault.Unavailable, fault.CodeEngine, "no such program")}
	_, err := New().Run(t.Context(), s.env(), request(t, `{}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(err.Error(), "apt-get install wapiti") {
		t.Errorf("got %v", err)
	}
	checker := engine.Checker(Engine{})
	if a := checker.Check(t.Context(), s.env()); a.Available || !strings.Contains(a.Reason, "apt-get") {
		t.Errorf("%+v", a)
	}
	for out, version := range map[string]string{
		"\n ██╗\nWapiti-3.0.4 (wapiti.sourceforge.io)\nWapiti 3.0.4\n": "3.0.4", " |_|   \nWapiti 3.2.3 (wapiti-scanner.github.io)\n3.2.3\n": "3.2.3", "usage: x\n": "",
	} {
		s := &stage{plays: []play{{stdout: out}}}
		if a := checker.Check(t.Context(), s.env()); a.Available != (version != "") || a.Version != version {
			t.Errorf("%q: %+v", out, a)
		}
	}
}
