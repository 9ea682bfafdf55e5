package sublist3r

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// page is what a played source answers.
type page struct {
	status int // 0 = 200
	body   string
	err    error // no answer at all
	hang   bool  // until the request's context ends
}

// stage is an Env whose third parties, program and DNS are played.
type stage struct {
	pages  map[string][]page // by host, one a request; the last one is repeated
	zone   map[string]string // names and their IPv4 address; "*" = any
	deaf   bool              // no resolver answers
	stdout string
	stderr string
	file   string // the program's list
	exit   engine.Exit
	err    error
	cut    bool

	mu       sync.Mutex
	asked    []string
	starts   []engine.Process
	percents []int
	artifact bytes.Buffer
	files    folder
}

func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.String())
	p := page{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	if left := s.pages[r.URL.Host]; len(left) > 0 {
		p = left[0]
		if len(left) > 1 {
			s.pages[r.URL.Host] = left[1:]
		}
	}
	s.mu.Unlock()
	if p.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	return &http.Response{StatusCode: max(p.status, 200*b2i(p.status == 0)), Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *stage) exchange(_ context.Context, query []byte) ([]byte, error) {
	if s.deaf {
		return nil, errors.New("no answer")
	}
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		return nil, err
	}
	m := new(dns.Msg).SetReply(&q)
	name := strings.TrimSuffix(q.Question[0].Name, ".")
	ip, ok := s.zone[name]
	if !ok {
		ip, ok = s.zone["*"]
	}
	switch {
	case !ok:
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(ip)}}
	}
	return m.Pack()
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if s.err != nil {
		return engine.Exit{Code: -1}, s.err
	}
	for half := range slices.Chunk([]byte(s.stdout), 100) { // lines come in pieces
		if _, err := p.Stdout.Write(half); err != nil {
			return engine.Exit{}, err
		}
	}
	if _, err := io.WriteString(p.Stderr, s.stderr); err != nil {
		return engine.Exit{}, err
	}
	if s.file != "" {
		if err := s.files.Write(namesFile, []byte(s.file)); err != nil {
			return engine.Exit{}, err
		}
	}
	return s.exit, nil
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.artifact.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

func (s *stage) env(tb testing.TB) engine.Env {
	tb.Helper()
	dir := tb.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = root.Close() })
	s.files = folder{root}
	return engine.Env{
		Proc: s, Web: s, DNS: s.exchange, Files: s.files, Work: dir, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(0, 0) },
		Proxy: func(context.Context) (string, error) { return "127.0.0.1:9", nil },
		Progress: func(percent int, _ string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.percents = append(s.percents, percent)
		},
		Artifact: func(string, string) (engine.Artifact, error) { return s, nil },
	}
}

// folder is the scratch folder.
type folder struct{ root *os.Root }

// Write implements engine.Files.
func (f folder) Write(name string, content []byte) error {
	if err := f.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return f.root.WriteFile(name, content, 0o600)
}

// Open implements engine.Files.
func (f folder) Open(name string) (fs.File, error) { return f.root.Open(name) }

// request is an order for the domain, with the options given as JSON.
func request(tb testing.TB, domain, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(domain, asset.TypeDomain)
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "0190a0a0-0000-7000-8000-000000000001", Target: at, Options: o}
}

// told is what a parse yields.
type told struct {
	Findings []finding.Observation
	Assets   []asset.Observation
}

func parse(tb testing.TB, raw []byte, req engine.Request) told {
	tb.Helper()
	var out told
	cover, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		if i.Finding != nil {
			out.Findings = append(out.Findings, *i.Finding)
		} else {
			out.Assets = append(out.Assets, *i.Asset)
		}
		return nil
	})
	if err != nil || len(cover.Places) != 0 {
		tb.Fatal(cover, err)
	}
	return out
}

func (t told) names() []string {
	var out []string
	for _, a := range t.Assets {
		out = append(out, a.Name)
	}
	return out
}

func recorded(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "program", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// internet is six sources with overlapping, dirty knowledge of example.org.
func internet() map[string][]page {
	return map[string][]page{
		"crt.sh": {{body: `[{"issuer_ca_id":1,"common_name":"www.example.org","name_value":"www.example.org\n*.staging.example.org\nhostmaster@example.org"},
			{"common_name":"Dev.Example.ORG.","name_value":"dev.example.org"},{"common_name":"evil.example.net","name_value":"notexample.org"}]`}},
		"api.certspotter.com": {
			{body: `[{"id":"1","dns_names":["api.example.org","www.example.org"]},{"id":"2","dns_names":["old.example.org"]}]`},
			{body: `[{"id":"3","dns_names":["third.example.org"]}]`},
			{body: `[]`},
		},
		"api.hackertarget.com":  {{body: "www.example.org,192.0.2.10\nmail.example.org,192.0.2.11\n"}},
		"otx.alienvault.com":    {{body: `{"count":2,"passive_dns":[{"hostname":"admin.example.org","address":"192.0.2.17","record_type":"A"},{"hostname":"mail.example.org"}]}`}},
		"anubisdb.com":          {{status: 300, body: `[]`}},
		"api.subdomain.center":  {{body: `["git.example.org","a b.example.org","-x.example.org"]`}},
		"www.threatcrowd.org":   {{err: io.ErrUnexpectedEOF}},
		"api.sublist3r.com:443": {{err: io.ErrUnexpectedEOF}},
	}
}
