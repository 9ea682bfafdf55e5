package phase_test

import (
	"fmt"
	"testing"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit"
)

// BenchmarkMerge is the end of a parent: reading, grouping and keeping 10,000 findings of two engines, half of them seen
// by both, in its own results; and a page of those, which is what everybody reads afterwards.
func BenchmarkMerge(b *testing.B) {
	clock := testkit.NewClock()
	h := newHouse(b, testkit.SQLite(b, testkit.WithClock(clock)), clock)
	const each = 5_000
	h.answers = func(id string, _ engine.Request) answer {
		var a answer
		for n := range each {
			at := finding.Location{Host: "192.0.2.7", Port: 80, Protocol: "tcp", URL: fmt.Sprintf("http://192.0.2.7/p%s?q=1", letters(n)), Method: "GET", Parameter: "q"}
			if id == "nmap" && n%2 == 0 {
				at.Parameter = "other"
			}
			a.items = append(a.items, flaw(id+":x", 79, finding.Medium, at))
		}
		return a
	}
	var merging, reading time.Duration
	for b.Loop() {
		b.StopTimer()
		s := h.submit(order("192.0.2.7", "engines", `["sentinel","nmap"]`, "phases", `["inventory"]`))
		h.look()
		for _, j := range h.admit() {
			h.run(j)
		}
		b.StartTimer()
		began := time.Now()
		h.look()
		merging += time.Since(began)
		b.StopTimer()
		if got := h.get(s.ID).Summary.Total; got != 2*each-each/2 {
			b.Fatalf("%d results", got)
		}
		began = time.Now()
		h.results(s.ID)
		reading += time.Since(began)
		b.StartTimer()
	}
	b.ReportMetric(float64(merging.Microseconds())/float64(b.N)/1000, "merge-ms")
	b.ReportMetric(float64(reading.Microseconds())/float64(b.N)/1000, "page-ms")
}

// letters is a number that no path template takes for one.
func letters(n int) string {
	out := []byte("x")
	for ; n > 0; n /= 16 {
		out = append(out, "ghijklmnopqrstuv"[n%16])
	}
	return string(out)
}
