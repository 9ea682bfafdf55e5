package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/word/uid"
)

// conducting is the admission of an open parent: it isn't in the line, and no worker holds it.
const conducting int64 = 2

// Phases implements phase.Store.
type Phases struct {
	ScanStore
	changer[phase.Tx]
}

var (
	_ phase.Store = Phases{}
	_ phase.Tx    = (*Tx)(nil)
)

// Phases is the view of parents and their children.
func (s *Store) Phases() Phases { return Phases{s.Scans(), changer[phase.Tx]{s}} }

// Change implements phase.Store.
func (p Phases) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, phase.Tx) error) error {
	return p.changer.Change(ctx, org, ev, unit)
}

// Due returns parents of all organizations that are to be looked at, the longest due first.
func (p Phases) Due(ctx context.Context, now time.Time, limit int) ([]phase.Turn, error) {
	var out []phase.Turn
	err := p.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out = nil
		return v.each(ctx, "all.scan_turns", []any{micros(now), limit}, func(rows *sql.Rows) error {
			var t phase.Turn
			err := rows.Scan(&t.Org, &t.Scan, &t.Seq)
			out = append(out, t)
			return readFault(err)
		})
	})
	return out, err
}

// Looked returns what the scan's end says that it looked at; nothing where it says nothing.
func (r ScanStore) Looked(ctx context.Context, org uid.Org, id uid.Scan) (engine.Looked, error) {
	var l engine.Looked
	if !uid.Valid(string(id)) {
		return l, missingScan()
	}
	var doc []byte
	err := r.row(ctx, org, "scan.looked", []any{string(id)}, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return l, missingScan()
	}
	if err != nil {
		return l, err
	}
	return l, decode("looked", doc, &l)
}

// lookedDoc is how a look is kept; an empty one is NULL.
func lookedDoc(l engine.Looked) (any, error) {
	if len(l.Databases) == 0 && len(l.Targets) == 0 && len(l.Sources) == 0 {
		return nil, nil //nolint:nilnil // NULL
	}
	return encode(l)
}

// Children returns a scan's children, oldest first, at most 500.
func (r ScanStore) Children(ctx context.Context, org uid.Org, id uid.Scan) ([]scan.Scan, error) {
	var out []scan.Scan
	if !uid.Valid(string(id)) {
		return nil, missingScan()
	}
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		out, err = childrenOf(ctx, &v.handle, id)
		return err
	})
	return out, err
}

func childrenOf(ctx context.Context, h *handle, id uid.Scan) ([]scan.Scan, error) {
	q, args, err := h.find("scan.rows", nil)
	if err != nil {
		return nil, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND s.parent = ? ORDER BY s.created_at, s.id", string(id))
	c.add(c.limit(), int64(maxRows))
	var out []scan.Scan
	err = h.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var r scanRow
		if err := rows.Scan(r.dest()...); err != nil {
			return internal("a scan can't be read", err)
		}
		s, err := r.done(h.scope.org)
		out = append(out, s)
		return err
	})
	return out, err
}

// familyAssets returns what a parent's children have seen, each once; nil where it has none.
func familyAssets(ctx context.Context, v *View, parent uid.Scan) ([]asset.Observation, error) {
	var out []asset.Observation
	err := v.each(ctx, "scan.family_assets", []any{string(parent)}, func(rows *sql.Rows) error {
		var o asset.Observation
		if err := rows.Scan(&o.Kind, &o.Name, (*[]byte)(&o.Attributes), &o.Source); err != nil {
			return internal("an asset can't be read", err)
		}
		if n := len(out); n > 0 && out[n-1].Kind == o.Kind && out[n-1].Name == o.Name {
			return nil
		}
		out = append(out, o)
		return nil
	})
	return out, err
}

// markTurn lets the parent of a scan that has ended be looked at; of a cancelled parent it is the parent's own.
func (t *Tx) markTurn(ctx context.Context, s scan.Scan, at time.Time) error {
	if s.Parent == "" {
		return nil
	}
	_, err := t.exec(ctx, "scan.turn_mark", string(s.ID), micros(at))
	return err
}

// CancelChildren cancels the queued and running children of a scan and returns them as cancelled.
func (t *Tx) CancelChildren(ctx context.Context, parent uid.Scan, at time.Time) ([]scan.Scan, error) {
	var ids []uid.Scan
	err := t.each(ctx, "scan.open_children", []any{string(parent)}, func(rows *sql.Rows) error {
		var id uid.Scan
		err := rows.Scan(&id)
		ids = append(ids, id)
		return readFault(err)
	})
	if err != nil {
		return nil, err
	}
	var out []scan.Scan
	for _, id := range ids {
		n, err := t.exec(ctx, "scan.cancel", string(id), micros(at))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue // it has ended since
		}
		s, err := scanByID(ctx, &t.handle, id)
		if err != nil {
			return nil, err
		}
		if s.Attempt > 0 {
			if s, err = t.summarised(ctx, s); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, t.markTurn(ctx, out[0], at) // last: see queries/scanphase.sql
}

// HoldParent reads a parent and its children as they are inside this unit, and holds the parent until the unit ends;
// NotFound where there is no such parent.
func (t *Tx) HoldParent(ctx context.Context, id uid.Scan) (scan.Scan, []scan.Scan, error) {
	if err := t.one(ctx, missingScan, "scan.parent_hold", string(id)); err != nil {
		return scan.Scan{}, nil, err
	}
	s, err := scanByID(ctx, &t.handle, id)
	if err != nil {
		return scan.Scan{}, nil, err
	}
	children, err := childrenOf(ctx, &t.handle, id)
	return s, children, err
}

// AdvanceParent writes how far an open parent is, and with s.StartedAt that it runs; a Conflict fault when it isn't open
// any more.
func (t *Tx) AdvanceParent(ctx context.Context, s scan.Scan) error {
	course, err := encode(s.Course)
	if err != nil {
		return err
	}
	return t.one(ctx, closed, "scan.parent_advance", string(s.ID), micros(s.StartedAt), course, int64(s.Progress), s.Phase)
}

// RenewParent begins to merge: results are recorded under the fence that it returns. A Conflict fault when the parent
// has ended with results.
func (t *Tx) RenewParent(ctx context.Context, id uid.Scan) (int64, error) {
	var fence int64
	err := t.row(ctx, "scan.parent_renew", []any{string(id)}, &fence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, closed()
	}
	return fence, err
}

// RecordMerged writes results of a parent, at most 500; a Conflict fault when somebody else merges.
func (t *Tx) RecordMerged(ctx context.Context, id uid.Scan, fence int64, list []scan.Result) error {
	if len(list) > maxRows {
		return internal("too many results for one unit", nil)
	}
	if err := t.one(ctx, closed, "scan.parent_owns", string(id), fence); err != nil {
		return err
	}
	rows := make([][]any, len(list))
	for i, r := range list {
		doc, err := encode(resultDoc{observationDoc(r.Observation), r.Engines, r.Members})
		if err != nil {
			return err
		}
		seen := scan.Seen{Observation: r.Observation}
		rows[i] = []any{
			string(id), fence, position(r.Severity, r.Ordinal), string(r.Category), string(r.ID), r.Occurrence, resultWords(seen), doc,
		}
	}
	_, err := t.insertMany(ctx, "result.insert", rows)
	return err
}

// FinishParent ends a parent and makes what was merged under the fence visible; with f.Status Cancelled it completes one
// that was cancelled. Its turn is over. A Conflict fault when somebody else merges or it has ended.
func (t *Tx) FinishParent(ctx context.Context, id uid.Scan, fence int64, f scan.Finish) error {
	summary, err := encode(f.Summary)
	if err != nil {
		return err
	}
	looked, err := lookedDoc(f.Looked)
	if err != nil {
		return err
	}
	before, err := t.mark(ctx, id)
	if err != nil {
		return err
	}
	if f.Status == scan.Cancelled {
		err = t.one(ctx, closed, "scan.parent_finish_cancelled", string(id), fence, orNull(f.Outcome), list(f.Reasons), f.Version, summary, looked)
	} else {
		var failure any
		if f.Error != nil {
			if failure, err = encode(f.Error); err != nil {
				return err
			}
		}
		err = t.one(ctx, closed, "scan.parent_finish", string(id), fence, string(f.Status), micros(f.At), orNull(f.Outcome),
			list(f.Reasons), failure, f.Version, summary, looked, flag(f.Status == scan.Completed))
	}
	if err != nil {
		return err
	}
	if err := t.countFinished(ctx, before, f); err != nil {
		return err
	}
	_, err = t.exec(ctx, "scan.turn_end", string(id))
	return err
}

// SettleTurn says when a parent is to be looked at next, unless a child has ended since the turn was read.
func (t *Tx) SettleTurn(ctx context.Context, turn phase.Turn, next time.Time) error {
	_, err := t.exec(ctx, "scan.turn_settle", string(turn.Scan), turn.Seq, micros(next))
	return err
}

// EndTurn forgets a parent that needs nothing any more.
func (t *Tx) EndTurn(ctx context.Context, id uid.Scan) error {
	_, err := t.exec(ctx, "scan.turn_end", string(id))
	return err
}

// closed is the answer to who would bring on a parent that has ended or that somebody else merges.
func closed() error { return lost() }
