package nmap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/nmap"
	"assay.dev/assay/internal/scan/finding"
)

// launcher is the real runner, as a scan has it.
func launcher(t *testing.T) engine.Launcher {
	t.Helper()
	r, err := runner.New(runner.Config{Scratch: t.TempDir(), Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("real")
	if err != nil {
		t.Fatal(err)
	}
	return r.Launcher(runner.Run{Scan: "real", Work: work})
}

type memory struct{ bytes.Buffer }

func (*memory) Truncated() bool { return false }

// realNmap skips aloud where Nmap isn't installed, and fails there when REQUIRE_ENGINES is set, as CI does.
func realNmap(t *testing.T) {
	t.Helper()
	checker, ok := nmap.New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	a := checker.Check(t.Context(), engine.Env{Proc: launcher(t)})
	switch {
	case a.Available:
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set: " + a.Reason)
	default:
		t.Skip("SKIPPED: this test drives the real Nmap. " + a.Reason)
	}
}

// serve opens a loopback listener and returns its port. It greets every connection and ends it at the first word; with
// no greeting it stays silent.
func serve(t *testing.T, greeting string) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, greeting)
				if greeting == "" {
					_, _ = io.Copy(io.Discard, c) // silent for as long as it is asked
				}
				_, _ = c.Read(make([]byte, 256))
				_ = c.Close()
			}()
		}
	}()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP listener")
	}
	return addr.Port
}

func order(t *testing.T, target string, options map[string]any) engine.Request {
	t.Helper()
	raw := map[string]json.RawMessage{}
	for name, v := range options {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		raw[name] = b
	}
	o, err := engine.ParseOptions(nmap.New().Manifest(), raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := asset.ParseTarget(target, "")
	if err != nil {
		t.Fatal(err)
	}
	return engine.Request{Scan: "real", Target: at, Options: o}
}

func run(ctx context.Context, t *testing.T, req engine.Request) (engine.Verdict, []byte) {
	t.Helper()
	raw := &memory{}
	v, err := nmap.New().Run(ctx, engine.Env{
		Proc: launcher(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
		Progress: func(percent int, phase string) { t.Logf("%d %% %s", percent, phase) },
		Artifact: func(string, string) (engine.Artifact, error) { return raw, nil },
	}, req)
	if err != nil {
		t.Fatal(err)
	}
	return v, raw.Bytes()
}

func TestRealNmapFindsWhatListens(t *testing.T) {
	realNmap(t)
	ssh := serve(t, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
	telnet := serve(t, "\xff\xfd\x18\xff\xfd\x20\r\nrouter login: ")
	spared := serve(t, "")
	closed := 1
	req := order(t, "127.0.0.1", map[string]any{
		"ports": strings.Join([]string{strconv.Itoa(ssh), strconv.Itoa(telnet), strconv.Itoa(closed), strconv.Itoa(spared)}, ","), "versionIntensity": 0,
	})
	req.Excluded = append(req.Excluded, mustPort(spared))
	v, raw := run(t.Context(), t, req)
	if v.Outcome != engine.Complete || v.Version == "" {
		t.Fatalf("%+v\n%s", v, raw)
	}
	var seen []string
	cover, err := nmap.New().Parse(bytes.NewReader(raw), req, func(i engine.Item) error {
		if f := i.Finding; f != nil {
			seen = append(seen, f.Rule+"@"+strconv.Itoa(f.Location.Port))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nmap:open-port@" + strconv.Itoa(ssh), "nmap:open-port@" + strconv.Itoa(telnet), "nmap:service@" + strconv.Itoa(ssh)} {
		if !slices.Contains(seen, want) {
			t.Errorf("%s is missing in %v", want, seen)
		}
	}
	if slices.Contains(seen, "nmap:open-port@"+strconv.Itoa(spared)) {
		t.Error("our own listener was scanned")
	}
	at := func(port int) finding.Location {
		return finding.Location{Host: "127.0.0.1", Port: port, Protocol: "tcp"}
	}
	if !cover.Covers("nmap:open-port", at(closed)) || cover.Covers("nmap:open-port", at(spared)) {
		t.Errorf("coverage = %+v", cover)
	}
}

// TestRealNmapLeavesOutPortsOfTopLists proves that coverage follows --exclude-ports.
func TestRealNmapLeavesOutPortsOfTopLists(t *testing.T) {
	realNmap(t)
	req := order(t, "127.0.0.1", map[string]any{"topPorts": 20, "serviceDetection": false})
	req.Excluded = append(req.Excluded, mustPort(80))
	v, raw := run(t.Context(), t, req)
	if v.Outcome != engine.Complete {
		t.Fatalf("%+v\n%s", v, raw)
	}
	cover, err := nmap.New().Parse(bytes.NewReader(raw), req, func(engine.Item) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	at := func(port int) finding.Location {
		return finding.Location{Host: "127.0.0.1", Port: port, Protocol: "tcp"}
	}
	if cover.Covers("nmap:open-port", at(80)) || !cover.Covers("nmap:open-port", at(443)) {
		t.Errorf("coverage = %+v", cover)
	}
}

func TestRealNmapScansNetworksAndSaysWhoIsThere(t *testing.T) {
	realNmap(t)
	port := serve(t, "")
	req := order(t, "127.0.0.0/30", map[string]any{"ports": strconv.Itoa(port), "serviceDetection": false, "discoveryPorts": strconv.Itoa(port), "excludeTargets": []string{"127.0.0.3"}})
	v, raw := run(t.Context(), t, req)
	if v.Outcome != engine.Complete {
		t.Errorf("%+v\n%s", v, raw)
	}
}

func TestRealNmapKeepsWhatItHadWhenCancelled(t *testing.T) {
	realNmap(t)
	ctx, cancel := context.WithCancel(t.Context())
	// A port that is silent keeps service detection busy; the first sign of it cancels.
	req := order(t, "127.0.0.1", map[string]any{"ports": strconv.Itoa(serve(t, "")), "versionIntensity": 9})
	raw := &watched{word: []byte(`taskbegin task="Service scan"`), seen: cancel}
	v, err := nmap.New().Run(ctx, engine.Env{
		Proc: launcher(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
		Artifact: func(string, string) (engine.Artifact, error) { return raw, nil },
	}, req)
	if err != nil || v.Outcome != engine.Partial {
		t.Errorf("%+v, %v", v, err)
	}
}

// watched is an artifact that tells when a word was written.
type watched struct {
	memory
	word []byte
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.memory.Write(p)
	if bytes.Contains(w.Bytes(), w.word) {
		w.seen()
	}
	return n, err
}

// TestScriptSetsAreHarmless asks the installed Nmap which categories our scripts are in.
func TestScriptSetsAreHarmless(t *testing.T) {
	realNmap(t)
	var out bytes.Buffer
	scripts := nmap.Scripts()
	if _, err := launcher(t).Launch(t.Context(), engine.Process{Program: "nmap", Args: []string{"--script-help", strings.Join(scripts, ",")}, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	categories := 0
	for line := range strings.Lines(out.String()) {
		list, ok := strings.CutPrefix(line, "Categories: ")
		if !ok {
			continue
		}
		categories++
		for _, bad := range []string{"exploit", "brute", "dos", "external", "broadcast", "fuzzer"} {
			if slices.Contains(strings.Fields(list), bad) {
				t.Errorf("a script of ours is in category %s:\n%s", bad, out.String())
			}
		}
	}
	if categories != len(scripts) {
		t.Errorf("nmap knows %d of our %d scripts", categories, len(scripts))
	}
}

// TestRealNmapSendsRawPacketsFromTheSandbox proves that the sandbox leaves as much as SYN, UDP and OS scans need, where
// this process may send raw packets at all.
func TestRealNmapSendsRawPacketsFromTheSandbox(t *testing.T) {
	realNmap(t)
	if !runner.Capabilities().Has(engine.NetRaw) {
		t.Skip("SKIPPED: this process may not send raw packets")
	}
	port := strconv.Itoa(serve(t, "SSH-2.0-OpenSSH_9.2p1\r\n"))
	for _, argv := range []string{"-sS -O --osscan-limit --traceroute -p " + port, "-sU -p 1"} {
		var out bytes.Buffer
		exit, err := launcher(t).Launch(t.Context(), engine.Process{
			Program: "nmap", Args: append(strings.Fields(argv), "-n", "-Pn", "--privileged", "127.0.0.1"), Stdout: &out, Stderr: &out,
		})
		want := port + "/tcp open"
		if strings.HasPrefix(argv, "-sU") {
			want = "1/udp "
		}
		if err != nil || exit.Code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %+v, %v\n%s", argv, exit, err, out.String())
		}
	}
}

func mustPort(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}
