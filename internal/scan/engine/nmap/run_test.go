package nmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// stage is an Env whose launcher plays back recorded output.
type stage struct {
	raws     []string // one per start
	exit     engine.Exit
	stderr   string
	err      error
	starts   []engine.Process
	artifact bytes.Buffer
	cut      bool
	percents []int
	log      bytes.Buffer
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	n := len(s.starts)
	s.starts = append(s.starts, p)
	if s.err != nil {
		return engine.Exit{Code: -1}, s.err
	}
	if n < len(s.raws) {
		if _, err := io.WriteString(p.Stdout, s.raws[n]); err != nil {
			return engine.Exit{}, err
		}
	}
	if p.Stderr != nil {
		if _, err := io.WriteString(p.Stderr, s.stderr); err != nil {
			return engine.Exit{}, err
		}
	}
	return s.exit, nil
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.artifact.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

func (s *stage) env() engine.Env {
	return engine.Env{
		Proc: s, Now: func() time.Time { return time.Unix(0, 0) }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact: func(string, string) (engine.Artifact, error) { return s, nil },
	}
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name, "raw.xml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		raw    string
		exit   engine.Exit
		stderr string
		cut    bool
		want   engine.Outcome
	}{
		{raw: "ports", want: engine.Complete},
		{raw: "services-progress", want: engine.Complete},
		{raw: "ipv6-closed", want: engine.Complete}, // it refused, so it is there
		{raw: "error-unresolved", want: engine.NothingReachable},
		{raw: "host-timeout", want: engine.Partial},
		{raw: "cancel-sigint", exit: engine.Exit{Code: -1, Signaled: true, Canceled: true}, want: engine.Partial},
		{raw: "cancel-sigterm", exit: engine.Exit{Code: -1, Signaled: true}, want: engine.Failed},
		{raw: "error-badport", exit: engine.Exit{Code: 1}, want: engine.Failed},
		{raw: "error-badscript", exit: engine.Exit{Code: 1}, want: engine.Failed},
		{raw: "", exit: engine.Exit{Code: 1}, stderr: "You requested a scan type which requires root privileges.\nQUITTING!\n", want: engine.Failed},
		{raw: "ports", cut: true, want: engine.Partial},
	} {
		s := &stage{exit: c.exit, stderr: c.stderr, cut: c.cut}
		if c.raw != "" {
			s.raws = []string{fixture(t, c.raw)}
		}
		v, err := New().Run(t.Context(), s.env(), request(t, "127.0.0.1", `{}`))
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s %+v: %+v, %v; want %s", c.raw, c.exit, v, err, c.want)
		}
		if v.Outcome != engine.Complete && len(v.Reasons) == 0 {
			t.Errorf("%s: %s without a reason", c.raw, v.Outcome)
		}
		if c.raw != "" && s.artifact.String() != s.raws[0] {
			t.Errorf("%s: the artifact isn't what nmap wrote", c.raw)
		}
	}
}

func TestDownHostsAreNotReached(t *testing.T) {
	const dead = `<nmaprun version="7.93"><scaninfo protocol="tcp" services="1-1000"/><host><status state="up" reason="user-set"/><address addr="127.0.0.1" addrtype="ipv4"/>
<ports><extraports state="filtered" count="1000"/></ports></host><runstats><finished exit="success"/></runstats></nmaprun>`
	s := &stage{raws: []string{dead}}
	if v, err := New().Run(t.Context(), s.env(), request(t, "127.0.0.1", `{}`)); err != nil || v.Outcome != engine.NothingReachable {
		t.Errorf("%+v, %v", v, err)
	}
	if got := parse(t, []byte(dead), request(t, "127.0.0.1", `{}`)); len(got.Coverage.Places)+len(got.Assets) != 0 {
		t.Errorf("a host that never answered was taken for looked at: %+v", got)
	}
}

func TestProgressNeverGoesBack(t *testing.T) {
	s := &stage{raws: []string{fixture(t, "services-progress")}}
	if _, err := New().Run(t.Context(), s.env(), request(t, "127.0.0.1", `{}`)); err != nil {
		t.Fatal(err)
	}
	if len(s.percents) < 5 || !slices.IsSorted(s.percents) || s.percents[len(s.percents)-1] > 99 {
		t.Errorf("progress %v", s.percents)
	}
}

func TestArgumentsAreBuiltFromValues(t *testing.T) {
	for _, c := range []struct{ target, options, want string }{
		{"127.0.0.1", `{}`, "-n -oX - --no-stylesheet --noninteractive --stats-every 2s -v -sT --unprivileged -Pn -T4 --max-retries 2 --host-timeout 900s --top-ports 1000 -sV --version-intensity 5 -- 127.0.0.1"},
		{"::1", `{"ports":"443,80","serviceDetection":false,"timing":"T2"}`, "-n -oX - --no-stylesheet --noninteractive --stats-every 2s -v -6 -sT --unprivileged -Pn -T2 --max-retries 2 --host-timeout 900s -p 80,443 -- ::1"},
		{
			"192.0.2.0/28", `{"scanType":"syn","discoveryPorts":"22,80","minRate":5,"maxRate":50,"maxParallelism":9,"osDetection":true,"traceroute":true,"allPorts":true,"excludeTargets":["192.0.2.1"],"scriptSet":["windows"]}`,
			"-n -oX - --no-stylesheet --noninteractive --stats-every 2s -v -sS --privileged -PS22,80 -T4 --max-retries 2 --host-timeout 900s --min-rate 5 --max-rate 50 --max-parallelism 9 --top-ports 1000 -sV --version-intensity 5 --allports -O --osscan-limit --traceroute " +
				"--script smb-double-pulsar-backdoor,smb-protocols,smb-security-mode,smb-vuln-ms17-010,smb2-security-mode --script-timeout 60s --exclude 192.0.2.1 -- 192.0.2.0/28",
		},
		{"192.0.2.0/28", `{"skipDiscovery":true,"scanType":"udp","topPorts":5,"serviceDetection":false}`, "-n -oX - --no-stylesheet --noninteractive --stats-every 2s -v -sU --privileged -Pn -T4 --max-retries 2 --host-timeout 900s --top-ports 5 -- 192.0.2.0/28"},
	} {
		s := &stage{raws: []string{fixture(t, "ports")}}
		if _, err := New().Run(t.Context(), s.env(), request(t, c.target, c.options)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Fields(c.want), s.starts[0].Args); diff != "" {
			t.Errorf("%s %s:\n%s", c.target, c.options, diff)
		}
	}
}

func TestOwnListenersAreNotScanned(t *testing.T) {
	req := request(t, "127.0.0.1", `{"ports":"8440-8445"}`)
	req.Excluded = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8443"), netip.MustParseAddrPort("192.0.2.9:8444")}
	s := &stage{raws: []string{fixture(t, "ports")}}
	v, err := New().Run(t.Context(), s.env(), req)
	if err != nil || !slices.Contains(s.starts[0].Args, "8440-8442,8444-8445") || v.Outcome != engine.Complete || len(v.Reasons) != 1 {
		t.Errorf("%+v, %v, %v", v, err, s.starts[0].Args)
	}
	req.Options = request(t, "127.0.0.1", `{}`).Options
	s = &stage{raws: []string{fixture(t, "ports")}}
	if _, err := New().Run(t.Context(), s.env(), req); err != nil || !slices.Contains(s.starts[0].Args, "--exclude-ports") {
		t.Errorf("%v, %v", err, s.starts[0].Args)
	}
	req.Options = request(t, "127.0.0.1", `{"ports":"8443"}`).Options
	s = &stage{}
	if v, err := New().Run(t.Context(), s.env(), req); err != nil || v.Outcome != engine.Blocked || len(s.starts) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestNamesAreScannedByAddressOneFamilyAtATime(t *testing.T) {
	req := request(t, "localhost", `{}`)
	req.Addrs = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	req.Config.RateLimit, req.Config.MaxParallelism = 70, 3
	s := &stage{raws: []string{fixture(t, "ports"), fixture(t, "ipv6-closed")}}
	v, err := New().Run(t.Context(), s.env(), req)
	if err != nil || v.Outcome != engine.Complete || len(s.starts) != 2 {
		t.Fatalf("%+v, %v after %d starts", v, err, len(s.starts))
	}
	for i, p := range s.starts {
		line := strings.Join(p.Args, " ")
		if strings.Contains(line, "localhost") || !strings.HasSuffix(line, []string{"-- 127.0.0.1", "-- ::1"}[i]) ||
			!strings.Contains(line, "--max-rate 70 --max-parallelism 3") {
			t.Errorf("start %d: %s", i, line)
		}
	}
	got := parse(t, s.artifact.Bytes(), req)
	if len(got.Findings) == 0 || len(got.Coverage.Places) == 0 {
		t.Error("two documents in one artifact don't read back")
	}
}

func TestFaultsOfTheLauncher(t *testing.T) {
	s := &stage{err: fault.New(fault.Unavailable, fault.CodeEngine, "no such program")}
	_, err := New().Run(t.Context(), s.env(), request(t, "127.0.0.1", `{}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(fmt.Sprint(err), "apt-get install nmap") {
		t.Errorf("got %v", err)
	}
	checker, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	if a := checker.Check(t.Context(), s.env()); a.Available || !strings.Contains(a.Reason, "apt-get") {
		t.Errorf("%+v", a)
	}
	s = &stage{raws: []string{"Nmap version 7.93 ( https://nmap.org )\nPlatform: x\n"}}
	if a := checker.Check(t.Context(), s.env()); !a.Available || a.Version != "7.93" {
		t.Errorf("%+v", a)
	}
	s = &stage{raws: []string{"usage: something else\n"}}
	if a := checker.Check(t.Context(), s.env()); a.Available || a.Reason == "" {
		t.Errorf("%+v", a)
	}
}
