package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/fault"
)

// bomSchema is the published schema of CycloneDX 1.6 (Apache 2.0; its licence lies beside it).
func bomSchema(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", "cyclonedx", name))
		if err != nil {
			tb.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			tb.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name, doc); err != nil {
			tb.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func packages() []scan.Result {
	first, second, third := sample()[0], sample()[1], sample()[2]
	first.CVE = []string{"CVE-2021-44228", "GHSA-jfh8-c2jp-5v3q"}
	first.Location = finding.Location{Package: "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", Version: "2.14.1", FixedVersion: "2.17.1", Image: "registry.example.org/shop:1"}
	second.Location = finding.Location{Package: "openssl", Version: "3.0.1", File: "/usr/lib/libssl.so"}
	second.CVSS, second.Status = &finding.CVSS{Version: "4.0", Vector: "CVSS:4.0/AV:N", Score: 8.7}, finding.FalsePositive
	third.Location = finding.Location{Package: "openssl", Version: "3.0.1"}
	return []scan.Result{first, second, third, sample()[3]}
}

func image() report.ScanDocument {
	d := scanDocument()
	d.Scan.Target, d.Scan.TargetType, d.Scan.Engine = "registry.example.org/shop:1", asset.TypeImage, "trivy"
	d.Assets = append(d.Assets, asset.Observation{Kind: asset.KindHost, Name: "shop.example.org"}, asset.Observation{Kind: asset.KindURL, Name: "https://shop.example.org/"})
	return d
}

func TestABillOfMaterialsIsValidByItsSchema(t *testing.T) {
	t.Parallel()
	schema := bomSchema(t)
	var b bytes.Buffer
	if err := report.CycloneDX(&b, image(), results(packages()...)); err != nil {
		t.Fatal(err)
	}
	conforms(t, schema, b.Bytes())
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, b.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "scan.cdx.json", pretty.Bytes())

	var read cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b.Bytes()), cdx.BOMFileFormatJSON).Decode(&read); err != nil {
		t.Fatal(err)
	}
	if read.SpecVersion != cdx.SpecVersion1_6 || len(*read.Components) != 2 || len(*read.Vulnerabilities) != 3 || len(*read.Services) != 3 {
		t.Errorf("%+v", read)
	}
	refs := map[string]bool{}
	for _, c := range *read.Components {
		refs[c.BOMRef] = true
	}
	for _, v := range *read.Vulnerabilities {
		if !refs[(*v.Affects)[0].Ref] {
			t.Errorf("%s affects %s, which isn't a component", v.ID, (*v.Affects)[0].Ref)
		}
	}
}

func conforms(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, s *jsonschema.Schema, text []byte,
) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func TestWhateverAPackageIsCalledTheBillIsValid(t *testing.T) {
	t.Parallel()
	schema := bomSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.OneOf(rapid.String(), rapid.SampledFrom(append(hostileTexts(), "pkg:npm/%40a/b@1", "pkg:", "pkg:x", "http://[::1", "https://a b", "@scope/name")))
		r := sample()[0]
		r.Location = finding.Location{Package: said.Draw(t, "package") + "x", Version: said.Draw(t, "version"), FixedVersion: said.Draw(t, "fixed"), Image: said.Draw(t, "image")}
		r.Title, r.Rule, r.Description, r.Remediation = said.Draw(t, "title"), said.Draw(t, "rule"), said.Draw(t, "description"), said.Draw(t, "remediation")
		r.CVE, r.CWE = []string{said.Draw(t, "cve"), said.Draw(t, "second cve")}, []int{rapid.Int().Draw(t, "cwe")}
		r.References, r.Status = []string{said.Draw(t, "reference")}, finding.Status(said.Draw(t, "status"))
		r.CVSS = &finding.CVSS{Version: said.Draw(t, "cvss"), Vector: said.Draw(t, "vector"), Score: rapid.Float64Range(0, 10).Draw(t, "score")}
		other := r
		other.Ordinal = 7
		d := image()
		d.Scan.Target, d.Scan.Version, d.Scan.Outcome = said.Draw(t, "target"), said.Draw(t, "engine version"), ""
		d.Assets = append(d.Assets, asset.Observation{Kind: asset.KindURL, Name: said.Draw(t, "asset")})
		var b bytes.Buffer
		if err := report.CycloneDX(&b, d, results(r, other)); err != nil {
			t.Fatal(err)
		}
		conforms(t, schema, b.Bytes())
	})
}

func TestEveryListedPackageIsAComponentOnce(t *testing.T) {
	t.Parallel()
	listed := []finding.Package{
		{Name: "lodash", Version: "4.17.4", PURL: "pkg:npm/lodash@4.17.4", Type: "npm", File: "package-lock.json", Licences: []string{"MIT"}},
		{Name: "lodash", Version: "4.17.4", PURL: "pkg:npm/lodash@4.17.4", Type: "npm", File: "sub/package-lock.json"},
		{Name: "jest", Version: "1.0.0", PURL: "pkg:npm/jest@1.0.0", Type: "npm", Dev: true},
		{Name: "bash", Version: "1:5.2-3", PURL: "pkg:deb/debian/bash@5.2-3", Type: "deb"},
		{Name: "own thing", Version: "7"},
	}
	d := image()
	d.Scan.Outcome = engine.Complete
	d.Packages = func(f func(finding.Package) error) (bool, error) {
		for _, p := range listed {
			if err := f(p); err != nil {
				return false, err
			}
		}
		return true, nil
	}
	first, second := sample()[0], sample()[1]
	first.Location = finding.Location{Package: "pkg:npm/lodash", Version: "4.17.4"}
	second.Location = finding.Location{Package: "pkg:deb/debian/bash", Version: "1:5.2-3"}
	read := func(d report.ScanDocument, found ...scan.Result) cdx.BOM {
		var b bytes.Buffer
		if err := report.CycloneDX(&b, d, results(found...)); err != nil {
			t.Fatal(err)
		}
		conforms(t, bomSchema(t), b.Bytes())
		var out cdx.BOM
		if err := cdx.NewBOMDecoder(&b, cdx.BOMFileFormatJSON).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := read(d, first, second)
	if len(*got.Components) != 4 || (*got.Compositions)[0].Aggregate != cdx.CompositionAggregateComplete {
		t.Fatalf("%+v", got)
	}
	lodash := (*got.Components)[0]
	if len(*lodash.Evidence.Occurrences) != 2 || len(*lodash.Licenses) != 1 || (*got.Components)[1].Scope != cdx.ScopeExcluded {
		t.Errorf("%+v", *got.Components)
	}
	for i, want := range []string{"pkg:npm/lodash@4.17.4", "pkg:deb/debian/bash@5.2-3"} {
		if ref := (*(*got.Vulnerabilities)[i].Affects)[0].Ref; ref != want {
			t.Errorf("affects %s, want %s", ref, want)
		}
	}
	if got := read(d); len(*got.Components) != 4 {
		t.Error("a target without findings has no bill of materials")
	}
	d.Scan.Outcome = engine.Partial
	if got := read(d); (*got.Compositions)[0].Aggregate != cdx.CompositionAggregateIncomplete {
		t.Error("what a partial scan listed is called complete")
	}
}

func TestUnknownExploitationIsLeftOutOfTheBill(t *testing.T) {
	t.Parallel()
	r := packages()[1]
	var b bytes.Buffer
	if err := report.CycloneDX(&b, image(), results(r)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "assay:epss") || strings.Contains(b.String(), "assay:kev") {
		t.Error("what isn't known is given a value")
	}
}

func TestAScanWithoutPackagesHasNoBill(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := report.CycloneDX(&b, scanDocument(), results(sample()...))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.CodeFormat || b.Len() > 0 {
		t.Errorf("%v after %d bytes", err, b.Len())
	}
}
