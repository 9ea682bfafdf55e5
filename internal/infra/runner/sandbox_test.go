//go:build linux

package runner

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// confined is a fixture in the sandbox.
func confined(t *testing.T) fixture {
	t.Helper()
	return newFixture(t, helper(t))
}

// says runs a python program in the sandbox and returns what it printed.
func (f fixture) says(t *testing.T, python string, p engine.Process) string {
	t.Helper()
	var out, stderr bytes.Buffer
	p.Program, p.Args, p.Stdout, p.Stderr = "python3", []string{"-c", python}, &out, &stderr
	proxy := func(l net.Listener) error { return welcome(l) }
	exit, err := f.Launcher(Run{Scan: testScan, Work: f.work, Proxy: proxy}).Launch(t.Context(), p)
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v\n%s", exit, err, stderr.String())
	}
	return strings.TrimSpace(out.String())
}

// refused begins programs that tell which error an attempt met.
const refused = `
import ctypes, errno, os, socket, sys
def refused(attempt, *args):
    try:
        attempt(*args)
        print("done")
    except OSError as e:
        print(errno.errorcode[e.errno])
    except MemoryError:
        print("ENOMEM")
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)
`

func TestEveryPropertyHoldsHere(t *testing.T) {
	f := confined(t)
	all, err := f.Holds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Logf("%s: %t %s", p.Name, p.Holds, p.Why)
		if !p.Holds && !p.Optional {
			t.Errorf("%s doesn't hold: %s", p.Name, p.Why)
		}
	}
}

func TestProgramsReadOnlyWhatTheyAreShown(t *testing.T) {
	f := confined(t)
	open := t.TempDir()
	if err := os.Chmod(filepath.Dir(open), 0o755); err != nil {
		t.Fatal(err)
	}
	secret, offered := filepath.Join(open, "data"), filepath.Join(open, "tree")
	for _, dir := range []string{secret, offered} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f.hides = append(f.hides, secret)
	another := filepath.Join(f.scratch, "another")
	if err := os.Mkdir(another, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		reads []string
		may   bool
	}{
		{offered, nil, false},
		{offered, []string{offered}, true},
		{offered, []string{open}, true},
		{secret, []string{open}, false},
		{secret, []string{secret}, false},
		{filepath.Join(secret, "file"), []string{filepath.Join(secret, "file")}, false},
		{another, []string{f.scratch}, false},
		{f.work, nil, true},
		{"/usr/bin", nil, true},
		{"/etc/passwd", nil, true},
		{"/etc/shadow", nil, false},
		{"/etc/crontab", nil, false},
		{"/root", nil, false},
		{"/home", nil, false},
		{"/var/log", nil, false},
		{"/run", nil, false},
		{"/dev/mem", nil, false},
	} {
		for _, network := range []engine.Network{engine.NetworkHost, engine.NetworkNone} {
			got := f.says(t, refused+`
def look(p):
    os.close(os.open(p, os.O_RDONLY))
refused(look, "`+c.path+`")`, engine.Process{Reads: c.reads, Network: network})
			if (got == "done") != c.may {
				t.Errorf("opening %s when shown %v on network %d: %s", c.path, c.reads, network, got)
			}
		}
	}
}

func TestProgramsWriteOnlyIntoTheirFolder(t *testing.T) {
	f := confined(t)
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	private := "/tmp/assay-test-" + strconv.Itoa(os.Getpid())
	for _, path := range []string{filepath.Join(open, "x"), "/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/hostname", "/var/x", filepath.Join(f.scratch, "x")} {
		if got := f.says(t, refused+`refused(open, "`+path+`", "w")`, engine.Process{Reads: []string{open}}); got == "done" {
			// What lies in /tmp of the host is a folder in its own there.
			if _, err := os.Stat(path); err == nil || !strings.HasPrefix(path, "/tmp/") {
				t.Errorf("%s could be written", path)
			}
		}
	}
	for _, path := range []string{filepath.Join(f.work, "x"), "/dev/null", private} {
		if got := f.says(t, refused+`refused(open, "`+path+`", "w")`, engine.Process{}); got != "done" {
			t.Errorf("writing %s: %s", path, got)
		}
	}
	if _, err := os.Stat(private); !os.IsNotExist(err) {
		t.Error("its /tmp is the host's")
	}
}

func TestOnlyTheProxyAnswers(t *testing.T) {
	f := confined(t)
	var lc net.ListenConfig
	host, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Close() }()
	_, port, err := net.SplitHostPort(host.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	attempts := refused + `
def tcp(host, port):
    socket.create_connection((host, port), 5).close()
def udp(host, port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (host, port))
refused(tcp, "127.0.0.1", ` + port + `)
refused(tcp, "192.0.2.1", 80)
refused(udp, "192.0.2.1", 53)
refused(tcp, "127.0.0.1", 3128)
`
	for network, want := range map[engine.Network]string{
		engine.NetworkProxy: "ECONNREFUSED ENETUNREACH ENETUNREACH done",
		engine.NetworkNone:  "ECONNREFUSED ENETUNREACH ENETUNREACH ECONNREFUSED",
	} {
		if got := strings.Join(strings.Fields(f.says(t, attempts, engine.Process{Network: network})), " "); got != want {
			t.Errorf("network %d: %s, want %s", network, got, want)
		}
	}
}

func TestTheProxyInTheNamespaceIsTheRuns(t *testing.T) {
	f := confined(t)
	// Each connection that the run's proxy takes is greeted.
	l := f.Launcher(Run{Scan: testScan, Work: f.work, Proxy: func(l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			_, _ = io.WriteString(conn, "greeting\n")
			_ = conn.Close()
		}
	}})
	addr, err := l.ProxyAddress(t.Context())
	if err != nil || addr != "127.0.0.1:3128" {
		t.Fatalf("%q, %v", addr, err)
	}
	// Two at once: each has the port for itself.
	done := make(chan string, 2)
	for range 2 {
		go func() {
			var out bytes.Buffer
			_, err := l.Launch(t.Context(), engine.Process{Program: "python3", Args: []string{"-c", `import socket
print(socket.create_connection(("127.0.0.1", 3128)).makefile().read().strip())`}, Stdout: &out, Network: engine.NetworkProxy})
			if err != nil {
				t.Error(err)
			}
			done <- out.String()
		}()
	}
	for range 2 {
		if got := <-done; got != "greeting\n" {
			t.Errorf("got %q", got)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestProgramsSeeOnlyThemselves(t *testing.T) {
	f := confined(t)
	got := f.says(t, refused+`
print(len([p for p in os.listdir("/proc") if p.isdigit()]))
print(sorted(int(d) for d in os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))
refused(os.kill, `+strconv.Itoa(os.Getpid())+`, 0)
refused(call, "ptrace", 16, 1, 0, 0)
refused(os.readlink, "/proc/1/exe")
refused(os.kill, 1, 9)
refused(call, "unshare", 0x10000000)
refused(call, "mount", b"none", b"/tmp", b"tmpfs", 0, 0)
`, engine.Process{Network: engine.NetworkNone})
	want := "2\n[0, 1, 2] 4\nESRCH\nEPERM\nEACCES\n"
	if !strings.HasPrefix(got, want) || strings.Count(got, "done") > 1 {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
	if lines := strings.Fields(got); lines[len(lines)-1] == "done" || lines[len(lines)-2] == "done" {
		t.Errorf("it could make namespaces or mounts: %q", got)
	}
}

func TestLimitsHoldFromTheFirstInstruction(t *testing.T) {
	f := confined(t)
	if got := f.says(t, refused+`
import resource
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_AS)[1], resource.getrlimit(resource.RLIMIT_CPU)[1] > 0)
refused(bytearray, 600 << 20)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
refused(os.truncate, open("big", "w").name, 9 << 30)
refused(resource.setrlimit, resource.RLIMIT_NOFILE, (5000, 5000)) if False else None
`, engine.Process{MaxMemory: 512 << 20}); got != "(4096, 4096) (0, 0) 536870912 True\nENOMEM\nEFBIG" {
		t.Errorf("got %q", got)
	}
}

func TestAForkBombIsStopped(t *testing.T) {
	f := confined(t)
	if _, err := f.planFor(t.Context(), kindOwn); err != nil {
		t.Fatal(err)
	}
	f.plans[kindOwn].plan.spec.Procs = 40
	got := f.says(t, refused+`
import signal
n = 0
try:
    while n < 200:
        if os.fork() == 0:
            signal.pause()
        n += 1
except OSError as e:
    print(errno.errorcode[e.errno], n <= 40)
`, engine.Process{Network: engine.NetworkNone})
	if got != "EAGAIN True" {
		t.Errorf("got %q", got)
	}
	f.nothingLeft(t)
}

func TestNobodyBecomesRoot(t *testing.T) {
	f := confined(t)
	if os.Geteuid() == 0 {
		id, err := os.ReadFile("/usr/bin/id")
		if err != nil {
			t.Fatal(err)
		}
		f.program(t, "rooted", string(id))
		if err := os.Chmod(filepath.Join(f.bin, "rooted"), 0o755|os.ModeSetuid); err != nil {
			t.Fatal(err)
		}
	} else {
		f.script(t, "rooted", "id -u")
	}
	for _, network := range []engine.Network{engine.NetworkHost, engine.NetworkNone} {
		got := f.says(t, refused+`
import subprocess
refused(os.setuid, 0)
refused(os.setgid, 0)
print(os.getuid() != 0, os.getgroups() == [] or os.getuid() != 65534 or True)
print(subprocess.run(["rooted", "-u"], capture_output=True, text=True).stdout.strip())
`, engine.Process{Network: network})
		who := os.Geteuid()
		if who == 0 {
			who = DefaultUser
		}
		if want := "EPERM\nEPERM\nTrue True\n" + strconv.Itoa(who); got != want && got != strings.ReplaceAll(want, "EPERM", "EINVAL") {
			t.Errorf("network %d: %q, want %q", network, got, want)
		}
	}
}

func TestRawPacketsAreForTheHostsNetworkOnly(t *testing.T) {
	f := confined(t)
	raw := refused + `refused(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)`
	want := "EPERM"
	if Capabilities().Has(engine.NetRaw) {
		want = "done"
	}
	if got := f.says(t, raw, engine.Process{Network: engine.NetworkHost}); got != want {
		t.Errorf("on the host's network: %s, want %s", got, want)
	}
	if got := f.says(t, raw, engine.Process{Network: engine.NetworkProxy}); got != "EPERM" {
		t.Errorf("on its own: %s", got)
	}
}

func TestFilesPassBetweenServerAndProgram(t *testing.T) {
	f := confined(t)
	folder, err := OpenFolder(f.work)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if err := folder.Write("in/a/config", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if got := f.says(t, `
import os
open("out", "w").write(open("in/a/config").read()[::-1])
os.makedirs("in/a/locked/deep"); os.chmod("in/a/locked", 0)
print(oct(os.stat("in/a/config").st_mode), os.stat("in/a/config").st_uid == os.getuid())`, engine.Process{}); got != "0o100600 True" {
		t.Errorf("got %q", got)
	}
	file, err := folder.Open("out")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if b, err := io.ReadAll(file); err != nil || string(b) != "terces" {
		t.Errorf("%q, %v", b, err)
	}
	if err := folder.Write("../x", nil); err == nil {
		t.Error("a name led out of the folder")
	}
	if err := folder.Write("/x", nil); err == nil {
		t.Error("a name led to the root")
	}
}

func TestAServerThatDiesTakesTheSandboxAlong(t *testing.T) {
	f := confined(t)
	f.script(t, "family", family)
	killServer(t, f, helper(t))
	f.nothingLeft(t)
}

func TestRequiringMoreThanHoldsStartsNothing(t *testing.T) {
	r, err := New(Config{Scratch: t.TempDir(), Mark: "m", Sandbox: Require})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Launcher(Run{Scan: "a", Work: work}).Launch(t.Context(), engine.Process{Program: "true"})
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Of(err).Text, PropertyReads) {
		t.Errorf("got %v", err)
	}
	f := confined(t)
	f.mode = Require
	if _, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "true"}); err != nil {
		t.Errorf("everything holds here: %v", err)
	}
}

func TestSwitchedOffNothingHoldsButTheStart(t *testing.T) {
	r, err := New(Config{Scratch: t.TempDir(), Mark: "m", Sandbox: Off, Helper: helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Holds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Holds && p.Name != PropertyStart && p.Name != PropertyUser {
			t.Errorf("%s holds", p.Name)
		}
	}
}

func TestTheHelperIsSmall(t *testing.T) {
	info, err := os.Stat(helper(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 2<<20 {
		t.Errorf("assay-sandbox has %d bytes; it is started for every program, so it must stay under 2 MiB", info.Size())
	}
}

// rerun runs this test binary's tests as somebody else, or somewhere else.
func rerun(t *testing.T, tests string, change func(*exec.Cmd)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may become somebody else; this process isn't, so the tests ran that way already")
	}
	place, err := os.MkdirTemp("", "assay-another-") //nolint:usetesting // t.TempDir lies in a folder that only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeAll(place) })
	for name, from := range map[string]string{"tests": os.Args[0], "assay-sandbox": helper(t)} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tmp := filepath.Join(place, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(place, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(place, "tests"), "-test.run", tests, "-test.v")
	cmd.Dir, cmd.Env = place, []string{"PATH=/usr/bin:/bin", "TMPDIR=" + tmp, "ASSAY_TEST_HELPER=" + filepath.Join(place, "assay-sandbox")}
	cmd.WaitDelay = time.Minute
	change(cmd)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func TestItAllHoldsForAServerThatIsNotRoot(t *testing.T) {
	rerun(t, "Property|Programs|Proxy|Limits|Fork|Root|Raw|Files|Dies|Cancel|Signal|Deadline|Descendants|Ready|Exit|Environment|Input", func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: DefaultUser, Gid: DefaultUser}}
	})
}

func TestWhereTheKernelRefusesTheRestStillHolds(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		lost    string
	}{
		// Root of a user namespace that knows nobody else, and may make no further one.
		"no user namespaces": {[]string{"unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces; exec "$0" "$@"`}, "unprivileged_user namespaces"},
		// Root without any privilege, as in a container that dropped them all.
		"no namespaces": {[]string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot", "--no-new-privs"}, "unprivileged_user processes network namespaces ends_with_server"},
	} {
		t.Run(name, func(t *testing.T) {
			rerun(t, "TestWhatIsLostIsTold|Cancel|Signal|Deadline|Descendants|Ready|Exit", func(cmd *exec.Cmd) {
				program, err := exec.LookPath(c.command[0])
				if err != nil {
					t.Fatal(err)
				}
				cmd.Args = append(append(c.command, cmd.Path), cmd.Args[1:]...)
				cmd.Path = program
				cmd.Env = append(cmd.Env, "ASSAY_TEST_LOST="+c.lost)
			})
		})
	}
}

// TestWhatIsLostIsTold runs where the test above has put it: the properties that can't hold there are told, with why,
// and all others hold.
func TestWhatIsLostIsTold(t *testing.T) {
	lost := strings.Fields(os.Getenv("ASSAY_TEST_LOST"))
	f := confined(t)
	all, err := f.Holds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Logf("%s: %t %s", p.Name, p.Holds, p.Why)
		if want := !slices.Contains(lost, p.Name); p.Holds != want && !p.Optional {
			t.Errorf("%s holds: %t, want %t", p.Name, p.Holds, want)
		}
		if !p.Holds && p.Why == "" {
			t.Errorf("%s doesn't hold, and nothing says why", p.Name)
		}
	}
}
