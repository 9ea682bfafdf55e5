package finding

import (
	"net/url"
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
	// Path limits the place to URLs at this path and below it ("/shop" holds "/shop" and "/shop/cart"); empty = all of the
	// port. What has no URL isn't within a path.
	Path string `json:"path,omitempty"`
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
	if p.Path == "" {
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
	rest, below := strings.CutPrefix(path, p.Path)
	return below && (rest == "" || rest[0] == '/' || strings.HasSuffix(p.Path, "/"))
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
