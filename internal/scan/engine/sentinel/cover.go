package sentinel

import (
	"maps"
	"slices"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

// cover gathers what was looked at to the end. A name with several addresses is one host: a port is covered when it was
// on every address, and a check when it was done wherever the port is open.
type cover struct {
	hosts map[string]*hostCover
	rules map[string][]string // rule ids by check
}

type hostCover struct {
	addrs, complete int
	tried           engine.Ports           // on the first address; all are given the same list
	spared          []int                  // on any address
	open            map[int]int            // on how many addresses each port is open
	checks          map[int]map[string]int // how often each check was done at a port
}

func newCover() *cover {
	c := &cover{hosts: map[string]*hostCover{}, rules: map[string][]string{}}
	for _, r := range rule.All() {
		c.rules[r.Check] = append(c.rules[r.Check], r.ID)
	}
	return c
}

func (c *cover) of(host string) *hostCover {
	h := c.hosts[host]
	if h == nil {
		h = &hostCover{open: map[int]int{}, checks: map[int]map[string]int{}}
		c.hosts[host] = h
	}
	return h
}

// done notes the checks that were done at a port.
func (h *hostCover) done(port int, checks []string) {
	for _, check := range checks {
		if h.checks[port] == nil {
			h.checks[port] = map[string]int{}
		}
		h.checks[port][check]++
	}
}

func (c *cover) coverage() finding.Coverage {
	var out finding.Coverage
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		h := c.hosts[name]
		if h.addrs > 0 && h.complete == h.addrs {
			open := slices.Sorted(maps.Keys(h.open))
			// Where nothing listens nothing can be wrong: there every rule's silence counts.
			if closed := h.tried.Without(slices.Concat(open, h.spared)...); len(closed) > 0 {
				out.Places = append(out.Places, finding.Place{Host: name, Ports: ranges(closed), Rules: []string{"sentinel:*"}})
			}
			for _, port := range open {
				h.done(port, slices.Repeat([]string{rule.CheckPorts}, h.open[port]))
			}
		}
		for _, port := range slices.Sorted(maps.Keys(h.checks)) {
			var ids []string
			for _, check := range slices.Sorted(maps.Keys(h.checks[port])) {
				if h.checks[port][check] >= max(h.open[port], 1) {
					ids = append(ids, c.rules[check]...)
				}
			}
			if len(ids) > 0 {
				out.Places = append(out.Places, finding.Place{Host: name, Ports: ranges(engine.PortsOf(port)), Rules: ids})
			}
		}
	}
	return out
}

func ranges(list engine.Ports) []finding.PortRange {
	var out []finding.PortRange
	for _, r := range list {
		out = append(out, finding.PortRange{Protocol: "tcp", From: r.From, To: r.To})
	}
	return out
}
