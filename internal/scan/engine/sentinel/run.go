package sentinel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/pace"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/word/fault"
)

// run is one scan under way.
type run struct {
	env      engine.Env
	req      engine.Request
	depth    depth
	parallel int
	probes   []string
	pace     *pace.Pacer
	out      *recorder
	progress *pace.Progress
	looks    looks
	// databases are bodies of knowledge beside the rules that this run judged by.
	databases []engine.Database
}

// Run implements engine.Engine. At places in a network: ports of every address, then what speaks at the open ones, then
// TLS, HTTP, files and pages, and beside them the DNS. In trees: every file. A place without addresses is an Invalid
// fault, an image Unsupported.
func (sentinel) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	if !New().Manifest().Takes(req.Target.Type()) {
		return engine.Verdict{}, fault.New(fault.Unsupported, fault.CodeTargetType, "Sentinel's own probes can't look at this type of target")
	}
	hosts, files := hostsOf(req), req.Target.Type() == asset.TypeRepository || req.Target.Type() == asset.TypeFilesystem
	if len(hosts) == 0 && !files {
		return engine.Verdict{}, fault.Wrong("target", "has no address to scan")
	}
	artifact, err := env.Artifact("sentinel.jsonl", "application/jsonl")
	if err != nil {
		return engine.Verdict{}, err
	}
	// The pacer must end with the run, also when ctx goes on.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := newRun(ctx, env, req, artifact)
	if files {
		v, err := r.files(ctx)
		if err == nil {
			r.out.write(record{End: &endRecord{Outcome: string(v.Outcome)}})
		}
		return v, err
	}
	v := r.all(ctx, hosts)
	v.Looked = r.looked()
	r.out.write(record{End: &endRecord{Outcome: string(v.Outcome)}})
	return v, nil
}

func newRun(ctx context.Context, env engine.Env, req engine.Request, artifact engine.Artifact) *run {
	r := &run{
		env: env, req: req, depth: depthOf(req.Options.Text("depth")), parallel: defaultParallel, probes: req.Options.Set("probes"),
		out: &recorder{out: artifact}, progress: pace.NewProgress(env.Progress),
	}
	if n := req.Config.MaxParallelism; n > 0 {
		r.parallel = n
	}
	rate := pace.Default
	if n := req.Config.RateLimit; n > 0 {
		rate = n
	}
	r.pace = pace.New(ctx, rate)
	return r
}

// hostsOf are the addresses of the order: all of a network, or what the name resolved to.
func hostsOf(req engine.Request) []*host {
	var out []*host
	if n := req.Target.Network(); n.IsValid() {
		for a := n.Addr(); n.Contains(a) && len(out) < asset.MaxNetwork; a = a.Next() {
			out = append(out, &host{addr: a})
		}
		return out
	}
	for _, a := range req.Addrs {
		out = append(out, &host{addr: a.Unmap()})
	}
	return out
}

// wants reports whether the order chose a probe; none chosen means all.
func (r *run) wants(probe string) bool { return len(r.probes) == 0 || slices.Contains(r.probes, probe) }

func (r *run) all(ctx context.Context, hosts []*host) engine.Verdict {
	r.out.write(record{Start: &startRecord{Version: recordVersion, Target: r.req.Target.String(), At: r.env.Now().UTC(), Depth: r.depth.name}})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer func() {
			if recover() != nil { // by a stranger's answer: the look at the name is lost, the others aren't
				r.looks.add(r.req.Target.Host()+" (DNS)", engine.LookPartial, "an answer couldn't be read")
			}
		}()
		r.name(ctx)
	}()
	list := ports(r.req, r.depth)
	offered := len(hosts)
	if r.req.Target.Network().IsValid() {
		hosts = r.discover(ctx, hosts)
	}
	r.scanPorts(ctx, hosts, list)
	t := tally{offered: offered, dead: offered - len(hosts)}
	var open []netip.AddrPort
	for _, h := range hosts {
		rec := h.record(list)
		if r.wants(probePorts) && rec.Alive && h.left == 0 && h.fails == 0 && !h.flooded && len(h.spared) <= maxSpared && ctx.Err() == nil {
			rec.Checked = []string{rule.CheckPorts}
		}
		r.out.write(record{Host: &rec})
		t.add(h)
		for _, p := range h.open {
			if len(open) < maxOpenAll {
				open = append(open, netip.AddrPortFrom(h.addr, uint16(p))) //nolint:gosec // engine.Ports holds 1–65535
			}
		}
	}
	r.lookedAt(hosts, offered-len(hosts))
	unfinished := r.lookInto(ctx, open)
	<-asked
	return r.verdict(ctx, t, unfinished)
}

// record is what is kept of a host. Ports that were spared are not said to have been tried.
func (h *host) record(list engine.Ports) hostRecord {
	rec := hostRecord{Addr: h.addr.String(), Alive: h.alive(), Refused: h.refused, Silent: h.silent, Failed: h.fails + h.left, Spared: h.spared[:min(len(h.spared), maxSpared)]}
	for _, p := range list {
		rec.Ports = append(rec.Ports, [2]int{p.From, p.To})
	}
	return rec
}

// lookInto identifies and probes every open port and returns how many were not finished.
func (r *run) lookInto(ctx context.Context, open []netip.AddrPort) (unfinished int) {
	done := make([]bool, len(open))
	r.each(ctx, len(open), func(ctx context.Context, i int) { done[i] = r.endpoint(ctx, open[i]) },
		func(n int) { r.progress.At("services", 60, 99, n, len(open)) })
	for _, d := range done {
		if !d {
			unfinished++
		}
	}
	return unfinished
}

// endpoint probes one open port and reports whether everything that fits it was done to the end.
func (r *run) endpoint(ctx context.Context, at netip.AddrPort) bool {
	s := r.identify(ctx, at)
	if ctx.Err() != nil {
		return false
	}
	port := portRecord{Addr: at.Addr().String(), Port: int(at.Port()), Service: s}
	if r.wants(probePorts) {
		port.Checked = []string{rule.CheckService}
		if r.depth.thorough {
			port.Checked = append(port.Checked, rule.CheckQuestions)
		}
	}
	if s.Name == "ssh" && r.wants(probeTLS) {
		if port.KEX = r.offer(ctx, at); port.KEX != nil {
			port.Checked = append(port.Checked, rule.CheckSSH)
		}
	}
	r.keep(ctx, record{Port: &port}, &port.Checked)
	complete := true
	if s.TLS && r.wants(probeTLS) {
		rec := r.probeTLS(ctx, at)
		complete = len(rec.Checked) >= 3
		r.keep(ctx, record{TLS: &rec}, &rec.Checked)
	}
	if s.Name == "http" && (r.wants(probeHTTP) || r.wants(probeFiles) || r.wants(probeCrawl)) {
		complete = r.web(ctx, at, s.TLS) && complete
	}
	return complete && ctx.Err() == nil
}

// web probes one origin.
func (r *run) web(ctx context.Context, at netip.AddrPort, secure bool) bool {
	site := r.newSite(at, secure)
	defer site.close()
	complete := true
	if r.wants(probeHTTP) {
		rec := r.probeHTTP(ctx, site)
		want := 1
		if r.depth.thorough {
			want = 4
		}
		complete = len(rec.Checked) == want
		r.keep(ctx, record{Site: &rec}, &rec.Checked)
	}
	if r.wants(probeFiles) {
		rec := r.probeFiles(ctx, site)
		complete = complete && len(rec.Checked) > 0
		r.keep(ctx, record{Files: &rec}, &rec.Checked)
	}
	if r.wants(probeCrawl) {
		r.browse(ctx, site)
	}
	return complete
}

// keep writes a record. After ctx ended unanswered questions look like declined ones, so nothing is said to be done.
func (r *run) keep(ctx context.Context, rec record, checked *[]string) {
	if ctx.Err() != nil {
		*checked = nil
	}
	r.out.write(rec)
}

// tally sums up hosts for the verdict.
type tally struct {
	offered, dead, alive, open, failed, spared, flooded int
}

func (t *tally) add(h *host) {
	if h.alive() {
		t.alive++
	} else {
		t.dead++
	}
	t.open += len(h.open)
	t.failed += h.fails + h.left
	t.spared += len(h.spared)
	if h.flooded {
		t.flooded++
	}
}

// verdict says how much the run's silence is worth (lessons d1.2: an empty answer of an unreachable place is no clean
// bill).
func (r *run) verdict(ctx context.Context, t tally, unfinished int) engine.Verdict {
	v := engine.Verdict{Outcome: engine.Complete, Version: version}
	partly := func(reason string) { v.Outcome, v.Reasons = engine.Partial, append(v.Reasons, reason) }
	if t.spared > 0 {
		v.Reasons = append(v.Reasons, fmt.Sprintf("%d ports were left out: they belong to this server or are outside of the scope.", t.spared))
	}
	switch {
	case ctx.Err() != nil:
		partly("The scan was stopped before its end; what it saw until then is kept.")
	case t.alive == 0 && t.failed > 0:
		v.Outcome, v.Reasons = engine.Failed, append(v.Reasons, "No connection could be tried from this server.")
		return v
	case t.alive == 0, t.open == 0 && r.req.Target.Type() == asset.TypeURL:
		v.Outcome = engine.NothingReachable
		v.Reasons = append(v.Reasons, "Nothing answered at the target; that says nothing about its safety.")
		return v
	}
	if t.dead > 0 {
		v.Reasons = append(v.Reasons, fmt.Sprintf("%d of %d addresses didn't answer and count as not looked at.", t.dead, t.offered))
	}
	if t.failed > 0 && ctx.Err() == nil {
		partly(fmt.Sprintf("%d ports could not be tried.", t.failed))
	}
	if t.flooded > 0 || t.open > maxOpenAll {
		partly(fmt.Sprintf("%d addresses have more than %d open ports; only the first ones were looked into.", max(t.flooded, 1), maxOpen))
	}
	if unfinished > 0 && ctx.Err() == nil {
		partly(fmt.Sprintf("At %d open ports not every question was answered in time.", unfinished))
	}
	if r.out.failed() {
		partly("The raw output grew too large; what didn't fit is missing.")
	}
	return v
}
