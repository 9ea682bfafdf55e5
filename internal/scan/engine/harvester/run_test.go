package harvester

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

const four = `{"sources":["crtsh","hackertarget","certspotter","otx"]}`

// cases are runs of the program as they were recorded; those with a JSONL document have the form that newer versions
// write.
func cases(t *testing.T) map[string]struct {
	stage           *stage
	domain, options string
	want            engine.Outcome
} {
	t.Helper()
	doc := func(kinds map[string]string) map[string]string {
		out := map[string]string{}
		for kind, name := range kinds {
			out[kind] = recorded(t, name)
		}
		return out
	}
	found := doc(map[string]string{"json": "found.json", "xml": "found.xml"})
	return map[string]struct {
		stage           *stage
		domain, options string
		want            engine.Outcome
	}{
		"many":       {&stage{stdout: recorded(t, "found.stdout.txt"), documents: found}, "example.com", four, engine.Complete},
		"resolved":   {&stage{stdout: recorded(t, "found.stdout.txt"), documents: doc(map[string]string{"json": "dns-resolved.json", "xml": "dns-resolved.xml"})}, "example.com", four, engine.Complete},
		"no-network": {&stage{stdout: recorded(t, "no-network.stdout.txt"), documents: doc(map[string]string{"json": "no-network.json"})}, "example.com", `{"sources":["crtsh","hackertarget","otx"]}`, engine.NothingReachable},
		"bad-source": {&stage{stdout: recorded(t, "error-badsource.stdout.txt"), exit: engine.Exit{Code: 1}}, "example.com", four, engine.Failed},
		"partial":    {&stage{documents: doc(map[string]string{"jsonl": "partial.jsonl"})}, "example.org", four, engine.Partial},
		"none":       {&stage{documents: doc(map[string]string{"jsonl": "none.jsonl"})}, "example.org", four, engine.Complete},
		"one":        {&stage{stdout: "[*] Searching Crtsh. \n", documents: map[string]string{"json": `{"hosts":["www.example.org:192.0.2.1"]}`}}, "example.org", `{"sources":["crtsh"]}`, engine.Complete},
	}
}

func TestVerdictsOfRecordedRuns(t *testing.T) {
	for name, c := range cases(t) {
		v, err := New().Run(t.Context(), c.stage.env(t), request(t, c.domain, c.options))
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, v, err, c.want)
		}
		if v.Outcome != engine.Complete && len(v.Reasons) == 0 {
			t.Errorf("%s: %s without a reason", name, v.Outcome)
		}
		for _, l := range v.Looked.Sources {
			if (l.State == engine.SourceAnswered) != (l.Reason == "") {
				t.Errorf("%s: %+v", name, l)
			}
		}
		if !slices.IsSorted(c.stage.percents) || len(c.stage.percents) > 0 && c.stage.percents[len(c.stage.percents)-1] > 99 {
			t.Errorf("%s: progress %v", name, c.stage.percents)
		}
		file := filepath.Join("testdata", name, "raw.txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.stage.artifact.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), c.stage.artifact.String()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestSourcesAreToldByTheRunsOwnSummary(t *testing.T) {
	s := cases(t)["partial"].stage
	v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", four))
	want := []engine.SourceLook{
		{Source: "certspotter", State: engine.SourceAnswered, Found: 3},
		{Source: "crtsh", State: engine.SourceAnswered, Found: 3},
		{Source: "hackertarget", State: engine.SourceFailed, Reason: "it has counted too many requests; try later"},
		{Source: "otx", State: engine.SourceFailed, Reason: "the program couldn't reach it"},
	}
	if diff := cmp.Diff(want, v.Looked.Sources); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestSilenceIsNoAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		stage *stage
		want  engine.Outcome
		state engine.SourceState
	}{
		{"nothing said, nothing left", &stage{}, engine.Failed, engine.SourceFailed},
		{"asked, and nothing came", &stage{stdout: "[*] Searching CRTsh. \n", documents: map[string]string{"json": `{"hosts":[]}`}}, engine.Failed, engine.SourceFailed},
		{"the proxy refuses", &stage{stdout: "An exception has occurred: 403, message='Forbidden', url='http://127.0.0.1:9'\n[*] Searching CRTsh. \n"}, engine.NothingReachable, engine.SourceFailed},
		{"an error of the source", &stage{stdout: "[*] Searching CRTsh. \nAn exception has occurred: 503, url='https://crt.sh/?q=x'\n"}, engine.Failed, engine.SourceFailed},
		{"a missing key", &stage{stdout: "Missing API key for crtsh\n"}, engine.Failed, engine.SourceNoKey},
		{"cancelled", &stage{exit: engine.Exit{Code: -1, Signaled: true, Canceled: true}}, engine.Partial, engine.SourceSkipped},
		{"a crash after results", &stage{stdout: "[*] Searching CRTsh. \n", exit: engine.Exit{Code: 1}, documents: map[string]string{"json": `{"hosts":["a.example.org"`}}, engine.Partial, engine.SourceAnswered},
		{"cut", &stage{cut: true, stdout: "[*] Searching CRTsh. \n", documents: map[string]string{"json": `{"hosts":["a.example.org"]}`}}, engine.Partial, engine.SourceAnswered},
	} {
		v, err := New().Run(t.Context(), c.stage.env(t), request(t, "example.org", `{"sources":["crtsh"]}`))
		if err != nil || v.Outcome != c.want || len(v.Reasons) == 0 || v.Looked.Sources[0].State != c.state {
			t.Errorf("%s: %+v, %v; want %s, %s", c.name, v, err, c.want, c.state)
		}
	}
}

func TestKeysStandInAFileOnly(t *testing.T) {
	const key = "CANARY-9c1e"
	s := cases(t)["one"].stage
	s.keys = map[string]string{"hunter": key, "virustotal": "two\nlines"}
	v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", `{"sources":["crtsh","hunter","virustotal","netlas"]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := s.starts[0]
	if strings.Contains(strings.Join(append(p.Args, p.Env...), " "), key) || strings.Contains(s.artifact.String(), key) {
		t.Error("the key is in the command line, the environment or the raw output")
	}
	if want := `{"apikeys":{"hunter":{"key":"` + key + `"}}}` + "\n"; s.settings["api-keys.yaml"] != want {
		t.Errorf("api-keys.yaml: %q", s.settings["api-keys.yaml"])
	}
	if want := "http:\n  - 127.0.0.1:9\nhttps:\n  - 127.0.0.1:9\nsocks5: []\n"; s.settings["proxies.yaml"] != want {
		t.Errorf("proxies.yaml: %q", s.settings["proxies.yaml"])
	}
	if diff := cmp.Diff(strings.Fields("-d example.org -b crtsh,hunter -l 500 -S 0 -p -q -f report"), p.Args); diff != "" {
		t.Error(diff)
	}
	if p.Network != engine.NetworkProxy || !slices.Contains(p.Env, "HTTPS_PROXY=http://127.0.0.1:9") {
		t.Errorf("%+v", p)
	}
	missing := 0
	for _, l := range v.Looked.Sources {
		if l.State == engine.SourceNoKey {
			missing++
		}
	}
	if missing != 2 || v.Outcome != engine.Partial {
		t.Errorf("%+v", v)
	}
	info, err := os.Stat(filepath.Join(s.dir, ".theHarvester", "api-keys.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestNothingIsStartedWithoutASource(t *testing.T) {
	s := &stage{}
	v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", `{"sources":["hunter"]}`))
	if err != nil || v.Outcome != engine.Failed || len(s.starts) != 0 || v.Looked.Sources[0].State != engine.SourceNoKey {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAvailability(t *testing.T) {
	c, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	missing := &stage{err: fault.New(fault.Unavailable, fault.CodeEngine, "no such program")}
	if a := c.Check(t.Context(), missing.env(t)); a.Available || !strings.Contains(a.Reason, "wiki") {
		t.Errorf("%+v", a)
	}
	if _, err := New().Run(t.Context(), missing.env(t), request(t, "example.org", four)); !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		t.Errorf("a missing program: %v", err)
	}
	for said, want := range map[string]engine.Availability{
		recorded(t, "error-badsource.stdout.txt"):                  {Available: true, Version: "4.8.0"},
		"*****\n* theHarvester 3.1.0 *\n":                          {Version: "3.1.0"},
		"usage: theHarvester [-h]\n":                               {},
		"*****\n* theHarvester v5.0.1-beta                    *\n": {},
	} {
		s := &stage{stdout: said}
		a := c.Check(t.Context(), s.env(t))
		if a.Available != want.Available || want.Version != "" && a.Version != want.Version || a.Available == (a.Reason != "") {
			t.Errorf("%q: %+v", said, a)
		}
	}
}
