package sentinel

import (
	"net/url"
	"slices"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
	"assay.dev/assay/internal/scan/engine/sentinel/names"
	"assay.dev/assay/internal/scan/finding"
)

// crawl takes a walk through one origin.
func (j *judge) crawl(rec crawlRecord) {
	at, base, ok := j.origin(rec.URL, rec.Addr, rec.Port)
	if !ok {
		return
	}
	if base.Path == "/" || base.Path == "" {
		j.cover.Of(at.Host).Done(at.Port, rec.Checked)
	} // a walk within one folder closes nothing that was seen outside of it
	for _, s := range rec.Walk.Signs[:min(len(rec.Walk.Signs), 500)] {
		if _, known := j.book[s.Kind]; !known {
			j.damaged = true
			return
		}
		u, err := url.Parse(printable(s.URL, 2048))
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
			j.damaged = true
			return
		}
		d := at
		d.URL, d.Method, d.Parameter = u.String(), printable(s.Method, 16), printable(s.Parameter, 128)
		e := detail{evidence: s.Proof, title: j.book[s.Kind].Title + " at " + printable(u.Path, 128), confidence: confidence(s.Strength)}
		if d.Parameter != "" {
			e.title += ", parameter " + printable(d.Parameter, 64)
		}
		j.add(s.Kind, d, e)
	}
}

// confidence reads what another package says; what it doesn't know is tentative.
func confidence(text string) finding.Confidence {
	switch text {
	case "", crawl.Certain:
		return finding.Certain
	case crawl.Firm:
		return finding.Firm
	}
	return finding.Tentative
}

// names takes a look at the target's name.
func (j *judge) names(rec names.Record) {
	host := j.req.Target.Host()
	if rec.Name != host || host == "" {
		j.damaged = true
		return
	}
	at := finding.Location{Host: host}
	for _, i := range names.Judge(rec) {
		j.add(i.Rule, at, detail{discern: i.Discern, evidence: i.Evidence, confidence: confidence(i.Confidence)})
	}
	if rec.Done {
		j.cover.Whole(host, namesChecks(rec))
	}
	kind := asset.KindHost
	if j.req.Target.Type() == asset.TypeDomain {
		kind = asset.KindDomain
	}
	if len(rec.Answers) > 0 && slices.ContainsFunc(rec.Answers, func(a names.Answer) bool { return a.Name == host && a.Code == "NOERROR" }) {
		j.saw(kind, host, map[string]any{"seenIn": "dns"})
	}
	for _, name := range names.Names(rec) {
		j.saw(asset.KindHost, name, map[string]any{"domain": host})
	}
}
