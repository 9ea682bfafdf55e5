package sentinel

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/inspect/secrets"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
	"assay.dev/assay/internal/scan/engine/sentinel/names"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
	"assay.dev/assay/internal/word/fault"
)

// looks gathers what was looked at. It is safe for concurrent use.
type looks struct {
	mu  sync.Mutex
	all []engine.TargetLook
}

func (l *looks) add(target string, state engine.LookState, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) < engine.MaxTargetLooks {
		l.all = append(l.all, engine.TargetLook{Target: target, State: state, Reason: reason})
	}
}

// looked is what the verdict says of it.
func (r *run) looked() engine.Looked {
	r.looks.mu.Lock()
	defer r.looks.mu.Unlock()
	return engine.Looked{
		Databases: append([]engine.Database{{Name: "Sentinel's rules", Version: version, Entries: len(rule.All())}}, r.databases...),
		Targets:   r.looks.all,
	}
}

// hosts notes what became of each address.
func (r *run) lookedAt(hosts []*host, dead int) {
	for _, h := range hosts {
		reason := fmt.Sprintf("%d ports open, %d closed, %d silent", len(h.open), h.refused, h.silent)
		switch {
		case !h.alive() && h.fails > 0:
			r.looks.add(h.addr.String(), engine.LookSkipped, "no connection could be tried")
		case !h.alive():
			r.looks.add(h.addr.String(), engine.LookUnreachable, "")
		case h.fails+h.left > 0 || h.flooded:
			r.looks.add(h.addr.String(), engine.LookPartial, reason)
		default:
			r.looks.add(h.addr.String(), engine.LookReached, reason)
		}
	}
	if dead > 0 {
		r.looks.add(r.req.Target.String(), engine.LookUnreachable, fmt.Sprintf("%d addresses answered on none of the usual ports", dead))
	}
}

// name asks the DNS about the target, where it is a name. It may take as long as the ports do, beside which it runs.
func (r *run) name(ctx context.Context) {
	name := r.req.Target.Host()
	domain := r.req.Target.Type() == asset.TypeDomain
	if r.env.DNS == nil || name == "" || !r.wants(probeDNS) || !domain && r.req.Target.Type() != asset.TypeHost || !strings.Contains(name, ".") {
		return
	}
	rec := names.Look(ctx, names.Deps{
		Ask: func(ctx context.Context, query []byte) ([]byte, error) {
			if !r.pace.Wait(ctx) {
				return nil, context.Cause(ctx)
			}
			return r.env.DNS(ctx, query)
		},
		Dial: r.env.Dial.DialContext, Spares: func(at netip.AddrPort) bool { return r.req.Spares(at) }, Now: r.env.Now, Patience: r.depth.patience,
	}, names.Order{Name: name, Domain: domain, Thorough: r.depth.thorough})
	r.out.write(record{Names: &rec})
	state, reason := engine.LookReached, fmt.Sprintf("%d questions", rec.Asked)
	switch {
	case rec.Failed == rec.Asked:
		state, reason = engine.LookUnreachable, "no resolver answered"
	case !rec.Done:
		state, reason = engine.LookPartial, fmt.Sprintf("%d questions, %d of them without an answer", rec.Asked, rec.Failed)
	}
	r.looks.add(name+" (DNS)", state, reason)
}

// namesChecks are the checks that a complete look at a name did.
func namesChecks(rec names.Record) []string {
	if rec.Mail {
		return []string{rule.CheckNames, rule.CheckMail}
	}
	return []string{rule.CheckNames}
}

// browse walks through one origin and asks its parameters.
func (r *run) browse(ctx context.Context, s *site) {
	rec := crawlRecord{URL: bareURL(s.base), Addr: s.at.Addr().String(), Port: int(s.at.Port())}
	limits := r.depth.crawl
	if r.req.Target.Network().IsValid() {
		limits = depthOf(depthQuick).crawl // a network holds many origins
	}
	within := ctx
	if r.depth.browse > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, r.depth.browse)
		defer cancel()
	}
	rec.Walk = crawl.Walk(within, crawl.Deps{Send: s.ask, Token: r.token()}, s.base, limits)
	if rec.Walk.Crawled {
		rec.Checked = append(rec.Checked, rule.CheckCrawl)
	}
	if rec.Walk.Asked {
		rec.Checked = append(rec.Checked, rule.CheckParameters)
	}
	state := engine.LookPartial
	if rec.Walk.Asked {
		state = engine.LookReached
	}
	r.looks.add(rec.URL, state, fmt.Sprintf("%d pages, %d parameters, %d requests", len(rec.Walk.Pages), rec.Walk.Points, rec.Walk.Requests))
	r.keep(ctx, record{Crawl: &rec}, &rec.Checked)
}

// files takes stock of a repository or folder.
func (r *run) files(ctx context.Context) (engine.Verdict, error) {
	v := engine.Verdict{Outcome: engine.Complete, Version: version}
	r.out.write(record{Start: &startRecord{Version: recordVersion, Target: r.req.Target.String(), At: r.env.Now().UTC(), Depth: r.depth.name}})
	r.progress.At("checkout", 0, 5, 0, 1)
	files, err := r.env.Tree(ctx)
	switch {
	case ctx.Err() != nil:
		v.Outcome, v.Reasons = engine.Partial, []string{"The scan was stopped before the files were there."}
		v.Looked = r.looked()
		return v, nil
	case fault.KindOf(err) == fault.Unavailable && fault.Of(err).Code != fault.CodeEngine:
		text := fault.Of(err).Text
		r.looks.add(r.req.Target.String(), engine.LookUnreachable, text)
		v.Outcome, v.Reasons, v.Looked = engine.NothingReachable, []string{strings.ToUpper(text[:1]) + text[1:] + "; that says nothing about its safety."}, r.looked()
		return v, nil
	case err != nil:
		return engine.Verdict{}, err
	}
	scan := secrets.New()
	o := tree.Options{
		Secrets: r.wants(probeSecrets), Packages: r.wants(probePackages), Keys: r.wants(probeKeys), Fingerprint: r.env.Fingerprint,
		Seen: func(n int) { r.progress.At("files", 5, 98, n, n+5000) },
	}
	if o.Secrets {
		r.databases = append(r.databases, engine.Database{Name: "rules for credentials", Version: secrets.Version, Entries: scan.Rules()})
	}
	sum := tree.Walk(ctx, files.FS, scan, o, func(f tree.File) { r.out.write(record{File: &f}) })
	end := treeRecord{Sum: sum, At: r.env.Now().UTC(), Revision: files.Revision, Checked: treeChecks(o)}
	r.keep(ctx, record{Tree: &end}, &end.Checked)
	r.treeVerdict(ctx, &v, sum)
	v.Looked = r.looked()
	return v, nil
}

// treeVerdict says how much a tree's silence is worth.
func (r *run) treeVerdict(ctx context.Context, v *engine.Verdict, s tree.Sum) {
	partly := func(reason string) { v.Outcome, v.Reasons = engine.Partial, append(v.Reasons, reason) }
	switch {
	case ctx.Err() != nil:
		partly("The scan was stopped before its end; what it saw until then is kept.")
	case s.Files == 0:
		v.Outcome, v.Reasons = engine.NothingReachable, []string{"There are no files at the target; that says nothing about its safety."}
	}
	if s.Cut != "" {
		partly("The tree is over a bound: " + s.Cut + ".")
	}
	if s.Unreadable > 0 {
		partly(fmt.Sprintf("%d files or folders couldn't be read.", s.Unreadable))
	}
	if r.out.failed() {
		partly("The raw output grew too large; what didn't fit is missing.")
	}
	state := engine.LookReached
	switch v.Outcome {
	case engine.Partial:
		state = engine.LookPartial
	case engine.NothingReachable:
		state = engine.LookUnreachable
	case engine.Complete, engine.Failed, engine.Blocked:
	}
	r.looks.add(r.req.Target.String(), state, fmt.Sprintf("%d files, %d searched for credentials; left out: %d too large, %d not text, %d archives, %d links, %d vendored or lock files",
		s.Files, s.Searched, s.Large, s.Binary, s.Archives, s.Links+s.Special, s.Vendored))
}
