// Package cover gathers where a run of Sentinel's looked to the end, check by check: only there may silence close a
// finding. It is pure. Start with New.
package cover

import (
	"maps"
	"slices"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

// Cover gathers what was looked at to the end. A name with several addresses is one host: a port is covered when it was
// on every address, and a check when it was done wherever the port is open.
type Cover struct {
	hosts map[string]*Host
	rules map[string][]string // rule ids by check
	// wholes are the rules that were checked at a name or a tree, by it.
	wholes map[string][]string
}

// Host is what was done at one host.
type Host struct {
	Addrs, Complete int
	Tried           engine.Ports           // on the first address; all are given the same list
	Spared          []int                  // on any address
	Open            map[int]int            // on how many addresses each port is open
	checks          map[int]map[string]int // how often each check was done at a port
}

// New returns a Cover of nothing.
func New() *Cover {
	c := &Cover{hosts: map[string]*Host{}, rules: map[string][]string{}, wholes: map[string][]string{}}
	for _, r := range rule.All() {
		c.rules[r.Check] = append(c.rules[r.Check], r.ID)
	}
	return c
}

// Of returns what is gathered of a host.
func (c *Cover) Of(host string) *Host {
	h := c.hosts[host]
	if h == nil {
		h = &Host{Open: map[int]int{}, checks: map[int]map[string]int{}}
		c.hosts[host] = h
	}
	return h
}

// Done notes the checks that were done at a port.
func (h *Host) Done(port int, checks []string) {
	for _, check := range checks {
		if h.checks[port] == nil {
			h.checks[port] = map[string]int{}
		}
		h.checks[port][check]++
	}
}

// Coverage returns what was gathered, in a stable order.
func (c *Cover) Coverage() finding.Coverage {
	var out finding.Coverage
	for _, name := range slices.Sorted(maps.Keys(c.wholes)) {
		out.Places = append(out.Places, finding.Place{Host: name, Rules: c.wholes[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		h := c.hosts[name]
		if h.Addrs > 0 && h.Complete == h.Addrs {
			open := slices.Sorted(maps.Keys(h.Open))
			// Where nothing listens nothing can be wrong: there every rule's silence counts.
			if closed := h.Tried.Without(slices.Concat(open, h.Spared)...); len(closed) > 0 {
				out.Places = append(out.Places, finding.Place{Host: name, Ports: ranges(closed), Rules: atPorts()})
			}
			for _, port := range open {
				h.Done(port, slices.Repeat([]string{rule.CheckPorts}, h.Open[port]))
			}
		}
		for _, port := range slices.Sorted(maps.Keys(h.checks)) {
			var ids []string
			for _, check := range slices.Sorted(maps.Keys(h.checks[port])) {
				if h.checks[port][check] >= max(h.Open[port], 1) {
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

// atPorts are the rules of what is at a port. Those about a name or a tree aren't among them: they are no port's.
func atPorts() []string {
	return []string{"sentinel:port-*", "sentinel:ssh-*", "sentinel:tls-*", "sentinel:cert-*", "sentinel:pq-*", "sentinel:crypto-endpoint", "sentinel:crypto-ssh", "sentinel:http-*", "sentinel:web-*", "sentinel:file-*"}
}

// Whole notes checks that were done at a place that has no ports: a name, or a tree.
func (c *Cover) Whole(host string, checks []string) {
	for _, check := range checks {
		c.wholes[host] = append(c.wholes[host], c.rules[check]...)
	}
}

func ranges(list engine.Ports) []finding.PortRange {
	var out []finding.PortRange
	for _, r := range list {
		out = append(out, finding.PortRange{Protocol: "tcp", From: r.From, To: r.To})
	}
	return out
}
