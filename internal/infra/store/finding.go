package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/uid"
)

// observationDoc is how an observation is kept. Its names are data: one is never renamed.
type observationDoc struct {
	Rule        string             `json:"rule"`
	Discern     string             `json:"discern,omitempty"`
	Title       string             `json:"title"`
	Description string             `json:"description,omitempty"`
	Severity    finding.Severity   `json:"severity"`
	Confidence  finding.Confidence `json:"confidence,omitempty"`
	Category    finding.Category   `json:"category,omitempty"`
	CVE         []string           `json:"cve,omitempty"`
	CWE         []int              `json:"cwe,omitempty"`
	CVSS        *finding.CVSS      `json:"cvss,omitempty"`
	Location    finding.Location   `json:"location"`
	Evidence    string             `json:"evidence,omitempty"`
	Remediation string             `json:"remediation,omitempty"`
	References  []string           `json:"references,omitempty"`
}

func observationOf(doc []byte) (finding.Observation, error) {
	var d observationDoc
	if err := decode("doc", doc, &d); err != nil {
		return finding.Observation{}, err
	}
	return finding.Observation(d), nil
}

// knownFinding is what RecordFindings must know of a finding that exists.
type knownFinding struct {
	id       uid.Finding
	status   finding.Status
	scan     uid.Scan
	lastSeen int64
	engines  []string
	digest   []byte
	settled  bool // by this call
}

// recording is one call of RecordFindings.
type recording struct {
	t    *Tx
	scan scan.Scan
	at   int64

	known   map[string]*knownFinding // by fingerprint
	changes []finding.Change
	renewed [][]any  // finding.upsert rows, one for each fingerprint
	docs    [][]any  // finding_doc rows of those that look otherwise than before
	docOf   []string // the fingerprint of each
	results [][]any
	places  []string // the fingerprint of each result
}

// RecordFindings upserts findings by fingerprint under the rules of finding.Next and writes the scan's own result rows
// for the try that runs; it returns what became of each, in order. At most 500 at a time. A try that has lost its
// lease gets a Conflict fault.
func (t *Tx) RecordFindings(ctx context.Context, s scan.Scan, seen []scan.Seen, at time.Time) ([]finding.Change, error) {
	if len(seen) > maxRows {
		return nil, internal("too many findings for one unit", nil)
	}
	if len(seen) == 0 {
		return nil, nil
	}
	if err := t.one(ctx, lost, "scan.hold", string(s.ID), s.Fence); err != nil {
		return nil, err
	}
	r := &recording{t: t, scan: s, at: micros(at), known: map[string]*knownFinding{}}
	if err := r.readKnown(ctx, seen); err != nil {
		return nil, err
	}
	for _, o := range seen {
		if err := r.decide(o); err != nil {
			return nil, err
		}
	}
	return r.changes, r.write(ctx)
}

func (r *recording) readKnown(ctx context.Context, seen []scan.Seen) error {
	prints := make([]string, len(seen))
	for i, o := range seen {
		prints[i] = o.Fingerprint
	}
	slices.Sort(prints)
	prints = slices.Compact(prints)
	return eachOf(ctx, &r.t.handle, "finding.known", nil, prints, func(rows *sql.Rows) error {
		var k knownFinding
		var print string
		var engines []byte
		if err := rows.Scan(&k.id, &print, &k.status, &k.scan, &k.lastSeen, &engines, &k.digest); err != nil {
			return internal("a finding can't be read", err)
		}
		var err error
		k.engines, err = texts[string]("engines", engines)
		r.known[print] = &k
		return err
	})
}

// decide settles what becomes of one observation. A second place of the same weakness in the same scan leaves the
// finding as the first one made it, so that a re-scan of the same report changes nothing.
func (r *recording) decide(o scan.Seen) error {
	doc, err := json.Marshal(observationDoc(o.Observation))
	if err != nil {
		return internal("a finding can't be written", err)
	}
	k := r.known[o.Fingerprint]
	before := finding.Status("")
	again := false
	if k == nil {
		k = &knownFinding{id: uid.Finding(r.t.s.cfg.IDs.New())}
		r.known[o.Fingerprint] = k
	} else {
		before = k.status
		again = k.settled || (k.scan == r.scan.ID && k.lastSeen >= micros(r.scan.StartedAt))
	}
	status, fate := finding.Next(before)
	k.status = status
	if !again {
		r.renew(k, o, string(doc))
	}
	k.settled = true
	r.changes = append(r.changes, finding.Change{ID: k.id, Fate: fate, Status: status})
	r.places = append(r.places, o.Fingerprint)
	r.results = append(r.results, []any{
		string(r.scan.ID), r.scan.Fence, position(o.Severity, o.Ordinal), string(o.Category), string(k.id), o.Occurrence,
		resultWords(o), string(doc),
	})
	return nil
}

// renew notes what must be written of a finding.
func (r *recording) renew(k *knownFinding, o scan.Seen, doc string) {
	if digest := sha256.Sum256([]byte(doc)); !bytes.Equal(k.digest, digest[:]) {
		k.digest = digest[:]
		r.docs = append(r.docs, []any{string(k.id), doc})
		r.docOf = append(r.docOf, o.Fingerprint)
	}
	if !slices.Contains(k.engines, r.scan.Engine) {
		k.engines = slices.Sorted(slices.Values(append(slices.Clone(k.engines), r.scan.Engine)))
	}
	r.renewed = append(r.renewed, []any{
		string(k.id), r.scan.Engine, o.Fingerprint, orNull(o.Case), o.Location.Host, int64(o.Severity.Rank()),
		string(k.status), r.at, r.at, string(r.scan.ID), list(k.engines), k.digest,
	})
}

// resultWords is the text that a search within a scan's results looks at, each word after a space.
func resultWords(o scan.Seen) string {
	at := o.Location
	port := ""
	if at.Port != 0 {
		port = strconv.Itoa(at.Port)
	}
	var b bytes.Buffer
	for _, w := range words(maxWords, append([]string{
		o.Title, o.Rule, at.Host, port, at.URL, at.Parameter, at.File, at.Package, o.Discern, o.Description,
	}, o.CVE...)...) {
		b.WriteByte(' ')
		b.WriteString(w)
	}
	return b.String()
}

func (r *recording) write(ctx context.Context) error {
	if err := r.upsert(ctx); err != nil {
		return err
	}
	if _, err := r.t.insertMany(ctx, "finding.doc_put", r.docs); err != nil {
		return err
	}
	_, err := r.t.insertMany(ctx, "result.insert", r.results)
	return err
}

// upsert writes new and known findings, in one order for all, so that two scans don't wait for each other. A finding
// that another scan made since it was looked for keeps its id and status.
func (r *recording) upsert(ctx context.Context) error {
	slices.SortFunc(r.renewed, func(a, b []any) int { return compareTexts(a[2], b[2]) })
	return r.t.eachMany(ctx, "finding.upsert", r.renewed, func(rows *sql.Rows) error {
		var print string
		var id uid.Finding
		var status finding.Status
		if err := rows.Scan(&print, &id, &status); err != nil {
			return internal("a finding can't be read", err)
		}
		if r.known[print].id != id || r.known[print].status != status {
			r.adopt(print, id, status)
		}
		return nil
	})
}

// adopt corrects what was decided of a finding that somebody else made or decided on meanwhile.
func (r *recording) adopt(print string, id uid.Finding, status finding.Status) {
	_, fate := finding.Next(status)
	for i, p := range r.places {
		if p == print {
			r.changes[i] = finding.Change{ID: id, Fate: fate, Status: status}
			r.results[i][4] = string(id)
		}
	}
	for i, p := range r.docOf {
		if p == print {
			r.docs[i][0] = string(id)
		}
	}
}

// FixFindings marks open findings fixed and returns how many, at most 500 at a time; ones a person decided on keep their status.
func (t *Tx) FixFindings(ctx context.Context, ids []uid.Finding, by uid.Scan, at time.Time) (int, error) {
	if len(ids) > maxRows {
		return 0, internal("too many findings for one unit", nil)
	}
	fixed := 0
	for _, id := range slices.Sorted(slices.Values(ids)) { // one order for all, so that two units don't wait for each other
		n, err := t.exec(ctx, "finding.fix", string(id), micros(at), string(by))
		if err != nil {
			return 0, err
		}
		fixed += int(n)
	}
	return fixed, nil
}

// OpenFindings returns findings of one engine on one host that aren't fixed, after the given fingerprint in
// fingerprint order, at most 500.
func (r ScanStore) OpenFindings(ctx context.Context, org uid.Org, engineID, host, after string) ([]finding.Finding, error) {
	var out []finding.Finding
	err := r.each(ctx, org, "finding.unfixed", []any{engineID, host, after}, func(rows *sql.Rows) error {
		var f finding.Finding
		var engines, doc []byte
		var first, last, fixed int64
		err := rows.Scan(&f.ID, &f.Engine, &f.Fingerprint, &f.Status, &first, &last, &fixed, &f.Scan, &engines, &doc)
		if err != nil {
			return internal("a finding can't be read", err)
		}
		f.FirstSeenAt, f.LastSeenAt, f.FixedAt = timeOf(first), timeOf(last), timeOf(fixed)
		if f.Engines, err = texts[string]("engines", engines); err != nil {
			return err
		}
		f.Observation, err = observationOf(doc)
		out = append(out, f)
		return err
	})
	return out, err
}
