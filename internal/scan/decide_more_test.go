package scan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/word/uid"
)

// floor is an installation that runs scans: each round lets start what may and ends some of what runs.
type floor struct {
	now     time.Time
	waiting []scan.Waiting
	running []scan.Slot
	limits  map[uid.Org]tenant.Concurrency
	started map[uid.Scan]time.Time
}

func (f *floor) round(capacity int) {
	picked := dispatch.Admission{Now: f.now, Capacity: capacity, Most: 64}.Pick(f.waiting, f.running, f.limits)
	for _, w := range picked {
		f.running = append(f.running, scan.Slot{Org: w.Org, Scan: w.Scan, Engine: w.Engine, Host: w.Host})
		f.started[w.Scan] = f.now
		f.waiting = slices.DeleteFunc(f.waiting, func(x scan.Waiting) bool { return x.Scan == w.Scan })
	}
}

// exceeded names the limit that is passed, empty where all hold.
func (f *floor) exceeded(capacity int) string {
	type at struct {
		org  uid.Org
		what string
	}
	orgs, engines, hosts := map[uid.Org]int{}, map[at]int{}, map[at]int{}
	for _, s := range f.running {
		orgs[s.Org]++
		engines[at{s.Org, s.Engine}]++
		hosts[at{s.Org, s.Host}]++
	}
	for o, n := range orgs {
		if n > f.limits[o].Organization {
			return "organization"
		}
	}
	for e, n := range engines {
		if n > f.limits[e.org].Engine {
			return "engine"
		}
	}
	for h, n := range hosts {
		if n > f.limits[h.org].TargetHost {
			return "target host"
		}
	}
	if len(f.running) > capacity {
		return "capacity"
	}
	return ""
}

// However scans come and end, no limit is ever passed, and no place that a scan could take stays empty.
func TestNoLimitIsPassedAndNoPlaceWastedOverTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		f := &floor{now: noon, limits: map[uid.Org]tenant.Concurrency{}, started: map[uid.Scan]time.Time{}}
		capacity := rapid.IntRange(1, 12).Draw(r, "capacity")
		orgs := []uid.Org{"a", "b", "c", "d"}
		for _, o := range orgs {
			f.limits[o] = tenant.Concurrency{
				Organization: rapid.IntRange(1, 6).Draw(r, "organization"), Engine: rapid.IntRange(1, 4).Draw(r, "engine"), TargetHost: rapid.IntRange(1, 3).Draw(r, "host"),
			}
		}
		n := 0
		for range rapid.IntRange(1, 25).Draw(r, "rounds") {
			f.now = f.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(r, "minutes")) * time.Minute)
			for range rapid.IntRange(0, 12).Draw(r, "arrivals") {
				n++
				p := rapid.SampledFrom([]scan.Priority{scan.Critical, scan.High, scan.Normal, scan.Low}).Draw(r, "priority")
				f.waiting = append(f.waiting, scan.Waiting{
					Org: rapid.SampledFrom(orgs).Draw(r, "org"), Scan: uid.Scan(fmt.Sprintf("%05d", n)), Engine: rapid.SampledFrom([]string{"x", "y"}).Draw(r, "engine"),
					Host: rapid.SampledFrom([]string{"h", "i", "j"}).Draw(r, "host"), Due: scan.Scan{Priority: p, CreatedAt: f.now}.Due(),
				})
			}
			f.round(capacity)
			if what := f.exceeded(capacity); what != "" {
				r.Fatalf("the limit of %s is passed", what)
			}
			for _, w := range f.waiting { // each that still waits would pass a limit
				f.running = append(f.running, scan.Slot{Org: w.Org, Scan: w.Scan, Engine: w.Engine, Host: w.Host})
				if f.exceeded(capacity) == "" {
					r.Fatalf("%s could have started", w.Scan)
				}
				f.running = f.running[:len(f.running)-1]
			}
			for range rapid.IntRange(0, len(f.running)).Draw(r, "ends") {
				i := rapid.IntRange(0, len(f.running)-1).Draw(r, "which")
				f.running = slices.Delete(f.running, i, i+1)
			}
		}
	})
}

// One scan of an organization isn't held up by another's ten thousand: with equal priority it has the next free place,
// and with any priority it has it once it has aged.
func TestAnotherOrganizationsThousandsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	for _, p := range []scan.Priority{scan.Critical, scan.High, scan.Normal, scan.Low} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			wide := tenant.Concurrency{Organization: 1000, Engine: 1000, TargetHost: 1000}
			f := &floor{now: noon, limits: map[uid.Org]tenant.Concurrency{"busy": wide, "small": wide}, started: map[uid.Scan]time.Time{}}
			for i := range 10_000 {
				f.waiting = append(f.waiting, scan.Waiting{
					Org: "busy", Scan: uid.Scan(fmt.Sprintf("busy-%05d", i)), Engine: "nmap", Host: fmt.Sprint(i), Due: scan.Scan{Priority: scan.Critical, CreatedAt: noon}.Due(),
				})
			}
			const capacity = 8
			f.round(capacity) // the busy one has all places when the small one comes
			f.waiting = append(f.waiting, scan.Waiting{Org: "small", Scan: "small", Engine: "nmap", Host: "h", Due: scan.Scan{Priority: p, CreatedAt: noon}.Due()})
			aged := noon.Add(time.Duration(p.Rank()) * scan.AgeStep)
			for f.now.Before(noon.Add(time.Hour)) && f.started["small"].IsZero() {
				f.running = f.running[1:] // one ends, one place is free
				f.round(capacity)
				f.now = f.now.Add(time.Minute)
			}
			if got := f.started["small"]; !got.Equal(aged) {
				t.Errorf("started after %s, want %s", got.Sub(noon), aged.Sub(noon))
			}
		})
	}
}

func BenchmarkPickOfManyOrganizations(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("%d waiting of 100", n), func(b *testing.B) {
			line := make([]scan.Waiting, n)
			for i := range line {
				line[i] = scan.Waiting{
					Org: uid.Org(fmt.Sprint(i % 100)), Scan: uid.Scan(fmt.Sprint(i)), Engine: "nmap", Host: fmt.Sprint(i % 977),
					Due: noon.Add(time.Duration(i%40) * time.Minute),
				}
			}
			for b.Loop() {
				dispatch.Admission{Now: noon, Most: 64}.Pick(line, nil, nil)
			}
		})
	}
}
