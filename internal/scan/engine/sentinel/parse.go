package sentinel

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/cover"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of what one parse yields.
const (
	maxFindings = 5000
	maxAssets   = 5000
)

// Parse implements engine.Engine. Assets come first, then findings, then packages, each sorted. A file that ends early yields what it
// holds; one with a damaged line, or with more than the bounds, yields no coverage, so that nothing is closed by it. A
// file of a newer version is an Unsupported fault.
func (sentinel) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	j := newJudge(req)
	if err := j.read(raw); err != nil {
		return finding.Coverage{}, err
	}
	for _, a := range j.sortedAssets() {
		if err := yield(engine.Item{Asset: &a}); err != nil {
			return finding.Coverage{}, err
		}
	}
	for _, o := range j.sortedFindings() {
		if err := yield(engine.Item{Finding: &o}); err != nil {
			return finding.Coverage{}, err
		}
	}
	for _, p := range j.packages() {
		if err := yield(engine.Item{Package: &p}); err != nil {
			return finding.Coverage{}, err
		}
	}
	if j.damaged {
		return finding.Coverage{}, nil
	}
	return j.cover.Coverage(), nil
}

// prefix of every rule's id.
const prefix = "sentinel:"

// judge gathers what the records of one run amount to.
type judge struct {
	req     engine.Request
	book    map[string]rule.Rule // by id without prefix
	files   map[string]rule.Rule // by kind
	found   map[string]finding.Observation
	assets  map[string]asset.Observation
	cover   *cover.Cover
	stock   *tree.Stock
	keys    []keyAt // of a tree
	damaged bool
}

func newJudge(req engine.Request) *judge {
	j := &judge{
		req: req, book: map[string]rule.Rule{}, files: map[string]rule.Rule{}, found: map[string]finding.Observation{},
		assets: map[string]asset.Observation{}, cover: cover.New(), stock: tree.NewStock(),
	}
	for _, r := range rule.All() {
		id := strings.TrimPrefix(r.ID, prefix)
		j.book[id] = r
		if r.Kind != "" {
			j.files[r.Kind] = r
		}
	}
	return j
}

// read takes the file line by line.
func (j *judge) read(raw io.Reader) error {
	in := bufio.NewReaderSize(raw, maxLine)
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // over-long: none of ours
			j.damaged, line = true, nil
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fault.New(fault.Internal, fault.CodeInternal, "the raw output can't be read").Because(err)
		}
		last := err != nil
		if n == maxRecords {
			j.damaged = true
			return nil
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var rec record
			if json.Unmarshal(line, &rec) != nil {
				j.damaged = j.damaged || !last // a cut-off last line is how an ended run looks
			} else if err := j.take(rec, n == 0); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func (j *judge) take(rec record, first bool) error {
	if first != (rec.Start != nil) {
		j.damaged = true
	}
	switch {
	case rec.Start != nil:
		if rec.Start.Version > recordVersion {
			return fault.New(fault.Unsupported, fault.CodeUnsupported, "the raw output was written by a newer version")
		}
	case rec.Host != nil:
		j.host(*rec.Host)
	case rec.Port != nil:
		j.port(*rec.Port)
	case rec.TLS != nil:
		j.tls(*rec.TLS)
	case rec.Site != nil:
		j.site(*rec.Site)
	case rec.Files != nil:
		j.filesOf(*rec.Files)
	case rec.Crawl != nil:
		j.crawl(*rec.Crawl)
	case rec.Names != nil:
		j.names(*rec.Names)
	case rec.File != nil:
		j.file(*rec.File)
	case rec.Tree != nil:
		j.treeEnd(*rec.Tree)
	}
	return nil
}

// place returns the location of a record, false where it has none.
func (j *judge) place(addr string, port int) (finding.Location, bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || port < 0 || port > 65535 {
		j.damaged = true
		return finding.Location{}, false
	}
	host := j.req.Target.Host()
	if host == "" {
		host = a.Unmap().String()
	}
	loc := finding.Location{Host: host, Port: port}
	if port > 0 {
		loc.Protocol = "tcp"
	}
	return loc, true
}

// detail is what of a finding isn't fixed by its rule.
type detail struct {
	discern    string
	evidence   string
	confidence finding.Confidence // empty = certain
	title      string             // empty = the rule's, with discern
	secret     string             // fingerprint of what was found
}

// add files one finding. The same rule at the same place is one finding, whichever address of a name showed it.
func (j *judge) add(id string, at finding.Location, d detail) {
	r := j.book[id]
	o := finding.Observation{
		Rule: r.ID, Discern: printable(d.discern, 128), Title: r.Title, Description: r.About, Severity: r.Severity,
		Confidence: cmp.Or(d.confidence, finding.Certain), Category: r.Category, CWE: slices.Clone(r.CWE), Location: at,
		Secret: d.secret, Evidence: printable(d.evidence, finding.MaxEvidence), Remediation: r.Remedy, References: slices.Clone(r.Refs),
	}
	if o.Discern != "" && o.Certificate() == "" { // a digest says nothing to people
		o.Title += ": " + o.Discern
	}
	if d.title != "" {
		o.Title = printable(d.title, finding.MaxTitle)
	}
	key := sortKey(o)
	if _, known := j.found[key]; known {
		return
	}
	if len(j.found) == maxFindings {
		j.damaged = true
		return
	}
	j.found[key] = o
}

// saw files one asset; the first sight of it counts.
func (j *judge) saw(kind asset.Kind, name string, attributes map[string]any) {
	key := string(kind) + "\x00" + name
	if _, known := j.assets[key]; known || name == "" || len(name) > asset.MaxName || len(j.assets) == maxAssets {
		return
	}
	for k, v := range attributes {
		if v == "" || v == nil {
			delete(attributes, k)
		}
	}
	o := asset.Observation{Kind: kind, Name: name, Source: "sentinel"}
	if b, err := json.Marshal(attributes); err == nil && len(attributes) > 0 && len(b) <= asset.MaxAttributes {
		o.Attributes = b
	}
	j.assets[key] = o
}

func sortKey(o finding.Observation) string {
	at := o.Location
	b, _ := json.Marshal([]any{at.Host, at.Port, o.Rule, o.Discern, at.URL, at.Parameter, at.File}) // strings and an int: can't fail
	return string(b)
}

func (j *judge) sortedFindings() []finding.Observation {
	out := make([]finding.Observation, 0, len(j.found))
	for _, o := range j.found {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b finding.Observation) int {
		return cmp.Or(cmp.Compare(a.Location.Host, b.Location.Host), a.Location.Port-b.Location.Port, cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Discern, b.Discern), cmp.Compare(a.Location.URL, b.Location.URL), cmp.Compare(a.Location.Parameter, b.Location.Parameter),
			cmp.Compare(a.Location.File, b.Location.File))
	})
	return out
}

func (j *judge) sortedAssets() []asset.Observation {
	out := make([]asset.Observation, 0, len(j.assets))
	for _, a := range j.assets {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b asset.Observation) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out
}
