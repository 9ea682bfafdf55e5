package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Logged is an audit entry as it is kept. Pending entries are durable but have no place in the log yet (PostgreSQL
// only, for a fraction of a second); their Index says nothing.
type Logged struct {
	audit.Exported

	Index   uint64
	Pending bool
}

// maxLogged bounds one read of entries.
const maxLogged = 1000

// LogRange returns the growing edge of an organization's log: its size, and what its root is computed from.
func (s *Store) LogRange(ctx context.Context, org uid.Org) (audit.Range, error) {
	var r audit.Range
	var state []byte
	err := reader{s}.row(ctx, org, "log.state", nil, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, r.UnmarshalBinary(state)
}

// LogNodes serves the hashes of an organization's log for proofs.
func (s *Store) LogNodes(org uid.Org) audit.NodeSource {
	return func(ctx context.Context, ids []audit.NodeID) (out [][]byte, err error) {
		err = reader{s}.read(ctx, org, true, func(ctx context.Context, v *View) error {
			out, err = s.nodeSource(v.sql, org)(ctx, ids)
			return err
		})
		return out, err
	}
}

// LogEntry returns one entry; NotFound where the organization has none of that id, or retention has dropped it.
func (s *Store) LogEntry(ctx context.Context, org uid.Org, id uid.Entry) (Logged, error) {
	list, err := s.logged(ctx, org, "log.entry", string(id))
	if err != nil {
		return Logged{}, err
	}
	if len(list) == 0 {
		return Logged{}, s.missingEntry(ctx, org)
	}
	return list[0], nil
}

// missingEntry says that an entry isn't there, and where retention has dropped some, that it may be one of them.
func (s *Store) missingEntry(ctx context.Context, org uid.Org) error {
	first, newest, err := s.LogFirst(ctx, org)
	if err != nil {
		return err
	}
	if first == 0 {
		return fault.Missing("audit entry")
	}
	return fault.New(fault.NotFound, fault.CodeNotFound, "audit entry not found; retention has dropped the first "+
		strconv.FormatUint(first, 10)+" entries, up to "+newest.Format(time.RFC3339))
}

// LogEntries returns the entries with from ≤ index < to in order, at most limit (0 and more than 1,000 = 1,000).
func (s *Store) LogEntries(ctx context.Context, org uid.Org, from, to uint64, limit int) ([]Logged, error) {
	if limit <= 0 || limit > maxLogged {
		limit = maxLogged
	}
	const most = 1<<63 - 1
	if from > most {
		return nil, nil
	}
	return s.logged(ctx, org, "log.entries", int64(from), int64(min(to, most)), limit)
}

// LogNewest returns entries newest first: those with an index below before, at most limit, and in front of them, when
// before is 0, the pending ones. before 0 = from the end.
func (s *Store) LogNewest(ctx context.Context, org uid.Org, before uint64, limit int) ([]Logged, error) {
	if limit <= 0 || limit > maxLogged {
		limit = maxLogged
	}
	const most = 1<<63 - 1
	if before != 0 {
		return s.logged(ctx, org, "log.newest", int64(min(before, most)), limit)
	}
	pending, err := s.logged(ctx, org, "log.pending", limit)
	if err != nil || len(pending) == limit {
		return pending, err
	}
	list, err := s.logged(ctx, org, "log.newest", int64(most), limit-len(pending))
	return append(pending, list...), err
}

// LogBacklog returns how many entries of the installation have no place yet, and when the oldest of them was written:
// more than a second ago means that the sequencer stands. Always 0 on SQLite.
func (s *Store) LogBacklog(ctx context.Context) (n int64, oldest time.Time, err error) {
	var at int64
	err = reader{s}.viewAll(ctx, func(ctx context.Context, v *View) error {
		return v.row(ctx, "all.log_pending", nil, &n, &at)
	})
	return n, timeOf(at), err
}

// EachLogged calls f for the entries with from ≤ index < to in order, for exports: in pages, each a short read of its
// own, which is sound because entries are never changed. It stops with f's error; a gap is an Internal fault, except
// where retention has dropped entries meanwhile: then it is a Conflict fault and the export must begin anew.
func (s *Store) EachLogged(ctx context.Context, org uid.Org, from, to uint64, f func(Logged) error) error {
	for from < to {
		list, err := s.LogEntries(ctx, org, from, to, maxLogged)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return s.gap(ctx, org, from)
		}
		for i := range list {
			if list[i].Index != from {
				return s.gap(ctx, org, from)
			}
			if err := f(list[i]); err != nil {
				return err
			}
			from++
		}
	}
	return nil
}

// gap says why an entry that was to be read isn't there.
func (s *Store) gap(ctx context.Context, org uid.Org, index uint64) error {
	first, _, err := s.LogFirst(ctx, org)
	if err != nil {
		return err
	}
	if index < first {
		return fault.New(fault.Conflict, fault.CodeConflict, "retention has dropped entries of the audit log that were to be read; begin again")
	}
	return fault.New(fault.Internal, fault.CodeLogCorrupt, "entries of the audit log are missing")
}

func (s *Store) logged(ctx context.Context, org uid.Org, name string, args ...any) ([]Logged, error) {
	var list []Logged
	err := reader{s}.each(ctx, org, name, args, func(rows *sql.Rows) error {
		var l Logged
		var index int64
		var id string
		var hash, salt []byte
		var address, agent, actor sql.NullString
		if err := rows.Scan(&index, &id, &l.Leaf, &hash, &salt, &address, &agent, &actor); err != nil {
			return readFault(err)
		}
		if len(hash) != len(l.LeafHash) {
			return fault.New(fault.Internal, fault.CodeLogCorrupt, "a leaf hash of the audit log isn't one")
		}
		l.ID, l.LeafHash = uid.Entry(id), audit.Hash(hash)
		if index < 0 {
			l.Pending = true
		} else {
			l.Index = uint64(index)
		}
		if len(salt) == 16 {
			l.Personal = &audit.Personal{Salt: [16]byte(salt), ClientAddress: address.String, UserAgent: agent.String, ActorName: actor.String}
		}
		list = append(list, l)
		return nil
	})
	return list, err
}
