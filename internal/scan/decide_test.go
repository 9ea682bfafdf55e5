package scan_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/dispatch"
	"assay.dev/assay/internal/word/uid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func due(p scan.Priority, waited time.Duration) time.Time {
	return scan.Scan{Priority: p, CreatedAt: noon.Add(-waited)}.Due()
}

func ids(picked []scan.Waiting) []string {
	out := []string{}
	for _, w := range picked {
		out = append(out, string(w.Scan))
	}
	return out
}

func TestPriorityIsStrictAndAges(t *testing.T) {
	t.Parallel()
	w := func(id string, p scan.Priority, waited time.Duration) scan.Waiting {
		return scan.Waiting{Org: "a", Scan: uid.Scan(id), Engine: id, Host: id, Due: due(p, waited)}
	}
	line := []scan.Waiting{
		w("low", scan.Low, 0), w("normal", scan.Normal, 0), w("high", scan.High, 0), w("critical", scan.Critical, 0),
		w("low that waited 10 minutes", scan.Low, 10*time.Minute), w("low that waited 9 minutes", scan.Low, 9*time.Minute),
		w("low that waited an hour", scan.Low, time.Hour), w("high that waited a minute", scan.High, time.Minute),
	}
	got := dispatch.Admission{Now: noon}.Pick(line, nil, map[uid.Org]tenant.Concurrency{"a": {Organization: 99, Engine: 99, TargetHost: 99}})
	want := []string{
		"low that waited an hour", "critical", "high that waited a minute", "high", "low that waited 10 minutes", "normal", "low that waited 9 minutes", "low",
	}
	if diff := gocmp.Diff(want, ids(got)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestOrganizationsTakeTurns(t *testing.T) {
	t.Parallel()
	var line []scan.Waiting
	for i := range 1000 {
		line = append(line, scan.Waiting{Org: "busy", Scan: uid.Scan(fmt.Sprintf("busy-%04d", i)), Engine: fmt.Sprint(i), Host: fmt.Sprint(i), Due: due(scan.Normal, time.Hour)})
	}
	for i := range 3 {
		line = append(line, scan.Waiting{Org: "late", Scan: uid.Scan(fmt.Sprintf("late-%d", i)), Engine: "e", Host: fmt.Sprint(i), Due: due(scan.Critical, 0)})
	}
	many := tenant.Concurrency{Organization: 99, Engine: 99, TargetHost: 99}
	running := []scan.Slot{{Org: "busy", Engine: "x", Host: "x"}}
	got := dispatch.Admission{Now: noon, Capacity: 6}.Pick(line, running, map[uid.Org]tenant.Concurrency{"busy": many, "late": many})
	if diff := gocmp.Diff([]string{"late-0", "busy-0000", "late-1", "busy-0001", "late-2"}, ids(got)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// oracle picks as the documentation says, one by one, looking at everything each time.
func oracle(a dispatch.Admission, waiting []scan.Waiting, running []scan.Slot, limits map[uid.Org]tenant.Concurrency) []scan.Waiting {
	level := func(w scan.Waiting) int {
		for l := 0; ; l++ {
			if !w.Due.After(a.Now.Add(time.Duration(l) * scan.AgeStep)) {
				return l
			}
		}
	}
	var picked []scan.Waiting
	for (a.Most == 0 || len(picked) < a.Most) && (a.Capacity == 0 || len(running) < a.Capacity) {
		count := func(same func(scan.Slot) bool) (n int) {
			for _, s := range running {
				if same(s) {
					n++
				}
			}
			return n
		}
		var best []scan.Waiting
		for _, w := range waiting {
			l := limits[w.Org]
			if slices.Contains(picked, w) ||
				count(func(s scan.Slot) bool { return s.Org == w.Org }) >= l.Organization ||
				count(func(s scan.Slot) bool { return s.Org == w.Org && s.Engine == w.Engine }) >= l.Engine ||
				count(func(s scan.Slot) bool { return s.Org == w.Org && s.Host == w.Host }) >= l.TargetHost {
				continue
			}
			best = append(best, w)
		}
		if len(best) == 0 {
			break
		}
		w := slices.MinFunc(best, func(x, y scan.Waiting) int {
			load := func(w scan.Waiting) int { return count(func(s scan.Slot) bool { return s.Org == w.Org }) }
			return cmp.Or(cmp.Compare(level(x), level(y)), cmp.Compare(load(x), load(y)), x.Due.Compare(y.Due), cmp.Compare(x.Scan, y.Scan))
		})
		picked = append(picked, w)
		running = append(slices.Clone(running), scan.Slot{Org: w.Org, Engine: w.Engine, Host: w.Host})
	}
	return picked
}

func TestPickHoldsLimitsOrderAndFairness(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		orgs := []uid.Org{"a", "b", "c"}
		names := []string{"x", "y", "z"}
		limits := map[uid.Org]tenant.Concurrency{}
		for _, o := range orgs {
			limits[o] = tenant.Concurrency{
				Organization: rapid.IntRange(0, 5).Draw(r, "organization"), Engine: rapid.IntRange(0, 4).Draw(r, "engine"), TargetHost: rapid.IntRange(0, 3).Draw(r, "host"),
			}
		}
		var waiting []scan.Waiting
		for i := range rapid.IntRange(0, 25).Draw(r, "waiting") {
			waiting = append(waiting, scan.Waiting{
				Org: rapid.SampledFrom(orgs).Draw(r, "org"), Scan: uid.Scan(fmt.Sprintf("%03d", i)), Engine: rapid.SampledFrom(names).Draw(r, "engine"),
				Host: rapid.SampledFrom(names).Draw(r, "host"),
				Due: due(rapid.SampledFrom([]scan.Priority{scan.Critical, scan.High, scan.Normal, scan.Low}).Draw(r, "priority"),
					time.Duration(rapid.IntRange(0, 60).Draw(r, "waited"))*time.Minute),
			})
		}
		var running []scan.Slot
		for range rapid.IntRange(0, 8).Draw(r, "running") {
			running = append(running, scan.Slot{Org: rapid.SampledFrom(orgs).Draw(r, "org"), Engine: rapid.SampledFrom(names).Draw(r, "engine"), Host: rapid.SampledFrom(names).Draw(r, "host")})
		}
		a := dispatch.Admission{Now: noon, Capacity: rapid.IntRange(0, 15).Draw(r, "capacity"), Most: rapid.IntRange(0, 10).Draw(r, "most")}
		before := slices.Clone(waiting)
		got := a.Pick(waiting, running, limits)
		if diff := gocmp.Diff(ids(oracle(a, waiting, running, limits)), ids(got)); diff != "" {
			r.Fatalf("picks (-oracle +got):\n%s", diff)
		}
		if diff := gocmp.Diff(before, waiting); diff != "" {
			r.Fatalf("the line was changed:\n%s", diff)
		}
	})
}

func TestUnknownLimitsAreTheDefaults(t *testing.T) {
	t.Parallel()
	var line []scan.Waiting
	for i := range 20 {
		line = append(line, scan.Waiting{Org: "a", Scan: uid.Scan(fmt.Sprint(i)), Engine: fmt.Sprint(i), Host: fmt.Sprint(i), Due: noon})
	}
	if got := (dispatch.Admission{Now: noon}).Pick(line, nil, nil); len(got) != tenant.Defaults().Concurrency.Organization {
		t.Errorf("%d scans start, want %d", len(got), tenant.Defaults().Concurrency.Organization)
	}
}

func BenchmarkPickOf10000(b *testing.B) {
	line := make([]scan.Waiting, 10_000)
	for i := range line {
		line[i] = scan.Waiting{Org: uid.Org(fmt.Sprint(i % 10)), Scan: uid.Scan(fmt.Sprint(i)), Engine: "nmap", Host: fmt.Sprint(i), Due: noon.Add(time.Duration(i))}
	}
	for b.Loop() {
		dispatch.Admission{Now: noon, Most: 64}.Pick(line, nil, nil)
	}
}
