package vex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	govex "github.com/openvex/go-vex/pkg/vex"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/scan/vex"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const org uid.Org = "0190b6f2-0000-7000-8000-00000000000a"

func epoch() time.Time { return time.Date(2026, 3, 6, 10, 0, 0, 0, time.UTC) }

// house is findings in memory, under the contracts of the ports.
type house struct {
	findings map[uid.Finding]triage.Finding
	scans    map[uid.Scan]map[uid.Finding]bool
	recorded []audit.Event
	units    int
	next     int
}

func newHouse() *house {
	return &house{findings: map[uid.Finding]triage.Finding{}, scans: map[uid.Scan]map[uid.Finding]bool{}}
}

func (h *house) service() *vex.Service {
	ids := uid.NewSource(epoch, rand.NewChaCha8([32]byte{1}))
	return vex.New(vex.Deps{Store: h, Decider: h, Scans: h, Now: epoch, IDs: ids})
}

func (h *house) add(status finding.Status, at finding.Location, cves ...string) uid.Finding {
	h.next++
	id := uid.Finding(fmt.Sprintf("01900000-0000-7000-8000-%012d", h.next))
	f := triage.Finding{Finding: finding.Finding{
		ID: id, Status: status, LastSeenAt: epoch().Add(-time.Hour),
		Observation: finding.Observation{Title: "T", Rule: "r", CVE: cves, Location: at},
	}}
	if status.Human() {
		f.Ruling = &triage.Ruling{Decision: triage.Decision{Status: status, Reason: "seen to"}, At: epoch().Add(-time.Minute)}
		if status == finding.Accepted {
			f.Ruling.Until = epoch().Add(48 * time.Hour)
		}
	}
	h.findings[id] = f
	return id
}

func (h *house) pairs() []vex.Pair {
	var out []vex.Pair
	for id, f := range h.findings {
		for _, c := range f.CVE {
			out = append(out, vex.Pair{CVE: c, Finding: id})
		}
	}
	slices.SortFunc(out, compare)
	return out
}

func compare(a, b vex.Pair) int {
	if c := strings.Compare(a.CVE, b.CVE); c != 0 {
		return c
	}
	return strings.Compare(string(a.Finding), string(b.Finding))
}

func (h *house) FindingPairs(_ context.Context, _ uid.Org, after vex.Pair, limit int) ([]vex.Pair, error) {
	var out []vex.Pair
	for _, p := range h.pairs() {
		if compare(p, after) > 0 && len(out) < min(limit, 2) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (h *house) FindingsWithCVE(_ context.Context, _ uid.Org, cves []string, limit int) ([]vex.Pair, error) {
	var out []vex.Pair
	for _, p := range h.pairs() {
		if slices.Contains(cves, p.CVE) && len(out) < limit {
			out = append(out, p)
		}
	}
	return out, nil
}

func (h *house) FindingsByID(_ context.Context, _ uid.Org, ids []uid.Finding) ([]triage.Finding, error) {
	var out []triage.Finding
	for _, id := range ids {
		if f, ok := h.findings[id]; ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func (h *house) Record(_ context.Context, _ uid.Org, ev audit.Event) error {
	h.recorded = append(h.recorded, ev)
	return nil
}

func (h *house) FindingsOf(_ context.Context, _ uid.Org, id uid.Scan) (map[uid.Finding]bool, error) {
	if h.scans[id] == nil {
		return nil, fault.Missing("scan")
	}
	return h.scans[id], nil
}

func (h *house) DecideGuarded(_ context.Context, _ access.Actor, ids []uid.Finding, d triage.Decision, g triage.Guard) (triage.Decided, error) {
	h.units++
	if len(ids) > triage.MaxIDs || len([]rune(d.Reason)) > 2000 || len([]rune(d.Note)) > 2000 ||
		d.Status == finding.FalsePositive && d.Reason == "" && d.Justification == "" || d.Status == finding.Accepted {
		return triage.Decided{}, fault.Wrong("decision", "can't be made")
	}
	out := triage.Decided{Counts: map[triage.Result]int{}}
	for _, id := range ids {
		f := h.findings[id]
		o := triage.Outcome{ID: id, Result: triage.Done, Status: d.Status}
		if f.Status != g.Status {
			o.Result = triage.Stale
		} else {
			f.Status, f.Ruling = d.Status, &triage.Ruling{Decision: d, At: epoch()}
			if d.Status == finding.Open {
				f.Ruling = nil
			}
			h.findings[id] = f
		}
		out.Outcomes = append(out.Outcomes, o)
		out.Counts[o.Result]++
	}
	return out, nil
}

func (h *house) statuses() map[uid.Finding]finding.Status {
	out := map[uid.Finding]finding.Status{}
	for id, f := range h.findings {
		out[id] = f.Status
	}
	return out
}

func schema(tb testing.TB, dir, main string, more ...string) *jsonschema.Schema {
	tb.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range append(more, main) {
		text, err := os.ReadFile(filepath.Join(dir, name))
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
	s, err := c.Compile("http://cyclonedx.org/schema/" + main)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func schemas(tb testing.TB) map[vex.Format]*jsonschema.Schema {
	tb.Helper()
	return map[vex.Format]*jsonschema.Schema{
		vex.OpenVEX: schema(tb, "testdata", "openvex-0.2.0.schema.json"),
		// The published schema with its licence lies beside the BOMs of scans.
		vex.CycloneDX: schema(tb, filepath.Join("..", "..", "web", "report", "testdata", "cyclonedx"), "bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"),
	}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func export(ctx context.Context, t fataler, h *house, q vex.Query) []byte {
	t.Helper()
	write, err := h.service().Export(ctx, org, q)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}

func valid(t fataler, s *jsonschema.Schema, b []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err == nil {
		err = s.Validate(doc)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
}

// estate is one finding of each status, at places of every kind.
func estate() *house {
	h := newHouse()
	h.add(finding.Open, finding.Location{Host: "192.0.2.7", Port: 443, Protocol: "tcp"}, "CVE-2024-0001")
	h.add(finding.Confirmed, finding.Location{Host: "2001:db8::7"}, "CVE-2024-0002")
	h.add(finding.Accepted, finding.Location{Package: "openssl", Version: "3.0.1", File: "/usr/lib/libssl.so"}, "CVE-2024-0003")
	fp := h.add(finding.FalsePositive, finding.Location{Package: "pkg:npm/%40scope/left-pad@1.0.0", Image: "registry.example.org:5000/shop/web:1.2"}, "CVE-2024-0004", "CVE-2024-0005")
	f := h.findings[fp]
	f.Ruling.Justification = "vulnerable_code_not_in_execute_path"
	h.add(finding.FalsePositive, finding.Location{Image: "nginx@sha256:" + strings.Repeat("a", 64)}, "CVE-2024-0006")
	h.add(finding.Fixed, finding.Location{File: "go.sum", Line: 7}, "CVE-2024-0007")
	h.add(finding.Open, finding.Location{Host: "192.0.2.7"})
	return h
}

func TestDocumentsAreValidAndSayWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	all := schemas(t)
	for _, format := range []vex.Format{vex.OpenVEX, vex.CycloneDX} {
		b := export(t.Context(), t, estate(), vex.Query{Format: format, Author: "Ours"})
		valid(t, all[format], b)
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, b, "", "  "); err != nil {
			t.Fatal(err)
		}
		golden(t, string(format)+".json", pretty.Bytes())
	}
	// Others read them too.
	doc := export(t.Context(), t, estate(), vex.Query{Format: vex.OpenVEX})
	v, err := govex.Parse(doc)
	if err != nil || len(v.Statements) != 7 {
		t.Fatalf("%v, %v", v, err)
	}
	for _, st := range v.Statements {
		if err := st.Validate(); err != nil {
			t.Error(err)
		}
	}
	var bom cdx.BOM
	err = cdx.NewBOMDecoder(bytes.NewReader(export(t.Context(), t, estate(), vex.Query{Format: vex.CycloneDX})), cdx.BOMFileFormatJSON).Decode(&bom)
	if err != nil || len(*bom.Vulnerabilities) != 7 {
		t.Fatal(err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestWhateverAFindingHoldsTheDocumentIsValid(t *testing.T) {
	t.Parallel()
	all := schemas(t)
	rapid.Check(t, func(rt *rapid.T) {
		said := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "pkg:npm/x@1", "pkg:", "pkg:npm/", "a b", "\"", "</script>", "a#b", "%zz", "::1", "a/b:c@d", "pkg:npm/a#b"}))
		h := newHouse()
		for range rapid.IntRange(1, 3).Draw(rt, "findings") {
			at := finding.Location{
				Host: said.Draw(rt, "host"), Port: rapid.IntRange(0, 2).Draw(rt, "port"), Protocol: said.Draw(rt, "protocol"), File: said.Draw(rt, "file"),
				Package: said.Draw(rt, "package"), Version: said.Draw(rt, "version"), Image: said.Draw(rt, "image"),
			}
			id := h.add(rapid.SampledFrom(finding.Statuses()).Draw(rt, "status"), at, "CVE-2024-0001")
			f := h.findings[id]
			f.Title, f.Remediation = said.Draw(rt, "title"), said.Draw(rt, "remediation")
			if f.Ruling != nil {
				f.Ruling.Reason = said.Draw(rt, "reason")
				f.Ruling.Justification = rapid.SampledFrom(append(triage.Justifications(), "")).Draw(rt, "justification")
			}
			h.findings[id] = f
		}
		for format, s := range all {
			valid(rt, s, export(t.Context(), rt, h, vex.Query{Format: format, Author: said.Draw(rt, "author")}))
		}
	})
}

func TestADocumentIsNarrowedByHostScanAndProduct(t *testing.T) {
	t.Parallel()
	h := estate()
	const scan uid.Scan = "01900000-0000-7000-8000-0000000000ff"
	h.scans[scan] = map[uid.Finding]bool{"01900000-0000-7000-8000-000000000002": true, "01900000-0000-7000-8000-000000000006": true}
	for name, c := range map[string]struct {
		q    vex.Query
		want []string
	}{
		"host":                    {vex.Query{Host: "192.0.2.7"}, []string{"CVE-2024-0001"}},
		"host, written otherwise": {vex.Query{Host: "2001:DB8:0::7"}, []string{"CVE-2024-0002"}},
		"scan":                    {vex.Query{Scan: scan}, []string{"CVE-2024-0002", "CVE-2024-0007"}},
		"package name":            {vex.Query{Product: "OpenSSL"}, []string{"CVE-2024-0003"}},
		"package URL":             {vex.Query{Product: "pkg:npm/%40scope/left-pad"}, []string{"CVE-2024-0004", "CVE-2024-0005"}},
		"image":                   {vex.Query{Product: "pkg:docker/nginx"}, []string{"CVE-2024-0006"}},
		"image by name":           {vex.Query{Product: "registry.example.org:5000/shop/web:1.2"}, []string{"CVE-2024-0004", "CVE-2024-0005"}},
		"host and port":           {vex.Query{Product: "192.0.2.7:443"}, []string{"CVE-2024-0001"}},
		"other port":              {vex.Query{Product: "192.0.2.7:80"}, nil},
	} {
		c.q.Format = vex.CycloneDX
		var doc struct {
			Vulnerabilities []struct {
				ID string `json:"id"`
			} `json:"vulnerabilities"`
		}
		if err := json.Unmarshal(export(t.Context(), t, h, c.q), &doc); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range doc.Vulnerabilities {
			got = append(got, v.ID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, q := range map[string]vex.Query{
		"nothing to state": {Format: vex.OpenVEX, Host: "192.0.2.99"}, "no such scan": {Format: vex.CycloneDX, Scan: "01900000-0000-7000-8000-0000000000fe"},
		"no scan's id": {Format: vex.CycloneDX, Scan: "x"},
	} {
		if _, err := h.service().Export(t.Context(), org, q); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.service().Export(t.Context(), org, vex.Query{Format: "csaf"}); fault.Of(err).Code != fault.CodeFormat {
		t.Error(err)
	}
}

func openVEX(statements ...string) []byte {
	return []byte(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.org/vex/1","author":"Vendor","timestamp":"2026-03-01T00:00:00Z","version":1,"statements":[` +
		strings.Join(statements, ",") + `]}`)
}

func said(status, cve, more string) string {
	return fmt.Sprintf(`{"vulnerability":{"name":%q},"status":%q%s}`, cve, status, more)
}

func TestADocumentIsTakenOver(t *testing.T) {
	t.Parallel()
	web := finding.Location{Host: "192.0.2.7", Port: 443, Protocol: "tcp"}
	ssl := finding.Location{Host: "192.0.2.7", Package: "openssl", Version: "3.0.1"}
	const because = `,"justification":"component_not_present"`
	products := func(list ...string) string {
		var parts []string
		for _, p := range list {
			parts = append(parts, `{"@id":"`+p+`"}`)
		}
		return `,"products":[` + strings.Join(parts, ",") + `]`
	}
	type result struct {
		Status                                                     finding.Status
		Matched, Unmatched, Applied, Unchanged, Conflicts, Partial int
	}
	for name, c := range map[string]struct {
		before finding.Status
		at     finding.Location
		cves   []string
		doc    []byte
		over   bool
		want   result
	}{
		"not affected": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("not_affected", "CVE-2024-0001", because)), false,
			result{Status: finding.FalsePositive, Matched: 1, Applied: 1},
		},
		"not affected without a word": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("not_affected", "cve-2024-0001", "")), false,
			result{Status: finding.FalsePositive, Matched: 1, Applied: 1},
		},
		"affected": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("affected", "CVE-2024-0001", `,"action_statement":"Update."`)), false,
			result{Status: finding.Confirmed, Matched: 1, Applied: 1},
		},
		"fixed": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", "")), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"under investigation": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("under_investigation", "CVE-2024-0001", "")), false,
			result{Status: finding.Open, Matched: 1, Unchanged: 1},
		},
		"another CVE": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0002", "")), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"an alias": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(`{"vulnerability":{"name":"GHSA-1111-2222-3333","aliases":["CVE-2024-0001"]},"status":"fixed"}`), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"no CVE": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "GHSA-1111-2222-3333", "")), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"the host": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", products("https://192.0.2.7/"))), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"another host": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", products("192.0.2.8"))), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"one of several": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", products("192.0.2.8", "192.0.2.7:443"))), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"a product that nobody can read": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", `,"products":[{"hashes":{"md5":"00"}}]`)), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"the package": {
			finding.Open, ssl,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", products("pkg:deb/debian/openssl@3.0.1?arch=amd64"))), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"another version": {
			finding.Open, ssl,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", products("pkg:generic/openssl@3.0.2"))), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"a part of the product": {
			finding.Open, ssl,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", `,"products":[{"@id":"192.0.2.7","subcomponents":[{"@id":"pkg:generic/openssl"}]}]`)), false,
			result{Status: finding.Fixed, Matched: 1, Applied: 1},
		},
		"another part of the product": {
			finding.Open, ssl,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", `,"products":[{"@id":"192.0.2.7","subcomponents":[{"@id":"pkg:generic/zlib"}]}]`)), false,
			result{Status: finding.Open, Unmatched: 1},
		},
		"one of two CVEs": {
			finding.Open, web,
			[]string{"CVE-2024-0001", "CVE-2024-0002"},
			openVEX(said("not_affected", "CVE-2024-0001", because)), false,
			result{Status: finding.Open, Matched: 1, Partial: 1},
		},
		"both of two CVEs": {
			finding.Open, web,
			[]string{"CVE-2024-0001", "CVE-2024-0002"},
			openVEX(said("not_affected", "CVE-2024-0001", because), said("fixed", "CVE-2024-0002", "")), false,
			result{Status: finding.Fixed, Matched: 2, Applied: 1},
		},
		"one of two CVEs affects": {
			finding.Open, web,
			[]string{"CVE-2024-0001", "CVE-2024-0002"},
			openVEX(said("affected", "CVE-2024-0001", `,"action_statement":"x"`)), false,
			result{Status: finding.Confirmed, Matched: 1, Applied: 1},
		},
		"the younger statement": {
			finding.Open, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("fixed", "CVE-2024-0001", `,"timestamp":"2026-03-03T00:00:00Z"`), said("affected", "CVE-2024-0001", `,"action_statement":"x","timestamp":"2026-03-02T00:00:00Z"`)), false,
			result{Status: finding.Fixed, Matched: 2, Applied: 1},
		},
		"a person said otherwise": {
			finding.Accepted, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("not_affected", "CVE-2024-0001", because)), false,
			result{Status: finding.Accepted, Matched: 1, Conflicts: 1},
		},
		"a person said otherwise, overwritten": {
			finding.Accepted, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("not_affected", "CVE-2024-0001", because)), true,
			result{Status: finding.FalsePositive, Matched: 1, Applied: 1},
		},
		"a person said the same": {
			finding.Confirmed, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("affected", "CVE-2024-0001", `,"action_statement":"x"`)), false,
			result{Status: finding.Confirmed, Matched: 1, Unchanged: 1},
		},
		"a scan closed it": {
			finding.Fixed, web,
			[]string{"CVE-2024-0001"},
			openVEX(said("affected", "CVE-2024-0001", `,"action_statement":"x"`)), false,
			result{Status: finding.Fixed, Matched: 1, Unchanged: 1},
		},
		"CycloneDX": {
			finding.Open, ssl,
			[]string{"CVE-2024-0001"},
			[]byte(`{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,
			"metadata":{"component":{"type":"application","bom-ref":"app","name":"shop","components":[{"type":"library","bom-ref":"lib","name":"openssl","version":"3.0.1"}]}},
			"vulnerabilities":[{"id":"CVE-2024-0001","analysis":{"state":"not_affected","justification":"code_not_reachable","detail":"Never called."},"affects":[{"ref":"lib"}]},
			{"id":"CVE-2024-0001","affects":[{"ref":"app"}]},{"id":"CVE-2024-0001","analysis":{"state":"exploitable"},"affects":[{"ref":"urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#gone"}]}]}`), false,
			result{Status: finding.FalsePositive, Matched: 1, Unmatched: 2, Applied: 1},
		},
	} {
		h := newHouse()
		id := h.add(c.before, c.at, c.cves...)
		dry, err := h.service().Import(t.Context(), access.Actor{Org: org}, c.doc, vex.Options{Overwrite: c.over, DryRun: true})
		if err != nil || h.findings[id].Status != c.before || h.units+len(h.recorded) != 0 {
			t.Errorf("%s: the dry run decided, or failed: %v", name, err)
		}
		r, err := h.service().Import(t.Context(), access.Actor{Org: org}, c.doc, vex.Options{Overwrite: c.over})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := result{h.findings[id].Status, r.Matched, r.Unmatched, r.Applied, r.Unchanged, r.Conflicts, r.Partial}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if diff := cmp.Diff(dry, r); diff != "" {
			t.Errorf("%s: the dry run told otherwise:\n%s", name, diff)
		}
		if len(h.recorded) != 1 || h.recorded[0].Type != event.VEXImported {
			t.Errorf("%s: entered as %+v", name, h.recorded)
		}
		if again, err := h.service().Import(t.Context(), access.Actor{Org: org}, c.doc, vex.Options{Overwrite: c.over}); err != nil || again.Applied != 0 {
			t.Errorf("%s: the same document again: %+v, %v", name, again, err)
		}
	}
}

func TestALaterDocumentMayChangeWhatAnEarlierOneDecided(t *testing.T) {
	t.Parallel()
	h := newHouse()
	id := h.add(finding.Open, finding.Location{Host: "h"}, "CVE-2024-0001")
	for _, status := range []string{"not_affected", "fixed", "under_investigation"} {
		if _, err := h.service().Import(t.Context(), access.Actor{Org: org}, openVEX(said(status, "CVE-2024-0001", "")), vex.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if h.findings[id].Status != finding.Open {
		t.Error(h.findings[id].Status)
	}
	if _, err := h.service().Import(t.Context(), access.Actor{Org: org}, openVEX(said("not_affected", "CVE-2024-0001", "")), vex.Options{}); err != nil {
		t.Fatal(err)
	}
	if d := h.findings[id].Ruling.Decision; d.Note != "From the VEX document https://example.org/vex/1 by Vendor" || d.Reason == "" {
		t.Errorf("%+v", d)
	}
}

func TestWhatIsExportedMeansTheSameElsewhere(t *testing.T) {
	t.Parallel()
	for _, format := range []vex.Format{vex.OpenVEX, vex.CycloneDX} {
		from := estate()
		to := newHouse()
		maps.Copy(to.findings, from.findings)
		for id, f := range to.findings {
			f.Status, f.Ruling = finding.Open, nil
			to.findings[id] = f
		}
		if _, err := to.service().Import(t.Context(), access.Actor{Org: org}, export(t.Context(), t, from, vex.Query{Format: format}), vex.Options{}); err != nil {
			t.Fatal(err)
		}
		want := from.statuses()
		for id, s := range want {
			if s == finding.Accepted { // nobody accepts a risk for somebody else
				want[id] = finding.Confirmed
			}
		}
		if diff := cmp.Diff(want, to.statuses()); diff != "" {
			t.Errorf("%s:\n%s", format, diff)
		}
	}
}

func TestADocumentThatIsNoneIsRejectedWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, place string }{
		"no JSON":             {"x", "body"},
		"a list":              {"[]", "body"},
		"something else":      {`{"a":1}`, "body"},
		"another context":     {`{"@context":"https://example.org","statements":[{}]}`, "@context"},
		"no statements":       {string(openVEX()), "statements"},
		"no status":           {string(openVEX(said("fixed", "CVE-2024-0001", ""), said("", "CVE-2024-0001", ""))), "statements[1].status"},
		"wrong justification": {string(openVEX(said("not_affected", "CVE-2024-0001", `,"justification":"x"`))), "statements[0].justification"},
		"wrong form":          {string(openVEX(`{"vulnerability":7}`)), "statements[0]"},
		"wrong frame":         {`{"@context":"https://openvex.dev/ns/v0.2.0","statements":7}`, "body"},
		"an old BOM":          {`{"bomFormat":"CycloneDX","specVersion":"1.3"}`, "specVersion"},
		"an empty BOM":        {`{"bomFormat":"CycloneDX","specVersion":"1.6"}`, "vulnerabilities"},
		"a wrong state":       {`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2024-0001","analysis":{"state":"x"}}]}`, "vulnerabilities[0].analysis.state"},
		"a wrong word":        {`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2024-0001","analysis":{"state":"not_affected","justification":"x"}}]}`, "vulnerabilities[0].analysis.justification"},
		"a wrong entry":       {`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[7]}`, "vulnerabilities[0]"},
	} {
		h := newHouse()
		h.add(finding.Open, finding.Location{Host: "h"}, "CVE-2024-0001")
		_, err := h.service().Import(t.Context(), access.Actor{Org: org}, []byte(c.doc), vex.Options{})
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Location != c.place || h.units > 0 {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
	if _, err := vex.Read(make([]byte, vex.MaxDocument+1)); fault.Of(err).Code != fault.CodeTooLarge {
		t.Error(err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add(openVEX(said("not_affected", "CVE-2024-0001", `,"justification":"component_not_present","products":[{"@id":"pkg:oci/web?tag=1.2"}]`)))
	for _, format := range []vex.Format{vex.OpenVEX, vex.CycloneDX} {
		f.Add(export(f.Context(), f, estate(), vex.Query{Format: format, Author: "x"}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := estate()
		r, err := h.service().Import(t.Context(), access.Actor{Org: org}, b, vex.Options{})
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.Exhausted {
				t.Fatal(err)
			}
			return
		}
		if r.Matched+r.Unmatched != r.Statements || r.Applied+r.Unchanged+r.Conflicts+r.Partial+r.Changed > r.Findings {
			t.Fatalf("%+v", r)
		}
		for id, f := range h.findings {
			if s := estate().findings[id].Status; s.Human() && f.Status != s {
				t.Fatalf("a person's %s became %s", s, f.Status)
			}
		}
	})
}
