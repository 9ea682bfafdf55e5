package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/uid"
)

// knownFinding is what RecordFindings must know of a finding that exists, and what it makes of it.
type knownFinding struct {
	id       uid.Finding
	status   finding.Status
	scan     uid.Scan
	lastSeen int64
	engines  []string
	digest   []byte
	cves     string

	fate    finding.Fate // what this scan made of it
	settled bool         // by this call
	told    bool         // its fate is among the changes
}

// renewal is a finding of which this call writes.
type renewal struct {
	print   string
	row     []any
	seen    *scan.Seen
	doc     string // empty = as before
	kind    int64
	words   []string // that make the kind
	cvesWas string
	plain   bool // nothing is new of it but that it was seen
	history bool // being seen enters its history
}

// recording is one call of RecordFindings.
type recording struct {
	t    *Tx
	scan scan.Scan
	at   time.Time

	known   map[string]*knownFinding // by fingerprint
	renewed []renewal                // one for each fingerprint
	counts  counting
	history [][]any
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
	r := &recording{t: t, scan: s, at: at, known: map[string]*knownFinding{}, counts: counting{}}
	if err := r.readKnown(ctx, seen); err != nil {
		return nil, err
	}
	for i := range seen {
		if err := r.look(&seen[i]); err != nil {
			return nil, err
		}
	}
	if err := r.write(ctx); err != nil {
		return nil, err
	}
	return r.changes(), nil
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
		if err := rows.Scan(&k.id, &print, &k.status, &k.scan, &k.lastSeen, &engines, &k.digest, &k.cves); err != nil {
			return internal("a finding can't be read", err)
		}
		var err error
		k.engines, err = texts[string]("engines", engines)
		r.known[print] = &k
		return err
	})
}

// look notes one observation. A second place of the same weakness in the same scan leaves the finding as the first one
// made it, so that a re-scan of the same report changes nothing.
func (r *recording) look(o *scan.Seen) error {
	doc, err := json.Marshal(observationDoc(o.Observation)) //nolint:gosec // Secret is a keyed fingerprint
	if err != nil {
		return internal("a finding can't be written", err)
	}
	k := r.known[o.Fingerprint]
	again := false
	if k == nil {
		k = &knownFinding{id: uid.Finding(r.t.s.cfg.IDs.New())}
		r.known[o.Fingerprint] = k
	} else {
		again = k.settled || (k.scan == r.scan.ID && k.lastSeen >= micros(r.scan.StartedAt))
	}
	if !again {
		r.renew(k, o, string(doc))
	}
	k.settled = true
	r.places = append(r.places, o.Fingerprint)
	r.results = append(r.results, []any{
		string(r.scan.ID), r.scan.Fence, position(o.Severity, o.Ordinal), string(o.Category), string(k.id), o.Occurrence,
		resultWords(*o), string(doc),
	})
	return nil
}

// renew notes what must be written of a finding.
func (r *recording) renew(k *knownFinding, o *scan.Seen, doc string) {
	n := renewal{print: o.Fingerprint, seen: o, cvesWas: k.cves, plain: true, history: k.scan != r.scan.ID}
	if digest := sha256.Sum256([]byte(doc)); !bytes.Equal(k.digest, digest[:]) {
		k.digest, n.doc, n.plain = digest[:], doc, false
	}
	if !slices.Contains(k.engines, r.scan.Engine) {
		k.engines = slices.Sorted(slices.Values(append(slices.Clone(k.engines), r.scan.Engine)))
		n.plain = false
	}
	if k.status == finding.Fixed {
		n.plain = false
	}
	n.words = findingWords(o)
	n.kind = kindOf(o.Rule, n.words)
	k.cves = strings.Join(distinct(o.CVE), " ")
	at := micros(r.at)
	n.row = []any{
		string(k.id), r.scan.Engine, o.Fingerprint, orNull(o.Case), o.Location.Host, int64(o.Severity.Rank()),
		string(finding.Open), at, at, string(r.scan.ID), list(k.engines), k.digest, placeOf(o.Severity, r.at),
		string(o.Category), n.kind, k.cves, string(r.scan.ID), micros(r.scan.StartedAt), flag(n.history), int64(1),
	}
	r.renewed = append(r.renewed, n)
}

// placeOf sorts findings worst first and then newest, as a falling number. A time's microseconds stay below 1 << 56 for
// two thousand years.
func placeOf(sev finding.Severity, first time.Time) int64 { return placeFrom(sev) + micros(first) }

// placeFrom is the lowest place of a severity; above it comes that of the next worse one.
func placeFrom(sev finding.Severity) int64 { return int64(4-sev.Rank()) << 56 }

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

// maxFindingWords bounds what a search over all findings knows of one.
const maxFindingWords = 24

// findingWords are the words that a finding is called by, sorted. Numbers are left out: they tell findings of one kind
// apart.
func findingWords(o *scan.Seen) []string {
	all := words(maxWords, o.Title, o.Rule, o.Location.Package)
	all = slices.DeleteFunc(all, isNumber)
	all = all[:min(len(all), maxFindingWords)]
	slices.Sort(all)
	return all
}

func isNumber(word string) bool { return strings.Trim(word, "0123456789") == "" }

// kindOf names the kind of findings that one rule calls by the same words.
func kindOf(rule string, sorted []string) int64 {
	sum := sha256.Sum256([]byte(rule + "\x00" + strings.Join(sorted, " ")))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

func (r *recording) write(ctx context.Context) error {
	if err := r.upsert(ctx); err != nil {
		return err
	}
	if err := r.writeWords(ctx); err != nil {
		return err
	}
	if _, err := r.t.insertMany(ctx, "finding.history_add", r.history); err != nil {
		return err
	}
	for i, p := range r.places {
		r.results[i][4] = string(r.known[p].id)
	}
	if _, err := r.t.insertMany(ctx, "result.insert", r.results); err != nil {
		return err
	}
	return r.t.putCounts(ctx, r.counts) // last: whoever else counts waits from here on
}

// upsert writes new and known findings, in one order for all, so that two scans don't wait for each other. A finding
// that another scan made since it was looked for keeps its id, and one that a person decided on its status.
func (r *recording) upsert(ctx context.Context) error {
	slices.SortFunc(r.renewed, func(a, b renewal) int { return strings.Compare(a.print, b.print) })
	left := map[string]*renewal{}
	plain := len(r.renewed) > 0
	for i, n := range r.renewed {
		left[n.print] = &r.renewed[i]
		plain = plain && n.plain && n.history
	}
	if plain {
		if err := r.touch(ctx, left); err != nil {
			return err
		}
	}
	rows := make([][]any, 0, len(left))
	for _, n := range r.renewed {
		if left[n.print] != nil {
			rows = append(rows, n.row)
		}
	}
	return r.t.eachMany(ctx, "finding.upsert", rows, func(rows *sql.Rows) error {
		var print, was string
		var id uid.Finding
		var now cell
		var entries int64
		if err := rows.Scan(&print, &id, &now.status, &now.severity, &was, &entries); err != nil {
			return internal("a finding can't be read", err)
		}
		r.settle(left[print], id, now, cellOf(was), entries)
		return nil
	})
}

// touch writes findings of which nothing is new but that they were seen, and takes them from what is left.
func (r *recording) touch(ctx context.Context, left map[string]*renewal) error {
	ids := make([]uid.Finding, len(r.renewed))
	for i, n := range r.renewed {
		ids[i] = r.known[n.print].id
	}
	seen := []any{micros(r.at), string(r.scan.ID), micros(r.scan.StartedAt), int64(1)}
	return eachOf(ctx, &r.t.handle, "finding.touch", seen, ids, func(rows *sql.Rows) error {
		var print string
		var id uid.Finding
		var now cell
		var entries int64
		if err := rows.Scan(&print, &id, &now.status, &now.severity, &entries); err != nil {
			return internal("a finding can't be read", err)
		}
		r.settle(left[print], id, now, now, entries)
		delete(left, print)
		return nil
	})
}

// settle notes what became of a finding, from what the database says that it was.
func (r *recording) settle(n *renewal, id uid.Finding, now, was cell, entries int64) {
	k := r.known[n.print]
	k.id, k.status = id, now.status
	kind := triage.KindSeen
	switch {
	case was.status == "":
		k.fate, kind = finding.Created, triage.KindOpened
	case was.status != now.status:
		k.fate, kind = finding.Reopened, triage.KindReopened
	default:
		_, k.fate = finding.Next(now.status)
		if now.status == finding.Fixed { // a person said so after this scan had begun
			k.fate = finding.Suppressed
		}
	}
	if was != now {
		r.counts.move(was, now)
	}
	if n.history || kind != triage.KindSeen {
		r.history = append(r.history, passage{kind, was.status, now.status, r.scan.ID}.entry(id, entries, r.at))
	}
}

// writeWords writes the looks of findings that look otherwise than before, and what they are found by.
func (r *recording) writeWords(ctx context.Context) error {
	var docs, added [][]any
	for _, n := range r.renewed {
		if n.doc == "" {
			continue
		}
		id := string(r.known[n.print].id)
		docs = append(docs, []any{id, n.doc})
		gone, fresh := difference(strings.Fields(n.cvesWas), distinct(n.seen.CVE))
		for _, cve := range gone {
			if _, err := r.t.exec(ctx, "finding.cve_remove", cve, id); err != nil {
				return err
			}
		}
		for _, cve := range fresh {
			added = append(added, []any{cve, id})
		}
	}
	if _, err := r.t.insertMany(ctx, "finding.doc_put", docs); err != nil {
		return err
	}
	if _, err := r.t.insertMany(ctx, "finding.cve_add", added); err != nil {
		return err
	}
	return r.writeKinds(ctx)
}

// writeKinds enters the kinds of findings that look otherwise than before, and the words of new ones.
func (r *recording) writeKinds(ctx context.Context) error {
	var kinds, texts [][]any
	called := map[int64][]string{}
	for _, n := range r.renewed {
		if n.doc != "" && called[n.kind] == nil {
			called[n.kind] = n.words
			kinds = append(kinds, []any{n.kind, n.seen.Rule})
		}
	}
	slices.SortFunc(kinds, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) }) //nolint:forcetypeassert // made above
	err := r.t.eachMany(ctx, "finding.kind_add", kinds, func(rows *sql.Rows) error {
		var kind int64
		if err := rows.Scan(&kind); err != nil {
			return internal("a kind of finding can't be read", err)
		}
		for _, w := range called[kind] {
			texts = append(texts, []any{w, kind})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(texts, func(a, b []any) int { return compareTexts(a[0], b[0]) })
	_, err = r.t.insertMany(ctx, "finding.word_add", texts)
	return err
}

// changes are what became of each observation, in order: the first of a finding has its fate, others find it as it is.
func (r *recording) changes() []finding.Change {
	out := make([]finding.Change, len(r.places))
	for i, p := range r.places {
		k := r.known[p]
		fate := k.fate
		if fate == "" || k.told {
			_, fate = finding.Next(k.status)
		}
		k.told = true
		out[i] = finding.Change{ID: k.id, Fate: fate, Status: k.status}
	}
	return out
}

// cell is where a finding is counted.
type cell struct {
	severity int64
	status   finding.Status
}

// cellOf reads finding.was; the empty one is of a finding that wasn't there.
func cellOf(was string) cell {
	status, severity, ok := strings.Cut(was, "/")
	if !ok {
		return cell{}
	}
	rank, _ := strconv.ParseInt(severity, 10, 64) // the database wrote a number
	return cell{rank, finding.Status(status)}
}

// counting is by how much counts change.
type counting map[cell]int64

// move takes a finding from one cell to another. A cell without a status is no cell.
func (c counting) move(from, to cell) {
	if from.status != "" {
		c[from]--
	}
	if to.status != "" {
		c[to]++
	}
}

// putCounts adds to the counts, in one order for all, so that two units don't wait for each other.
func (t *Tx) putCounts(ctx context.Context, c counting) error {
	rows := make([][]any, 0, len(c))
	for at, n := range c {
		if n != 0 {
			rows = append(rows, []any{at.severity, string(at.status), n})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int {
		if a[0] != b[0] {
			return cmp.Compare(a[0].(int64), b[0].(int64)) //nolint:forcetypeassert // made above
		}
		return compareTexts(a[1], b[1])
	})
	_, err := t.insertMany(ctx, "finding.count_add", rows)
	return err
}
