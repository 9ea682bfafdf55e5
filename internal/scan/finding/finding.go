// Package finding is what is wrong, normalised: severities, locations, identity on three levels, and the life of a
// finding over re-scans.
//
// It is pure: engines hand in observations, the store keeps findings, and this package decides which observation is
// which finding and what a run opens, keeps, reopens or closes. It must never learn of an engine by name. Start with
// Observation, then identity.go and life.go.
package finding

import (
	"time"

	"assay.dev/assay/internal/word/uid"
)

// Severity is how bad it is. An engine that can't say reports Info; it never guesses Low.
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities lists them, worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Info} }

// Rank orders severities, 0 = critical to 4 = info; anything else ranks as info.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 0
	case High:
		return 1
	case Medium:
		return 2
	case Low:
		return 3
	case Info:
		return 4
	}
	return 4
}

// Confidence is how sure the engine is.
type Confidence string

// Confidences.
const (
	Certain   Confidence = "certain"
	Firm      Confidence = "firm"
	Tentative Confidence = "tentative"
)

// Category groups findings by what they are about.
type Category string

// Categories.
const (
	CategoryExposure      Category = "exposure"      // something reachable that needn't be
	CategoryService       Category = "service"       // a service and its version, seen
	CategoryTLS           Category = "tls"           // protocol, cipher, certificate
	CategoryConfig        Category = "configuration" // a header, cookie, method or setting
	CategoryVulnerability Category = "vulnerability" // a known or proven flaw
	CategoryDisclosure    Category = "disclosure"    // information or files given away
	CategorySecret        Category = "secret"
	CategoryCrypto        Category = "cryptography" // post-quantum readiness among it
)

// Status is where a finding stands. Open and Fixed are set by scans; the others are a person's decision, which no
// scan changes.
type Status string

// Statuses.
const (
	Open          Status = "open"
	Fixed         Status = "fixed"
	Confirmed     Status = "confirmed"
	FalsePositive Status = "false_positive"
	Accepted      Status = "accepted"
)

// Statuses lists them, in the order in which people meet them.
func Statuses() []Status { return []Status{Open, Confirmed, FalsePositive, Accepted, Fixed} }

// Human reports whether a person set the status, so that scans leave it alone.
func (s Status) Human() bool { return s == Confirmed || s == FalsePositive || s == Accepted }

// Location is where it is. Empty fields don't apply.
type Location struct {
	Host         string `json:"host,omitempty"` // the address or name as it was given, lower-case
	Port         int    `json:"port,omitempty"`
	Protocol     string `json:"protocol,omitempty"` // tcp or udp
	URL          string `json:"url,omitempty"`
	Method       string `json:"method,omitempty"`
	Parameter    string `json:"parameter,omitempty"`
	File         string `json:"file,omitempty"`
	Line         int    `json:"line,omitempty"`
	Package      string `json:"package,omitempty"`
	Version      string `json:"version,omitempty"`
	FixedVersion string `json:"fixedVersion,omitempty"`
	Image        string `json:"image,omitempty"`
}

// CVSS is a score with the vector it comes from.
type CVSS struct {
	Version string  `json:"version"`
	Vector  string  `json:"vector"`
	Score   float64 `json:"score"`
}

// Bounds of an observation's texts, in bytes. Clean cuts to them; evidence is the only long one.
const (
	MaxTitle       = 255
	MaxDescription = 4 << 10
	MaxEvidence    = 8 << 10
	MaxRemediation = 4 << 10
	MaxReferences  = 20
	MaxIDs         = 50
)

// Observation is one thing that one engine saw at one place. Parsers make it; nothing in it is trusted.
type Observation struct {
	Rule string // the engine's own id of the check, "nmap:open-port"
	// Discern tells two findings of one rule at one place apart (a header's or cookie's name); stable over runs. Of a
	// finding about a certificate it is "sha256:" and the lower-case hex digest of its DER, which ties engines together.
	Discern     string
	Title       string
	Description string
	Severity    Severity
	Confidence  Confidence
	Category    Category
	CVE         []string // upper case
	Advisories  []string // ids beside CVE that name the same flaw: "GHSA-…", "DLA-…"
	CWE         []int
	CVSS        *CVSS
	Location    Location
	Evidence    string
	Remediation string
	References  []string
	// Secret is the organization's keyed fingerprint of the secret that was found, "s1:" + hex (engine.Env.Fingerprint);
	// it ties findings of one secret together wherever they were made. Never the secret itself.
	Secret string
}

// Finding is a weakness in its life: the newest observation of it, and what became of it.
type Finding struct {
	Observation

	ID          uid.Finding
	Engine      string
	Fingerprint string // weakness identity, "w1:" + hex
	Status      Status
	FirstSeenAt time.Time
	LastSeenAt  time.Time
	FixedAt     time.Time // zero unless fixed
	Scan        uid.Scan  // the scan that saw it last
	Engines     []string  // all engines that saw it
	Intel       Intel     // what public sources say of its CVE ids; looked up when it is read, never kept with it
}

// Summary counts findings by severity.
type Summary struct {
	Total    int `json:"total"`
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Info     int `json:"info"`
}

// Add counts one finding.
func (s *Summary) Add(sev Severity) {
	s.Total++
	switch sev {
	case Critical:
		s.Critical++
	case High:
		s.High++
	case Medium:
		s.Medium++
	case Low:
		s.Low++
	case Info:
		s.Info++
	}
}
