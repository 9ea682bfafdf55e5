package sqlmap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// stage is an Env whose launcher plays back recorded output.
type stage struct {
	raw      []byte
	stderr   string
	exit     engine.Exit
	err      error
	dialErr  error
	cut      bool
	starts   []engine.Process
	artifact bytes.Buffer
	files    map[string]string
	percents []int
	log      bytes.Buffer
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if s.err != nil {
		return engine.Exit{Code: -1}, s.err
	}
	for part := range slices.Chunk(s.raw, 100) {
		if _, err := p.Stdout.Write(part); err != nil {
			return engine.Exit{}, err
		}
	}
	if p.Stderr != nil {
		if _, err := io.WriteString(p.Stderr, s.stderr); err != nil {
			return engine.Exit{}, err
		}
	}
	return s.exit, nil
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.artifact.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

func (s *stage) DialContext(context.Context, string, string) (net.Conn, error) {
	if s.dialErr != nil {
		return nil, s.dialErr
	}
	near, far := net.Pipe()
	_ = far.Close()
	return near, nil
}

type folder map[string]string

func (f folder) Write(name string, content []byte) error { f[name] = string(content); return nil }
func (folder) Open(string) (fs.File, error)              { return nil, fs.ErrNotExist }

func (s *stage) env() engine.Env {
	s.files = map[string]string{}
	return engine.Env{
		Proc: s, Dial: s, Files: folder(s.files), Now: func() time.Time { return time.Unix(0, 0) }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact: func(string, string) (engine.Artifact, error) { return s, nil },
		Proxy:    func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
	}
}

func TestVerdicts(t *testing.T) {
	died := engine.Exit{Code: -1, Signaled: true}
	for _, c := range []struct {
		raw    string
		exit   engine.Exit
		stderr string
		cut    bool
		want   engine.Outcome
	}{
		{raw: "one", want: engine.Complete},
		{raw: "none", want: engine.Complete},
		{raw: "many", want: engine.Complete},
		{raw: "many-newer", want: engine.Complete},
		{raw: "refused", want: engine.NothingReachable},
		{raw: "cut-off", exit: engine.Exit{Code: -1, Signaled: true, Canceled: true}, want: engine.Partial},
		{raw: "cut-off", exit: died, want: engine.Partial},
		{raw: "cancelled", exit: engine.Exit{Code: 1}, want: engine.Partial},
		{raw: "crawl-stopped-at-first", want: engine.Partial},
		{raw: "many", cut: true, want: engine.Partial},
		{raw: "one", stderr: "Traceback (most recent call last):\n", want: engine.Partial},
		{raw: "", exit: engine.Exit{Code: 2}, stderr: "usage\n", want: engine.Failed},
		{raw: "", exit: died, want: engine.Failed},
	} {
		s := &stage{exit: c.exit, stderr: c.stderr, cut: c.cut}
		if c.raw != "" {
			s.raw = sample(t, c.raw)
		}
		v, err := New().Run(t.Context(), s.env(), request(t, targetOf(c.raw), `{}`))
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s %+v: %+v, %v; want %s", c.raw, c.exit, v, err, c.want)
		}
		if v.Outcome != engine.Complete && len(v.Reasons) == 0 {
			t.Errorf("%s: %s without a reason", c.raw, v.Outcome)
		}
		if s.artifact.String() != string(s.raw) {
			t.Errorf("%s: the artifact isn't what sqlmap wrote", c.raw)
		}
		if !slices.IsSorted(s.percents) || len(s.percents) > 0 && s.percents[len(s.percents)-1] > 99 {
			t.Errorf("%s: progress %v", c.raw, s.percents)
		}
	}
}

func TestADeadTargetIsNeverClean(t *testing.T) {
	for _, c := range []struct {
		dial error
		raw  string
		want engine.Outcome
	}{
		{errors.New("connection refused"), "", engine.NothingReachable},
		{fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no"), "", engine.Blocked},
		{nil, "[12:00:00] [INFO] testing connection to the target URL\n[12:00:01] [WARNING] HTTP error codes detected during run:\n502 (Bad Gateway) - 3 times\n\n[*] ending @ 12:00:01 /2026-01-01/\n", engine.NothingReachable},
		{nil, "[12:00:00] [INFO] testing for SQL injection on GET parameter 'id'\n[12:00:01] [WARNING] HTTP error codes detected during run:\n404 (Not Found) - 1 times, 502 (Bad Gateway) - 3 times\n\n[*] ending @ 12:00:01 /2026-01-01/\n", engine.Partial},
		{nil, "[12:00:00] [INFO] testing connection to the target URL\n[12:00:00] [CRITICAL] not authorized, try to provide right HTTP authentication type and valid credentials (401)\n\n[*] ending @ 12:00:01 /2026-01-01/\n", engine.Partial},
	} {
		s := &stage{dialErr: c.dial, raw: []byte(c.raw)}
		v, err := New().Run(t.Context(), s.env(), request(t, "http://127.0.0.1:8081/item?id=1", `{}`))
		if err != nil || v.Outcome != c.want || len(v.Reasons) == 0 || len(v.Looked.Targets) == 0 {
			t.Errorf("%q: %+v, %v; want %s", c.raw, v, err, c.want)
		}
		if c.dial != nil && len(s.starts) > 0 {
			t.Error("sqlmap was started on a target that takes no connection")
		}
	}
}

func TestTheOrderStandsInAFileAndNotOnTheCommandLine(t *testing.T) {
	s := &stage{raw: []byte("[12:00:00] [INFO] testing Cookie: sid=CANARY-3f9a and b64%20CANARY%2Bx\n")}
	req := request(t, "http://127.0.0.1:8081/item?id=1", `{"techniques":["U","B"],"level":2,"dbms":"MySQL","threads":4,"proof":"banner","consentToProof":true}`)
	req.Config = engine.Config{
		RateLimit: 20, MaxParallelism: 3, UserAgent: "Probe/1",
		Headers:        []engine.Header{{Name: "Cookie", Value: secret.New("sid=CANARY-3f9a")}, {Name: "X-Token", Value: secret.New("b64 CANARY+x")}},
		Authentication: secret.New(`{"type":"basic","username":"bob","password":"CANARY:pw"}`),
	}
	if _, err := New().Run(t.Context(), s.env(), req); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(append(s.starts[0].Args, s.starts[0].Env...), " "); got != "-c sqlmap.conf --batch --ignore-stdin --disable-coloring" {
		t.Errorf("command line %q", got)
	}
	if s.starts[0].Network != engine.NetworkProxy {
		t.Error("sqlmap isn't held to the proxy")
	}
	conf := s.files[configName]
	for _, line := range []string{
		"url = http://127.0.0.1:8081/item?id=1", "proxy = http://127.0.0.1:3128", "agent = Probe/1", "cookie = sid=CANARY-3f9a", "headers = X-Token: b64 CANARY+x",
		"authType = basic", "authCred = bob:CANARY:pw", "threads = 3", "delay = 0.1500", "technique = BU", "level = 2", "risk = 1", "dbms = MySQL",
		"getBanner = True", "getCurrentUser = False", "crawlDepth = 0", "forms = False", `scope = ^http://127\.0\.0\.1:8081/`, "flushSession = True",
	} {
		if !strings.Contains(conf, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, conf)
		}
	}
	if strings.Contains(s.artifact.String(), "CANARY") {
		t.Errorf("the raw output holds a secret: %s", s.artifact.String())
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	for _, options := range []string{`{"proof":"banner"}`, `{"risk":2}`, `{"risk":3,"consentToRisk":false}`, `{"techniques":[]}`, `{"techniques":["X"]}`, `{"tamper":"x"}`, `{"dbms":"x\ny"}`} {
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(options), &raw); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.ParseOptions(manifest(), raw, nil); err == nil {
			t.Errorf("%s is taken", options)
		}
	}
	req := request(t, "http://127.0.0.1:8081/", `{}`)
	req.Config.Headers = []engine.Header{{Name: "X-A", Value: secret.New(`a\nHost: elsewhere`)}}
	s := &stage{}
	if _, err := New().Run(t.Context(), s.env(), req); fault.KindOf(err) != fault.Invalid || len(s.starts) > 0 {
		t.Errorf("a header that would be two: %v", err)
	}
}

func TestFaultsOfTheLauncher(t *testing.T) {
	s := &stage{err: fault.New(fault.Unavailable, fault.CodeEngine, "no such program")}
	_, err := New().Run(t.Context(), s.env(), request(t, "http://127.0.0.1:8081/", `{}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(err.Error(), "apt-get install sqlmap") {
		t.Errorf("got %v", err)
	}
	checker := engine.Checker(Engine{})
	if a := checker.Check(t.Context(), s.env()); a.Available || !strings.Contains(a.Reason, "apt-get") {
		t.Errorf("%+v", a)
	}
	for raw, version := range map[string]string{
		"1.7.2#stable\n[12:09:57] [WARNING] your sqlmap version is outdated\n": "1.7.2", "\x1b[?1049h1.10.10#pip\n": "1.10.10", "usage: something else\n": "",
	} {
		s := &stage{raw: []byte(raw)}
		if a := checker.Check(t.Context(), s.env()); a.Available != (version != "") || a.Version != version {
			t.Errorf("%q: %+v", raw, a)
		}
	}
}

func TestTheRecipeIsPinned(t *testing.T) {
	for _, r := range manifest().Recipes {
		if r.Method == engine.MethodPip && (!strings.Contains(r.Lock, "--hash=sha256:"+r.Parts[0].SHA256) || !strings.Contains(r.Lock, r.Parts[0].Name+"=="+r.Parts[0].Version)) {
			t.Errorf("%+v", r)
		}
	}
}
