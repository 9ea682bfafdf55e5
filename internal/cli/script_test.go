package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"assay.dev/assay/internal/simulator"
)

// TestScripts runs what a user types, testdata/script/*.txtar, against the real program and a real server process.
// Beside testscript's own commands they have:
//
//	exits CODE ARG...     run assay and demand this exit code
//	serve [ARG...]        start a server on the folder data; ASSAY_SERVER names it
//	stop                  end that server by SIGTERM; it must exit 0
//	hangup TEXT           send that server SIGHUP and wait for TEXT in its log
//	weak                  start the weak target; TARGET and PORTS say where
//	tarpit                start ports that accept and never answer; TARPIT lists them
//	extract VAR PATH      set VAR from the JSON on the last standard output, PATH as in a.0.b
//	keys PATH KEY...      demand an object with exactly these keys there; PATH . is the whole
//	tamper FILE HOW N NEW forge an export: change, remove or swap entry N, or cut the file there
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = &scriptServer{env: env}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "serve": serveScript, "halt": stopScript, "weak": weak, "tarpit": tarpit, "extract": extract,
			"keys": keysOf, "tamper": tamper, "hangup": hangup,
		},
	})
}

type serverKey struct{}

// scriptServer is the server of one script.
type scriptServer struct {
	env     *testscript.Env
	running *server
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	got := 0
	err = ts.Exec("assay", args[1:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("assay exited %d, want %d", got, want)
	}
}

func serveScript(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(serverKey{}).(*scriptServer)
	args = append([]string{"--data", ts.MkAbs("data"), "--listen", "127.0.0.1:0"}, args...)
	running, err := startServer(append(slices.Clone(s.env.Vars), "ASSAY_CA_FILE="+ts.Getenv("ASSAY_CA_FILE")), args...)
	if running != nil {
		ts.Defer(func() {
			running.kill()
			ts.Logf("[server]\n%s", running.log.String())
		})
	}
	ts.Check(err)
	s.running = running
	ts.Setenv("ASSAY_SERVER", running.url)
	_, address, _ := strings.Cut(running.url, "://")
	ts.Setenv("ADDRESS", address)
}

func stopScript(ts *testscript.TestScript, _ bool, _ []string) {
	code, err := ts.Value(serverKey{}).(*scriptServer).running.stop()
	ts.Check(err)
	if code != 0 {
		ts.Fatalf("the server exited %d", code)
	}
}

func hangup(ts *testscript.TestScript, _ bool, args []string) {
	running := ts.Value(serverKey{}).(*scriptServer).running
	ts.Check(running.cmd.Process.Signal(syscall.SIGHUP))
	for end := time.Now().Add(patience); !strings.Contains(running.log.String(), args[0]); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("the server's log never said %q", args[0])
		}
	}
}

func weak(ts *testscript.TestScript, _ bool, _ []string) {
	w, err := simulator.StartWeakTarget(context.Background(), simulator.WeakConfig{Rand: rand.Reader})
	ts.Check(err)
	ts.Defer(func() { _ = w.Close() })
	ts.Setenv("TARGET", w.Host().String())
	ts.Setenv("PORTS", w.PortList())
}

func tarpit(ts *testscript.TestScript, _ bool, _ []string) {
	ports, closeAll, err := startTarpit(40)
	ts.Check(err)
	ts.Defer(closeAll)
	ts.Setenv("TARPIT", ports)
}

// startTarpit opens ports that take connections and never say a word, so that every probe of every port waits in vain.
func startTarpit(n int) (ports string, closeAll func(), err error) {
	var all []net.Listener
	var list []string
	closeAll = func() {
		for _, l := range all {
			_ = l.Close()
		}
	}
	for range n {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			closeAll()
			return "", nil, err
		}
		all = append(all, l)
		list = append(list, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = c.Close() }()
					_, _ = c.Read(make([]byte, 1<<16)) // until the other side has enough; what it says is not answered
					_, _ = c.Read(make([]byte, 1))
				}()
			}
		}()
	}
	return strings.Join(list, ","), closeAll, nil
}

// at reads the value at a path from the last standard output.
func at(ts *testscript.TestScript, path string) any {
	var v any
	text := ts.ReadFile("stdout")
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("standard output is not JSON: %v\n%s", err, text)
	}
	if d.More() {
		ts.Fatalf("standard output holds more than one value:\n%s", text)
	}
	for part := range strings.SplitSeq(strings.Trim(path, "."), ".") {
		if part == "" {
			continue
		}
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(in) {
				ts.Fatalf("%s: the list has %d values", path, len(in))
			}
			v = in[i]
		default:
			ts.Fatalf("%s: there is nothing in %v", path, v)
		}
	}
	return v
}

func extract(ts *testscript.TestScript, _ bool, args []string) {
	v := at(ts, args[1])
	if v == nil {
		ts.Fatalf("%s is absent", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

func keysOf(ts *testscript.TestScript, _ bool, args []string) {
	v, ok := at(ts, args[0]).(map[string]any)
	if !ok {
		ts.Fatalf("%s is no object", args[0])
	}
	got, want := slices.Sorted(maps.Keys(v)), slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s has the keys %v, want %v", args[0], got, want)
	}
}

// tamper changes an export as a forger would, who knows its form but holds no signing key.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.SplitAfter(ts.ReadFile(args[0]), "\n")
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	i := n + 1 // line 0 is the header
	switch args[1] {
	case "change":
		var entry map[string]any
		ts.Check(json.Unmarshal([]byte(lines[i]), &entry))
		leaf, err := base64.StdEncoding.DecodeString(entry["leaf"].(string))
		ts.Check(err)
		leaf[len(leaf)-1] ^= 1
		lines[i] = strings.Replace(lines[i], entry["leaf"].(string), base64.StdEncoding.EncodeToString(leaf), 1)
	case "remove":
		lines = slices.Delete(lines, i, i+1)
	case "swap":
		lines[i], lines[i+1] = lines[i+1], lines[i]
	case "cut":
		lines = lines[:i]
	default:
		ts.Fatalf("usage: tamper FILE change|remove|swap|cut INDEX NEW")
	}
	ts.Check(writeFile(ts.MkAbs(args[3]), strings.Join(lines, "")))
}
