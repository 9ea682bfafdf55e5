package correlation

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// RiskVersion is the version of the formula. It is kept with every score; another version means that all are made anew.
const RiskVersion = "r1"

// Exposure is from where the place of a finding can be reached, as far as is known.
type Exposure string

// Exposures, the widest first.
const (
	Public   Exposure = "public"   // an address that is routed on the internet
	Unknown  Exposure = ""         // a name without a known address, an image, a repository
	Private  Exposure = "private"  // an address of a private or link-local network
	Loopback Exposure = "loopback" // the machine itself
)

// ExposureOf returns the widest exposure of a host's known addresses.
func ExposureOf(addrs []netip.Addr) Exposure {
	widest := Exposure("none")
	for _, a := range addrs {
		e := Public
		switch a = a.Unmap(); {
		case a.IsLoopback():
			e = Loopback
		case a.IsPrivate(), a.IsLinkLocalUnicast(), netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10).Contains(a):
			e = Private
		}
		if widest == "none" || exposurePoints(e) > exposurePoints(widest) {
			widest = e
		}
	}
	if widest == "none" {
		return Unknown
	}
	return widest
}

// Danger is what a risk is judged by.
type Danger struct {
	Severity   finding.Severity
	CVSS       *finding.CVSS // the engine's or a public source's
	CVE        []string
	CWE        []int
	Intel      finding.Intel // what public sources say now
	Confidence finding.Confidence
	Status     finding.Status
	Location   finding.Location
	Exposure   Exposure
}

// Most points of each part; they sum to 100.
const (
	maxImpact     = 40
	maxEPSS       = 15
	maxKEV        = 15
	maxExposure   = 12
	maxReach      = 3
	maxLogin      = 5
	maxConfidence = 10
)

// Assess weighs a danger by formula r1: impact up to 40, exploit prediction 15, known exploitation 15, exposure 12,
// reachable service 3, login 5, confidence 10. What isn't known counts a middling number of points, never none, and says
// so. More evidence of danger never lowers the score; a finding that is fixed or no finding at all scores 0.
func Assess(d Danger) finding.Risk {
	r := finding.Risk{Version: RiskVersion, Reasons: []finding.RiskReason{
		d.impact(), d.prediction(), d.exploited(), d.exposure(), d.reach(), d.login(), d.sureness(),
	}}
	for _, p := range r.Reasons {
		r.Score += p.Points
	}
	if text := over(d.Status); text != "" {
		r.Reasons = append(r.Reasons, finding.RiskReason{Code: "status", Points: -r.Score, Text: text})
		r.Score = 0
	} else if d.Status == finding.Accepted {
		r.Reasons = append(r.Reasons, finding.RiskReason{Code: "status", Text: "accepted by a person: the risk stays what it is"})
	}
	return r
}

// over says why nothing is left of a danger; empty while something is.
func over(s finding.Status) string {
	switch s {
	case finding.Fixed:
		return "fixed: nothing is left to exploit"
	case finding.FalsePositive:
		return "a person calls it a false positive"
	case finding.Open, finding.Confirmed, finding.Accepted:
	}
	return ""
}

func (d Danger) impact() finding.RiskReason {
	points, text := severityPoints(d.Severity), "severity "+string(d.Severity)
	if score, ok := d.cvss(); ok {
		text += ", CVSS " + strconv.FormatFloat(score.Score, 'f', 1, 64)
		points = max(points, int(math.Round(score.Score*maxImpact/10)))
	} else {
		text += "; CVSS not known"
	}
	return finding.RiskReason{Code: "impact", Points: min(points, maxImpact), Text: text}
}

// cvss is the higher of the scores that are known.
func (d Danger) cvss() (finding.CVSS, bool) {
	var best finding.CVSS
	known := false
	for _, c := range []*finding.CVSS{d.CVSS, d.Intel.CVSS} {
		if c != nil && (!known || c.Score > best.Score) {
			best, known = *c, true
		}
	}
	return best, known
}

func severityPoints(s finding.Severity) int {
	switch s {
	case finding.Critical:
		return 38
	case finding.High:
		return 30
	case finding.Medium:
		return 20
	case finding.Low:
		return 10
	case finding.Info:
		return 2
	}
	return 2
}

func (d Danger) prediction() finding.RiskReason {
	r := finding.RiskReason{Code: "exploit_prediction", Points: 4}
	switch e := d.Intel.EPSS; {
	case e != nil:
		r.Points = int(math.Round(maxEPSS * math.Sqrt(min(max(e.Score, 0), 1))))
		r.Text = fmt.Sprintf("EPSS %.4f: the chance that it is exploited within 30 days", e.Score)
	case len(d.CVE) == 0:
		r.Text = "not known: EPSS speaks of CVE ids, and it has none"
	default:
		r.Text = "not known: EPSS says nothing of its CVE ids"
	}
	return r
}

func (d Danger) exploited() finding.RiskReason {
	r := finding.RiskReason{Code: "known_exploited", Points: 3, Text: "not known to be exploited"}
	if k := d.Intel.KEV; k != nil {
		r.Points, r.Text = 12, "exploited in the wild (CISA KEV)"
		if k.Ransomware {
			r.Points, r.Text = maxKEV, "exploited in the wild, in ransomware campaigns too (CISA KEV)"
		}
	}
	return r
}

func (d Danger) exposure() finding.RiskReason {
	text := "from where it can be reached is not known"
	switch d.Exposure {
	case Public:
		text = "at a public address"
	case Private:
		text = "at an address of a private network"
	case Loopback:
		text = "on the machine itself only (loopback)"
	case Unknown:
	}
	return finding.RiskReason{Code: "exposure", Points: exposurePoints(d.Exposure), Text: text}
}

func exposurePoints(e Exposure) int {
	switch e {
	case Public:
		return maxExposure
	case Private:
		return 5
	case Loopback:
		return 1
	case Unknown:
	}
	return 6
}

func (d Danger) reach() finding.RiskReason {
	if at := d.Location.Spot(); at.Port != 0 {
		return finding.RiskReason{Code: "reach", Points: maxReach, Text: "through the service at port " + strconv.Itoa(at.Port)}
	}
	return finding.RiskReason{Code: "reach", Points: 1, Text: "whether a service leads to it is not known"}
}

func (d Danger) login() finding.RiskReason {
	if slices.Contains(groups(d.CWE), 306) {
		return finding.RiskReason{Code: "login", Points: maxLogin, Text: "no login is asked for"}
	}
	best := finding.RiskReason{Code: "login", Points: -1}
	for _, c := range []*finding.CVSS{d.CVSS, d.Intel.CVSS} {
		if c == nil {
			continue
		}
		if r := loginOf(c.Vector); r.Points > best.Points {
			best = r
		}
	}
	if best.Points >= 0 {
		return best
	}
	return finding.RiskReason{Code: "login", Points: 2, Text: "whether a login is needed is not known"}
}

// loginOf reads the rights that an attacker needs from a CVSS vector of any version.
func loginOf(vector string) finding.RiskReason {
	for part := range strings.SplitSeq(vector, "/") {
		switch part {
		case "PR:N", "Au:N":
			return finding.RiskReason{Code: "login", Points: maxLogin, Text: "no login is needed (CVSS)"}
		case "PR:L", "Au:S":
			return finding.RiskReason{Code: "login", Points: 1, Text: "a user's login is needed (CVSS)"}
		case "PR:H", "Au:M":
			return finding.RiskReason{Code: "login", Points: 0, Text: "an administrator's login is needed (CVSS)"}
		}
	}
	return finding.RiskReason{Code: "login", Points: -1}
}

func (d Danger) sureness() finding.RiskReason {
	if d.Status == finding.Confirmed {
		return finding.RiskReason{Code: "confidence", Points: maxConfidence, Text: "a person confirmed it"}
	}
	r := finding.RiskReason{Code: "confidence", Points: 4, Text: "how sure it is is not known"}
	switch d.Confidence {
	case finding.Certain:
		r.Points, r.Text = maxConfidence, "certain"
	case finding.Firm:
		r.Points, r.Text = 7, "firm"
	case finding.Tentative:
		r.Points, r.Text = 4, "tentative"
	}
	return r
}
