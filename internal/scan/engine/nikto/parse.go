package nikto

import (
	"crypto/sha256"
	"io"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Groups of rules in whose names more than the test's number stands, because usual runs don't look for them.
const (
	groupInclusion = "inclusion"
	groupCGI       = "cgi"
)

// Parse implements engine.Engine. What a run covered isn't in its output: the verdict has it.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	j := &judge{
		req: req, target: req.Target.URL(), yield: yield, seen: map[[16]byte]bool{}, most: manifest().Limits.MaxFindings, shapes: shapes(),
		cve: regexp.MustCompile(`(?i)\bCVE-\d{4}-\d{4,7}\b`),
		cwe: regexp.MustCompile(`(?i)\bCWE-(\d{1,5})\b|cwe\.mitre\.org/data/definitions/(\d{1,5})\b`),
	}
	if j.target == nil {
		return finding.Coverage{}, nil
	}
	return finding.Coverage{}, document(raw, j.take)
}

// judge turns items into findings.
type judge struct {
	req    engine.Request
	target *url.URL
	yield  func(engine.Item) error
	seen   map[[16]byte]bool
	most   int
	shapes []shape
	cve    *regexp.Regexp
	cwe    *regexp.Regexp
}

func (j *judge) take(at host, i item) error {
	if i.id == failed || !number(i.id) || !j.ours(at) {
		return nil
	}
	page, query := pathOf(i.url)
	f := &finding.Observation{
		Rule: ruleOf(i, page), Severity: finding.Info, Confidence: finding.Tentative, Category: finding.CategoryDisclosure,
		CVE: j.cves(i), CWE: j.weaknesses(i),
		Location: j.place(page),
	}
	f.Location.Parameter = parameter(query)
	msg := label(i.msg, 2000)
	msg = strings.TrimPrefix(msg, label(i.url, 2000)+": ")
	f.Title = label(strings.TrimSuffix(msg, "."), finding.MaxTitle)
	for _, s := range j.shapes {
		if m := s.pattern.FindStringSubmatch(msg); m != nil {
			f.Confidence = finding.Firm // the others only say that something was answered
			s.mark(f, m)
			break
		}
	}
	weigh(f)
	if f.Title == "" || !j.first(f) {
		return nil
	}
	f.Evidence = evidence(i)
	f.References = references(i.refs)
	return j.yield(engine.Item{Finding: f})
}

// ours reports whether items belong to the target; a report that names nobody is taken for the target's.
func (j *judge) ours(at host) bool {
	if at.name == "" && at.ip == "" {
		return true
	}
	want := finding.CanonicalHost(j.target.Hostname())
	if at.name != "" && finding.CanonicalHost(at.name) == want {
		return true
	}
	addr, err := netip.ParseAddr(at.ip)
	return err == nil && at.name == at.ip && slices.Contains(j.req.Addrs, addr)
}

// first reports whether a place of a rule is new.
func (j *judge) first(f *finding.Observation) bool {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.Discern, f.Location.URL, f.Location.Parameter, strings.Join(f.CVE, " ")}, "\x00")))
	key := [16]byte(sum[:16])
	if j.seen[key] || len(j.seen) >= j.most {
		return false
	}
	j.seen[key] = true
	return true
}

// place is a path of the target. The method is left out: Nikto makes some up for each run.
func (j *judge) place(page string) finding.Location {
	u := url.URL{Scheme: j.target.Scheme, Host: strings.ToLower(j.target.Host), Path: page}
	return finding.Location{
		Host: finding.CanonicalHost(j.target.Hostname()), Port: j.req.Target.Port(), Protocol: "tcp", URL: u.String(),
	}
}

// pathOf splits what Nikto asked for. Some tests' paths are no URLs on purpose; they stay as they are.
func pathOf(text string) (at, query string) {
	text = label(text, 2000)
	text, _, _ = strings.Cut(text, "#")
	at, query, _ = strings.Cut(text, "?")
	if !strings.HasPrefix(at, "/") {
		at = "/" + at
	}
	if plain, err := url.PathUnescape(at); err == nil {
		at = label(plain, 2000)
	}
	return tidy(at), query
}

// tidy is a path without dot segments and doubled slashes, by which one place has many names.
func tidy(p string) string {
	clean := path.Clean(p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	return clean
}

// parameter is the one whose value is an attack, empty where there is none.
func parameter(query string) string {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		if err != nil {
			plain = value
		}
		if strings.ContainsAny(plain, "<>'\"|;`") || strings.Contains(plain, "..") || strings.Contains(plain, "://") {
			return label(name, 200)
		}
	}
	return ""
}

func ruleOf(i item, page string) string {
	switch {
	case strings.Contains(strings.ToLower(i.msg), "remote file inclusion"), strings.Contains(i.msg, "(RFI)"):
		return id + ":" + groupInclusion + "/" + i.id
	case inCGI(page):
		return id + ":" + groupCGI + "/" + i.id
	}
	return id + ":" + i.id
}

// inCGI reports whether a path lies in a folder that is tried for CGI programs.
func inCGI(page string) bool {
	folder, _, deeper := strings.Cut(strings.TrimPrefix(page, "/"), "/")
	folder = strings.ToLower(folder)
	return deeper && (strings.Contains(folder, "cgi") || strings.HasSuffix(folder, "bin") || folder == "scripts")
}

func number(s string) bool {
	return s != "" && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}

// named returns what a pattern finds in an item's texts, without looking at texts that can't hold it.
func named(pattern *regexp.Regexp, i item, hint string) [][]string {
	var out [][]string
	for _, text := range []string{i.msg, i.refs} {
		if text = text[:min(len(text), 64<<10)]; strings.Contains(strings.ToLower(text), hint) {
			out = append(out, pattern.FindAllStringSubmatch(text, finding.MaxIDs)...)
		}
	}
	return out[:min(len(out), finding.MaxIDs)]
}

func (j *judge) cves(i item) []string {
	var out []string
	for _, m := range named(j.cve, i, "cve-") {
		out = append(out, strings.ToUpper(m[0]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// weaknesses are named as "CWE-548" or by MITRE's page.
func (j *judge) weaknesses(i item) []int {
	var out []int
	for _, m := range named(j.cwe, i, "cwe") {
		if n, err := strconv.Atoi(m[1] + m[2]); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func references(text string) []string {
	var out []string
	for part := range strings.FieldsFuncSeq(text[:min(len(text), 16<<10)], func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		u, err := url.Parse(part)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !slices.Contains(out, part) && len(out) < finding.MaxReferences {
			out = append(out, part)
		}
	}
	return out
}

func evidence(i item) string {
	line := label(i.method+" "+i.url, 1000)
	return strings.TrimSpace(line + "\n" + label(i.msg, 4000))
}
