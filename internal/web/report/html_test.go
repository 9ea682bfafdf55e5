package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/uid"
)

func scanDocument() report.ScanDocument {
	s := done()
	s.ID, s.Name, s.TargetType = "01900000-0000-7000-8000-0000000000aa", "Nightly look at the shop", "host"
	s.Target, s.EndedAt, s.CreatedAt = "shop.example.org", s.StartedAt.Add(131*time.Second), s.StartedAt.Add(-4*time.Second)
	s.Reasons = []string{"port 8443 didn't answer in time and was given up"}
	s.Options = json.RawMessage(`{"ports":"1-1024,8443","timing":"T3","serviceDetection":true}`)
	s.Tags = []string{"shop", "nightly"}
	s.Summary = finding.Summary{Total: 4, Critical: 1, High: 1, Medium: 1, Info: 1}
	return report.ScanDocument{
		Scan: s, Version: "1.0.0", Now: s.EndedAt.Add(time.Hour),
		Assets:    []asset.Observation{{Kind: asset.KindHost, Name: "shop.example.org"}, {Kind: asset.KindService, Name: "shop.example.org:443/tcp"}},
		Artifacts: []scan.Artifact{{Name: "nmap.xml", MediaType: "application/xml", Size: 48213, SHA256: strings.Repeat("0a", 32), Truncated: true}},
	}
}

func sample() []scan.Result {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	made := func(n int, o finding.Observation) scan.Result {
		return scan.Result{
			Finding: finding.Finding{
				Observation: o, ID: uid.Finding("01900000-0000-7000-8000-00000000000" + uidDigit(n)), Engine: "nmap", Status: finding.Open,
				Fingerprint: "w1:" + strings.Repeat("ab", 8), FirstSeenAt: at.AddDate(0, -2, 0), LastSeenAt: at, Engines: []string{"nmap", "sentinel"},
			},
			Occurrence: "o1:" + strings.Repeat("cd", 7) + "0" + uidDigit(n), Ordinal: n,
		}
	}
	critical := made(1, finding.Observation{
		Rule: "nmap:http-vuln-cve2021-41773", Title: "Path traversal in Apache HTTP Server 2.4.49", Severity: finding.Critical,
		Description: "Files outside the document root can be read, and programs run where CGI is on.", Confidence: finding.Certain,
		Category: finding.CategoryVulnerability, CVE: []string{"CVE-2021-41773"}, CWE: []int{22},
		CVSS:     &finding.CVSS{Version: "3.1", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8},
		Location: finding.Location{Host: "shop.example.org", Port: 8443, Protocol: "tcp"},
		Evidence: "GET /cgi-bin/.%2e/.%2e/etc/passwd HTTP/1.1\n\nHTTP/1.1 200 OK\nroot:x:0:0:root:/root:/bin/bash", Remediation: "Update to 2.4.51 or later.",
		References: []string{"https://nvd.nist.gov/vuln/detail/CVE-2021-41773", "https://httpd.apache.org/security/vulnerabilities_24.html"},
	})
	high := made(2, finding.Observation{
		Rule: "nmap:ssl-cert-expired", Title: "The certificate has expired", Severity: finding.High, Confidence: finding.Firm, Category: finding.CategoryTLS,
		Location: finding.Location{Host: "shop.example.org", Port: 443, Protocol: "tcp"}, Evidence: "Not after: 2026-10-01T00:00:00Z", Remediation: "Renew it.",
	})
	medium := made(3, finding.Observation{
		Rule: "sentinel:http.cookie-secure", Title: "Cookie “sid” may travel in clear text", Severity: finding.Medium, Confidence: finding.Certain, Category: finding.CategoryConfig,
		CWE: []int{614}, Location: finding.Location{URL: "https://shop.example.org/login", Method: "GET", Parameter: "sid"},
	})
	medium.Status = finding.Accepted
	info := made(4, finding.Observation{
		Rule: "nmap:open-port", Title: "Port 22/tcp is open: OpenSSH 9.9", Severity: finding.Info, Confidence: finding.Certain, Category: finding.CategoryService,
		Location: finding.Location{Host: "2001:db8::1", Port: 22, Protocol: "tcp"},
	})
	return []scan.Result{critical, high, medium, info}
}

func uidDigit(n int) string { return string(rune('0' + n)) }

func TestAScanReportIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := report.HTML(&b, scanDocument(), results(sample()...)); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "scan.html", b.Bytes())
	whole(t, b.String())
	for _, want := range []string{
		"nmap 7.93 found 4 things, the worst of them of severity critical. Partial: something was not looked at.",
		"port 8443 didn&#39;t answer in time", "2 min 11 s", "Anything behind a sign-in", "Known exploited (KEV)</dt><dd>not known",
		`href="https://nvd.nist.gov/vuln/detail/CVE-2021-41773"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %s", want)
		}
	}
}

func TestTheVerdictSaysWhatSilenceIsWorth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  scan.Status
		outcome string
		want    string
	}{
		{scan.Completed, "complete", "Nothing was found."},
		{scan.Completed, "partial", "That isn&#39;t the same as nothing being wrong"},
		{scan.Completed, "nothing_reachable", "That is no sign that it is secure."},
		{scan.Completed, "blocked", "Silence proves nothing here."},
		{scan.Failed, "failed", "It didn&#39;t come to its end."},
		{scan.Cancelled, "complete", "Somebody stopped the scan."},
		{scan.Completed, "", "isn&#39;t known"},
	} {
		d := scanDocument()
		d.Scan.Status, d.Scan.Outcome, d.Scan.Summary = c.status, engineOutcome(c.outcome), finding.Summary{}
		var b bytes.Buffer
		if err := report.HTML(&b, d, results()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%s, %s: without %q", c.status, c.outcome, c.want)
		}
		if c.outcome != "complete" && strings.Contains(b.String(), "Nothing was found.") {
			t.Errorf("%s, %s: claims that nothing was found", c.status, c.outcome)
		}
	}
}

// whole checks what must hold of every document: one file that loads and runs nothing, with a policy that says so.
func whole(t interface {
	Helper()
	Errorf(string, ...any)
	Fatal(...any)
}, text string,
) {
	t.Helper()
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(text)
	if style == nil {
		t.Fatal("the document has no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if !strings.HasPrefix(report.HTMLPolicy(), policy) {
		t.Errorf("the policy isn't that of the style")
	}
	z := html.NewTokenizer(strings.NewReader(text))
	found := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) || !found {
				t.Errorf("the document isn't whole: %v", z.Err())
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			attrs := map[string]string{}
			for _, a := range tok.Attr {
				attrs[a.Key] = a.Val
			}
			found = found || attrs["http-equiv"] == "Content-Security-Policy" && attrs["content"] == policy
			tagIsHarmless(t, tok.Data, attrs)
		case html.TextToken, html.EndTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func tagIsHarmless(t interface {
	Helper()
	Errorf(string, ...any)
}, tag string, attrs map[string]string,
) {
	t.Helper()
	const tags = " html head meta title style body header main footer section article div p h1 h2 h3 h4 h5 ul li b span svg rect dl dt dd pre a table thead tbody tr th td br "
	if !strings.Contains(tags, " "+tag+" ") {
		t.Errorf("a tag %q came in", tag)
	}
	for name, value := range attrs {
		if strings.HasPrefix(name, "on") || name == "style" || name == "src" || name == "srcdoc" {
			t.Errorf("an attribute %s=%q came in", name, value)
		}
		if name == "href" && !strings.HasPrefix(value, "https://") && !strings.HasPrefix(value, "http://") {
			t.Errorf("a link leads to %q", value)
		}
	}
}

// hostileTexts are what a scanned thing may make an engine say.
func hostileTexts() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style><script>1</script>`, `</title><svg onload=1>`,
		`javascript:alert(1)`, `data:text/html,<script>1</script>`, `https://a"onmouseover="1`, "https://ok.example/\u202egpj.exe", `{{.Policy}}`,
		"\x00<b>\x1b[2J", "a\u202eb", "<!--", "]]>", `&lt;script&gt;`, "\xff\xfe", `' onfocus=1 autofocus='`, "vbscript:x", " javascript:x",
		"JaVaScRiPt:x", "http:javascript", "//evil.example/x", "https://user:pass@evil.example/", "\u2028alert",
	}
}

func TestWhatAScannedThingSaysStaysText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		said := func(name string) string {
			if rapid.Bool().Draw(t, name+" is known") {
				return rapid.SampledFrom(hostileTexts()).Draw(t, name)
			}
			return rapid.String().Draw(t, name)
		}
		d := scanDocument()
		d.Scan.Target, d.Scan.Name, d.Scan.Version, d.Scan.Tags = said("target"), said("name"), said("version"), []string{said("tag")}
		d.Scan.Reasons, d.Scan.Error = []string{said("reason")}, &scan.Error{Message: said("error")}
		options, err := json.Marshal(map[string]string{said("option"): said("value")})
		if err != nil {
			t.Fatal(err)
		}
		d.Scan.Options = options
		d.Artifacts[0].Name, d.Assets[0].Kind, d.Only = said("artifact"), asset.Kind(said("kind")), []string{said("only")}
		r := sample()[0]
		r.Title, r.Description, r.Evidence, r.Remediation, r.Rule = said("title"), said("description"), said("evidence"), said("remediation"), said("rule")
		r.References = []string{said("reference"), said("second reference")}
		r.CVE, r.Engines, r.Status, r.Severity = []string{said("cve")}, []string{said("engine")}, finding.Status(said("status")), finding.Severity(said("severity"))
		r.Category, r.Confidence = finding.Category(said("category")), finding.Confidence(said("confidence"))
		r.CVSS = &finding.CVSS{Version: said("cvss"), Vector: said("vector"), Score: 5}
		r.Location = finding.Location{Host: said("host"), URL: said("url"), Method: said("method"), Parameter: said("parameter"), Package: said("package"), Image: said("image")}
		var b bytes.Buffer
		if err := report.HTML(&b, d, results(r)); err != nil {
			t.Fatal(err)
		}
		whole(t, b.String())
		for _, hidden := range []string{"\u202e", "\x00", "\x1b", "\u2028", "\xff"} {
			if strings.Contains(b.String(), hidden) {
				t.Fatalf("%q is in the document", hidden)
			}
		}
	})
}

func TestALongReportShowsTheWorstAndSaysSo(t *testing.T) {
	t.Parallel()
	r := sample()[1]
	asked := 0
	each := func(f func(scan.Result) error) error {
		for range 100_000 {
			asked++
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
	d := scanDocument()
	d.Scan.Summary = finding.Summary{Total: 100_000, High: 100_000}
	var b bytes.Buffer
	if err := report.HTML(&b, d, each); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<article"); n != report.MaxShown || asked != report.MaxShown+1 {
		t.Errorf("%d shown of %d read", n, asked)
	}
	if !strings.Contains(b.String(), "This document shows the first 5,000 of 100,000 findings") {
		t.Error("it doesn't say that there are more")
	}
}

func TestAReportThatCannotBeWrittenStops(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if err := report.HTML(io.Discard, scanDocument(), func(func(scan.Result) error) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	asked := 0
	each := func(f func(scan.Result) error) error {
		for range 10_000 {
			asked++
			if err := f(sample()[0]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := report.HTML(fails{broken}, scanDocument(), each); !errors.Is(err, broken) || asked > 200 {
		t.Errorf("%v after %d findings", err, asked)
	}
}

type fails struct{ err error }

func (f fails) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkHTML(b *testing.B) {
	r := sample()[0]
	each := func(f func(scan.Result) error) error {
		for range 1000 {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
	b.ReportAllocs()
	for b.Loop() {
		var n counter
		if err := report.HTML(&n, scanDocument(), each); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(n))
	}
}

func ExampleCell() {
	fmt.Println(report.Cell("=cmd|' /C calc'!A0"))
	// Output: '=cmd|' /C calc'!A0
}

func engineOutcome(s string) engine.Outcome { return engine.Outcome(s) }
