package trivy

import (
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// place names where a target's findings stand. A tree of files has no host of its own; its name takes that place, so
// that the same file of two trees isn't one finding and silence about one tree says nothing of another.
func place(t asset.Target) finding.Location {
	if t.Type() != asset.TypeImage {
		return finding.Location{Host: finding.CanonicalHost(t.String())}
	}
	ref := t.String()
	return finding.Location{Host: finding.CanonicalHost(repository(ref)), Image: ref}
}

// repository is a reference without tag and digest: the weakness stays when the tag moves.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref
}

// coverage says where silence counts: at this target, for what was looked for without a filter.
func coverage(req engine.Request, scanners []string) finding.Coverage {
	o := req.Options
	if sev := o.Set("severity"); len(sev) > 0 && len(sev) < 5 {
		return finding.Coverage{}
	}
	var rules []string
	for _, s := range scanners {
		switch s {
		case scanVuln:
			if types := o.Set("pkgTypes"); o.Bool("ignoreUnfixed") || len(types) == 1 {
				continue
			}
		case scanMisconfig:
			if len(o.Set("misconfigScanners")) > 0 {
				continue
			}
		}
		rules = append(rules, rulePrefix(s)+"*")
	}
	if len(rules) == 0 {
		return finding.Coverage{}
	}
	return finding.Coverage{Places: []finding.Place{{Host: place(req.Target).Host, Rules: rules}}}
}

// rulePrefix begins the rules of one scanner.
func rulePrefix(scanner string) string { return id + ":" + scanner + "/" }
