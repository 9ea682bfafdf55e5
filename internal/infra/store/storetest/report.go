package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func (h *house) reports(tb testing.TB, org uid.Org, unit func(context.Context, report.Tx) error) error {
	tb.Helper()
	return h.s.Reports().Change(tb.Context(), org, act(), unit)
}

func (h *house) newReport(org uid.Org, name string) report.Report {
	now := h.clock.Advance(time.Second)
	return report.Report{
		ID: uid.Report(h.ids.New()), Org: org, Name: name, Kind: report.Changes, Format: report.HTML, Enabled: true, Owner: "key:1", CreatedBy: "key:1",
		Filter:    report.Filter{Severities: []finding.Severity{finding.High}, Engine: "nmap", Tag: "nightly", Host: "h"},
		Schedule:  &schedule.Spec{Cron: "0 7 * * mon", TimeZone: "Europe/Paris", Jitter: 5, Overlap: schedule.Skip},
		CreatedAt: now, UpdatedAt: now, NextAt: now.Add(time.Hour),
	}
}

func (h *house) addReport(tb testing.TB, r report.Report) {
	tb.Helper()
	must(tb, h.reports(tb, r.Org, func(ctx context.Context, tx report.Tx) error { return tx.InsertReport(ctx, r) }))
}

func (h *house) newRun(r report.Report, asked string) report.Run {
	now := h.clock.Advance(time.Second)
	return report.Run{
		ID: uid.ReportRun(h.ids.New()), Org: r.Org, Report: r.ID, Kind: r.Kind, Format: r.Format, Status: report.Queued, AskedBy: asked,
		Due: now, From: now.Add(-time.Hour), To: now,
	}
}

func (h *house) tryRun(tb testing.TB, r report.Run) error {
	tb.Helper()
	return h.reports(tb, r.Org, func(ctx context.Context, tx report.Tx) error { return tx.InsertReportRun(ctx, r) })
}

func reportDefinitions(t *testing.T, h *house) {
	ctx := t.Context()
	full := h.newReport(h.ours, "full")
	bare := report.Report{
		ID: uid.Report(h.ids.New()), Org: h.ours, Name: "bare", Kind: report.Scans, Format: report.CSV, Owner: "user:1", CreatedBy: "user:1",
		CreatedAt: h.clock.Now(), UpdatedAt: h.clock.Now(),
	}
	h.addReport(t, full)
	h.addReport(t, bare)
	same(t, "report", full, got(h.s.Reports().Report(ctx, h.ours, full.ID))(t))
	same(t, "bare report", bare, got(h.s.Reports().Report(ctx, h.ours, bare.ID))(t))
	_, err := h.s.Reports().Report(ctx, h.theirs, full.ID)
	wantMissing(t, err)

	full.Name, full.Enabled, full.Stopped, full.NextAt, full.Owner = "renamed", false, "why", time.Time{}, "user:2"
	full.Schedule, full.Filter = nil, report.Filter{}
	must(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error {
		if _, err := tx.ReportForUpdate(ctx, full.ID); err != nil {
			return err
		}
		return tx.UpdateReport(ctx, full)
	}))
	same(t, "changed report", full, got(h.s.Reports().Report(ctx, h.ours, full.ID))(t))

	for i := range 5 {
		h.addReport(t, h.newReport(h.ours, fmt.Sprint(i)))
	}
	ids := walk(t, func(p page.Request) ([]report.Report, page.Key, error) {
		l, err := h.s.Reports().Reports(ctx, h.ours, p)
		return l.Items, l.Next, err
	}, func(r report.Report) string { return string(r.ID) }, 3)
	if len(ids) != 7 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("listed %v", ids)
	}
	must(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.DeleteReport(ctx, bare.ID) }))
	wantMissing(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.DeleteReport(ctx, bare.ID) }))

	for i := range report.MaxReports - 6 {
		h.addReport(t, h.newReport(h.ours, fmt.Sprint("more ", i)))
	}
	over := h.newReport(h.ours, "one too many")
	wantConflict(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.InsertReport(ctx, over) }))
}

func reportRuns(t *testing.T, h *house) {
	ctx := t.Context()
	r := h.newReport(h.ours, "r")
	h.addReport(t, r)
	due := h.newRun(r, "")
	must(t, h.tryRun(t, due))
	twice := h.newRun(r, "")
	twice.Due = due.Due
	wantConflict(t, h.tryRun(t, twice))
	asked := h.newRun(r, "user:1")
	must(t, h.tryRun(t, asked))
	wantConflict(t, h.tryRun(t, h.newRun(r, "user:2")))
	same(t, "run", due, got(h.s.Reports().ReportRun(ctx, h.ours, r.ID, due.ID))(t))

	take := func(run report.Run) error {
		return h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error {
			return tx.TakeReportRun(ctx, run, h.clock.Now(), h.clock.Now().Add(time.Minute))
		})
	}
	must(t, take(due))
	wantConflict(t, take(due)) // its fence has risen
	held := got(h.s.Reports().ReportRun(ctx, h.ours, r.ID, due.ID))(t)
	if held.Status != report.Running || held.Fence != 1 || held.Attempt != 1 || !held.HoldUntil.Equal(h.clock.Now().Add(time.Minute)) {
		t.Errorf("taken: %+v", held)
	}
	open := got(h.s.ReportLine().OpenReportRuns(ctx, h.clock.Now(), 10))(t)
	if len(open) != 1 || open[0].ID != asked.ID {
		t.Errorf("open: %+v", open)
	}
	if open = got(h.s.ReportLine().OpenReportRuns(ctx, h.clock.Now().Add(time.Hour), 10))(t); len(open) != 2 {
		t.Errorf("open after the hold: %+v", open)
	}
	must(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error {
		return tx.FreeReportRun(ctx, held, h.clock.Now(), false)
	}))
	freed := got(h.s.Reports().ReportRun(ctx, h.ours, r.ID, due.ID))(t)
	if freed.Status != report.Queued || freed.Attempt != 0 || freed.Fence != 2 {
		t.Errorf("freed: %+v", freed)
	}
	must(t, take(freed))
	done := freed
	done.Fence, done.Status, done.EndedAt = 3, report.Ready, h.clock.Advance(time.Second)
	done.Counts = report.Counts{Findings: finding.Summary{Total: 2, High: 2}, New: 2, Fixed: 1, Scans: 3}
	done.Size, done.SHA256, done.Attempt = 77, "ab", 1
	finish := func(run report.Run, mark time.Time) error {
		return h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.FinishReportRun(ctx, run, mark) })
	}
	wantConflict(t, finish(held, time.Time{}))
	must(t, finish(done, done.To))
	wantConflict(t, finish(done, done.To))
	after := got(h.s.Reports().ReportRun(ctx, h.ours, r.ID, due.ID))(t)
	done.StartedAt, done.HoldUntil = after.StartedAt, time.Time{}
	same(t, "finished run", done, after)
	if m := got(h.s.Reports().Report(ctx, h.ours, r.ID))(t).Mark; !m.Equal(done.To) {
		t.Errorf("mark = %v", m)
	}
	named := got(h.s.ScanRetention().Named(ctx, h.ours, []string{"ab", "cd"}))(t)
	same(t, "documents that are named", []string{"ab"}, named)
	if named := got(h.s.ScanRetention().Named(ctx, h.theirs, []string{"ab"}))(t); len(named) > 0 {
		t.Error("theirs names our document")
	}

	must(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.DropReportRuns(ctx, r.ID, 1) }))
	left := got(h.s.Reports().ReportRuns(ctx, h.ours, r.ID, pageAll()))(t)
	if len(left.Items) != 1 || left.Items[0].ID != asked.ID || left.Total.N != 1 {
		t.Errorf("left: %+v", left)
	}
	must(t, h.reports(t, h.ours, func(ctx context.Context, tx report.Tx) error { return tx.DeleteReport(ctx, r.ID) }))
	if open = got(h.s.ReportLine().OpenReportRuns(ctx, h.clock.Now().Add(time.Hour), 10))(t); len(open) != 0 {
		t.Errorf("runs of a deleted report: %+v", open)
	}
}

func dueReports(t *testing.T, h *house) {
	now := h.clock.Now()
	early, late, never := h.newReport(h.ours, "early"), h.newReport(h.theirs, "late"), h.newReport(h.ours, "never")
	early.NextAt, late.NextAt, never.NextAt = now.Add(-time.Hour), now, time.Time{}
	for _, r := range []report.Report{late, early, never} {
		h.addReport(t, r)
	}
	list := got(h.s.ReportLine().DueReports(t.Context(), now, 10))(t)
	if len(list) != 2 {
		t.Fatalf("due: %+v", list)
	}
	same(t, "first due", early, list[0])
	same(t, "then due", late, list[1])
	if list = got(h.s.ReportLine().DueReports(t.Context(), now, 1))(t); len(list) != 1 || list[0].ID != early.ID {
		t.Errorf("at most one: %+v", list)
	}
}

// reportSnapshots holds what reports read against what a plain look at all findings says.
func reportSnapshots(t *testing.T, h *house) {
	first := h.running(t, h.ours, "nmap", "a")
	var all []scan.Seen
	for i := range 12 {
		all = append(all, seen(i, "a"))
	}
	h.record(t, first, all...)
	h.finish(t, first, finding.Summary{Total: 12, Critical: 3})
	middle := h.clock.Now()
	second := h.running(t, h.ours, "sentinel", "b")
	changes := h.record(t, second, seen(100, "b"), seen(101, "b"))
	must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
		_, err := tx.FixFindings(ctx, []uid.Finding{changes[0].ID}, second.ID, h.clock.Advance(time.Second))
		return err
	}))
	h.finish(t, second, finding.Summary{Total: 2})
	end := h.clock.Advance(time.Hour)

	read := func(q report.Query) (ids []uid.Finding, sum finding.Summary) {
		must(t, h.s.Reports().Snapshot(t.Context(), h.ours, func(ctx context.Context, s report.Snapshot) (err error) {
			ids = nil
			if sum, err = s.CountFindings(ctx, q); err != nil {
				return err
			}
			rank := 0
			return s.EachFinding(ctx, q, func(f finding.Finding) error {
				if f.Severity.Rank() < rank {
					t.Errorf("%+v comes behind less severe ones", f)
				}
				rank = f.Severity.Rank()
				ids = append(ids, f.ID)
				return nil
			})
		}))
		if sum.Total != len(ids) {
			t.Errorf("%+v: counted %d, read %d", q, sum.Total, len(ids))
		}
		return ids, sum
	}
	for name, c := range map[string]struct {
		q    report.Query
		want int
	}{
		"all":          {report.Query{Part: report.Standing, To: end}, 13},
		"then":         {report.Query{Part: report.Standing, To: middle}, 12},
		"new":          {report.Query{Part: report.Fresh, From: middle, To: end}, 1},
		"fixed":        {report.Query{Part: report.Gone, From: middle, To: end}, 1},
		"fixed before": {report.Query{Part: report.Gone, To: middle}, 0},
		"critical":     {report.Query{Filter: report.Filter{Severities: []finding.Severity{finding.Critical}}, Part: report.Standing, To: end}, 3},
		"engine":       {report.Query{Filter: report.Filter{Engine: "sentinel"}, Part: report.Standing, To: end}, 1},
		"host":         {report.Query{Filter: report.Filter{Host: "a"}, Part: report.Standing, To: end}, 12},
		"nobody's tag": {report.Query{Filter: report.Filter{Tag: "x"}, Part: report.Standing, To: end}, 0},
		"no such text": {report.Query{Filter: report.Filter{Host: "\x00"}, Part: report.Standing, To: end}, 0},
	} {
		if ids, _ := read(c.q); len(ids) != c.want {
			t.Errorf("%s: %d, want %d", name, len(ids), c.want)
		}
	}
	if _, sum := read(report.Query{Part: report.Standing, To: middle}); sum.Critical != 3 || sum.Info != 2 {
		t.Errorf("counts: %+v", sum)
	}

	var listed []uid.Scan
	must(t, h.s.Reports().Snapshot(t.Context(), h.ours, func(ctx context.Context, s report.Snapshot) error {
		listed = nil
		n, sum, err := s.CountScans(ctx, report.Query{To: end})
		if err != nil || n != 2 || sum.Total != 14 {
			t.Errorf("%d scans with %+v, %v", n, sum, err)
		}
		critical := report.Filter{Severities: []finding.Severity{finding.Critical}}
		if n, _, err = s.CountScans(ctx, report.Query{Filter: critical, To: end}); err != nil || n != 1 {
			t.Errorf("%d scans with something critical, %v", n, err)
		}
		if n, _, err = s.CountScans(ctx, report.Query{From: middle, To: end}); err != nil || n != 1 {
			t.Errorf("%d scans later, %v", n, err)
		}
		return s.EachScan(ctx, report.Query{To: end}, func(v scan.Scan) error { listed = append(listed, v.ID); return nil })
	}))
	same(t, "scans", []uid.Scan{second.ID, first.ID}, listed)
}

// reportEstate is a report of an organization with a run of each state.
type reportEstate struct {
	report  report.Report
	waiting report.Run
	held    report.Run
}

func (h *house) furnishReports(tb testing.TB, org uid.Org) (e reportEstate) {
	tb.Helper()
	e.report = h.newReport(org, "estate")
	h.addReport(tb, e.report)
	e.waiting, e.held = h.newRun(e.report, ""), h.newRun(e.report, "user:1")
	must(tb, h.tryRun(tb, e.waiting))
	must(tb, h.tryRun(tb, e.held))
	must(tb, h.reports(tb, org, func(ctx context.Context, tx report.Tx) error {
		return tx.TakeReportRun(ctx, e.held, h.clock.Now(), h.clock.Now().Add(time.Hour))
	}))
	e.held.Fence = 1
	return e
}

// reportReaders are the port's reads, by theirs, of what is ours.
func (h *house) reportReaders(all estate) portTries {
	o := all.reports
	rs, org := h.s.Reports(), h.theirs
	return portTries{port: reflect.TypeFor[report.Store](), tries: map[string]attempt{
		"Report": func(ctx context.Context) (any, error) { return rs.Report(ctx, org, o.report.ID) },
		"Reports": func(ctx context.Context) (any, error) {
			l, err := rs.Reports(ctx, org, pageAll())
			return slices.ContainsFunc(l.Items, func(r report.Report) bool { return r.ID == o.report.ID }) || l.Total.N != 1, err
		},
		"ReportRun": func(ctx context.Context) (any, error) { return rs.ReportRun(ctx, org, o.report.ID, o.waiting.ID) },
		"ReportRuns": func(ctx context.Context) (any, error) {
			l, err := rs.ReportRuns(ctx, org, o.report.ID, pageAll())
			return l.Items, err
		},
		"Snapshot": func(ctx context.Context) (any, error) {
			n := 0
			err := rs.Snapshot(ctx, org, func(ctx context.Context, s report.Snapshot) error {
				q := report.Query{To: h.clock.Now().Add(time.Hour)}
				seen := 0
				err := s.EachScan(ctx, q, func(v scan.Scan) error {
					seen++
					if v.ID == all.scan.ID || v.ID == all.live.ID || v.ID == all.waiting.ID {
						n++
					}
					return nil
				})
				if err != nil {
					return err
				}
				if scans, _, err := s.CountScans(ctx, q); err != nil || scans != seen {
					n++
				}
				q.Part, seen = report.Standing, 0
				err = s.EachFinding(ctx, q, func(f finding.Finding) error {
					seen++
					if f.ID == all.finding {
						n++
					}
					return nil
				})
				if sum, err := s.CountFindings(ctx, q); err != nil || sum.Total != seen {
					n++
				}
				return err
			})
			return n, err
		},
	}}
}

// reportWriters are the port's writes, by theirs, with the ids of what is ours.
func (h *house) reportWriters(o reportEstate) portTries {
	at := h.clock.Now()
	in := func(f func(context.Context, report.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Reports().Change(ctx, h.theirs, act(), f)
		}
	}
	changed := o.report
	changed.Name = "changed"
	other := o.report
	other.ID = uid.Report(h.ids.New())
	again := o.waiting
	again.Due = at.Add(time.Hour)
	return portTries{port: reflect.TypeFor[report.Tx](), tries: map[string]attempt{
		"InsertReport": in(func(ctx context.Context, tx report.Tx) error { return tx.InsertReport(ctx, other) }),
		"ReportForUpdate": in(func(ctx context.Context, tx report.Tx) error {
			_, err := tx.ReportForUpdate(ctx, o.report.ID)
			return mustFail(err)
		}),
		"UpdateReport": in(func(ctx context.Context, tx report.Tx) error { return mustFail(tx.UpdateReport(ctx, changed)) }),
		"DeleteReport": in(func(ctx context.Context, tx report.Tx) error {
			return mustFail(tx.DeleteReport(ctx, o.report.ID))
		}),
		"InsertReportRun": in(func(ctx context.Context, tx report.Tx) error { return mustFail(tx.InsertReportRun(ctx, again)) }),
		"TakeReportRun": in(func(ctx context.Context, tx report.Tx) error {
			return mustFail(tx.TakeReportRun(ctx, o.waiting, at, at))
		}),
		"FreeReportRun": in(func(ctx context.Context, tx report.Tx) error {
			return mustFail(tx.FreeReportRun(ctx, o.held, at, true))
		}),
		"FinishReportRun": in(func(ctx context.Context, tx report.Tx) error { return mustFail(tx.FinishReportRun(ctx, o.held, at)) }),
		"DropReportRuns":  in(func(ctx context.Context, tx report.Tx) error { return tx.DropReportRuns(ctx, o.report.ID, 0) }),
		"Emit": in(func(ctx context.Context, tx report.Tx) error {
			return tx.Emit(ctx, event.ReportReady, string(o.report.ID), struct{}{})
		}),
	}}
}
