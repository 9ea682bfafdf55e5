package trivy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Bounds of what is kept of one report.
const (
	maxItems = 500_000 // findings and packages told
	maxText  = 255     // bytes of names, versions and the like
)

// Parse implements engine.Engine. Each finding and package is told once. The coverage of a report alone is empty: which
// scanners had their database is known to the run.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	p := parser{at: place(req.Target), yield: yield, told: map[[16]byte]bool{}}
	if a, ok := targetAsset(req.Target); ok {
		p.target = &a
	}
	err := read(raw, events{pkg: p.pkg, vuln: p.vuln, misconf: p.misconf, leak: p.leak, licence: p.licence})
	return finding.Coverage{}, err
}

type parser struct {
	at     finding.Location
	target *asset.Observation // told before anything else
	yield  func(engine.Item) error
	told   map[[16]byte]bool
	seen   map[string]int // how often a key came, for ordinals within one section
	in     section
}

// tell hands an item on unless one of its identity was told.
func (p *parser) tell(item engine.Item, identity ...string) error {
	if p.target != nil {
		first := engine.Item{Asset: p.target}
		p.target = nil
		if err := p.yield(first); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(identity, "\x00")))
	key := [16]byte(sum[:16])
	if p.told[key] || len(p.told) >= maxItems {
		return nil
	}
	p.told[key] = true
	return p.yield(item)
}

func (p *parser) find(o finding.Observation) error {
	at := o.Location
	return p.tell(engine.Item{Finding: &o}, "f", o.Rule, o.Discern, at.Package, at.File)
}

// ordinal tells equal keys of one section apart: the first is the key itself.
func (p *parser) ordinal(at section, key string) string {
	if p.seen == nil || p.in != at {
		p.seen, p.in = map[string]int{}, at
	}
	p.seen[key]++
	if n := p.seen[key]; n > 1 {
		return key + "#" + strconv.Itoa(n)
	}
	return key
}

// file is where something lies within the target: relative in trees, as the image has it in images. What stands for
// the whole target has no file.
func (p *parser) file(at section, inner string) string {
	if inner != "" {
		return engine.Clip(inner, 2048)
	}
	if at.Class == "os-pkgs" || at.Class == "license" || p.whole(at) {
		return ""
	}
	return engine.Clip(at.Target, 2048)
}

// whole reports whether a section is about the image itself: its target is then the reference or the archive.
func (p *parser) whole(at section) bool {
	if p.at.Image == "" {
		return false
	}
	switch at.Class {
	case "config":
		return at.Type == "dockerfile"
	case "secret":
		return !strings.HasPrefix(at.Target, "/")
	}
	return at.Class == "lang-pkgs" // the collective sections "Node.js", "Python", "Java"
}

func (p *parser) pkg(at section, k pkg) error {
	if k.Name == "" || k.Version == "" {
		return nil // the tree's own module
	}
	purl := steady(k.Identifier.PURL, true)
	typ, _, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:"), "/")
	out := finding.Package{
		Name: engine.Clip(k.Name, maxText), Version: version(k), PURL: purl, Type: typ, File: p.file(at, k.FilePath), Dev: k.Dev,
	}
	for _, l := range k.Licenses[:min(len(k.Licenses), finding.MaxReferences)] {
		if l = engine.Clip(l, maxText); l != "" {
			out.Licences = append(out.Licences, l)
		}
	}
	return p.tell(engine.Item{Package: &out}, "p", out.Name, out.Version, out.Type, out.File)
}

// version is a package's whole version, as findings name it, too.
func version(k pkg) string {
	v := k.Version
	if k.Release != "" {
		v += "-" + k.Release
	}
	if k.Epoch != 0 {
		v = strconv.Itoa(k.Epoch) + ":" + v
	}
	return engine.Clip(v, maxText)
}

func (p *parser) vuln(at section, v vuln) error {
	flaw := engine.Clip(strings.ToUpper(v.VulnerabilityID), 64)
	if flaw == "" || v.PkgName == "" {
		return nil
	}
	o := finding.Observation{
		Rule: rulePrefix(scanVuln) + flaw, Title: v.title(flaw), Description: engine.Prose(v.Description, finding.MaxDescription),
		Severity: severity(v.Severity), Confidence: finding.Firm, Category: finding.CategoryVulnerability,
		CWE: weaknesses(v.CweIDs), CVSS: v.score(), Location: p.at, References: links(v.PrimaryURL, v.References),
	}
	o.Location.File = p.file(at, v.PkgPath)
	o.Location.Package = cmp.Or(steady(v.PkgIdentifier.PURL, false), engine.Clip(v.PkgName, maxText))
	o.Location.Version, o.Location.FixedVersion = engine.Clip(v.InstalledVersion, maxText), engine.Clip(v.FixedVersion, maxText)
	for _, name := range append([]string{flaw}, v.VendorIDs[:min(len(v.VendorIDs), finding.MaxIDs-1)]...) {
		name = engine.Clip(strings.ToUpper(name), 64)
		switch {
		case name == "":
		case strings.HasPrefix(name, "CVE-"):
			o.CVE = appendNew(o.CVE, name)
		default:
			o.Advisories = appendNew(o.Advisories, name)
		}
	}
	o.Evidence = engine.Clip(v.PkgName+" "+v.InstalledVersion, 2*maxText)
	o.Remediation = "No fixed version is known."
	if o.Location.FixedVersion != "" {
		o.Remediation = "Upgrade " + engine.Clip(v.PkgName, maxText) + " to " + o.Location.FixedVersion + "."
	}
	return p.find(o)
}

func (v vuln) title(flaw string) string {
	text := cmp.Or(engine.Clip(v.Title, 180), "Known vulnerability in "+engine.Clip(v.PkgName, 100))
	return engine.Clip(text+" ("+flaw+")", finding.MaxTitle)
}

func (p *parser) misconf(at section, m misconf) error {
	rule := check(m)
	if rule == "" || m.Status != "" && m.Status != "FAIL" {
		return nil
	}
	discern := engine.Clip(m.CauseMetadata.Resource, maxText)
	if discern == "" {
		discern = textHash(m.CauseMetadata.Code.text())
	}
	o := finding.Observation{
		Rule: rulePrefix(scanMisconfig) + rule, Discern: p.ordinal(at, rule+"\x00"+discern)[len(rule)+1:],
		Title: engine.Clip(cmp.Or(m.Title, rule), finding.MaxTitle), Description: engine.Prose(m.Description, finding.MaxDescription),
		Severity: severity(m.Severity), Confidence: finding.Firm, Category: finding.CategoryConfig, CWE: weaknessOf(rule),
		Location: p.at, Remediation: engine.Prose(m.Resolution, finding.MaxRemediation), References: links(m.PrimaryURL, m.References),
		Evidence: engine.Prose(strings.TrimSpace(m.Message+"\n"+m.CauseMetadata.Code.text()), finding.MaxEvidence),
	}
	o.Location.File = p.file(at, "")
	if o.Location.File != "" {
		o.Location.Line = max(m.CauseMetadata.StartLine, 0)
	}
	return p.find(o)
}

// check returns a check's id in the one form that Trivy uses today: releases before 0.7x said DS002 and AVD-DS-0002.
func check(m misconf) string {
	name := strings.TrimPrefix(strings.ToUpper(cmp.Or(m.AVDID, m.ID)), "AVD-")
	if letters := strings.TrimRight(name, "0123456789"); letters != name && letters != "" && !strings.Contains(name, "-") {
		if n, err := strconv.Atoi(name[len(letters):]); err == nil && n < 10_000 {
			digits := strconv.Itoa(n)
			return letters + "-" + strings.Repeat("0", 4-len(digits)) + digits
		}
	}
	return engine.Clip(name, 64)
}

// text returns the lines that are at fault.
func (c code) text() string {
	var out []string
	for _, l := range c.Lines {
		if l.IsCause && len(out) < 20 {
			out = append(out, engine.Clip(l.Content, 400))
		}
	}
	return strings.Join(out, "\n")
}

func (p *parser) leak(at section, l leak) error {
	rule := engine.Clip(l.RuleID, 80)
	if rule == "" {
		return nil
	}
	left, _, _ := strings.Cut(l.Match, "*")
	left, _, _ = strings.Cut(left, "[masked") // what keeps raw output may mask once more, by the name before the value
	left = engine.Clip(left, 80)
	discern := p.ordinal(at, rule+"\x00"+textHash(left))[len(rule)+1:]
	if p.whole(at) {
		discern = "image configuration " + discern
	}
	o := finding.Observation{
		Rule: rulePrefix(scanSecret) + rule, Discern: discern, Title: engine.Clip(cmp.Or(l.Title, rule)+" in the open", finding.MaxTitle),
		Description: "The target holds what looks like a secret. Whoever can read the target can use it.",
		Severity:    severity(l.Severity), Confidence: finding.Firm, Category: finding.CategorySecret, CWE: []int{798}, Location: p.at,
		Evidence:    strings.TrimSpace(left) + " ********",
		Remediation: "Revoke the secret and make a new one, then take it out of the target and its history.",
		Secret:      printOf(l.AssayFingerprint),
	}
	o.Location.File = p.file(at, "")
	if o.Location.File != "" {
		o.Location.Line = max(l.StartLine, 0)
	}
	return p.find(o)
}

func (p *parser) licence(at section, l licence) error {
	// The others are listed with the packages; an obligation that is met by naming an author is no weakness.
	if l.Name == "" || l.Category != "restricted" && l.Category != "forbidden" {
		return nil
	}
	o := finding.Observation{
		Rule: rulePrefix(scanLicense) + engine.Clip(l.Name, 80), Title: engine.Clip("Licence "+l.Name+" ("+l.Category+")", finding.MaxTitle),
		Description: "The licence restricts how a product that holds this may be distributed or used.",
		Severity:    severity(l.Severity), Confidence: finding.Firm, Category: finding.CategoryConfig, Location: p.at,
		Remediation: "Check with whoever answers for licences, or replace the package.", References: links(l.Link, nil),
	}
	o.Location.Package, o.Location.File = engine.Clip(l.PkgName, maxText), p.file(at, l.FilePath)
	return p.find(o)
}

// targetAsset is the image or repository itself.
func targetAsset(t asset.Target) (asset.Observation, bool) {
	kind := asset.KindImage
	switch t.Type() {
	case asset.TypeImage:
	case asset.TypeRepository:
		kind = asset.KindRepository
	case asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork, asset.TypeFilesystem:
		return asset.Observation{}, false
	}
	name := t.String()
	if len(name) > asset.MaxName {
		return asset.Observation{}, false
	}
	return asset.Observation{Kind: kind, Name: name, Attributes: json.RawMessage("{}"), Source: id}, true
}

// textHash is a short digest of a text, for telling two places of one file apart.
func textHash(s string) string {
	if s = strings.Join(strings.Fields(s), " "); s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
