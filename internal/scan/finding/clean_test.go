package finding_test

import (
	"math"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/finding"
)

func TestCleanNormalisesWhatEnginesWrite(t *testing.T) {
	t.Parallel()
	got := finding.Clean(finding.Observation{
		Rule: " nmap:open port\x00 ", Title: "Open\r\n\tport \u202e80", Description: "line one\r\nline\x07 two", Severity: "HIGH", Confidence: "maybe",
		Category: "odd", CVE: []string{"cve-2024-00012", "CVE-2021-44228", "cve-2021-44228", "CVE-X", "CVE-2021-1"}, CWE: []int{89, -1, 79, 89, 0},
		CVSS: &finding.CVSS{Version: "3.1", Vector: "AV:N", Score: 9.849},
		Location: finding.Location{
			Host: "WWW.Example.ORG.", Protocol: "TCP", Port: 80, Method: "get", File: `a\b/../c`, Line: -3,
			URL: "http://user:pw@WWW.Example.ORG/a?token=abcdef&b=c#frag",
		},
		References: []string{"https://example.org/a", "javascript:alert(1)", "https://example.org/a", "http://u:p@example.org/", "ftp://example.org/x"},
	})
	want := finding.Observation{
		Rule: "nmap:open port", Title: "Open port 80", Description: "line one\nline two", Severity: finding.High, Confidence: finding.Tentative,
		Category: finding.CategoryVulnerability, CVE: []string{"CVE-2021-44228", "CVE-2024-00012"}, CWE: []int{79, 89},
		CVSS: &finding.CVSS{Version: "3.1", Vector: "AV:N", Score: 9.8},
		Location: finding.Location{
			Host: "www.example.org", Protocol: "tcp", Port: 80, Method: "GET", File: "a/c", URL: "http://www.example.org/a?token=[masked]&b=c",
		},
		References: []string{"https://example.org/a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cleaned (-want +got):\n%s", diff)
	}
}

func TestCleanFillsThePlaceFromTheURL(t *testing.T) {
	t.Parallel()
	got := finding.Clean(finding.Observation{Rule: "x:y", Location: finding.Location{URL: "https://[2001:DB8::1]/login"}})
	want := finding.Location{Host: "2001:db8::1", Port: 443, Protocol: "tcp", URL: "https://[2001:db8::1]/login"}
	if diff := cmp.Diff(want, got.Location); diff != "" {
		t.Errorf("location (-want +got):\n%s", diff)
	}
	if got.Title != "x:y" || got.Severity != finding.Info || got.Category != finding.CategoryConfig {
		t.Errorf("an empty observation became %+v", got)
	}
}

func TestCleanLeavesOutWhatIsNone(t *testing.T) {
	t.Parallel()
	for _, c := range []*finding.CVSS{{Version: "5.0", Score: 1}, {Version: "3.1", Score: 11}, {Version: "3.1", Score: -1}, {Version: "3.1", Score: math.NaN()}} {
		if got := finding.Clean(finding.Observation{CVSS: c}); got.CVSS != nil {
			t.Errorf("%+v was kept", *c)
		}
	}
	for _, u := range []string{"javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//example.org/", "http://", "::::", "http:opaque"} {
		if got := finding.Clean(finding.Observation{Location: finding.Location{URL: u}}); got.Location.URL != "" {
			t.Errorf("%q became %q", u, got.Location.URL)
		}
	}
	if got := finding.Clean(finding.Observation{Location: finding.Location{Port: 70000, Protocol: "icmp"}}); got.Location != (finding.Location{}) {
		t.Errorf("an impossible place became %+v", got.Location)
	}
}

func observations() *rapid.Generator[finding.Observation] {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z \n:/?=&.%\[\]-]{0,30}`), rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.SampledFrom([]string{"ä", "e\u0301", "x y", "%41", "\U0001F600", "/"}).Draw(t, "unit"), rapid.IntRange(1, 6000).Draw(t, "n"))
	}))
	return rapid.Custom(func(t *rapid.T) finding.Observation {
		return finding.Observation{
			Rule: text.Draw(t, "rule"), Discern: text.Draw(t, "discern"), Title: text.Draw(t, "title"), Description: text.Draw(t, "description"),
			Severity: finding.Severity(text.Draw(t, "severity")), Category: finding.Category(text.Draw(t, "category")),
			Evidence: text.Draw(t, "evidence"), Remediation: text.Draw(t, "remediation"),
			CVE: rapid.SliceOf(rapid.StringMatching(`(CVE|cve)-20[0-9]{2}-[0-9]{3,6}`)).Draw(t, "cve"), CWE: rapid.SliceOf(rapid.IntRange(-5, 2000)).Draw(t, "cwe"),
			References: rapid.SliceOf(rapid.OneOf(text, rapid.Just("https://example.org/"))).Draw(t, "references"),
			Location: finding.Location{
				Host: text.Draw(t, "host"), Port: rapid.IntRange(-1, 70000).Draw(t, "port"), Protocol: text.Draw(t, "protocol"),
				URL:    rapid.OneOf(text, rapid.Custom(func(t *rapid.T) string { return "https://example.org/" + text.Draw(t, "path") })).Draw(t, "url"),
				Method: text.Draw(t, "method"), Parameter: text.Draw(t, "parameter"), File: text.Draw(t, "file"), Line: rapid.Int().Draw(t, "line"),
				Package: text.Draw(t, "package"), Version: text.Draw(t, "version"), FixedVersion: text.Draw(t, "fixed"), Image: text.Draw(t, "image"),
			},
		}
	})
}

// checkClean holds what every cleaned observation must keep.
func checkClean(t interface{ Errorf(string, ...any) }, o finding.Observation) {
	got := finding.Clean(o)
	l := got.Location
	for name, c := range map[string]struct {
		text  string
		limit int
		lines bool
	}{
		"rule": {got.Rule, 255, false}, "discern": {got.Discern, 255, false}, "title": {got.Title, finding.MaxTitle, false},
		"description": {got.Description, finding.MaxDescription, true}, "evidence": {got.Evidence, finding.MaxEvidence, true},
		"remediation": {got.Remediation, finding.MaxRemediation, true}, "host": {l.Host, 255, false}, "url": {l.URL, 2048, false},
		"method": {l.Method, 255, false}, "parameter": {l.Parameter, 255, false}, "file": {l.File, 2048, false}, "package": {l.Package, 255, false},
		"version": {l.Version, 255, false}, "fixed": {l.FixedVersion, 255, false}, "image": {l.Image, 255, false},
	} {
		if len(c.text) > c.limit || !utf8.ValidString(c.text) || !norm.NFC.IsNormalString(c.text) {
			t.Errorf("%s: %d bytes, valid %v, NFC %v", name, len(c.text), utf8.ValidString(c.text), norm.NFC.IsNormalString(c.text))
		}
		if strings.ContainsFunc(c.text, func(r rune) bool {
			return (r < ' ' && (!c.lines || (r != '\n' && r != '\t'))) || r == 0x7f || (r >= 0x202a && r <= 0x202e)
		}) {
			t.Errorf("%s holds control characters: %q", name, c.text)
		}
	}
	if l.URL != "" {
		if u, err := url.Parse(l.URL); err != nil || u.User != nil || u.Host == "" {
			t.Errorf("URL %q: %v", l.URL, err)
		}
	}
	if len(got.CVE) > finding.MaxIDs || len(got.CWE) > finding.MaxIDs || len(got.References) > finding.MaxReferences {
		t.Errorf("%d CVE, %d CWE, %d references", len(got.CVE), len(got.CWE), len(got.References))
	}
	again := finding.Clean(got)
	if finding.Fingerprint("e", again) != finding.Fingerprint("e", got) || finding.Occurrence("e", again) != finding.Occurrence("e", got) ||
		finding.CaseKey(again) != finding.CaseKey(got) {
		t.Errorf("cleaning twice changes an identity:\n%s", cmp.Diff(got, again))
	}
}

func TestCleanedObservationsKeepTheirBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) { checkClean(r, observations().Draw(r, "observation")) })
}

func FuzzClean(f *testing.F) {
	f.Add("rule", "https://example.org/a?b=%zz#c", "password = hunter22 Authorization: Basic abc", "a/../b")
	f.Add("\xff", "http://[::1]:70000/", "-----BEGIN PRIVATE KEY-----\nabc", "\\..\\x")
	f.Fuzz(func(t *testing.T, short, link, long, file string) {
		checkClean(t, finding.Observation{
			Rule: short, Discern: long, Title: long, Description: long, Evidence: long, References: []string{link},
			Location: finding.Location{Host: short, URL: link, Method: short, Parameter: long, File: file, Image: short, Protocol: short},
		})
	})
}

func BenchmarkClean(b *testing.B) {
	o := finding.Observation{
		Rule: "nmap:open-port", Title: "Open port 443/tcp", Description: strings.Repeat("The service answers on this port. ", 12),
		Evidence: strings.Repeat("HTTP/1.1 200 OK\nServer: nginx/1.25\nSet-Cookie: id=0123456789; HttpOnly\n", 12), Severity: finding.Info,
		Location: finding.Location{Host: "192.0.2.7", Port: 443, URL: "https://192.0.2.7/a/b?c=d"}, References: []string{"https://example.org/a"},
	}
	b.ReportAllocs()
	for b.Loop() {
		c := finding.Clean(o)
		finding.Fingerprint("nmap", c)
		finding.Occurrence("nmap", c)
		finding.CaseKey(c)
	}
}
