package finding_test

import (
	"testing"
	"time"

	"assay.dev/assay/internal/scan/finding"
)

func TestScansLeaveHumanDecisionsAlone(t *testing.T) {
	t.Parallel()
	for before, want := range map[finding.Status]struct {
		status finding.Status
		fate   finding.Fate
	}{
		"":                    {finding.Open, finding.Created},
		finding.Open:          {finding.Open, finding.Untouched},
		finding.Fixed:         {finding.Open, finding.Reopened},
		finding.Confirmed:     {finding.Confirmed, finding.Suppressed},
		finding.FalsePositive: {finding.FalsePositive, finding.Suppressed},
		finding.Accepted:      {finding.Accepted, finding.Suppressed},
	} {
		if status, fate := finding.Next(before); status != want.status || fate != want.fate {
			t.Errorf("%q becomes %q (%s), want %q (%s)", before, status, fate, want.status, want.fate)
		}
		if before != "" && before.Human() != (before != finding.Open && before != finding.Fixed) {
			t.Errorf("%q: Human() = %v", before, before.Human())
		}
	}
}

func TestOnlyACompleteLookMayCloseAFinding(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f := finding.Finding{
		Observation: finding.Observation{Rule: "nmap:ftp-anon", Location: finding.Location{Host: "192.0.2.7", Port: 21, Protocol: "tcp"}},
		Engine:      "nmap", Status: finding.Open, LastSeenAt: started.Add(-time.Hour),
	}
	at := func(host, protocol string, from, to int, rules ...string) finding.Coverage {
		return finding.Coverage{Places: []finding.Place{{Host: host, Ports: []finding.PortRange{{Protocol: protocol, From: from, To: to}}, Rules: rules}}}
	}
	good := at("192.0.2.7", "tcp", 1, 1024, "nmap:*")
	if !finding.MayClose(f, "nmap", started, good) {
		t.Error("a covered place doesn't close")
	}
	for name, cov := range map[string]finding.Coverage{
		"nothing was covered":  {},
		"another host":         at("192.0.2.8", "tcp", 1, 1024, "nmap:*"),
		"other ports":          at("192.0.2.7", "tcp", 22, 1024, "nmap:*"),
		"another protocol":     at("192.0.2.7", "udp", 1, 1024, "nmap:*"),
		"another rule":         at("192.0.2.7", "tcp", 1, 1024, "nmap:http-git", "nmap:ftp"),
		"no ports of the host": {Places: []finding.Place{{Host: "192.0.2.7", Rules: []string{"nmap:*"}}}},
	} {
		if finding.MayClose(f, "nmap", started, cov) {
			t.Errorf("%s, and the finding is closed", name)
		}
	}
	for name, change := range map[string]func(*finding.Finding){
		"another engine's finding":   func(f *finding.Finding) { f.Engine = "zap" },
		"one seen in this run":       func(f *finding.Finding) { f.LastSeenAt = started },
		"one that is fixed already":  func(f *finding.Finding) { f.Status = finding.Fixed },
		"one that a person accepted": func(f *finding.Finding) { f.Status = finding.Accepted },
	} {
		g := f
		change(&g)
		if finding.MayClose(g, "nmap", started, good) {
			t.Errorf("%s is closed", name)
		}
	}
	hostWide := f
	hostWide.Location.Port = 0
	if !finding.MayClose(hostWide, "nmap", started, finding.Coverage{Places: []finding.Place{{Host: "192.0.2.7", Rules: []string{"nmap:ftp-anon"}}}}) {
		t.Error("a host-wide finding of a covered host doesn't close")
	}
}

func TestSummaryCountsBySeverity(t *testing.T) {
	t.Parallel()
	var s finding.Summary
	for _, sev := range append(finding.Severities(), finding.Critical) {
		s.Add(sev)
	}
	if want := (finding.Summary{Total: 6, Critical: 2, High: 1, Medium: 1, Low: 1, Info: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	for i, sev := range finding.Severities() {
		if sev.Rank() != i {
			t.Errorf("%s ranks %d", sev, sev.Rank())
		}
	}
}
