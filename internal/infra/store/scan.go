package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// ScanStore implements scan.Store.
type ScanStore struct {
	reader
	changer[scan.Tx]
}

var (
	_ scan.Store = ScanStore{}
	_ scan.Tx    = (*Tx)(nil)
)

// Scans is the view of scans and their results.
func (s *Store) Scans() ScanStore { return ScanStore{reader{s}, changer[scan.Tx]{s}} }

func missingScan() error { return fault.Missing("scan") }

// lost is the answer to a worker whose scan has gone on without it.
func lost() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "the scan isn't this worker's any more")
}

// scanRow are the columns of scan.rows.
type scanRow struct {
	scan                                scan.Scan
	tags, reasons, failure, summary     []byte
	assetID, outcome                    sql.NullString
	template, templateRun               sql.NullString
	course                              []byte
	parent, stage                       sql.NullString
	created, started, ended, leaseUntil int64
}

func (r *scanRow) dest() []any {
	s := &r.scan
	return []any{
		&s.ID, &s.Engine, &s.Name, &s.Target, &s.TargetType, &s.Host, &s.Priority, &s.Status, &s.Progress, &s.Phase,
		(*[]byte)(&s.Options), (*[]byte)(&s.Config), &s.Sealed, &r.tags, &s.Timeout, &r.assetID, &s.CreatedBy,
		&r.created, &r.started, &r.ended, &s.Attempt, &s.Fence, &r.leaseUntil, &r.outcome, &r.reasons, &r.failure,
		&s.Version, &r.summary, &r.template, &r.templateRun, &r.course, &r.parent, &r.stage,
	}
}

func (r *scanRow) done(org uid.Org) (scan.Scan, error) {
	s := r.scan
	s.Org = org
	s.CreatedAt, s.StartedAt, s.EndedAt = timeOf(r.created), timeOf(r.started), timeOf(r.ended)
	s.LeaseUntil, s.Asset, s.Outcome = timeOf(r.leaseUntil), uid.Asset(r.assetID.String), engine.Outcome(r.outcome.String)
	s.Template, s.Run = uid.Template(r.template.String), uid.TemplateRun(r.templateRun.String)
	s.Parent, s.Stage = uid.Scan(r.parent.String), r.stage.String
	var err error
	if err := decode("course", r.course, &s.Course); err != nil {
		return s, err
	}
	if s.Tags, err = texts[string]("tags", r.tags); err != nil {
		return s, err
	}
	if s.Reasons, err = texts[string]("reasons", r.reasons); err != nil {
		return s, err
	}
	if err := decode("error", r.failure, &s.Error); err != nil {
		return s, err
	}
	return s, decode("summary", r.summary, &s.Summary)
}

// Scan returns one scan of the organization, a NotFound fault where there is none.
func (r ScanStore) Scan(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error) {
	var s scan.Scan
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		s, err = scanByID(ctx, &v.handle, id)
		return err
	})
	return s, err
}

func scanByID(ctx context.Context, h *handle, id uid.Scan) (scan.Scan, error) {
	if !uid.Valid(string(id)) {
		return scan.Scan{}, missingScan()
	}
	q, args, err := h.find("scan.rows", nil)
	if err != nil {
		return scan.Scan{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND s.id = ?", string(id))
	var r scanRow
	err = h.failed(readFault(h.sql.QueryRowContext(ctx, c.text.String(), c.args...).Scan(r.dest()...)))
	if errors.Is(err, sql.ErrNoRows) {
		return scan.Scan{}, missingScan()
	}
	if err != nil {
		return scan.Scan{}, err
	}
	return r.done(h.scope.org)
}

// Scans returns one page of scans.
func (r ScanStore) Scans(ctx context.Context, org uid.Org, q scan.Query) (scan.List, error) {
	l, err := scanListing(org, q)
	if err != nil {
		return scan.List{}, err
	}
	var out scan.List
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		var row scanRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a scan can't be read", err)
		}
		s, err := row.done(org)
		out.Items = append(out.Items, s)
		return err
	})
	if err != nil {
		return scan.List{}, err
	}
	if more {
		last := out.Items[len(out.Items)-1]
		out.Next = page.Key{Sort: micros(last.CreatedAt), ID: string(last.ID)}
	}
	out.Total = total
	return out, nil
}

func scanListing(org uid.Org, q scan.Query) (*listing, error) {
	p, err := normal(q.Page)
	if err != nil {
		return nil, err
	}
	l := &listing{base: "scan.rows", order: "s.created_at, s.id", oldest: q.Oldest, page: p}
	at := "s.created_at"
	if q.Tag != "" {
		l.base, l.order, at = "scan.tagged", "k.created_at, k.id", "k.created_at"
		l.leading("k.tag = ?", q.Tag)
	}
	if q.Target != "" {
		l.either("s.target = ?", q.Target)
	}
	if q.Template != "" {
		l.either("s.template = ?", string(q.Template))
	}
	if q.Status != "" {
		l.either("s.status = ?", string(q.Status))
	}
	if q.Engine != "" {
		l.either("s.engine = ?", q.Engine)
	}
	if !q.From.IsZero() {
		l.leading(at+" >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		l.leading(at+" < ?", micros(q.To))
	}
	switch {
	case q.Parent != "":
		l.either("s.parent = ?", string(q.Parent))
	case !q.Children:
		l.leading("s.parent IS NULL")
	}
	if q.Priority != "" {
		l.unindexed("s.priority = ?", string(q.Priority))
	}
	if q.Asset != "" {
		l.unindexed("s.asset_id = ?", string(q.Asset))
	}
	l.matching(org, q.Q, "scan_word", "s.id")
	return l, nil
}

// ScanScope returns what the organization's scans may touch; the empty scope where nobody has set one.
func (r ScanStore) ScanScope(ctx context.Context, org uid.Org) (asset.Scope, error) {
	return r.scanScope(ctx, org)
}

// Organization returns the organization, a NotFound fault where there is none.
func (r ScanStore) Organization(ctx context.Context, org uid.Org) (tenant.Organization, error) {
	return r.organization(ctx, org)
}

// Artifacts returns the raw outputs of the try whose results are shown, in the order in which they were kept.
func (r ScanStore) Artifacts(ctx context.Context, org uid.Org, id uid.Scan) ([]scan.Artifact, error) {
	var out []scan.Artifact
	err := r.shown(ctx, org, id, func(ctx context.Context, v *View, generation int64) error {
		out = nil
		return v.each(ctx, "scan.artifacts", []any{string(id), generation}, func(rows *sql.Rows) error {
			var a scan.Artifact
			var truncated int64
			if err := rows.Scan(&a.Name, &a.MediaType, &a.Size, &a.SHA256, &truncated); err != nil {
				return internal("an artifact can't be read", err)
			}
			a.Truncated = truncated != 0
			out = append(out, a)
			return nil
		})
	})
	return out, err
}

// ScanAssets returns the assets that the try whose results are shown has seen, by kind and name.
func (r ScanStore) ScanAssets(ctx context.Context, org uid.Org, id uid.Scan) ([]asset.Observation, error) {
	var out []asset.Observation
	err := r.shown(ctx, org, id, func(ctx context.Context, v *View, generation int64) error {
		var err error
		if out, err = familyAssets(ctx, v, id); err != nil || out != nil {
			return err
		}
		return v.each(ctx, "scan.assets", []any{string(id), generation}, func(rows *sql.Rows) error {
			var o asset.Observation
			if err := rows.Scan(&o.Kind, &o.Name, (*[]byte)(&o.Attributes), &o.Source); err != nil {
				return internal("an asset can't be read", err)
			}
			out = append(out, o)
			return nil
		})
	})
	return out, err
}

// shown calls f with the generation whose results are visible, unless there is none yet.
func (r reader) shown(ctx context.Context, org uid.Org, id uid.Scan, f func(context.Context, *View, int64) error) error {
	if !uid.Valid(string(id)) {
		return missingScan()
	}
	return r.view(ctx, org, func(ctx context.Context, v *View) error {
		var generation int64
		err := v.row(ctx, "scan.generation", []any{string(id)}, &generation)
		if errors.Is(err, sql.ErrNoRows) {
			return missingScan()
		}
		if err != nil || generation == 0 {
			return err
		}
		return f(ctx, v, generation)
	})
}

// InsertScan adds a scan at the end of the line. It is queued, whatever s says of its state.
func (t *Tx) InsertScan(ctx context.Context, s scan.Scan) error {
	return t.InsertScans(ctx, []scan.Scan{s})
}

// InsertScans adds scans at the end of the line, in their order, in few statements.
func (t *Tx) InsertScans(ctx context.Context, list []scan.Scan) error {
	rows, tags, texts, turns := make([][]any, len(list)), [][]any(nil), [][]any(nil), [][]any(nil)
	for i, s := range list {
		var err error
		if rows[i], err = insertRow(s); err != nil {
			return err
		}
		if s.Course != nil {
			turns = append(turns, []any{string(s.ID), micros(s.CreatedAt)})
		}
		for _, tag := range distinct(s.Tags) {
			tags = append(tags, []any{tag, micros(s.CreatedAt), string(s.ID)})
		}
		for _, w := range words(maxWords, s.Name, s.Target) {
			texts = append(texts, []any{w, string(s.ID)})
		}
	}
	if _, err := t.insertMany(ctx, "scan.insert", rows); err != nil {
		return err
	}
	if _, err := t.insertMany(ctx, "scan.turn_insert", turns); err != nil {
		return err
	}
	if _, err := t.insertMany(ctx, "scan.tag_insert", tags); err != nil {
		return err
	}
	if _, err := t.insertMany(ctx, "scan.word_insert", texts); err != nil {
		return err
	}
	if err := t.insertCallbacks(ctx, list); err != nil {
		return err
	}
	return t.countSubmitted(list)
}

// insertRow are the values of scan.insert.
func insertRow(s scan.Scan) ([]any, error) {
	var course any
	admitted := int64(0)
	if s.Course != nil {
		doc, err := encode(s.Course)
		if err != nil {
			return nil, err
		}
		course, admitted = doc, conducting
	}
	return []any{
		string(s.ID), s.Engine, s.Name, s.Target, string(s.TargetType), s.Host, string(s.Priority), string(scan.Queued),
		rawOrNull(s.Options), rawOrNull(s.Config), bytesOrNull(s.Sealed), list(s.Tags), s.Timeout, orNull(s.Asset),
		s.CreatedBy, micros(s.CreatedAt), micros(s.Due()), orNull(s.Template), orNull(s.Run), admitted, course,
		orNull(s.Parent), orNull(s.Stage),
	}, nil
}

// ScanForUpdate reads a scan as it is inside this unit and holds it until the unit ends; NotFound where there is none.
func (t *Tx) ScanForUpdate(ctx context.Context, id uid.Scan) (scan.Scan, error) {
	if !uid.Valid(string(id)) {
		return scan.Scan{}, missingScan()
	}
	if err := t.one(ctx, missingScan, "scan.hold_any", string(id)); err != nil {
		return scan.Scan{}, err
	}
	return scanByID(ctx, &t.handle, id)
}

// EditScan writes name and tags of a scan, and nothing else of it; NotFound where there is none.
func (t *Tx) EditScan(ctx context.Context, s scan.Scan) error {
	if err := t.one(ctx, missingScan, "scan.edit", string(s.ID), s.Name, list(s.Tags)); err != nil {
		return err
	}
	for _, old := range []string{"scan.tags_clear", "scan.words_clear"} {
		if _, err := t.exec(ctx, old, string(s.ID)); err != nil {
			return err
		}
	}
	if err := t.insertTags(ctx, "scan.tag_insert", s.Tags, s.CreatedAt, string(s.ID)); err != nil {
		return err
	}
	return t.insertTexts(ctx, "scan.word_insert", string(s.ID), words(maxWords, s.Name, s.Target))
}

// CancelScan moves a queued or running scan to cancelled and returns it. What the running try has recorded so far
// becomes its result. A terminal scan is a SCAN_NOT_CANCELLABLE Conflict fault.
func (t *Tx) CancelScan(ctx context.Context, id uid.Scan, at time.Time) (scan.Scan, error) {
	n, err := t.exec(ctx, "scan.cancel", string(id), micros(at))
	if err != nil {
		return scan.Scan{}, err
	}
	s, err := scanByID(ctx, &t.handle, id)
	if err != nil {
		return scan.Scan{}, err
	}
	if n == 0 {
		return scan.Scan{}, fault.New(fault.Conflict, fault.CodeNotCancellable,
			"the scan has ended already; only a queued or running scan can be cancelled")
	}
	if s.Attempt > 0 {
		if s, err = t.summarised(ctx, s); err != nil {
			return s, err
		}
	}
	if err := t.markTurn(ctx, s, at); err != nil {
		return s, err
	}
	return s, t.countCancelled(s)
}

// SummariseScan counts the results that a scan which has ended shows, writes that as its summary and returns it.
func (t *Tx) SummariseScan(ctx context.Context, id uid.Scan) (scan.Scan, error) {
	s, err := scanByID(ctx, &t.handle, id)
	if err != nil {
		return scan.Scan{}, err
	}
	had := s.Summary.Total
	if s, err = t.summarised(ctx, s); err != nil {
		return s, err
	}
	if s.Parent != "" {
		return s, nil
	}
	return s, t.countFound(s.Engine, s.EndedAt, int64(s.Summary.Total-had))
}

func (t *Tx) summarised(ctx context.Context, s scan.Scan) (scan.Scan, error) {
	var err error
	if s.Summary, err = t.summarise(ctx, s); err != nil || s.Summary.Total == 0 {
		return s, err
	}
	doc, err := encode(s.Summary)
	if err != nil {
		return scan.Scan{}, err
	}
	_, err = t.exec(ctx, "scan.summarise", string(s.ID), doc)
	return s, err
}

// StartScan moves an admitted scan to running and counts the attempt; a Conflict fault when it was cancelled or the
// fence is another's.
func (t *Tx) StartScan(ctx context.Context, id uid.Scan, fence int64, at time.Time) error {
	if err := t.one(ctx, lost, "scan.start", string(id), fence, micros(at)); err != nil {
		return err
	}
	_, err := t.exec(ctx, "scan.turn_mark", string(id), micros(at))
	return err
}

// KeepLease extends the lease and writes progress, which never goes back; a Conflict fault when the scan isn't ours
// any more.
func (t *Tx) KeepLease(ctx context.Context, id uid.Scan, fence int64, until time.Time, progress int, phase string) error {
	return t.one(ctx, lost, "scan.keep", string(id), fence, micros(until), int64(progress), phase)
}

// RequeueScan gives an admitted or running scan back to the line, at its old place; where ctx is that of the job that
// ran it, the job ends with the unit. counted says whether the attempt counts.
func (t *Tx) RequeueScan(ctx context.Context, id uid.Scan, fence int64, counted bool) error {
	if err := t.one(ctx, lost, "scan.requeue", string(id), fence, flag(counted)); err != nil {
		return err
	}
	return t.completeJob(ctx)
}

// FinishScan makes an admitted or running scan terminal and the results of this try visible; where ctx is that of the
// job that ran it, the job ends with the unit. A Conflict fault when the scan isn't ours any more. With f.Status
// Cancelled it completes a scan that was cancelled while it ran under this fence.
func (t *Tx) FinishScan(ctx context.Context, id uid.Scan, fence int64, f scan.Finish) error {
	if !f.Status.Terminal() {
		return internal("a scan can't end in this state", nil)
	}
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
		err = t.one(ctx, lost, "scan.finish_cancelled", string(id), fence, orNull(f.Outcome), list(f.Reasons), f.Version, summary, looked)
	} else {
		var failure any
		if f.Error != nil {
			if failure, err = encode(f.Error); err != nil {
				return err
			}
		}
		err = t.one(ctx, lost, "scan.finish", string(id), fence, string(f.Status), micros(f.At), orNull(f.Outcome),
			list(f.Reasons), failure, f.Version, summary, looked, flag(f.Status == scan.Completed))
	}
	if err != nil {
		return err
	}
	if before.child {
		if _, err := t.exec(ctx, "scan.turn_mark", string(id), micros(f.At)); err != nil {
			return err
		}
	}
	if err := t.countFinished(ctx, before, f); err != nil {
		return err
	}
	return t.completeJob(ctx)
}

// PutArtifact notes a kept raw output of the attempt that runs; one of the same name is replaced.
func (t *Tx) PutArtifact(ctx context.Context, id uid.Scan, attempt int, a scan.Artifact) error {
	var generation, ordinal int64
	err := t.row(ctx, "scan.hold_attempt", []any{string(id), attempt}, &generation)
	if errors.Is(err, sql.ErrNoRows) {
		return lost()
	}
	if err != nil {
		return err
	}
	if err := t.row(ctx, "scan.artifact_count", []any{string(id), generation}, &ordinal); err != nil {
		return err
	}
	_, err = t.exec(ctx, "scan.artifact_put", string(id), generation, a.Name, a.MediaType, a.Size, a.SHA256,
		flag(a.Truncated), ordinal)
	return err
}

// RecordAssets notes what the running try of a scan has seen, and brings it into the inventory.
func (t *Tx) RecordAssets(ctx context.Context, s scan.Scan, obs []asset.Observation, at time.Time) error {
	if err := t.one(ctx, lost, "scan.hold", string(s.ID), s.Fence); err != nil {
		return err
	}
	if err := t.ObserveAssets(ctx, obs, at); err != nil {
		return err
	}
	rows := make([][]any, len(obs))
	for i, o := range obs {
		rows[i] = []any{string(s.ID), s.Fence, string(o.Kind), o.Name, rawOrNull(o.Attributes), o.Source}
	}
	_, err := t.insertMany(ctx, "scan.asset_insert", rows)
	return err
}

func (t *Tx) insertTags(ctx context.Context, name string, tags []string, at time.Time, id string) error {
	rows := make([][]any, 0, len(tags))
	for _, tag := range distinct(tags) {
		rows = append(rows, []any{tag, micros(at), id})
	}
	_, err := t.insertMany(ctx, name, rows)
	return err
}
