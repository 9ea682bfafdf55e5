//go:build linux

package runner

import (
	"bufio"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// echoing is a program that listens on a loopback port and answers each line with itself.
const echoing = `#!/usr/bin/env python3
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    f = c.makefile("rwb")
    line = f.readline()
    f.write(line)
    f.flush()
    c.close()
`

// freePort returns a port of loopback that was free just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		t.Fatal(err, ok)
	}
	return addr.Port
}

func TestReadyTalksToTheProgramThatServes(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.program(t, "echoing", echoing)
		port := freePort(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls, answer := 0, ""
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, engine.Process{
			Program: "echoing", Args: []string{strconv.Itoa(port)}, Grace: time.Second, First: engine.Terminate, Listens: port,
			Ready: func(within context.Context, dial func(context.Context) (net.Conn, error)) {
				defer cancel()
				calls++
				conn, err := dial(within)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				if _, err := conn.Write([]byte("hello\n")); err != nil {
					t.Error(err)
				}
				answer, err = bufio.NewReader(conn).ReadString('\n')
				if err != nil {
					t.Error(err)
				}
			},
		})
		if err != nil || !exit.Canceled || calls != 1 || answer != "hello\n" {
			t.Errorf("%+v, %v, %d calls, answer %q", exit, err, calls, answer)
		}
	})
}

func TestReadyIsNotGivenSomebodyElsesPort(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		accepted := make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for range 3 { // it is tried, and tried again
				conn, err := l.Accept()
				if err != nil {
					break
				}
				_ = conn.Close()
			}
			accepted <- struct{}{}
			cancel()
		}()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			t.Fatal("no TCP")
		}
		_, err = f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, engine.Process{
			Program: "sleep", Args: []string{"1000"}, First: engine.Terminate, Grace: time.Second, Listens: addr.Port,
			Ready: func(context.Context, func(context.Context) (net.Conn, error)) { t.Error("called with another's port") },
		})
		if err != nil {
			t.Error(err)
		}
		<-accepted
	})
}

func TestReadyThatPanicsEndsTheProgram(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.program(t, "echoing", echoing)
		port := freePort(t)
		_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{
			Program: "echoing", Args: []string{strconv.Itoa(port)}, First: engine.Terminate, Grace: time.Second, Listens: port,
			Ready: func(context.Context, func(context.Context) (net.Conn, error)) { panic("no") },
		})
		if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), "engine") {
			t.Errorf("got %v", err)
		}
	})
}

func TestReadyEndsWithTheProgram(t *testing.T) {
	eachWay(t, func(t *testing.T, f fixture) {
		f.program(t, "quitting", strings.Replace(echoing, "    f.write", "    if line == b'quit\\n': sys.exit(4)\n    f.write", 1))
		port := freePort(t)
		ended := false
		exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{
			Program: "quitting", Args: []string{strconv.Itoa(port)}, Listens: port,
			Ready: func(ctx context.Context, dial func(context.Context) (net.Conn, error)) {
				conn, err := dial(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				if _, err := conn.Write([]byte("quit\n")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				ended = true
			},
		})
		if err != nil || exit.Code != 4 || exit.Canceled || !ended {
			t.Errorf("%+v, %v, ended %t", exit, err, ended)
		}
	})
}

func TestProgramsWithNetworksOfTheirOwnMayServeOnTheSamePort(t *testing.T) {
	f := confined(t)
	f.program(t, "naming", strings.Replace(echoing, "f.write(line)", "f.write(sys.argv[2].encode() + b'\\n')", 1))
	names := make(chan string, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		done.Go(func() {
			_, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(ctx, engine.Process{
				Program: "naming", Args: []string{"8080", name}, First: engine.Terminate, Grace: time.Second, Network: engine.NetworkNone, Listens: 8080,
				Ready: func(ctx context.Context, dial func(context.Context) (net.Conn, error)) {
					conn, err := dial(ctx)
					if err != nil {
						t.Error(err)
						names <- ""
						return
					}
					defer func() { _ = conn.Close() }()
					_, _ = conn.Write([]byte("who\n"))
					line, err := bufio.NewReader(conn).ReadString('\n')
					if err != nil {
						t.Error(err)
					}
					names <- strings.TrimSpace(line)
				},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	got := []string{<-names, <-names}
	cancel()
	done.Wait()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAProgramThatNeverServesIsNotWaitedFor(t *testing.T) {
	f := confined(t)
	exit, err := f.Launcher(Run{Scan: testScan, Work: f.work}).Launch(t.Context(), engine.Process{
		Program: "true", Network: engine.NetworkNone, Listens: 8080,
		Ready: func(context.Context, func(context.Context) (net.Conn, error)) { t.Error("nothing served") },
	})
	if err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}
