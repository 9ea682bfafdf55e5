package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// retentionPage is how many logs or ranges are looked up at a time.
const retentionPage = 100

const day = 24 * time.Hour

// retain drops what the settings keep no longer: whole ranges of 256 entries, each in a unit of its own that is audited
// in the same log, and afterwards the nodes below them.
func (s *Store) retain(ctx context.Context) error {
	return errors.Join(s.dropDue(ctx), s.pruneDropped(ctx))
}

// dropDue goes through the logs whose oldest range could be due. One that can't be read keeps its entries, which may
// be evidence, and doesn't hold up the others.
func (s *Store) dropDue(ctx context.Context) error {
	could := micros(s.now().Add(-tenant.MinAuditDays * day))
	for after := ""; ; {
		var orgs []uid.Org
		err := reader{s}.viewAll(ctx, func(ctx context.Context, v *View) error {
			orgs = nil
			return v.each(ctx, "all.log_due", []any{after, could, retentionPage}, func(rows *sql.Rows) error {
				var org uid.Org
				err := rows.Scan(&org)
				orgs = append(orgs, org)
				return readFault(err)
			})
		})
		if err != nil {
			return err
		}
		for _, org := range orgs {
			err := s.retainLog(ctx, org)
			if err == nil {
				continue
			}
			if fault.KindOf(err) == fault.Internal {
				s.log.LogAttrs(ctx, slog.LevelError, "entries of an audit log are past their retention and can't be dropped",
					slog.String("org", string(org)), slog.Any("error", err))
				continue
			}
			return err
		}
		if len(orgs) < retentionPage {
			return nil
		}
		after = string(orgs[len(orgs)-1])
	}
}

// retainLog drops the ranges of one log that are past the organization's retention, oldest first.
func (s *Store) retainLog(ctx context.Context, org uid.Org) error {
	settings, err := s.Tenants().Settings(ctx, org)
	if fault.KindOf(err) == fault.NotFound {
		settings, err = tenant.Defaults(), nil // the operator's own log, before it has its keys
	}
	if err != nil {
		return err
	}
	days := max(settings.Retention.AuditDays, tenant.MinAuditDays)
	for {
		first, _, err := s.LogFirst(ctx, org)
		if err != nil {
			return err
		}
		r, err := s.oldestRange(ctx, org, first)
		if err != nil || r == nil || !r.newest.Before(s.now().Add(-time.Duration(days)*day)) {
			return err
		}
		if err := s.dropRange(ctx, org, *r, days); err != nil && !isDuplicate(err) { // duplicate: another process was faster
			return err
		}
	}
}

// LogFirst returns the index of the first entry that an organization's log still holds, a multiple of 256, and the time
// of the youngest entry that retention has dropped before it; 0 and the zero time where nothing was.
func (s *Store) LogFirst(ctx context.Context, org uid.Org) (uint64, time.Time, error) {
	var first, newest int64
	err := reader{s}.row(ctx, org, "log.first", nil, &first, &newest)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	return uint64(first), timeOf(newest), err //nolint:gosec // an index
}

// sealedRange is a complete range of a log that can be dropped.
type sealedRange struct {
	first  uint64
	root   audit.Hash
	newest time.Time
}

// last is the range's last index.
func (r *sealedRange) last() uint64 { return r.first + audit.BlockSize - 1 }

// oldestRange reads the range that begins at first and proves that its entries lead to its node: what was altered is
// evidence and must stay. nil where the range isn't complete, or where no entry follows it.
func (s *Store) oldestRange(ctx context.Context, org uid.Org, first uint64) (*sealedRange, error) {
	list, err := s.LogEntries(ctx, org, first, first+audit.BlockSize+1, audit.BlockSize+1)
	if err != nil || len(list) <= audit.BlockSize {
		return nil, err
	}
	r := &sealedRange{first: first}
	var tree audit.Range
	for i, e := range list[:audit.BlockSize] {
		l, err := audit.ParseLeaf(e.Leaf)
		if err != nil || e.Index != first+uint64(i) || e.LeafHash != audit.LeafHash(e.Leaf) {
			return nil, notLogged(first + uint64(i)).Because(err)
		}
		if l.Time.After(r.newest) {
			r.newest = l.Time
		}
		tree.Append(nil, e.LeafHash)
	}
	r.root = tree.Root()
	stored, err := s.LogNodes(org)(ctx, []audit.NodeID{{Level: audit.BlockLevel, Index: first >> audit.BlockLevel}})
	if err != nil {
		return nil, err
	}
	if len(stored) != 1 || string(stored[0]) != string(r.root[:]) {
		return nil, notLogged(first)
	}
	return r, nil
}

func notLogged(index uint64) *fault.Error {
	return fault.New(fault.Internal, fault.CodeLogCorrupt, "entry "+strconv.FormatUint(index, 10)+" or one of the range from it on is not what was logged")
}

// dropRange removes a range's entries and keeps its root, in one unit with the entry that says so.
func (s *Store) dropRange(ctx context.Context, org uid.Org, r sealedRange, days int) error {
	ev := audit.Event{
		Type: event.LogRetained, Bulk: true,
		Resource: audit.Resource{Kind: "log_range", ID: fmt.Sprintf("%d-%d", r.first, r.last())},
		Reason:   fmt.Sprintf("%d entries are past the retention of %d days", audit.BlockSize, days),
	}
	return s.change(ctx, org, ev, func(ctx context.Context, t *Tx) error {
		_, err := t.exec(ctx, "log.drop_insert", int64(r.first), int64(r.last()), r.root[:], micros(r.newest), micros(s.now())) //nolint:gosec // indexes stay far below 2^63
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, "log.entries_drop", int64(r.first), int64(r.last())+1) //nolint:gosec // as above
		if err == nil && n != audit.BlockSize {
			return notLogged(r.first)
		}
		return err
	})
}

// pruneDropped removes the nodes below dropped ranges, each range's in a unit: their root stands for them.
func (s *Store) pruneDropped(ctx context.Context) error {
	type dropped struct {
		org   uid.Org
		first int64
	}
	for {
		var list []dropped
		err := reader{s}.viewAll(ctx, func(ctx context.Context, v *View) error {
			list = nil
			return v.each(ctx, "all.log_unpruned", []any{retentionPage}, func(rows *sql.Rows) error {
				var d dropped
				err := rows.Scan(&d.org, &d.first)
				list = append(list, d)
				return readFault(err)
			})
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			ev := audit.Bookkeeping("nodes below dropped ranges of the log")
			ev.Bulk = true
			err := s.change(ctx, d.org, ev, func(ctx context.Context, t *Tx) error {
				for level := 1; level < audit.BlockLevel; level++ {
					if _, err := t.exec(ctx, "log.nodes_prune", level, d.first>>level, (d.first+audit.BlockSize)>>level); err != nil {
						return err
					}
				}
				_, err := t.exec(ctx, "log.pruned", d.first)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
}

// growDropped grows a log that is being rebuilt by the ranges that retention has dropped, and writes their nodes.
func (s *Store) growDropped(ctx context.Context, tx *sql.Tx, org uid.Org, r *audit.Range) error {
	for {
		flat, n, err := s.droppedNodes(ctx, tx, org, r)
		if err != nil {
			return err
		}
		if err := s.execMany(ctx, tx, "all.log_node_insert", flat); err != nil {
			return err
		}
		if n < rebuildPage {
			return nil
		}
	}
}

// droppedNodes reads a page of dropped ranges and returns the nodes that they complete, as rows, and how many they are.
func (s *Store) droppedNodes(ctx context.Context, tx *sql.Tx, org uid.Org, r *audit.Range) (flat []any, n int, err error) {
	q, err := s.queries.get("log.drops")
	if err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, q.text, string(org), int64(r.Size()), rebuildPage) //nolint:gosec // a log has less than 2^63 entries
	if err != nil {
		return nil, 0, readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	var nodes []audit.Node
	for rows.Next() {
		var first, last int64
		var root []byte
		if err := rows.Scan(&first, &last, &root); err != nil {
			return nil, 0, readFault(err)
		}
		if uint64(first) != r.Size() || last-first+1 != audit.BlockSize || len(root) != len(audit.Hash{}) { //nolint:gosec // an index
			return nil, 0, fault.New(fault.Internal, fault.CodeLogCorrupt, "the record of what retention dropped from the log has a gap")
		}
		if nodes, err = r.AppendBlock(nodes[:0], audit.Hash(root)); err != nil {
			return nil, 0, err
		}
		for _, node := range nodes {
			flat = append(flat, string(org), int64(node.Level), int64(node.Index), node.Hash[:]) //nolint:gosec // as above
		}
		n++
	}
	return flat, n, readFault(rows.Err())
}
