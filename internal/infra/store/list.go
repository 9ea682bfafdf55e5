package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// listing builds the statement of one list from constant fragments: a named query that ends in its WHERE, conditions,
// the order, and where to begin. Values only ever travel as parameters.
//
// Its index rule: the first condition given to lead is the index that is read; a total is known when that index,
// cut at page.CountCap+1 rows, was read to its end, or when nothing else narrows it.
type listing struct {
	base   string // named query
	count  string // named query to count by, where base joins what a count doesn't need; empty = base
	order  string // "a.created_at, a.id", "a.id", or one column of numbers that is unique in the list
	oldest bool   // ascending
	page   page.Request

	lead    []condition // on the leading index: equality and the range of the order's column
	rest    []condition
	nothing bool // a condition that no row can meet
	unknown bool // the total must not be counted
}

type condition struct {
	text string // with ? for each argument
	args []any
}

func (l *listing) leading(text string, args ...any) {
	l.lead = append(l.lead, condition{text, args})
}

// also adds a condition that narrows what the leading index gives.
func (l *listing) also(text string, args ...any) {
	l.rest = append(l.rest, condition{text, args})
}

// unindexed adds a condition whose rows can't be counted.
func (l *listing) unindexed(text string, args ...any) {
	l.also(text, args...)
	l.unknown = true
}

// either makes the condition the leading one where none is yet.
func (l *listing) either(text string, args ...any) {
	if len(l.lead) == 0 {
		l.leading(text, args...)
		return
	}
	l.also(text, args...)
}

// normal checks and completes what was asked for.
func normal(p page.Request) (page.Request, error) {
	if p.Limit <= 0 {
		p.Limit = page.DefaultLimit
	}
	p.Limit = min(p.Limit, page.MaxLimit)
	if p.Offset < 0 || p.Offset > page.MaxOffset {
		return p, fault.Wrong("offset", "must be between 0 and "+strconv.Itoa(page.MaxOffset)+"; go further with a cursor")
	}
	if !p.After.Zero() {
		p.Offset = 0
	}
	return p, nil
}

// composed is a statement being written.
type composed struct {
	d    dialect
	text strings.Builder
	args []any
}

func (c *composed) add(fragment string, args ...any) {
	for _, a := range args {
		before, after, _ := strings.Cut(fragment, "?")
		c.args = append(c.args, a)
		c.text.WriteString(before)
		c.text.WriteString(c.param(len(c.args)))
		fragment = after
	}
	c.text.WriteString(fragment)
}

func (c *composed) param(n int) string {
	if c.d == postgresDialect {
		return "$" + strconv.Itoa(n)
	}
	return "?" + strconv.Itoa(n)
}

// limit is where the number of rows goes; see rebind for the sign.
func (c *composed) limit() string {
	if c.d == postgresDialect {
		return " LIMIT ?"
	}
	return " LIMIT +?"
}

func (c *composed) conditions(list []condition) {
	for _, k := range list {
		c.text.WriteString(" AND ")
		c.add(k.text, k.args...)
	}
}

// storable reports whether PostgreSQL can hold the text at all: a value that it can't matches no row.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// empty reports whether no row can match.
func (l *listing) empty() bool {
	if l.nothing || !storable(l.page.After.ID) {
		return true
	}
	for _, k := range slices.Concat(l.lead, l.rest) {
		for _, a := range k.args {
			if text, ok := a.(string); ok && !storable(text) {
				return true
			}
		}
	}
	return false
}

// list reads a page of a list and its total, each by a statement of its own. scan is called for at most limit rows; more
// says whether there are further ones.
func (r reader) list(ctx context.Context, org uid.Org, l *listing, scan func(*sql.Rows) error) (more bool, total page.Total, err error) {
	err = r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		more, err = l.run(ctx, v, scan)
		return err
	})
	if err != nil || !l.page.WantTotal || l.unknown {
		return more, page.Total{}, err
	}
	err = r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		total, err = l.total(ctx, &v.handle)
		return err
	})
	return more, total, err
}

// oneOfAll reads over all organizations by a single all.* query.
func (r reader) oneOfAll(ctx context.Context, f func(context.Context, *View) error) error {
	return r.s.db.read(ctx, everyone(), true, f)
}

// run reads the page: scan is called for at most limit rows; more says whether there are further ones.
func (l *listing) run(ctx context.Context, v *View, scan func(*sql.Rows) error) (more bool, err error) {
	if l.empty() {
		return false, nil
	}
	text, args, err := l.compose(&v.handle)
	if err != nil {
		return false, err
	}
	n := 0
	err = v.eachText(ctx, text, args, func(rows *sql.Rows) error {
		if n++; n > l.page.Limit {
			more = true
			return nil
		}
		return scan(rows)
	})
	return more, err
}

// compose writes the statement of the page.
func (l *listing) compose(h *handle) (string, []any, error) {
	q, args, err := h.find(l.base, nil)
	if err != nil {
		return "", nil, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.conditions(l.lead)
	c.conditions(l.rest)
	dir, cmp := " DESC", " < "
	if l.oldest {
		dir, cmp = "", " > "
	}
	switch after := l.page.After; {
	case after.Zero():
	case strings.Contains(l.order, ","):
		c.add(" AND ("+l.order+")"+cmp+"(?, ?)", after.Sort, after.ID)
	case strings.HasSuffix(l.order, ".id"):
		c.add(" AND "+l.order+cmp+"?", after.ID)
	default:
		c.add(" AND "+l.order+cmp+"?", after.Sort)
	}
	c.text.WriteString(" ORDER BY " + strings.ReplaceAll(l.order, ",", dir+",") + dir)
	c.add(c.limit(), int64(l.page.Limit+1))
	if l.page.Offset > 0 {
		c.add(" OFFSET ?", int64(l.page.Offset))
	}
	return c.text.String(), c.args, nil
}

// total counts what matches, as far as the index rule lets it.
func (l *listing) total(ctx context.Context, h *handle) (page.Total, error) {
	switch {
	case !l.page.WantTotal || l.unknown:
		return page.Total{}, nil
	case l.empty():
		return page.Total{Known: true}, nil
	}
	name := l.base
	if l.count != "" {
		name = l.count
	}
	q, args, err := h.find(name, nil)
	if err != nil {
		return page.Total{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString("SELECT count(*), coalesce(sum(c.hit), 0) FROM (SELECT ")
	// Conditions beside the leading ones are weighed row by row, so that the cut bounds the rows that are read.
	if len(l.rest) == 0 {
		c.text.WriteString("1")
	} else {
		c.text.WriteString("CASE WHEN 1 = 1")
		c.conditions(l.rest)
		c.text.WriteString(" THEN 1 ELSE 0 END")
	}
	c.text.WriteString(" AS hit")
	c.text.WriteString(q.text[strings.Index(q.text, "\nFROM"):])
	c.conditions(l.lead)
	c.add(c.limit()+") c", int64(page.CountCap+1))
	remember, version, key := h.s.dialect == sqliteDialect, h.s.totals.version(h.scope.org), ""
	if remember {
		key = totalKey(c.text.String(), c.args)
		if total, ok := h.s.totals.get(key, version); ok {
			return total, nil
		}
	}
	var read, hit int
	err = h.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error { return rows.Scan(&read, &hit) })
	if err != nil {
		return page.Total{}, err
	}
	total := page.Total{}
	switch {
	case read <= page.CountCap:
		total = page.Total{N: hit, Known: true}
	case len(l.rest) == 0:
		total = page.Total{N: page.CountCap, Known: true, Capped: true}
	}
	if remember {
		h.s.totals.put(key, version, total)
	}
	return total, nil
}

// listMarker stands after the first parameter of an IN list that is to be repeated: `IN ($2 /*list*/)`. It must be the
// last parameter of its statement.
const listMarker = "/*list*/"

// expand writes out a named query's list for n values and returns the text and how many values it takes; the caller
// repeats its last value to fill up. Few sizes keep prepared statements few.
func (q *query) expand(d dialect, n int) (text string, size int) {
	size = 1
	for _, s := range []int{8, 64, maxRows} {
		if n > size {
			size = s
		}
	}
	head, tail, _ := strings.Cut(q.text, listMarker)
	head = strings.TrimRight(head, " ")
	at := strings.LastIndexAny(head, "$?")
	first, _ := strconv.Atoi(head[at+1:])
	c := composed{d: d}
	c.text.WriteString(head)
	for i := 1; i < size; i++ {
		c.text.WriteString(", ")
		c.text.WriteString(c.param(first + i))
	}
	c.text.WriteString(tail)
	return c.text.String(), size
}

// maxRows bounds what one unit may write of a kind.
const maxRows = 500

// listed prepares a statement with a list: fixed are the arguments before it.
func listed[T ~string](h *handle, name string, fixed []any, values []T) (string, []any, error) {
	if len(values) == 0 || len(values) > maxRows {
		return "", nil, internal("a list of a wrong length was asked for", nil)
	}
	q, args, err := h.find(name, fixed)
	if err != nil {
		return "", nil, err
	}
	text, size := q.expand(h.s.dialect, len(values))
	args = slices.Grow(args, size)
	for i := range size {
		args = append(args, string(values[min(i, len(values)-1)]))
	}
	return text, args, nil
}

// eachOf reads the rows of a statement with a list.
func eachOf[T ~string](ctx context.Context, h *handle, name string, fixed []any, values []T, f func(*sql.Rows) error) error {
	text, args, err := listed(h, name, fixed, values)
	if err != nil {
		return err
	}
	return h.eachText(ctx, text, args, f)
}

// eachMany runs a statement with a repeatable row and RETURNING, and reads what comes back.
func (t *Tx) eachMany(ctx context.Context, name string, rows [][]any, f func(*sql.Rows) error) error {
	q, err := t.s.queries.get(name)
	if err != nil {
		return err
	}
	for _, size := range chunks() {
		for len(rows) >= size {
			if err := t.guard(); err != nil {
				return err
			}
			args := make([]any, 1, 1+size*(q.many.columns-1))
			args[0] = string(t.scope.org)
			for _, r := range rows[:size] {
				args = append(args, r...)
			}
			if err := t.eachText(ctx, q.many.texts[size], args, f); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}
