package report

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
)

const (
	sarifVersion = "2.1.0"
	sarifSchema  = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	// maxRules bounds the rules described in a document; results of further ones name their rule only.
	maxRules = 10_000
)

// SARIF writes results as SARIF 2.1.0 (OASIS, errata 01). Results are streamed; the rules they name are described once,
// behind them.
func SARIF(w io.Writer, s scan.Scan, each Each) error {
	return writeSARIF(w, sarifRun{
		name: "Assay " + s.Engine, version: s.Version, id: "assay/" + s.Engine + "/" + string(s.ID), fallback: target(s),
		invocation: invocation(s),
		properties: map[string]any{"target": s.Target, "targetType": s.TargetType, "status": s.Status, "outcome": s.Outcome},
	}, func(f func(scan.Result, string) error) error {
		return each(func(r scan.Result) error { return f(r, "") })
	})
}

// sarifRun is what a document says beside its results.
type sarifRun struct {
	name, version string // of the tool
	id            string // of the run, stable parts first
	fallback      string // address for findings that name no place
	invocation    map[string]any
	properties    map[string]any
}

// eachState streams results with their baseline state; empty = not compared.
type eachState func(f func(r scan.Result, state string) error) error

func writeSARIF(w io.Writer, run sarifRun, each eachState) error {
	out := bufio.NewWriter(w)
	d := &sarifDoc{out: out, rules: map[string]int{}, fallback: run.fallback}
	d.text(`{"$schema":"` + sarifSchema + `","version":"` + sarifVersion + `","runs":[{"results":[`)
	first := true
	err := each(func(r scan.Result, state string) error {
		if !first {
			d.text(",")
		}
		first = false
		v := d.result(r)
		v.State = state
		d.json(v)
		return d.err
	})
	if err != nil {
		return err
	}
	d.text(`],"tool":`)
	d.json(map[string]any{"driver": d.driver(run)})
	d.text(`,"invocations":`)
	d.json([]any{run.invocation})
	d.text(`,"automationDetails":`)
	d.json(map[string]any{"id": run.id})
	d.text(`,"columnKind":"utf16CodeUnits","properties":`)
	d.json(run.properties)
	d.text("}]}\n")
	if d.err != nil {
		return d.err
	}
	return out.Flush()
}

// sarifDoc is a document being written; the first error stops it.
type sarifDoc struct {
	out   *bufio.Writer
	rules map[string]int // index by rule id
	known []sarifRule
	// fallback is the address of the target, for findings that name no place.
	fallback string
	err      error
}

func (d *sarifDoc) text(s string) {
	if d.err == nil {
		_, d.err = d.out.WriteString(s)
	}
}

func (d *sarifDoc) json(v any) {
	if d.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		d.err = err
		return
	}
	_, d.err = d.out.Write(b)
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID               string          `json:"id"`
	Default          sarifDefault    `json:"defaultConfiguration"`
	ShortDescription sarifMessage    `json:"shortDescription"`
	FullDescription  *sarifMessage   `json:"fullDescription,omitempty"`
	Help             sarifMessage    `json:"help"`
	HelpURI          string          `json:"helpUri,omitempty"`
	Properties       sarifRuleExtras `json:"properties"`
}

// sarifDefault is how bad a result of the rule is at most in this document.
type sarifDefault struct {
	Level string `json:"level"`
}

type sarifRuleExtras struct {
	SecuritySeverity string   `json:"security-severity"`
	Precision        string   `json:"precision,omitempty"`
	Tags             []string `json:"tags"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    *int               `json:"ruleIndex,omitempty"`
	Level        string             `json:"level"`
	Kind         string             `json:"kind"`
	State        string             `json:"baselineState,omitempty"`
	Message      sarifMessage       `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Properties   sarifResultExtras  `json:"properties"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

type sarifResultExtras struct {
	ID         string   `json:"findingId"`
	Severity   string   `json:"severity"`
	Confidence string   `json:"confidence"`
	Category   string   `json:"category"`
	Status     string   `json:"status"`
	CVE        []string `json:"cve"`
	CWE        []string `json:"cwe"`
	Engines    []string `json:"engines"`
	CVSS       string   `json:"cvssVector,omitempty"`
	EPSS       *float64 `json:"epss,omitempty"`
	KEV        *bool    `json:"kev,omitempty"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region *sarifRegion `json:"region,omitempty"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

// result makes one SARIF result and notes its rule.
func (d *sarifDoc) result(r scan.Result) sarifResult {
	f := NewFinding(r)
	text := f.Title
	if f.Description != "" {
		text += "\n" + f.Description
	}
	out := sarifResult{
		RuleID: f.Rule, RuleIndex: d.rule(f), Level: level(r.Severity), Kind: "fail", Message: sarifMessage{text},
		Locations:    []sarifLocation{d.location(f.Location)},
		Fingerprints: fingerprints(r),
		Properties: sarifResultExtras{
			ID: f.ID, Severity: f.Severity, Confidence: f.Confidence, Category: f.Category, Status: f.Status, CVE: f.CVE,
			CWE: f.CWE, Engines: f.Engines, EPSS: f.EPSS, KEV: f.KEV,
		},
	}
	if f.CVSS != nil {
		out.Properties.CVSS = f.CVSS.Vector
	}
	if r.Status == finding.FalsePositive || r.Status == finding.Accepted {
		out.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: "triaged as " + f.Status}}
	}
	return out
}

// fingerprints tell a result from every other over scans. Code hosts know the first name only.
func fingerprints(r scan.Result) map[string]string {
	out := map[string]string{"primaryLocationLineHash": r.Fingerprint + ":1"}
	if r.Fingerprint != "" {
		out["assayWeakness/v1"] = r.Fingerprint
	}
	if r.Occurrence != "" {
		out["primaryLocationLineHash"] = r.Occurrence + ":1"
		out["assayOccurrence/v1"] = r.Occurrence
	}
	return out
}

// location falls back on the target: a code host refuses a result that is nowhere.
func (d *sarifDoc) location(at finding.Location) sarifLocation {
	out := location(at)
	if out.Physical == nil {
		out.Physical = &sarifPhysical{}
		out.Physical.Artifact.URI = d.fallback
	}
	return out
}

// maxTags is what code hosts take of a rule.
const maxTags = 20

// rule returns the index of a finding's rule, nil where there are too many to describe. A rule is as bad as the worst
// of its results.
func (d *sarifDoc) rule(f Finding) *int {
	i, ok := d.rules[f.Rule]
	if ok {
		if was := &d.known[i]; number10(score(f)) > number10(was.Properties.SecuritySeverity) {
			was.Properties.SecuritySeverity, was.Default.Level = score(f), level(finding.Severity(f.Severity))
		}
		return &i
	}
	if len(d.known) >= maxRules {
		return nil
	}
	i = len(d.known)
	d.rules[f.Rule] = i
	d.known = append(d.known, describe(f))
	return &i
}

func describe(f Finding) sarifRule {
	rule := sarifRule{
		ID: f.Rule, ShortDescription: sarifMessage{f.Title}, Default: sarifDefault{level(finding.Severity(f.Severity))},
		Help: sarifMessage{help(f)}, Properties: sarifRuleExtras{SecuritySeverity: score(f), Precision: precision(f.Confidence), Tags: tags(f)},
	}
	if f.Description != "" {
		rule.FullDescription = &sarifMessage{f.Description}
	}
	for _, ref := range f.References {
		if absolute(ref) {
			rule.HelpURI = ref
			break
		}
	}
	return rule
}

// help is what code hosts show beside a result: what to do, else what it is.
func help(f Finding) string {
	for _, text := range []string{f.Remediation, f.Description, f.Title} {
		if text != "" {
			return text
		}
	}
	return f.Rule
}

// tags names the weaknesses in the way that code hosts look for.
func tags(f Finding) []string {
	out := append([]string{"security", f.Category}, f.CWE...)
	for _, id := range f.CWE {
		out = append(out, "external/cwe/"+strings.ToLower(id))
	}
	out = slices.DeleteFunc(out, func(s string) bool { return s == "" })
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxTags)]
}

func precision(confidence string) string {
	switch finding.Confidence(confidence) {
	case finding.Certain:
		return "very-high"
	case finding.Firm:
		return "high"
	case finding.Tentative:
		return "low"
	}
	return ""
}

func number10(s string) float64 {
	n, _ := strconv.ParseFloat(s, 64) // one of our own
	return n
}

func (d *sarifDoc) driver(run sarifRun) map[string]any {
	rules := d.known
	if rules == nil {
		rules = []sarifRule{}
	}
	v := map[string]any{"name": run.name, "informationUri": "https://assay.dev", "rules": rules}
	if run.version != "" {
		v["version"] = run.version
	}
	return v
}

func invocation(s scan.Scan) map[string]any {
	v := map[string]any{"executionSuccessful": s.Status == scan.Completed}
	if !s.StartedAt.IsZero() {
		v["startTimeUtc"] = s.StartedAt.UTC().Format(time.RFC3339)
	}
	if !s.EndedAt.IsZero() {
		v["endTimeUtc"] = s.EndedAt.UTC().Format(time.RFC3339)
	}
	if len(s.Reasons) > 0 {
		notes := make([]any, len(s.Reasons))
		for i, r := range s.Reasons {
			notes[i] = map[string]any{"level": "warning", "message": sarifMessage{r}}
		}
		v["toolExecutionNotifications"] = notes
	}
	return v
}

func level(s finding.Severity) string {
	switch s {
	case finding.Critical, finding.High:
		return "error"
	case finding.Medium:
		return "warning"
	case finding.Low, finding.Info:
		return "note"
	}
	return "note"
}

// score is the number by which code hosts sort: the CVSS score, else the middle of the severity's range.
func score(f Finding) string {
	if f.CVSS != nil {
		return strconv.FormatFloat(f.CVSS.Score, 'f', 1, 64)
	}
	switch finding.Severity(f.Severity) {
	case finding.Critical:
		return "9.5"
	case finding.High:
		return "8.0"
	case finding.Medium:
		return "5.5"
	case finding.Low:
		return "2.5"
	case finding.Info:
		return "0.0"
	}
	return "0.0"
}

// location says where in both of SARIF's ways: an address of a thing, and a name.
func location(at finding.Location) sarifLocation {
	var out sarifLocation
	if uri := artifact(at); uri != "" {
		out.Physical = &sarifPhysical{}
		out.Physical.Artifact.URI = uri
		if at.File != "" && at.Line > 0 {
			out.Physical.Region = &sarifRegion{StartLine: at.Line}
		}
	}
	switch {
	case at.Package != "":
		out.Logical = []sarifLogical{{Name: strings.TrimSuffix(at.Package+"@"+at.Version, "@"), Kind: "package"}}
	case at.Parameter != "":
		out.Logical = []sarifLogical{{Name: at.Parameter, Kind: "parameter"}}
	case at.Host != "":
		out.Logical = []sarifLogical{{Name: service(at), Kind: "resource"}}
	}
	return out
}

// target is the address of what was scanned.
func target(s scan.Scan) string {
	if absolute(s.Target) {
		if u, err := url.Parse(s.Target); err == nil {
			return u.String()
		}
	}
	return "target:" + url.PathEscape(s.Target)
}

func artifact(at finding.Location) string {
	switch {
	case at.File != "":
		return (&url.URL{Path: strings.TrimPrefix(at.File, "/")}).String()
	case at.URL != "":
		u, err := url.Parse(at.URL)
		if err != nil {
			return ""
		}
		return u.String()
	case at.Image != "":
		return "docker://" + (&url.URL{Path: at.Image}).EscapedPath()
	case absolute(at.Host): // a repository
		return at.Host
	case strings.Contains(at.Host, "/"): // a folder
		return (&url.URL{Scheme: "file", Path: at.Host}).String()
	case at.Host != "":
		scheme := at.Protocol
		if scheme == "" {
			scheme = "tcp"
		}
		if at.Port == 0 {
			return (&url.URL{Scheme: "host", Host: bracketed(at.Host)}).String()
		}
		return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(at.Host, strconv.Itoa(at.Port))}).String()
	}
	return ""
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func service(at finding.Location) string {
	if at.Port == 0 {
		return at.Host
	}
	name := net.JoinHostPort(at.Host, strconv.Itoa(at.Port))
	if at.Protocol != "" {
		name += "/" + at.Protocol
	}
	return name
}

func absolute(ref string) bool {
	u, err := url.Parse(ref)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
