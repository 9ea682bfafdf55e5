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
}

// recording is one call of RecordFindings.
type recording struct {
	t    *Tx
	scan scan.Scan
	at   int64

	known    map[string]*knownFinding // by fingerprint
	changes  []finding.Change
	renewed  map[string][]any // finding.upsert rows by fingerprint
	fresh    map[string]*knownFinding
	touched  []uid.Finding
	reopened []uid.Finding
	results  [][]any
	places   []string // the fingerprint of each result
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
	r := &recording{
		t: t, scan: s, at: micros(at), known: map[string]*knownFinding{}, renewed: map[string][]any{},
		fresh: map[string]*knownFinding{},
	}
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
	digest := sha256.Sum256(append(append([]byte(o.Case), 0), doc...))
	k := r.known[o.Fingerprint]
	before := finding.Status("")
	again := false
	if k == nil {
		k = &knownFinding{id: uid.Finding(r.t.s.cfg.IDs.New())}
		r.known[o.Fingerprint], r.fresh[o.Fingerprint] = k, k
	} else {
		before = k.status
		again = k.scan == r.scan.ID && k.lastSeen >= micros(r.scan.StartedAt)
	}
	status, fate := finding.Next(before)
	k.status = status
	if !again {
		r.renew(k, o, fate, digest[:], string(doc))
	}
	k.scan, k.lastSeen = r.scan.ID, max(r.at, k.lastSeen)
	r.changes = append(r.changes, finding.Change{ID: k.id, Fate: fate, Status: status})
	r.places = append(r.places, o.Fingerprint)
	r.results = append(r.results, []any{
		string(r.scan.ID), r.scan.Fence, position(o.Severity, o.Ordinal), string(o.Category), string(k.id), o.Occurrence,
		resultWords(o), string(doc),
	})
	return nil
}

// renew notes what must be written of a finding: nothing but the sight of it where it looks as before.
func (r *recording) renew(k *knownFinding, o scan.Seen, fate finding.Fate, digest []byte, doc string) {
	if fate == finding.Reopened {
		r.reopened = append(r.reopened, k.id)
	}
	if fate != finding.Created && bytes.Equal(k.digest, digest) && slices.Contains(k.engines, r.scan.Engine) {
		r.touched = append(r.touched, k.id)
		return
	}
	if !slices.Contains(k.engines, r.scan.Engine) {
		k.engines = slices.Sorted(slices.Values(append(slices.Clone(k.engines), r.scan.Engine)))
	}
	k.digest = digest
	r.renewed[o.Fingerprint] = []any{
		string(k.id), r.scan.Engine, o.Fingerprint, orNull(o.Case), o.Location.Host, int64(o.Severity.Rank()),
		string(k.status), r.at, r.at, string(r.scan.ID), list(k.engines), digest, doc,
	}
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
	for name, ids := range map[string][]uid.Finding{"finding.touch": r.touched, "finding.reopen": r.reopened} {
		if len(ids) == 0 {
			continue
		}
		var fixed []any
		if name == "finding.touch" {
			fixed = []any{r.at, string(r.scan.ID)}
		}
		if _, err := execOf(ctx, r.t, name, fixed, ids); err != nil {
			return err
		}
	}
	_, err := r.t.insertMany(ctx, "result.insert", r.results)
	return err
}

// upsert writes new and changed findings, in one order for all, so that two scans don't wait for each other. A finding
// that another scan made since it was looked for keeps its id and status.
func (r *recording) upsert(ctx context.Context) error {
	rows := make([][]any, 0, len(r.renewed))
	for _, row := range r.renewed {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b []any) int { return compareTexts(a[2], b[2]) })
	return r.t.eachMany(ctx, "finding.upsert", rows, func(rows *sql.Rows) error {
		var print string
		var id uid.Finding
		var status finding.Status
		if err := rows.Scan(&print, &id, &status); err != nil {
			return internal("a finding can't be read", err)
		}
		if k := r.fresh[print]; k != nil && k.id != id {
			r.adopt(print, id, status)
		}
		return nil
	})
}

// adopt puts the id of a finding that was there after all in the place of the one made up for it.
func (r *recording) adopt(print string, id uid.Finding, status finding.Status) {
	for i, p := range r.places {
		if p != print {
			continue
		}
		_, fate := finding.Next(status)
		r.changes[i] = finding.Change{ID: id, Fate: fate, Status: status}
		r.results[i][4] = string(id)
	}
}

// FixFindings marks open findings fixed and returns how many; ones a person decided on keep their status.
func (t *Tx) FixFindings(ctx context.Context, ids []uid.Finding, by uid.Scan, at time.Time) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	n, err := execOf(ctx, t, "finding.fix", []any{micros(at), string(by)}, ids)
	return int(n), err
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
