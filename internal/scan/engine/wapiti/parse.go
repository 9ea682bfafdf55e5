package wapiti

import (
	"io"
	"net/url"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Parse implements engine.Engine. Entries that tell the same flaw at the same place (one for each payload, or one for
// each module that made a page fail) become one finding. Coverage isn't in the report: Run gives it.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	p := parser{base: req.Target.URL(), port: req.Target.Port(), yield: yield, seen: map[string]bool{}}
	if p.base == nil {
		return finding.Coverage{}, nil
	}
	return finding.Coverage{}, read(raw, p.entry)
}

type parser struct {
	base  *url.URL
	port  int
	yield func(engine.Item) error
	seen  map[string]bool
}

// maxSeen bounds what is remembered of a hostile report.
const maxSeen = 100_000

func (p *parser) entry(list, category string, e entry) error {
	o, ok := p.observe(list, category, e)
	if !ok || len(p.seen) >= maxSeen {
		return nil
	}
	at := o.Location
	key := strings.Join([]string{o.Rule, o.Discern, at.Method, at.URL, at.Parameter}, "\x00")
	if p.seen[key] {
		return nil
	}
	p.seen[key] = true
	return p.yield(engine.Item{Finding: &o})
}

// observe makes an observation of an entry; ok is false for what is no finding.
func (p *parser) observe(list, category string, e entry) (o finding.Observation, ok bool) {
	path, within := p.path(e)
	k, known := kindOf(category)
	if !known {
		k = unknown(list, category, e.Level)
	}
	if k.rule == "" || !within {
		return o, false
	}
	o = finding.Observation{
		Rule: id + ":" + k.rule, Title: k.title, Description: k.about, Severity: k.severity, Confidence: k.sure, Category: k.category,
		Remediation: k.remedy, Location: p.place(path, e),
	}
	if k.cwe > 0 {
		o.CWE = []int{k.cwe}
		o.References = []string{"https://cwe.mitre.org/data/definitions/" + number(k.cwe) + ".html"}
	}
	switch k.rule {
	case "header":
		name := strings.ToLower(label(strings.TrimSuffix(e.Info, " is not set"), 60))
		title, cwe, weak := header(name)
		if !weak {
			return o, false
		}
		o.Rule, o.Discern, o.Title, o.CWE = id+":"+name+"-missing", name, title, []int{cwe}
		o.References = []string{"https://cwe.mitre.org/data/definitions/" + number(cwe) + ".html"}
	case "cookie-httponly", "cookie-secure":
		_, name, _ := strings.Cut(e.Info, " : ")
		o.Discern = label(name, 128)
		o.Title += ": " + o.Discern
	case "content-security-policy":
		o.Discern = "content-security-policy"
	default:
		if !known {
			o.Discern = label(e.Info, 200)
		}
		o.Title = label(o.Title+where(o.Location), finding.MaxTitle)
	}
	o.Title = label(o.Title, finding.MaxTitle)
	o.Evidence = evidence(e)
	return o, true
}

// unknown judges a category that the table doesn't hold, as newer releases have: by Wapiti's own level, which for
// additional facts is 0.
func unknown(list, category string, level int) kind {
	k := kind{rule: slug(category), title: label(category, 120), about: "Wapiti reports this under \"" + label(category, 120) + "\".", sure: finding.Tentative}
	k.severity, k.category = finding.Info, finding.CategoryService
	if list == "additionals" {
		return k
	}
	k.category = finding.CategoryVulnerability
	switch level {
	case 1:
		k.severity = finding.Low
	case 2, 3:
		k.severity = finding.Medium
	case 4:
		k.severity = finding.High
	}
	return k
}

func where(at finding.Location) string {
	u, err := url.Parse(at.URL)
	if err != nil {
		return ""
	}
	if at.Parameter != "" {
		return " in parameter " + at.Parameter + " of " + u.Path
	}
	return " at " + u.Path
}

// path returns the path that an entry names; ok is false where it names none, or another host.
func (p *parser) path(e entry) (path string, ok bool) {
	u, err := url.Parse(plain(e.Path))
	if err != nil {
		return "", false
	}
	return u.Path, e.Path != "" && u.Host == "" && u.Opaque == ""
}

func (p *parser) place(path string, e entry) finding.Location {
	u := url.URL{Scheme: p.base.Scheme, Host: p.base.Host, Path: "/" + strings.TrimLeft(cut(path), "/")}
	return finding.Location{
		Host: p.base.Hostname(), Port: p.port, Protocol: "tcp", URL: u.String(), Method: label(e.Method, 20), Parameter: label(e.Parameter, 255),
	}
}

// cut keeps a text within its bound.
func cut(s string) string {
	if len(s) > 1500 {
		s = strings.ToValidUTF8(s[:1500], "")
	}
	return s
}

// evidence is what Wapiti says and the request's first line and body; its other headers say nothing about the flaw.
func evidence(e entry) string {
	var b strings.Builder
	b.WriteString(label(e.Info, 500))
	request := e.Request
	if len(request) > maxEntry {
		request = request[:maxEntry]
	}
	head, body, _ := strings.Cut(strings.ReplaceAll(request, "\r\n", "\n"), "\n\n")
	first, _, _ := strings.Cut(head, "\n")
	if first = label(first, 1000); first != "" {
		b.WriteString("\n" + first)
	}
	if body = label(body, 1000); body != "" {
		b.WriteString("\n" + body)
	}
	return strings.TrimSpace(b.String())
}
