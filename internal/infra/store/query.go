package store

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// dialect is one of the two databases, named as its folders are.
type dialect string

const (
	sqliteDialect   dialect = "sqlite"
	postgresDialect dialect = "postgres"
)

//go:embed queries
var queryFiles embed.FS

// query is one named statement. Parameters are written $1, $2 … in the files; where the query is scoped, $1 is the
// organization, which the store puts in by itself.
type query struct {
	name   string
	text   string // in the dialect's own notation
	shared bool   // sees all organizations: declared by `-- all: reason`
	reason string
	many   *manyRows // for statements with a repeatable row of values
}

// queries holds a dialect's statements by name. It is immutable.
type queries struct {
	dialect dialect
	byName  map[string]*query
}

// loadQueries reads queries/*.sql and then the dialect's folder. Blocks begin with `-- name: noun.verb`; a line
// `-- all: reason` declares that the statement isn't scoped to one organization. A name may occur once in the shared
// folder, or once in each dialect's.
func loadQueries(d dialect) (*queries, error) {
	q := &queries{dialect: d, byName: map[string]*query{}}
	for _, dir := range []string{"queries", path.Join("queries", string(d))} {
		files, err := fs.Glob(queryFiles, path.Join(dir, "*.sql"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			b, err := queryFiles.ReadFile(f)
			if err != nil {
				return nil, err
			}
			if err := q.parse(string(b)); err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
		}
	}
	return q, nil
}

func (q *queries) parse(file string) error {
	var cur *query
	var text strings.Builder
	finish := func() error {
		if cur == nil {
			return nil
		}
		raw := strings.TrimSuffix(strings.TrimSpace(text.String()), ";")
		text.Reset()
		if raw == "" || strings.Contains(raw, ";") {
			return fmt.Errorf("query %s must be one statement", cur.name)
		}
		if q.byName[cur.name] != nil {
			return fmt.Errorf("query %s occurs twice", cur.name)
		}
		if strings.HasPrefix(cur.name, "all.") != cur.shared {
			return fmt.Errorf("query %s: names of queries over all organizations begin with all., and only theirs", cur.name)
		}
		cur.text = rebind(q.dialect, raw)
		var err error
		if cur.many, err = parseMany(q.dialect, raw, !cur.shared); err != nil {
			return fmt.Errorf("query %s: %w", cur.name, err)
		}
		q.byName[cur.name] = cur
		return nil
	}
	for line := range strings.Lines(file) {
		comment, isComment := strings.CutPrefix(strings.TrimSpace(line), "--")
		name, isName := strings.CutPrefix(strings.TrimSpace(comment), "name:")
		reason, isAll := strings.CutPrefix(strings.TrimSpace(comment), "all:")
		switch {
		case isComment && isName:
			if err := finish(); err != nil {
				return err
			}
			cur = &query{name: strings.TrimSpace(name)}
		case isComment && isAll && cur != nil:
			cur.shared, cur.reason = true, strings.TrimSpace(reason)
		case isComment:
		case cur != nil:
			text.WriteString(line)
		case strings.TrimSpace(line) != "":
			return errors.New("text before the first name")
		}
	}
	return finish()
}

// get returns a named query. A missing one is our own defect.
func (q *queries) get(name string) (*query, error) {
	if found := q.byName[name]; found != nil {
		return found, nil
	}
	return nil, internal("a query is missing", fmt.Errorf("query %s", name))
}

func (q *queries) names() []string {
	names := make([]string, 0, len(q.byName))
	for n := range q.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// rebind writes $n as SQLite wants it: there $1 would be a name, ?1 is a number. Text in quotes stays as it is. A limit
// gets a plus sign: SQLite looks into a bare parameter there when it plans, and so plans anew for every value bound.
func rebind(d dialect, text string) string {
	if d == postgresDialect {
		return text
	}
	text = strings.ReplaceAll(text, "LIMIT $", "LIMIT +$")
	var b strings.Builder
	b.Grow(len(text))
	var quote byte
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			c = '?'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// manyRows is an INSERT whose row of values can be repeated: the row is written after the marker `/*rows*/` as plain
// parameters in parentheses, `VALUES /*rows*/ ($1, $2, $3)`. In a scoped query $1 stays the organization in every row.
type manyRows struct {
	head, tail string
	fixed      bool // $1 is the organization
	columns    int  // values that differ from row to row
	texts      map[int]string
}

const rowsMarker = "/*rows*/"

// chunks are the numbers of rows for which a text is made, largest first: few, so that prepared statements are reused,
// and each half of the one before, so that any number of rows is few statements.
func chunks() []int { return []int{64, 32, 16, 8, 4, 2, 1} }

func parseMany(d dialect, raw string, fixed bool) (*manyRows, error) {
	head, rest, ok := strings.Cut(raw, rowsMarker)
	if !ok {
		return nil, nil //nolint:nilnil // most statements have no repeatable row
	}
	rest = strings.TrimSpace(rest)
	end := strings.IndexByte(rest, ')')
	if !strings.HasPrefix(rest, "(") || end < 0 {
		return nil, errors.New("a row of plain parameters must follow the marker")
	}
	cols := strings.Split(rest[1:end], ",")
	for i, c := range cols {
		if strings.TrimSpace(c) != "$"+strconv.Itoa(i+1) {
			return nil, errors.New("the row must be $1, $2 and so on")
		}
	}
	if strings.Contains(rest[end+1:], "$") {
		return nil, errors.New("parameters after the row would be renumbered")
	}
	m := &manyRows{head: head, tail: rest[end+1:], fixed: fixed, columns: len(cols), texts: map[int]string{}}
	if fixed {
		m.columns--
	}
	for _, n := range chunks() {
		m.texts[n] = rebind(d, m.build(n))
	}
	return m, nil
}

func (m *manyRows) build(rows int) string {
	var b strings.Builder
	b.WriteString(m.head)
	next := 1
	if m.fixed {
		next = 2
	}
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		sep := "("
		if m.fixed {
			b.WriteString("($1")
			sep = ", "
		}
		for range m.columns {
			b.WriteString(sep + "$" + strconv.Itoa(next))
			sep = ", "
			next++
		}
		b.WriteByte(')')
	}
	b.WriteString(m.tail)
	return b.String()
}

// each cuts flat, rows of values one after the other, into chunks and runs exec for each with its text.
func (m *manyRows) each(flat []any, exec func(text string, args []any) (int64, error)) (int64, error) {
	var total int64
	for _, size := range chunks() {
		for n := size * m.columns; len(flat) >= n && n > 0; flat = flat[n:] {
			touched, err := exec(m.texts[size], flat[:n])
			if err != nil {
				return total, err
			}
			total += touched
		}
	}
	return total, nil
}
