// Package targets starts weak targets for tests of scan engines: a web application, a row of old services and a TLS
// server, each on free loopback ports with a list of the flaws that were planted in it.
//
// Only tests may import it, and nothing in it may ever listen beyond 127.0.0.1. The flaws are data, so that a test can
// ask what was found, missed or told twice without knowing any engine's titles. Start with Web, then flaw.go.
package targets

import (
	"bufio"
	"embed"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed *.py
var scripts embed.FS

// startTime bounds a target's start; a machine under load takes seconds to start Python.
const startTime = time.Minute

// Target is a weak target that is up.
type Target struct {
	Name  string
	Addr  string // "127.0.0.1:PORT", of several services the first
	URL   string // of the web application, with a slash at its end; empty for what speaks no HTTP
	Ports []int  // in the order of the target's own list
	Flaws []Flaw // what was planted, with its port
}

// Web starts the weak web application: injections, exposed files, missing headers. It ends with the test.
func Web(tb testing.TB) Target {
	tb.Helper()
	ports := start(tb, "vulnweb.py", "--port", "0")
	return target("web", ports, webFlaws(ports[0]))
}

// Banners starts seven small TCP services with old banners, in the order ssh, ftp, smtp, redis, telnet, silent, slow.
// The silent one accepts and never answers, the slow one sends a byte a second. They end with the test.
func Banners(tb testing.TB) Target {
	tb.Helper()
	ports := start(tb, "banners.py", "--base", "0")
	if len(ports) != 7 {
		tb.Fatalf("banners.py listens on %d ports instead of 7", len(ports))
	}
	t := target("banners", ports, bannerFlaws(ports))
	t.URL = ""
	return t
}

// FakeZAP starts a stand-in for a ZAP daemon's REST API with the key; args are further arguments of fakezap.py. It
// scans nothing and its alerts are made up.
func FakeZAP(tb testing.TB, key string, args ...string) Target {
	tb.Helper()
	return target("fakezap", start(tb, "fakezap.py", append([]string{"--port", "0", "--key", key}, args...)...), nil)
}

// Repository writes a source tree with planted flaws and returns its folder.
func Repository(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	run(tb, "mkrepo.py", "--out", dir)
	return dir
}

// Image writes a container image as a docker-archive with planted flaws and returns its file.
func Image(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "shop.tar")
	run(tb, "mkrepo.py", "--image", file)
	return file
}

// Script writes one of the package's scripts for tests that start it themselves, as osintnet.py within a network
// namespace, and returns its file.
func Script(tb testing.TB, name string) string {
	tb.Helper()
	text, err := scripts.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func target(name string, ports []int, flaws []Flaw) Target {
	addr := "127.0.0.1:" + strconv.Itoa(ports[0])
	return Target{Name: name, Addr: addr, URL: "http://" + addr + "/", Ports: ports, Flaws: flaws}
}

func run(tb testing.TB, script string, args ...string) {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "python3", append([]string{Script(tb, script)}, args...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// start runs a server script until the test ends and returns the ports that it names. The script ends with its standard
// input, so that nothing is left of a test that was killed.
func start(tb testing.TB, script string, args ...string) []int {
	tb.Helper()
	cmd := exec.Command("python3", append([]string{Script(tb, script), "--until-eof"}, args...)...) //nolint:noctx // it lives as long as its standard input
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + tb.TempDir(), "LANG=C.UTF-8"}
	input, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = tb.Output()
	if err := cmd.Start(); err != nil {
		tb.Fatalf("weak targets need python3: %v", err)
	}
	tb.Cleanup(func() {
		_ = input.Close()
		late := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_, _ = io.Copy(io.Discard, output)
		_ = cmd.Wait() // how a server that was told to go ends means nothing
	})
	late := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		tb.Fatalf("%s didn't start: %v", script, err)
	}
	return portsOf(tb, line)
}

// portsOf reads "listening on 127.0.0.1:P,P".
func portsOf(tb testing.TB, line string) []int {
	tb.Helper()
	_, list, ok := strings.Cut(strings.TrimSpace(line), "listening on 127.0.0.1:")
	if !ok {
		tb.Fatalf("a weak target said %q", line)
	}
	var ports []int
	for text := range strings.SplitSeq(list, ",") {
		port, err := strconv.Atoi(text)
		if err != nil {
			tb.Fatalf("a weak target said %q", line)
		}
		ports = append(ports, port)
	}
	return ports
}
