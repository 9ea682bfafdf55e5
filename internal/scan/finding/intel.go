package finding

import "time"

// Intel is what public sources say of a finding's CVE ids at the moment it is read. What no source says is nil: unknown
// is never zero and never false.
type Intel struct {
	EPSS *EPSS // of the CVE with the highest score
	KEV  *KEV  // where any of them is known to be exploited
	CVSS *CVSS // of the CVE with the highest score in NVD; only where the engine gave no CVSS of its own
}

// EPSS is the probability that a vulnerability is exploited within 30 days (FIRST).
type EPSS struct {
	Score      float64 // 0–1
	Percentile float64 // share of all scored CVEs at or below it
}

// KEV is an entry of the catalogue of known exploited vulnerabilities (CISA).
type KEV struct {
	Added      time.Time // a date
	Due        time.Time // a date; zero where it has none
	Ransomware bool      // known to be used in ransomware campaigns
}
