package enginetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

func checkRaw(t *testing.T, e engine.Engine, samples [][]byte) {
	t.Helper()
	if len(samples) == 0 {
		under := &played{}
		within(t, "a run", func() {
			if _, err := e.Run(t.Context(), under.env(t), order(t, e.Manifest())); err != nil {
				t.Error(err)
			}
		})
		if under.first != nil {
			samples = [][]byte{bytes.Clone(under.first.kept.Bytes())}
		}
	}
	req := order(t, e.Manifest())
	for i, sample := range samples {
		all := parse(t, e, req, sample, fmt.Sprintf("sample %d", i))
		if again := parse(t, e, req, sample, fmt.Sprintf("sample %d again", i)); !slices.Equal(all, again) {
			t.Errorf("sample %d reads differently the second time", i)
		}
		stops(t, e, req, sample, len(all))
		for n := range 24 {
			parse(t, e, req, sample[:len(sample)*n/24], fmt.Sprintf("sample %d cut at %d/24", i, n))
			parse(t, e, req, damaged(sample, n), fmt.Sprintf("sample %d damaged %d", i, n))
		}
	}
	for what, doc := range hostile() {
		parse(t, e, req, doc, what)
	}
}

// parse reads a document and returns its items as text. It fails for panics, hangs, faults of the document (a
// document can't be at fault) and items that are out of bounds.
func parse(t *testing.T, e engine.Engine, req engine.Request, doc []byte, what string) []string {
	t.Helper()
	var out []string
	within(t, what, func() {
		told := map[string]bool{}
		cover, err := e.Parse(bytes.NewReader(doc), req, func(i engine.Item) error {
			checkItem(t, e.Manifest().ID, i)
			if key := identity(i); told[key] {
				t.Errorf("%s: told twice: %q", what, key)
			} else {
				told[key] = true
			}
			var item any = i
			b, err := json.Marshal(item)
			out = append(out, string(b))
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		b, err := json.Marshal(cover)
		if err != nil {
			t.Errorf("%s: coverage doesn't marshal: %v", what, err)
		}
		out = append(out, string(b))
	})
	return out
}

// stops checks that the parser ends with the error of whoever takes its items. items holds the coverage, too.
func stops(t *testing.T, e engine.Engine, req engine.Request, doc []byte, items int) {
	t.Helper()
	if items < 2 {
		return
	}
	full := errors.New("full")
	calls := 0
	_, err := e.Parse(bytes.NewReader(doc), req, func(engine.Item) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("the parser went on for %d items after an error and returned %v", calls, err)
	}
}

// identity is what the store knows an item by. It must be told once: two rows of one identity don't fit into one
// batch.
func identity(i engine.Item) string {
	if i.Asset != nil {
		return fmt.Sprintf("asset %s %s", i.Asset.Kind, i.Asset.Name)
	}
	if f := i.Finding; f != nil {
		at := f.Location
		at.Line, at.Version, at.FixedVersion = 0, "", "" // these move
		return fmt.Sprintf("finding %s %q %q %+v", f.Rule, f.Discern, f.CVE, at)
	}
	if p := i.Package; p != nil {
		return fmt.Sprintf("package %q %q %q %q %q", p.Name, p.Version, p.PURL, p.Type, p.File)
	}
	return ""
}

func checkItem(t *testing.T, id string, i engine.Item) {
	t.Helper()
	set := 0
	if i.Finding != nil {
		set++
		checkFinding(t, id, *i.Finding)
	}
	if i.Asset != nil {
		set++
		checkAsset(t, *i.Asset)
	}
	if i.Package != nil {
		set++
		checkPackage(t, *i.Package)
	}
	if set != 1 {
		t.Error("an item holds one of finding, asset and package")
	}
}

func checkPackage(t *testing.T, p finding.Package) {
	t.Helper()
	if p.Name == "" || len(p.Name) > finding.MaxTitle || len(p.Version) > finding.MaxTitle || len(p.Licences) > finding.MaxReferences {
		t.Errorf("package %q is malformed or too long", p.Name)
	}
	if p.PURL != "" && !strings.HasPrefix(p.PURL, "pkg:") {
		t.Errorf("%q is no package URL", p.PURL)
	}
}

func checkFinding(t *testing.T, id string, f finding.Observation) {
	t.Helper()
	if !strings.HasPrefix(f.Rule, id+":") || len(f.Rule) > 128 {
		t.Errorf("rule %q doesn't begin with %q, or is too long", f.Rule, id+":")
	}
	if f.Title == "" || len(f.Title) > finding.MaxTitle || len(f.Description) > finding.MaxDescription ||
		len(f.Evidence) > finding.MaxEvidence || len(f.Remediation) > finding.MaxRemediation ||
		len(f.References) > finding.MaxReferences || len(f.CVE) > finding.MaxIDs || len(f.Discern) > 512 {
		t.Errorf("%s: a text is empty or out of bounds", f.Rule)
	}
	if strings.ContainsAny(f.Title, "\x00\x1b\n\r") || strings.ContainsAny(f.Evidence, "\x00\x1b") {
		t.Errorf("%s: a text holds control characters", f.Rule)
	}
	if !slices.Contains(finding.Severities(), f.Severity) {
		t.Errorf("%s: severity %q isn't one", f.Rule, f.Severity)
	}
	if f.Confidence != finding.Certain && f.Confidence != finding.Firm && f.Confidence != finding.Tentative {
		t.Errorf("%s: confidence %q isn't one", f.Rule, f.Confidence)
	}
	if f.Category == "" || f.Location == (finding.Location{}) {
		t.Errorf("%s: category or location is missing", f.Rule)
	}
	for _, c := range f.CVE {
		if c != strings.ToUpper(c) {
			t.Errorf("%s: CVE ids are upper case", f.Rule)
		}
	}
}

func checkAsset(t *testing.T, o asset.Observation) {
	t.Helper()
	if !slices.Contains(asset.Kinds(), o.Kind) || o.Name == "" || len(o.Name) > asset.MaxName || o.Source == "" {
		t.Errorf("asset %q of kind %q is malformed", o.Name, o.Kind)
	}
	if len(o.Attributes) > asset.MaxAttributes || len(o.Attributes) > 0 && !json.Valid(o.Attributes) {
		t.Errorf("attributes of asset %q are malformed or too long", o.Name)
	}
}

// damaged returns a copy with some bytes overwritten, the same ones for the same n.
func damaged(sample []byte, n int) []byte {
	out := bytes.Clone(sample)
	state := uint32(n + 1)
	for range 1 + len(out)/200 {
		if len(out) == 0 {
			break
		}
		state = state*1664525 + 1013904223
		out[int(state>>8)%len(out)] = byte(state)
	}
	return out
}

// hostile are documents that break parsers: of XML, JSON, lines and text.
func hostile() map[string][]byte {
	const big = 8 << 20
	return map[string][]byte{
		"nothing":       nil,
		"one byte":      {0},
		"zeros":         make([]byte, big),
		"one long line": bytes.Repeat([]byte("a"), big),
		"only lines":    bytes.Repeat([]byte("\n"), big),
		"deep XML":      bytes.Repeat([]byte("<a>"), big/3),
		"deep JSON":     bytes.Repeat([]byte(`{"a":[`), big/6),
		"long number":   append([]byte(`{"a":`), bytes.Repeat([]byte("9"), big)...),
		"entities":      []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]><a>&b;&x;</a>`),
		"null":          []byte("null\n[]\n{}\n\"\"\n[null]\n{\"\":null}\n"),
		"bad UTF-8":     []byte("{\"a\":\"\xff\xfe\xed\xa0\x80\"}\n<a b=\"\xff\"/>\n"),
		"BOM":           []byte("\xef\xbb\xbf{}"),
		"UTF-16":        []byte("\xff\xfe<\x00a\x00/\x00>\x00"),
	}
}
