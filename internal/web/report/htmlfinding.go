package report

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/scan/finding"
)

// articleView is one finding as a document shows it. All texts are visible.
type articleView struct {
	Anchor, Class, Severity, Title, Place string
	Decision                              string // what a person or a later scan said of it
	Exploited                             bool
	Description, Remediation, Evidence    string
	Facts                                 []fact
	Links                                 []link
}

// fact is one line of a list of facts.
type fact struct {
	Name, Value string
	Mono        bool
}

// link is a reference; only http and https become links.
type link struct {
	URL  string
	Safe bool
}

func article(f Finding, n int) articleView {
	v := articleView{
		Anchor: "finding-" + strconv.Itoa(n), Class: severityClass(f.Severity), Severity: severityClass(f.Severity), Title: visible(f.Title),
		Place: visible(place(f.Location)), Exploited: f.KEV != nil && *f.KEV, Description: visible(f.Description),
		Remediation: visible(f.Remediation), Evidence: visible(f.Evidence),
	}
	if f.Status != string(finding.Open) && f.Status != "" {
		v.Decision = strings.ReplaceAll(visible(f.Status), "_", " ")
	}
	for _, ref := range f.References {
		v.Links = append(v.Links, link{URL: visible(ref), Safe: absolute(ref) && ref == visible(ref)})
	}
	v.Facts = facts(f)
	return v
}

// facts lists what is known of a finding; what isn't known is left out, except where its absence could be taken for a
// number.
func facts(f Finding) []fact {
	var out []fact
	add := func(name, value string, mono bool) {
		if value != "" {
			out = append(out, fact{Name: name, Value: visible(value), Mono: mono})
		}
	}
	add("CVE", strings.Join(f.CVE, ", "), false)
	add("CWE", strings.Join(f.CWE, ", "), false)
	if f.CVSS != nil {
		add("CVSS", strconv.FormatFloat(f.CVSS.Score, 'f', 1, 64)+" (version "+f.CVSS.Version+")", false)
		add("CVSS vector", f.CVSS.Vector, true)
	}
	if len(f.CVE) > 0 || f.EPSS != nil {
		add("EPSS", probability(f.EPSS), false)
		add("Known exploited (KEV)", known(f.KEV), false)
	}
	at := f.Location
	add("Package", strings.TrimSpace(at.Package+" "+at.Version), false)
	add("Fixed in", at.FixedVersion, false)
	add("Image", at.Image, true)
	add("Parameter", at.Parameter, true)
	add("Confidence", f.Confidence, false)
	add("Category", f.Category, false)
	add("Check", f.Rule, true)
	add("Seen by", strings.Join(f.Engines, ", "), false)
	add("First seen", when(f.FirstSeenAt), false)
	add("Last seen", when(f.LastSeenAt), false)
	add("Fixed", when(f.FixedAt), false)
	add("Finding", f.ID, true)
	return out
}

func probability(p *float64) string {
	if p == nil {
		return "not known"
	}
	return strconv.FormatFloat(*p*100, 'f', 2, 64) + " % in the next 30 days"
}

func known(b *bool) string {
	switch {
	case b == nil:
		return "not known"
	case *b:
		return "yes"
	}
	return "no"
}

// when shows a time of a view to the minute; nothing for no time.
func when(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || t.Year() < 1970 {
		return ""
	}
	return moment(t)
}

// moment shows a time to people, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// place says in one line where a finding is.
func place(at finding.Location) string {
	switch {
	case at.URL != "":
		return strings.TrimSpace(at.Method + " " + at.URL)
	case at.File != "" && at.Line > 0:
		return at.File + ":" + strconv.Itoa(at.Line)
	case at.File != "":
		return at.File
	case at.Host != "":
		return service(at)
	case at.Image != "":
		return at.Image
	}
	return ""
}

func severityClass(s string) string {
	switch finding.Severity(s) {
	case finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info:
		return s
	}
	return string(finding.Info)
}

// visible returns text in which nothing hides: control characters other than line breaks and tabs, and those that turn
// the direction of what follows or have no width, become U+FFFD, as do bytes that aren't UTF-8.
func visible(s string) string {
	if plainText(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\r':
			return -1
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return utf8.RuneError
		}
		return r
	}, s)
}

func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
