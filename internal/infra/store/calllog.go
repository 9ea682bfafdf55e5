package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of one page of the call log. Entries carry no index beyond their place: one would cost every request, and
// looking at a few thousand costs a reader some milliseconds.
const (
	maxLooked  = 20_000 // entries that one page looks at
	firstChunk = 128    // and at once; each chunk is twice the one before, up to
	lastChunk  = 512
	// lookTime is how long a page looks, beside its last chunk: where the log has to come from a slow disk, it is shorter.
	lookTime = 10 * time.Millisecond
	// atSlack bounds how far the times of entries may lie out of the order of their places: an entry is timed when it is
	// formed and placed when its unit commits, and the clocks of several nodes differ.
	atSlack = 5 * time.Minute
)

// CallLog returns one page of calls, newest first, of entries that have their place in the log. It looks at a bounded
// number of entries and for a bounded time, whatever the filters: a page may be short, or empty, and still say where to
// go on.
func (r UsageStore) CallLog(ctx context.Context, org uid.Org, q usage.CallQuery) (usage.CallPage, error) {
	var out usage.CallPage
	err := r.view(ctx, org, func(ctx context.Context, v *View) error {
		out = usage.CallPage{}
		low, high, err := callRange(ctx, v, q)
		if err != nil {
			return err
		}
		floor := max(low, high-maxLooked)
		until := v.s.now().Add(lookTime)
		for chunk := int64(firstChunk); high > floor && len(out.Items) < q.Limit; chunk = min(2*chunk, lastChunk) {
			if chunk > firstChunk && v.s.now().After(until) {
				break
			}
			from := max(floor, high-chunk)
			if err := calls(ctx, v, q, from, high, &out); err != nil {
				return err
			}
			high = from
		}
		if len(out.Items) == q.Limit {
			high = int64(out.Items[q.Limit-1].Index) //nolint:gosec // a log has less than 2^63 entries
		}
		if high > low {
			out.Next = uint64(high) //nolint:gosec // more than low, which is none below 0
		}
		return nil
	})
	return out, err
}

// callRange returns the indexes low ≤ i < high outside of which no entry can match.
func callRange(ctx context.Context, v *View, q usage.CallQuery) (low, high int64, err error) {
	if err := optional(v.row(ctx, "usage.log_size", nil, &high)); err != nil {
		return 0, 0, err
	}
	var newest int64
	if err := optional(v.row(ctx, "log.first", nil, &low, &newest)); err != nil {
		return 0, 0, err
	}
	if q.Before > 0 && q.Before < uint64(high) { //nolint:gosec // a size
		high = int64(q.Before) //nolint:gosec // less than high
	}
	if !q.To.IsZero() {
		if high, err = firstAt(ctx, v, low, high, micros(q.To.Add(atSlack))); err != nil {
			return 0, 0, err
		}
	}
	if !q.From.IsZero() {
		low, err = firstAt(ctx, v, low, high, micros(q.From.Add(-atSlack)))
	}
	return low, high, err
}

func optional(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// firstAt returns an index in low..high before which the entries are, as far as their order tells, from before at. Times
// that lie out of order by less than atSlack don't mislead it when at is moved by that.
func firstAt(ctx context.Context, v *View, low, high, at int64) (int64, error) {
	for low < high {
		mid := low + (high-low)/2
		var found int64
		err := v.row(ctx, "usage.entry_at", []any{mid}, &found)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, fault.New(fault.Internal, fault.CodeLogCorrupt, "entries of the audit log are missing")
		}
		if err != nil {
			return 0, err
		}
		if found < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// calls adds the matching calls with from ≤ index < to, newest first, until the page is full.
func calls(ctx context.Context, v *View, q usage.CallQuery, from, to int64, out *usage.CallPage) error {
	base, args, err := v.find("usage.call_log", nil)
	if err != nil {
		return err
	}
	c := composed{d: v.s.dialect, args: args}
	c.text.WriteString(base.text)
	c.add(" AND idx >= ? AND idx < ?", from, to)
	for _, part := range leafParts(q) {
		if v.s.dialect == postgresDialect {
			c.add(" AND position(? IN leaf) > 0", part)
		} else {
			c.add(" AND instr(leaf, ?) > 0", part)
		}
	}
	c.text.WriteString(" ORDER BY idx DESC")
	err = v.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var index int64
		var leaf sql.RawBytes
		if err := rows.Scan(&index, &leaf); err != nil {
			return readFault(err)
		}
		l, err := audit.ParseLeaf(leaf)
		if err != nil || !q.Matches(&l) {
			return nil // an entry that can't be read is no call; whoever verifies the log is told of it
		}
		out.Items = append(out.Items, usage.LoggedCall{Leaf: l, Index: uint64(index)}) //nolint:gosec // an index
		if len(out.Items) == q.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("the page is full")

// leafParts are bytes that the leaf of a matching entry must contain, as the leaf's format writes a field: with them the
// database leaves out what can't match. They may also occur elsewhere in a leaf, so what is found is read and compared.
func leafParts(q usage.CallQuery) [][]byte {
	var out [][]byte
	text := func(s string) {
		if s != "" {
			out = append(out, append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)) //nolint:gosec // parameters are shorter
		}
	}
	text(string(q.EventType))
	text(q.Actor)
	text(q.Method)
	text(q.Route)
	if status, one := q.Status.One(); one {
		out = append(out, binary.BigEndian.AppendUint64([]byte{0, 8}, uint64(status))) //nolint:gosec // 100 to 599
	}
	return out
}
