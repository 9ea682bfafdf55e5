package correlation

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/uid"
)

const (
	// chunk is how many findings one unit correlates, with what is around them: some 15 ms of writing.
	chunk = 100
	// newsBatch is how many events are read at once.
	newsBatch = 500
	// keepEvery is after how many chunks a pass notes how far it has come: what was done since is done again after a crash.
	keepEvery = 10
	// followEvery is the longest that Run sleeps: what no event told of is found then.
	followEvery = time.Minute
	// retryAfter is how long Run waits after a failure.
	retryAfter = 5 * time.Second
)

// News is one event that may move findings between cases.
type News struct {
	Seq      int64
	Org      uid.Org
	Scan     uid.Scan      // that has ended
	Findings []uid.Finding // that people, or time, decided on
}

// Journal is what the follower reads of the server's events. It serves all organizations.
type Journal interface {
	// CaseNews returns events behind those that were followed, at most limit, and the place of the last event read, which
	// may be further.
	CaseNews(ctx context.Context, limit int) (list []News, last int64, err error)
	// CaseNewsDone notes that all up to the place was followed.
	CaseNewsDone(ctx context.Context, last int64) error
	// Uncorrelated returns findings of one organization that are in no case, at most limit.
	Uncorrelated(ctx context.Context, limit int) (uid.Org, []uid.Finding, error)
	// IntelStamp says which public sources are loaded; it changes with every import.
	IntelStamp(ctx context.Context) (string, error)
	// Outdated returns an organization whose cases weren't formed under the stamp, and how far a pass over its findings
	// has come; the empty organization for none.
	Outdated(ctx context.Context, stamp string) (uid.Org, uid.Finding, error)
	// KeepPass notes how far a pass has come; done at its end.
	KeepPass(ctx context.Context, org uid.Org, stamp string, after uid.Finding, done bool) error
}

// Findings is what the follower reads of one organization's findings.
type Findings interface {
	// ScanFindings returns findings that the scan saw, after one in the order of ids, at most limit.
	ScanFindings(ctx context.Context, org uid.Org, scan uid.Scan, after uid.Finding, limit int) ([]uid.Finding, error)
	// FixedFindings returns those that it found fixed.
	FixedFindings(ctx context.Context, org uid.Org, scan uid.Scan, after uid.Finding, limit int) ([]uid.Finding, error)
	// HostFindings returns those on a host.
	HostFindings(ctx context.Context, org uid.Org, host string, after uid.Finding, limit int) ([]uid.Finding, error)
	// EachFinding returns all findings.
	EachFinding(ctx context.Context, org uid.Org, after uid.Finding, limit int) ([]uid.Finding, error)
	// LearnAliases keeps which names and addresses the scan found to be one host, and returns the hosts of which
	// something new was learned.
	LearnAliases(ctx context.Context, org uid.Org, scan uid.Scan) ([]string, error)
}

// FollowerDeps are what the follower needs.
type FollowerDeps struct {
	Store    Store
	Journal  Journal
	Findings Findings
	News     func() (<-chan struct{}, func()) // woken by every event, until the function is called
	Now      func() time.Time
	IDs      *uid.Source
	Log      *slog.Logger
}

// Follower keeps cases in step with findings: after each scan and each decision what they touched, after an import of
// public sources, or under another version of the rules, everything. Several may run; what one has done is nothing to
// do for the others.
type Follower struct{ d FollowerDeps }

// NewFollower returns a follower.
func NewFollower(d FollowerDeps) *Follower { return &Follower{d} }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	news, end := f.d.News()
	defer end()
	sweep := true
	for {
		wait := followEvery
		if err := f.round(ctx, sweep); err != nil && ctx.Err() == nil {
			f.d.Log.WarnContext(ctx, "cases aren't in step with findings yet", slog.Any("error", err))
			wait = retryAfter
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-news:
			timer.Stop()
			sweep = false
		case <-timer.C:
			sweep = true
		}
	}
}

// CatchUp follows all that there is to follow now, and returns when nothing is left.
func (f *Follower) CatchUp(ctx context.Context) error { return f.round(ctx, true) }

// Follow correlates what one scan that ended saw, whether an event told of it or not.
func (f *Follower) Follow(ctx context.Context, org uid.Org, id uid.Scan) error {
	return f.scan(ctx, org, id)
}

func (f *Follower) round(ctx context.Context, sweep bool) error {
	if err := f.follow(ctx); err != nil || !sweep {
		return err
	}
	if err := f.passes(ctx); err != nil { // which correlates all, where nothing was yet
		return err
	}
	return f.uncorrelated(ctx)
}

// follow works off events.
func (f *Follower) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		list, last, err := f.d.Journal.CaseNews(ctx, newsBatch)
		if err != nil || last == 0 {
			return err
		}
		decided := map[uid.Org][]uid.Finding{}
		for _, n := range list {
			if n.Scan != "" {
				if err := f.scan(ctx, n.Org, n.Scan); err != nil {
					return err
				}
			}
			decided[n.Org] = append(decided[n.Org], n.Findings...)
		}
		for org, ids := range decided {
			if err := f.correlate(ctx, org, ids); err != nil {
				return err
			}
		}
		if err := f.d.Journal.CaseNewsDone(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

// scan correlates what a scan that ended saw or found fixed, and what is on hosts of which it learned another name.
func (f *Follower) scan(ctx context.Context, org uid.Org, id uid.Scan) error {
	hosts, err := f.d.Findings.LearnAliases(ctx, org, id)
	if err != nil {
		return err
	}
	pages := []pager{
		func(ctx context.Context, after uid.Finding) ([]uid.Finding, error) {
			return f.d.Findings.ScanFindings(ctx, org, id, after, chunk)
		},
		func(ctx context.Context, after uid.Finding) ([]uid.Finding, error) {
			return f.d.Findings.FixedFindings(ctx, org, id, after, chunk)
		},
	}
	for _, h := range hosts {
		pages = append(pages, func(ctx context.Context, after uid.Finding) ([]uid.Finding, error) {
			return f.d.Findings.HostFindings(ctx, org, h, after, chunk)
		})
	}
	for _, next := range pages {
		if err := f.each(ctx, org, next); err != nil {
			return err
		}
	}
	return nil
}

// pager reads findings behind one.
type pager func(ctx context.Context, after uid.Finding) ([]uid.Finding, error)

// each correlates all findings of the pages.
func (f *Follower) each(ctx context.Context, org uid.Org, next pager) error {
	for after := uid.Finding(""); ; {
		ids, err := next(ctx, after)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := f.correlate(ctx, org, ids); err != nil {
			return err
		}
		if len(ids) < chunk {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// uncorrelated correlates what is in no case: findings from before there were cases, and of scans that never ended.
func (f *Follower) uncorrelated(ctx context.Context) error {
	var before []uid.Finding
	for ctx.Err() == nil {
		org, ids, err := f.d.Journal.Uncorrelated(ctx, chunk)
		if err != nil || len(ids) == 0 || slices.Equal(ids, before) { // what can't be read must not be tried for ever
			return err
		}
		before = ids
		if err := f.correlate(ctx, org, ids); err != nil {
			return err
		}
	}
	return nil
}

// passes goes over all findings of organizations whose cases were formed under other rules, or weighed by other
// sources. A pass that is interrupted goes on where it was.
func (f *Follower) passes(ctx context.Context) error {
	intel, err := f.d.Journal.IntelStamp(ctx)
	if err != nil {
		return err
	}
	stamp := Scheme + " " + RiskVersion + " " + intel
	for ctx.Err() == nil {
		org, after, err := f.d.Journal.Outdated(ctx, stamp)
		if err != nil || org == "" {
			return err
		}
		for n, more := 1, true; more; n++ {
			ids, err := f.d.Findings.EachFinding(ctx, org, after, chunk)
			if err != nil {
				return err
			}
			if err := f.correlate(ctx, org, ids); err != nil {
				return err
			}
			if more = len(ids) == chunk; more {
				after = ids[len(ids)-1]
			}
			if more && n%keepEvery != 0 {
				continue
			}
			if err := f.d.Journal.KeepPass(ctx, org, stamp, after, !more); err != nil {
				return err
			}
		}
	}
	return nil
}

// correlate arranges the cases of findings, in units.
func (f *Follower) correlate(ctx context.Context, org uid.Org, ids []uid.Finding) error {
	if len(ids) == 0 {
		return nil
	}
	aliases, err := f.d.Store.Aliases(ctx, org)
	if err != nil {
		return err
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	ev := audit.Bookkeeping("findings that are one case")
	ev.Bulk = true
	for part := range slices.Chunk(ids, chunk) {
		err := f.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error {
			scene, err := tx.Gather(ctx, part, aliases)
			if err != nil {
				return err
			}
			plan := Arrange(scene, Setting{
				Aliases: aliases, Now: f.d.Now().UTC().Truncate(time.Microsecond), NewID: func() uid.Case { return uid.Case(f.d.IDs.New()) },
			})
			if plan.Empty() {
				return nil
			}
			return tx.PutPlan(ctx, plan)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
