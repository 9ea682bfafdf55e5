package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Erasure says whose personal data go from an organization's audit log: those beside the entries of one actor, or
// beside all entries before a moment. Exactly one of the two is set.
type Erasure struct {
	Actor  string // the actor's id
	Before time.Time
}

// event words one unit of an erasure. The count stands in the reason.
func (e Erasure) event(n int) audit.Event {
	ev := audit.Event{Type: event.LogErased, Bulk: true}
	if e.Actor != "" {
		ev.Resource = audit.Resource{Kind: "actor", ID: e.Actor}
		ev.Reason = fmt.Sprintf("personal data of %d entries of the actor erased", n)
		return ev
	}
	ev.Resource = audit.Resource{Kind: "log", ID: "before " + e.Before.UTC().Format(time.RFC3339)}
	ev.Reason = fmt.Sprintf("personal data of %d older entries erased", n)
	return ev
}

// matches reports whether an entry's personal data are to go. The actor is read from the leaf, since nothing else says
// who it was; an altered leaf that can't be read is nobody's.
func (e Erasure) matches(at int64, leaf []byte) bool {
	if e.Actor == "" {
		return at < e.Before.UnixMicro()
	}
	l, err := audit.ParseLeaf(leaf)
	return err == nil && l.ActorID == e.Actor
}

// Erase removes client address, user agent, display name and salt beside the entries that e names, of all entries that
// have a place in the log when it begins. Each unit erases at most 500 and is audited in the same log with its count;
// where there is nothing to erase, that is audited. It returns how many entries lost their data, also beside an error:
// what was erased stays so, and the call may be repeated. The leaves, and with them root and proofs, stay as they are.
func (s *Store) Erase(ctx context.Context, org uid.Org, e Erasure) (int, error) {
	if (e.Actor == "") == e.Before.IsZero() {
		return 0, internal("an erasure is of one actor or of what is before a moment", nil)
	}
	edge, err := s.LogRange(ctx, org)
	if err != nil {
		return 0, err
	}
	from, _, err := s.LogFirst(ctx, org)
	if err != nil {
		return 0, err
	}
	done := 0
	var found []string
	for from < edge.Size() {
		ids, err := s.erasable(ctx, org, e, from, min(from+maxRows, edge.Size()))
		if err != nil {
			return done, err
		}
		from += maxRows
		found = append(found, ids...)
		for len(found) >= maxRows || len(found) > 0 && from >= edge.Size() {
			n := min(len(found), maxRows)
			if err := s.erase(ctx, org, e, found[:n]); err != nil {
				return done, err
			}
			done += n
			found = found[n:]
		}
	}
	if done == 0 {
		return 0, s.Record(ctx, org, e.event(0))
	}
	return done, nil
}

// erasable returns the ids of the entries with from ≤ index < to that e names and that still have personal data.
func (s *Store) erasable(ctx context.Context, org uid.Org, e Erasure, from, to uint64) ([]string, error) {
	var ids []string
	err := reader{s}.each(ctx, org, "log.erasable", []any{int64(from), int64(to)}, func(rows *sql.Rows) error { //nolint:gosec // a log has less than 2^63 entries
		var id string
		var at int64
		var leaf sql.RawBytes
		if err := rows.Scan(&id, &at, &leaf); err != nil {
			return readFault(err)
		}
		if e.matches(at, leaf) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

func (s *Store) erase(ctx context.Context, org uid.Org, e Erasure, ids []string) error {
	return s.change(ctx, org, e.event(len(ids)), func(ctx context.Context, t *Tx) error {
		text, args, err := listed(&t.handle, "log.erase", nil, ids)
		if err != nil {
			return err
		}
		n, err := t.execText(ctx, text, args)
		if err == nil && n != int64(len(ids)) {
			return fault.New(fault.Conflict, fault.CodeConflict, "entries were erased or dropped by somebody else at the same time; run it again")
		}
		return err
	})
}
