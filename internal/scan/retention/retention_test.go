package retention_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/blob"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/retention"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

// archive is a database and a folder of raw outputs.
type archive struct {
	tb    testing.TB
	s     *store.Store
	dir   string
	blobs *blob.Store
	clock *testkit.Clock
	ids   *uid.Source
	jobs  []job.Scan
	n     int
}

func newArchive(t *testing.T, s *store.Store) *archive {
	t.Helper()
	a := &archive{tb: t, s: s, dir: t.TempDir(), clock: testkit.NewClock(), ids: uid.NewSource(time.Now, rand.Reader)}
	sealer, err := keys.NewSealer(make([]byte, keys.KeySize), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a.blobs, err = blob.Open(a.dir, sealer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.blobs.Close() })
	s.SetJobs(store.Jobs{Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
		a.jobs = append(a.jobs, j)
		return nil
	}})
	return a
}

func (a *archive) must(err error) {
	a.tb.Helper()
	if err != nil {
		a.tb.Fatal(err)
	}
}

func (a *archive) unit(org uid.Org, f func(context.Context, scan.Tx) error) {
	a.tb.Helper()
	a.must(a.s.Scans().Change(a.tb.Context(), org, audit.Event{Type: event.ScanStartedBy}, f))
}

// write keeps a raw output, as a run does at its end, and returns its digest.
func (a *archive) write(org uid.Org, content string) string {
	a.tb.Helper()
	a.n++
	w, err := a.blobs.Create(org, fmt.Sprint("run-", a.n))
	a.must(err)
	_, err = w.Write([]byte(content))
	a.must(err)
	digest, err := w.Commit()
	a.must(err)
	a.must(os.Chtimes(filepath.Join(a.dir, string(org), digest), a.clock.Now(), a.clock.Now()))
	return digest
}

// scan runs a scan that leaves these contents and ends now.
func (a *archive) scan(org uid.Org, contents ...string) uid.Scan {
	a.tb.Helper()
	now := a.clock.Advance(time.Second)
	s := scan.Scan{
		ID: uid.Scan(a.ids.New()), Org: org, Engine: "nmap", Target: "192.0.2.7", TargetType: asset.TypeIP, Host: "192.0.2.7", Tags: []string{"t"},
		Priority: scan.Normal, Timeout: 60, CreatedAt: now,
	}
	a.unit(org, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) })
	a.jobs = nil
	_, err := a.s.Line().Admit(a.tb.Context(), now, now.Add(time.Hour),
		func(l []scan.Waiting, _ []scan.Slot, _ map[uid.Org]tenant.Concurrency) []scan.Waiting { return l })
	a.must(err)
	j := a.jobs[0]
	a.unit(org, func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, s.ID, j.Fence, now) })
	for i, c := range contents {
		digest := a.write(org, c)
		a.unit(org, func(ctx context.Context, tx scan.Tx) error {
			return tx.PutArtifact(ctx, s.ID, 1, scan.Artifact{Name: fmt.Sprint("out-", i), SHA256: digest})
		})
	}
	a.unit(org, func(ctx context.Context, tx scan.Tx) error {
		return tx.FinishScan(ctx, s.ID, j.Fence, scan.Finish{Status: scan.Completed, At: a.clock.Now(), Outcome: "complete"})
	})
	return s.ID
}

// files are the digests that lie in an organization's folder.
func (a *archive) files(org uid.Org) []string {
	a.tb.Helper()
	var out []string
	a.must(a.blobs.Each(org, 3, func(digests []string) error {
		out = append(out, digests...)
		return nil
	}))
	slices.Sort(out)
	return out
}

// named are the digests that the readable scans of an organization name; each must open.
func (a *archive) named(org uid.Org) []string {
	a.tb.Helper()
	l, err := a.s.Scans().Scans(a.tb.Context(), org, scan.Query{})
	a.must(err)
	out := []string{}
	for _, s := range l.Items {
		kept, err := a.s.Scans().Artifacts(a.tb.Context(), org, s.ID)
		if err != nil && fault.KindOf(err) == fault.NotFound {
			continue // dropped, its rows are on their way
		}
		a.must(err)
		for _, k := range kept {
			r, err := a.blobs.Open(a.tb.Context(), org, k.SHA256)
			if err != nil {
				a.tb.Fatalf("a scan names an output that is gone: %v", err)
			}
			a.must(r.Close())
			out = append(out, k.SHA256)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var errCrash = errors.New("the process died")

// fragile dies at the n-th write.
type fragile struct {
	retention.Store
	retention.Files

	left *int
}

func (f fragile) die() error {
	if *f.left--; *f.left < 0 {
		return errCrash
	}
	return nil
}

func (f fragile) Change(ctx context.Context, org uid.Org, ev audit.Event, unit func(context.Context, retention.Tx) error) error {
	if err := f.die(); err != nil {
		return err
	}
	return f.Store.Change(ctx, org, ev, unit)
}

func (f fragile) Remove(org uid.Org, digest string, before time.Time) (bool, error) {
	if err := f.die(); err != nil {
		return false, err
	}
	return f.Files.Remove(org, digest, before)
}

func (a *archive) sweeper(left int) *retention.Sweeper {
	f := fragile{a.s.ScanRetention(), a.blobs, &left}
	return retention.New(retention.Deps{Store: f, Files: f, Now: a.clock.Now, Log: slog.New(slog.DiscardHandler)})
}

const forever = 1 << 30

// Whatever is scanned, dropped and cut off in whatever order: a scan that can be read has its outputs, and in the end
// exactly those outputs are kept that a scan names.
func TestNoOutputIsOrphanedAndNoneInUseIsRemoved(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		a := newArchive(t, s)
		rapid.Check(t, func(r *rapid.T) {
			ours, theirs := testkit.TwoOrgs(t, s)
			days := rapid.IntRange(1, 5).Draw(r, "days")
			a.must(s.Tenants().Change(t.Context(), ours, audit.Event{Type: event.SettingsUpdated}, func(ctx context.Context, tx tenant.Tx) error {
				v := tenant.Defaults()
				v.Retention.ScanDays = days
				return tx.PutSettings(ctx, v)
			}))
			contents := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 3)
			for range rapid.IntRange(1, 10).Draw(r, "steps") {
				switch rapid.IntRange(0, 5).Draw(r, "step") {
				case 0, 1:
					a.scan(ours, contents.Draw(r, "ours")...)
				case 2:
					a.scan(theirs, contents.Draw(r, "theirs")...)
				case 3:
					a.write(ours, rapid.SampledFrom([]string{"a", "z"}).Draw(r, "lost")) // and then the run dies
				case 4:
					a.clock.Advance(time.Duration(rapid.IntRange(1, 72).Draw(r, "hours")) * time.Hour)
				case 5:
					w := a.sweeper(rapid.IntRange(0, 4).Draw(r, "writes"))
					for _, err := range []error{w.Sweep(t.Context()), w.Collect(t.Context())} {
						if err != nil && !errors.Is(err, errCrash) {
							r.Fatal(err)
						}
					}
				}
				a.named(ours)
				a.named(theirs)
			}
			a.clock.Advance(retention.Unnamed + time.Second)
			w := a.sweeper(forever)
			a.must(w.Sweep(t.Context()))
			a.must(w.Collect(t.Context()))
			for _, org := range []uid.Org{ours, theirs} {
				if diff := cmp.Diff(a.named(org), append([]string{}, a.files(org)...)); diff != "" {
					r.Fatalf("outputs that scans name and that are kept (-named +kept):\n%s", diff)
				}
			}
		})
	})
}

func TestExpiredScansGoAndAreEnteredByTheHundred(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		a := newArchive(t, s)
		ours, theirs := testkit.TwoOrgs(t, s)
		for range 3 {
			a.scan(ours, "x")
		}
		foreign := a.scan(theirs, "x")
		var many []scan.Scan
		for range 105 {
			many = append(many, scan.Scan{
				ID: uid.Scan(a.ids.New()), Engine: "nmap", Target: "t", TargetType: asset.TypeHost, Host: "t", Priority: scan.Low, Timeout: 60, CreatedAt: a.clock.Now(),
			})
		}
		a.unit(ours, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScans(ctx, many) })
		for _, m := range many[:103] {
			a.unit(ours, func(ctx context.Context, tx scan.Tx) error {
				_, err := tx.CancelScan(ctx, m.ID, a.clock.Now())
				return err
			})
		}
		a.clock.Advance(364 * 24 * time.Hour)
		young := a.scan(ours, "y")
		a.must(s.Tenants().Change(t.Context(), theirs, audit.Event{Type: event.SettingsUpdated}, func(ctx context.Context, tx tenant.Tx) error {
			v := tenant.Defaults()
			v.Retention.ScanDays = 1000
			return tx.PutSettings(ctx, v)
		}))
		a.clock.Advance(25 * time.Hour)
		a.must(a.sweeper(forever).Sweep(t.Context()))
		left, err := s.Scans().Scans(t.Context(), ours, scan.Query{})
		a.must(err)
		var got []uid.Scan
		for _, l := range left.Items {
			got = append(got, l.ID)
		}
		if diff := cmp.Diff([]uid.Scan{young, many[104].ID, many[103].ID}, got); diff != "" {
			t.Errorf("what is left (-want +got):\n%s", diff)
		}
		if _, err := s.Scans().Scan(t.Context(), theirs, foreign); err != nil {
			t.Errorf("another's setting counted: %v", err)
		}
		a.must(s.Sequence(t.Context()))
		edge, err := s.LogRange(t.Context(), ours)
		a.must(err)
		entries, err := s.LogEntries(t.Context(), ours, 0, edge.Size(), 0)
		a.must(err)
		var reasons []string
		for _, e := range entries {
			leaf, err := audit.ParseLeaf(e.Leaf)
			a.must(err)
			if leaf.Type == event.ScanRetained {
				reasons = append(reasons, leaf.Reason[:3]+leaf.ActorID)
			}
		}
		if diff := cmp.Diff([]string{"100system", "6 ssystem"}, reasons); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
}
