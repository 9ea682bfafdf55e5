package finding

import (
	"net/url"
	"slices"
	"strings"
)

// Coverage is what a run really looked at: only there may silence close a finding. Each place is complete for its
// rules; a target that was never reached, timed out or was cut short is in none.
type Coverage struct {
	Places []Place `json:"places"`
}

// Place is one covered corner. Host is compared exactly. An empty Ports means that no port of the host is covered,
// only host-wide rules; Rules holds rule ids or, ending in '*', prefixes of them.
type Place struct {
	Host  string      `json:"host"`
	Ports []PortRange `json:"ports,omitempty"`
	Rules []string    `json:"rules"`
	// Paths limits the place to URLs with one of these paths; one that ends in "/*" stands for everything below it.
	// Empty = all of the port. What has no URL isn't at a path.
	Paths []string `json:"paths,omitempty"`
}

// PortRange is an inclusive range of ports of one protocol.
type PortRange struct {
	Protocol string `json:"protocol"`
	From     int    `json:"from"`
	To       int    `json:"to"`
}

// Covers reports whether the run looked where o is, with the rule that saw o.
func (c Coverage) Covers(rule string, at Location) bool {
	for _, p := range c.Places {
		if p.Host == at.Host && p.coversPort(at) && p.coversPath(at) && coversRule(p.Rules, rule) {
			return true
		}
	}
	return false
}

func (p Place) coversPort(at Location) bool {
	if at.Port == 0 {
		return true
	}
	proto := at.Protocol
	if proto == "" {
		proto = "tcp"
	}
	for _, r := range p.Ports {
		if r.Protocol == proto && r.From <= at.Port && at.Port <= r.To {
			return true
		}
	}
	return false
}

func (p Place) coversPath(at Location) bool {
	if len(p.Paths) == 0 {
		return true
	}
	u, err := url.Parse(at.URL)
	if err != nil || at.URL == "" {
		return false
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	return slices.ContainsFunc(p.Paths, func(covered string) bool {
		folder, all := strings.CutSuffix(covered, "*")
		return path == covered || all && strings.HasSuffix(folder, "/") && strings.HasPrefix(path, folder)
	})
}

func coversRule(rules []string, rule string) bool {
	for _, r := range rules {
		if r == rule {
			return true
		}
		if n := len(r); n > 0 && r[n-1] == '*' && len(rule) >= n-1 && rule[:n-1] == r[:n-1] {
			return true
		}
	}
	return false
}
