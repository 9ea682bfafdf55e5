package nuclei

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// verdict decides how much the run's silence is worth.
func (r *runner) verdict() engine.Verdict {
	v := engine.Verdict{}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	switch {
	case r.stopped:
		add(cut(len(r.runs)), "Nuclei was stopped before its end; what it had found by then is kept.")
	case r.lib.dir == "" && len(r.lib.missing) > 0:
		add(engine.Failed, "None of the chosen template sets is there: "+strings.Join(r.lib.missing, ", ")+".")
	case r.lib.dir == "" && r.somethingThere():
		add(engine.Failed, "There are no templates, so nothing was looked for. The operator names their folder in nuclei_templates.")
	case len(r.runs) == 0 && len(r.req.SparedPorts()) > 0 && len(r.places) == 0:
		add(engine.Blocked, "Assay itself listens on the target, which isn't scanned.")
	case len(r.runs) == 0:
		add(engine.NothingReachable, "No web server answers at the target.")
	default:
		r.judge(add)
	}
	v.Outcome = cmp.Or(v.Outcome, engine.Complete)
	if r.raw != nil && r.raw.Truncated() {
		if v.Outcome == engine.Complete {
			v.Outcome = engine.Partial
		}
		v.Reasons = append(v.Reasons, "The raw output was larger than what is kept; what came after it is missing.")
	}
	for _, l := range r.runs {
		v.Version = cmp.Or(v.Version, l.version)
	}
	cover := r.covered(v.Outcome)
	v.Coverage, v.Looked = &cover, engine.Looked{Databases: r.databases(), Targets: r.looks(v.Outcome)}
	return v
}

// cut is the outcome of a run that was stopped.
func cut(runs int) engine.Outcome {
	if runs == 0 {
		return engine.Failed
	}
	return engine.Partial
}

func (r *runner) somethingThere() bool { return len(r.live) > 0 || len(r.direct()) > 0 }

// judge looks at the starts that came to an end.
func (r *runner) judge(add func(engine.Outcome, string)) {
	dead := 0
	for _, l := range r.runs {
		switch what := strings.Join(l.protocols, " and "); {
		case l.fatal != "" && l.loaded == 0:
			add(failedOr(engine.Partial, len(r.runs)), "Nuclei found no template to use for "+what+" in the chosen sets.")
		case l.fatal != "" || l.exit.Code != 0 || !l.ended:
			add(failedOr(engine.Partial, len(r.runs)), "Nuclei ended early for "+what+".")
		case l.loaded == 0:
			add(failedOr(engine.Partial, len(r.runs)), "Nuclei loaded no template for "+what+".")
		case l.dead():
			dead++
			if dead < len(r.runs) {
				add(engine.Partial, "Nothing answered for "+what+".")
			}
		case l.gaveUp > 0:
			add(engine.Partial, "Nuclei gave the target up for "+what+" because too many requests failed.")
		case l.faulty():
			add(engine.Partial, fmt.Sprintf("%d of %d requests for %s failed.", max(l.talk.errors, l.noted), max(l.requests, l.noted), what))
		}
		if l.broken > 0 {
			add("", fmt.Sprintf("%d templates couldn't be read and were left out.", l.broken))
		}
	}
	if dead == len(r.runs) {
		add(engine.NothingReachable, "The target answered none of the requests.")
	}
	for _, p := range r.lost {
		add(engine.Partial, "The target at "+p.at+" stopped answering during the run.")
	}
	if len(r.lib.missing) > 0 {
		add(engine.Partial, "Template sets that aren't there: "+strings.Join(r.lib.missing, ", ")+".")
	}
	for _, p := range r.req.Options.Set("protocols") {
		if p != protoHTTP && !slices.Contains(r.direct(), p) {
			add(engine.Partial, "Templates for "+p+" choose their ports by themselves and aren't used against a host on which Assay itself listens.")
		}
	}
}

// failedOr is failed where there was only one start.
func failedOr(other engine.Outcome, starts int) engine.Outcome {
	if starts == 1 {
		return engine.Failed
	}
	return other
}

// dead reports whether no request got an answer: each one is noted as an error.
func (l *launched) dead() bool {
	switch {
	case l.requests > 0:
		return l.talk.errors >= l.requests || l.gone >= l.requests
	case l.noted > 0:
		return l.gone == l.noted // without counters: all that is known is errors
	}
	return false
}

// faulty reports whether more than a fifth of the requests failed.
func (l *launched) faulty() bool {
	return 5*max(l.talk.errors, l.noted) > max(l.requests, 1) && max(l.talk.errors, l.noted) > 0 && l.requests > 0
}

// databases are the templates that were used.
func (r *runner) databases() []engine.Database {
	var out []engine.Database
	for _, l := range r.runs {
		out = append(out, engine.Database{Name: "Nuclei templates (" + strings.Join(l.protocols, ", ") + ")", Version: l.templates, Entries: l.loaded})
	}
	return out
}

// looks says what became of each place.
func (r *runner) looks(o engine.Outcome) []engine.TargetLook {
	var out []engine.TargetLook
	reached := engine.LookReached
	if o != engine.Complete {
		reached = engine.LookPartial
	}
	for _, p := range r.places {
		look := engine.TargetLook{Target: p.url, State: engine.LookUnreachable, Reason: "no connection"}
		switch {
		case r.has(r.lost, p):
			look.State, look.Reason = engine.LookPartial, "stopped answering"
		case r.has(r.live, p) && (o == engine.NothingReachable || len(r.runs) == 0):
			look.Reason = "no answer"
			if len(r.runs) == 0 {
				look.State, look.Reason = engine.LookSkipped, "not looked at"
			}
		case r.has(r.live, p):
			look.State, look.Reason = reached, ""
		}
		out = append(out, look)
	}
	for _, l := range r.runs {
		if l.proxy != "" {
			continue
		}
		for _, t := range l.targets {
			look := engine.TargetLook{Target: t, State: reached}
			if l.dead() {
				look.State, look.Reason = engine.LookUnreachable, "no answer"
			}
			out = append(out, look)
		}
	}
	return out
}

func (*runner) has(list []place, p place) bool { return slices.Contains(list, p) }

// covered is where silence counts: at the web servers that answered to the end, for the templates that were surely used
// and met no error. They are known only where Nuclei loaded as many as there are. What connects to ports of its own
// choice covers no place.
func (r *runner) covered(o engine.Outcome) finding.Coverage {
	if o != engine.Complete && o != engine.Partial || r.stopped || len(r.lost) > 0 {
		return finding.Coverage{}
	}
	var places []finding.Place
	for _, l := range r.runs {
		if l.proxy == "" || !l.ended || l.fatal != "" || l.gaveUp > 0 || l.loaded != len(l.fits) || l.dead() || l.faulty() {
			continue
		}
		if l.talk.errors > l.noted {
			continue // some template met an error, and which one isn't known
		}
		var rules []string
		for _, t := range l.fits {
			if !l.failed[t.file] {
				rules = append(rules, id+":"+engine.Clip(t.id, 80))
			}
		}
		slices.Sort(rules)
		if rules = slices.Compact(rules); len(rules) == 0 {
			continue
		}
		for _, p := range r.live {
			at, ok := (&parser{req: r.req, addrs: addresses(r.req)}).locateURL(p.url, "")
			if !ok {
				continue
			}
			places = append(places, finding.Place{
				Host: at.Host, Ports: []finding.PortRange{{Protocol: "tcp", From: at.Port, To: at.Port}}, Rules: rules, Paths: below(at.URL),
			})
		}
	}
	return finding.Coverage{Places: places}
}

// below limits what a URL's scan covers to its own path: templates look from there, and what another scan found beside
// it wasn't looked at. A server's root covers all of the port.
func below(text string) []string {
	u, err := url.Parse(text)
	if err != nil || u.Path == "" || u.Path == "/" {
		return nil
	}
	folder := strings.TrimSuffix(u.Path, "/")
	return []string{folder, folder + "/*"}
}
