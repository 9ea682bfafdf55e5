package usage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/word/fault"
)

func newService(now func() time.Time) *usage.Service {
	return usage.New(usage.Deps{Counter: usage.NewMemory(), Now: now})
}

func wantRefusal(tb testing.TB, d usage.Decision, err error, code fault.Code, word string, wait time.Duration) {
	tb.Helper()
	f := fault.Of(err)
	if f == nil || f.Kind != fault.Exhausted || f.Code != code || f.RetryAfter != wait || !strings.Contains(f.Text, word) {
		tb.Fatalf("got %v after %v, want %s with %q after %v", err, f, code, word, wait)
	}
	if d.OK || d.Limit == 0 {
		tb.Errorf("decision for the headers: %+v", d)
	}
}

func TestKeyIsRefusedWithTheWindowNamed(t *testing.T) {
	t.Parallel()
	s := newService(func() time.Time { return start.Add(15 * time.Second) })
	a := access.Actor{Org: "o", Kind: audit.ActorKey, ID: "1", Windows: windows(2, 100, 100), Plan: "enterprise"}
	for range 2 {
		if _, err := s.Charge(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.Charge(t.Context(), a)
	wantRefusal(t, d, err, fault.CodeRateLimit, "2 calls per minute", 45*time.Second)
	user := a
	user.Kind = audit.ActorUser // same id, another principal
	if _, err := s.Charge(t.Context(), user); err != nil {
		t.Error(err)
	}
}

func TestPlanCountsAllPrincipalsOfAnOrganization(t *testing.T) {
	t.Parallel()
	s := newService(func() time.Time { return start })
	for i := range 1000 {
		a := access.Actor{Org: "o", Kind: audit.ActorKey, ID: fmt.Sprint(i), Windows: access.DefaultWindows(), Plan: "free"}
		if _, err := s.Charge(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	a := access.Actor{Org: "o", Kind: audit.ActorKey, ID: "late", Windows: access.DefaultWindows(), Plan: "free"}
	d, err := s.Charge(t.Context(), a)
	wantRefusal(t, d, err, fault.CodeQuota, "1000 requests a day", 14*time.Hour)
	a.Org = "other"
	if _, err := s.Charge(t.Context(), a); err != nil {
		t.Errorf("another organization pays for it: %v", err)
	}
}

func TestOperatorIsNotLimited(t *testing.T) {
	t.Parallel()
	s := newService(func() time.Time { return start })
	for range 2000 {
		if d, err := s.Charge(t.Context(), access.Operator("o")); err != nil || d.Limit != 0 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
}

func TestAddressesAreCountedBySite(t *testing.T) {
	t.Parallel()
	s := newService(func() time.Time { return start })
	charge := func(addr string) (usage.Decision, error) {
		return s.ChargeAddress(t.Context(), netip.MustParseAddr(addr))
	}
	for i := range 60 {
		if _, err := charge(fmt.Sprintf("2001:db8:0:1::%x", i+1)); err != nil {
			t.Fatal(err)
		}
		if _, err := charge("192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	d, err := charge("2001:db8:0:1:ffff::1%eth0")
	wantRefusal(t, d, err, fault.CodeRateLimit, "60 calls per minute", time.Minute)
	d, err = charge("::ffff:192.0.2.1")
	wantRefusal(t, d, err, fault.CodeRateLimit, "60 calls per minute", time.Minute)
	d, err = s.PeekAddress(t.Context(), netip.MustParseAddr("192.0.2.1"))
	wantRefusal(t, d, err, fault.CodeRateLimit, "60 calls per minute", time.Minute)
	for _, other := range []string{"2001:db8:0:2::1", "192.0.2.2"} {
		if _, err := s.PeekAddress(t.Context(), netip.MustParseAddr(other)); err != nil {
			t.Error(err)
		}
		if _, err := charge(other); err != nil {
			t.Error(err)
		}
	}
}

type quotaTx struct{ got string }

func (q *quotaTx) Consume(_ context.Context, m usage.Metric, period string, n, limit int64) error {
	q.got = fmt.Sprint(m, " ", period, " ", n, " ", limit)
	return nil
}

func TestScanQuotaIsTheMonthsInUTC(t *testing.T) {
	t.Parallel()
	s := newService(func() time.Time {
		return time.Date(2026, 12, 1, 0, 30, 0, 0, time.FixedZone("east", 3600))
	})
	for plan, want := range map[tenant.Plan]string{
		tenant.Free: "scans 2026-11 1 100", tenant.Pro: "scans 2026-11 1 1000", tenant.Enterprise: "scans 2026-11 1 0",
	} {
		var tx quotaTx
		if err := s.ScanQuota(t.Context(), &tx, plan); err != nil || tx.got != want {
			t.Errorf("%s: consumed %q, %v", plan, tx.got, err)
		}
	}
}

// keeper keeps rows in memory and can fail.
type keeper struct {
	mu    sync.Mutex
	rows  map[string]usage.Row
	saves int
	fail  error
}

func (k *keeper) SaveWindows(_ context.Context, rows []usage.Row, keep time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(rows) > 500 {
		return errors.New("too many rows in a unit")
	}
	if k.fail != nil {
		err := k.fail
		k.fail = nil
		return err
	}
	k.saves++
	for _, r := range rows {
		k.rows[r.Key] = r
	}
	for key, r := range k.rows {
		if r.DayStart < keep.Unix() {
			delete(k.rows, key)
		}
	}
	return nil
}

func (k *keeper) LoadWindows(_ context.Context, since time.Time) (usage.Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out usage.Snapshot
	for _, r := range k.rows {
		if r.DayStart >= since.Unix() {
			out.Rows = append(out.Rows, r)
		}
	}
	return out, nil
}

func TestCountersSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{rows: map[string]usage.Row{}}
		log := slog.New(slog.DiscardHandler)
		life := func(calls int) (passed int) {
			c := usage.NewMemory()
			saver := usage.NewSaver(usage.SaverDeps{Counter: c, Keeper: k, Now: time.Now, Log: log})
			if err := saver.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- saver.Run(ctx) }()
			for i := range calls {
				if take(t, c, usage.Charge{Key: "k", Windows: windows(0, 0, 1500)}, time.Now()).OK {
					passed++
				}
				take(t, c, usage.Charge{Key: fmt.Sprint("addr:", i), Windows: windows(60, 1000, 10_000)}, time.Now())
			}
			k.mu.Lock()
			k.fail = errors.New("disk full") // the first save fails, the next has it all
			k.mu.Unlock()
			time.Sleep(1500 * time.Millisecond)
			take(t, c, usage.Charge{Key: "last", Windows: windows(9, 9, 9)}, time.Now())
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			return passed
		}
		if got := life(1200); got != 1200 {
			t.Errorf("first life: %d passed", got)
		}
		if got := life(1200); got != 300 {
			t.Errorf("second life: %d passed, want the 300 left", got)
		}
		if k.rows["last"].DayCount != 2 {
			t.Errorf("the stop lost a count: %+v", k.rows["last"])
		}
	})
}
