package trivy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// steady is a package URL without what moves: its qualifiers and subpath, and, where it names a place and not a thing,
// its version.
func steady(purl string, withVersion bool) string {
	if !strings.HasPrefix(purl, "pkg:") || len(purl) > 1024 {
		return ""
	}
	purl, _, _ = strings.Cut(purl, "#")
	purl, _, _ = strings.Cut(purl, "?")
	if i := strings.LastIndexByte(purl, '@'); i > strings.LastIndexByte(purl, '/') && !withVersion {
		purl = purl[:i]
	}
	return engine.Clip(purl, 512)
}

// severity maps Trivy's words; what it doesn't know is info, never low.
func severity(s string) finding.Severity {
	switch s {
	case "CRITICAL":
		return finding.Critical
	case "HIGH":
		return finding.High
	case "MEDIUM":
		return finding.Medium
	case "LOW":
		return finding.Low
	}
	return finding.Info
}

// weaknesses reads "CWE-79".
func weaknesses(ids []string) []int {
	var out []int
	for _, s := range ids[:min(len(ids), finding.MaxIDs)] {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(s), "CWE-"))
		if err == nil && n > 0 && n < 100_000 && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// links keeps web addresses, the first one first.
func links(first string, more []string) []string {
	var out []string
	for _, s := range append([]string{first}, more[:min(len(more), 4*finding.MaxReferences)]...) {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(s) > 2048 {
			continue
		}
		if out = appendNew(out, s); len(out) == finding.MaxReferences {
			break
		}
	}
	return out
}

// score picks one of several sources' scores: the one that the severity comes from, else NVD's, else the highest.
func (v vuln) score() *finding.CVSS {
	for _, source := range []string{v.SeveritySource, "nvd"} {
		if c := v.CVSS[source].newest(); c != nil {
			return c
		}
	}
	var best *finding.CVSS
	names := make([]string, 0, len(v.CVSS))
	for name := range v.CVSS {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if c := v.CVSS[name].newest(); c != nil && (best == nil || c.Score > best.Score) {
			best = c
		}
	}
	return best
}

// newest returns the score of the newest version of CVSS, nil where there is none.
func (s score) newest() *finding.CVSS {
	for _, c := range []finding.CVSS{
		{Version: "4.0", Vector: s.V40Vector, Score: s.V40Score},
		{Version: "3.1", Vector: s.V3Vector, Score: s.V3Score},
		{Version: "2.0", Vector: s.V2Vector, Score: s.V2Score},
	} {
		if c.Vector == "" && c.Score == 0 || c.Score < 0 || c.Score > 10 {
			continue
		}
		if strings.HasPrefix(c.Vector, "CVSS:3.0/") {
			c.Version = "3.0"
		}
		c.Vector = engine.Clip(c.Vector, maxText)
		return &c
	}
	return nil
}
