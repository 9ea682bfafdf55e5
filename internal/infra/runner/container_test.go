//go:build linux

package runner

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

const testImage = "registry.example/scanner@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// standIn behaves at its boundary as docker does: it keeps what it was told, runs until it is killed, and forgets a
// container that is removed.
const standIn = `
here=$(dirname "$0")
echo "$*" >>"$here/orders"
case $1 in
run)
	env | sort >"$here/env"
	[ -e "$here/fails" ] && exit $(cat "$here/fails")
	echo ready
	[ -e "$here/ends" ] && exit $(cat "$here/ends")
	while [ ! -e "$here/killed" ]; do sleep 0.01; done
	exit $(cat "$here/killed") ;;
kill)
	[ "$3" = KILL ] && echo 137 >"$here/killed"
	[ "$3" = TERM ] && [ ! -e "$here/stubborn" ] && echo 3 >"$here/killed" ;;
ps)
	[ -e "$here/left" ] && cat "$here/left" ;;
esac
exit 0`

func boxed(t *testing.T) fixture {
	t.Helper()
	f := newFixture(t, "")
	f.containers = Containers{Runtime: "docker", Images: map[string]string{"scanner": testImage}}
	f.script(t, "docker", standIn)
	return f
}

func (f fixture) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.bin, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// orders returns what the runtime was told, one order a line.
func (f fixture) orders(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.bin, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func TestAContainerHasNothingThatItWasNotGiven(t *testing.T) {
	owner := strconv.Itoa(os.Geteuid()) + ":" + strconv.Itoa(os.Getegid())
	for network, how := range map[engine.Network]string{
		engine.NetworkNone: "--network none", engine.NetworkProxy: "--network host", engine.NetworkHost: "--network host --cap-add NET_RAW",
	} {
		f := boxed(t)
		f.put(t, "ends", "7")
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{
			Program: "scanner", Args: []string{"--json", "--", "192.0.2.1"}, Env: []string{"TOKEN=hidden"}, MaxMemory: 1 << 30, Network: network, Reads: []string{"/srv/tree"},
		})
		if err != nil || exit.Code != 7 || exit.Signaled || exit.Canceled {
			t.Fatalf("%+v, %v", exit, err)
		}
		name := f.mark + "-" + testScan + "-1"
		want := []string{
			"run --rm -i --sig-proxy=false --pull never --name " + name + " --label assay.run=" + f.mark + " --read-only --cap-drop ALL --security-opt no-new-privileges" +
				" --pids-limit 2048 --ulimit core=0 --ulimit nofile=4096 --user " + owner + " --tmpfs /tmp:rw,nosuid,nodev,size=256m --volume " + f.work + ":" + f.work +
				" --workdir " + f.work + " --memory 1073741824 --memory-swap 1073741824 " + how + " --volume /srv/tree:/srv/tree:ro" +
				" --env HOME=" + f.work + " --env TMPDIR=" + f.work + " --env LANG=C.UTF-8 --env TZ=UTC --env TOKEN --entrypoint scanner " + testImage + " --json -- 192.0.2.1",
			"rm --force " + name,
		}
		if diff := cmp.Diff(want, f.orders(t)); diff != "" {
			t.Error(diff)
		}
		env, err := os.ReadFile(filepath.Join(f.bin, "env"))
		if err != nil || !bytes.Contains(env, []byte("TOKEN=hidden\n")) || bytes.Contains(env, []byte("ASSAY_MASTER")) {
			t.Errorf("the runtime's environment: %q, %v", env, err)
		}
	}
}

func TestCancelKillsTheContainer(t *testing.T) {
	f := boxed(t)
	exit, _ := launchAndCancel(t, f, engine.Process{Program: "scanner", First: engine.Terminate, Grace: time.Minute})
	if !exit.Canceled || exit.Code != 3 {
		t.Errorf("a polite program: %+v", exit)
	}
	if got := f.orders(t)[1]; !strings.HasPrefix(got, "kill --signal TERM "+f.mark) {
		t.Errorf("told %q", got)
	}

	f = boxed(t)
	f.put(t, "stubborn", "")
	exit, _ = launchAndCancel(t, f, engine.Process{Program: "scanner", First: engine.Terminate, Grace: 50 * time.Millisecond})
	if !exit.Canceled || !exit.Signaled || exit.Code != -1 {
		t.Errorf("a stubborn program: %+v", exit)
	}
	orders := f.orders(t)
	if len(orders) != 4 || !strings.HasPrefix(orders[2], "kill --signal KILL ") || !strings.HasPrefix(orders[3], "rm --force ") {
		t.Errorf("told %q", orders)
	}
}

func TestAContainerThatCannotStartIsUnavailable(t *testing.T) {
	for _, code := range []string{"125", "126", "127"} {
		f := boxed(t)
		f.put(t, "fails", code)
		_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "scanner"})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("exit %s: %v", code, err)
		}
	}
	f := boxed(t)
	if err := os.Remove(filepath.Join(f.bin, "docker")); err != nil {
		t.Fatal(err)
	}
	_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "scanner"})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without a runtime: %v", err)
	}
}

func TestOtherProgramsDontStartInContainers(t *testing.T) {
	f := boxed(t)
	if exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{Program: "true"}); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	if _, err := os.Stat(filepath.Join(f.bin, "orders")); err == nil {
		t.Error("the runtime was asked")
	}
}

func TestContainersOfAKilledServerAreRemoved(t *testing.T) {
	f := boxed(t)
	f.put(t, "left", "c0ffee1\nc0ffee2\n")
	if n, err := f.RemoveContainers(t.Context()); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	want := []string{"ps --all --quiet --filter label=assay.run=" + f.mark, "rm --force c0ffee1 c0ffee2"}
	if diff := cmp.Diff(want, f.orders(t)); diff != "" {
		t.Error(diff)
	}
	f.put(t, "left", "-v\n")
	if _, err := f.RemoveContainers(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ids that are options: %v", err)
	}
	if n, err := newFixture(t, "").RemoveContainers(t.Context()); err != nil || n != 0 {
		t.Errorf("without a runtime: %d, %v", n, err)
	}
}

func TestTheProxyHasOneAddressInsideAndOutside(t *testing.T) {
	f := newFixture(t, helper(t))
	f.containers = Containers{Runtime: "docker", Images: map[string]string{"scanner": testImage}}
	l := f.Launcher(Run{Scan: testScan, Work: f.work, Proxy: welcome})
	defer func() { _ = l.Close() }()
	addr, err := l.ProxyAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("not on the host, where containers are: %v", err)
	}
	_ = conn.Close()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := l.Launch(t.Context(), engine.Process{
		Program: "python3", Args: []string{"-c", `import socket; socket.create_connection(("127.0.0.1", ` + port + `))`}, Network: engine.NetworkProxy,
	})
	if err != nil || exit.Code != 0 {
		t.Errorf("not in a network of a program's own: %+v, %v", exit, err)
	}
}

func TestImagesMustBePinned(t *testing.T) {
	for _, c := range []Containers{
		{Runtime: "docker", Images: map[string]string{"scanner": "registry.example/scanner:latest"}},
		{Runtime: "docker", Images: map[string]string{"scanner": "-v@sha256:" + strings.Repeat("a", 64)}},
		{Runtime: "docker", Images: map[string]string{"scanner": "x@sha256:" + strings.Repeat("A", 64)}},
		{Runtime: "/bin/docker", Images: map[string]string{"scanner": testImage}},
		{Images: map[string]string{"scanner": testImage}},
	} {
		if _, err := New(Config{Scratch: t.TempDir(), Mark: "m", Containers: c}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := New(Config{Scratch: t.TempDir(), Mark: "m", Containers: Containers{Runtime: "podman", Images: map[string]string{"scanner": testImage}}}); err != nil {
		t.Error(err)
	}
}
