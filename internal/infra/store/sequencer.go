package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/uid"
)

// Rhythm of the sequencer: a wake is answered at once, further ones are gathered for a moment, and lost ones are found
// by the poll.
const (
	placeBatch = 2000
	placeEvery = 5 * time.Millisecond
	placePoll  = time.Second
)

// outboxChannel carries the topics of events that got their place, one a line: organization, space, subject.
const (
	outboxChannel = "assay_outbox"
	maxPayload    = 7000 // bytes; PostgreSQL takes 7,999
)

// sequencer gives places until ctx ends. Every process runs one; a lock of the database lets one at a time work.
func (b *postgresStore) sequencer(ctx context.Context) error {
	poll := time.NewTicker(placePoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-poll.C:
		}
		more, err := b.place(ctx)
		if err != nil && ctx.Err() == nil {
			b.s.log.LogAttrs(ctx, slog.LevelWarn, "audit entries couldn't be given their places", slog.Any("error", err))
			continue // the poll tries again
		}
		if more {
			poke(b.wake)
		}
		if !pause(ctx, placeEvery) {
			return nil
		}
	}
}

// Sequence gives places to all entries that wait for one, for commands that end soon after they have written. On
// SQLite there is never anything to do.
func (s *Store) Sequence(ctx context.Context) error {
	b, ok := s.db.(*postgresStore)
	if !ok {
		return nil
	}
	for {
		more, err := b.place(ctx)
		if err != nil || !more {
			return err
		}
		if !pause(ctx, placeEvery) {
			return readFault(ctx.Err())
		}
	}
}

// alone runs f in a transaction over all organizations that no other sequencer runs beside; false when another does.
func (b *postgresStore) alone(ctx context.Context, f func(context.Context, *sql.Tx) error) (bool, error) {
	tx, err := b.db.BeginTx(beginning(ctx, beginWrite, everyone()), nil)
	if err != nil {
		return false, writeFault(err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	q, err := b.s.queries.get("all.sequencer_lock")
	if err != nil {
		return false, err
	}
	var mine bool
	if err := tx.QueryRowContext(ctx, q.text).Scan(&mine); err != nil || !mine {
		return false, readFault(err)
	}
	if err := f(ctx, tx); err != nil {
		return true, err
	}
	return true, writeFault(tx.Commit())
}

// place gives one batch its places. more says that another should follow.
func (b *postgresStore) place(ctx context.Context) (more bool, err error) {
	entries, events := 0, 0
	mine, err := b.alone(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if entries, err = b.placeEntries(ctx, tx); err != nil {
			return err
		}
		events, err = b.placeEvents(ctx, tx)
		return err
	})
	return !mine || entries == placeBatch || events == placeBatch, err
}

// placeEntries extends the logs by what is pending, in the order of writing.
func (b *postgresStore) placeEntries(ctx context.Context, tx *sql.Tx) (int, error) {
	numbers, leaves, did, err := b.pending(ctx, tx)
	if err != nil || len(leaves) == 0 {
		return 0, err
	}
	w := newLogWriter(b.s)
	if err := b.edges(ctx, tx, w, leaves); err != nil {
		return 0, err
	}
	p := w.begin()
	var n nodeColumns
	indexes := make([]int64, len(leaves))
	for i, l := range leaves {
		r, err := p.edge(ctx, tx, l.org)
		if err != nil {
			return 0, err
		}
		indexes[i] = int64(r.Size()) //nolint:gosec // a log has less than 2^63 entries
		n.grow(p, &r.Range, l)
		if l.called {
			r.count(l, &p.meter)
		}
		p.meter.scan(did[i])
	}
	if err := b.exec(ctx, tx, "all.audit_place", numbers, indexes); err != nil {
		return 0, err
	}
	if err := b.exec(ctx, tx, "all.log_node_unnest", n.orgs, n.levels, n.indexes, n.hashes); err != nil {
		return 0, err
	}
	states, err := p.states()
	if err != nil {
		return 0, err
	}
	if err := b.s.execMany(ctx, tx, "all.log_state_grow", states); err != nil {
		return 0, err
	}
	return len(leaves), p.meter.write(ctx, b.s, tx)
}

// nodeColumns are the completed subtrees of a batch as columns.
type nodeColumns struct {
	orgs            []string
	levels, indexes []int64
	hashes          [][]byte
}

func (n *nodeColumns) grow(p *pendingLog, r *audit.Range, l *leaf) {
	for _, node := range r.Append(p.nodes[:0], l.hash) {
		n.orgs = append(n.orgs, string(l.org))
		n.levels = append(n.levels, int64(node.Level))   //nolint:gosec // at most 63
		n.indexes = append(n.indexes, int64(node.Index)) //nolint:gosec // a log has less than 2^63 entries
		n.hashes = append(n.hashes, node.Hash[:])
	}
}

func (b *postgresStore) exec(ctx context.Context, tx *sql.Tx, name string, args ...any) error {
	q, err := b.s.queries.get(name)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, q.text, args...)
	return writeFault(err)
}

// pending reads what waits: the numbers by which rows are named, what the log needs of them, and what they count.
func (b *postgresStore) pending(ctx context.Context, tx *sql.Tx) ([]int64, []*leaf, [][]tally, error) {
	q, err := b.s.queries.get("all.audit_pending")
	if err != nil {
		return nil, nil, nil, err
	}
	rows, err := tx.QueryContext(ctx, q.text, placeBatch)
	if err != nil {
		return nil, nil, nil, readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	var numbers []int64
	var leaves []*leaf
	var did [][]tally
	for rows.Next() {
		var n int64
		var org string
		l := &leaf{}
		var body, hash, note sql.RawBytes
		if err := rows.Scan(&n, &org, &l.at, &body, &hash, &note); err != nil {
			return nil, nil, nil, readFault(err)
		}
		l.org = uid.Org(org)
		copy(l.hash[:], hash)
		b.counted(ctx, l, body)
		numbers, leaves, did = append(numbers, n), append(leaves, l), append(did, b.tallied(ctx, l, note))
	}
	return numbers, leaves, did, readFault(rows.Err())
}

// counted reads from an entry what it counts. One that was altered before it got its place counts nothing, and the
// log shows it.
func (b *postgresStore) counted(ctx context.Context, l *leaf, body []byte) {
	e, err := audit.ParseLeaf(body)
	if err != nil {
		b.s.log.LogAttrs(ctx, slog.LevelError, "an audit entry can't be read and isn't counted", slog.String("org", string(l.org)), slog.Any("error", err))
		return
	}
	l.use, l.called = usage.CallOf(e.Method, e.Status, e.DurationMicros)
}

// tallied reads what a unit did to scans.
func (b *postgresStore) tallied(ctx context.Context, l *leaf, note []byte) (did []tally) {
	if len(note) == 0 {
		return nil
	}
	if err := json.Unmarshal(note, &did); err != nil {
		b.s.log.LogAttrs(ctx, slog.LevelError, "a tally of scans can't be read and isn't counted", slog.String("org", string(l.org)), slog.Any("error", err))
		return nil
	}
	return did
}

// edges reads the edges of all logs that the leaves extend, in one query.
func (b *postgresStore) edges(ctx context.Context, tx *sql.Tx, w *logWriter, leaves []*leaf) error {
	var orgs []string
	for _, l := range leaves {
		if w.ranges[l.org] == nil {
			w.ranges[l.org] = &growing{}
			orgs = append(orgs, string(l.org))
		}
	}
	q, err := b.s.queries.get("all.log_states")
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, q.text, orgs)
	if err != nil {
		return readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	for rows.Next() {
		var org string
		var state []byte
		var found growing
		if err := rows.Scan(append([]any{&org}, found.dest(&state)...)...); err != nil {
			return readFault(err)
		}
		g := w.ranges[uid.Org(org)]
		*g = found
		if err := g.UnmarshalBinary(state); err != nil {
			return err
		}
	}
	return readFault(rows.Err())
}

// placeEvents numbers the outbox and tells every process who has news.
func (b *postgresStore) placeEvents(ctx context.Context, tx *sql.Tx) (int, error) {
	q, err := b.s.queries.get("all.outbox_place")
	if err != nil {
		return 0, err
	}
	rows, err := tx.QueryContext(ctx, q.text, placeBatch)
	if err != nil {
		return 0, readFault(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	var payloads []string
	var cur strings.Builder
	total := 0
	for rows.Next() {
		var org, subject string
		var n int
		if err := rows.Scan(&org, &subject, &n); err != nil {
			return 0, readFault(err)
		}
		total += n
		if cur.Len() > 0 && cur.Len()+len(org)+len(subject)+2 > maxPayload {
			payloads = append(payloads, cur.String())
			cur.Reset()
		}
		cur.WriteString(org + " " + subject + "\n")
	}
	if err := rows.Err(); err != nil {
		return 0, readFault(err)
	}
	if cur.Len() > 0 {
		payloads = append(payloads, cur.String())
	}
	for _, p := range payloads {
		if err := b.exec(ctx, tx, "all.notify", outboxChannel, p); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// listen turns notifications into wakes until ctx ends. After a break everybody is woken, because some were missed.
func (b *postgresStore) listen(ctx context.Context) error {
	for {
		err := b.listenOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		b.s.log.LogAttrs(ctx, slog.LevelWarn, "the database's notifications broke off", slog.Any("error", err))
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

func (b *postgresStore) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, b.cfg.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it goes anyway
	if _, err := conn.Exec(ctx, "listen "+outboxChannel); err != nil {
		return err
	}
	b.s.hub.wakeAll()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var topics []Topic
		for line := range strings.Lines(n.Payload) {
			org, subject, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if ok {
				topics = append(topics, Topic{Org: uid.Org(org), Subject: subject})
			}
		}
		b.s.hub.wake(topics)
	}
}
