package sublist3r

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// states returns how the sources of a verdict behaved.
func states(v engine.Verdict) map[string]engine.SourceState {
	out := map[string]engine.SourceState{}
	for _, s := range v.Looked.Sources {
		out[s.Source] = s.State
	}
	return out
}

func TestAllSourcesAreAskedAndToldOf(t *testing.T) {
	s := &stage{pages: internet()}
	v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", `{}`))
	if err != nil || v.Outcome != engine.Complete || v.Version != builtinVersion {
		t.Fatalf("%+v, %v", v, err)
	}
	want := []string{
		"admin.example.org", "api.example.org", "dev.example.org", "git.example.org", "mail.example.org", "old.example.org",
		"staging.example.org", "third.example.org", "www.example.org",
	}
	got := parse(t, s.artifact.Bytes(), request(t, "example.org", `{}`))
	if diff := cmp.Diff(want, got.names()); diff != "" {
		t.Error(diff)
	}
	if len(v.Looked.Sources) != 6 || len(v.Looked.Targets) != 1 || v.Looked.Targets[0].State != engine.LookSkipped {
		t.Errorf("looked: %+v", v.Looked)
	}
	for _, l := range v.Looked.Sources {
		if l.State != engine.SourceAnswered || l.Found == 0 && l.Source != "anubis" {
			t.Errorf("%+v", l)
		}
	}
	for _, part := range []string{
		"https://crt.sh/?deduplicate=Y&output=json&q=%25.example.org", "https://api.certspotter.com/v1/issuances?after=2&domain=example.org&expand=dns_names&include_subdomains=true",
		"https://api.hackertarget.com/hostsearch/?q=example.org", "https://otx.alienvault.com/api/v1/indicators/domain/example.org/passive_dns",
		"https://anubisdb.com/anubis/subdomains/example.org", "https://api.subdomain.center/?domain=example.org",
	} {
		if !slices.Contains(s.asked, part) {
			t.Errorf("%s was not asked; asked: %v", part, s.asked)
		}
	}
	if !slices.IsSorted(s.percents) || s.percents[len(s.percents)-1] > 99 {
		t.Errorf("progress %v", s.percents)
	}
}

func TestVerdictsByWhatSourcesAnswered(t *testing.T) {
	refused := page{err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		name    string
		pages   map[string][]page
		options string
		want    engine.Outcome
		states  map[string]engine.SourceState
	}{
		{"no network", nil, `{}`, engine.NothingReachable, nil},
		{"nothing known", map[string][]page{"crt.sh": {{body: `[]`}}}, `{"sources":["crtsh"]}`, engine.Complete, map[string]engine.SourceState{"crtsh": engine.SourceAnswered}},
		{"all refuse", map[string][]page{"crt.sh": {{status: 429}}, "api.hackertarget.com": {{body: "API count exceeded - Increase Quota with Membership"}}}, `{"sources":["crtsh","hackertarget"]}`, engine.Failed, nil},
		{"one of two", map[string][]page{"crt.sh": {{body: `[{"name_value":"a.example.org"}]`}}, "anubisdb.com": {refused}}, `{"sources":["crtsh","anubis"]}`, engine.Partial, map[string]engine.SourceState{"crtsh": engine.SourceAnswered, "anubis": engine.SourceFailed}},
		{"an answer cut short", map[string][]page{"crt.sh": {{body: `[{"name_value":"a.example.org"},{"name_va`}}}, `{"sources":["crtsh"]}`, engine.Partial, map[string]engine.SourceState{"crtsh": engine.SourceFailed}},
		{"a page of HTML", map[string][]page{"crt.sh": {{body: `<html>sorry</html>`}}}, `{"sources":["crtsh"]}`, engine.Failed, nil},
		{"a limit after the first page", map[string][]page{"api.certspotter.com": {{body: `[{"id":"1","dns_names":["a.example.org"]}]`}, {status: 429}}}, `{"sources":["certspotter"]}`, engine.Partial, nil},
		{"a forbidden place", map[string][]page{"crt.sh": {{err: fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no")}}}, `{"sources":["crtsh"]}`, engine.NothingReachable, nil},
		{"endless pages", map[string][]page{"api.certspotter.com": endless()}, `{"sources":["certspotter"]}`, engine.Partial, nil},
		{"an endless answer", map[string][]page{"api.subdomain.center": {{body: `["a.example.org"` + strings.Repeat(`,"b.example.org"`, maxAnswer/16)}}}, `{"sources":["subdomaincenter"]}`, engine.Partial, nil},
	} {
		s := &stage{pages: c.pages}
		v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", c.options))
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s: %+v, %v; want %s", c.name, v, err, c.want)
		}
		if c.states != nil && !cmp.Equal(states(v), c.states) {
			t.Errorf("%s: %v", c.name, states(v))
		}
		for _, l := range v.Looked.Sources {
			if l.State != engine.SourceAnswered && l.Reason == "" {
				t.Errorf("%s: %+v without a reason", c.name, l)
			}
		}
		if v.Outcome != engine.Complete && len(v.Reasons) < 2 {
			t.Errorf("%s: reasons %v", c.name, v.Reasons)
		}
	}
}

func endless() []page {
	var out []page
	for i := range maxPages + 2 {
		b, _ := json.Marshal([]map[string]any{{"id": string(rune('a' + i)), "dns_names": []string{"a.example.org"}}})
		out = append(out, page{body: string(b)})
	}
	return out
}

func TestSlowAndOverloadedSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{pages: map[string][]page{"crt.sh": {{hang: true}}, "otx.alienvault.com": {{status: http.StatusServiceUnavailable}, {body: `{"passive_dns":[{"hostname":"a.example.org"}]}`}}}}
		v, err := New().Run(t.Context(), s.env(t), request(t, "example.org", `{"sources":["crtsh","otx"],"sourceTimeout":5}`))
		want := map[string]engine.SourceState{"crtsh": engine.SourceTimedOut, "otx": engine.SourceAnswered}
		if err != nil || v.Outcome != engine.Partial || !cmp.Equal(states(v), want) {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestCancelledRunsKeepWhatTheyHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &stage{pages: map[string][]page{"crt.sh": {{body: `[{"name_value":"a.example.org"}]`}}, "otx.alienvault.com": {{hang: true}}}}
		env := s.env(t)
		go func() {
			synctest.Wait()
			cancel()
		}()
		req := request(t, "example.org", `{"sources":["crtsh","otx"],"resolve":true}`)
		v, err := New().Run(ctx, env, req)
		if err != nil || v.Outcome != engine.Partial || states(v)["otx"] != engine.SourceSkipped {
			t.Errorf("%+v, %v", v, err)
		}
		if got := parse(t, s.artifact.Bytes(), req); !cmp.Equal(got.names(), []string{"a.example.org"}) {
			t.Errorf("kept %v", got.names())
		}
	})
}

func TestNamesAreVerifiedByTheDNS(t *testing.T) {
	pages := map[string][]page{"crt.sh": {{body: `[{"name_value":"www.example.org\ngone.example.org"}]`}}}
	options := `{"sources":["crtsh"],"resolve":true}`
	for _, c := range []struct {
		name    string
		zone    map[string]string
		deaf    bool
		outcome engine.Outcome
		want    string // of www
	}{
		{"a name that resolves", map[string]string{"www.example.org": "192.0.2.10"}, false, engine.Complete, "Addresses: 192.0.2.10"},
		{"a name that doesn't", map[string]string{}, false, engine.Complete, "the DNS knows no address"},
		{"a domain that answers for any name", map[string]string{"*": "192.0.2.99"}, false, engine.Complete, "answers for any name"},
		{"no resolver", nil, true, engine.Partial, "no DNS resolver answered"},
	} {
		s := &stage{pages: map[string][]page{"crt.sh": pages["crt.sh"]}, zone: c.zone, deaf: c.deaf}
		req := request(t, "example.org", options)
		v, err := New().Run(t.Context(), s.env(t), req)
		if err != nil || v.Outcome != c.outcome {
			t.Errorf("%s: %+v, %v", c.name, v, err)
		}
		got := parse(t, s.artifact.Bytes(), req)
		if len(got.Findings) != 2 || !strings.Contains(got.Findings[1].Evidence, c.want) {
			t.Errorf("%s: %+v", c.name, got.Findings)
		}
		if !slices.IsSorted(s.percents) {
			t.Errorf("%s: progress %v", c.name, s.percents)
		}
	}
}

func TestTheOriginalProgramIsHeard(t *testing.T) {
	s := &stage{stdout: recorded(t, "found.stdout.txt"), stderr: recorded(t, "found.stderr.txt"), file: recorded(t, "found.txt") + "unheard.example.com\n"}
	req := request(t, "example.com", `{"backend":"sublist3r","programSources":["crtsh","passivedns","threatcrowd"]}`)
	v, err := New().Run(t.Context(), s.env(t), req)
	if err != nil || v.Outcome != engine.Complete || v.Version == builtinVersion {
		t.Fatalf("%+v, %v", v, err)
	}
	want := []engine.SourceLook{
		{Source: "crtsh", State: engine.SourceAnswered, Found: 4},
		{Source: "passivedns", State: engine.SourceAnswered, Found: 3},
		{Source: "threatcrowd", State: engine.SourceAnswered, Found: 2},
	}
	if diff := cmp.Diff(want, v.Looked.Sources); diff != "" {
		t.Error(diff)
	}
	names := []string{"api.example.com", "dev.example.com", "old.example.com", "staging.example.com", "unheard.example.com", "vpn.example.com", "www.example.com"}
	if diff := cmp.Diff(names, parse(t, s.artifact.Bytes(), req).names()); diff != "" {
		t.Error(diff)
	}
	p := s.starts[0]
	if diff := cmp.Diff(strings.Fields("-n -v -d example.com -e ssl,passivedns,threatcrowd -o names.txt"), p.Args); diff != "" {
		t.Error(diff)
	}
	if p.Network != engine.NetworkProxy || !slices.Contains(p.Env, "https_proxy=http://127.0.0.1:9") || p.First != engine.Terminate || len(s.asked) != 0 {
		t.Errorf("%+v asked %v", p, s.asked)
	}
}

func TestTheOriginalProgramsSilenceIsNoAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		stage  *stage
		domain string
		want   engine.Outcome
	}{
		{"no network", &stage{stdout: recorded(t, "no-network.stdout.txt"), stderr: recorded(t, "no-network.stderr.txt")}, "example.com", engine.Failed},
		{"cancelled", &stage{stdout: "SSL Certificates: a.example.com\n", exit: engine.Exit{Code: -1, Signaled: true, Canceled: true}}, "example.com", engine.Partial},
		{"an international name", &stage{}, "xn--bcher-kva.example", engine.Failed},
		{"crt.sh unreachable", &stage{stdout: "HTTPSConnectionPool(host='crt.sh', port=443): Max retries exceeded\n"}, "example.com", engine.NothingReachable},
		{"output too large", &stage{stdout: "SSL Certificates: a.example.com\n", cut: true}, "example.com", engine.Partial},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if c.stage.exit.Canceled {
			cancel()
		}
		v, err := New().Run(ctx, c.stage.env(t), request(t, c.domain, `{"backend":"sublist3r"}`))
		cancel()
		if err != nil || v.Outcome != c.want || len(v.Reasons) == 0 {
			t.Errorf("%s: %+v, %v; want %s", c.name, v, err, c.want)
		}
	}
	s := &stage{err: fault.New(fault.Unavailable, fault.CodeEngine, "no such program")}
	_, err := New().Run(t.Context(), s.env(t), request(t, "example.com", `{"backend":"sublist3r"}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("a missing program: %v", err)
	}
}

// TestRunsAreRecordedAsTheCasesSay ties the parser's cases to what Run writes. Sources answer in any order.
func TestRunsAreRecordedAsTheCasesSay(t *testing.T) {
	many := internet()
	many["api.hackertarget.com"] = []page{{status: 429}}
	for name, c := range map[string]struct {
		stage           *stage
		domain, options string
	}{
		"none": {&stage{pages: map[string][]page{"crt.sh": {{body: `[]`}}}}, "example.org", `{"sources":["crtsh"]}`},
		"one":  {&stage{pages: map[string][]page{"crt.sh": {{body: `[{"name_value":"www.example.org"}]`}}}}, "example.org", `{"sources":["crtsh"]}`},
		"many": {&stage{pages: many, zone: map[string]string{"www.example.org": "192.0.2.10", "mail.example.org": "192.0.2.11"}}, "example.org", `{"resolve":true}`},
		"program": {
			&stage{stdout: recorded(t, "found.stdout.txt"), stderr: recorded(t, "found.stderr.txt"), file: recorded(t, "found.txt")}, "example.com",
			`{"backend":"sublist3r","programSources":["crtsh","passivedns","threatcrowd"]}`,
		},
	} {
		if _, err := New().Run(t.Context(), c.stage.env(t), request(t, c.domain, c.options)); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(c.stage.artifact.String(), "\n"), "\n")
		slices.Sort(lines[1:])
		got := strings.Join(lines, "\n") + "\n"
		file := filepath.Join("testdata", name, "raw.jsonl")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestTheBuiltInBackendIsAlwaysThere(t *testing.T) {
	c, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	if a := c.Check(t.Context(), engine.Env{}); !a.Available || a.Version != builtinVersion {
		t.Errorf("%+v", a)
	}
}
