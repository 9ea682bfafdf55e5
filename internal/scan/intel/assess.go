package intel

import (
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// Known is what the sources say of CVE ids, by source.
type Known map[Source]map[string]Record

// Add notes one row.
func (k Known) Add(s Source, r Record) {
	if k[s] == nil {
		k[s] = map[string]Record{}
	}
	k[s][r.CVE] = r
}

// Assess says what is known of a finding with these CVE ids: the highest EPSS score with its own percentile; the KEV
// entry that is due first, where any is listed; the highest CVSS. scored says that the engine gave a CVSS of its own,
// which is never outranked.
func (k Known) Assess(cves []string, scored bool) finding.Intel {
	var out finding.Intel
	for _, id := range cves {
		if r, ok := k[EPSS][id]; ok && (out.EPSS == nil || r.Score > out.EPSS.Score) {
			out.EPSS = &finding.EPSS{Score: r.Score, Percentile: r.Percentile}
		}
		if r, ok := k[KEV][id]; ok {
			if d := kevDetail(r.Detail); out.KEV == nil || sooner(d, *out.KEV) {
				out.KEV = &finding.KEV{Added: d.Added, Due: d.Due, Ransomware: d.Ransomware || out.KEV != nil && out.KEV.Ransomware}
			} else if d.Ransomware {
				out.KEV.Ransomware = true
			}
		}
		if r, ok := k[NVD][id]; ok && !scored && (out.CVSS == nil || r.Score > out.CVSS.Score) {
			version, vector, _ := strings.Cut(r.Detail, " ")
			out.CVSS = &finding.CVSS{Version: version, Vector: vector, Score: r.Score}
		}
	}
	return out
}

// sooner reports whether d is due before what is known.
func sooner(d KEVDetail, known finding.KEV) bool {
	return !d.Due.IsZero() && (known.Due.IsZero() || d.Due.Before(known.Due))
}
