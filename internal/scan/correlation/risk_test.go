package correlation_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
)

func anyDanger(t *rapid.T) correlation.Danger {
	d := correlation.Danger{
		Severity:   rapid.SampledFrom(finding.Severities()).Draw(t, "severity"),
		Confidence: rapid.SampledFrom([]finding.Confidence{"", finding.Tentative, finding.Firm, finding.Certain}).Draw(t, "confidence"),
		Status:     rapid.SampledFrom(finding.Statuses()).Draw(t, "status"),
		Exposure:   rapid.SampledFrom([]correlation.Exposure{correlation.Public, correlation.Private, correlation.Loopback, correlation.Unknown}).Draw(t, "exposure"),
		CWE:        rapid.SliceOfN(rapid.SampledFrom([]int{89, 306, 200}), 0, 2).Draw(t, "cwe"),
		Location:   finding.Location{Host: "h.example", Port: rapid.IntRange(0, 65535).Draw(t, "port")},
	}
	vector := rapid.SampledFrom([]string{"", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N", "CVSS:3.1/AV:N/AC:L/PR:H/UI:N", "AV:N/AC:L/Au:S"})
	if rapid.Bool().Draw(t, "scored") {
		d.CVSS = &finding.CVSS{Vector: vector.Draw(t, "vector"), Score: rapid.Float64Range(0, 10).Draw(t, "cvss")}
	}
	if rapid.Bool().Draw(t, "predicted") {
		d.Intel.EPSS = &finding.EPSS{Score: rapid.Float64Range(0, 1).Draw(t, "epss")}
	}
	if rapid.Bool().Draw(t, "exploited") {
		d.Intel.KEV = &finding.KEV{Ransomware: rapid.Bool().Draw(t, "ransomware")}
	}
	return d
}

func TestReasonsSumToTheScore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := correlation.Assess(anyDanger(t))
		sum := 0
		for _, p := range r.Reasons {
			sum += p.Points
			if p.Text == "" || p.Code == "" {
				t.Fatalf("a reason without words: %+v", p)
			}
		}
		if sum != r.Score || r.Score < 0 || r.Score > 100 || r.Version != correlation.RiskVersion {
			t.Fatalf("score %d, reasons sum to %d, version %q", r.Score, sum, r.Version)
		}
	})
}

func TestMoreEvidenceOfDangerNeverLowersTheRisk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := anyDanger(t)
		before := correlation.Assess(d).Score
		worse := d
		switch rapid.IntRange(0, 7).Draw(t, "evidence") {
		case 0:
			worse.Severity = finding.Severities()[rapid.IntRange(0, d.Severity.Rank()).Draw(t, "to")]
		case 1:
			score := 0.0
			if d.CVSS != nil {
				score = d.CVSS.Score
			}
			c := finding.CVSS{Vector: "PR:N", Score: rapid.Float64Range(score, 10).Draw(t, "to")}
			worse.CVSS = &c
		case 2:
			if e := d.Intel.EPSS; e != nil {
				worse.Intel.EPSS = &finding.EPSS{Score: rapid.Float64Range(e.Score, 1).Draw(t, "to")}
			}
		case 3:
			worse.Intel.KEV = &finding.KEV{Ransomware: d.Intel.KEV != nil && d.Intel.KEV.Ransomware || rapid.Bool().Draw(t, "to")}
		case 4:
			worse.Exposure = correlation.Public
		case 5:
			worse.Confidence = finding.Certain
		case 6:
			worse.CWE = append([]int{306}, d.CWE...)
		case 7:
			if d.Status == finding.Open {
				worse.Status = finding.Confirmed
			}
		}
		if after := correlation.Assess(worse).Score; after < before {
			t.Fatalf("%+v scores %d, with more evidence %+v only %d", d, before, worse, after)
		}
	})
}

func TestUnknownIsNeverZeroAndSaysSo(t *testing.T) {
	t.Parallel()
	r := correlation.Assess(correlation.Danger{Severity: finding.High, Status: finding.Open})
	for _, p := range r.Reasons {
		if p.Code != "impact" && (p.Points == 0 || !strings.Contains(p.Text, "not known")) {
			t.Errorf("%s: %d points, %q", p.Code, p.Points, p.Text)
		}
	}
}

func TestWhatIsOverScoresNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []finding.Status{finding.Fixed, finding.FalsePositive} {
		if r := correlation.Assess(correlation.Danger{Severity: finding.Critical, Status: s}); r.Score != 0 {
			t.Errorf("%s scores %d", s, r.Score)
		}
	}
}

func TestExposureIsTheWidestOfAllAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]correlation.Exposure{
		"":                    correlation.Unknown,
		"127.0.0.1":           correlation.Loopback,
		"::1 10.0.0.1":        correlation.Private,
		"100.64.3.1":          correlation.Private,
		"fe80::1":             correlation.Private,
		"10.0.0.1 192.0.2.7":  correlation.Public,
		"::ffff:192.168.12.1": correlation.Private,
	} {
		var addrs []netip.Addr
		for a := range strings.FieldsSeq(text) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		if got := correlation.ExposureOf(addrs); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
