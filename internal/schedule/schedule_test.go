package schedule_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
)

func TestCronGrammar(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"* * * * *", "*/15 * * * *", "0 3 * * *", "5,35 0-6,18-23/2 1 jan-mar,DEC mon", "0 0 29 2 *", "0 0 31 * *", "59 23 31 12 6",
		"0 0 31 2 1", "10/20 * * * *", "0 12 * * Mon-Fri",
	} {
		if err := schedule.CheckCron(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		"": "five fields", "* * * *": "five fields", "* * * * * *": "five fields", "@daily": "five fields", "60 * * * *": "minute",
		"* 24 * * *": "hour", "* * 0 * *": "day of month", "* * 32 * *": "day of month", "* * * 0 *": "month", "* * * 13 *": "month",
		"* * * * 7": "day of week", "*/0 * * * *": "minute", "*/ * * * *": "minute", "*/60 * * * *": "minute", "5-1 * * * *": "minute",
		"1, * * * *": "minute", ",1 * * * *": "minute", "1--2 * * * *": "minute", "+1 * * * *": "minute", "-1 * * * *": "minute",
		"001 * * * *": "minute", " * * * * *": "five fields", "*  * * * *": "five fields", "*\t* * * *": "five fields",
		"*\t* * * * *": "minute", "* * * anf *": "month", "* * * * sunmon": "day of week", "0 0 30 2 *": "no year", "0 0 31 4,6,9,11 *": "no year",
		"*-5 * * * *": "minute", "**/2 * * * *": "minute", "*/2/2 * * * *": "minute", "\xff * * * *": "minute", "? * * * *": "minute",
		strings.Repeat("1,", 60) + "1 * * * *": "100", "* * mon * *": "day of month", "TZ=UTC * * * *": "minute", "1 TZ=UTC * * *": "hour",
		"@hourly * * * *": "minute",
	} {
		err := schedule.CheckCron(bad)
		switch {
		case err == nil:
			t.Errorf("%q accepted", bad)
		case !strings.Contains(err.Error(), why):
			t.Errorf("%q: %q doesn't speak of %q", bad, err, why)
		case len(bad) > 8 && strings.Contains(err.Error(), bad):
			t.Errorf("the message repeats %q", bad)
		}
	}
}

func TestASpecNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	_, err := schedule.Parse(schedule.Spec{Cron: "61 * * * *", TimeZone: "Local", Jitter: 3601, Overlap: "queue"}, time.LoadLocation)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Invalid {
		t.Fatalf("got %v", err)
	}
	var at []string
	for _, w := range f.Fields {
		at = append(at, w.Location)
	}
	if diff := cmp.Diff([]string{"cron", "timeZone", "jitterSeconds", "overlap"}, at); diff != "" {
		t.Error(diff)
	}
	for _, zone := range []string{"Nowhere/Land", "../etc/passwd", strings.Repeat("x", 70)} {
		if wrong := (schedule.Spec{Cron: "* * * * *", TimeZone: zone}).Check(time.LoadLocation); len(wrong) != 1 || wrong[0].Location != "timeZone" {
			t.Errorf("%q: %+v", zone, wrong)
		}
	}
	s := parse(t, schedule.Spec{Cron: "* * * * *"})
	if got := s.Spec(); got != (schedule.Spec{Cron: "* * * * *", TimeZone: "UTC", Overlap: schedule.Skip}) {
		t.Errorf("defaults: %+v", got)
	}
}

func TestNextOverChangesOfTheClock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, zone, cron, after string
		want                    []string
	}{
		{
			"Paris, an hour that is skipped", "Europe/Paris", "30 2 * * *", "2026-03-28T02:30:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		},
		{
			"Paris, several times in the skipped hour are one", "Europe/Paris", "0,15,30,45 1-3 * * *", "2026-03-29T01:30:00+01:00",
			[]string{"2026-03-29T01:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"},
		},
		{
			"Paris, an hour that comes twice", "Europe/Paris", "30 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		{
			"Paris, asked within the second pass", "Europe/Paris", "15,45 2,3 * * *", "2026-10-25T02:20:00+01:00",
			[]string{"2026-10-25T03:15:00+01:00"},
		},
		{
			"Paris, every hour goes on by elapsed time", "Europe/Paris", "0 * * * *", "2026-10-25T01:00:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		{
			"Paris, a quarter", "Europe/Paris", "*/30 * * * *", "2026-10-25T02:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		{
			"New York, skipped", "America/New_York", "0 2 * * sun", "2026-03-01T02:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-15T02:00:00-04:00"},
		},
		{
			"New York, twice", "America/New_York", "59 1 * * *", "2026-11-01T00:00:00-04:00",
			[]string{"2026-11-01T01:59:00-04:00", "2026-11-02T01:59:00-05:00"},
		},
		{
			"New York, after the change nothing is lost", "America/New_York", "0 2 * * *", "2026-11-01T01:30:00-05:00",
			[]string{"2026-11-01T02:00:00-05:00"},
		},
		{
			"Lord Howe, half an hour is skipped", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"},
		},
		{
			"Lord Howe, half an hour comes twice", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		},
		{
			"Lord Howe, every hour", "Australia/Lord_Howe", "45 * * * *", "2026-04-05T00:45:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T02:45:00+10:30"},
		},
		{
			"Apia, a day that never was", "Pacific/Apia", "0 9 30 12 *", "2011-12-29T00:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"},
		},
		{
			"São Paulo, a midnight that is skipped", "America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		},
		{"a leap day over 2100", "UTC", "0 0 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{
			"either day will do", "UTC", "0 0 13 * fri", "2026-03-01T00:00:00Z",
			[]string{"2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z", "2026-03-27T00:00:00Z", "2026-04-03T00:00:00Z"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, schedule.Spec{Cron: tt.cron, TimeZone: tt.zone})
			at := moment(t, tt.after)
			for _, w := range tt.want {
				if at = s.Next(at); !at.Equal(moment(t, w)) {
					t.Fatalf("got %v, want %s", at, w)
				}
			}
		})
	}
}

// naive is a schedule kept as sets, with the rules written down a second time: minute by minute.
type naive struct {
	minutes, hours, days, months, weekdays []int
	zone                                   *time.Location
}

func (n naive) cron() string {
	parts := make([]string, 5)
	for i, set := range [][]int{n.minutes, n.hours, n.days, n.months, n.weekdays} {
		if len(set) == 0 {
			parts[i] = "*"
			continue
		}
		var texts []string
		for _, v := range set {
			texts = append(texts, strconv.Itoa(v))
		}
		parts[i] = strings.Join(texts, ",")
	}
	return strings.Join(parts, " ")
}

func (n naive) matches(w time.Time) bool {
	in := func(set []int, v int) bool { return len(set) == 0 || slices.Contains(set, v) }
	day, weekday := in(n.days, w.Day()), in(n.weekdays, int(w.Weekday()))
	both := day && weekday
	if len(n.days) > 0 && len(n.weekdays) > 0 {
		both = day || weekday
	}
	return in(n.minutes, w.Minute()) && in(n.hours, w.Hour()) && in(n.months, int(w.Month())) && both
}

// all lists the due times after from and up to the end.
func (n naive) all(from, to time.Time) (out []time.Time) {
	wall := func(t time.Time) time.Time {
		_, off := t.In(n.zone).Zone()
		return t.Add(time.Duration(off) * time.Second).UTC()
	}
	start := from.Add(-48 * time.Hour)
	shown := wall(start.Add(-time.Minute))
	for t := start; !t.After(to); t = t.Add(time.Minute) {
		w, due := wall(t), false
		switch {
		case w.After(shown):
			for x := shown.Add(time.Minute); !x.After(w); x = x.Add(time.Minute) {
				due = due || n.matches(x)
			}
			shown = w
		default:
			due = len(n.hours) == 0 && n.matches(w)
		}
		if due && t.After(from) {
			out = append(out, t)
		}
	}
	return out
}

func TestNextIsWhatAMinuteByMinuteWalkFinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := func(name string, low, high, most int) []int {
			s := rapid.SliceOfNDistinct(rapid.IntRange(low, high), 0, most, rapid.ID[int]).Draw(t, name)
			slices.Sort(s)
			return s
		}
		zoneName := rapid.SampledFrom([]string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "America/Santiago"}).Draw(t, "zone")
		zone, err := time.LoadLocation(zoneName)
		if err != nil {
			t.Fatal(err)
		}
		n := naive{
			minutes: set("minutes", 0, 59, 4), hours: set("hours", 0, 23, 5), days: set("days", 1, 28, 4),
			months: set("months", 1, 12, 6), weekdays: set("weekdays", 0, 6, 2), zone: zone,
		}
		s, err := schedule.Parse(schedule.Spec{Cron: n.cron(), TimeZone: zoneName}, time.LoadLocation)
		if err != nil {
			t.Fatalf("%s: %v", n.cron(), err)
		}
		// Somewhere near a change of the clock, mostly.
		from := time.Date(rapid.IntRange(2005, 2045).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 364).Draw(t, "day"))
		if _, change := from.In(zone).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "near") {
			from = change.Add(-6 * time.Hour).Truncate(time.Minute)
		}
		from = from.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "minute")) * time.Minute).UTC()
		to := from.Add(60 * time.Hour)
		var got []time.Time
		for at := s.Next(from); !at.After(to); at = s.Next(at) {
			got = append(got, at)
		}
		if diff := cmp.Diff(n.all(from, to), got); diff != "" {
			t.Fatalf("%s in %s from %v:\n%s", n.cron(), zoneName, from, diff)
		}
	})
}

func TestAMissedRunComesOnce(t *testing.T) {
	t.Parallel()
	s := parse(t, schedule.Spec{Cron: "0 * * * *"})
	next := moment(t, "2026-03-01T10:00:00Z")
	if _, _, ok := s.Due("k", next, next.Add(-time.Nanosecond)); ok {
		t.Error("started before it was due")
	}
	for _, late := range []time.Duration{0, time.Minute, 59 * time.Minute} {
		due, following, ok := s.Due("k", next, next.Add(late))
		if !ok || !due.Equal(next) || !following.Equal(next.Add(time.Hour)) {
			t.Errorf("%v late: %v, %v, %v", late, due, following, ok)
		}
	}
	due, following, ok := s.Due("k", next, next.Add(1000*24*time.Hour+time.Minute))
	if want := next.Add(1000 * 24 * time.Hour); !ok || !due.Equal(want) || !following.Equal(want.Add(time.Hour)) {
		t.Errorf("after a long absence: %v, %v, %v", due, following, ok)
	}
}

func TestALateScheduleIsCaughtUpWithInOneStep(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec := schedule.Spec{
			Cron:     rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "0 4 * * *", "30 2 * * sun", "0 0 1 * *", "0 0 29 2 *"}).Draw(t, "cron"),
			TimeZone: rapid.SampledFrom([]string{"UTC", "Europe/Paris"}).Draw(t, "zone"),
			Jitter:   rapid.SampledFrom([]int{0, 30, 600, 3600}).Draw(t, "jitter"),
		}
		s, err := schedule.Parse(spec, time.LoadLocation)
		if err != nil {
			t.Fatal(err)
		}
		next := s.Next(time.Unix(rapid.Int64Range(1_700_000_000, 2_000_000_000).Draw(t, "from"), 0))
		now := next.Add(time.Duration(rapid.Int64Range(-3600, 90*86_400).Draw(t, "late")) * time.Second)
		due, following, ok := s.Due("k", next, now)
		if ok == now.Before(s.Start("k", next)) {
			t.Fatalf("ok is %v", ok)
		}
		if !ok {
			return
		}
		// The run is one that may start, none between it and now may, and the next one is the one after it.
		if due.Before(next) || now.Before(s.Start("k", due)) || !following.Equal(s.Next(due)) || !now.Before(s.Start("k", following)) {
			t.Fatalf("%+v: next %v, now %v: due %v, following %v", spec, next, now, due, following)
		}
	})
}

func TestJitterIsTheSameEverywhereAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := parse(t, schedule.Spec{Cron: "*/10 * * * *", Jitter: 3600})
	hourly := parse(t, schedule.Spec{Cron: "0 * * * *", Jitter: 90})
	seen := map[time.Duration]bool{}
	due := moment(t, "2026-03-01T00:00:00Z")
	for range 300 {
		start, next := s.Start("tmpl-1", due), s.Next(due)
		if start.Before(due) || !start.Before(next) || !start.Equal(s.Start("tmpl-1", due)) {
			t.Fatalf("due %v starts at %v", due, start)
		}
		late := hourly.Start("tmpl-1", due.Truncate(time.Hour)).Sub(due.Truncate(time.Hour))
		if late < 0 || late > 90*time.Second {
			t.Fatalf("%v late", late)
		}
		seen[start.Sub(due)] = true
		due = next
	}
	if len(seen) < 100 {
		t.Errorf("only %d different delays", len(seen))
	}
	if s.Start("a", due).Equal(s.Start("b", due)) && s.Start("c", due).Equal(s.Start("d", due)) {
		t.Error("schedules start together")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("*/5 1-3,7 * jan mon", "Europe/Paris", int64(1_774_000_000))
	f.Add("0 0 30 2 *", "UTC", int64(0))
	f.Add("9/9 * * * *,*", "Local", int64(-1))
	f.Add("TZ=x * * * *", "", int64(1))
	f.Add("59 23 29 2 *", "Australia/Lord_Howe", int64(4_000_000_000))
	f.Add("0 0 1 3 *", "America/New_York", int64(3_881_000_000)) // the last day of a leap year beyond the zone's table
	f.Fuzz(func(t *testing.T, expr, zone string, at int64) {
		s, err := schedule.Parse(schedule.Spec{Cron: expr, TimeZone: zone}, time.LoadLocation)
		if err != nil {
			return
		}
		if len(strings.Split(expr, " ")) != 5 {
			t.Fatal("accepted without five fields")
		}
		from := time.Unix(at%10_000_000_000, 0)
		next := s.Next(from)
		if !next.After(from) || next.Sub(from) > 9*366*24*time.Hour {
			t.Fatalf("%q in %q after %v is %v", expr, zone, from, next)
		}
		if again := s.Next(next.Add(-time.Nanosecond)); !again.Equal(next) {
			t.Fatalf("%q in %q: %v or %v", expr, zone, next, again)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, cron := range []string{"* * * * *", "30 2 * * *", "0 0 29 2 *"} {
		s, err := schedule.Parse(schedule.Spec{Cron: cron, TimeZone: "Europe/Paris"}, time.LoadLocation)
		if err != nil {
			b.Fatal(err)
		}
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		b.Run(strings.ReplaceAll(cron, "/", "_"), func(b *testing.B) {
			for b.Loop() {
				_ = s.Next(at)
			}
		})
	}
}

func ExampleSchedule_Next() {
	s, err := schedule.Parse(schedule.Spec{Cron: "30 2 * * *", TimeZone: "Europe/Paris"}, time.LoadLocation)
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Next(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))) // at 02:30 of that night there is no such time
	// Output: 2026-03-29 01:00:00 +0000 UTC
}

func parse(t *testing.T, spec schedule.Spec) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(spec, time.LoadLocation)
	if err != nil {
		t.Fatalf("%+v: %v", spec, err)
	}
	return s
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
