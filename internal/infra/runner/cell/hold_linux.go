package cell

import (
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitBroken is the helper's own exit code where it couldn't do its work; the Failed message says what.
const exitBroken = 125

// Main runs a stage of the helper and returns its exit code. env is the helper's own environment (see Environment)
// and then what the program gets.
func Main(argv, env []string) int {
	// Namespaces, privileges and the parent-death signal belong to threads; everything happens on the first one.
	runtime.LockOSThread()
	if len(argv) == 0 {
		return exitBroken
	}
	switch argv[0] {
	case StagePass:
		return 0
	case StageProbe:
		return Probe(argv[1:])
	}
	spec, err := Parse(argv[1:])
	if err != nil {
		return fail(StepArguments, syscall.EINVAL)
	}
	switch argv[0] {
	case StageHold:
		return hold(spec, env)
	case StageEnter:
		return enter(spec, env)
	}
	return fail(StepArguments, syscall.EINVAL)
}

// fail tells the server.
func fail(step string, err error) int {
	errno, ok := err.(syscall.Errno) //nolint:errorlint // only bare system calls are made here
	if !ok {
		errno = syscall.EINVAL
	}
	send(append([]byte{Failed}, step+" "+strconv.Itoa(int(errno))...))
	return exitBroken
}

func send(message []byte, fds ...int) {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_ = unix.Sendmsg(Control, message, rights, nil, unix.MSG_NOSIGNAL)
}

// hold sets up the namespaces, starts the second stage and looks after it. It keeps its privileges over them: giving
// them up on all of the runtime's threads costs more than all the rest, and nothing but the server can talk to it.
func hold(s Spec, env []string) int {
	unix.CloseOnExec(Control)
	if err := dieWithParent(); err != nil {
		return fail(StepArguments, err)
	}
	// The program may be of the same user: it must not look into this process.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if s.Loopback {
		if err := network(s.Proxy); err != nil {
			return fail(StepNetwork, err)
		}
	}
	if s.Owner {
		noMoreNamespaces()
	}
	if s.Mounts {
		if step, err := ownRoot(s); err != nil {
			return fail(step, err)
		}
	}
	pid, err := syscall.ForkExec(Self, append([]string{"assay-sandbox"}, s.Argv(StageEnter)...), &syscall.ProcAttr{ //nolint:gosec // itself
		Dir: s.Dir, Env: env, Files: []uintptr{0, 1, 2, Control}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fail(StepFork, err)
	}
	go listen(pid)
	status := reap(pid)
	// Without a process namespace the rest of the group would stay.
	_ = unix.Kill(-pid, unix.SIGKILL)
	send(Pack(Finished, uint64(status)))
	return 0
}

// dieWithParent ends this process with the thread that started it. Where that has ended already, the control socket's
// end tells.
func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// reap waits for all children until the program has ended, and returns how.
func reap(program int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0xff00 // it was reaped by nobody else; this can't be
		case pid == program && (status.Exited() || status.Signaled()):
			return status
		}
	}
}

// listen does what the server says until the socket ends, which is when the server has.
func listen(program int) {
	buf := make([]byte, MaxMessage)
	for {
		n, err := unix.Read(Control, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			_ = unix.Kill(-program, unix.SIGKILL)
			unix.Exit(exitBroken) // as process 1 it takes everything along
		}
		switch buf[0] {
		case Signal:
			if v, ok := Unpack(buf[:n], 1); ok {
				_ = unix.Kill(-program, syscall.Signal(v[0])) //nolint:gosec // a signal's number
			}
		case Dial:
			if v, ok := Unpack(buf[:n], 2); ok {
				go connect(v[0], int(v[1])) //nolint:gosec // a port
			}
		}
	}
}
