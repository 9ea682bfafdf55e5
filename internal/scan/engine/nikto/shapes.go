package nikto

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/scan/finding"
)

// shape is a kind of message by which one of Nikto's ids tells several things: what tells them apart is picked out.
type shape struct {
	pattern *regexp.Regexp
	mark    func(f *finding.Observation, m []string)
}

func shapes() []shape {
	return []shape{
		{regexp.MustCompile(`(?i)^suggested security header missing: ([\w-]+)`), func(f *finding.Observation, m []string) { missingHeader(f, m[1]) }},
		{regexp.MustCompile(`(?i)\b(x-frame-options|x-content-type-options|strict-transport-security|content-security-policy|referrer-policy|permissions-policy)\b.{0,40}\b(?:is not (?:present|set|defined)|missing)`), func(f *finding.Observation, m []string) {
			missingHeader(f, m[1])
		}},
		{regexp.MustCompile(`(?i)\bcookie (\S{1,100}) created without the (\w+) flag`), cookie},
		{regexp.MustCompile(`(?i)^retrieved ([\w-]+) header: `), func(f *finding.Observation, m []string) {
			f.Discern, f.Title, f.CWE = strings.ToLower(m[1]), "Header "+strings.ToLower(m[1])+" tells of the software", []int{497}
		}},
		{regexp.MustCompile(`(?i)^uncommon header\(?s?\)? '?([\w-]+)'?`), func(f *finding.Observation, m []string) {
			f.Discern, f.Title, f.CWE = strings.ToLower(m[1]), "Uncommon header "+strings.ToLower(m[1]), []int{200}
		}},
		{regexp.MustCompile(`^([^/\s]{1,60})(?:/(\S{1,60}))? appears to be outdated`), outdated},
		{regexp.MustCompile(`(?i)^directory indexing found`), func(f *finding.Observation, _ []string) { f.CWE = []int{548} }},
		{regexp.MustCompile(`(?i)^allowed http methods: |^http method.{0,20}'([A-Z]+)'`), func(f *finding.Observation, m []string) {
			f.Discern, f.Category, f.CWE = m[1], finding.CategoryConfig, []int{650}
		}},
		{regexp.MustCompile(`(?i)junk http methods`), func(f *finding.Observation, _ []string) {
			f.Category, f.Confidence = finding.CategoryConfig, finding.Tentative
		}},
		{regexp.MustCompile(`(?i)^(?:/robots\.txt: )?entry '(/[^\s']*)' is returned`), func(f *finding.Observation, m []string) {
			f.Title, f.CWE, f.Location.URL = "A path that robots.txt names can be read", []int{538}, moved(f.Location.URL, m[1])
		}},
		{regexp.MustCompile(`(?i)^contains \d+ entr`), func(f *finding.Observation, _ []string) {
			f.Title, f.CWE = "robots.txt names paths that may be worth a look", []int{200}
		}},
		{regexp.MustCompile(`(?i)\bmay be interesting|might be interesting`), func(f *finding.Observation, _ []string) { f.Confidence = finding.Tentative }},
	}
}

// moved is the same site's URL with another path.
func moved(page, to string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	to, _ = pathOf(to)
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: to}).String()
}

// missingHeader is of the site, not of the page.
func missingHeader(f *finding.Observation, name string) {
	name = strings.ToLower(name)
	f.Discern, f.Title, f.Category = name, "Header "+name+" is missing", finding.CategoryConfig
	switch name {
	case "x-frame-options":
		f.CWE = []int{1021}
	case "strict-transport-security":
		f.CWE = []int{319}
	case "referrer-policy":
		f.CWE = []int{200}
	default:
		f.CWE = []int{693}
	}
}

func cookie(f *finding.Observation, m []string) {
	flag := strings.ToLower(m[2])
	f.Discern, f.Title, f.Category = label(m[1], 200), "Cookie without "+flag, finding.CategoryConfig
	switch flag {
	case "httponly":
		f.CWE = []int{1004}
	case "secure":
		f.CWE = []int{614}
	case "samesite":
		f.CWE = []int{1275}
	}
}

// outdated leaves out what is current, which changes with Nikto's database and not with the target.
func outdated(f *finding.Observation, m []string) {
	f.Discern, f.Title, f.CWE = strings.ToLower(label(m[1], 100)), label(m[1]+" "+m[2]+" appears to be outdated", 200), []int{1104}
	f.Category, f.Severity = finding.CategoryVulnerability, finding.Low
}

// weigh sets severity and category by the kind of weakness: Nikto itself rates nothing. What isn't of a known kind
// stays info.
func weigh(f *finding.Observation) {
	raise := func(to finding.Severity, c finding.Category) {
		if to.Rank() < f.Severity.Rank() {
			f.Severity = to
		}
		f.Category = c
	}
	if len(f.CVE) > 0 {
		raise(finding.Medium, finding.CategoryVulnerability)
	}
	for _, cwe := range f.CWE {
		switch {
		case slices.Contains([]int{77, 78, 89, 94, 98, 434, 564}, cwe):
			raise(finding.High, finding.CategoryVulnerability)
		case slices.Contains([]int{22, 23, 36, 79, 287, 306, 601, 611, 918}, cwe):
			raise(finding.Medium, finding.CategoryVulnerability)
		case slices.Contains([]int{527, 530, 538, 540, 548, 552}, cwe):
			raise(finding.Low, finding.CategoryDisclosure)
		case slices.Contains([]int{614, 1004, 1275}, cwe):
			raise(finding.Low, finding.CategoryConfig)
		case slices.Contains([]int{295, 297, 298, 326, 327}, cwe):
			raise(finding.Medium, finding.CategoryTLS)
		}
	}
}

// label makes one line without control characters out of what a stranger said, cut to limit bytes.
func label(s string, limit int) string {
	s = s[:min(len(s), 16*limit)]
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
