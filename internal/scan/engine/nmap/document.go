package nmap

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"assay.dev/assay/internal/scan/finding"
)

// Bounds of the document. What is over ends the reading (tokens, depth) or is left out and marks the host as not
// whole (the rest).
const (
	maxToken  = 4 << 20  // bytes of one tag, text, comment or directive
	maxDepth  = 48       // elements within each other; Nmap's own go to about 12
	maxHost   = 32 << 20 // bytes of text kept of one host
	maxOutput = 16 << 10 // bytes kept of a script's output or of one element of it
	maxValue  = 512      // bytes kept of any other value
)

// host is one host of the document, complete up to its end tag.
type host struct {
	addr      netip.Addr
	mac       string
	vendor    string
	hostnames []string
	up        bool
	reason    string
	timedOut  bool
	end       int64 // seconds since 1970, by the scanning machine's clock
	closed    bool  // some port answered that it is closed
	cut       bool  // more was said of it than is kept
	ports     []port
	scripts   []node
	os        []string
}

type port struct {
	proto   string
	number  int
	open    bool
	service service
	scripts []node
}

type service struct {
	name, product, version, extra, ostype, tunnel string
	probed                                        bool // false: guessed from the port's number
	conf                                          int  // 0–10
	cpe                                           []string
}

// node is a script, table or elem.
type node struct {
	key   string // a script's id
	text  string // a script's output
	table bool
	nodes []node
}

// answered reports whether the host gave any sign of its own: with -Pn every address counts as up.
func (h *host) answered() bool {
	if !h.up {
		return false
	}
	if h.closed || h.reason != "" && h.reason != "user-set" {
		return true
	}
	for i := range h.ports {
		if h.ports[i].open {
			return true
		}
	}
	return false
}

// events are what read tells of the document, in its order. Nil ones are left out.
type events struct {
	start    func(version string)
	scanned  func(proto string, ports []finding.PortRange)
	task     func(name string, percent float64)
	host     func(h *host) error
	finished func(success bool, message string)
}

// read walks one or more Nmap documents. It resolves no entity and no address, keeps one host at a time and needs
// memory for that one only. A document that is cut off or malformed ends the reading without an error: its complete
// hosts have been told by then. Errors are the source's own and those of events.host.
func read(r io.Reader, ev events) error {
	m := newMarkup(r)
	w := walker{ev: ev}
	for {
		t, err := m.next()
		if err != nil {
			return m.err
		}
		switch t.kind {
		case opening:
			if w.depth++; w.depth > maxDepth {
				return nil
			}
			w.open(t.name, t.attrs)
		case closing:
			w.depth--
			if err := w.shut(t.name); err != nil {
				return err
			}
		case text:
			w.chars(t.name)
		}
	}
}

// walker builds hosts out of elements.
type walker struct {
	ev    events
	depth int
	h     *host
	p     *port
	stack []node // open scripts, tables and elems
	text  []byte // of the open elem
	kept  int    // bytes kept of h
	inCPE bool
}

func (w *walker) open(element []byte, a attributes) {
	switch name := string(element); {
	case name == "nmaprun":
		// A second document: whatever the first has left open is over.
		w.depth, w.h, w.p, w.stack = 1, nil, nil, nil
		if w.ev.start != nil {
			w.ev.start(label(a.get("version"), 32))
		}
	case w.h == nil && name == "host":
		w.h, w.p, w.stack, w.kept = &host{timedOut: a.is("timedout", "true"), end: whole(a.get("endtime"))}, nil, nil, 0
	case w.h == nil:
		w.outside(name, a)
	case name == "script", name == "table", name == "elem":
		w.openNode(name, a)
	case w.p != nil:
		w.insidePort(name, a)
	default:
		w.insideHost(name, a)
	}
}

func (w *walker) outside(name string, a attributes) {
	switch name {
	case "scaninfo":
		if w.ev.scanned != nil {
			w.ev.scanned(w.keep(a.get("protocol"), 8), scanned(a.get("protocol"), a.get("services")))
		}
	case "taskbegin", "taskprogress", "taskend":
		if w.ev.task == nil {
			return
		}
		percent, _ := strconv.ParseFloat(a.get("percent"), 64)
		if name == "taskend" {
			percent = 100
		}
		w.ev.task(a.get("task"), percent)
	case "finished":
		if w.ev.finished != nil {
			w.ev.finished(a.is("exit", "success"), a.get("errormsg"))
		}
	}
}

func (w *walker) insideHost(name string, a attributes) {
	h := w.h
	switch name {
	case "status":
		h.up, h.reason = a.is("state", "up"), w.keep(a.get("reason"), 32)
	case "address":
		w.address(a)
	case "hostname":
		if n := w.keep(a.get("name"), 255); n != "" && len(h.hostnames) < 20 {
			h.hostnames = append(h.hostnames, n)
		}
	case "extraports":
		h.closed = h.closed || a.is("state", "closed")
	case "port":
		number := whole(a.get("portid"))
		proto := "tcp"
		if a.is("protocol", "udp") {
			proto = "udp"
		}
		if number >= 1 && number <= 65535 && a.is("protocol", proto) {
			w.p = &port{proto: proto, number: int(number)}
			w.charge(64)
		}
	case "osmatch":
		if n := w.keep(a.get("name"), 128); n != "" && len(h.os) < 5 {
			h.os = append(h.os, n)
		}
	}
}

func (w *walker) address(a attributes) {
	if a.is("addrtype", "mac") {
		w.h.mac, w.h.vendor = w.keep(a.get("addr"), 32), w.keep(a.get("vendor"), 128)
		return
	}
	addr, err := netip.ParseAddr(a.get("addr"))
	if err == nil && addr.Zone() == "" && !w.h.addr.IsValid() {
		w.h.addr = addr.Unmap()
	}
}

func (w *walker) insidePort(name string, a attributes) {
	switch name {
	case "state":
		w.p.open = a.is("state", "open")
		w.h.closed = w.h.closed || a.is("state", "closed")
	case "service":
		s := &w.p.service
		s.name, s.tunnel, s.ostype = w.keep(a.get("name"), 64), w.keep(a.get("tunnel"), 16), w.keep(a.get("ostype"), 64)
		s.product, s.version, s.extra = w.keep(a.get("product"), 128), w.keep(a.get("version"), 128), w.keep(a.get("extrainfo"), 255)
		s.probed, s.conf = a.is("method", "probed"), int(min(whole(a.get("conf")), 10))
	case "cpe":
		if len(w.p.service.cpe) < 8 {
			w.p.service.cpe, w.inCPE = append(w.p.service.cpe, ""), true
		}
	}
}

func (w *walker) openNode(name string, a attributes) {
	n := node{table: name != "elem"}
	if name == "script" {
		n.key, n.text = w.keep(a.get("id"), 64), w.keep(a.get("output"), maxOutput)
	} else {
		n.key = w.keep(a.get("key"), 255)
	}
	w.charge(96)
	w.stack, w.text = append(w.stack, n), w.text[:0]
}

func (w *walker) chars(raw []byte) {
	switch {
	case len(w.stack) > 0:
		if !w.stack[len(w.stack)-1].table {
			b := value(raw)
			w.text = append(w.text, b[:min(len(b), maxOutput-len(w.text))]...)
		}
	case w.inCPE:
		b := value(raw)
		s := &w.p.service
		s.cpe[len(s.cpe)-1] += w.keep(b[:min(len(b), maxValue)], maxValue-len(s.cpe[len(s.cpe)-1]))
	}
}

func (w *walker) shut(name []byte) error {
	switch string(name) {
	case "elem", "table", "script":
		w.shutNode()
	case "cpe":
		w.inCPE = false
	case "port":
		if w.p != nil && w.h != nil && (w.p.open || len(w.p.scripts) > 0) && !w.h.cut {
			w.h.ports = append(w.h.ports, *w.p)
		}
		w.p = nil
	case "host":
		h := w.h
		w.h, w.p, w.stack = nil, nil, nil
		if h != nil && h.addr.IsValid() && w.ev.host != nil {
			return w.ev.host(h)
		}
	}
	return nil
}

func (w *walker) shutNode() {
	last := len(w.stack) - 1
	if last < 0 {
		return
	}
	n := w.stack[last]
	w.stack = w.stack[:last]
	if !n.table {
		n.text = w.keep(string(w.text), maxOutput)
		w.text = w.text[:0]
	}
	switch {
	case w.h == nil || w.h.cut:
	case last > 0:
		w.stack[last-1].nodes = append(w.stack[last-1].nodes, n)
	case w.p != nil:
		w.p.scripts = append(w.p.scripts, n)
	default:
		w.h.scripts = append(w.h.scripts, n)
	}
}

// keep takes a copy of the first bytes of s, cut between characters, and counts them against the host's bound.
func (w *walker) keep(s string, limit int) string {
	cut := prefix(s, max(limit, 0))
	if !w.charge(len(cut)) {
		return ""
	}
	if len(cut) == len(s) {
		return s // its own copy already
	}
	return strings.Clone(cut)
}

func (w *walker) charge(n int) bool {
	w.kept += n
	if w.kept > maxHost && w.h != nil {
		w.h.cut = true
	}
	return w.kept <= maxHost || w.h == nil
}

// prefix returns the first bytes of s, at most n, without a broken character at the end.
func prefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// whole reads a number that isn't negative; 0 where there is none.
func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// scanned reads the list of ports that Nmap says it has looked at.
func scanned(proto, services string) []finding.PortRange {
	if proto != "tcp" && proto != "udp" {
		return nil
	}
	var out []finding.PortRange
	for part := range strings.SplitSeq(services, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, b := whole(from), whole(to)
		if a < 1 || a > b || b > 65535 || len(out) > 65535 {
			continue
		}
		out = append(out, finding.PortRange{Protocol: strings.Clone(proto), From: int(a), To: int(b)})
	}
	return out
}
