package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// desk is triage over the house's database, under the house's clock.
func (h *house) desk() *triage.Service {
	return triage.New(triage.Deps{
		Store: h.s.Triage(), Lapses: h.s.Lapses(), Now: h.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
}

func person(org uid.Org) access.Actor {
	return access.Actor{Org: org, Kind: audit.ActorUser, ID: "0190aaaa-0000-7000-8000-000000000001"}
}

func kindsOf(list []triage.Entry) []triage.Kind {
	var out []triage.Kind
	for _, e := range list {
		out = append(out, e.Kind)
	}
	return out
}

func (h *house) history(tb testing.TB, id uid.Finding, kinds ...triage.Kind) []triage.Entry {
	tb.Helper()
	return got(h.desk().History(tb.Context(), h.ours, id, kinds, page.Request{Limit: 100}))(tb).Items
}

func decisions(t *testing.T, h *house) {
	ctx, desk := t.Context(), h.desk()
	first := h.running(t, h.ours, "nmap", "h")
	ids := make([]uid.Finding, 3)
	for i, c := range h.record(t, first, seen(0, "h"), seen(1, "h"), seen(2, "h")) {
		ids[i] = c.ID
	}
	h.finish(t, first, finding.Summary{})

	until := h.clock.Now().Add(48 * time.Hour)
	accept := triage.Decision{Status: finding.Accepted, Reason: "behind a VPN", Until: until, Note: "ask ops"}
	h.clock.Advance(time.Minute)
	f := got(desk.DecideOne(ctx, person(h.ours), ids[0], accept, triage.Guard{Status: finding.Open}))(t)
	same(t, "ruling", &triage.Ruling{
		Decision: accept, By: triage.Author{Kind: audit.ActorUser, ID: person(h.ours).ID}, At: h.clock.Now(), Before: finding.Open,
	}, f.Ruling)
	same(t, "read again", f, got(desk.Get(ctx, h.ours, ids[0]))(t))
	if f.Revision != 2 || f.FirstScan != first.ID || f.Rule != "nmap:open-port" {
		t.Errorf("a decided finding is %+v", f)
	}
	_, err := desk.DecideOne(ctx, person(h.ours), ids[0], triage.Decision{Status: finding.Confirmed}, triage.Guard{Revision: 1})
	wantConflict(t, err)
	_, err = desk.DecideOne(ctx, person(h.theirs), ids[0], triage.Decision{Status: finding.Confirmed}, triage.Guard{})
	wantMissing(t, err)

	unknown := uid.Finding(h.ids.New())
	out := got(desk.Decide(ctx, person(h.ours), []uid.Finding{ids[0], unknown, "x", ids[1], ids[1]}, accept))(t)
	same(t, "outcomes", []triage.Outcome{
		{ID: ids[0], Result: triage.Unchanged, Status: finding.Accepted},
		{ID: unknown, Result: triage.Absent},
		{ID: "x", Result: triage.Absent},
		{ID: ids[1], Result: triage.Done, Status: finding.Accepted},
	}, out.Outcomes)
	same(t, "history", []triage.Kind{triage.KindDecided, triage.KindOpened}, kindsOf(h.history(t, ids[1])))

	// A scan that sees one, and completely looked at the place of the other, changes neither.
	second := h.running(t, h.ours, "nmap", "h")
	c := h.record(t, second, seen(0, "h"))
	if c[0].Fate != finding.Suppressed {
		t.Errorf("an accepted finding seen again is %s", c[0].Fate)
	}
	miss := func(ids ...uid.Finding) {
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			return tx.MissFindings(ctx, ids, second.ID, h.clock.Now())
		}))
	}
	miss(ids[1], ids[2], "unknown")
	miss(ids[1])
	gone := got(desk.Get(ctx, h.ours, ids[1]))(t)
	if gone.Status != finding.Accepted || !gone.NotSeenSince.Equal(h.clock.Now()) {
		t.Errorf("an accepted finding that isn't there any more is %s, not seen since %s", gone.Status, gone.NotSeenSince)
	}
	same(t, "its history", []triage.Kind{triage.KindUnseen, triage.KindDecided, triage.KindOpened}, kindsOf(h.history(t, ids[1])))
	unseen := got(desk.List(ctx, h.ours, triage.Query{Filter: triage.Filter{Unseen: true}, Page: page.Request{WantTotal: true}}))(t)
	if len(unseen.Items) != 1 || unseen.Items[0].ID != ids[1] || unseen.Total.N != 1 {
		t.Errorf("not seen any more: %+v", unseen)
	}
	if open := got(h.s.Scans().OpenFindings(ctx, h.ours, "nmap", "h", ""))(t); len(open) != 2 {
		t.Errorf("a scan that closes looks at %d findings; want those that aren't noted as gone", len(open))
	}

	// Time ends the acceptances: before anything is read, and as the server's act.
	h.clock.Advance(72 * time.Hour)
	open := got(desk.List(ctx, h.ours, triage.Query{
		Filter: triage.Filter{Statuses: []finding.Status{finding.Open}}, Page: page.Request{WantTotal: true},
	}))(t)
	if len(open.Items) != 3 || open.Total.N != 3 {
		t.Errorf("%d findings are open, total %+v; want three", len(open.Items), open.Total)
	}
	h.checkCounts(t)
	last := h.history(t, ids[1])[0]
	if last.Kind != triage.KindExpired || last.By.Kind != audit.ActorSystem || last.Decision.Reason != accept.Reason || last.To != finding.Open {
		t.Errorf("the end of an acceptance is %+v", last)
	}
	same(t, "nothing is left", 0, got(desk.Expire(ctx))(t))
	same(t, "decided and expired", []triage.Kind{triage.KindExpired, triage.KindDecided},
		kindsOf(h.history(t, ids[0], triage.KindExpired, triage.KindDecided)))
}

// fixedByHand checks what a person calls fixed: only a scan that began after that brings it back.
func fixedByHand(t *testing.T, h *house) {
	desk := h.desk()
	first := h.running(t, h.ours, "nmap", "h")
	id := h.record(t, first, seen(0, "h"))[0].ID
	h.finish(t, first, finding.Summary{})
	early := h.running(t, h.ours, "nmap", "h")
	h.clock.Advance(time.Minute)
	f := got(desk.DecideOne(t.Context(), person(h.ours), id, triage.Decision{Status: finding.Fixed}, triage.Guard{}))(t)
	if f.Status != finding.Fixed || !f.FixedAt.Equal(h.clock.Now()) {
		t.Fatalf("fixed by hand: %+v", f)
	}
	if c := h.record(t, early, seen(0, "h")); c[0].Fate != finding.Suppressed || c[0].Status != finding.Fixed {
		t.Errorf("a scan that began before makes it %s (%s)", c[0].Status, c[0].Fate)
	}
	h.finish(t, early, finding.Summary{})
	late := h.running(t, h.ours, "nmap", "h")
	if c := h.record(t, late, seen(0, "h")); c[0].Fate != finding.Reopened || c[0].Status != finding.Open {
		t.Errorf("a later scan makes it %s (%s)", c[0].Status, c[0].Fate)
	}
	back := got(desk.Get(t.Context(), h.ours, id))(t)
	if back.Ruling != nil || !back.FixedAt.IsZero() || back.Scan != late.ID {
		t.Errorf("a finding that came back is %+v", back)
	}
	same(t, "history", []triage.Kind{triage.KindReopened, triage.KindSeen, triage.KindDecided, triage.KindOpened}, kindsOf(h.history(t, id)))
	h.checkCounts(t)
}

// checkCounts compares the kept counts with the rows.
func (h *house) checkCounts(tb testing.TB) {
	tb.Helper()
	now := got(h.desk().Counts(tb.Context(), h.ours))(tb) // what has ended is worked off
	want := map[string]int{}
	h.inRaw(tb, h.ours, func(r raw) {
		rows, err := r.tx.QueryContext(tb.Context(), "SELECT severity, status FROM finding WHERE org = '"+string(h.ours)+"'")
		must(tb, err)
		defer rows.Close() //nolint:errcheck // the error that matters is Err's
		for rows.Next() {
			var rank int
			var status string
			must(tb, rows.Scan(&rank, &status))
			want[fmt.Sprint(finding.Severities()[rank], status)]++
		}
		must(tb, rows.Err())
	})
	kept := map[string]int{}
	for _, c := range now {
		if c.N != 0 {
			kept[fmt.Sprint(c.Severity, c.Status)] = c.N
		}
	}
	same(tb, "kept counts", want, kept)
}

// countsAtOnce lets scans of the same findings with other severities, and people, write at the same time.
func countsAtOnce(t *testing.T, h *house) {
	var all []scan.Scan
	for i := range 4 {
		all = append(all, h.running(t, h.ours, "nmap", fmt.Sprintf("host-%d", i)))
	}
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			for from := 0; from < 120; from += 40 {
				var batch []scan.Seen
				for n := from; n < from+40; n++ {
					o := seen(n, "shared")
					o.Severity = finding.Severities()[(n+i)%5]
					batch = append(batch, o)
				}
				changes, err := h.tryRecord(t, s, batch...)
				for err != nil && fault.KindOf(err) == fault.Unavailable {
					changes, err = h.tryRecord(t, s, batch...)
				}
				if err != nil {
					t.Errorf("recording: %v", err)
					return
				}
				ids := []uid.Finding{changes[i].ID, changes[10+i].ID, changes[20].ID}
				status := []finding.Status{finding.Confirmed, finding.Fixed, finding.Open, finding.Confirmed}[i]
				if _, err := h.desk().Decide(t.Context(), person(h.ours), ids, triage.Decision{Status: status}); err != nil {
					t.Errorf("deciding: %v", err)
				}
			}
		})
	}
	wg.Wait()
	h.checkCounts(t)
	l := got(h.desk().List(t.Context(), h.ours, triage.Query{Page: page.Request{Limit: 100}}))(t)
	for _, f := range l.Items {
		entries := h.history(t, f.ID)
		if int64(len(entries)) != f.Entries || entries[0].Seq != f.Entries {
			t.Fatalf("%d entries, the newest %d; want %d", len(entries), entries[0].Seq, f.Entries)
		}
	}
}

// findingLists compares every filter and order, page by page, with a model.
func findingLists(t *testing.T, h *house) {
	desk := h.desk()
	s := h.running(t, h.ours, "nmap", "h")
	var ids []uid.Finding
	for i := range 60 {
		o := seen(i, []string{"alpha", "beta"}[i%2])
		o.Rule = []string{"nmap:open-port", "nmap:ftp-anon", "nmap:tls"}[i%3]
		o.Title = []string{"Port %d is open", "Anonymous login on %d", "Weak cipher %d"}[i%3]
		o.Title = fmt.Sprintf(o.Title, i)
		o.CVE = []string{fmt.Sprintf("CVE-2024-%04d", i%7)}
		if i%4 == 0 {
			o.Category = finding.CategoryTLS
		}
		ids = append(ids, h.record(t, s, o)[0].ID)
	}
	h.finish(t, s, finding.Summary{})
	for i, id := range ids {
		d := triage.Decision{Status: finding.Statuses()[i%5], Reason: "because"}
		if d.Status == finding.Accepted {
			d.Until = h.clock.Now().Add(time.Hour)
		}
		_, err := desk.Decide(t.Context(), person(h.ours), []uid.Finding{id}, d)
		must(t, err)
	}
	again := h.running(t, h.ours, "sentinel", "h")
	o := seen(0, "gamma")
	o.Title = "Something else"
	ids = append(ids, h.record(t, again, o)[0].ID)
	h.finish(t, again, finding.Summary{})
	var all []triage.Finding
	for _, id := range ids {
		all = append(all, got(desk.Get(t.Context(), h.ours, id))(t))
	}
	middle := all[30].FirstSeenAt
	filters := []triage.Filter{
		{},
		{Severities: []finding.Severity{finding.High}},
		{Severities: []finding.Severity{finding.Info, finding.Critical, finding.Low}},
		{Statuses: []finding.Status{finding.Accepted}},
		{Statuses: []finding.Status{finding.Fixed, finding.Open}, Severities: []finding.Severity{finding.Medium, finding.High}},
		{Host: "BETA"},
		{Host: "beta", Statuses: []finding.Status{finding.Open}},
		{Rule: "nmap:tls"},
		{Rule: "nmap:none"},
		{CVE: "cve-2024-0003"},
		{CVE: "CVE-2024-0003", Host: "alpha", Rule: "nmap:tls"},
		{Category: finding.CategoryTLS},
		{Engine: "sentinel"},
		{Q: "weak"},
		{Q: "ano log"},
		{Q: "CVE-2024-0002"},
		{Q: "77"},
		{Q: "weak", Severities: []finding.Severity{finding.High}},
		{Q: "%"},
		{FirstFrom: middle},
		{FirstTo: middle, Statuses: []finding.Status{finding.Confirmed}},
		{LastFrom: middle, LastTo: middle.Add(5 * time.Second)},
		{Rule: "nmap:tls", Q: "cipher", Statuses: []finding.Status{finding.Open}},
		{Host: "no\x00where"},
	}
	for _, filter := range filters {
		for _, sort := range []triage.Sort{triage.Worst, triage.Newest} {
			want := modelList(all, filter, sort)
			q := triage.Query{Filter: filter, Sort: sort}
			for _, limit := range []int{7, 100} {
				paged := walk(t, func(p page.Request) ([]triage.Finding, page.Key, error) {
					q.Page = p
					l, err := desk.List(t.Context(), h.ours, q)
					return l.Items, l.Next, err
				}, func(f triage.Finding) string { return string(f.ID) }, limit)
				same(t, fmt.Sprintf("%s %+v", sort, filter), want, paged)
			}
			q.Page = page.Request{Limit: 5, Offset: 3, WantTotal: true}
			l := got(desk.List(t.Context(), h.ours, q))(t)
			var cut []string
			for _, f := range l.Items {
				cut = append(cut, string(f.ID))
			}
			same(t, fmt.Sprintf("offset of %s %+v", sort, filter), append([]string(nil), want[min(3, len(want)):min(8, len(want))]...), append([]string(nil), cut...))
			if l.Total.Known && l.Total.N != len(want) {
				t.Errorf("total of %+v is %d; want %d", filter, l.Total.N, len(want))
			}
		}
	}
	if !got(desk.List(t.Context(), h.ours, triage.Query{Filter: triage.Filter{Rule: "nmap:tls"}, Page: page.Request{WantTotal: true}}))(t).Total.Known {
		t.Error("the findings of a rule aren't counted")
	}
}

// modelList is what a list must be, and in which order.
func modelList(all []triage.Finding, q triage.Filter, sort triage.Sort) []string {
	var kept []triage.Finding
	for _, f := range all {
		if modelMatches(f, q) {
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b triage.Finding) int {
		if c := a.Severity.Rank() - b.Severity.Rank(); c != 0 && sort == triage.Worst {
			return c
		}
		if c := b.FirstSeenAt.Compare(a.FirstSeenAt); c != 0 {
			return c
		}
		return strings.Compare(string(b.ID), string(a.ID))
	})
	out := []string(nil)
	for _, f := range kept {
		out = append(out, string(f.ID))
	}
	return out
}

func modelMatches(f triage.Finding, q triage.Filter) bool {
	if len(q.Severities) > 0 && !slices.Contains(q.Severities, f.Severity) || len(q.Statuses) > 0 && !slices.Contains(q.Statuses, f.Status) {
		return false
	}
	if q.Host != "" && !strings.EqualFold(q.Host, f.Location.Host) || q.Rule != "" && q.Rule != f.Rule || q.Category != "" && q.Category != f.Category {
		return false
	}
	if q.Engine != "" && q.Engine != f.Engine || q.CVE != "" && !slices.Contains(f.CVE, strings.ToUpper(q.CVE)) {
		return false
	}
	if !q.FirstFrom.IsZero() && f.FirstSeenAt.Before(q.FirstFrom) || !q.FirstTo.IsZero() && !f.FirstSeenAt.Before(q.FirstTo) {
		return false
	}
	if !q.LastFrom.IsZero() && f.LastSeenAt.Before(q.LastFrom) || !q.LastTo.IsZero() && !f.LastSeenAt.Before(q.LastTo) {
		return false
	}
	switch q.Q {
	case "":
		return true
	case "weak", "cipher":
		return strings.HasPrefix(f.Title, "Weak")
	case "ano log":
		return strings.HasPrefix(f.Title, "Anonymous")
	case "CVE-2024-0002":
		return slices.Contains(f.CVE, q.Q)
	}
	return false
}

// bulkByFilter decides on what a filter matches, guarded by how many that are.
func bulkByFilter(t *testing.T, h *house) {
	desk := h.desk()
	s := h.running(t, h.ours, "nmap", "h")
	for from := 0; from < 700; from += 100 {
		var batch []scan.Seen
		for i := from; i < from+100; i++ {
			batch = append(batch, seen(i, "h"))
		}
		h.record(t, s, batch...)
	}
	h.finish(t, s, finding.Summary{})
	f := triage.Filter{Rule: "nmap:open-port", Statuses: []finding.Status{finding.Open}}
	no := triage.Decision{Status: finding.FalsePositive, Reason: "a honeypot"}
	_, err := desk.DecideMatching(t.Context(), person(h.ours), f, 699, no)
	wantConflict(t, err)
	h.checkCounts(t)
	out := got(desk.DecideMatching(t.Context(), person(h.ours), f, 700, no))(t)
	if out.Counts[triage.Done] != 700 || len(out.Outcomes) != 700 {
		t.Errorf("%v of %d", out.Counts, len(out.Outcomes))
	}
	h.checkCounts(t)
	_, err = desk.DecideMatching(t.Context(), person(h.ours), f, 700, no)
	wantConflict(t, err)
}

// lifeOfFindings lets scans, people and time do what they like, and compares what is kept with a model of the rules:
// decisions survive every scan, nothing moves but as it may, and the history tells all of it.
func lifeOfFindings(t *testing.T, h *house) {
	desk := h.desk()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		host := fmt.Sprintf("life-%d", run)
		const n = 3
		models := make([]lifeModel, n)
		for range rapid.IntRange(1, 9).Draw(rt, "steps") {
			h.clock.Advance(time.Duration(rapid.IntRange(1, 60).Draw(rt, "minutes")) * time.Minute)
			switch rapid.SampledFrom([]string{"scan", "scan", "decide", "decide", "expire"}).Draw(rt, "act") {
			case "scan":
				h.lifeScan(t, rt, host, models)
			case "decide":
				h.lifeDecide(t, rt, models)
			case "expire":
				_, err := desk.Expire(t.Context())
				must(t, err)
			}
			for i := range models {
				models[i].pass(h.clock.Now())
				h.lifeCheck(t, rt, models[i])
			}
		}
	})
	h.checkCounts(t)
}

// lifeModel is what a finding must be.
type lifeModel struct {
	id      uid.Finding
	status  finding.Status
	until   time.Time
	byHand  bool // fixed by a person
	fixedAt time.Time
	unseen  bool
	kinds   []triage.Kind
}

func (m *lifeModel) pass(now time.Time) {
	if m.status == finding.Accepted && !now.Before(m.until) {
		m.status, m.unseen = finding.Open, false
		m.kinds = append(m.kinds, triage.KindExpired)
	}
}

// lifeScan runs a complete scan that sees some findings and not others; a person may decide while it runs.
func (h *house) lifeScan(t *testing.T, rt *rapid.T, host string, models []lifeModel) {
	t.Helper()
	s := h.running(t, h.ours, "nmap", host)
	if rapid.Bool().Draw(rt, "decided while it runs") {
		h.clock.Advance(time.Second)
		h.lifeDecide(t, rt, models)
	}
	for i := range models {
		m := &models[i]
		if rapid.Bool().Draw(rt, "sees") {
			c := h.record(t, s, seen(i, host))[0]
			m.id = c.ID
			m.seen(s.StartedAt)
			if c.Status != m.status {
				rt.Fatalf("a scan makes a finding %s; want %s", c.Status, m.status)
			}
			continue
		}
		if m.id == "" {
			continue
		}
		at := h.clock.Advance(time.Second)
		must(t, h.scans(t, h.ours, func(ctx context.Context, tx scan.Tx) error {
			if _, err := tx.FixFindings(ctx, []uid.Finding{m.id}, s.ID, at); err != nil {
				return err
			}
			return tx.MissFindings(ctx, []uid.Finding{m.id}, s.ID, at)
		}))
		m.missed()
	}
	h.finish(t, s, finding.Summary{})
}

func (m *lifeModel) seen(started time.Time) {
	switch {
	case m.status == "":
		m.status = finding.Open
		m.kinds = append(m.kinds, triage.KindOpened)
	case m.status == finding.Fixed && (!m.byHand || !started.Before(m.fixedAt)):
		m.status = finding.Open
		m.kinds = append(m.kinds, triage.KindReopened)
	default:
		m.kinds = append(m.kinds, triage.KindSeen)
	}
	m.unseen = false
}

func (m *lifeModel) missed() {
	switch {
	case m.status == finding.Open:
		m.status, m.byHand = finding.Fixed, false
		m.kinds = append(m.kinds, triage.KindFixed)
	case m.status.Human() && !m.unseen:
		m.unseen = true
		m.kinds = append(m.kinds, triage.KindUnseen)
	}
}

func (h *house) lifeDecide(t *testing.T, rt *rapid.T, models []lifeModel) {
	t.Helper()
	now := h.clock.Now()
	d := triage.Decision{
		Status: rapid.SampledFrom(finding.Statuses()).Draw(rt, "decision"),
		Reason: rapid.SampledFrom([]string{"one reason", "another"}).Draw(rt, "reason"),
	}
	if d.Status == finding.Accepted {
		d.Until = now.Add(time.Duration(rapid.IntRange(1, 240).Draw(rt, "for")) * time.Minute)
	}
	i := rapid.IntRange(0, len(models)-1).Draw(rt, "finding")
	m := &models[i]
	if m.id == "" {
		return
	}
	m.pass(now)
	out := got(h.desk().Decide(t.Context(), person(h.ours), []uid.Finding{m.id}, d))(t)
	if out.Outcomes[0].Result == triage.Unchanged {
		if m.status != d.Status {
			rt.Fatalf("deciding %s on a finding that is %s changes nothing", d.Status, m.status)
		}
		return
	}
	if d.Status == finding.Fixed {
		if m.status != finding.Fixed {
			m.fixedAt = now
		}
		m.byHand = true
	}
	if !d.Status.Human() {
		m.unseen = false
	}
	m.status, m.until = d.Status, d.Until
	m.kinds = append(m.kinds, triage.KindDecided)
}

func (h *house) lifeCheck(t *testing.T, rt *rapid.T, m lifeModel) {
	t.Helper()
	if m.id == "" {
		return
	}
	f := got(h.desk().Get(t.Context(), h.ours, m.id))(t)
	if f.Status != m.status || f.NotSeenSince.IsZero() == m.unseen || f.FixedAt.IsZero() == (m.status == finding.Fixed) {
		rt.Fatalf("a finding is %s, not seen since %s, fixed at %s; want %s, unseen %v", f.Status, f.NotSeenSince, f.FixedAt, m.status, m.unseen)
	}
	if f.Status.Human() != (f.Ruling != nil && f.Ruling.Status.Human()) || (f.Status == finding.Open && f.Ruling != nil) {
		rt.Fatalf("a finding is %s under the ruling %+v", f.Status, f.Ruling)
	}
	if _, err := h.desk().List(t.Context(), h.ours, triage.Query{}); err != nil { // ends what has ended
		rt.Fatal(err)
	}
	entries := h.history(t, m.id)
	slices.Reverse(entries)
	if !slices.Equal(kindsOf(entries), m.kinds) {
		rt.Fatalf("history %v; want %v", kindsOf(entries), m.kinds)
	}
	before := finding.Status("")
	for i, e := range entries {
		if e.Seq != int64(i+1) || e.From != before {
			rt.Fatalf("entry %d (%s) has number %d and begins at %q; the one before ended at %q", i+1, e.Kind, e.Seq, e.From, before)
		}
		before = e.To
	}
	if before != m.status {
		rt.Fatalf("the history ends at %q; the finding is %q", before, m.status)
	}
}
