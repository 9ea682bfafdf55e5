package targets_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
	"assay.dev/assay/internal/word/secret"
)

var (
	binary  = flag.String("assay", "", "measure detection with this binary")
	outcome = flag.String("detection", "", "also write the table as JSON to this file")
	only    = flag.String("engines", "", "measure these engines only, separated by commas")
)

// patience bounds one scan.
const patience = 25 * time.Minute

// line is one scan's score.
type line struct {
	Target  string   `json:"target"`
	Planted int      `json:"planted"`
	Engine  string   `json:"engine"`
	Version string   `json:"version"`
	Outcome string   `json:"outcome"`
	Reasons []string `json:"reasons"`
	Seconds int      `json:"seconds"`
	targets.Score
}

// TestDetection measures what the engines of a built server find on the weak targets, through the API. It judges nothing:
// it prints a table. make bench-detect runs it.
func TestDetection(t *testing.T) {
	if *binary == "" {
		t.Skip("SKIPPED: make bench-detect measures detection; it takes minutes and the engines that are installed")
	}
	c := server(t)
	engines, err := c.Engines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for _, target := range []targets.Target{targets.Web(t), targets.Banners(t), targets.ExpiredTLS(t)} {
		for _, e := range engines {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), e.ID) {
				continue
			}
			o, ok := orderOf(e, target)
			if !ok {
				continue
			}
			l := measure(t, c, o, target)
			l.Version = e.Version
			lines = append(lines, l)
			t.Logf("%s on %s: %d of %d, %s", l.Engine, l.Target, len(l.Found), l.Planted, l.Outcome)
		}
	}
	if err := table(lines); err != nil {
		t.Fatal(err)
	}
	if *outcome != "" {
		b, err := json.MarshalIndent(lines, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*outcome, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// orderOf says how an engine is asked about a target; ok is false where it can't be.
func orderOf(e client.Engine, target targets.Target) (o client.Order, ok bool) {
	o = client.Order{ScanType: e.ID, Options: map[string]json.RawMessage{}, Timeout: int(patience.Seconds())}
	if !e.Available {
		return o, false
	}
	set := func(name string, value any) {
		if _, has := e.Options.Properties[name]; has {
			b, err := json.Marshal(value)
			ok = ok && err == nil
			o.Options[name] = b
		}
	}
	switch ok = true; {
	case target.URL != "" && slices.Contains(e.TargetTypes, "url"):
		o.Target, o.TargetType = target.URL, "url"
	case slices.Contains(e.TargetTypes, "ip"):
		o.Target, o.TargetType = "127.0.0.1", "ip"
	default:
		return o, false
	}
	var ports []string
	for _, p := range target.Ports {
		ports = append(ports, strconv.Itoa(p))
	}
	if o.TargetType == "ip" {
		set("ports", strings.Join(ports, ","))
	}
	if e.ID == "nmap" {
		set("scriptSet", []string{"tls", "web", "remote", "data"})
		set("versionIntensity", 5)
	}
	if e.ID == "sentinel" {
		set("depth", "standard")
	}
	return o, ok
}

// measure runs one scan to its end.
func measure(t *testing.T, c *client.Client, o client.Order, target targets.Target) line {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Minute)
	defer cancel()
	s, err := c.Submit(ctx, o, "")
	if err != nil {
		return line{Target: target.Name, Engine: o.ScanType, Outcome: "refused", Reasons: []string{err.Error()}}
	}
	for !s.Terminal() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s doesn't end: %+v", o.ScanType, s)
		case <-time.After(500 * time.Millisecond):
		}
		if s, err = c.Scan(ctx, s.ID); err != nil {
			t.Fatal(err)
		}
	}
	l := line{Target: target.Name, Engine: o.ScanType, Outcome: cmp.Or(s.Outcome, s.Status), Reasons: s.OutcomeReasons}
	if s.StartedAt != nil && s.CompletedAt != nil {
		l.Seconds = int(s.CompletedAt.Sub(*s.StartedAt).Seconds())
	}
	l.Score = targets.Judge(target.Flaws, seen(ctx, t, c, s.ID))
	for _, f := range target.Flaws {
		if f.Depends == "" {
			l.Planted++
		}
	}
	return l
}

// seen reads all findings of a scan.
func seen(ctx context.Context, t *testing.T, c *client.Client, id string) []finding.Observation {
	t.Helper()
	var out []finding.Observation
	for cursor := ""; ; {
		page, err := c.Results(ctx, id, cursor, 100)
		if err != nil {
			t.Logf("results of %s: %v", id, err)
			return out
		}
		for _, f := range page.Findings {
			o := finding.Observation{
				Rule: f.Rule, Discern: discerned(f.Title), Severity: finding.Severity(f.Severity), CVE: f.CVE,
				Location: finding.Location{Host: f.Location.Host, Port: f.Location.Port, URL: f.Location.URL, Method: f.Location.Method, Parameter: f.Location.Parameter},
			}
			for _, text := range f.CWE {
				if n, err := strconv.Atoi(strings.TrimPrefix(text, "CWE-")); err == nil {
					o.CWE = append(o.CWE, n)
				}
			}
			out = append(out, o)
		}
		if cursor = page.Pagination.NextCursor; cursor == "" {
			return out
		}
	}
}

// discerned returns what a finding discerns (a header, a cookie, a protocol), which results show in its title only: behind
// the last colon where there is one.
func discerned(title string) string {
	if i := strings.LastIndex(title, ": "); i >= 0 {
		return title[i+2:]
	}
	return title
}

// server starts the binary on data of its own and returns a client of it.
func server(t *testing.T) *client.Client {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	var out bytes.Buffer
	made := exec.CommandContext(t.Context(), *binary, "init", "--data", data, "--json")
	made.Stdout, made.Stderr = &out, t.Output()
	if err := made.Run(); err != nil {
		t.Fatal(err)
	}
	var keys struct {
		APIKey string `json:"apiKey"`
	}
	if err := json.Unmarshal(out.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	logs, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(*binary, "serve", "--data", data, "--listen", addr)
	serve.Stdout, serve.Stderr = logs, logs
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait() // how it ended matters to nobody here
		_ = logs.Close()
	})
	c, err := client.New("http://"+addr, secret.New(keys.APIKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err = c.Engines(ctx); err == nil {
			return c
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(logs.Name())
			t.Fatalf("the server doesn't answer: %v\n%s", err, text)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// table prints the scores as Markdown.
func table(lines []line) error {
	var b strings.Builder
	b.WriteString("\n| target | engine | found | missed | twice | false | seconds | outcome |\n|---|---|---|---|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s | %s %s | %d of %d | %s | %s | %s | %d | %s |\n", l.Target, l.Engine, l.Version, len(l.Found), l.Planted,
			list(l.Missed), list(l.Twice), list(l.False), l.Seconds, l.Outcome)
	}
	_, err := os.Stdout.WriteString(b.String())
	return err
}

func list(texts []string) string {
	if len(texts) == 0 {
		return "–"
	}
	return strings.Join(texts, ", ")
}
