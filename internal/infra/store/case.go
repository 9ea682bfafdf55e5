package store

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// CaseStore implements correlation.Store.
type CaseStore struct {
	reader
	changer[correlation.Tx]
}

var (
	_ correlation.Store = CaseStore{}
	_ correlation.Tx    = (*Tx)(nil)
)

// Cases is the view of findings that are one real issue.
func (s *Store) Cases() CaseStore { return CaseStore{reader{s}, changer[correlation.Tx]{s}} }

func missingCase() error { return fault.Missing("case") }

// Case returns one case of the organization, a NotFound fault where there is none.
func (r CaseStore) Case(ctx context.Context, org uid.Org, id uid.Case) (correlation.Record, error) {
	var c correlation.Record
	if !uid.Valid(string(id)) {
		return c, missingCase()
	}
	found := false
	err := r.each(ctx, org, "case.row", []any{string(id)}, func(rows *sql.Rows) error {
		var err error
		found = true
		c, err = caseRow(rows)
		return err
	})
	if err == nil && !found {
		err = missingCase()
	}
	return c, err
}

// caseRow reads a row of case.row or case.rows.
func caseRow(rows *sql.Rows) (correlation.Record, error) {
	var c correlation.Record
	var engines []byte
	var cves string
	var into sql.NullString
	var severity, first, last, fixed int64
	err := rows.Scan(&c.ID, &c.Title, &severity, &c.Confidence, &c.Status, &c.Kind, &c.Asset, &engines, &cves, &c.Members, &c.Risk,
		&first, &last, &fixed, &into, &c.Entries)
	if err != nil {
		return c, internal("a case can't be read", err)
	}
	c.Severity = finding.Severities()[min(max(severity, 0), 4)]
	c.FirstSeenAt, c.LastSeenAt, c.FixedAt, c.MergedInto = timeOf(first), timeOf(last), timeOf(fixed), uid.Case(into.String)
	c.CVE = strings.Fields(cves)
	c.Engines, err = texts[string]("engines", engines)
	return c, err
}

// CaseMembers returns the findings of a case, oldest first, at most correlation.MaxShown.
func (r CaseStore) CaseMembers(ctx context.Context, org uid.Org, id uid.Case) ([]correlation.Standing, error) {
	var out []correlation.Standing
	err := r.view(ctx, org, func(ctx context.Context, v *View) error {
		ids, err := caseFindings(ctx, &v.handle, id, correlation.MaxShown)
		if err != nil || len(ids) == 0 {
			return err
		}
		out, err = standings(ctx, &v.handle, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b correlation.Standing) int { return strings.Compare(string(a.Finding), string(b.Finding)) })
	return out, r.reader.s.enrichStandings(ctx, out)
}

func caseFindings(ctx context.Context, h *handle, id uid.Case, limit int) ([]uid.Finding, error) {
	return findingIDs(ctx, h, "case.members", []any{string(id), int64(limit)})
}

func findingIDs(ctx context.Context, h *handle, name string, args []any) ([]uid.Finding, error) {
	var out []uid.Finding
	err := h.each(ctx, name, args, func(rows *sql.Rows) error {
		var id uid.Finding
		if err := rows.Scan(&id); err != nil {
			return internal("a finding can't be read", err)
		}
		out = append(out, id)
		return nil
	})
	return out, err
}

// standings reads findings as they stand in their cases; at most 500.
func standings(ctx context.Context, h *handle, ids []uid.Finding) ([]correlation.Standing, error) {
	out := make([]correlation.Standing, 0, len(ids))
	seen := make(map[uid.Finding]bool, len(ids)) // what fills a list up comes back on PostgreSQL
	err := eachOf(ctx, h, "case.standings", nil, ids, func(rows *sql.Rows) error {
		f, err := standingRow(rows)
		if !seen[f.Finding] {
			seen[f.Finding] = true
			out = append(out, f)
		}
		return err
	})
	return out, err
}

func standingRow(rows *sql.Rows) (correlation.Standing, error) {
	var f correlation.Standing
	var engines, why, doc []byte
	var in sql.NullString
	var first, last, fixed, since int64
	var keys string
	err := rows.Scan(&f.Finding, &f.Engine, &engines, &f.Scan, &f.Status, &first, &last, &fixed, &in, &since, &why, &keys, &f.Risk, &doc)
	if err != nil {
		return f, internal("a finding can't be read", err)
	}
	f.FirstSeenAt, f.LastSeenAt, f.FixedAt, f.Since, f.Case = timeOf(first), timeOf(last), timeOf(fixed), timeOf(since), uid.Case(in.String)
	f.Keyed = strings.Fields(keys)
	if f.Engines, err = texts[string]("engines", engines); err != nil {
		return f, err
	}
	var d beliefDoc
	if err := decode("case_why", why, &d); err != nil {
		return f, err
	}
	f.Belief = d.belief()
	f.Observation, err = observationOf(doc)
	return f, err
}

// beliefDoc is how it is kept why a finding is in its case. Its names are data: one is never renamed.
type beliefDoc struct {
	Kind      correlation.Kind    `json:"kind"`
	Marks     []string            `json:"marks,omitempty"`
	Overlap   correlation.Overlap `json:"overlap,omitempty"`
	Place     string              `json:"place,omitempty"`
	Alias     string              `json:"alias,omitempty"`
	Hand      string              `json:"hand,omitempty"`
	ActorKind audit.ActorKind     `json:"actorKind,omitempty"`
	Actor     string              `json:"actor,omitempty"`
	Apart     bool                `json:"apart,omitempty"`
}

func (d beliefDoc) belief() correlation.Belief {
	return correlation.Belief{
		Why:  correlation.Why{Kind: d.Kind, Marks: d.Marks, Overlap: d.Overlap, Place: d.Place, Alias: d.Alias},
		Hand: d.Hand, By: correlation.Author{Kind: d.ActorKind, ID: d.Actor}, Apart: d.Apart,
	}
}

func beliefText(b correlation.Belief) (string, error) {
	return encode(beliefDoc{
		Kind: b.Kind, Marks: b.Marks, Overlap: b.Overlap, Place: b.Place, Alias: b.Alias, Hand: b.Hand, ActorKind: b.By.Kind, Actor: b.By.ID,
		Apart: b.Apart,
	})
}

// enrichStandings looks up what public sources say of the findings' CVE ids.
func (s *Store) enrichStandings(ctx context.Context, list []correlation.Standing) error {
	var cves []string
	for i := range list {
		cves = append(cves, list[i].CVE...)
	}
	if len(cves) == 0 {
		return nil
	}
	known, err := s.KnownIntel(ctx, cves)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Intel = known.Assess(list[i].CVE, list[i].CVSS != nil)
	}
	return nil
}

// caseEntryDoc is how an entry of a case's history is kept. Its names are data.
type caseEntryDoc struct {
	ActorKind audit.ActorKind `json:"actorKind,omitempty"`
	Actor     string          `json:"actor,omitempty"`
	Other     uid.Case        `json:"other,omitempty"`
	Findings  []uid.Finding   `json:"findings,omitempty"`
	Count     int             `json:"count"`
	Reason    string          `json:"reason,omitempty"`
}

// CaseHistory returns a case's entries, newest first, at most correlation.MaxShown.
func (r CaseStore) CaseHistory(ctx context.Context, org uid.Org, id uid.Case) ([]correlation.Entry, error) {
	var out []correlation.Entry
	err := r.each(ctx, org, "case.history", []any{string(id), int64(correlation.MaxShown)}, func(rows *sql.Rows) error {
		e := correlation.Entry{Case: id}
		var at int64
		var doc []byte
		if err := rows.Scan(&e.Seq, &at, &e.Kind, &doc); err != nil {
			return internal("a case's history can't be read", err)
		}
		var d caseEntryDoc
		if err := decode("doc", doc, &d); err != nil {
			return err
		}
		e.At, e.By = timeOf(at), correlation.Author{Kind: d.ActorKind, ID: d.Actor}
		e.Other, e.Findings, e.Count, e.Reason = d.Other, d.Findings, d.Count, d.Reason
		out = append(out, e)
		return nil
	})
	return out, err
}

// CaseLooks returns of each engine and target the last complete scan of any of the hosts since the given time.
func (r CaseStore) CaseLooks(ctx context.Context, org uid.Org, hosts []string, since time.Time) ([]correlation.Look, error) {
	var out []correlation.Look
	err := r.view(ctx, org, func(ctx context.Context, v *View) error {
		out = nil
		for _, host := range hosts[:min(len(hosts), correlation.MaxShown)] {
			err := v.each(ctx, "case.looks", []any{host, micros(since)}, func(rows *sql.Rows) error {
				var l correlation.Look
				var at int64
				err := rows.Scan(&l.Engine, &l.Scan, &l.Target, &at)
				l.At = timeOf(at)
				out = append(out, l)
				return readFault(err)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Aliases returns which hosts of the organization are one asset.
func (r CaseStore) Aliases(ctx context.Context, org uid.Org) (correlation.Aliases, error) {
	var sets [][]string
	err := r.each(ctx, org, "case.aliases", nil, func(rows *sql.Rows) error {
		var name, address string
		if err := rows.Scan(&name, &address); err != nil {
			return internal("an alias can't be read", err)
		}
		if n := len(sets); n > 0 && sets[n-1][0] == name {
			sets[n-1] = append(sets[n-1], address)
		} else {
			sets = append(sets, []string{name, address})
		}
		return nil
	})
	return correlation.NewAliases(sets...), err
}

// CaseFindings returns the ids of a case's members, oldest first; NotFound where there is no such case.
func (t *Tx) CaseFindings(ctx context.Context, id uid.Case, limit int) ([]uid.Finding, error) {
	if !uid.Valid(string(id)) {
		return nil, missingCase()
	}
	ids, err := caseFindings(ctx, &t.handle, id, limit)
	if err == nil && len(ids) == 0 {
		err = missingCase()
	}
	return ids, err
}

// gathering is one call of Gather.
type gathering struct {
	t       *Tx
	aliases correlation.Aliases
	scene   correlation.Scene
	known   map[uid.Finding]bool
	keys    map[string]bool
	cases   map[uid.Case]bool
}

// Gather returns findings with all that may be one case with any of them, and holds the organization's cases until the
// unit ends.
func (t *Tx) Gather(ctx context.Context, seeds []uid.Finding, aliases correlation.Aliases) (correlation.Scene, error) {
	g := gathering{
		t: t, aliases: aliases, scene: correlation.Scene{Cases: map[uid.Case]correlation.Record{}}, known: map[uid.Finding]bool{},
		keys: map[string]bool{}, cases: map[uid.Case]bool{},
	}
	if _, err := t.exec(ctx, "case.hold"); err != nil {
		return g.scene, err
	}
	for next := seeds; len(next) > 0; {
		var err error
		if next, err = g.step(ctx, next); err != nil {
			return g.scene, err
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(g.cases)), maxRows) {
		err := eachOf(ctx, &t.handle, "case.rows", nil, part, func(rows *sql.Rows) error {
			c, err := caseRow(rows)
			g.scene.Cases[c.ID] = c
			return err
		})
		if err != nil {
			return g.scene, err
		}
	}
	return g.scene, t.s.enrichStandings(ctx, g.scene.Findings)
}

// step reads findings and returns those that belong with them and aren't known yet.
func (g *gathering) step(ctx context.Context, ids []uid.Finding) ([]uid.Finding, error) {
	var keys []string
	var cases []uid.Case
	var fresh []uid.Finding
	for _, id := range ids {
		if !g.known[id] {
			g.known[id] = true
			fresh = append(fresh, id)
		}
	}
	more := map[uid.Finding]bool{}
	for part := range slices.Chunk(fresh, maxRows) {
		list, err := standings(ctx, &g.t.handle, part)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			keys = g.keysOf(keys, f)
			if f.Case != "" && !g.cases[f.Case] {
				g.cases[f.Case] = true
				cases = append(cases, f.Case)
			}
		}
		g.scene.Findings = append(g.scene.Findings, list...)
		if err := g.pins(ctx, part, more); err != nil {
			return nil, err
		}
	}
	if err := idsOf(ctx, g.t, "case.keyed", keys, more); err != nil {
		return nil, err
	}
	if err := idsOf(ctx, g.t, "case.tied", keys, more); err != nil {
		return nil, err
	}
	if err := idsOf(ctx, g.t, "case.in_cases", cases, more); err != nil {
		return nil, err
	}
	maps.DeleteFunc(more, func(id uid.Finding, _ bool) bool { return g.known[id] })
	return slices.Sorted(maps.Keys(more)), nil
}

// keysOf adds the keys that a finding has and those that it is to have.
func (g *gathering) keysOf(list []string, f correlation.Standing) []string {
	for _, k := range slices.Concat(f.Keyed, correlation.KeysOf(f.Member, g.aliases)) {
		if !g.keys[k] {
			g.keys[k] = true
			list = append(list, k)
		}
	}
	return list
}

func idsOf[T ~string](ctx context.Context, t *Tx, name string, values []T, into map[uid.Finding]bool) error {
	for part := range slices.Chunk(values, maxRows) {
		err := eachOf(ctx, &t.handle, name, nil, part, func(rows *sql.Rows) error {
			var id uid.Finding
			if err := rows.Scan(&id); err != nil {
				return internal("a finding can't be read", err)
			}
			into[id] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *gathering) pins(ctx context.Context, ids []uid.Finding, more map[uid.Finding]bool) error {
	type ends struct{ a, b uid.Finding }
	seen := map[ends]bool{}
	return eachOf(ctx, &g.t.handle, "case.pins", nil, ids, func(rows *sql.Rows) error {
		var p correlation.Pin
		var was sql.NullString
		var at, own int64
		if err := rows.Scan(&p.Finding, &p.Other, &was, &p.Reason, &p.By.Kind, &p.By.ID, &at, &own); err != nil {
			return internal("a correction of a case can't be read", err)
		}
		if p.Other != "" {
			more[p.Other] = true
		}
		if p.Was, p.At = uid.Case(was.String), timeOf(at); own == 1 && !seen[ends{p.Finding, p.Other}] {
			seen[ends{p.Finding, p.Other}] = true
			g.scene.Pins = append(g.scene.Pins, p)
		}
		return nil
	})
}

// PutPins adds what a person said.
func (t *Tx) PutPins(ctx context.Context, pins []correlation.Pin) error {
	var rows [][]any
	for _, p := range pins {
		row := func(a, b uid.Finding, own bool) []any {
			return []any{string(a), string(b), orNull(p.Was), p.Reason, string(p.By.Kind), p.By.ID, micros(p.At), flag(own)}
		}
		rows = append(rows, row(p.Finding, p.Other, true))
		if p.Other != "" {
			rows = append(rows, row(p.Other, p.Finding, false))
		}
	}
	_, err := t.insertMany(ctx, "case.pin_add", rows)
	return err
}

// DropPins takes pins back, each from both its ends.
func (t *Tx) DropPins(ctx context.Context, pins []correlation.Pin) error {
	for _, p := range pins {
		if _, err := t.exec(ctx, "case.pin_remove", string(p.Finding), string(p.Other)); err != nil {
			return err
		}
		if p.Other == "" {
			continue
		}
		if _, err := t.exec(ctx, "case.pin_remove", string(p.Other), string(p.Finding)); err != nil {
			return err
		}
	}
	return nil
}

// casePlace sorts cases worst first and then by when they were seen last, as a falling number.
func casePlace(c correlation.Record) int64 { return placeOf(c.Severity, c.LastSeenAt) }

// PutPlan writes what changed of cases.
func (t *Tx) PutPlan(ctx context.Context, p correlation.Plan) error {
	rows := make([][]any, 0, len(p.Cases))
	for _, c := range p.Cases {
		rows = append(rows, []any{
			string(c.ID), c.Title, int64(c.Severity.Rank()), string(c.Confidence), string(c.Status), string(c.Kind), c.Asset, list(c.Engines),
			strings.Join(c.CVE, " "), caseWords(c), int64(c.Members), int64(c.Risk), casePlace(c), micros(c.FirstSeenAt), micros(c.LastSeenAt),
			micros(c.FixedAt), orNull(c.MergedInto), c.Entries,
		})
	}
	if _, err := t.insertMany(ctx, "case.put", rows); err != nil {
		return err
	}
	if err := t.placeFindings(ctx, p.Findings); err != nil {
		return err
	}
	rows = make([][]any, 0, len(p.Entries))
	for _, e := range p.Entries {
		doc, err := encode(caseEntryDoc{
			ActorKind: e.By.Kind, Actor: e.By.ID, Other: e.Other, Findings: e.Findings, Count: e.Count, Reason: e.Reason,
		})
		if err != nil {
			return err
		}
		rows = append(rows, []any{string(e.Case), e.Seq, micros(e.At), string(e.Kind), doc})
	}
	_, err := t.insertMany(ctx, "case.history_add", rows)
	return err
}

// placeFindings writes in which cases findings are. A single key stands in the finding's own row, several stand in rows of
// their own too.
func (t *Tx) placeFindings(ctx context.Context, list []correlation.Standing) error {
	rows := make([][]any, 0, len(list))
	var tied [][]any
	for _, f := range list {
		why, err := beliefText(f.Belief)
		if err != nil {
			return err
		}
		rows = append(rows, []any{
			string(f.Finding), string(f.Case), strconv.FormatInt(micros(f.Since), 10), why, strings.Join(f.Keys, " "), strconv.Itoa(f.Risk),
		})
		if slices.Equal(f.Keys, f.Keyed) || (len(f.Keys) < 2 && len(f.Keyed) < 2) {
			continue
		}
		for _, k := range f.Keyed {
			if _, err := t.exec(ctx, "case.untie", k, string(f.Finding)); err != nil {
				return err
			}
		}
		for _, k := range f.Keys {
			tied = append(tied, []any{k, string(f.Finding)})
		}
	}
	if _, err := t.insertMany(ctx, "case.place", rows); err != nil {
		return err
	}
	_, err := t.insertMany(ctx, "case.tie", tied)
	return err
}

// caseWords is the text that a search over cases looks at, each word after a space.
func caseWords(c correlation.Record) string {
	var b strings.Builder
	for _, w := range words(maxWords, c.Title, c.Asset) {
		b.WriteString(" " + w)
	}
	return b.String()
}
