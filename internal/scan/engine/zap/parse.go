package zap

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// maxLine bounds a record; longer ones are passed over.
const maxLine = 1 << 20

// Parse implements engine.Engine. A line that can't be read costs the coverage, not the lines behind it.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	j := &judge{req: req, target: req.Target.URL(), yield: yield, seen: map[[16]byte]bool{}, most: manifest().Limits.MaxFindings, sites: siteRules(), cve: cvePattern()}
	if j.target == nil {
		return finding.Coverage{}, nil
	}
	in := bufio.NewReaderSize(raw, 64<<10)
	for {
		line, whole, err := readLine(in)
		if len(line) > 0 {
			if !whole {
				j.damaged = true
			} else if err := j.take(line); err != nil {
				return finding.Coverage{}, err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				j.damaged = true
			}
			return j.coverage(), nil
		}
	}
}

// readLine returns the next line; whole is false for one that is too long, of which the rest is passed over.
func readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	whole = true
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			whole = false
		}
		if whole {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, whole, err
		}
	}
}

// judge turns records into findings.
type judge struct {
	req    engine.Request
	target *url.URL
	yield  func(engine.Item) error
	seen   map[[16]byte]bool
	most   int
	sites  map[string]siteRule
	cve    *regexp.Regexp

	rules   *rulesRecord
	end     *ending
	damaged bool
}

func cvePattern() *regexp.Regexp { return regexp.MustCompile(`(?i)\bCVE-\d{4}-\d{4,7}\b`) }

func (j *judge) take(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil {
		j.damaged = true
		return nil
	}
	switch {
	case rec.Alert != nil:
		return j.alert(rec.Alert)
	case rec.Rules != nil:
		j.rules = rec.Rules
	case rec.End != nil:
		j.end = rec.End
	}
	return nil
}

func (j *judge) alert(a *alert) error {
	sure, ok := confidence(string(a.Confidence))
	at, atOK := j.place(a)
	plugin := rulePart(string(a.PluginID))
	if !ok || !atOK || (plugin == "" && a.Name == "") {
		return nil
	}
	f := &finding.Observation{
		Rule: ruleOf(plugin, string(a.AlertRef)), Severity: severity(string(a.Risk)), Confidence: sure, Location: at, CVE: j.cves(a),
	}
	if plugin == "" { // of an alert that a person or a script made
		f.Discern = label(string(a.Name), 200)
	}
	if s, site := j.sites[plugin]; site {
		f.Location.URL, f.Location.Method, f.Location.Parameter = origin(at.URL), "", ""
		if f.Discern = s.header; f.Discern == "" {
			f.Discern = label(string(a.Param), 200)
		}
	}
	if !j.first(f) {
		return nil
	}
	if f.Title = label(string(a.Name), finding.MaxTitle); f.Title == "" {
		f.Title = f.Rule
	}
	f.CWE = weakness(plugin, number(a.CWE))
	f.Category = category(f.CWE, f.Severity, len(f.CVE) > 0)
	f.Description = cut(plain(string(a.Description)), finding.MaxDescription)
	f.Remediation = cut(plain(string(a.Solution)), finding.MaxRemediation)
	f.References = references(string(a.Reference))
	f.Evidence = evidence(a, plugin)
	return j.yield(engine.Item{Finding: f})
}

// first reports whether a place of a rule is new. Pages that differ in the values of their queries only are one place.
func (j *judge) first(f *finding.Observation) bool {
	at := f.Location
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.Discern, at.Method, at.URL, at.Parameter, strings.Join(f.CVE, " ")}, "\x00")))
	key := [16]byte(sum[:16])
	if j.seen[key] {
		return false
	}
	if len(j.seen) >= j.most {
		j.damaged = true
		return false
	}
	j.seen[key] = true
	return true
}

// place reads an alert's location; ok is false for other hosts than the target's, of which ZAP has no business to tell.
func (j *judge) place(a *alert) (finding.Location, bool) {
	u, err := url.Parse(cut(string(a.URL), 4<<10))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return finding.Location{}, false
	}
	host := finding.CanonicalHost(u.Hostname())
	if host != finding.CanonicalHost(j.target.Hostname()) || len(host) > 253 {
		return finding.Location{}, false
	}
	port := 80
	if u.Scheme == "https" {
		port = 443
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return finding.Location{}, false
		}
	}
	page := url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: label(u.Path, 2000)}
	if page.Path == "" {
		page.Path = "/"
	}
	return finding.Location{
		Host: host, Port: port, Protocol: "tcp", URL: page.String(), Method: method(string(a.Method)), Parameter: label(string(a.Param), 200),
	}, true
}

func origin(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	return u.Scheme + "://" + u.Host + "/"
}

func method(s string) string {
	s = strings.ToUpper(s)
	if len(s) > 20 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return s
}

// ruleOf is the rule's name: the reference tells the variants of one plugin apart ("10038-1").
func ruleOf(plugin, ref string) string {
	if number, variant, ok := strings.Cut(ref, "-"); plugin != "" && number == plugin && (!ok || ruleID(variant)) {
		return id + ":" + ref
	}
	if plugin == "" {
		return id + ":alert"
	}
	return id + ":" + plugin
}

func rulePart(plugin string) string {
	if ruleID(plugin) {
		return plugin
	}
	return ""
}

// cves are named in tags, and by rules that look for known flaws in the name and the further text.
func (j *judge) cves(a *alert) []string {
	var out []string
	for tag := range a.Tags {
		out = append(out, j.cve.FindAllString(cut(tag, 200), finding.MaxIDs)...)
	}
	for _, text := range []string{string(a.Name), cut(string(a.Other), 64<<10)} {
		out = append(out, j.cve.FindAllString(text, finding.MaxIDs)...)
	}
	for i := range out {
		out[i] = strings.ToUpper(out[i])
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), finding.MaxIDs)]
}

func references(text string) []string {
	var out []string
	for line := range strings.Lines(cut(plain(text), 16<<10)) {
		line = strings.TrimSpace(line)
		u, err := url.Parse(line)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !slices.Contains(out, line) && len(out) < finding.MaxReferences {
			out = append(out, line)
		}
	}
	return out
}

// evidence shows what was sent and what came of it. It is left out where it would be the secret itself.
func evidence(a *alert, plugin string) string {
	var lines []string
	add := func(name string, value word, limit int) {
		if v := label(string(value), limit); v != "" {
			lines = append(lines, name+": "+v)
		}
	}
	add("Request", word(method(string(a.Method))+" "+withoutUser(string(a.URL))), 1000)
	if !revealing(plugin) {
		add("Attack", a.Attack, 1500)
		add("Evidence", a.Evidence, 2500)
		add("Note", word(plain(cut(string(a.Other), 16<<10))), 2500)
	}
	return cut(strings.Join(lines, "\n"), finding.MaxEvidence)
}

func withoutUser(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.User, u.Fragment = nil, ""
	return u.String()
}

// coverage is the target's whole site, or the part of it that the order was about, for the rules that came to their
// end, after a crawl that did, too. A crawl of a whole site that began at an inner page may have missed what a crawl
// from the root finds: its silence closes nothing.
func (j *judge) coverage() finding.Coverage {
	o := j.req.Options
	root := (j.target.Path == "" || j.target.Path == "/") && j.target.RawQuery == ""
	part := o.Bool("subtreeOnly") && !root
	if j.damaged || j.end == nil || j.rules == nil || j.end.Gone || (!root && !part) || !o.Bool("recurse") ||
		!j.end.Spider.whole() || (j.end.Ajax != "" && !j.end.Ajax.whole()) {
		return finding.Coverage{}
	}
	var rules []string
	add := func(ids []string) {
		for _, n := range ids[:min(len(ids), maxRules)] {
			if ruleID(n) {
				rules = append(rules, id+":"+n, id+":"+n+"-*")
			}
		}
	}
	if j.end.Passive.whole() {
		add(j.rules.Passive)
	}
	if j.end.Active != "" {
		add(j.rules.Active)
	}
	if len(rules) == 0 {
		return finding.Coverage{}
	}
	port := j.req.Target.Port()
	place := finding.Place{
		Host: finding.CanonicalHost(j.target.Hostname()), Ports: []finding.PortRange{{Protocol: "tcp", From: port, To: port}}, Rules: rules,
	}
	if part {
		place.Paths = []string{j.target.Path[:strings.LastIndexByte(j.target.Path, '/')+1] + "*"}
	}
	return finding.Coverage{Places: []finding.Place{place}}
}
