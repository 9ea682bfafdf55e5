package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// batchItemDoc is how one order of a batch is kept. Its names are data: one is never renamed.
type batchItemDoc struct {
	Scan   uid.Scan   `json:"scan,omitempty"`
	Kind   fault.Kind `json:"kind,omitempty"`
	Code   fault.Code `json:"code,omitempty"`
	Text   string     `json:"text,omitempty"`
	Fields []fieldDoc `json:"fields,omitempty"`
}

type fieldDoc struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// KeepBatch notes what became of each order of a batch, for as long as an idempotency key is remembered.
func (t *Tx) KeepBatch(ctx context.Context, b scan.Batch, at time.Time) error {
	docs := make([]batchItemDoc, len(b.Items))
	for i, item := range b.Items {
		docs[i].Scan = item.Scan.ID
		if f := item.Refused; f != nil {
			docs[i] = batchItemDoc{Kind: f.Kind, Code: f.Code, Text: f.Text}
			for _, w := range f.Fields {
				docs[i].Fields = append(docs[i].Fields, fieldDoc(w))
			}
		}
	}
	doc, err := encode(docs)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "batch.keep", string(b.ID), micros(at), doc)
	return err
}

// Batch returns what became of each order of a batch, the scans as they are now; NotFound where there is none, or where
// its time is over.
func (r ScanStore) Batch(ctx context.Context, org uid.Org, id uid.Batch) (scan.Batch, error) {
	b := scan.Batch{ID: id}
	missing := fault.Missing("batch")
	if !uid.Valid(string(id)) {
		return b, missing
	}
	err := r.view(ctx, org, func(ctx context.Context, v *View) error {
		var text []byte
		var docs []batchItemDoc
		err := v.row(ctx, "batch.find", []any{string(id)}, &text)
		if errors.Is(err, sql.ErrNoRows) {
			return missing
		}
		if err != nil {
			return err
		}
		if err := decode("doc", text, &docs); err != nil {
			return err
		}
		b.Items, err = batchItems(ctx, v, docs)
		return err
	})
	return b, err
}

func batchItems(ctx context.Context, v *View, docs []batchItemDoc) ([]scan.BatchItem, error) {
	items := make([]scan.BatchItem, len(docs))
	at := map[uid.Scan]int{}
	var ids []uid.Scan
	for i, d := range docs {
		if d.Scan != "" {
			items[i].Scan.ID = d.Scan
			at[d.Scan] = i
			ids = append(ids, d.Scan)
			continue
		}
		items[i].Refused = fault.New(d.Kind, d.Code, d.Text)
		for _, f := range d.Fields {
			items[i].Refused = items[i].Refused.With(f.Location, f.Message)
		}
	}
	for part := range slices.Chunk(ids, maxRows) {
		err := v.eachScan(ctx, part, func(s scan.Scan) { items[at[s.ID]].Scan = s })
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// eachScan reads the scans of these ids, at most 500, in no order.
func (h *handle) eachScan(ctx context.Context, ids []uid.Scan, f func(scan.Scan)) error {
	q, args, err := h.find("scan.rows", nil)
	if err != nil {
		return err
	}
	c := composed{d: h.s.dialect, args: args}
	c.text.WriteString(q.text)
	values := make([]any, len(ids))
	for i, id := range ids {
		values[i] = string(id)
	}
	c.add(" AND s.id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", values...)
	return h.eachText(ctx, c.text.String(), c.args, func(rows *sql.Rows) error {
		var row scanRow
		if err := rows.Scan(row.dest()...); err != nil {
			return internal("a scan can't be read", err)
		}
		s, err := row.done(h.scope.org)
		f(s)
		return err
	})
}
