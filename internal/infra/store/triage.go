package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// TriageStore implements triage.Store.
type TriageStore struct {
	reader
	changer[triage.Tx]
}

var (
	_ triage.Store  = TriageStore{}
	_ triage.Tx     = (*Tx)(nil)
	_ triage.Lapses = Lapses{}
)

// Triage is the view of findings and what people made of them.
func (s *Store) Triage() TriageStore { return TriageStore{reader{s}, changer[triage.Tx]{s}} }

// Lapses implements triage.Lapses over all organizations, for the server only.
type Lapses struct{ reader }

// Lapses is the view of acceptances that end.
func (s *Store) Lapses() Lapses { return Lapses{reader{s}} }

func missingFinding() error { return fault.Missing("finding") }

// rulingDoc is how a ruling is kept. Its names are data: one is never renamed.
type rulingDoc struct {
	Status        finding.Status  `json:"status"`
	Reason        string          `json:"reason,omitempty"`
	Until         int64           `json:"until,omitempty"`
	Justification string          `json:"justification,omitempty"`
	Note          string          `json:"note,omitempty"`
	ActorKind     audit.ActorKind `json:"actorKind,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	At            int64           `json:"at,omitempty"`
	Before        finding.Status  `json:"before,omitempty"`
}

func decisionDoc(d triage.Decision) rulingDoc {
	return rulingDoc{Status: d.Status, Reason: d.Reason, Until: micros(d.Until), Justification: d.Justification, Note: d.Note}
}

func (d rulingDoc) decision() triage.Decision {
	return triage.Decision{Status: d.Status, Reason: d.Reason, Until: timeOf(d.Until), Justification: d.Justification, Note: d.Note}
}

// decidedRow reads a row of triage.rows.
func decidedRow(rows *sql.Rows) (triage.Finding, error) {
	var f triage.Finding
	var engines, decision, doc []byte
	var firstScan, in sql.NullString
	var severity, first, last, fixed, unseen int64
	err := rows.Scan(&f.ID, &f.Engine, &f.Fingerprint, &f.Status, &severity, &first, &last, &fixed, &f.Scan, &engines, &firstScan,
		&unseen, &decision, &f.Revision, &f.Entries, &in, &f.Risk, &doc)
	if err != nil {
		return f, internal("a finding can't be read", err)
	}
	f.FirstSeenAt, f.LastSeenAt, f.FixedAt, f.NotSeenSince = timeOf(first), timeOf(last), timeOf(fixed), timeOf(unseen)
	f.FirstScan, f.Case = uid.Scan(firstScan.String), uid.Case(in.String)
	if f.Engines, err = texts[string]("engines", engines); err != nil {
		return f, err
	}
	if len(decision) > 0 {
		var d rulingDoc
		if err := decode("decision", decision, &d); err != nil {
			return f, err
		}
		f.Ruling = &triage.Ruling{
			Decision: d.decision(), By: triage.Author{Kind: d.ActorKind, ID: d.Actor}, At: timeOf(d.At), Before: d.Before,
		}
	}
	f.Observation, err = observationOf(doc)
	return f, err
}

// decidedByID reads findings; what isn't there is left out, in the order of ids.
func decidedByID(ctx context.Context, h *handle, ids []uid.Finding) ([]triage.Finding, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := map[uid.Finding]triage.Finding{}
	err := eachOf(ctx, h, "triage.rows", nil, ids, func(rows *sql.Rows) error {
		f, err := decidedRow(rows)
		found[f.ID] = f
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]triage.Finding, 0, len(ids))
	for _, id := range ids {
		if f, ok := found[id]; ok {
			out = append(out, f)
		}
	}
	return out, nil
}

// Finding returns one finding of the organization, a NotFound fault where there is none.
func (r TriageStore) Finding(ctx context.Context, org uid.Org, id uid.Finding) (triage.Finding, error) {
	var list []triage.Finding
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		list, err = decidedByID(ctx, &v.handle, []uid.Finding{id})
		return err
	})
	if err == nil && len(list) == 0 {
		err = missingFinding()
	}
	if err != nil {
		return triage.Finding{}, err
	}
	return list[0], r.reader.s.Enrich(ctx, &list[0].Finding)
}

// History returns what happened to a finding, newest first; NotFound where there is none.
func (r TriageStore) History(ctx context.Context, org uid.Org, id uid.Finding, kinds []triage.Kind, p page.Request) (triage.Entries, error) {
	p, err := normal(p)
	if err != nil {
		return triage.Entries{}, err
	}
	l := &listing{base: "triage.history", order: "h.seq", page: p}
	l.leading("h.finding = ?", string(id))
	if len(kinds) > 0 {
		l.also("h.kind IN ("+marks(len(kinds))+")", anys(kinds)...)
	}
	var out triage.Entries
	err = r.view(ctx, org, func(ctx context.Context, v *View) error {
		out = triage.Entries{}
		var there int
		if err := v.row(ctx, "triage.exists", []any{string(id)}, &there); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return missingFinding()
			}
			return err
		}
		more, err := l.run(ctx, v, func(rows *sql.Rows) error {
			e, err := entryRow(rows)
			out.Items = append(out.Items, e)
			return err
		})
		if err != nil {
			return err
		}
		if more {
			last := out.Items[len(out.Items)-1].Seq
			out.Next = page.Key{Sort: last, ID: strconv.FormatInt(last, 10)}
		}
		out.Total, err = l.total(ctx, &v.handle)
		return err
	})
	return out, err
}

func entryRow(rows *sql.Rows) (triage.Entry, error) {
	var e triage.Entry
	var at int64
	var by, kind, actor sql.NullString
	var decision []byte
	if err := rows.Scan(&e.Seq, &at, &e.Kind, &e.From, &e.To, &by, &kind, &actor, &decision); err != nil {
		return e, internal("a finding's history can't be read", err)
	}
	e.At, e.Scan = timeOf(at), uid.Scan(by.String)
	e.By = triage.Author{Kind: audit.ActorKind(kind.String), ID: actor.String}
	var d rulingDoc
	err := decode("decision", decision, &d)
	e.Decision = d.decision()
	return e, err
}

// FindingCounts returns the kept counts.
func (r TriageStore) FindingCounts(ctx context.Context, org uid.Org) ([]triage.Cell, error) {
	var out []triage.Cell
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		out, err = findingCounts(ctx, v)
		return err
	})
	return out, err
}

func findingCounts(ctx context.Context, v *View) ([]triage.Cell, error) {
	var out []triage.Cell
	err := v.each(ctx, "triage.counts", nil, func(rows *sql.Rows) error {
		var rank int
		var c triage.Cell
		if err := rows.Scan(&rank, &c.Status, &c.N); err != nil {
			return internal("a count can't be read", err)
		}
		c.Severity = finding.Severities()[min(max(rank, 0), 4)]
		out = append(out, c)
		return nil
	})
	return out, err
}

// HasLapsed reports whether an acceptance ended at now or before and wasn't worked off.
func (r TriageStore) HasLapsed(ctx context.Context, org uid.Org, now time.Time) (bool, error) {
	lapsed := false
	err := r.each(ctx, org, "triage.lapsed", []any{micros(now), int64(1)}, func(*sql.Rows) error {
		lapsed = true
		return nil
	})
	return lapsed, err
}

// FindingsForUpdate reads findings inside this unit and holds them until it ends, in the order of their ids.
func (t *Tx) FindingsForUpdate(ctx context.Context, ids []uid.Finding) ([]triage.Finding, error) {
	if len(ids) > maxRows {
		return nil, internal("too many findings for one unit", nil)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if t.s.dialect == postgresDialect { // SQLite has one writer
		for _, id := range ids {
			if _, err := t.exec(ctx, "triage.hold", string(id)); err != nil {
				return nil, err
			}
		}
	}
	return decidedByID(ctx, &t.handle, ids)
}

// LapsedForUpdate is FindingsForUpdate for acceptances that ended at now or before.
func (t *Tx) LapsedForUpdate(ctx context.Context, now time.Time, limit int) ([]triage.Finding, error) {
	var ids []uid.Finding
	err := t.each(ctx, "triage.lapsed", []any{micros(now), int64(min(limit, maxRows))}, func(rows *sql.Rows) error {
		var id uid.Finding
		if err := rows.Scan(&id); err != nil {
			return internal("a finding can't be read", err)
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return t.FindingsForUpdate(ctx, ids)
}

// PutTriage writes what was decided on findings that this unit holds.
func (t *Tx) PutTriage(ctx context.Context, changes []triage.Change) error {
	if len(changes) > maxRows {
		return internal("too many findings for one unit", nil)
	}
	counts := counting{}
	var history [][]any
	for _, c := range changes {
		f := c.After
		var ruling any
		var until int64
		if r := f.Ruling; r != nil {
			d := decisionDoc(r.Decision)
			d.ActorKind, d.Actor, d.At, d.Before = r.By.Kind, r.By.ID, micros(r.At), r.Before
			text, err := encode(d)
			if err != nil {
				return err
			}
			ruling, until = text, d.Until
		}
		err := t.one(ctx, missingFinding, "triage.put", string(f.ID), string(f.Status), ruling, until, micros(f.FixedAt),
			micros(f.NotSeenSince), f.Revision, f.Entries)
		if err != nil {
			return err
		}
		rank := int64(f.Severity.Rank())
		if c.Before != f.Status {
			counts.move(cell{rank, c.Before}, cell{rank, f.Status})
		}
		for _, e := range c.Entries {
			text, err := encode(decisionDoc(e.Decision))
			if err != nil {
				return err
			}
			history = append(history, []any{
				string(f.ID), e.Seq, micros(e.At), string(e.Kind), string(e.From), string(e.To), orNull(e.Scan),
				orNull(e.By.Kind), orNull(e.By.ID), text,
			})
		}
	}
	if _, err := t.insertMany(ctx, "finding.history_add", history); err != nil {
		return err
	}
	return t.putCounts(ctx, counts)
}

// Lapsed returns organizations with acceptances that ended at now or before, at most limit.
func (r Lapses) Lapsed(ctx context.Context, now time.Time, limit int) ([]uid.Org, error) {
	var out []uid.Org
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.triage.lapsed", []any{micros(now), int64(limit)}, func(rows *sql.Rows) error {
			var org uid.Org
			if err := rows.Scan(&org); err != nil {
				return internal("an organization can't be read", err)
			}
			out = append(out, org)
			return nil
		})
	})
	return out, err
}

// NextLapse returns when the next acceptance ends, zero where none will.
func (r Lapses) NextLapse(ctx context.Context) (time.Time, error) {
	var next sql.NullInt64
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error { return v.row(ctx, "all.triage.next", nil, &next) })
	return timeOf(next.Int64), err
}
