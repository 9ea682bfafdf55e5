package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// TemplateStore implements template.Store, and template.Agenda over all organizations.
type TemplateStore struct {
	reader
	changer[template.Tx]
}

var (
	_ template.Store  = TemplateStore{}
	_ template.Agenda = TemplateStore{}
	_ template.Tx     = (*Tx)(nil)
)

// Templates is the view of scan templates and their runs.
func (s *Store) Templates() TemplateStore {
	return TemplateStore{reader{s}, changer[template.Tx]{s}}
}

func missingTemplate() error { return fault.Missing("scan template") }

// templateRow are the columns of template.rows.
type templateRow struct {
	t                                                template.Template
	plan                                             template.Schedule
	tags, targets, stopped                           []byte
	cron                                             sql.NullString
	enabled, created, updated, next, start, lastDone int64
}

func (r *templateRow) dest() []any {
	t, p := &r.t, &r.plan
	return []any{
		&t.ID, &t.Name, &t.Description, &t.Engine, &t.TargetType, &t.Priority, (*[]byte)(&t.Options), (*[]byte)(&t.Config),
		&t.Sealed, &r.tags, &t.Timeout, &r.targets, &t.CreatedBy, &r.created, &r.updated, &t.Version, &r.cron, &p.TimeZone,
		&p.Jitter, &p.Overlap, &r.enabled, &p.RunsAs, &r.next, &r.start, &r.lastDone, &r.stopped,
	}
}

func (r *templateRow) done(org uid.Org) (template.Template, error) {
	t := r.t
	t.Org, t.CreatedAt, t.UpdatedAt = org, timeOf(r.created), timeOf(r.updated)
	var err error
	if t.Tags, err = texts[string]("tags", r.tags); err != nil {
		return t, err
	}
	if t.Targets, err = texts[string]("targets", r.targets); err != nil {
		return t, err
	}
	if !r.cron.Valid {
		return t, nil
	}
	p := r.plan
	p.Cron, p.Enabled = r.cron.String, r.enabled != 0
	p.Next, p.Start, p.Last = timeOf(r.next), timeOf(r.start), timeOf(r.lastDone)
	t.Schedule = &p
	return t, decode("stopped", r.stopped, &p.Stopped)
}

// Template returns one template of the organization, NotFound where there is none.
func (r TemplateStore) Template(ctx context.Context, org uid.Org, id uid.Template) (template.Template, error) {
	var t template.Template
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		t, err = templateByID(ctx, &v.handle, id)
		return err
	})
	return t, err
}

func templateByID(ctx context.Context, h *handle, id uid.Template) (template.Template, error) {
	if !template.ValidID(string(id)) {
		return template.Template{}, missingTemplate()
	}
	q, args, err := h.find("template.rows", nil)
	if err != nil {
		return template.Template{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND t.id = ?", string(id))
	var r templateRow
	err = h.failed(readFault(h.sql.QueryRowContext(ctx, c.text.String(), c.args...).Scan(r.dest()...)))
	if errors.Is(err, sql.ErrNoRows) {
		return template.Template{}, missingTemplate()
	}
	if err != nil {
		return template.Template{}, err
	}
	return r.done(h.scope.org)
}

// Templates returns one page of templates, newest first.
func (r TemplateStore) Templates(ctx context.Context, org uid.Org, q template.Query) (template.List, error) {
	p, err := normal(q.Page)
	if err != nil {
		return template.List{}, err
	}
	l := &listing{base: "template.rows", order: "t.id", page: p}
	if q.Tag != "" {
		l.base, l.order = "template.tagged", "k.id"
		l.leading("k.tag = ?", q.Tag)
	}
	if q.Engine != "" {
		l.either("t.engine = ?", q.Engine)
	}
	l.matching(org, q.Q, "scan_template_word", "t.id")
	var out template.List
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row templateRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a template can't be read", err)
		}
		t, err := row.done(org)
		out.Items = append(out.Items, t)
		return err
	})
	if err != nil {
		return template.List{}, err
	}
	if more {
		out.Next = page.Key{ID: string(out.Items[len(out.Items)-1].ID)}
	}
	out.Total = total
	return out, nil
}

// Runs returns one page of a template's runs, newest due time first.
func (r TemplateStore) Runs(ctx context.Context, org uid.Org, id uid.Template, p page.Request) (template.Runs, error) {
	p, err := normal(p)
	if err != nil {
		return template.Runs{}, err
	}
	l := &listing{base: "template.runs", order: "r.due", page: p}
	l.leading("r.template = ?", string(id))
	var out template.Runs
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var run template.Run
		var due, at int64
		var doc []byte
		if err := rows.Scan(&run.ID, &run.Template, &due, &at, &run.State, &run.Replaced, &doc); err != nil {
			return internal("a run can't be read", err)
		}
		run.Due, run.At = timeOf(due), timeOf(at)
		err := decode("items", doc, &run.Items)
		out.Items = append(out.Items, run)
		return err
	})
	if err != nil {
		return template.Runs{}, err
	}
	if more {
		last := out.Items[len(out.Items)-1]
		out.Next = page.Key{Sort: micros(last.Due), ID: string(last.ID)}
	}
	out.Total = total
	return out, nil
}

// DueTemplates returns templates of all organizations that are to be started at or before now, in order of start and
// then id, after the given one; those of suspended organizations wait.
func (r TemplateStore) DueTemplates(ctx context.Context, now time.Time, after template.Ref, limit int) ([]template.Ref, error) {
	var out []template.Ref
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return v.each(ctx, "all.template.due", []any{micros(now), micros(after.Start), string(after.ID), int64(limit)}, func(rows *sql.Rows) error {
			var ref template.Ref
			var start int64
			if err := rows.Scan(&ref.Org, &ref.ID, &start); err != nil {
				return internal("a due template can't be read", err)
			}
			ref.Start = timeOf(start)
			out = append(out, ref)
			return nil
		})
	})
	return out, err
}

// NextStart returns the first start of any organization's template after the given time; zero where there is none.
func (r TemplateStore) NextStart(ctx context.Context, after time.Time) (time.Time, error) {
	var start int64
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return v.row(ctx, "all.template.next", []any{micros(after)}, &start)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return timeOf(start), err
}

// TemplateForUpdate reads a template as it is inside this unit and holds it until the unit ends; NotFound where there
// is none.
func (t *Tx) TemplateForUpdate(ctx context.Context, id uid.Template) (template.Template, error) {
	if err := t.one(ctx, missingTemplate, "template.hold", string(id)); err != nil {
		return template.Template{}, err
	}
	return templateByID(ctx, &t.handle, id)
}

// templateValues are the columns that a change writes, in the order of template.insert and template.replace.
func templateValues(m template.Template) ([]any, error) {
	var plan template.Schedule
	if m.Schedule != nil {
		plan = *m.Schedule
	}
	var stopped any
	if plan.Stopped != nil {
		doc, err := encode(plan.Stopped)
		if err != nil {
			return nil, err
		}
		stopped = doc
	}
	return []any{
		m.Name, m.Description, m.Engine, string(m.TargetType), string(m.Priority), rawOrNull(m.Options), rawOrNull(m.Config),
		bytesOrNull(m.Sealed), list(m.Tags), m.Timeout, list(m.Targets), micros(m.UpdatedAt), m.Version, orNull(plan.Cron),
		plan.TimeZone, plan.Jitter, string(plan.Overlap), flag(plan.Enabled), plan.RunsAs, micros(plan.Next), micros(plan.Start),
		micros(plan.Last), stopped,
	}, nil
}

func nameTaken(err error) error {
	if isDuplicate(err) {
		return fault.New(fault.Conflict, fault.CodeConflict, "a template of this name exists already").Because(err)
	}
	return err
}

// InsertTemplate adds a template; a name that is taken in the organization is a Conflict fault.
func (t *Tx) InsertTemplate(ctx context.Context, m template.Template) error {
	values, err := templateValues(m)
	if err != nil {
		return err
	}
	values = append([]any{string(m.ID), m.CreatedBy, micros(m.CreatedAt)}, values...)
	if _, err := t.exec(ctx, "template.insert", values...); err != nil {
		return nameTaken(err)
	}
	return t.indexTemplate(ctx, m)
}

// ReplaceTemplate writes all of a template but its id, creator and creation; NotFound where there is none, a Conflict
// fault where another has the name.
func (t *Tx) ReplaceTemplate(ctx context.Context, m template.Template) error {
	values, err := templateValues(m)
	if err != nil {
		return err
	}
	n, err := t.exec(ctx, "template.replace", append([]any{string(m.ID)}, values...)...)
	if err != nil {
		return nameTaken(err)
	}
	if n == 0 {
		return missingTemplate()
	}
	for _, old := range []string{"template.tags_clear", "template.words_clear"} {
		if _, err := t.exec(ctx, old, string(m.ID)); err != nil {
			return err
		}
	}
	return t.indexTemplate(ctx, m)
}

func (t *Tx) indexTemplate(ctx context.Context, m template.Template) error {
	var tags [][]any
	for _, tag := range distinct(m.Tags) {
		tags = append(tags, []any{tag, string(m.ID)})
	}
	if _, err := t.insertMany(ctx, "template.tag_insert", tags); err != nil {
		return err
	}
	return t.insertTexts(ctx, "template.word_insert", string(m.ID), words(maxWords, m.Name, m.Description))
}

// DeleteTemplate removes a template with its runs; NotFound where there is none.
func (t *Tx) DeleteTemplate(ctx context.Context, id uid.Template) error {
	return t.one(ctx, missingTemplate, "template.delete", string(id))
}

// TakeRun moves an enabled schedule from one due time to the next; false where the template has gone on since it was
// read. ran says that the due time has a run already.
func (t *Tx) TakeRun(ctx context.Context, c template.Taking) (taken, ran bool, err error) {
	n, err := t.exec(ctx, "template.take", string(c.Template), c.Version, micros(c.Next), micros(c.Due), micros(c.Following), micros(c.Start))
	if err != nil || n == 0 {
		return false, false, err
	}
	var runs int64
	err = t.row(ctx, "template.ran", []any{string(c.Template), micros(c.Due)}, &runs)
	return err == nil, runs > 0, err
}

// InsertRun keeps what became of a run, and of each template the last thousand.
func (t *Tx) InsertRun(ctx context.Context, r template.Run) error {
	items := r.Items
	if items == nil {
		items = []template.Item{}
	}
	doc, err := encode(items)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "template.run_insert", string(r.ID), string(r.Template), micros(r.Due), micros(r.At), string(r.State), r.Replaced, doc)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "template.run_prune", string(r.Template))
	return err
}

// RunningScans returns scans of the template's earlier runs that have not ended, at most 500.
func (t *Tx) RunningScans(ctx context.Context, id uid.Template) ([]uid.Scan, error) {
	var out []uid.Scan
	err := t.each(ctx, "template.running", []any{string(id)}, func(rows *sql.Rows) error {
		var s uid.Scan
		if err := rows.Scan(&s); err != nil {
			return internal("a running scan can't be read", err)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// StopSchedule disables a schedule and says why; false where the template has gone on since it was read.
func (t *Tx) StopSchedule(ctx context.Context, id uid.Template, version int64, s template.Stopped) (bool, error) {
	doc, err := encode(s)
	if err != nil {
		return false, err
	}
	n, err := t.exec(ctx, "template.stop", string(id), version, doc)
	return n > 0, err
}
