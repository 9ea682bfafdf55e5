package report

import (
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// maxOccurrences bounds the files that a component is said to be found in.
const maxOccurrences = 20

// list reads the packages that the engine listed, each once with the files that name it.
func (b *bom) list(d ScanDocument) (whole bool, err error) {
	if d.Packages == nil {
		return false, nil
	}
	return d.Packages(func(p finding.Package) error {
		at := purl(finding.Location{Package: firstOf(p.PURL, p.Name), Version: p.Version})
		b.places[release{unversioned(p.PURL, p.Version), p.Version}] = at.ref
		b.places[release{p.Name, p.Version}] = at.ref
		if i, known := b.refs[at.ref]; known {
			occurs(&b.components[i], p.File)
			return nil
		}
		b.refs[at.ref] = len(b.components)
		c := cdx.Component{BOMRef: at.ref, Type: cdx.ComponentTypeLibrary, Name: at.name, Group: at.group, Version: p.Version, PackageURL: at.purl}
		if p.Dev {
			c.Scope = cdx.ScopeExcluded
		}
		c.Licenses = licences(p.Licences)
		occurs(&c, p.File)
		b.components = append(b.components, c)
		return nil
	})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// unversioned is a package URL as findings name a package, without the version that it ends in.
func unversioned(purl, version string) string {
	if i := strings.LastIndexByte(purl, '@'); i > strings.LastIndexByte(purl, '/') && version != "" {
		return purl[:i]
	}
	return purl
}

// occurs notes a file that names the component.
func occurs(c *cdx.Component, file string) {
	if file == "" {
		return
	}
	if c.Evidence == nil {
		c.Evidence = &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{}}
	}
	if o := c.Evidence.Occurrences; len(*o) < maxOccurrences {
		*o = append(*o, cdx.EvidenceOccurrence{Location: file})
	}
}

// licences are given by name: what engines say is an SPDX id only now and then.
func licences(names []string) *cdx.Licenses {
	var out cdx.Licenses
	for _, n := range names {
		if n != "" {
			out = append(out, cdx.LicenseChoice{License: &cdx.License{Name: n}})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &out
}

// aggregate says whether the components are all that the target holds, as far as the engine can tell.
func aggregate(d ScanDocument, whole bool) cdx.CompositionAggregate {
	switch {
	case d.Packages == nil:
		return cdx.CompositionAggregateUnknown
	case whole && d.Scan.Outcome == engine.Complete:
		return cdx.CompositionAggregateComplete
	}
	return cdx.CompositionAggregateIncomplete
}
