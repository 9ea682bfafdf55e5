package nuclei_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/nuclei"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// take is one start of the program as it is played.
type take struct {
	stdout, stderr, errors string
	exit                   engine.Exit
	err                    error
}

// stage is an Env whose launcher plays takes and whose targets answer at the ports of open.
type stage struct {
	takes     []take
	open      map[string]int // "host:port" → how many connections are taken; -1 = all
	templates fs.FS
	starts    []engine.Process
	raw       bytes.Buffer
	cut       bool
	percents  []int
	files     map[string]string
	log       bytes.Buffer
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if len(s.takes) == 0 {
		return engine.Exit{Code: 1}, nil
	}
	t := s.takes[0]
	s.takes = s.takes[1:]
	if t.err != nil {
		return engine.Exit{Code: -1}, t.err
	}
	if t.errors != "" {
		for _, a := range p.Args {
			if name, ok := strings.CutPrefix(a, "-elog=/scratch/"); ok {
				s.files[name] = t.errors
			}
		}
	}
	_, err := io.WriteString(p.Stdout, t.stdout)
	_, err2 := io.WriteString(p.Stderr, t.stderr)
	return t.exit, errors.Join(err, err2)
}

// DialContext implements engine.Dialer.
func (s *stage) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	n := s.open[address]
	if n == 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	s.open[address] = n - 1
	a, b := net.Pipe()
	return a, b.Close()
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.raw.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

type scratch struct{ s *stage }

func (f scratch) Write(name string, content []byte) error {
	f.s.files[name] = string(content)
	return nil
}

func (f scratch) Open(name string) (fs.File, error) {
	text, ok := f.s.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return fstest.MapFS{name: {Data: []byte(text)}}.Open(name)
}

func (s *stage) env() engine.Env {
	s.files = map[string]string{}
	return engine.Env{
		Proc: s, Dial: s, Work: "/scratch", Files: scratch{s}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact: func(string, string) (engine.Artifact, error) { return s, nil },
		Proxy:    func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
		Data: func(name string) (engine.Tree, error) {
			if s.templates == nil || name != nuclei.TemplatesKey {
				return engine.Tree{}, fs.ErrNotExist
			}
			return engine.Tree{Dir: "/templates", FS: s.templates}, nil
		},
	}
}

// own are our own seven templates, four of which are for the web: one of them slow.
func own() fs.FS { return os.DirFS("testdata/templates") }

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func reachable(at ...string) map[string]int {
	out := map[string]int{}
	for _, a := range at {
		out[a] = -1
	}
	return out
}

const ended = "[INF] Current nuclei version: v3.10.0 (unknown)\n[INF] Current nuclei-templates version: v10.1.2 (latest)\n[INF] Templates loaded for current scan: 5\n" +
	`{"duration":"0:00:01","errors":"0","hosts":"1","matched":"6","percent":"100","requests":"45","rps":"16","templates":"5","total":"45"}` + "\n[INF] Scan completed in 1s. 6 matches found.\n"

func TestVerdicts(t *testing.T) {
	t.Parallel()
	const at = "127.0.0.1:8081"
	web, there := request(t, "http://"+at, `{}`), reachable(at)
	found := string(fixture(t, "web"))
	refused := `{"template":"/templates/git-config.yaml","type":"http","input":"http://127.0.0.1:9/.git/config","address":"127.0.0.1:9","error":"port closed or filtered","kind":"network-permanent-error","attrs":{}}` + "\n"
	for name, c := range map[string]struct {
		req       engine.Request
		open      map[string]int
		templates fs.FS
		take      take
		cut       bool
		want      engine.Outcome
		state     engine.LookState
		covered   bool
	}{
		"found":          {req: web, open: there, templates: own(), take: take{stdout: found, stderr: ended}, want: engine.Complete, state: engine.LookReached, covered: true},
		"nothing found":  {req: web, open: there, templates: own(), take: take{stderr: ended}, want: engine.Complete, state: engine.LookReached, covered: true},
		"other count":    {req: web, open: there, templates: own(), take: take{stderr: read(t, "no-findings.stderr.txt")}, want: engine.Complete, state: engine.LookReached},
		"refused":        {req: web, templates: own(), want: engine.NothingReachable, state: engine.LookUnreachable},
		"all errors":     {req: web, open: there, templates: own(), take: take{stderr: read(t, "error-refused.stderr.txt"), errors: refused}, want: engine.NothingReachable, state: engine.LookUnreachable},
		"counted errors": {req: web, open: there, templates: own(), take: take{stderr: strings.Replace(ended, `"errors":"0"`, `"errors":"45"`, 1)}, want: engine.NothingReachable, state: engine.LookUnreachable},
		"many errors":    {req: web, open: there, templates: own(), take: take{stderr: strings.Replace(ended, `"errors":"0"`, `"errors":"20"`, 1)}, want: engine.Partial, state: engine.LookPartial},
		"went away":      {req: web, open: map[string]int{at: 1}, templates: own(), take: take{stderr: ended}, want: engine.Partial, state: engine.LookPartial},
		"given up":       {req: web, open: there, templates: own(), take: take{stderr: "[INF] Skipped 127.0.0.1:8081 from target list as found unresponsive 30 times\n" + ended}, want: engine.Partial, state: engine.LookPartial},
		"no templates":   {req: web, open: there, want: engine.Failed, state: engine.LookSkipped},
		"no such set":    {req: request(t, "http://"+at, `{"templateSet":["custom"]}`), open: there, templates: own(), want: engine.Failed, state: engine.LookSkipped},
		"none loaded":    {req: web, open: there, templates: own(), take: take{stderr: read(t, "error-no-template.stderr.txt"), exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
		"only a bad one": {req: web, open: there, templates: own(), take: take{stderr: read(t, "error-bad-template.stderr.txt"), exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
		"cancelled":      {req: web, open: there, templates: own(), take: take{stdout: found, stderr: read(t, "cancel-sigint.stderr.txt"), exit: engine.Exit{Code: 1, Canceled: true}}, want: engine.Partial, state: engine.LookPartial},
		"killed":         {req: web, open: there, templates: own(), take: take{stderr: read(t, "cancel-sigterm.stderr.txt"), exit: engine.Exit{Code: -1, Signaled: true}}, want: engine.Failed, state: engine.LookPartial},
		"cut by us":      {req: web, open: there, templates: own(), take: take{stdout: found, stderr: ended}, cut: true, want: engine.Partial, state: engine.LookPartial, covered: true},
	} {
		s := &stage{open: maps.Clone(c.open), templates: c.templates, takes: []take{c.take}, cut: c.cut}
		v, err := nuclei.New().Run(t.Context(), s.env(), c.req)
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, v, err, c.want)
			continue
		}
		if v.Outcome != engine.Complete && len(v.Reasons) == 0 {
			t.Errorf("%s: %s without a reason", name, v.Outcome)
		}
		if len(v.Looked.Targets) != 1 || v.Looked.Targets[0].State != c.state {
			t.Errorf("%s: looked at %+v", name, v.Looked)
		}
		if v.Coverage == nil || (len(v.Coverage.Places) > 0) != c.covered {
			t.Errorf("%s: coverage %+v", name, v.Coverage)
		}
		if !slices.IsSorted(s.percents) || len(s.percents) > 0 && s.percents[len(s.percents)-1] > 99 {
			t.Errorf("%s: progress %v", name, s.percents)
		}
	}
}

func TestCoverageIsWhatWasAsked(t *testing.T) {
	t.Parallel()
	const at = "127.0.0.1:8081"
	failed := `{"template":"/templates/reflected-xss.yaml","error":"timeout","kind":"network-temporary-error"}` + "\n"
	stderr := strings.Replace(ended, `"errors":"0"`, `"errors":"1"`, 1)
	s := &stage{open: reachable(at), templates: own(), takes: []take{{stderr: stderr, errors: failed}}}
	v, err := nuclei.New().Run(t.Context(), s.env(), request(t, "http://"+at+"/shop", `{}`))
	if err != nil || v.Outcome != engine.Complete {
		t.Fatalf("%+v, %v", v, err)
	}
	for _, c := range []struct {
		rule, url string
		port      int
		want      bool
	}{
		{"nuclei:dl-git-config", "http://127.0.0.1:8081/shop/.git/config", 8081, true},
		{"nuclei:dl-git-config", "http://127.0.0.1:8081/other/.git/config", 8081, false},
		{"nuclei:dl-git-config", "http://127.0.0.1:8088/shop", 8088, false},
		{"nuclei:dl-reflected-xss", "http://127.0.0.1:8081/shop/search", 8081, false}, // it met an error
		{"nuclei:dl-expired-cert", "http://127.0.0.1:8081/shop", 8081, false},         // another protocol
		{"nuclei:gone", "http://127.0.0.1:8081/shop", 8081, false},
	} {
		if got := v.Coverage.Covers(c.rule, finding.Location{Host: "127.0.0.1", Port: c.port, Protocol: "tcp", URL: c.url}); got != c.want {
			t.Errorf("%s at %s covered: %v", c.rule, c.url, got)
		}
	}
	if len(v.Looked.Databases) != 1 || v.Looked.Databases[0].Entries != 5 || v.Looked.Databases[0].Version != "v10.1.2" || v.Version != "3.10.0" {
		t.Errorf("judged by %+v, version %s", v.Looked.Databases, v.Version)
	}
}

func TestArgumentsAreBuiltFromValues(t *testing.T) {
	t.Parallel()
	const always = "-duc -ni -nc -no-stdin -nh -jsonl -ot -stats -sj -si=2 "
	const unwanted = "-etags=brute-force,bruteforce,dos,fuzz,fuzzing,intrusive"
	tree := fstest.MapFS{"custom/a.yaml": {Data: []byte("id: a\ninfo:\n  severity: high\nhttp:\n")}, "ssl/b.yaml": {Data: []byte("id: b\nssl:\n")}}
	for _, c := range []struct {
		target, options string
		open            map[string]int
		addrs           string
		want            []string
	}{
		{"https://www.example.org/app", `{}`, reachable("www.example.org:443"), "192.0.2.7", []string{
			always + "-elog=/scratch/errors-1.jsonl -mp=PORT -pt=http -ept=code,file,headless,javascript -t=/templates -u=https://www.example.org/app -or " + unwanted +
				" -proxy=http://127.0.0.1:3128 -rl=150 -c=25 -timeout=10 -retries=1 -mhe=30",
		}},
		{
			"www.example.org", `{"protocols":["http","ssl","tcp"],"templateSet":["custom","tls"],"severities":["high","critical"],"includeIntrusive":true,"includeRequestResponse":true,
			"rateLimit":7,"concurrency":3,"timeout":4,"retries":0,"maxHostError":9,"followRedirects":true,"maxRedirects":2,"stopAtFirstMatch":true,"scanStrategy":"host-spray"}`,
			reachable("www.example.org:80"), "192.0.2.7",
			[]string{
				always + "-elog=/scratch/errors-1.jsonl -mp=PORT -pt=http -ept=code,file,headless,javascript -t=/templates/custom -t=/templates/ssl -u=http://www.example.org/ -s=high,critical -proxy=http://127.0.0.1:3128 " +
					"-rl=7 -c=3 -timeout=4 -retries=0 -mhe=9 -fr -mr=2 -spm -ss=host-spray",
				always + "-elog=/scratch/errors-2.jsonl -mp=PORT -pt=ssl,tcp -ept=code,file,headless,javascript -t=/templates/custom -t=/templates/ssl -u=192.0.2.7 -s=high,critical " +
					"-rl=7 -c=3 -timeout=4 -retries=0 -mhe=9 -fr -mr=2 -spm -ss=host-spray",
			},
		},
		{"2001:db8::7", `{"protocols":["tcp"]}`, nil, "", []string{
			always + "-elog=/scratch/errors-1.jsonl -mp=PORT -pt=tcp -ept=code,file,headless,javascript -t=/templates -u=2001:db8::7 -or " + unwanted + " -rl=150 -c=25 -timeout=10 -retries=1 -mhe=30",
		}},
	} {
		s := &stage{open: c.open, templates: tree, takes: []take{{stderr: ended}, {stderr: ended}}}
		req := request(t, c.target, c.options)
		if c.addrs != "" {
			req.Addrs = []netip.Addr{netip.MustParseAddr(c.addrs)}
		}
		if _, err := nuclei.New().Run(t.Context(), s.env(), req); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.starts {
			args := slices.Clone(p.Args)
			for i, a := range args {
				if strings.HasPrefix(a, "-mp=") {
					args[i] = "-mp=PORT"
				}
			}
			got = append(got, strings.Join(args, " "))
			if proxied := strings.Contains(got[len(got)-1], "-proxy="); proxied != (p.Network == engine.NetworkProxy) {
				t.Errorf("network %d of %s", p.Network, got[len(got)-1])
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSecretsGoIntoAFileAndOutOfTheOutput(t *testing.T) {
	t.Parallel()
	const at = "127.0.0.1:8081"
	line := `{"template-id":"x","info":{"severity":"low"},"type":"http","matched-at":"http://127.0.0.1:8081/","curl-command":"curl -H 'X-Key: CANARY\"7' -H 'Authorization: Basic dTpwYXNzLTk=' pass-9","matcher-status":true}` + "\n"
	s := &stage{open: reachable(at), templates: own(), takes: []take{{stdout: line[:40], stderr: ended}}}
	s.takes[0].stdout = line + line[:90] // the last line is cut off
	req := request(t, "http://"+at, `{}`)
	req.Config.UserAgent = "probe/1"
	req.Config.Headers = []engine.Header{{Name: "X-Key", Value: secret.New(`CANARY"7`)}}
	req.Config.Authentication = secret.New(`{"type":"basic","username":"u","password":"pass-9"}`)
	if _, err := nuclei.New().Run(t.Context(), s.env(), req); err != nil {
		t.Fatal(err)
	}
	if want := "X-Key: CANARY\"7\nUser-Agent: probe/1\nAuthorization: Basic dTpwYXNzLTk=\n"; s.files["headers.txt"] != want {
		t.Errorf("headers %q", s.files["headers.txt"])
	}
	if !slices.Contains(s.starts[0].Args, "-H=/scratch/headers.txt") {
		t.Error("the headers aren't sent")
	}
	for _, text := range []string{s.raw.String(), s.log.String(), strings.Join(append(s.starts[0].Args, s.starts[0].Env...), " ")} {
		if strings.Contains(text, "CANARY") || strings.Contains(text, "dTpwYXNzLTk=") || strings.Contains(text, "pass-9") {
			t.Errorf("a secret stays in %q", text)
		}
	}
	if len(parse(t, s.raw.Bytes(), req)) != 1 || strings.Count(s.raw.String(), "\n") != 1 {
		t.Errorf("the output is damaged: %q", s.raw.String())
	}
	for _, auth := range []string{`{"type":"digest","username":"u","password":"p"}`, `{"type":"form"}`} {
		req.Config.Authentication = secret.New(auth)
		if _, err := nuclei.New().Run(t.Context(), s.env(), req); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", auth, err)
		}
	}
}

func TestOwnListenersAreNotScanned(t *testing.T) {
	t.Parallel()
	req := request(t, "127.0.0.1", `{"protocols":["http","tcp"]}`)
	req.Excluded = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:443"), netip.MustParseAddrPort("127.0.0.1:6379")}
	s := &stage{open: reachable("127.0.0.1:80", "127.0.0.1:443"), templates: own(), takes: []take{{stderr: ended}}}
	v, err := nuclei.New().Run(t.Context(), s.env(), req)
	if err != nil || v.Outcome != engine.Partial || len(s.starts) != 1 || slices.ContainsFunc(s.starts[0].Args, func(a string) bool { return strings.HasPrefix(a, "-u=https") }) {
		t.Errorf("%+v, %v, %d starts", v, err, len(s.starts))
	}
	req.Excluded = append(req.Excluded, netip.MustParseAddrPort("127.0.0.1:80"))
	s = &stage{open: reachable("127.0.0.1:80"), templates: own()}
	if v, err := nuclei.New().Run(t.Context(), s.env(), req); err != nil || v.Outcome != engine.Blocked || len(s.starts) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	checker, ok := nuclei.New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	for said, want := range map[string]bool{
		"[INF] Nuclei Engine Version: v3.10.0\n[INF] Nuclei Config Directory: /x\n": true,
		"nuclei, a tool for atoms 0.1\n":                                            false,
		"[INF] Nuclei Engine Version: $(id)\n":                                      false,
	} {
		s := &stage{templates: own(), takes: []take{{stderr: said}}}
		if a := checker.Check(t.Context(), s.env()); a.Available != want || !want && a.Reason == "" {
			t.Errorf("%q: %+v", said, a)
		}
		s = &stage{takes: []take{{stderr: said}}}
		if a := checker.Check(t.Context(), s.env()); a.Available || a.Reason == "" {
			t.Errorf("%q without templates: %+v", said, a)
		}
	}
	gone := fault.New(fault.Unavailable, fault.CodeEngine, "no such program")
	s := &stage{open: reachable("127.0.0.1:8081"), templates: own(), takes: []take{{err: gone}}}
	if _, err := nuclei.New().Run(t.Context(), s.env(), request(t, "http://127.0.0.1:8081", `{}`)); !errors.Is(err, gone) || !strings.Contains(fault.Of(err).Text, "projectdiscovery") {
		t.Errorf("got %v", err)
	}
}
