package nmap

import (
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Rules. Scripts have one each: "nmap:" and the script's name.
const (
	rulePort    = "nmap:open-port"
	ruleService = "nmap:service"
	ruleExposed = "nmap:exposed-service"
)

// maxHosts bounds the hosts of one document, twice what a target may hold.
const maxHosts = 2 * asset.MaxNetwork

// Parse implements engine.Engine. Each host is told once. Hosts are taken when they are complete in the document; hosts that the request
// doesn't hold are passed over, whatever the document says.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	p := parser{req: req, yield: yield, hosts: map[netip.Addr]bool{}, name: req.Target.Host(), missing: addresses(req)}
	for _, a := range addresses(req) {
		p.addrs = append(p.addrs, a.String())
	}
	err := read(raw, events{
		start: func(string) { p.scanned = nil },
		scanned: func(_ string, ports []finding.PortRange) {
			p.scanned = append(p.scanned, ports...)
		},
		host: p.host,
	})
	return p.coverage(), err
}

type parser struct {
	req     engine.Request
	yield   func(engine.Item) error
	name    string   // the name that the target was given by; findings of all of its addresses stand under it
	addrs   []string // of a target given by name
	scanned []finding.PortRange

	hosts   map[netip.Addr]bool // told
	seen    map[string]bool     // identities and assets told of the present place
	places  []finding.Place
	missing []netip.Addr // addresses of the target that no complete host was told of
	err     error
}

// host tells one host: the host itself, its ports and what the scripts found.
func (p *parser) host(h *host) error {
	if !p.asked(h.addr) || h.timedOut || !h.answered() || p.hosts[h.addr] || len(p.hosts) >= maxHosts {
		return nil
	}
	p.hosts[h.addr] = true
	if p.seen == nil || p.name == "" {
		// A name's addresses share one place, where the same port must not be told twice.
		p.seen = map[string]bool{}
	}
	at := p.name
	if at == "" {
		at = h.addr.String()
	}
	p.asset(hostAsset(at, p.addrs, h))
	for i := range h.ports {
		p.port(h, &h.ports[i], finding.Location{Host: at, Port: h.ports[i].number, Protocol: h.ports[i].proto})
	}
	for _, s := range h.scripts {
		p.script(h, s, finding.Location{Host: at})
	}
	if !h.cut {
		p.missing = slices.DeleteFunc(p.missing, func(a netip.Addr) bool { return a == h.addr })
		p.places = append(p.places, p.covered(at, h)...)
	}
	return p.err
}

// asked reports whether the request holds the address.
func (p *parser) asked(addr netip.Addr) bool {
	if n := p.req.Target.Network(); n.IsValid() {
		return n.Contains(addr)
	}
	known := addresses(p.req)
	return len(known) == 0 || slices.Contains(known, addr)
}

func (p *parser) port(h *host, port *port, at finding.Location) {
	if !port.open {
		return
	}
	p.find(h, at, openPort(at))
	p.asset(serviceAsset(at, port))
	if s := &port.service; s.known() {
		p.find(h, at, serviceSeen(s))
		if e, bad := exposureOf(s.name); bad {
			p.find(h, at, e.remark(s.name))
		}
	}
	for _, s := range port.scripts {
		p.script(h, s, at)
	}
}

func (p *parser) script(h *host, s node, at finding.Location) {
	for _, r := range judge(s, h.end) {
		p.find(h, at, r)
	}
}

// remark is one thing to tell of a place.
type remark struct {
	rule        string
	discern     string
	title       string
	description string
	severity    finding.Severity
	confidence  finding.Confidence
	category    finding.Category
	cve         []string
	cwe         []int
	evidence    string
	remediation string
	references  []string
}

func (p *parser) find(h *host, at finding.Location, r remark) {
	key := r.rule + "\x00" + r.discern + "\x00" + at.Protocol + "\x00" + strconv.Itoa(at.Port)
	if p.err != nil || p.seen[key] {
		return
	}
	p.seen[key] = true
	evidence := r.evidence
	if p.name != "" {
		evidence = strings.TrimSpace("Seen at " + h.addr.String() + ".\n" + evidence)
	}
	p.err = p.yield(engine.Item{Finding: &finding.Observation{
		Rule: r.rule, Discern: r.discern, Title: label(r.title, finding.MaxTitle), Description: prefix(r.description, finding.MaxDescription),
		Severity: r.severity, Confidence: r.confidence, Category: r.category, CVE: r.cve, CWE: r.cwe, Location: at,
		Evidence: prefix(prose(evidence), finding.MaxEvidence), Remediation: r.remediation, References: r.references,
	}})
}

func (p *parser) asset(o asset.Observation) {
	key := "\x00" + string(o.Kind) + "\x00" + o.Name
	if p.err == nil && !p.seen[key] {
		p.seen[key] = true
		p.err = p.yield(engine.Item{Asset: &o})
	}
}

func openPort(at finding.Location) remark {
	name := strconv.Itoa(at.Port) + "/" + at.Protocol
	return remark{
		rule: rulePort, title: "Port " + name + " is open",
		description: "The host accepts connections on port " + name + ".",
		severity:    finding.Info, confidence: finding.Certain, category: finding.CategoryExposure,
		remediation: "Close the port or restrict who can reach it, unless it is meant to be reachable.",
	}
}

// known reports whether the service was asked and recognised. A name that is only the usual one for the port's number
// is no evidence.
func (s *service) known() bool { return s.probed && s.name != "" && s.name != "unknown" }

func serviceSeen(s *service) remark {
	text := s.name
	if s.tunnel != "" {
		text += " over " + s.tunnel
	}
	if software := s.software(); software != "" {
		text += ": " + software
	}
	confidence := finding.Tentative
	if s.conf >= 8 {
		confidence = finding.Firm
	}
	return remark{
		rule: ruleService, title: "Service " + label(text, 200),
		description: "The service names itself, or answers like this one.",
		severity:    finding.Info, confidence: confidence, category: finding.CategoryService,
		evidence: strings.Join(append([]string{text}, s.cpe...), "\n"),
	}
}

// software returns product, version and what else the service says of itself.
func (s *service) software() string {
	text := strings.TrimSpace(s.product + " " + s.version)
	if s.extra != "" {
		text = strings.TrimSpace(text + " (" + strings.Trim(s.extra, "()") + ")")
	}
	return text
}

func hostAsset(name string, addrs []string, h *host) asset.Observation {
	if len(addrs) == 0 || h.addr.String() == name {
		addrs = []string{h.addr.String()}
	}
	names := make([]string, 0, len(h.hostnames))
	for _, n := range h.hostnames {
		names = append(names, strings.ToLower(label(n, 255)))
	}
	return observed(asset.KindHost, name, struct {
		Addresses []string `json:"addresses"`
		Names     []string `json:"names,omitempty"`
		MAC       string   `json:"mac,omitempty"`
		Vendor    string   `json:"vendor,omitempty"`
		Systems   []string `json:"operatingSystems,omitempty"`
	}{addrs[:min(len(addrs), 20)], names, label(h.mac, 32), label(h.vendor, 128), labels(h.os, 128)})
}

func serviceAsset(at finding.Location, p *port) asset.Observation {
	var known service
	if p.service.known() {
		known = p.service
	}
	host := at.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return observed(asset.KindService, host+":"+strconv.Itoa(at.Port)+"/"+at.Protocol, struct {
		Host     string   `json:"host"`
		Port     int      `json:"port"`
		Protocol string   `json:"protocol"`
		Service  string   `json:"service,omitempty"`
		Product  string   `json:"product,omitempty"`
		Version  string   `json:"version,omitempty"`
		Extra    string   `json:"extra,omitempty"`
		System   string   `json:"operatingSystem,omitempty"`
		Tunnel   string   `json:"tunnel,omitempty"`
		CPE      []string `json:"cpe,omitempty"`
	}{
		at.Host, at.Port, at.Protocol, label(known.name, 64), label(known.product, 128), label(known.version, 128),
		label(known.extra, 255), label(known.ostype, 64), label(known.tunnel, 16), labels(known.cpe, maxValue),
	})
}

func observed(kind asset.Kind, name string, attributes any) asset.Observation {
	b, err := json.Marshal(attributes)
	if err != nil {
		b = []byte("{}") // texts and numbers always marshal
	}
	return asset.Observation{Kind: kind, Name: prefix(name, asset.MaxName), Attributes: b, Source: id}
}

// covered returns where this host's silence counts: for open ports, all that was scanned; for services and scripts,
// the same less the open ports whose service couldn't be told, since what needs the service wasn't looked at there.
func (p *parser) covered(at string, h *host) []finding.Place {
	if len(p.scanned) == 0 {
		return nil
	}
	out := []finding.Place{{Host: at, Ports: p.scanned, Rules: []string{rulePort}}}
	o := p.req.Options
	var rules []string
	if o.Bool("serviceDetection") {
		rules = append(rules, ruleService, ruleExposed)
	}
	for _, s := range scriptsOf(o.Set("scriptSet")) {
		rules = append(rules, "nmap:"+s)
		if s == scriptCertificate {
			for _, flaw := range certificateFlaws() {
				rules = append(rules, "nmap:"+s+"-"+flaw)
			}
		}
	}
	if len(rules) == 0 {
		return out
	}
	var untold []int
	for i := range h.ports {
		if q := &h.ports[i]; q.open && !q.service.known() {
			untold = append(untold, q.number)
		}
	}
	if !o.Bool("allPorts") {
		for n := 9100; n <= 9107; n++ {
			untold = append(untold, n) // Nmap never asks these
		}
	}
	return append(out, finding.Place{Host: at, Ports: without(p.scanned, untold), Rules: rules})
}

// without cuts ports out of ranges, of all protocols.
func without(ranges []finding.PortRange, ports []int) []finding.PortRange {
	slices.Sort(ports)
	ports = slices.Compact(ports)
	out := make([]finding.PortRange, 0, len(ranges))
	for _, r := range ranges {
		i, _ := slices.BinarySearch(ports, r.From)
		for ; i < len(ports) && ports[i] <= r.To; i++ {
			if r.From < ports[i] {
				out = append(out, finding.PortRange{Protocol: r.Protocol, From: r.From, To: ports[i] - 1})
			}
			r.From = ports[i] + 1
		}
		if r.From <= r.To {
			out = append(out, r)
		}
	}
	return out
}

// coverage returns where silence counts. A name is covered only when each of its addresses was looked at to the end.
func (p *parser) coverage() finding.Coverage {
	if p.name != "" && (len(p.missing) > 0 || len(p.addrs) == 0) {
		return finding.Coverage{}
	}
	return finding.Coverage{Places: p.places}
}
