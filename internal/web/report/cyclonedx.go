package report

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	packageurl "github.com/package-url/packageurl-go"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// Names of properties that CycloneDX has no field for.
const (
	propertyEPSS       = "assay:epss"
	propertyKEV        = "assay:kev"
	propertyCategory   = "assay:category"
	propertyConfidence = "assay:confidence"
	propertyStatus     = "assay:status"
	propertyRule       = "assay:rule"
	propertyFixed      = "assay:fixedVersion"
	propertyFinding    = "assay:findingId"
	propertyOutcome    = "assay:outcome"
)

// CycloneDX writes what a scan knows of packages as a CycloneDX 1.6 BOM in JSON: packages that the engine listed or that
// findings name are components, hosts and services that were seen are services, findings about a package are
// vulnerabilities with ratings and what people decided. Whether the list is all that the target holds stands in the
// compositions. Results are read twice and never held; only the packages are. A scan that names no package has no BOM:
// an Unsupported fault of code FORMAT_NOT_SUPPORTED before the first byte.
func CycloneDX(w io.Writer, d ScanDocument, each Each) error {
	b := &bom{out: bufio.NewWriter(w), refs: map[string]int{}, places: map[release]string{}}
	whole, err := b.list(d)
	if err != nil {
		return err
	}
	if err := b.collect(each); err != nil {
		return err
	}
	if len(b.components) == 0 {
		return fault.New(fault.Unsupported, fault.CodeFormat,
			"this scan knows of no packages, so there is no bill of materials of it; take json, csv, sarif or html")
	}
	b.text(`{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":`)
	b.json("urn:uuid:" + string(d.Scan.ID))
	b.text(`,"version":1,"metadata":`)
	b.json(bomMetadata(d))
	b.text(`,"components":`)
	b.json(b.components)
	if services := bomServices(d.Assets); len(services) > 0 {
		b.text(`,"services":`)
		b.json(services)
	}
	b.text(`,"compositions":`)
	b.json([]cdx.Composition{{Aggregate: aggregate(d, whole), Assemblies: &[]cdx.BOMReference{"target"}}})
	b.text(`,"vulnerabilities":[`)
	if err := b.vulnerabilities(each); err != nil {
		return err
	}
	b.text("]}\n")
	if b.err != nil {
		return b.err
	}
	return b.out.Flush()
}

// bom is a document being written; the first error stops it.
type bom struct {
	out        *bufio.Writer
	components []cdx.Component
	refs       map[string]int     // where each stands among the components
	places     map[release]string // the reference of what findings name
	err        error
}

// release is a package as findings name it.
type release struct{ pkg, version string }

func (b *bom) text(s string) {
	if b.err == nil {
		_, b.err = b.out.WriteString(s)
	}
}

func (b *bom) json(v any) {
	if b.err != nil {
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		b.err = err
		return
	}
	_, b.err = b.out.Write(text)
}

// collect reads the packages that findings name, each once.
func (b *bom) collect(each Each) error {
	return each(func(r scan.Result) error {
		at := r.Location
		if at.Package == "" {
			return nil
		}
		if _, known := b.places[release{at.Package, at.Version}]; known {
			return nil
		}
		p := purl(at)
		b.places[release{at.Package, at.Version}] = p.ref
		if _, known := b.refs[p.ref]; known {
			return nil
		}
		b.refs[p.ref] = len(b.components)
		c := cdx.Component{BOMRef: p.ref, Type: cdx.ComponentTypeLibrary, Name: p.name, Group: p.group, Version: at.Version, PackageURL: p.purl}
		if at.Image != "" {
			c.Properties = &[]cdx.Property{{Name: "assay:image", Value: at.Image}}
		}
		b.components = append(b.components, c)
		return nil
	})
}

// named is a package as a BOM names it.
type named struct{ ref, purl, group, name string }

// purl names the package by its package URL. A parser that knew the ecosystem wrote one down; otherwise the type is
// generic.
func purl(at finding.Location) named {
	if p, err := packageurl.FromString(at.Package); err == nil && p.Name != "" {
		if p.Version == "" {
			p.Version = at.Version
		}
		s := p.ToString()
		return named{ref: s, purl: s, group: p.Namespace, name: p.Name}
	}
	p := packageurl.NewPackageURL(packageurl.TypeGeneric, "", at.Package, at.Version, nil, "")
	if err := p.Normalize(); err != nil {
		return named{ref: "package:" + at.Package + "@" + at.Version, name: at.Package}
	}
	s := p.ToString()
	return named{ref: s, purl: s, name: at.Package}
}

func (b *bom) vulnerabilities(each Each) error {
	first := true
	return each(func(r scan.Result) error {
		if r.Location.Package == "" {
			return nil
		}
		if !first {
			b.text(",")
		}
		first = false
		b.json(vulnerability(r, b.places[release{r.Location.Package, r.Location.Version}]))
		return b.err
	})
}

// vulnerability makes one entry of a result about the component affected. The same finding may be seen at two places, so the reference counts.
func vulnerability(r scan.Result, affected string) cdx.Vulnerability {
	f := NewFinding(r)
	v := cdx.Vulnerability{
		BOMRef: "finding:" + f.ID + "#" + strconv.Itoa(r.Ordinal), ID: f.Rule, Description: f.Title, Detail: f.Description,
		Recommendation: f.Remediation, Analysis: analysis(r.Status), Affects: &[]cdx.Affects{{Ref: affected}},
		Properties: properties(f), Ratings: ratings(f),
	}
	if !r.LastSeenAt.IsZero() {
		v.Updated = r.LastSeenAt.UTC().Format(time.RFC3339)
	}
	ids := slices.DeleteFunc(slices.Clone(f.CVE), func(id string) bool { return id == "" })
	var others []cdx.VulnerabilityReference
	for i, id := range ids {
		if i == 0 {
			v.ID, v.Source = id, cveSource(id)
			continue
		}
		others = append(others, cdx.VulnerabilityReference{ID: id, Source: cveSource(id)})
	}
	if len(others) > 0 {
		v.References = &others
	}
	if cwes := positive(r.CWE); len(cwes) > 0 {
		v.CWEs = &cwes
	}
	var advisories []cdx.Advisory
	for _, ref := range f.References {
		if u, err := url.Parse(ref); err == nil && absolute(ref) {
			advisories = append(advisories, cdx.Advisory{URL: u.String()})
		}
	}
	if len(advisories) > 0 {
		v.Advisories = &advisories
	}
	return v
}

func positive(ids []int) []int {
	var out []int
	for _, id := range ids {
		if id > 0 {
			out = append(out, id)
		}
	}
	return out
}

func cveSource(id string) *cdx.Source {
	if strings.HasPrefix(id, "CVE-") {
		return &cdx.Source{Name: "NVD", URL: "https://nvd.nist.gov/vuln/detail/" + url.PathEscape(id)}
	}
	return &cdx.Source{Name: "unknown"}
}

func ratings(f Finding) *[]cdx.VulnerabilityRating {
	own := cdx.VulnerabilityRating{Source: &cdx.Source{Name: "Assay"}, Severity: cdx.Severity(severityClass(f.Severity)), Method: cdx.ScoringMethodOther}
	if f.CVSS == nil {
		return &[]cdx.VulnerabilityRating{own}
	}
	score := f.CVSS.Score
	return &[]cdx.VulnerabilityRating{own, {
		Score: &score, Severity: cdx.Severity(severityClass(f.Severity)), Method: method(f.CVSS.Version), Vector: f.CVSS.Vector,
	}}
}

func method(version string) cdx.ScoringMethod {
	switch version {
	case "2.0", "2":
		return cdx.ScoringMethodCVSSv2
	case "3.0", "3":
		return cdx.ScoringMethodCVSSv3
	case "3.1":
		return cdx.ScoringMethodCVSSv31
	case "4.0", "4":
		return cdx.ScoringMethodCVSSv4
	}
	return cdx.ScoringMethodOther
}

// analysis says what people and scans decided. An open finding nobody has looked at is in triage.
func analysis(s finding.Status) *cdx.VulnerabilityAnalysis {
	switch s {
	case finding.Confirmed:
		return &cdx.VulnerabilityAnalysis{State: cdx.IASExploitable}
	case finding.Accepted:
		return &cdx.VulnerabilityAnalysis{State: cdx.IASExploitable, Response: &[]cdx.ImpactAnalysisResponse{cdx.IARWillNotFix}}
	case finding.FalsePositive:
		return &cdx.VulnerabilityAnalysis{State: cdx.IASFalsePositive}
	case finding.Fixed:
		return &cdx.VulnerabilityAnalysis{State: cdx.IASResolved}
	case finding.Open:
	}
	return &cdx.VulnerabilityAnalysis{State: cdx.IASInTriage}
}

// properties holds what CycloneDX has no place for; what isn't known is left out, never zero.
func properties(f Finding) *[]cdx.Property {
	out := []cdx.Property{{Name: propertyFinding, Value: f.ID}}
	add := func(name, value string) {
		if value != "" {
			out = append(out, cdx.Property{Name: name, Value: value})
		}
	}
	add(propertyRule, f.Rule)
	add(propertyCategory, f.Category)
	add(propertyConfidence, f.Confidence)
	add(propertyStatus, f.Status)
	add(propertyFixed, f.Location.FixedVersion)
	if f.EPSS != nil {
		add(propertyEPSS, strconv.FormatFloat(*f.EPSS, 'f', -1, 64))
	}
	if f.KEV != nil {
		add(propertyKEV, strconv.FormatBool(*f.KEV))
	}
	return &out
}

func bomMetadata(d ScanDocument) cdx.Metadata {
	s := d.Scan
	tools := []cdx.Component{
		{Type: cdx.ComponentTypeApplication, Name: "assay", Version: d.Version},
		{Type: cdx.ComponentTypeApplication, Name: s.Engine, Version: s.Version},
	}
	at := s.EndedAt
	if at.IsZero() {
		at = d.Now
	}
	return cdx.Metadata{
		Timestamp: at.UTC().Format(time.RFC3339), Tools: &cdx.ToolsChoice{Components: &tools},
		Component:  &cdx.Component{BOMRef: "target", Type: targetType(s.TargetType), Name: s.Target},
		Properties: &[]cdx.Property{{Name: propertyOutcome, Value: string(s.Outcome)}},
	}
}

func targetType(t asset.TargetType) cdx.ComponentType {
	switch t {
	case asset.TypeImage:
		return cdx.ComponentTypeContainer
	case asset.TypeHost, asset.TypeIP, asset.TypeNetwork:
		return cdx.ComponentTypeDevice
	case asset.TypeURL, asset.TypeDomain, asset.TypeRepository, asset.TypeFilesystem:
	}
	return cdx.ComponentTypeApplication
}

// bomServices are the hosts and services that the scan saw beside the packages.
func bomServices(seen []asset.Observation) []cdx.Service {
	var out []cdx.Service
	names := map[string]bool{}
	for _, a := range seen {
		if a.Kind != asset.KindHost && a.Kind != asset.KindService && a.Kind != asset.KindURL || a.Name == "" {
			continue
		}
		ref := string(a.Kind) + ":" + a.Name
		if names[ref] {
			continue
		}
		names[ref] = true
		s := cdx.Service{BOMRef: ref, Name: a.Name}
		if a.Kind == asset.KindURL && absolute(a.Name) {
			s.Endpoints = &[]string{a.Name}
		}
		out = append(out, s)
	}
	return out
}
