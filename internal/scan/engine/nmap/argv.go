package nmap

import (
	"net/netip"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// order is one start of Nmap: a target may need two, since one start takes addresses of one family only.
type order struct {
	targets []string // canonical addresses or one network
	six     bool
}

// orders splits the request's addresses by family, IPv4 first.
func orders(req engine.Request) []order {
	if n := req.Target.Network(); n.IsValid() {
		return []order{{targets: []string{n.String()}, six: n.Addr().Is6()}}
	}
	var four, six []string
	for _, a := range addresses(req) {
		if a.Is4() {
			four = append(four, a.String())
		} else {
			six = append(six, a.String())
		}
	}
	var out []order
	if len(four) > 0 {
		out = append(out, order{targets: four})
	}
	if len(six) > 0 {
		out = append(out, order{targets: six, six: true})
	}
	return out
}

// addresses returns what a target that isn't a network resolved to; the target's own address where nothing was
// resolved.
func addresses(req engine.Request) []netip.Addr {
	var out []netip.Addr
	for _, a := range req.Addrs {
		if a.IsValid() && a.Zone() == "" {
			out = append(out, a.Unmap())
		}
	}
	if a := req.Target.Addr(); len(out) == 0 && a.IsValid() {
		out = append(out, a)
	}
	return out
}

// arguments builds the command line. Every value in it is a constant, a number, a canonical address or a canonical
// port list; what may hold anything else (names, paths, scripts, script arguments) has no way in. The targets stand
// behind "--", so that none can be an option. ok is false where nothing is left to look at.
func (o order) arguments(req engine.Request) (args []string, ok bool) {
	args = []string{"-n", "-oX", "-", "--no-stylesheet", "--noninteractive", "--stats-every", "2s", "-v"}
	if o.six {
		args = append(args, "-6")
	}
	args = append(args, technique(req.Options)...)
	args = append(args, discovery(req)...)
	args = append(args, pace(req)...)
	ports, ok := portArguments(req)
	if !ok {
		return nil, false
	}
	args = append(args, ports...)
	args = append(args, depth(req.Options)...)
	if except := req.Options.Targets("excludeTargets"); len(except) > 0 {
		texts := make([]string, 0, len(except))
		for _, t := range except {
			texts = append(texts, t.String())
		}
		args = append(args, "--exclude", strings.Join(texts, ","))
	}
	return append(append(args, "--"), o.targets...), true
}

// technique names the scan type in any case: Nmap's default depends on who runs it. Rights are named too, so that a
// run as root without the right to send raw packets doesn't fail on trying.
func technique(o engine.Options) []string {
	scan := "-sT"
	switch o.Text("scanType") {
	case "syn":
		scan = "-sS"
	case "udp":
		scan = "-sU"
	}
	if scan != "-sT" || o.Bool("osDetection") || o.Bool("traceroute") {
		return []string{scan, "--privileged"}
	}
	return []string{scan, "--unprivileged"}
}

func discovery(req engine.Request) []string {
	skip := !req.Target.Network().IsValid()
	if req.Options.Has("skipDiscovery") {
		skip = req.Options.Bool("skipDiscovery")
	}
	if skip {
		return []string{"-Pn"}
	}
	ports := req.Options.Ports("discoveryPorts").Without(req.SparedPorts()...)
	if len(ports) == 0 {
		return []string{"-Pn"}
	}
	return []string{"-PS" + ports.String()}
}

func pace(req engine.Request) []string {
	o := req.Options
	args := []string{"-" + o.Text("timing"), "--max-retries", number(o.Int("maxRetries"))}
	if o.Text("timing") == "" {
		args[0] = "-T3"
	}
	if n := o.Int("hostTimeout"); n > 0 {
		args = append(args, "--host-timeout", number(n)+"s")
	}
	most := lower(o.Int("maxRate"), req.Config.RateLimit)
	if n := o.Int("minRate"); n > 0 {
		args = append(args, "--min-rate", number(lower(n, most)))
	}
	if most > 0 {
		args = append(args, "--max-rate", number(most))
	}
	if n := lower(o.Int("maxParallelism"), req.Config.MaxParallelism); n > 0 {
		args = append(args, "--max-parallelism", number(n))
	}
	return args
}

// portArguments takes this server's own listeners out of the list. Nmap takes one list for all of its targets, so
// that within a network such a port is left out on every host; coverage says so, because it follows what was scanned.
func portArguments(req engine.Request) (args []string, ok bool) {
	spared := req.SparedPorts()
	if ports := req.Options.Ports("ports"); len(ports) > 0 {
		ports = ports.Without(spared...)
		return []string{"-p", ports.String()}, len(ports) > 0
	}
	args = []string{"--top-ports", number(max(req.Options.Int("topPorts"), 1))}
	if len(spared) > 0 {
		args = append(args, "--exclude-ports", engine.PortsOf(spared...).String())
	}
	return args, true
}

func depth(o engine.Options) []string {
	var args []string
	if o.Bool("serviceDetection") {
		args = append(args, "-sV", "--version-intensity", number(o.Int("versionIntensity")))
		if o.Bool("allPorts") {
			args = append(args, "--allports")
		}
	}
	if o.Bool("osDetection") {
		args = append(args, "-O", "--osscan-limit")
	}
	if o.Bool("traceroute") {
		args = append(args, "--traceroute")
	}
	if scripts := scriptsOf(o.Set("scriptSet")); len(scripts) > 0 {
		args = append(args, "--script", strings.Join(scripts, ","), "--script-timeout", number(max(o.Int("scriptTimeout"), 1))+"s")
	}
	return args
}

func number(n int) string { return strconv.Itoa(n) }

// lower returns the lower of two bounds, of which 0 is none.
func lower(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
