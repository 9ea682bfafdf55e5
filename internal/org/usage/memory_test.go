package usage_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func windows(minute, hour, day int) access.Windows {
	return access.Windows{PerMinute: minute, PerHour: hour, PerDay: day}
}

func take(tb testing.TB, c usage.Counter, ch usage.Charge, now time.Time) usage.Decision {
	tb.Helper()
	d, err := c.Take(context.Background(), ch, now)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestWindowsAreAlignedToUTC(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	at := time.Date(2026, 11, 22, 23, 59, 58, 0, time.FixedZone("somewhere", 5*3600+1800)) // 18:29:58 UTC
	for _, step := range []struct {
		ch    usage.Charge
		reset time.Time
	}{
		{usage.Charge{Key: "m", Windows: windows(1, 100, 100)}, time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)},
		{usage.Charge{Key: "h", Windows: windows(100, 1, 100)}, time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)},
		{usage.Charge{Key: "d", Windows: windows(100, 100, 1)}, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)},
		{usage.Charge{Key: "p", PlanKey: "org:o", PlanDay: 1}, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)},
	} {
		if d := take(t, c, step.ch, at); !d.OK || d.Remaining != 0 || d.Limit != 1 || !d.Reset.Equal(step.reset) {
			t.Errorf("%s: first call %+v", step.ch.Key, d)
		}
		if d := take(t, c, step.ch, at); d.OK || !d.Reset.Equal(step.reset) {
			t.Errorf("%s: second call %+v", step.ch.Key, d)
		}
		if d := take(t, c, step.ch, step.reset.Add(-time.Nanosecond)); d.OK {
			t.Errorf("%s: a moment before the window ends %+v", step.ch.Key, d)
		}
		if d := take(t, c, step.ch, step.reset); !d.OK {
			t.Errorf("%s: in the next window %+v", step.ch.Key, d)
		}
	}
}

func TestDecisionDescribesTheWindowWithTheLeastShareLeft(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(60, 1000, 10_000), PlanKey: "org:o", PlanDay: 10}
	want := usage.Decision{OK: true, Window: usage.Plan, Limit: 10, Remaining: 9, Reset: start.Truncate(24 * time.Hour).Add(24 * time.Hour)}
	if d := cmp.Diff(want, take(t, c, ch, start)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	ch.PlanKey = ""
	want = usage.Decision{OK: true, Window: usage.Minute, Limit: 60, Remaining: 58, Reset: start.Add(time.Minute)}
	if d := cmp.Diff(want, take(t, c, ch, start)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// In the next minute the hour has less left: 997 of 1,000 against 59 of 60 is more, so fill the hour first.
	for range 20 {
		take(t, c, ch, start)
	}
	if d := take(t, c, ch, start.Add(time.Minute)); d.Window != usage.Hour || d.Remaining != 977 {
		t.Errorf("%+v", d)
	}
	if d := take(t, c, usage.Charge{Key: "free"}, start); !d.OK || d.Limit != 0 {
		t.Errorf("without windows: %+v", d)
	}
}

func TestRefusalChargesTheMinuteOnly(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(10, 3, 100), PlanKey: "org:o", PlanDay: 100}
	for range 3 {
		take(t, c, ch, start)
	}
	for range 4 { // refused by the hour
		if d := take(t, c, ch, start); d.OK || d.Window != usage.Hour {
			t.Fatalf("%+v", d)
		}
	}
	got := c.Snapshot()
	want := []usage.Row{
		{
			Key: "k", MinuteStart: start.Unix(), HourStart: start.Unix(), DayStart: start.Truncate(24 * time.Hour).Unix(),
			MinuteCount: 7, HourCount: 3, DayCount: 3,
		},
		{
			Key: "org:o", MinuteStart: start.Unix(), HourStart: start.Unix(), DayStart: start.Truncate(24 * time.Hour).Unix(),
			DayCount: 3,
		},
	}
	byKey := cmpopts.SortSlices(func(a, b usage.Row) bool { return a.Key < b.Key })
	if d := cmp.Diff(want, got.Rows, byKey); d != "" {
		t.Errorf("rows (-want +got)\n%s", d)
	}
	// 3 more in this minute are all the minute would let through.
	wide := usage.Charge{Key: "k", Windows: windows(10, 100, 100)}
	for i := range 4 {
		if d := take(t, c, wide, start); d.OK != (i < 3) {
			t.Errorf("call %d: %+v", i, d)
		}
	}
}

func TestRefusingWindowIsTheOneThatOpensLast(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(1, 1, 1), PlanKey: "org:o", PlanDay: 1}
	take(t, c, ch, start)
	if d := take(t, c, ch, start); d.Window != usage.Day {
		t.Errorf("%+v", d)
	}
	other := usage.Charge{Key: "other", Windows: windows(1, 1, 0), PlanKey: "org:o", PlanDay: 1}
	if d := take(t, c, other, start); d.OK || d.Window != usage.Plan {
		t.Errorf("%+v", d)
	}
}

func TestOlderClockOpensNoWindowAgain(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(1, 0, 0)}
	take(t, c, ch, start)
	for _, back := range []time.Duration{time.Minute, time.Hour, 48 * time.Hour} {
		if d := take(t, c, ch, start.Add(-back)); d.OK {
			t.Errorf("%v earlier: %+v", back, d)
		}
	}
	if d := take(t, c, ch, start); d.OK {
		t.Errorf("back at the present: %+v", d)
	}
}

func TestPeekAnswersAsTakeAndChargesNothing(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(2, 10, 10), PlanKey: "org:o", PlanDay: 100}
	for range 4 {
		var peeked [2]usage.Decision
		for i := range peeked {
			d, err := c.Peek(t.Context(), ch, start)
			if err != nil {
				t.Fatal(err)
			}
			peeked[i] = d
		}
		got := take(t, c, ch, start)
		if peeked[0] != got || peeked[1] != got {
			t.Errorf("peeked %+v, took %+v", peeked, got)
		}
	}
	if _, err := c.Peek(t.Context(), usage.Charge{Key: "unseen", Windows: windows(1, 1, 1)}, start); err != nil || c.Len() != 2 {
		t.Errorf("%d keys, %v", c.Len(), err)
	}
}

// The promise: whatever the limits, callers and clocks, of no window more calls pass than its limit.
func TestParallelCallersNeverPassAWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := windows(rapid.IntRange(0, 40).Draw(rt, "minute"), rapid.IntRange(0, 60).Draw(rt, "hour"), rapid.IntRange(0, 80).Draw(rt, "day"))
		planDay := rapid.Int64Range(0, 90).Draw(rt, "plan")
		keys := rapid.IntRange(1, 3).Draw(rt, "keys")
		times := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{
			0, -time.Second, time.Second, time.Minute, 59 * time.Minute,
			time.Hour, 14 * time.Hour, -2 * time.Hour,
		}), 1, 5).Draw(rt, "times")
		c := usage.NewMemory()
		var newest time.Time // a clock that goes back counts in the newest window
		type slot struct {
			key    string
			window usage.Window
			start  int64
		}
		passed := map[slot]*atomic.Int64{}
		count := func(key string, window usage.Window, at time.Time, length time.Duration) *atomic.Int64 {
			s := slot{key, window, at.Truncate(length).Unix()}
			if passed[s] == nil {
				passed[s] = new(atomic.Int64)
			}
			return passed[s]
		}
		for _, shift := range times {
			now := start.Add(shift)
			if now.After(newest) {
				newest = now
			}
			var wg sync.WaitGroup
			for k := range keys {
				key := fmt.Sprint("key:", k)
				ch := usage.Charge{Key: key, Windows: w, PlanKey: "org:o", PlanDay: planDay}
				counters := []*atomic.Int64{
					count(key, usage.Minute, newest, time.Minute), count(key, usage.Hour, newest, time.Hour),
					count(key, usage.Day, newest, 24*time.Hour), count("org:o", usage.Plan, newest, 24*time.Hour),
				}
				for range 8 {
					wg.Go(func() {
						for range 12 {
							if take(t, c, ch, now).OK {
								for _, n := range counters {
									n.Add(1)
								}
							}
						}
					})
				}
			}
			wg.Wait()
		}
		for s, n := range passed {
			limit := map[usage.Window]int64{
				usage.Minute: int64(w.PerMinute), usage.Hour: int64(w.PerHour), usage.Day: int64(w.PerDay), usage.Plan: planDay,
			}[s.window]
			if limit > 0 && n.Load() > limit {
				rt.Fatalf("%d calls of %s passed a %s of %d", n.Load(), s.key, s.window, limit)
			}
		}
	})
}

func TestParallelCallersUseAllThatIsAllowed(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	ch := usage.Charge{Key: "k", Windows: windows(100, 150, 200)}
	run := func(now time.Time) int64 {
		var ok atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 10 {
					if take(t, c, ch, now).OK {
						ok.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return ok.Load()
	}
	for i, want := range []int64{100, 50, 0, 50, 100} {
		now := []time.Time{start, start.Add(time.Minute), start.Add(2 * time.Minute), start.Add(time.Hour), start.Add(24 * time.Hour)}[i]
		if got := run(now); got != want {
			t.Errorf("at %v %d calls passed, want %d", now, got, want)
		}
	}
}

func TestSweepForgetsOnlyEndedWindows(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	for i := range 500 {
		take(t, c, usage.Charge{Key: fmt.Sprint("addr:", i), Windows: windows(1, 1, 1)}, start)
	}
	c.Sweep(start.Add(13 * time.Hour)) // same day
	if c.Len() != 500 {
		t.Errorf("%d keys left, want all 500", c.Len())
	}
	c.Sweep(start.Add(14 * time.Hour))
	if c.Len() != 0 {
		t.Errorf("%d keys left after their day", c.Len())
	}
	if rows := c.Snapshot().Rows; len(rows) != 0 {
		t.Errorf("%d rows of forgotten keys to save", len(rows))
	}
}

func TestFloodOfAddressesIsBoundedAndKeepsBusyKeys(t *testing.T) {
	t.Parallel()
	const perShard = 64
	c := usage.NewSmallMemory(perShard)
	busy := usage.Charge{Key: "key:busy", Windows: windows(1000, 1000, 1000)}
	for range 500 {
		take(t, c, busy, start)
	}
	const bound = usage.Shards * perShard
	for i := range 10 * bound {
		take(t, c, usage.Charge{Key: fmt.Sprintf("addr:%d", i), Windows: windows(60, 1000, 10_000)}, start)
	}
	if n := c.Len(); n > bound {
		t.Errorf("%d keys, bound %d", n, bound)
	}
	if d := take(t, c, busy, start); d.Remaining != 499 {
		t.Errorf("the busy key was forgotten: %+v", d)
	}
	if n := len(c.Snapshot().Rows); n > bound {
		t.Errorf("%d rows to save, bound %d", n, bound)
	}
}

func TestSnapshotHoldsWhatChangedAndRestoresIt(t *testing.T) {
	t.Parallel()
	c := usage.NewMemory()
	a, b := usage.Charge{Key: "a", Windows: windows(5, 10, 10)}, usage.Charge{Key: "b", Windows: windows(5, 10, 10)}
	take(t, c, a, start)
	take(t, c, b, start)
	first := c.Snapshot()
	if len(first.Rows) != 2 {
		t.Fatalf("%d rows, want 2", len(first.Rows))
	}
	if rows := c.Snapshot().Rows; len(rows) != 0 {
		t.Errorf("%d unchanged rows", len(rows))
	}
	take(t, c, b, start)
	second := c.Snapshot()
	if len(second.Rows) != 1 || second.Rows[0].Key != "b" || second.Rows[0].MinuteCount != 2 {
		t.Errorf("%+v", second.Rows)
	}
	c.Unsaved(second)
	if again := c.Snapshot(); len(again.Rows) != 1 {
		t.Errorf("%d rows after a failed save, want 1", len(again.Rows))
	}
	next := usage.NewMemory()
	take(t, next, b, start) // a call before the restore is not lost, nor does it hide what was saved
	next.Restore(first)
	next.Restore(second)
	if d := take(t, next, a, start); d.Remaining != 3 {
		t.Errorf("a: %+v", d)
	}
	if d := take(t, next, b, start); d.Remaining != 2 {
		t.Errorf("b: %+v", d)
	}
	if d := take(t, next, b, start.Add(time.Minute)); d.Window != usage.Hour || d.Remaining != 6 {
		t.Errorf("b in the next minute: %+v", d)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) { //nolint:paralleltest // counts allocations of the whole process
	c := usage.NewMemory()
	ch := usage.Charge{Key: "key:1", Windows: windows(1_000_000, 1_000_000, 1_000_000), PlanKey: "org:1", PlanDay: 1_000_000}
	ctx := t.Context()
	_, _ = c.Take(ctx, ch, start)
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Take(ctx, ch, start) }); n != 0 {
		t.Errorf("%v allocations for a call", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Peek(ctx, ch, start) }); n != 0 {
		t.Errorf("%v allocations for a look", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, keys := range []int{1, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			c := usage.NewMemory()
			charges := make([]usage.Charge, keys)
			for i := range charges {
				charges[i] = usage.Charge{Key: fmt.Sprint("key:", i), Windows: windows(1<<30, 1<<30, 1<<30), PlanKey: fmt.Sprint("org:", i%10), PlanDay: 1 << 40}
			}
			ctx := b.Context()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					_, _ = c.Take(ctx, charges[i%keys], start)
				}
			})
		})
	}
}
