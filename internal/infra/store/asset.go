package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// AssetStore implements asset.Store.
type AssetStore struct {
	reader
	changer[asset.Tx]
}

var (
	_ asset.Store = AssetStore{}
	_ asset.Tx    = (*Tx)(nil)
)

// Assets is the inventory's view of the database.
func (s *Store) Assets() AssetStore { return AssetStore{reader{s}, changer[asset.Tx]{s}} }

func missingAsset() error { return fault.Missing("asset") }

// Asset returns one asset of the organization, a NotFound fault where there is none.
func (r AssetStore) Asset(ctx context.Context, org uid.Org, id uid.Asset) (asset.Asset, error) {
	var a asset.Asset
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		a, err = assetByID(ctx, &v.handle, id)
		return err
	})
	return a, err
}

func assetByID(ctx context.Context, h *handle, id uid.Asset) (asset.Asset, error) {
	if !uid.Valid(string(id)) {
		return asset.Asset{}, missingAsset()
	}
	q, args, err := h.find("asset.rows", nil)
	if err != nil {
		return asset.Asset{}, err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	c.add(" AND a.id = ?", string(id))
	var a asset.Asset
	found := false
	err = h.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		found = true
		return scanAsset(rows, &a)
	})
	if err == nil && !found {
		return a, missingAsset()
	}
	return a, err
}

func scanAsset(rows *sql.Rows, a *asset.Asset) error {
	var tags []byte
	var created, updated, first, last int64
	err := rows.Scan((*string)(&a.ID), (*string)(&a.Kind), &a.Name, &a.Note, &tags, (*[]byte)(&a.Attributes), &a.Source, &a.Status,
		&created, &updated, &first, &last)
	if err != nil {
		return internal("an asset can't be read", err)
	}
	a.CreatedAt, a.UpdatedAt, a.FirstSeenAt, a.LastSeenAt = timeOf(created), timeOf(updated), timeOf(first), timeOf(last)
	a.Tags, err = texts[string]("tags", tags)
	return err
}

// Assets returns one page, newest first.
func (r AssetStore) Assets(ctx context.Context, org uid.Org, q asset.Query) (asset.List, error) {
	l, err := assetListing(org, q)
	if err != nil {
		return asset.List{}, err
	}
	out := asset.List{Items: make([]asset.Asset, 0, l.page.Limit)}
	more, total, err := r.list(ctx, org, l, func(rows *sql.Rows) error {
		out.Items = append(out.Items, asset.Asset{})
		return scanAsset(rows, &out.Items[len(out.Items)-1])
	})
	if err != nil {
		return asset.List{}, err
	}
	if more {
		last := out.Items[len(out.Items)-1]
		out.Next = page.Key{ID: string(last.ID)}
	}
	out.Total = total
	return out, nil
}

func assetListing(org uid.Org, q asset.Query) (*listing, error) {
	p, err := normal(q.Page)
	if err != nil {
		return nil, err
	}
	l := &listing{base: "asset.rows", order: "a.id", page: p}
	if q.Tag != "" {
		l.base, l.order = "asset.tagged", "k.id"
		l.leading("k.tag = ?", q.Tag)
	}
	if q.Name != "" {
		l.either("a.name = ?", q.Name)
	}
	if q.Kind != "" {
		l.either("a.kind = ?", string(q.Kind))
	}
	switch q.Status {
	case "":
	case "active":
		l.also("a.status = 'active'")
	default: // few: they have an index of their own, which needs the second condition to be chosen
		l.either("a.status = ? AND a.status <> 'active'", q.Status)
	}
	l.matching(org, q.Q, "asset_word", "a.id")
	return l, nil
}

// ScanScope returns what the organization's scans may touch; the empty scope where nobody has set one.
func (r AssetStore) ScanScope(ctx context.Context, org uid.Org) (asset.Scope, error) {
	return r.scanScope(ctx, org)
}

// ruleRow is how a rule is kept.
type ruleRow struct {
	Kind  asset.RuleKind `json:"kind"`
	Value string         `json:"value"`
}

func (r reader) scanScope(ctx context.Context, org uid.Org) (asset.Scope, error) {
	var allow, deny []byte
	var updated int64
	err := r.row(ctx, org, "scope.get", nil, &allow, &deny, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return asset.Scope{}, nil
	}
	if err != nil {
		return asset.Scope{}, err
	}
	s := asset.Scope{UpdatedAt: timeOf(updated)}
	if s.Allow, err = rulesOf("allow_doc", allow); err != nil {
		return asset.Scope{}, err
	}
	s.Deny, err = rulesOf("deny_doc", deny)
	return s, err
}

func rulesOf(column string, doc []byte) ([]asset.Rule, error) {
	var kept []ruleRow
	if err := decode(column, doc, &kept); err != nil {
		return nil, err
	}
	var out []asset.Rule
	for _, k := range kept {
		out = append(out, asset.Rule(k))
	}
	return out, nil
}

// PutScanScope replaces the organization's scan scope.
func (t *Tx) PutScanScope(ctx context.Context, s asset.Scope) error {
	var docs [2]string
	for i, rules := range [][]asset.Rule{s.Allow, s.Deny} {
		kept := make([]ruleRow, len(rules))
		for j, r := range rules {
			kept[j] = ruleRow(r)
		}
		var err error
		if docs[i], err = encode(kept); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, "scope.put", docs[0], docs[1], micros(s.UpdatedAt))
	return err
}

// InsertAsset adds an asset; one of the same kind and name is a Conflict fault.
func (t *Tx) InsertAsset(ctx context.Context, a asset.Asset) error {
	_, err := t.exec(ctx, "asset.insert", string(a.ID), string(a.Kind), a.Name, a.Note, list(a.Tags),
		rawOrNull(a.Attributes), a.Source, a.Status, micros(a.CreatedAt), micros(a.UpdatedAt), micros(a.FirstSeenAt),
		micros(a.LastSeenAt))
	if isDuplicate(err) {
		return fault.New(fault.Conflict, fault.CodeConflict, "an asset of this kind and name exists already").Because(err)
	}
	if err != nil {
		return err
	}
	if err := t.insertTexts(ctx, "asset.tag_insert", string(a.ID), distinct(a.Tags)); err != nil {
		return err
	}
	return t.insertTexts(ctx, "asset.word_insert", string(a.ID), words(maxWords, a.Name, a.Note))
}

func distinct(items []string) []string {
	sorted := slices.Sorted(slices.Values(items))
	return slices.Compact(sorted)
}

// insertTexts enters each of a record's words or tags into its index.
func (t *Tx) insertTexts(ctx context.Context, name, id string, list []string) error {
	rows := make([][]any, len(list))
	for i, text := range list {
		rows[i] = []any{text, id}
	}
	_, err := t.insertMany(ctx, name, rows)
	return err
}

// UpdateAsset writes note, tags, attributes, status and UpdatedAt of an asset; NotFound where there is none.
func (t *Tx) UpdateAsset(ctx context.Context, a asset.Asset) error {
	before, err := t.AssetForUpdate(ctx, a.ID)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "asset.update", string(a.ID), a.Note, list(a.Tags), rawOrNull(a.Attributes), a.Status,
		micros(a.UpdatedAt))
	if err != nil {
		return err
	}
	gone, added := difference(distinct(before.Tags), distinct(a.Tags))
	for _, tag := range gone {
		if _, err := t.exec(ctx, "asset.tag_delete", tag, string(a.ID)); err != nil {
			return err
		}
	}
	if err := t.insertTexts(ctx, "asset.tag_insert", string(a.ID), added); err != nil {
		return err
	}
	gone, added = difference(words(maxWords, before.Name, before.Note), words(maxWords, before.Name, a.Note))
	if err := t.deleteWords(ctx, a.ID, gone); err != nil {
		return err
	}
	return t.insertTexts(ctx, "asset.word_insert", string(a.ID), added)
}

// AssetForUpdate reads an asset as it is inside this unit and holds it until the unit ends; NotFound where there is
// none.
func (t *Tx) AssetForUpdate(ctx context.Context, id uid.Asset) (asset.Asset, error) {
	if err := t.one(ctx, missingAsset, "asset.hold", string(id)); err != nil {
		return asset.Asset{}, err
	}
	return assetByID(ctx, &t.handle, id)
}

func (t *Tx) deleteWords(ctx context.Context, id uid.Asset, list []string) error {
	for _, w := range list {
		if _, err := t.exec(ctx, "asset.word_delete", w, string(id)); err != nil {
			return err
		}
	}
	return nil
}

// difference returns what only before and what only after holds.
func difference(before, after []string) (gone, added []string) {
	for _, s := range before {
		if !slices.Contains(after, s) {
			gone = append(gone, s)
		}
	}
	for _, s := range after {
		if !slices.Contains(before, s) {
			added = append(added, s)
		}
	}
	return gone, added
}

// DeleteAsset removes an asset; NotFound where there is none.
func (t *Tx) DeleteAsset(ctx context.Context, id uid.Asset) error {
	before, err := t.AssetForUpdate(ctx, id)
	if err != nil {
		return err
	}
	for _, tag := range distinct(before.Tags) {
		if _, err := t.exec(ctx, "asset.tag_delete", tag, string(id)); err != nil {
			return err
		}
	}
	if err := t.deleteWords(ctx, id, words(maxWords, before.Name, before.Note)); err != nil {
		return err
	}
	_, err = t.exec(ctx, "asset.delete", string(id))
	return err
}

// ObserveAssets upserts what a scan saw, at most 500 at a time. An asset that was marked removed is active again.
func (t *Tx) ObserveAssets(ctx context.Context, obs []asset.Observation, at time.Time) error {
	if len(obs) > maxRows {
		return internal("too many assets for one unit", nil)
	}
	type identity struct{ kind, name string }
	fresh := map[identity]string{}
	rows := make([][]any, 0, len(obs))
	us := micros(at)
	for _, o := range obs {
		key := identity{string(o.Kind), o.Name}
		if fresh[key] != "" { // PostgreSQL refuses to upsert a row twice in one statement
			continue
		}
		fresh[key] = t.s.cfg.IDs.New()
		attributes := rawOrNull(o.Attributes)
		if o.Aside {
			attributes = rawOrNull(nil)
		}
		rows = append(rows, []any{
			fresh[key], string(o.Kind), o.Name, "", "[]", attributes, o.Source, "active", us, us, us, us,
		})
	}
	slices.SortFunc(rows, func(a, b []any) int { // one order for all, so that two scans don't wait for each other
		return compareTexts(a[2], b[2], a[1], b[1])
	})
	var added [][]any
	err := t.eachMany(ctx, "asset.observe", rows, func(r *sql.Rows) error {
		var id string
		var key identity
		if err := r.Scan(&id, &key.kind, &key.name); err != nil {
			return internal("an asset can't be read", err)
		}
		if fresh[key] == id {
			for _, w := range words(maxWords, key.name) {
				added = append(added, []any{w, id})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = t.insertMany(ctx, "asset.word_insert", added)
	return err
}

// compareTexts compares pairs of texts, the first pair first.
func compareTexts(pairs ...any) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		a, _ := pairs[i].(string)
		b, _ := pairs[i+1].(string)
		if a != b {
			if a < b {
				return -1
			}
			return 1
		}
	}
	return 0
}
