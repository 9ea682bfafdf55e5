package nuclei

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// severity maps Nuclei's words; unknown is info, never low.
func severity(s string) finding.Severity {
	switch strings.ToLower(s) {
	case "critical":
		return finding.Critical
	case "high":
		return finding.High
	case "medium":
		return finding.Medium
	case "low":
		return finding.Low
	}
	return finding.Info
}

func (r *record) has(tags ...string) bool {
	return slices.ContainsFunc(r.Info.Tags, func(t string) bool { return slices.Contains(tags, strings.ToLower(strings.TrimSpace(t))) })
}

// category groups by what the template says of itself.
func (r *record) category() finding.Category {
	switch {
	case len(r.cves()) > 0:
		return finding.CategoryVulnerability
	case r.Type == protoSSL || r.has("ssl", "tls"):
		return finding.CategoryTLS
	case r.has("exposure", "disclosure", "listing", "backup", "logs", "config"):
		return finding.CategoryDisclosure
	case r.has("misconfig", "misconfiguration", "headers", "cors"):
		return finding.CategoryConfig
	case r.has("panel", "login", "takeover", "default-login"):
		return finding.CategoryExposure
	case r.has("tech", "detect", "detection", "discovery", "fingerprint"):
		return finding.CategoryService
	case severity(r.Info.Severity) == finding.Info:
		return finding.CategoryConfig
	}
	return finding.CategoryVulnerability
}

// cves returns the template's CVE ids in upper case.
func (r *record) cves() []string {
	var out []string
	for _, s := range r.Info.Classification.CVE {
		s = strings.ToUpper(strings.TrimSpace(s))
		if strings.HasPrefix(s, "CVE-") && len(s) <= 24 && !slices.Contains(out, s) && len(out) < finding.MaxIDs {
			out = append(out, engine.Clip(s, 24))
		}
	}
	return out
}

// cwes returns the template's CWE ids, or what its tags stand for where it names none.
func (r *record) cwes() []int {
	var out []int
	for _, s := range r.Info.Classification.CWE {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "CWE-"))
		if err == nil && n > 0 && n < 100_000 && !slices.Contains(out, n) && len(out) < finding.MaxIDs {
			out = append(out, n)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, k := range []struct {
		tag string
		cwe int
	}{
		{"sqli", 89},
		{"xss", 79},
		{"ssti", 1336},
		{"ssrf", 918},
		{"xxe", 611},
		{"lfi", 22},
		{"traversal", 22},
		{"rce", 94},
		{"crlf", 93},
		{"redirect", 601},
		{"csrf", 352},
		{"deserialization", 502},
		{"fileupload", 434},
		{"default-login", 1392},
		{"auth-bypass", 287},
		{"unauth", 306},
		{"listing", 548},
		{"exposure", 200},
		{"disclosure", 200},
		{"takeover", 350},
	} {
		if r.has(k.tag) {
			return []int{k.cwe}
		}
	}
	return nil
}

func (r *record) cvss() *finding.CVSS {
	c := r.Info.Classification
	if c.CVSSScore <= 0 || c.CVSSScore > 10 {
		return nil
	}
	out := &finding.CVSS{Version: "3.1", Vector: engine.Clip(c.CVSSMetrics, 255), Score: c.CVSSScore}
	for _, v := range []string{"3.0", "3.1", "4.0"} {
		if strings.HasPrefix(out.Vector, "CVSS:"+v+"/") {
			out.Version = v
			return out
		}
	}
	if out.Vector != "" {
		out.Version = "2.0"
	}
	return out
}

// links keeps web addresses.
func links(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), 4*finding.MaxReferences)] {
		s = strings.TrimSpace(s)
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(s) > 2048 || slices.Contains(out, s) {
			continue
		}
		if out = append(out, s); len(out) == finding.MaxReferences {
			break
		}
	}
	return out
}
