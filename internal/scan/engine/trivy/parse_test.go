package trivy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/trivy"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// request is an order for the target, with the options given as JSON.
func request(tb testing.TB, typ asset.TargetType, target, options string) engine.Request {
	tb.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(options), &raw); err != nil {
		tb.Fatal(err)
	}
	o, err := engine.ParseOptions(trivy.New().Manifest(), raw, nil)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := asset.ParseTarget(target, typ)
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Request{Scan: "s", Target: at, Options: o}
}

func folder(tb testing.TB, options string) engine.Request {
	tb.Helper()
	return request(tb, asset.TypeFilesystem, "/srv/shop", options)
}

func image(tb testing.TB, options string) engine.Request {
	tb.Helper()
	return request(tb, asset.TypeImage, "registry.example.org/team/shop:1.0", options)
}

// result is what a golden file holds.
type result struct {
	Findings []finding.Observation
	Packages []finding.Package
	Assets   []asset.Observation
}

func parse(tb testing.TB, raw []byte, req engine.Request) result {
	tb.Helper()
	var out result
	cover, err := trivy.New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		switch {
		case i.Finding != nil:
			out.Findings = append(out.Findings, *i.Finding)
		case i.Package != nil:
			out.Packages = append(out.Packages, *i.Package)
		default:
			out.Assets = append(out.Assets, *i.Asset)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if len(cover.Places) != 0 {
		tb.Error("a report alone covers nothing: it doesn't say whether there was a database")
	}
	return out
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name, "raw.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func requestFor(tb testing.TB, name string) engine.Request {
	tb.Helper()
	if strings.HasPrefix(name, "image") {
		return image(tb, `{}`)
	}
	return folder(tb, `{}`)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/raw.json")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			name := filepath.Base(dir)
			var got any = parse(t, fixture(t, name), requestFor(t, name))
			b, err := json.MarshalIndent(got, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "golden.json")
			if *update {
				if err := os.WriteFile(golden, append(b, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(b)); diff != "" {
				t.Errorf("-want +got, -update writes it anew:\n%s", diff)
			}
		})
	}
}

// lines shows findings short.
func lines(found []finding.Observation) []string {
	out := make([]string, 0, len(found))
	for _, f := range found {
		out = append(out, fmt.Sprintf("%s %s %s %s %s", f.Rule, f.Location.File, f.Location.Package, f.Severity, strings.Join(f.CVE, ",")))
	}
	slices.Sort(out)
	return out
}

func TestOldAndNewReleasesNameTheSameWeaknesses(t *testing.T) {
	t.Parallel()
	rules := func(name string) map[string]bool {
		out := map[string]bool{}
		for _, f := range parse(t, fixture(t, name), folder(t, `{}`)).Findings {
			out[finding.Fingerprint("trivy", finding.Clean(f))] = true
		}
		return out
	}
	before, now := rules("tree-old-release"), rules("tree")
	same := 0
	for id := range before {
		if now[id] {
			same++
		}
	}
	// Checks come and go between releases; what both have must be the same finding.
	if same < len(before)*3/4 {
		t.Errorf("%d of %d findings of an older release are the same in a newer one", same, len(before))
	}
}

func TestWhereFindingsStand(t *testing.T) {
	t.Parallel()
	tree := parse(t, fixture(t, "tree"), folder(t, `{}`))
	for _, f := range tree.Findings {
		if f.Location.Host != "/srv/shop" || f.Location.Image != "" || f.Location.File == "" || strings.Contains(f.Location.File, "srv") {
			t.Errorf("%s at %+v", f.Rule, f.Location)
		}
	}
	img := parse(t, fixture(t, "image"), image(t, `{}`))
	for _, f := range img.Findings {
		text := fmt.Sprintf("%+v", f)
		if f.Location.Host != "registry.example.org/team/shop" || f.Location.Image != "registry.example.org/team/shop:1.0" || strings.Contains(text, "/images/") {
			t.Errorf("%s at %+v", f.Rule, f.Location)
		}
	}
	later := request(t, asset.TypeImage, "registry.example.org/team/shop:2.0", `{}`)
	for i, f := range parse(t, fixture(t, "image"), later).Findings {
		if finding.Fingerprint("trivy", finding.Clean(f)) != finding.Fingerprint("trivy", finding.Clean(img.Findings[i])) {
			t.Errorf("%s is another finding under another tag", f.Rule)
		}
	}
	if len(img.Assets) != 1 || img.Assets[0].Kind != asset.KindImage || len(tree.Assets) != 0 {
		t.Errorf("assets %+v and %+v", img.Assets, tree.Assets)
	}
}

func TestVulnerabilities(t *testing.T) {
	t.Parallel()
	const doc = `{"Results":[{"Target":"package-lock.json","Class":"lang-pkgs","Type":"npm","Vulnerabilities":[
{"VulnerabilityID":"CVE-2021-1","VendorIDs":["GHSA-aaaa-bbbb-cccc"],"PkgName":"a","PkgIdentifier":{"PURL":"pkg:npm/%40s/a@1.0.0?x=y"},"InstalledVersion":"1.0.0","FixedVersion":"1.0.1, 2.0.0",
 "SeveritySource":"ghsa","Severity":"HIGH","CweIDs":["CWE-79","CWE-89","nonsense"],"CVSS":{"nvd":{"V3Vector":"CVSS:3.1/x","V3Score":5.1},"ghsa":{"V3Vector":"CVSS:3.0/y","V3Score":9.1,"V40Vector":"CVSS:4.0/z","V40Score":8.2}},"PrimaryURL":"javascript:alert(1)","References":["https://a.example/","nonsense"]},
{"VulnerabilityID":"GHSA-dddd-eeee-ffff","PkgName":"b","InstalledVersion":"2","SeveritySource":"ghsa","Severity":"UNKNOWN","CVSS":{"redhat":{"V2Vector":"AV:N","V2Score":4},"bitnami":{"V3Vector":"CVSS:3.1/q","V3Score":6.5}}},
{"VulnerabilityID":"CVE-2021-1","PkgName":"a","PkgIdentifier":{"PURL":"pkg:npm/%40s/a@1.0.0"},"InstalledVersion":"1.0.2"},
{"VulnerabilityID":"","PkgName":"c"},{"VulnerabilityID":7}]}]}`
	got := parse(t, []byte(doc), folder(t, `{}`)).Findings
	if len(got) != 2 {
		t.Fatalf("%d findings, want 2", len(got))
	}
	first, second := got[0], got[1]
	if first.Location.Package != "pkg:npm/%40s/a" || first.Location.FixedVersion != "1.0.1, 2.0.0" || first.Rule != "trivy:vuln/CVE-2021-1" {
		t.Errorf("%+v", first)
	}
	if diff := cmp.Diff(&finding.CVSS{Version: "4.0", Vector: "CVSS:4.0/z", Score: 8.2}, first.CVSS); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"https://a.example/"}, first.References); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{79, 89}, first.CWE); diff != "" {
		t.Error(diff)
	}
	if len(first.CVE) != 1 || len(first.Advisories) != 1 || len(second.CVE) != 0 || len(second.Advisories) != 1 {
		t.Errorf("ids %v %v, %v %v", first.CVE, first.Advisories, second.CVE, second.Advisories)
	}
	if second.Severity != finding.Info || second.CVSS.Score != 6.5 || second.Location.Package != "b" || second.Remediation != "No fixed version is known." {
		t.Errorf("%+v", second)
	}
}

func TestMisconfigurationsAreOneIdInEveryRelease(t *testing.T) {
	t.Parallel()
	const form = `{"Results":[{"Target":"Dockerfile","Class":"config","Type":"dockerfile","Misconfigurations":[{"ID":%q,"AVDID":%q,"Title":"t","Status":%q,"Severity":"HIGH"}]}]}`
	for _, c := range []struct{ id, avd, status, want string }{
		{"DS002", "AVD-DS-0002", "FAIL", "trivy:misconfig/DS-0002"},
		{"DS002", "", "FAIL", "trivy:misconfig/DS-0002"},
		{"DS-0002", "", "FAIL", "trivy:misconfig/DS-0002"},
		{"AVD-AWS-0086", "", "FAIL", "trivy:misconfig/AWS-0086"},
		{"aws-s3-block", "AVD-AWS-0086", "FAIL", "trivy:misconfig/AWS-0086"},
		{"KSV01010", "", "FAIL", "trivy:misconfig/KSV-1010"},
		{"DS002", "", "PASS", ""},
		{"DS002", "", "EXCEPTION", ""},
	} {
		got := ""
		if f := parse(t, fmt.Appendf(nil, form, c.id, c.avd, c.status), folder(t, `{}`)).Findings; len(f) > 0 {
			got = f[0].Rule
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestSecretsAreToldWithoutTheirValues(t *testing.T) {
	t.Parallel()
	const doc = `{"Results":[{"Target":"a.env","Class":"secret","Secrets":[
{"RuleID":"x","Severity":"HIGH","StartLine":3,"Match":"KEY=**** OTHER=plain-password-9"},{"RuleID":"x","Severity":"HIGH","StartLine":9,"Match":"KEY=****"}]}]}`
	const moved = `{"Results":[{"Target":"a.env","Class":"secret","Secrets":[
{"RuleID":"x","Severity":"HIGH","StartLine":30,"Match":"KEY=********"},{"RuleID":"x","Severity":"HIGH","StartLine":90,"Match":"KEY=**"}]}]}`
	got, later := parse(t, []byte(doc), folder(t, `{}`)).Findings, parse(t, []byte(moved), folder(t, `{}`)).Findings
	if len(got) != 2 || len(later) != 2 {
		t.Fatal(got, later)
	}
	for i, f := range got {
		if strings.Contains(f.Evidence, "plain-password") {
			t.Error("the evidence holds what stood beside the secret")
		}
		if finding.Fingerprint("trivy", finding.Clean(f)) != finding.Fingerprint("trivy", finding.Clean(later[i])) {
			t.Error("a secret that moved down its file is another finding")
		}
	}
	if got[0].Discern == got[1].Discern {
		t.Error("two secrets of one file are one finding")
	}
}

func TestPackagesAreListedWithLicences(t *testing.T) {
	t.Parallel()
	got := parse(t, fixture(t, "image"), image(t, `{}`)).Packages
	want := finding.Package{Name: "busybox", Version: "1.30.1-r2", PURL: "pkg:apk/alpine/busybox@1.30.1-r2", Type: "apk", Licences: []string{"MIT"}}
	if len(got) == 0 || !slices.ContainsFunc(got, func(p finding.Package) bool { return cmp.Equal(p, want) }) {
		t.Errorf("%+v", got)
	}
}

func TestACutOffReportKeepsWhatCameWhole(t *testing.T) {
	t.Parallel()
	whole, cut := parse(t, fixture(t, "tree"), folder(t, `{}`)), parse(t, fixture(t, "cut-off"), folder(t, `{}`))
	if n := len(cut.Findings); n == 0 || n >= len(whole.Findings) {
		t.Fatalf("%d of %d findings", n, len(whole.Findings))
	}
	if diff := cmp.Diff(lines(whole.Findings[:len(cut.Findings)]), lines(cut.Findings)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	cases, err := filepath.Glob("testdata/*/raw.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range cases {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	req := image(f, `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, second := parse(t, raw, req), parse(t, raw, req)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same report reads differently:\n%s", diff)
		}
		for _, o := range first.Findings {
			if len(o.Title) > finding.MaxTitle || len(o.Evidence) > finding.MaxEvidence || o.Title == "" || o.Location.Host == "" {
				t.Errorf("out of bounds: %+v", o)
			}
		}
	})
}

// endless is a report of one lock file with very many flaws.
type endless struct {
	left int64
	n    int
	rest []byte
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		switch {
		case e.n == 0:
			e.rest = []byte(`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Target":"package-lock.json","Class":"lang-pkgs","Type":"npm","Vulnerabilities":[`)
		case e.left <= 0:
			return 0, fmt.Errorf("end: %w", os.ErrClosed)
		default:
			e.rest = fmt.Appendf(e.rest, `{"VulnerabilityID":"CVE-2021-%d","PkgID":"a@1","PkgName":"a%d","PkgIdentifier":{"PURL":"pkg:npm/a%d@1.0.0","UID":"1"},"InstalledVersion":"1.0.0","FixedVersion":"1.0.1","Status":"fixed","SeveritySource":"ghsa","PrimaryURL":"https://avd.example.org/nvd/cve-2021-1","Title":"A flaw","Description":%q,"Severity":"HIGH","CweIDs":["CWE-79"],"VendorSeverity":{"ghsa":3},"CVSS":{"ghsa":{"V3Vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","V3Score":9.8}},"References":["https://a.example.org/1","https://a.example.org/2"]},`,
				e.n, e.n%5000, e.n%5000, strings.Repeat("What can happen. ", 30))
		}
		e.n++
	}
	n := copy(p, e.rest)
	e.rest = append(e.rest[:0], e.rest[n:]...)
	e.left -= int64(n)
	return n, nil
}

func TestParseStaysSmall(t *testing.T) {
	const size, bound = 24 << 20, 24 << 20
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	items, most := 0, uint64(0)
	_, err := trivy.New().Parse(&endless{left: size}, folder(t, `{}`), func(engine.Item) error {
		if items++; items%5_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	})
	if err == nil || items == 0 {
		t.Fatal("the source's error is lost", items)
	}
	if most > before.HeapAlloc+bound {
		t.Errorf("held %d MB while reading %d MB", (most-before.HeapAlloc)>>20, size>>20)
	}
}

// BenchmarkParse reads 100 MB.
func BenchmarkParse(b *testing.B) {
	const size = 100 << 20
	req := folder(b, `{}`)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = trivy.New().Parse(&endless{left: size}, req, func(engine.Item) error { return nil })
	}
}
