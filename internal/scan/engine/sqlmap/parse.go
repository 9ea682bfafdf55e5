package sqlmap

import (
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// ruleInjection is the engine's only rule.
const ruleInjection = "sqlmap:sql-injection"

// cweInjection is CWE-89, improper neutralization of special elements used in an SQL command.
const cweInjection = 89

// Parse implements engine.Engine. There is one finding for each page, place and parameter; the techniques that worked are
// its evidence. Pages that the target doesn't hold are passed over, whatever the log says.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	depth, forms := reach(req.Options, req.Target.URL() != nil && req.Target.URL().RawQuery != "")
	sum := newSummary(req, depth > 0 || forms)
	p := parser{req: req, yield: yield, seen: map[string]bool{}}
	w := sum.watcher()
	w.injected = p.injected
	err := read(&stopper{raw, &p.err}, sum.start, w)
	if p.err != nil {
		return finding.Coverage{}, p.err
	}
	if sum.finished {
		sum.settle()
	}
	return p.coverage(sum), err
}

// stopper ends the reading when whoever takes the items has had enough.
type stopper struct {
	from io.Reader
	err  *error
}

// Read implements io.Reader.
func (s *stopper) Read(p []byte) (int, error) {
	if *s.err != nil {
		return 0, *s.err
	}
	return s.from.Read(p)
}

type parser struct {
	req   engine.Request
	yield func(engine.Item) error
	seen  map[string]bool
	err   error
}

// injected tells one injection point.
func (p *parser) injected(at page, hit point, f facts) {
	u, ok := p.within(at.address)
	if !ok || p.err != nil {
		return
	}
	where := finding.Location{
		Host: u.Hostname(), Port: p.req.Target.Port(), Protocol: "tcp", URL: address(u), Method: methodOf(at, hit.place), Parameter: parameterOf(hit.parameter),
	}
	key := where.URL + "\x00" + where.Method + "\x00" + where.Parameter
	if p.seen[key] {
		return
	}
	p.seen[key] = true
	severity, confidence := judge(hit.ways)
	p.err = p.yield(engine.Item{Finding: &finding.Observation{
		Rule:  ruleInjection,
		Title: label("SQL injection in parameter "+where.Parameter+" of "+pathOf(u), finding.MaxTitle),
		Description: "What is sent in this parameter becomes part of a database query. Whoever can send requests can change the query: " +
			"read, and depending on the database and its rights change, what the application stores, and pass its logins.",
		Severity: severity, Confidence: confidence, Category: finding.CategoryVulnerability, CWE: []int{cweInjection}, Location: where,
		Evidence:    evidence(hit, f),
		Remediation: "Use parameterized queries (prepared statements) for every value that comes from a request, and give the application's database account only the rights that it needs.",
		References:  []string{"https://owasp.org/www-community/attacks/SQL_Injection", "https://cwe.mitre.org/data/definitions/89.html"},
	}})
}

// within reports whether a page of the log is on the target's own host and port.
func (p *parser) within(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	want := p.req.Target.URL()
	if err != nil || want == nil || u.Scheme != want.Scheme {
		return nil, false
	}
	return u, finding.CanonicalHost(u.Hostname()) == finding.CanonicalHost(want.Hostname()) && portOf(u) == portOf(want)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// judge rates what worked: whatever lets answers of the database be read or further statements be run is critical; what
// lets one ask yes or no is high, and has been told apart from chance by sqlmap.
func judge(ways []way) (finding.Severity, finding.Confidence) {
	severity, confidence := finding.High, finding.Firm
	for _, w := range ways {
		switch {
		case strings.HasPrefix(w.kind, "UNION query"), strings.HasPrefix(w.kind, "stacked queries"):
			severity, confidence = finding.Critical, finding.Certain
		case strings.HasPrefix(w.kind, "error-based"), strings.HasPrefix(w.kind, "inline query"):
			confidence = finding.Certain
		}
	}
	return severity, confidence
}

func evidence(p point, f facts) string {
	var b strings.Builder
	b.WriteString("Place: " + label(p.place, 60) + "\n")
	for _, w := range p.ways {
		b.WriteString("Technique: " + label(w.title, 255) + " (" + label(w.kind, 60) + ")\nPayload: " + label(w.payload, 600) + "\n")
	}
	if len(p.ways) == 0 {
		b.WriteString("sqlmap was stopped before it told which payload worked.\n")
	}
	for _, fact := range []struct{ name, value string }{
		{"Database", f.dbms}, {"Technology", f.technology}, {"Version read from the database", f.banner}, {"Account read from the database", f.user},
	} {
		if fact.value != "" {
			b.WriteString(fact.name + ": " + label(fact.value, 255) + "\n")
		}
	}
	return strings.TrimSpace(b.String())
}

// methodOf returns the request's method: the place's where it is one, else the page's.
func methodOf(at page, place string) string {
	switch place {
	case "GET", "POST":
		return place
	case "(custom) POST":
		return "POST"
	}
	return label(at.method, 20)
}

// parameterOf returns the parameter as other engines name it: of "JSON author" the name of the member.
func parameterOf(name string) string {
	for _, prefix := range []string{"JSON ", "MULTIPART ", "SOAP ", "XML ", "ARRAY-LIKE "} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name = rest
		}
	}
	return label(name, 255)
}

// maxPaths bounds the pages that coverage names.
const maxPaths = 1_000

// coverage says where silence counts: on the pages that were tested, after a run that came to its end and lost none.
func (p *parser) coverage(sum *summary) finding.Coverage {
	u := p.req.Target.URL()
	if u == nil || !sum.complete() || sum.params == 0 || len(sum.paths) == 0 || len(sum.paths) > maxPaths {
		return finding.Coverage{}
	}
	port := p.req.Target.Port()
	return finding.Coverage{Places: []finding.Place{{
		Host: finding.CanonicalHost(u.Hostname()), Ports: []finding.PortRange{{Protocol: "tcp", From: port, To: port}},
		Rules: []string{ruleInjection}, Paths: slices.Sorted(maps.Keys(sum.paths)),
	}}}
}
