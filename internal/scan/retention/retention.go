// Package retention ends what an organization keeps no longer: scans past its setting, with all that hangs on them, and
// raw outputs that no scan names any more.
//
// Rows go first and files later, so that no row ever names a file that is gone; whatever no row names is collected when
// it is old enough not to be a running scan's. What findings live through stays: a finding outlives the scans that saw
// it. Start with Sweeper.
package retention

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// How much is looked at and done in one step.
const (
	orgsAtOnce    = 100
	scansAtOnce   = 100 // dropped in one unit, and audited as one entry
	digestsAtOnce = 500
)

// Unnamed is how long a file may be kept without a scan that names it. It is longer than a scan may run: an output is
// written while its scan runs and named at its end.
const Unnamed = 2 * scan.MaxTimeout * time.Second

// Kept is an organization and how long it keeps its scans.
type Kept struct {
	Org  uid.Org
	Days int
}

// Dropped is a scan that retention has dropped and whose rows are still there.
type Dropped struct {
	Org  uid.Org
	Scan uid.Scan
}

// Store is what retention needs of a database. Organizations and Dropped are reads over all organizations, for the
// server only.
type Store interface {
	// Organizations returns organizations after the given one, in order, at most limit, with the defaults where nobody has
	// set anything.
	Organizations(ctx context.Context, after uid.Org, limit int) ([]Kept, error)
	// Expired returns scans that ended before the time, oldest first, at most limit.
	Expired(ctx context.Context, org uid.Org, before time.Time, limit int) ([]uid.Scan, error)
	// Dropped returns dropped scans of all organizations, at most limit.
	Dropped(ctx context.Context, limit int) ([]Dropped, error)
	// Named returns those of at most 500 digests that an artifact of the organization names.
	Named(ctx context.Context, org uid.Org, digests []string) ([]string, error)
	Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, Tx) error) error
}

// Tx are the writes of one unit, scoped to the organization of the change. A unit may run twice.
type Tx interface {
	// DropScans hides the results of ended scans for good and returns how many scans that were; at most 500.
	DropScans(ctx context.Context, ids []uid.Scan) (int, error)
	// PruneScan removes at most 500 rows of each kind below a dropped scan and reports whether there may be more.
	PruneScan(ctx context.Context, id uid.Scan) (more bool, err error)
	// RemoveScans removes dropped scans with the few rows that PruneScan leaves below them; at most 500.
	RemoveScans(ctx context.Context, ids []uid.Scan) error
}

// Files are the kept raw outputs.
type Files interface {
	// Each calls f with the digests of an organization's files, in no order, at most limit at a time.
	Each(org uid.Org, limit int, f func(digests []string) error) error
	// Remove removes a file that was last written before the time, and reports whether it did. A file that is written anew
	// meanwhile stays.
	Remove(org uid.Org, digest string, before time.Time) (bool, error)
}

// Deps is what a Sweeper works with; all are required but Every (0 = 1 hour) and Collect (0 = 24 hours).
type Deps struct {
	Store   Store
	Files   Files
	Now     func() time.Time
	Log     *slog.Logger
	Every   time.Duration // between two looks for scans past their retention
	Collect time.Duration // between two looks for files without a name
}

// Sweeper drops what is kept no longer. Several may run: each step is safe to be done twice.
type Sweeper struct{ d Deps }

// New returns a sweeper that isn't running.
func New(d Deps) *Sweeper {
	if d.Every <= 0 {
		d.Every = time.Hour
	}
	if d.Collect <= 0 {
		d.Collect = 24 * time.Hour
	}
	return &Sweeper{d: d}
}

// Run sweeps at once and then every so often until ctx ends. What fails is logged and tried again at the next time.
func (s *Sweeper) Run(ctx context.Context) error {
	rows, files := time.NewTicker(s.d.Every), time.NewTicker(s.d.Collect)
	defer rows.Stop()
	defer files.Stop()
	s.say(ctx, s.Sweep(ctx))
	s.say(ctx, s.Collect(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rows.C:
			s.say(ctx, s.Sweep(ctx))
		case <-files.C:
			s.say(ctx, s.Collect(ctx))
		}
	}
}

func (s *Sweeper) say(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.d.Log.LogAttrs(ctx, slog.LevelWarn, "scans or raw outputs past their retention couldn't be removed", slog.Any("error", err))
	}
}

// Sweep drops all scans that are past their organization's retention and removes the rows of dropped ones.
func (s *Sweeper) Sweep(ctx context.Context) error {
	err := s.eachOrg(ctx, func(k Kept) error { return s.drop(ctx, k) })
	if err != nil {
		return err
	}
	return s.prune(ctx)
}

// eachOrg goes through all organizations.
func (s *Sweeper) eachOrg(ctx context.Context, f func(Kept) error) error {
	for after := uid.Org(""); ; {
		list, err := s.d.Store.Organizations(ctx, after, orgsAtOnce)
		if err != nil {
			return err
		}
		for _, k := range list {
			if err := f(k); err != nil {
				return err
			}
		}
		if len(list) < orgsAtOnce {
			return nil
		}
		after = list[len(list)-1].Org
	}
}

// drop drops an organization's expired scans, a bounded number in each unit, which is audited as one entry.
func (s *Sweeper) drop(ctx context.Context, k Kept) error {
	if k.Days <= 0 {
		k.Days = tenant.Defaults().Retention.ScanDays
	}
	before := s.d.Now().Add(-time.Duration(k.Days) * 24 * time.Hour)
	for {
		ids, err := s.d.Store.Expired(ctx, k.Org, before, scansAtOnce)
		if err != nil || len(ids) == 0 {
			return err
		}
		ev := audit.Event{
			Type: event.ScanRetained, Bulk: true, Resource: audit.Resource{Kind: "scan", ID: string(ids[len(ids)-1])},
			Reason: strconv.Itoa(len(ids)) + " scans, this the last of them, are past the retention of " + strconv.Itoa(k.Days) + " days",
		}
		err = s.d.Store.Change(ctx, k.Org, ev, func(ctx context.Context, tx Tx) error {
			_, err := tx.DropScans(ctx, ids)
			return err
		})
		if err != nil || len(ids) < scansAtOnce {
			return err
		}
	}
}

// prune removes the rows of dropped scans, those below them first and in bites.
func (s *Sweeper) prune(ctx context.Context) error {
	for ctx.Err() == nil {
		list, err := s.d.Store.Dropped(ctx, scansAtOnce)
		if err != nil || len(list) == 0 {
			return err
		}
		empty := map[uid.Org][]uid.Scan{}
		for _, d := range list {
			if err := s.empty(ctx, d); err != nil {
				return err
			}
			empty[d.Org] = append(empty[d.Org], d.Scan)
		}
		for org, ids := range empty {
			err := s.d.Store.Change(ctx, org, rows(), func(ctx context.Context, tx Tx) error { return tx.RemoveScans(ctx, ids) })
			if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (s *Sweeper) empty(ctx context.Context, d Dropped) error {
	for more := true; more; {
		err := s.d.Store.Change(ctx, d.Org, rows(), func(ctx context.Context, tx Tx) error {
			var err error
			more, err = tx.PruneScan(ctx, d.Scan)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rows is the event of removing what the drop has left behind.
func rows() audit.Event {
	ev := audit.Bookkeeping("rows of scans that retention has dropped")
	ev.Bulk = true
	return ev
}

// Collect removes files that no artifact names and that are old enough to be nobody's who is still writing.
func (s *Sweeper) Collect(ctx context.Context) error {
	before := s.d.Now().Add(-Unnamed)
	return s.eachOrg(ctx, func(k Kept) error {
		return s.d.Files.Each(k.Org, digestsAtOnce, func(digests []string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			named, err := s.d.Store.Named(ctx, k.Org, digests)
			if err != nil {
				return err
			}
			keep := make(map[string]bool, len(named))
			for _, d := range named {
				keep[d] = true
			}
			for _, d := range digests {
				if keep[d] {
					continue
				}
				if _, err := s.d.Files.Remove(k.Org, d, before); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
