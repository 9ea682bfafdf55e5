package nmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request is an order for the targets, with the options given as JSON.
func request(tb testing.TB, target, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(manifest(), raw, engine.Capabilities{engine.NetRaw})
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

// result is what a golden file holds.
type result struct {
	Findings []finding.Observation
	Assets   []asset.Observation
	Coverage finding.Coverage
}

func parse(tb testing.TB, raw []byte, req engine.Request) result {
	tb.Helper()
	var out result
	cover, err := New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		if i.Finding != nil {
			out.Findings = append(out.Findings, *i.Finding)
		} else {
			out.Assets = append(out.Assets, *i.Asset)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	out.Coverage = cover
	return out
}

func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/raw.xml")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			target := "127.0.0.0/30"
			if strings.Contains(dir, "ipv6") {
				target = "::1"
			}
			var got any = parse(t, raw, request(t, target, `{"scriptSet":["tls","web","remote","windows","data"]}`))
			b, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "golden.json")
			if *update {
				if err := os.WriteFile(golden, append(b, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(b)); diff != "" {
				t.Errorf("-want +got, -update writes it anew:\n%s", diff)
			}
		})
	}
}

func TestNoFindingOutOfChatter(t *testing.T) {
	raw, err := os.ReadFile("testdata/vuln-scripts/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parse(t, raw, request(t, "127.0.0.1", `{}`)).Findings {
		if strings.Contains(f.Rule, "xss") || strings.Contains(f.Rule, "csrf") || strings.Contains(f.Evidence, "Couldn't find") {
			t.Errorf("script output that proves nothing became %s", f.Rule)
		}
	}
}

func TestGuessedServicesAreNoEvidence(t *testing.T) {
	raw, err := os.ReadFile("testdata/ports/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, raw, request(t, "127.0.0.1", `{"serviceDetection":false}`))
	if len(got.Findings) != 13 {
		t.Errorf("%d findings, want 13 open ports", len(got.Findings))
	}
	for _, f := range got.Findings {
		if f.Rule != rulePort || f.Severity != finding.Info {
			t.Errorf("unexpected %s (%s)", f.Rule, f.Severity)
		}
	}
	closed := finding.Location{Host: "127.0.0.1", Port: 9399, Protocol: "tcp"}
	if !got.Coverage.Covers(rulePort, closed) || got.Coverage.Covers(ruleService, closed) {
		t.Errorf("coverage = %+v", got.Coverage)
	}
}

func TestCoverageFollowsWhatWasLookedAt(t *testing.T) {
	raw, err := os.ReadFile("testdata/services-progress/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, raw, request(t, "127.0.0.1", `{"scriptSet":["web"]}`)).Coverage
	at := func(port int) finding.Location {
		return finding.Location{Host: "127.0.0.1", Port: port, Protocol: "tcp"}
	}
	for _, x := range []struct {
		rule string
		port int
		want bool
	}{
		{rulePort, 9399, true},
		{rulePort, 9305, true},
		{rulePort, 9999, false},
		{ruleService, 9399, true},
		{ruleService, 8081, true},
		{ruleService, 9305, false}, // open, but it never said what it is
		{"nmap:http-git", 8081, true},
		{"nmap:http-git", 9305, false},
		{"nmap:ssl-cert-expired", 8443, false},
	} {
		if got := c.Covers(x.rule, at(x.port)); got != x.want {
			t.Errorf("%s at %d covered: %v, want %v", x.rule, x.port, got, x.want)
		}
	}
	for _, name := range []string{"host-timeout", "cancel-sigint", "error-unresolved", "error-badport"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name, "raw.xml"))
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, raw, request(t, "127.0.0.1", `{}`)); len(got.Coverage.Places) > 0 || len(got.Findings) > 0 || len(got.Assets) > 0 {
			t.Errorf("%s: %+v, want nothing", name, got)
		}
	}
}

func TestNamesKeepTheirNameAndAreCoveredAsAWhole(t *testing.T) {
	raw, err := os.ReadFile("testdata/two-hosts/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "www.example.org", `{}`)
	req.Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
	got := parse(t, raw, req)
	for _, f := range got.Findings {
		if f.Location.Host != "www.example.org" || !strings.Contains(f.Evidence, "127.0.0.1") {
			t.Errorf("%+v", f)
		}
	}
	if !got.Coverage.Covers(rulePort, finding.Location{Host: "www.example.org", Port: 8081}) {
		t.Error("a name whose addresses all answered is not covered")
	}
	req.Addrs = append(req.Addrs, netip.MustParseAddr("127.0.0.3"))
	if got := parse(t, raw, req); len(got.Coverage.Places) != 0 {
		t.Error("a name is covered although one of its addresses wasn't looked at")
	}
}

func TestForeignHostsArePassedOver(t *testing.T) {
	raw, err := os.ReadFile("testdata/two-hosts/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, raw, request(t, "127.0.0.2", `{}`))
	if len(got.Findings) != 0 || len(got.Coverage.Places) == 0 || got.Coverage.Places[0].Host != "127.0.0.2" {
		t.Errorf("%+v", got)
	}
}

func TestCutOffDocumentKeepsCompleteHosts(t *testing.T) {
	raw, err := os.ReadFile("testdata/two-hosts/raw.xml")
	if err != nil {
		t.Fatal(err)
	}
	cut := raw[:bytes.Index(raw, []byte(`<address addr="127.0.0.2"`))]
	got := parse(t, cut, request(t, "127.0.0.0/30", `{}`))
	hosts := map[string]bool{}
	for _, p := range got.Coverage.Places {
		hosts[p.Host] = true
	}
	if len(got.Findings) != 2 || !hosts["127.0.0.1"] || hosts["127.0.0.2"] {
		t.Errorf("%+v", got)
	}
	// A second document after a cut-off one, as a target with two address families has it.
	got = parse(t, append(slices.Clone(cut), raw...), request(t, "127.0.0.0/30", `{}`))
	if n := len(got.Coverage.Places); n != 4 || len(got.Findings) != 2 {
		t.Errorf("%d places and %d findings after the second document, want 4 and 2: each host once", n, len(got.Findings))
	}
}

const vulnDocument = `<nmaprun version="7.93"><scaninfo type="connect" protocol="tcp" services="443"/><host endtime="1">
<status state="up" reason="syn-ack"/><address addr="192.0.2.7" addrtype="ipv4"/><ports><port protocol="tcp" portid="443"><state state="open"/>
<service name="http" tunnel="ssl" product="a\xff\xfe&#x202e;b" method="probed" conf="10"/>
<script id="ssl-heartbleed" output="VULNERABLE"><table key="NMAP-1"><elem key="title">The Heartbleed Bug</elem><elem key="state">VULNERABLE</elem>
<table key="ids"><elem>CVE:CVE-2014-0160</elem><elem>BID:1</elem></table><table key="description"><elem>reads memory</elem></table>
<table key="refs"><elem>https://example.org/x</elem><elem>javascript:alert(1)</elem></table></table></script>
<script id="http-vuln-x" output="x"><table key="NMAP-7"><elem key="title">Some weakness</elem><elem key="state">LIKELY VULNERABLE</elem>
<table key="scores"><elem key="CVSSv2">9.3 (HIGH)</elem></table></table>
<table key="CVE-2000-0001"><elem key="title">Other</elem><elem key="state">NOT VULNERABLE</elem></table></script>
<script id="http-vuln-y" output="x"><table key="CVE-2001-1234"><elem key="title">Unrated</elem><elem key="state">VULNERABLE (Exploitable)</elem></table></script>
</port></ports></host></nmaprun>`

func TestVulnsLibrary(t *testing.T) {
	got := parse(t, []byte(vulnDocument), request(t, "192.0.2.7", `{}`))
	var lines []string
	for _, f := range got.Findings {
		lines = append(lines, strings.Join([]string{f.Rule, f.Discern, string(f.Severity), string(f.Confidence), strings.Join(f.CVE, " "), strings.Join(f.References, " ")}, "|"))
	}
	want := []string{
		"nmap:open-port||info|certain||",
		"nmap:service||info|firm||",
		"nmap:ssl-heartbleed|CVE-2014-0160|high|firm|CVE-2014-0160|https://example.org/x",
		"nmap:http-vuln-x|Some weakness|high|tentative||",
		"nmap:http-vuln-y|CVE-2001-1234|info|firm|CVE-2001-1234|",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if title := got.Findings[1].Title; title != "Service http over ssl: a?b" {
		t.Errorf("title = %q", title)
	}
}

func TestHostileDocumentsAreBounded(t *testing.T) {
	deep := "<nmaprun>" + strings.Repeat("<a>", 1_000_000)
	for name, doc := range map[string]string{
		"entities": `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b"><!ENTITY c SYSTEM "file:///etc/passwd">]><nmaprun><host>&c;</host></nmaprun>`,
		"deep":     deep,
		"comment":  "<nmaprun><!--" + strings.Repeat("<x ", 3_000_000),
		"attr":     `<nmaprun version="` + strings.Repeat("a", 10<<20),
		"text":     "<nmaprun>" + strings.Repeat("a", 10<<20),
		"dtd":      "<!DOCTYPE " + strings.Repeat("<", 10<<20),
		"charset":  `<?xml version="1.0" encoding="UTF-16"?><nmaprun/>`,
	} {
		if got := parse(t, []byte(doc), request(t, "127.0.0.1", `{}`)); len(got.Findings)+len(got.Assets)+len(got.Coverage.Places) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// One bad byte in a banner hides nothing.
	bad := strings.Replace(vulnDocument, "reads memory", "reads\xff\x00memory", 1)
	if got := parse(t, []byte(bad), request(t, "192.0.2.7", `{}`)); len(got.Findings) != 5 {
		t.Errorf("%d findings with a bad byte, want 5", len(got.Findings))
	}
	// A host that says too much is told as far as it is kept, and isn't covered.
	var big strings.Builder
	big.WriteString(strings.Replace(vulnDocument[:strings.Index(vulnDocument, "<script")], "<port ", "<port ", 1))
	for range 4000 {
		big.WriteString(`<script id="x" output="` + strings.Repeat("a", 16<<10) + `"/>`)
	}
	big.WriteString("</port></ports></host></nmaprun>")
	if got := parse(t, []byte(big.String()), request(t, "192.0.2.7", `{}`)); len(got.Coverage.Places) != 0 {
		t.Error("a host that was cut is covered")
	}
}

func TestParseStopsWithYieldsError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	_, err := New().Parse(strings.NewReader(vulnDocument), request(t, "192.0.2.7", `{}`), func(engine.Item) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/raw.xml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(vulnDocument))
	req := request(f, "127.0.0.0/30", `{"scriptSet":["tls","web"]}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, second := parse(t, raw, req), parse(t, raw, req)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same raw output reads differently:\n%s", diff)
		}
		for _, o := range first.Findings {
			if len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence || o.Title == "" || o.Location.Host == "" {
				t.Errorf("out of bounds: %+v", o)
			}
		}
		for _, a := range first.Assets {
			if !json.Valid(a.Attributes) || len(a.Attributes) > asset.MaxAttributes {
				t.Errorf("attributes of %s are malformed or too long", a.Name)
			}
		}
	})
}
