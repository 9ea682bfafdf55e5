package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// maxRanges bounds the organizations whose log's edge is kept in memory, about 1 KiB each.
const maxRanges = 10_000

// logWriter gives audit entries their places in the logs of their organizations. Only the goroutine that writes uses
// it; what it remembers between batches is the growing edge of each log.
type logWriter struct {
	s      *Store
	ranges map[uid.Org]*growing
}

// growing is a log at its edge: where the next entry goes, and the hour whose calls are being counted.
type growing struct {
	audit.Range

	hour int64 // its first microsecond, 0 where nothing was counted yet
	open usage.CallCount
}

func (g *growing) clone() *growing {
	return &growing{Range: g.Clone(), hour: g.hour, open: g.open}
}

// count counts a call in the open hour. A later hour closes it; a call of an earlier one, timed before and placed after
// the turn, goes to its own row.
func (g *growing) count(l *leaf, m *meter) {
	h := hourOf(l.at)
	switch {
	case h < g.hour:
		m.call(l.org, h, l.use)
		return
	case h > g.hour && g.hour > 0:
		m.call(l.org, g.hour, g.open)
		g.open = usage.CallCount{}
	}
	g.hour = h
	g.open.Add(l.use)
}

// row are the values of all.log_state_grow.
func (g *growing) row(org uid.Org) ([]any, error) {
	state, err := g.MarshalBinary()
	c := g.open
	return []any{string(org), int64(g.Size()), state, g.hour, c.Calls, c.Success, c.Errors, c.Micros, c.MaxMicros}, err //nolint:gosec // a log has less than 2^63 entries
}

// dest is where the columns after org in log.edge and all.log_states go.
func (g *growing) dest(state *[]byte) []any {
	c := &g.open
	return []any{state, &g.hour, &c.Calls, &c.Success, &c.Errors, &c.Micros, &c.MaxMicros}
}

func newLogWriter(s *Store) *logWriter {
	return &logWriter{s: s, ranges: map[uid.Org]*growing{}}
}

// forget drops what is remembered, after a batch whose end is unknown.
func (l *logWriter) forget() { clear(l.ranges) }

func (l *logWriter) begin() *pendingLog {
	return &pendingLog{l: l, grown: map[uid.Org]*growing{}}
}

// pendingLog are the entries of one batch, in the order of their units.
type pendingLog struct {
	l      *logWriter
	leaves []*leaf
	meter  meter
	grown  map[uid.Org]*growing
	nodes  []audit.Node
}

// add takes an entry and what its unit did to scans.
func (p *pendingLog) add(l *leaf, did []tally) {
	p.leaves = append(p.leaves, l)
	p.meter.scan(did)
}

// keep remembers the grown edges, after the commit.
func (p *pendingLog) keep() {
	if len(p.l.ranges)+len(p.grown) > maxRanges {
		p.l.forget()
	}
	maps.Copy(p.l.ranges, p.grown)
}

// write gives every entry its index and writes entries, completed subtrees, the new edges and what the entries count: a
// few statements for the whole batch.
func (p *pendingLog) write(ctx context.Context, tx *sql.Tx) error {
	if len(p.leaves) == 0 {
		return nil
	}
	entries := make([]any, 0, 10*len(p.leaves))
	nodes := make([]any, 0, 4*len(p.leaves))
	for _, l := range p.leaves {
		r, err := p.edge(ctx, tx, l.org)
		if err != nil {
			return err
		}
		if l.called {
			r.count(l, &p.meter)
		}
		entries = append(entries, string(l.org), string(l.id), int64(r.Size()), l.at, l.bytes, l.hash[:], l.salt[:], //nolint:gosec // a log has less than 2^63 entries
			orNull(l.address), orNull(l.agent), orNull(l.name))
		nodes = p.grow(&r.Range, l, nodes)
	}
	states, err := p.states()
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		flat []any
	}{{"all.audit_insert", entries}, {"all.log_node_insert", nodes}, {"all.log_state_grow", states}} {
		if err := p.l.s.execMany(ctx, tx, w.name, w.flat); err != nil {
			return err
		}
	}
	return p.meter.write(ctx, p.l.s, tx)
}

func (p *pendingLog) grow(r *audit.Range, l *leaf, flat []any) []any {
	p.nodes = r.Append(p.nodes[:0], l.hash)
	for _, n := range p.nodes { // n is a copy, so its hash outlives the reuse of p.nodes
		flat = append(flat, string(l.org), int64(n.Level), int64(n.Index), n.Hash[:]) //nolint:gosec // as in write
	}
	return flat
}

// states are the rows of the grown edges.
func (p *pendingLog) states() ([]any, error) {
	flat := make([]any, 0, 9*len(p.grown))
	for org, g := range p.grown {
		row, err := g.row(org)
		if err != nil {
			return nil, err
		}
		flat = append(flat, row...)
	}
	return flat, nil
}

// edge returns the organization's edge for this batch: grown already, remembered, or read.
func (p *pendingLog) edge(ctx context.Context, tx *sql.Tx, org uid.Org) (*growing, error) {
	if g := p.grown[org]; g != nil {
		return g, nil
	}
	g := &growing{}
	if known := p.l.ranges[org]; known != nil {
		g = known.clone()
	} else if err := p.l.s.loadGrowing(ctx, tx, org, g); err != nil {
		return nil, err
	}
	p.grown[org] = g
	return g, nil
}

// loadGrowing reads the stored edge of a log with the hour that is being counted; one without a row is empty.
func (s *Store) loadGrowing(ctx context.Context, tx rower, org uid.Org, g *growing) error {
	q, err := s.queries.get("log.edge")
	if err != nil {
		return err
	}
	var state []byte
	err = tx.QueryRowContext(ctx, q.text, string(org)).Scan(g.dest(&state)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return readFault(err)
	}
	return g.UnmarshalBinary(state)
}

// rower is the part of a transaction or pool that reads a row.
type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// loadEdge reads the stored edge of a log; one without a row is empty.
func (s *Store) loadEdge(ctx context.Context, tx rower, org uid.Org, r *audit.Range) error {
	q, err := s.queries.get("log.state")
	if err != nil {
		return err
	}
	var state []byte
	err = tx.QueryRowContext(ctx, q.text, string(org)).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return readFault(err)
	}
	return r.UnmarshalBinary(state)
}

// execMany runs a query with a repeatable row over rows of values laid out one after the other.
func (s *Store) execMany(ctx context.Context, tx *sql.Tx, name string, flat []any) error {
	q, err := s.queries.get(name)
	if err != nil {
		return err
	}
	_, err = q.many.each(flat, func(text string, args []any) (int64, error) {
		_, err := tx.ExecContext(ctx, text, args...)
		return 0, writeFault(err)
	})
	return err
}

// checkLogs compares every log's stored edge with its leaf hashes and nodes, and rebuilds what differs from the
// hashes. These are never recomputed from leaves: that would make an altered entry look like a true one. The
// comparison reads a few rows per organization, whatever the length of its log. tx sees all organizations.
func (s *Store) checkLogs(ctx context.Context, tx *sql.Tx) error {
	q, err := s.queries.get("all.log_sizes")
	if err != nil {
		return err
	}
	sizes := map[uid.Org]uint64{}
	rows, err := tx.QueryContext(ctx, q.text)
	if err != nil {
		return readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	for rows.Next() {
		var org string
		var size int64
		if err := rows.Scan(&org, &size); err != nil {
			return readFault(err)
		}
		sizes[uid.Org(org)] = uint64(size) //nolint:gosec // a count
	}
	if err := rows.Err(); err != nil {
		return readFault(err)
	}
	for org, size := range sizes {
		if err := s.checkLog(ctx, tx, org, size); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkLog(ctx context.Context, tx *sql.Tx, org uid.Org, size uint64) error {
	var stored audit.Range
	unreadable := s.loadEdge(ctx, tx, org, &stored)
	if unreadable != nil && fault.Of(unreadable).Code != fault.CodeLogCorrupt {
		return unreadable
	}
	if unreadable == nil && stored.Size() == size {
		want, err := audit.LoadRange(ctx, size, s.nodeSource(tx, org))
		if err == nil && want.Root() == stored.Root() {
			return nil
		}
		if err != nil && fault.Of(err).Code != fault.CodeLogCorrupt {
			return err
		}
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "an audit log's state differed from its leaves and is being rebuilt",
		slog.String("org", string(org)), slog.Uint64("leaves", size), slog.Uint64("state", stored.Size()))
	return s.rebuildLog(ctx, tx, org)
}

// rebuildPage is how many leaves are read at a time while a log is rebuilt.
const rebuildPage = 2000

// rebuildLog recomputes nodes and edge of a log from the roots of its dropped ranges and the leaf hashes that follow.
func (s *Store) rebuildLog(ctx context.Context, tx *sql.Tx, org uid.Org) error {
	drop, err := s.queries.get("log.nodes_drop")
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, drop.text, string(org)); err != nil {
		return writeFault(err)
	}
	p := newLogWriter(s).begin()
	r := &audit.Range{}
	if err := s.growDropped(ctx, tx, org, r); err != nil {
		return err
	}
	for {
		flat := make([]any, 0, 4*rebuildPage)
		n := 0
		err := s.eachLeaf(ctx, tx, org, r.Size(), rebuildPage, func(index uint64, h audit.Hash) error {
			if index != r.Size() {
				return fault.New(fault.Internal, fault.CodeLogCorrupt, "an entry of the audit log is missing").
					Because(fmt.Errorf("organization %s, index %d", org, r.Size()))
			}
			flat = p.grow(r, &leaf{org: org, hash: h}, flat)
			n++
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.execMany(ctx, tx, "all.log_node_insert", flat); err != nil {
			return err
		}
		if n < rebuildPage {
			break
		}
	}
	state, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	if err := s.execMany(ctx, tx, "all.log_state_put", []any{string(org), int64(r.Size()), state}); err != nil { //nolint:gosec // a log has less than 2^63 entries
		return err
	}
	return s.recount(ctx, tx, org, r.Size())
}

// queryer is the part of a transaction or pool that reads rows.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// eachLeaf reads leaf hashes in order from an index on.
func (s *Store) eachLeaf(ctx context.Context, tx queryer, org uid.Org, from uint64, limit int, f func(index uint64, h audit.Hash) error) error {
	q, err := s.queries.get("log.leaves")
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, q.text, string(org), int64(from), limit) //nolint:gosec // a log has less than 2^63 entries
	if err != nil {
		return readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	for rows.Next() {
		var index int64
		var b sql.RawBytes
		if err := rows.Scan(&index, &b); err != nil {
			return readFault(err)
		}
		if len(b) != len(audit.Hash{}) {
			return fault.New(fault.Internal, fault.CodeLogCorrupt, "a leaf hash of the audit log isn't one")
		}
		if err := f(uint64(index), audit.Hash(b)); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return readFault(rows.Err())
}

// nodeSource serves the hashes that proofs and checks need: stored nodes from level 1 on, level 0 beside the leaves.
func (s *Store) nodeSource(tx queryer, org uid.Org) audit.NodeSource {
	return func(ctx context.Context, ids []audit.NodeID) ([][]byte, error) {
		pairs := make([][2]uint64, len(ids))
		place := make(map[audit.NodeID]int, len(ids))
		for i, id := range ids {
			pairs[i] = [2]uint64{uint64(id.Level), id.Index}
			place[id] = i
		}
		asked, err := json.Marshal(pairs)
		if err != nil {
			return nil, err
		}
		q, err := s.queries.get("log.nodes")
		if err != nil {
			return nil, err
		}
		rows, err := tx.QueryContext(ctx, q.text, string(org), string(asked))
		if err != nil {
			return nil, readFault(err)
		}
		defer rows.Close() //nolint:errcheck // the error that matters is Err's
		out := make([][]byte, len(ids))
		for rows.Next() {
			var level, index int64
			var b []byte
			if err := rows.Scan(&level, &index, &b); err != nil {
				return nil, readFault(err)
			}
			if i, ok := place[audit.NodeID{Level: uint(level), Index: uint64(index)}]; ok { //nolint:gosec // as asked
				out[i] = b
			}
		}
		return out, readFault(rows.Err())
	}
}
