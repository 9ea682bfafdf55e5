package storetest

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// furnishTriage lets a person of ours accept our finding for an hour.
func (h *house) furnishTriage(tb testing.TB, id uid.Finding) {
	tb.Helper()
	_, err := h.desk().DecideOne(tb.Context(), person(h.ours), id, triage.Decision{
		Status: finding.Accepted, Reason: "because", Until: h.clock.Now().Add(time.Hour),
	}, triage.Guard{})
	must(tb, err)
}

func (h *house) triageReaders(o estate) portTries {
	desk, org := h.s.Triage(), h.theirs
	late := h.clock.Now().Add(100 * time.Hour)
	return portTries{port: reflect.TypeFor[triage.Store](), tries: map[string]attempt{
		"Finding": func(ctx context.Context) (any, error) { return desk.Finding(ctx, org, o.finding) },
		"Findings": func(ctx context.Context) (any, error) {
			for _, f := range []triage.Filter{{}, {CVE: "CVE-2024-0001"}, {Rule: "nmap:open-port"}, {Q: "port"}, {Host: "shared"}, {Statuses: []finding.Status{finding.Accepted}}} {
				l, err := desk.Findings(ctx, org, triage.Query{Filter: f, Page: pageAll()})
				if err != nil {
					return nil, err
				}
				if slices.ContainsFunc(l.Items, func(f triage.Finding) bool { return f.ID == o.finding }) || l.Total.N > 2 {
					return l, nil
				}
			}
			return nil, nil
		},
		"History": func(ctx context.Context) (any, error) {
			l, err := desk.History(ctx, org, o.finding, nil, page.Request{})
			return l.Items, err
		},
		"FindingCounts": func(ctx context.Context) (any, error) {
			cells, err := desk.FindingCounts(ctx, org)
			return slices.ContainsFunc(cells, func(c triage.Cell) bool { return c.Status != finding.Open || c.N > 2 }), err
		},
		"HasLapsed": func(ctx context.Context) (any, error) { return desk.HasLapsed(ctx, org, late) },
	}}
}

func (h *house) triageWriters(o estate) portTries {
	late := h.clock.Now().Add(100 * time.Hour)
	in := func(f func(context.Context, triage.Tx) error) attempt {
		return func(ctx context.Context) (any, error) { return nil, h.s.Triage().Change(ctx, h.theirs, act(), f) }
	}
	none := func(list []triage.Finding, err error) error {
		if len(list) != 0 {
			return errSharedFinding
		}
		return err
	}
	return portTries{port: reflect.TypeFor[triage.Tx](), tries: map[string]attempt{
		"FindingsForUpdate": in(func(ctx context.Context, tx triage.Tx) error {
			return none(tx.FindingsForUpdate(ctx, []uid.Finding{o.finding}))
		}),
		"LapsedForUpdate": in(func(ctx context.Context, tx triage.Tx) error { return none(tx.LapsedForUpdate(ctx, late, 10)) }),
		"PutTriage": in(func(ctx context.Context, tx triage.Tx) error {
			f := triage.Finding{Finding: finding.Finding{ID: o.finding, Status: finding.Fixed}, Revision: 9, Entries: 9}
			return mustFail(tx.PutTriage(ctx, []triage.Change{{Before: finding.Open, After: f, Entries: []triage.Entry{{Seq: 9, At: late}}}}))
		}),
		"Emit": in(func(ctx context.Context, tx triage.Tx) error {
			return tx.Emit(ctx, event.FindingTriaged, string(o.finding), map[string]int{})
		}),
	}}
}
