package vex

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	govex "github.com/openvex/go-vex/pkg/vex"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/word/fault"
)

const openVEXContext = "https://openvex.dev/ns/v0.2.0"

// openVEXWriter writes OpenVEX 0.2.0.
type openVEXWriter struct{}

func (openVEXWriter) begin(d *document, q Query, id string, at time.Time) {
	d.text(`{"@context":"` + openVEXContext + `","@id":"urn:uuid:` + id + `","author":`)
	author := q.Author
	if author == "" {
		author = govex.DefaultAuthor
	}
	d.json(author)
	d.text(`,"timestamp":"` + at.Format(time.RFC3339) + `","version":1,"tooling":"Assay","statements":[`)
}

func (openVEXWriter) end(d *document) { d.text("]}\n") }

func (openVEXWriter) add(d *document, s statement) error {
	st := govex.Statement{
		ID: s.name(), Vulnerability: govex.Vulnerability{ID: "https://nvd.nist.gov/vuln/detail/" + s.pair.CVE, Name: govex.VulnerabilityID(s.pair.CVE)},
	}
	if at := s.since(); !at.IsZero() {
		at = at.UTC()
		st.Timestamp = &at
	}
	p := govex.Product{Component: component(s.place.product)}
	if s.place.component != "" && s.place.component != s.place.product {
		p.Subcomponents = []govex.Subcomponent{{Component: component(s.place.component)}}
	}
	st.Products = []govex.Product{p}
	switch s.found.Status {
	case finding.FalsePositive:
		st.Status, st.Justification = govex.StatusNotAffected, govex.Justification(s.justification())
		if st.Justification != "" {
			st.StatusNotes = s.reason() // a statement has either a justification or an impact statement
		} else if st.ImpactStatement = s.reason(); st.ImpactStatement == "" {
			st.ImpactStatement = "A person judged it a false positive."
		}
	case finding.Accepted, finding.Confirmed:
		st.Status, st.ActionStatement = govex.StatusAffected, s.action()
	case finding.Fixed:
		st.Status, st.StatusNotes = govex.StatusFixed, s.reason()
	case finding.Open:
		st.Status = govex.StatusUnderInvestigation
	}
	d.item(&st)
	return nil
}

// component is a product or a part of one by its IRI; a package URL stands among its identifiers too.
func component(id string) govex.Component {
	c := govex.Component{ID: id}
	if strings.HasPrefix(id, "pkg:") {
		c.Identifiers = map[govex.IdentifierType]string{govex.PURL: id}
	}
	return c
}

// openVEXDocument is the frame of a document; its statements are read one by one.
type openVEXDocument struct {
	Context    string            `json:"@context"`
	ID         string            `json:"@id"`
	Author     string            `json:"author"`
	Timestamp  time.Time         `json:"timestamp"`
	Statements []json.RawMessage `json:"statements"`
}

// readOpenVEX reads a document's claims.
func readOpenVEX(b []byte) (claims, error) {
	var doc openVEXDocument
	if err := json.Unmarshal(b, &doc); err != nil {
		return claims{}, wrong("", "isn't an OpenVEX document: something in it has a wrong form").Because(err)
	}
	if !strings.HasPrefix(doc.Context, "https://openvex.dev/ns") {
		return claims{}, wrong("@context", "must be OpenVEX's, "+openVEXContext)
	}
	if len(doc.Statements) == 0 || len(doc.Statements) > maxStatements {
		return claims{}, wrong("statements", "must hold from 1 to 50,000 statements")
	}
	out := claims{format: OpenVEX, id: doc.ID, author: doc.Author}
	for i, raw := range doc.Statements {
		at := "statements[" + strconv.Itoa(i) + "]"
		var st govex.Statement
		if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&st); err != nil {
			return claims{}, wrong(at, "has a wrong form").Because(err)
		}
		c, err := openVEXClaim(st, at)
		if err != nil {
			return claims{}, err
		}
		if c.index, c.at = i, doc.Timestamp; st.Timestamp != nil {
			c.at = *st.Timestamp
		}
		out.list = append(out.list, c)
	}
	return out, nil
}

func openVEXClaim(st govex.Statement, at string) (claim, error) {
	c := claim{cves: cves(append([]string{string(st.Vulnerability.Name), last(st.Vulnerability.ID)}, texts(st.Vulnerability.Aliases)...))}
	switch st.Status {
	case govex.StatusNotAffected:
		c.status, c.justification = finding.FalsePositive, string(st.Justification)
		if c.justification != "" && !st.Justification.Valid() {
			return c, wrong(at+".justification", "isn't one of OpenVEX's")
		}
		c.reason = first(st.ImpactStatement, st.StatusNotes)
	case govex.StatusAffected:
		c.status, c.reason = finding.Confirmed, first(st.ActionStatement, st.StatusNotes)
	case govex.StatusFixed:
		c.status, c.reason = finding.Fixed, st.StatusNotes
	case govex.StatusUnderInvestigation:
		c.status, c.reason = finding.Open, st.StatusNotes
	default:
		return c, wrong(at+".status", "must be not_affected, affected, fixed or under_investigation")
	}
	for _, p := range st.Products {
		parts := []target{}
		for _, sub := range p.Subcomponents {
			parts = append(parts, identified(sub.Component)...)
			if len(parts) == 0 {
				parts = append(parts, target{}) // named in a way that we can't read: names nothing
			}
		}
		c.where = append(c.where, scope{products: orNothing(identified(p.Component)), parts: parts})
		if len(c.where)+len(parts) > maxTargets {
			return c, wrong(at+".products", "are too many")
		}
	}
	return c, nil
}

// identified are all the names of a component that we can read.
func identified(c govex.Component) []target {
	var out []target
	for _, text := range append([]string{c.ID}, c.Identifiers[govex.PURL]) {
		if t := parseTarget(text); t != (target{}) {
			out = append(out, t)
		}
	}
	return out
}

// orNothing keeps a product that can't be read from naming everything.
func orNothing(list []target) []target {
	if len(list) == 0 {
		return []target{{}}
	}
	return list
}

// last is the end of an IRI, where vulnerabilities have their ids.
func last(iri string) string { return iri[strings.LastIndexByte(iri, '/')+1:] }

// first is the first text that isn't empty.
func first(list ...string) string {
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
	return ""
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// cves are the CVE ids among names, each once.
func cves(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if id, ok := intel.Canonical(n); ok && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// wrong is what a rejected document gets; it names the place and never repeats what stands there.
func wrong(location, message string) *fault.Error {
	if location == "" {
		location = "body"
	}
	return fault.New(fault.Invalid, fault.CodeValidation, "the document was rejected and nothing was decided").With(location, message)
}
