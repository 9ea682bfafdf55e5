package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// Line implements scan.Line over all organizations, for the server's dispatcher only.
type Line struct{ reader }

var _ scan.Line = Line{}

// Line is the dispatcher's view.
func (s *Store) Line() Line { return Line{reader{s}} }

// How far into each organization's line the dispatcher looks. The reach is shared between those that wait, so that a
// line that is full of scans of one busy host doesn't hide the others behind them while there are few organizations.
const (
	reachAll = 4096
	reachMin = 50
	reachMax = 512
	// reachBehind is how far it looks behind a head that can't start, and behindMost how many it takes from there.
	reachBehind = 10_000
	behindMost  = 256
)

// Admit shows decide what waits and what runs, and in the same transaction admits what it picks: the fence rises, the
// lease is given, a job is enqueued. No two dispatchers are in here at once, also on several nodes. decide may be
// called twice. It returns how many were admitted.
func (l Line) Admit(ctx context.Context, now, leaseUntil time.Time,
	decide func([]scan.Waiting, []scan.Slot, map[uid.Org]tenant.Concurrency) []scan.Waiting,
) (int, error) {
	admitted := 0
	ev := audit.Bookkeeping("a scan is let start; its start is audited")
	err := l.s.changeAll(ctx, ev, func(ctx context.Context, t *Tx) error {
		admitted = 0
		var locked int64
		if err := t.row(ctx, "all.line.lock", nil, &locked); err != nil {
			return err
		}
		waiting, reach, err := lineWaiting(ctx, t)
		if err != nil || len(waiting) == 0 {
			return err
		}
		running, err := lineSlots(ctx, &t.handle, "all.line.running", nil)
		if err != nil {
			return err
		}
		limits, err := lineLimits(ctx, t, waiting, running)
		if err != nil {
			return err
		}
		picked := decide(waiting, running, limits)
		behind, err := lineBehind(ctx, t, waiting, blocked(waiting, picked, running, limits, reach))
		if err != nil {
			return err
		}
		if len(behind) > 0 {
			picked = append(picked, decide(behind, with(running, picked), limits)...)
		}
		for _, w := range picked {
			ok, err := t.admit(ctx, w, leaseUntil)
			if err != nil {
				return err
			}
			if ok {
				admitted++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return admitted, nil
}

// admit lets one scan start, unless it was cancelled meanwhile.
func (t *Tx) admit(ctx context.Context, w scan.Waiting, leaseUntil time.Time) (bool, error) {
	var fence int64
	err := t.row(ctx, "all.line.admit", []any{string(w.Org), string(w.Scan), micros(leaseUntil)}, &fence)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, t.enqueue(ctx, job.Scan{Org: w.Org, Scan: w.Scan, Fence: fence})
}

// lineWaiting reads the head of every organization's line, in order of due, and says how long a head may be.
func lineWaiting(ctx context.Context, t *Tx) ([]scan.Waiting, int, error) {
	var orgs int64
	if err := t.row(ctx, "all.line.orgs", nil, &orgs); err != nil || orgs == 0 {
		return nil, 0, err
	}
	reach := min(max(reachAll/orgs, reachMin), reachMax)
	var out []scan.Waiting
	err := t.each(ctx, "all.line.waiting", []any{reach}, waitingInto(&out))
	return out, int(reach), err
}

func waitingInto(out *[]scan.Waiting) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var w scan.Waiting
		var due int64
		if err := rows.Scan(&w.Org, &w.Scan, &w.Engine, &w.Host, &due); err != nil {
			return internal("a waiting scan can't be read", err)
		}
		w.Due = timeOf(due)
		*out = append(*out, w)
		return nil
	}
}

// stuck is an organization that may start more than the head of its line lets it.
type stuck struct {
	org   uid.Org
	hosts int // how many scans may run on one of its hosts
}

// blocked returns the organizations whose head is as long as is read, and that could start more than was picked of it.
func blocked(waiting, picked []scan.Waiting, running []scan.Slot, limits map[uid.Org]tenant.Concurrency, reach int) []stuck {
	heads, used, taken := map[uid.Org]int{}, map[uid.Org]int{}, map[uid.Org]int{}
	for _, w := range waiting {
		heads[w.Org]++
	}
	for _, s := range running {
		used[s.Org]++
	}
	for _, w := range picked {
		used[w.Org]++
		taken[w.Org]++
	}
	var out []stuck
	for org, n := range heads {
		if n >= reach && taken[org] < n && used[org] < limits[org].Organization {
			out = append(out, stuck{org, limits[org].TargetHost})
		}
	}
	slices.SortFunc(out, func(a, b stuck) int { return cmp.Compare(a.org, b.org) })
	return out
}

// maxStuck bounds behind how many heads one look goes. Where there are more, they take turns by the clock.
const maxStuck = 8

// lineBehind reads what could start behind the heads of organizations, without what is in a head itself.
func lineBehind(ctx context.Context, t *Tx, head []scan.Waiting, orgs []stuck) ([]scan.Waiting, error) {
	if len(orgs) == 0 {
		return nil, nil
	}
	inHead := make(map[uid.Scan]bool, len(head))
	for _, w := range head {
		inHead[w.Scan] = true
	}
	first := int(t.s.now().Unix() % int64(len(orgs)))
	var out []scan.Waiting
	for i := range min(len(orgs), maxStuck) {
		o := orgs[(first+i)%len(orgs)]
		err := t.each(ctx, "all.line.behind", []any{string(o.org), reachBehind, o.hosts, behindMost}, waitingInto(&out))
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(out, func(w scan.Waiting) bool { return inHead[w.Scan] }), nil
}

// with counts what was picked among what runs.
func with(running []scan.Slot, picked []scan.Waiting) []scan.Slot {
	out := slices.Clone(running)
	for _, w := range picked {
		out = append(out, scan.Slot{Org: w.Org, Scan: w.Scan, Engine: w.Engine, Host: w.Host})
	}
	return out
}

func lineSlots(ctx context.Context, h *handle, name string, args []any) ([]scan.Slot, error) {
	var out []scan.Slot
	err := h.each(ctx, name, args, func(rows *sql.Rows) error {
		var s scan.Slot
		if err := rows.Scan(&s.Org, &s.Scan, &s.Engine, &s.Host, &s.Fence, &s.Attempt); err != nil {
			return internal("a running scan can't be read", err)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// lineLimits reads the limits of everyone who waits or runs.
func lineLimits(ctx context.Context, t *Tx, waiting []scan.Waiting, running []scan.Slot) (map[uid.Org]tenant.Concurrency, error) {
	limits := map[uid.Org]tenant.Concurrency{}
	for _, w := range waiting {
		limits[w.Org] = tenant.Defaults().Concurrency
	}
	for _, s := range running {
		limits[s.Org] = tenant.Defaults().Concurrency
	}
	orgs := make([]uid.Org, 0, len(limits))
	for org := range limits {
		orgs = append(orgs, org)
	}
	for len(orgs) > 0 {
		n := min(len(orgs), maxRows)
		err := eachOf(ctx, &t.handle, "all.line.settings", nil, orgs[:n], func(rows *sql.Rows) error {
			var org uid.Org
			var doc []byte
			if err := rows.Scan(&org, &doc); err != nil {
				return internal("settings can't be read", err)
			}
			s, err := settingsOf(doc, nil)
			limits[org] = s.Concurrency
			return err
		})
		if err != nil {
			return nil, err
		}
		orgs = orgs[n:]
	}
	return limits, nil
}

// Expired returns admitted or running scans whose lease ended before now, the longest dead first, at most limit.
func (l Line) Expired(ctx context.Context, now time.Time, limit int) ([]scan.Slot, error) {
	var out []scan.Slot
	err := l.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		var err error
		out, err = lineSlots(ctx, &v.handle, "all.line.expired", []any{micros(now), int64(limit)})
		return err
	})
	return out, err
}
