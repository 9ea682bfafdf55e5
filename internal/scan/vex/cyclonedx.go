package vex

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	packageurl "github.com/package-url/packageurl-go"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// bomWriter writes CycloneDX 1.6. Vulnerabilities stream; what they are about stands behind them, each once.
type bomWriter struct {
	places map[string]place // by reference
}

func (*bomWriter) begin(d *document, q Query, id string, at time.Time) {
	d.text(`{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:` +
		id + `","version":1,"metadata":`)
	meta := cdx.Metadata{
		Timestamp: at.Format(time.RFC3339),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "Assay"}}},
	}
	if q.Author != "" {
		meta.Authors = &[]cdx.OrganizationalContact{{Name: q.Author}}
	}
	d.json(meta)
	d.text(`,"vulnerabilities":[`)
}

func (w *bomWriter) add(d *document, s statement) error {
	ref := s.place.ref()
	if _, known := w.places[ref]; !known {
		if len(w.places) == maxPlaces {
			return fault.New(fault.Exhausted, fault.CodeTooLarge, "the document would speak of too many products; narrow it by host or scan")
		}
		w.places[ref] = s.place
	}
	v := cdx.Vulnerability{
		BOMRef: s.name(), ID: s.pair.CVE, Source: &cdx.Source{Name: "NVD", URL: "https://nvd.nist.gov/vuln/detail/" + s.pair.CVE},
		Description: s.found.Title, Recommendation: s.found.Remediation, Analysis: s.analysis(), Affects: &[]cdx.Affects{{Ref: ref}},
		Properties: &[]cdx.Property{{Name: "assay:findingId", Value: string(s.pair.Finding)}, {Name: "assay:status", Value: string(s.found.Status)}},
	}
	d.item(v)
	return nil
}

// analysis is a statement in CycloneDX's words.
func (s statement) analysis() *cdx.VulnerabilityAnalysis {
	a := &cdx.VulnerabilityAnalysis{Detail: s.reason()}
	if at := s.since(); !at.IsZero() {
		a.LastUpdated = at.UTC().Format(time.RFC3339)
	}
	switch s.found.Status {
	case finding.FalsePositive:
		if a.State = cdx.IASFalsePositive; s.justification() != "" {
			a.State, a.Justification = cdx.IASNotAffected, bomJustification(s.justification())
		}
	case finding.Accepted:
		a.State, a.Response, a.Detail = cdx.IASExploitable, &[]cdx.ImpactAnalysisResponse{cdx.IARWillNotFix}, s.action()
	case finding.Confirmed:
		a.State, a.Detail = cdx.IASExploitable, s.action()
	case finding.Fixed:
		a.State = cdx.IASResolved
	case finding.Open:
		a.State = cdx.IASInTriage
	}
	return a
}

func (w *bomWriter) end(d *document) {
	d.text("]")
	var components []cdx.Component
	var services []cdx.Service
	for _, ref := range slices.Sorted(maps.Keys(w.places)) {
		p := w.places[ref]
		switch {
		case p.component != "":
			c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: p.at.Package, Version: p.at.Version, PackageURL: p.component}
			if u, err := packageurl.FromString(p.component); err == nil {
				c.Name, c.Group = u.Name, u.Namespace
			}
			components = append(components, c)
		case p.at.Image != "":
			components = append(components, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeContainer, Name: p.at.Image, PackageURL: p.product})
		case p.at.Host != "":
			services = append(services, cdx.Service{BOMRef: ref, Name: hostName(p.at)})
		default:
			components = append(components, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeFile, Name: first(p.at.File, ref)})
		}
	}
	if len(components) > 0 {
		d.text(`,"components":`)
		d.json(components)
	}
	if len(services) > 0 {
		d.text(`,"services":`)
		d.json(services)
	}
	d.text("}\n")
}

// hostName is a host, or a service of it, for people.
func hostName(at finding.Location) string {
	if at.Port == 0 {
		return at.Host
	}
	return at.Host + " " + strconv.Itoa(at.Port) + "/" + at.Protocol
}

// bomJustification is the nearest of CycloneDX's words for one of OpenVEX's.
func bomJustification(openVEX string) cdx.ImpactAnalysisJustification {
	switch openVEX {
	case "component_not_present", "vulnerable_code_not_present":
		return cdx.IAJCodeNotPresent
	case "vulnerable_code_not_in_execute_path":
		return cdx.IAJCodeNotReachable
	case "vulnerable_code_cannot_be_controlled_by_adversary":
		return cdx.IAJRequiresEnvironment
	case "inline_mitigations_already_exist":
		return cdx.IAJProtectedByMitigatingControl
	}
	return ""
}

// ownJustification is the way back; ok is false for a word that isn't CycloneDX's.
func ownJustification(j cdx.ImpactAnalysisJustification) (openVEX string, ok bool) {
	switch j {
	case "":
		return "", true
	case cdx.IAJCodeNotPresent:
		return "vulnerable_code_not_present", true
	case cdx.IAJCodeNotReachable:
		return "vulnerable_code_not_in_execute_path", true
	case cdx.IAJRequiresConfiguration, cdx.IAJRequiresDependency, cdx.IAJRequiresEnvironment:
		return "vulnerable_code_cannot_be_controlled_by_adversary", true
	case cdx.IAJProtectedByCompiler, cdx.IAJProtectedAtRuntime, cdx.IAJProtectedAtPerimeter, cdx.IAJProtectedByMitigatingControl:
		return "inline_mitigations_already_exist", true
	}
	return "", false
}

// bomDocument is the frame of a BOM, as much of it as VEX needs.
type bomDocument struct {
	Format       string `json:"bomFormat"`
	Spec         string `json:"specVersion"`
	SerialNumber string `json:"serialNumber"`
	Metadata     struct {
		Component *bomComponent `json:"component"`
		Timestamp string        `json:"timestamp"`
	} `json:"metadata"`
	Components      []bomComponent    `json:"components"`
	Services        []bomComponent    `json:"services"`
	Vulnerabilities []json.RawMessage `json:"vulnerabilities"`
}

// bomComponent is a component or service by its names.
type bomComponent struct {
	Ref        string         `json:"bom-ref"`
	Group      string         `json:"group"`
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	PackageURL string         `json:"purl"`
	Components []bomComponent `json:"components"`
	Services   []bomComponent `json:"services"`
}

// readBOM reads a BOM's claims. Vulnerabilities without an analysis claim nothing.
func readBOM(b []byte) (claims, error) {
	var doc bomDocument
	if err := json.Unmarshal(b, &doc); err != nil {
		return claims{}, wrong("", "isn't a CycloneDX document: something in it has a wrong form").Because(err)
	}
	switch doc.Spec {
	case "1.4", "1.5", "1.6":
	default:
		return claims{}, wrong("specVersion", "must be 1.4, 1.5 or 1.6")
	}
	if len(doc.Vulnerabilities) == 0 || len(doc.Vulnerabilities) > maxStatements {
		return claims{}, wrong("vulnerabilities", "must hold from 1 to 50,000 entries")
	}
	known := map[string]target{}
	if doc.Metadata.Component != nil {
		note(known, []bomComponent{*doc.Metadata.Component})
	}
	note(known, doc.Components)
	note(known, doc.Services)
	out := claims{format: CycloneDX, id: doc.SerialNumber}
	for i, raw := range doc.Vulnerabilities {
		at := "vulnerabilities[" + strconv.Itoa(i) + "]"
		var v cdx.Vulnerability
		if err := json.Unmarshal(raw, &v); err != nil {
			return claims{}, wrong(at, "has a wrong form").Because(err)
		}
		c, err := bomClaim(v, known, at)
		if err != nil {
			return claims{}, err
		}
		c.index, c.at = i, stamp(doc.Metadata.Timestamp)
		if v.Analysis != nil && !stamp(v.Analysis.LastUpdated).IsZero() {
			c.at = stamp(v.Analysis.LastUpdated)
		}
		out.list = append(out.list, c)
	}
	return out, nil
}

func stamp(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// note remembers what references stand for.
func note(known map[string]target, list []bomComponent) {
	for _, c := range list {
		t := target{}
		switch {
		case c.PackageURL != "":
			t.purl = parsePackage(c.PackageURL)
		case c.Group != "":
			t.name, t.version = c.Group+"/"+c.Name, c.Version
		default:
			t.name, t.version = c.Name, c.Version
		}
		if strings.HasPrefix(c.Ref, namespace) {
			t = parseTarget(c.Ref)
		}
		if c.Ref != "" {
			known[c.Ref] = t
		}
		note(known, c.Components)
		note(known, c.Services)
	}
}

func bomClaim(v cdx.Vulnerability, known map[string]target, at string) (claim, error) {
	names := []string{v.ID}
	if v.References != nil {
		for _, r := range *v.References {
			names = append(names, r.ID)
		}
	}
	c := claim{cves: cves(names)}
	if v.Analysis == nil || v.Analysis.State == "" {
		c.silent = true
		return c, nil
	}
	c.reason = strings.TrimSpace(v.Analysis.Detail)
	switch v.Analysis.State {
	case cdx.IASNotAffected, cdx.IASFalsePositive:
		c.status = finding.FalsePositive
		var ok bool
		if c.justification, ok = ownJustification(v.Analysis.Justification); !ok {
			return c, wrong(at+".analysis.justification", "isn't one of CycloneDX's")
		}
	case cdx.IASExploitable:
		c.status = finding.Confirmed
	case cdx.IASResolved, cdx.IASResolvedWithPedigree:
		c.status = finding.Fixed
	case cdx.IASInTriage:
		c.status = finding.Open
	default:
		return c, wrong(at+".analysis.state", "isn't one of CycloneDX's")
	}
	if v.Affects == nil {
		return c, nil
	}
	if len(*v.Affects) > maxTargets {
		return c, wrong(at+".affects", "are too many")
	}
	for _, a := range *v.Affects {
		t, ok := known[a.Ref]
		if !ok {
			// A link into another BOM names its component behind the "#".
			_, ref, _ := strings.Cut(a.Ref, "#")
			if t, ok = known[ref]; !ok {
				t = parseTarget(a.Ref)
			}
		}
		c.where = append(c.where, scope{products: []target{t}})
	}
	return c, nil
}
