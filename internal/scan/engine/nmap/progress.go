package nmap

import (
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// progress turns Nmap's tasks, each of which counts from 0 to 100 and which repeat for every group of hosts, into
// one number that never goes back. It is called by one goroutine at a time.
type progress struct {
	report   func(percent int, phase string)
	weights  [4]float64 // of the phases, sum 1
	hosts    int        // expected
	done     int
	run, of  int
	lastPart float64
	last     int
	phase    string
}

// newProgress weighs the phases by what the options ask for.
func newProgress(env engine.Env, req engine.Request, runs int) *progress {
	p := &progress{report: env.Progress, hosts: 1, of: runs}
	if n := req.Target.Network(); n.IsValid() {
		p.hosts = 1 << (n.Addr().BitLen() - n.Bits())
	}
	weights := [4]float64{5, 35, 0, 5}
	if req.Options.Bool("serviceDetection") {
		weights[2] = 35
	}
	if len(req.Options.Set("scriptSet")) > 0 {
		weights[3] = 25
	}
	sum := weights[0] + weights[1] + weights[2] + weights[3]
	for i := range weights {
		p.weights[i] = weights[i] / sum
	}
	return p
}

// start begins the n-th start of Nmap.
func (p *progress) start(n int) { p.run, p.done, p.lastPart = n, 0, 0 }

// task takes one task's own percentage.
func (p *progress) task(name string, percent float64) {
	i, phase := phaseOf(name)
	if i < 0 {
		return
	}
	part := 0.0
	for _, w := range p.weights[:i] {
		part += w
	}
	part += p.weights[i] * min(max(percent, 0), 100) / 100
	// Nmap runs its scripts in several rounds and its phases once per group of hosts.
	p.lastPart, p.phase = part, phase
	p.tell()
}

// host takes one host that is done.
func (p *progress) host() {
	p.done = min(p.done+1, p.hosts)
	p.tell()
}

func (p *progress) tell() {
	done := float64(p.done) / float64(p.hosts)
	share := 1.0
	if p.hosts > 1 {
		// How many hosts the present group holds isn't known; half of what is left keeps the number honest.
		share = 0.5
	}
	whole := (float64(p.run) + done + (1-done)*p.lastPart*share) / float64(p.of)
	percent := min(int(whole*99), 99)
	if percent > p.last && p.report != nil {
		p.last = percent
		p.report(percent, p.phase)
	}
}

func phaseOf(task string) (int, string) {
	switch {
	case strings.Contains(task, "Ping Scan"):
		return 0, "looking for hosts"
	case strings.HasSuffix(task, "Scan"):
		return 1, "scanning ports"
	case task == "Service scan":
		return 2, "detecting services"
	case task == "NSE", task == "Traceroute", strings.HasPrefix(task, "OS"):
		return 3, "running scripts"
	}
	return -1, ""
}
