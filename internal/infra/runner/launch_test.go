//go:build linux

package runner

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

const testScan = "0190a0a0-0000-7000-8000-000000000001"

// fixture is a runner whose first folder of programs the test writes scripts into.
type fixture struct {
	*Runner
	bin  string
	work string
}

// helper returns the path of assay-sandbox; a test binary that runs as another user can't build it.
func helper(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("ASSAY_TEST_HELPER"); path != "" {
		return path
	}
	return runnertest.Helper(tb)
}

func newFixture(t *testing.T, sandbox string) fixture {
	t.Helper()
	bin := t.TempDir()
	r, err := New(Config{Path: []string{bin, "/usr/bin", "/bin"}, Scratch: t.TempDir(), Mark: Mark(t.TempDir()), Helper: sandbox})
	if err != nil {
		t.Fatal(err)
	}
	work, remove, err := r.Scratch(testScan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	})
	return fixture{Runner: r, bin: bin, work: work}
}

// eachWay runs a test with and without the sandbox.
func eachWay(t *testing.T, test func(*testing.T, fixture)) {
	t.Helper()
	t.Run("unconfined", func(t *testing.T) { test(t, newFixture(t, "")) })
	t.Run("confined", func(t *testing.T) { test(t, newFixture(t, helper(t))) })
}

// nothingLeft fails where a process of the fixture's runs is still there.
func (f fixture) nothingLeft(t *testing.T) {
	t.Helper()
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if carries(pid, f.mark) && alive(pid) {
			t.Errorf("process %d outlived its run", pid)
		}
	}
}

func (f fixture) script(t *testing.T, name, body string) {
	t.Helper()
	f.program(t, name, "#!/bin/sh\n"+body+"\n")
}

func (f fixture) program(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.bin, name), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// ready is a writer that remembers what was written and closes a channel when it holds a line "ready".
type ready struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	seen chan struct{}
	once sync.Once
}

func newReady() *ready { return &ready{seen: make(chan struct{})} }

func (w *ready) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(b)
	if bytes.Contains(w.buf.Bytes(), []byte("ready\n")) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(b), nil
}

// pids returns the process numbers that a script printed as "pid N".
func (w *ready) pids(t *testing.T) []int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int
	for line := range strings.Lines(w.buf.String()) {
		var pid int
		if _, err := fmt.Sscanf(line, "pid %d", &pid); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// alive reports whether a process runs; a zombie, which only waits to be reaped by someone else, doesn't.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

func TestEnvironmentIsOnlyTheAllowList(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		t.Setenv("ASSAY_MASTER_KEY", "CANARY")
		var out bytes.Buffer
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "env", Env: []string{"NMAP_X=1"}, Stdout: &out})
		if err != nil || exit.Code != 0 {
			t.Fatal(exit, err)
		}
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		slices.Sort(got)
		want := []string{
			"ASSAY_RUN=" + f.mark + ":" + testScan + ":1", "HOME=" + f.work, "LANG=C.UTF-8", "NMAP_X=1",
			"PATH=" + f.bin + ":/usr/bin:/bin", "TMPDIR=" + f.work, "TZ=UTC",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestEnginesCannotOverrideTheEnvironment(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		for _, env := range []string{"PATH=/tmp", "LD_PRELOAD=x.so", "ASSAY_RUN=x", "HOME=/", "novalue", "=x", "A=\x00"} {
			_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "true", Env: []string{env}})
			if fault.KindOf(err) != fault.Internal || err == nil {
				t.Errorf("%q: %v, want an internal fault", env, err)
			}
		}
	})
}

func TestProcessHasNoInputNoTerminalAndItsOwnFolder(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "look", `cat; pwd; [ -t 0 ] || echo notty; (: </dev/tty) 2>/dev/null || echo noctty; ulimit -c; ls -a | wc -l; grep NoNewPrivs /proc/self/status`)
		var out bytes.Buffer
		if _, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "look", Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		want := f.work + "\nnotty\nnoctty\n0\n2\nNoNewPrivs:\t1\n"
		if got := out.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestExitTellsCodeAndUse(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "seven", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7")
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "seven"})
		if err != nil || exit.Code != 7 || exit.Signaled || exit.Canceled || exit.MaxRSS <= 0 || exit.CPU <= 0 {
			t.Errorf("%+v, %v", exit, err)
		}
		f.script(t, "self", "kill -TERM $$")
		exit, err = f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "self"})
		if err != nil || exit.Code != -1 || !exit.Signaled || exit.Canceled {
			t.Errorf("%+v, %v", exit, err)
		}
	})
}

func TestMissingProgramIsUnavailable(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "no-such-engine"})
		if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
			t.Errorf("got %v, want ENGINE_NOT_AVAILABLE", err)
		}
		for _, name := range []string{"", "/bin/sh", "../sh", "."} {
			if _, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: name}); fault.KindOf(err) != fault.Internal {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// launchAndCancel starts the script, cancels when it is ready and returns when Launch does.
func launchAndCancel(t *testing.T, f fixture, p engine.Process) (engine.Exit, *ready) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := newReady()
	p.Stdout = out
	go func() {
		<-out.seen
		cancel()
	}()
	exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return exit, out
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "family", `sh -c 'echo pid $$; sleep 1000' & sh -c 'trap "" INT TERM; echo pid $$; sleep 1000' & echo pid $$; sleep 0.2; echo ready; wait`)
		exit, out := launchAndCancel(t, f, engine.Process{Program: "family", First: engine.Interrupt, Grace: 100 * time.Millisecond})
		if !exit.Canceled {
			t.Errorf("exit = %+v, want canceled", exit)
		}
		pids := out.pids(t)
		if len(pids) != 3 {
			t.Fatalf("saw %d processes, want 3", len(pids))
		}
		f.nothingLeft(t)
	})
}

func TestIgnoredSignalIsFollowedByTheKill(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "stubborn", `trap "" INT TERM HUP; echo pid $$; echo ready; while :; do sleep 1000; done`)
		exit, _ := launchAndCancel(t, f, engine.Process{Program: "stubborn", Grace: 50 * time.Millisecond})
		if !exit.Canceled || !exit.Signaled || exit.Code != -1 {
			t.Errorf("exit = %+v", exit)
		}
		f.nothingLeft(t)
		if maxGrace+drain >= 5*time.Second {
			t.Error("the longest grace breaks the promise of five seconds")
		}
	})
}

func TestFirstSignalLetsTheProgramFinish(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "polite", `trap 'echo report; exit 3' INT TERM; echo ready; while :; do sleep 0.05; done`)
		exit, out := launchAndCancel(t, f, engine.Process{Program: "polite", Grace: maxGrace})
		if exit.Code != 3 || !exit.Canceled || !strings.HasSuffix(out.buf.String(), "report\n") {
			t.Errorf("exit = %+v, output %q", exit, out.buf.String())
		}
	})
}

func TestDeadlineEndsTheRun(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, engine.Process{Program: "sleep", Args: []string{"1000"}, Grace: time.Second})
		if err != nil || !exit.Canceled {
			t.Errorf("%+v, %v", exit, err)
		}
		exit, err = f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, engine.Process{Program: "sleep", Args: []string{"1000"}})
		if err != nil || !exit.Canceled {
			t.Errorf("after the deadline: %+v, %v", exit, err)
		}
	})
}

func TestDescendantsThatLeaveTheGroupAreEnded(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "daemon", `setsid sh -c 'echo pid $$; echo ready; exec sleep 1000' & while [ ! -e done ]; do sleep 0.02; done; exit 0`)
		out := newReady()
		go func() {
			<-out.seen
			if err := os.WriteFile(filepath.Join(f.work, "done"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}()
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "daemon", Stdout: out})
		if err != nil || exit.Code != 0 || exit.Canceled {
			t.Fatalf("%+v, %v", exit, err)
		}
		f.nothingLeft(t)
	})
}

// bounded keeps the first bytes and counts the rest, as artifacts do.
type bounded struct{ left, dropped int }

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.dropped += len(p) - n
	return len(p), nil
}

func TestOutputFloodIsBoundedByTheWriter(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		w := &bounded{left: 1 << 20}
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "head", Args: []string{"-c", "20000000", "/dev/zero"}, Stdout: w})
		if err != nil || exit.Code != 0 || w.left != 0 || w.dropped != 20_000_000-1<<20 {
			t.Errorf("%+v, %v, %+v", exit, err, w)
		}
	})
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestRefusedOutputEndsTheProgram(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "endless", `while :; do echo x; sleep 0.01; done`)
		_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "endless", Stdout: refusing{}})
		if fault.KindOf(err) != fault.Internal || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMemoryLimitHolds(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "limit", `until [ $(ulimit -v) = 524288 ]; do :; done; echo held`) // confined, it is so from the start
		var out bytes.Buffer
		if _, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "limit", Stdout: &out, MaxMemory: 512 << 20}); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "held\n" {
			t.Errorf("the program says %q", got)
		}
	})
}

func TestNoNetworkRunsTheProgramInAnyCase(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		var out bytes.Buffer
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "cat", Args: []string{"/proc/net/dev"}, Stdout: &out, Network: engine.NetworkNone})
		if err != nil || exit.Code != 0 {
			t.Fatal(exit, err)
		}
		t.Logf("interfaces seen: %q", out.String())
	})
}

// TestMain is also the server that dies: with ASSAY_TEST_SERVER it launches a family and waits to be killed.
func TestMain(m *testing.M) {
	if bin := os.Getenv("ASSAY_TEST_SERVER"); bin != "" {
		r, err := New(Config{Path: []string{bin, "/usr/bin", "/bin"}, Scratch: os.Getenv("ASSAY_TEST_SCRATCH"), Mark: os.Getenv("ASSAY_TEST_MARK"), Helper: os.Getenv("ASSAY_TEST_HELPER")})
		if err != nil {
			os.Exit(1)
		}
		work, _, err := r.Scratch(testScan)
		if err != nil {
			os.Exit(1)
		}
		_, _ = r.Launcher(Run{Scan: testScan, Work: work}).Launch(context.Background(), engine.Process{Program: "family", Stdout: os.Stdout})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killServer starts a server process whose run is the script "family", kills it once the script has printed its
// processes, and returns them.
func killServer(t *testing.T, f fixture, sandbox string) []int {
	t.Helper()
	server := exec.CommandContext(t.Context(), os.Args[0])
	server.Env = []string{"ASSAY_TEST_SERVER=" + f.bin, "ASSAY_TEST_SCRATCH=" + t.TempDir(), "ASSAY_TEST_MARK=" + f.mark, "ASSAY_TEST_HELPER=" + sandbox}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	out := newReady()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		_, _ = out.Write(append(lines.Bytes(), '\n'))
		if len(out.pids(t)) == 3 {
			break
		}
	}
	pids := out.pids(t)
	if len(pids) != 3 {
		t.Fatalf("saw processes %v, want 3", pids)
	}
	family := f.marked(t)
	if err := server.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	if sandbox == "" {
		return pids
	}
	late, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, fd := range family {
		if err := awaitDeath(late, fd); err != nil {
			t.Errorf("a process survived its server: %v", err)
		}
	}
	return pids
}

// marked returns descriptors of the processes of the fixture's runs.
func (f fixture) marked(t *testing.T) []int {
	t.Helper()
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, pid := range pids {
		if !carries(pid, f.mark) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		out = append(out, fd)
	}
	return out
}

// family is one child in the group and one daemon that left it: the parent-death signal reaches neither.
const family = `sh -c 'echo pid $$; exec sleep 1000' & setsid sh -c 'echo pid $$; exec sleep 1000' & echo pid $$; wait`

func TestSurvivorsOfAKilledServerAreEnded(t *testing.T) {
	f := newFixture(t, "")
	f.script(t, "family", family)
	pids := killServer(t, f, "")
	if n, err := KillSurvivors(t.Context(), Mark("/somewhere/else")); err != nil || n != 0 {
		t.Fatalf("another installation's start killed %d, %v", n, err)
	}
	n, err := KillSurvivors(t.Context(), f.mark)
	if err != nil || n < 2 {
		t.Errorf("killed %d, %v; want the two that the parent's death didn't reach", n, err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d survived", pid)
		}
	}
	if n, err := KillSurvivors(t.Context(), f.mark); err != nil || n != 0 {
		t.Errorf("a second look killed %d, %v", n, err)
	}
}

func TestConcurrentStartsOfOneRunDontEndEachOther(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		l := f.Launcher(Run{Scan: testScan, Work: f.work})
		f.script(t, "long", `echo ready; while [ ! -e done ]; do sleep 0.02; done; exit 5`)
		out, code := newReady(), make(chan int, 1)
		go func() {
			exit, err := l.Launch(t.Context(), engine.Process{Program: "long", Stdout: out})
			if err != nil {
				t.Error(err)
			}
			code <- exit.Code
		}()
		<-out.seen
		if _, err := l.Launch(t.Context(), engine.Process{Program: "true"}); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(f.work, "done"), nil, 0o600); err != nil {
			t.Error(err)
		}
		if got := <-code; got != 5 {
			t.Errorf("the other start ended with %d, want 5", got)
		}
	})
}

// BenchmarkLaunch is what a start costs without and with the sandbox.
func BenchmarkLaunch(b *testing.B) {
	for name, helper := range map[string]string{"unconfined": "", "confined": helper(b)} {
		b.Run(name, func(b *testing.B) {
			r, err := New(Config{Scratch: b.TempDir(), Mark: "bench", Helper: helper})
			if err != nil {
				b.Fatal(err)
			}
			work, _, err := r.Scratch(testScan)
			if err != nil {
				b.Fatal(err)
			}
			l := r.Launcher(Run{Scan: testScan, Work: work})
			for _, network := range []engine.Network{engine.NetworkHost, engine.NetworkProxy} {
				b.Run(map[engine.Network]string{engine.NetworkHost: "host", engine.NetworkProxy: "own"}[network], func(b *testing.B) {
					for b.Loop() {
						if _, err := l.Launch(b.Context(), engine.Process{Program: "true", Network: network}); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func TestAProgramThatIsJustBeingWrittenIsTriedAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.script(t, "upgraded", "exit 7")
		w, err := os.OpenFile(filepath.Join(f.bin, "upgraded"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Millisecond, func() { _ = w.Close() })
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "upgraded"})
		if err != nil || exit.Code != 7 {
			t.Errorf("exit %+v, %v", exit, err)
		}
	})
}
