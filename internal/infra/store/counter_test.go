package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/testkit"
)

func TestTheSharedCounterDecidesAsTheMemoryCounter(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t)
	// A key keeps its limits here: were they raised within a minute, calls refused from memory would be missing in it.
	charges := []usage.Charge{
		{Key: "key:a", Windows: access.Windows{PerMinute: 2, PerHour: 4, PerDay: 6}},
		{Key: "key:b", Windows: access.Windows{PerMinute: 3}, PlanKey: "org:m", PlanDay: 7},
		{Key: "user:z", Windows: access.Windows{PerHour: 4}, PlanKey: "org:m", PlanDay: 7},
		{Key: "addr:y", Windows: access.Windows{PerDay: 5}},
		{Key: "key:free", Windows: access.Windows{}},
	}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		shared, memory := s.WindowCounter().AtTimes(), usage.NewMemory()
		now := testkit.Epoch().Add(time.Duration(round) * 365 * 24 * time.Hour)
		for range rapid.IntRange(1, 40).Draw(rt, "calls") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 30, 60, 3600, -90}).Draw(rt, "seconds")) * time.Second)
			ch := charges[rapid.IntRange(0, len(charges)-1).Draw(rt, "charge")]
			want, _ := memory.Take(t.Context(), ch, now)
			got, err := shared.Take(t.Context(), ch, now)
			if err != nil {
				rt.Fatal(err)
			}
			// What was refused is remembered for the window that refused, so only the answer must agree, not what the minute
			// counts beyond its limit.
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(usage.Decision{}, "Window", "Limit", "Remaining", "Reset")); diff != "" {
				rt.Fatalf("%+v at %v (-memory +shared):\n%s", ch, now, diff)
			}
			if want.OK {
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("%+v at %v (-memory +shared):\n%s", ch, now, diff)
				}
			}
		}
	})
}

func TestProcessesNeverLetMoreThroughThanAWindowHolds(t *testing.T) {
	t.Parallel()
	dsn := testkit.Database(t)
	same := testkit.WithConfig(func(cfg *store.Config) { cfg.DSN = dsn })
	counters := []*store.WindowCounter{
		testkit.Postgres(t, same).WindowCounter().AtTimes(), testkit.Postgres(t, same).WindowCounter().AtTimes(),
	}
	ch := usage.Charge{Key: "key:1", Windows: access.Windows{PerMinute: 1000, PerHour: 120, PerDay: 1000}, PlanKey: "org:1", PlanDay: 100}
	var ok atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range 10 {
				d, err := counters[i%2].Take(t.Context(), ch, testkit.Epoch())
				if err != nil {
					t.Error(err)
				}
				if d.OK {
					ok.Add(1)
				} else if d.Window != usage.Plan || d.Limit != 100 || !d.Reset.Equal(testkit.Epoch().Truncate(24*time.Hour).Add(24*time.Hour)) {
					t.Errorf("refused by %+v", d)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load() != 100 {
		t.Errorf("%d calls went through a window of 100", ok.Load())
	}
}

func TestPeekingChargesNothing(t *testing.T) {
	t.Parallel()
	c := testkit.Postgres(t).WindowCounter()
	ch := usage.Charge{Key: "key:1", Windows: access.Windows{PerMinute: 1, PerHour: 1, PerDay: 1}}
	for range 3 {
		if d, err := c.Peek(t.Context(), ch, testkit.Epoch()); err != nil || !d.OK {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if d, err := c.Take(t.Context(), usage.Charge{Key: "key:1"}, testkit.Epoch()); err != nil || !d.OK {
		t.Errorf("without limits: %+v, %v", d, err)
	}
}

func TestWindowsSurviveARestart(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		today := testkit.Epoch().Truncate(24 * time.Hour)
		rows := []usage.Row{
			{Key: "key:1", MinuteStart: today.Unix() + 60, MinuteCount: 3, HourStart: today.Unix(), HourCount: 5, DayStart: today.Unix(), DayCount: 9},
			{Key: "org:1", DayStart: today.Unix(), DayCount: 9},
			{Key: "old", DayStart: today.Unix() - 3*86400, DayCount: 9},
		}
		for range 2 { // the second time they are replaced
			rows[0].DayCount++
			if err := s.Windows().SaveWindows(t.Context(), rows, today.Add(-24*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Windows().LoadWindows(t.Context(), today)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows[:2], got.Rows, cmpopts.SortSlices(func(a, b usage.Row) bool { return a.Key < b.Key })); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if c := settled(t, s); c.Entries != 0 {
			t.Error("keeping windows left an entry")
		}
	})
}
