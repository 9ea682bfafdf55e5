package runner

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/scan/engine"
)

// sweepTime bounds the search for descendants that left the group.
const sweepTime = 5 * time.Second

// run starts the child and waits for it on a thread of its own, for two reasons. The parent-death signal is tied to
// the thread that forked, not to the process: on a pooled thread it would kill the child whenever Go retires that
// thread. And no-new-privileges, set on the thread, is inherited by the child, while the rest of the server keeps its
// own. The thread is never unlocked, so that Go ends it with the goroutine.
func (c *child) run(ctx context.Context) (engine.Exit, error) {
	type result struct {
		exit engine.Exit
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		exit, err := c.runOnThread(ctx)
		done <- result{exit, err}
	}()
	r := <-done
	return r.exit, r.err
}

func (c *child) runOnThread(ctx context.Context) (engine.Exit, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return engine.Exit{Code: -1}, err
	}
	cmd, err := c.start(ctx)
	if err != nil {
		return engine.Exit{Code: -1}, err
	}
	pid := cmd.Process.Pid
	if c.cell == nil {
		c.limit(pid)
	}
	c.serve(ctx)
	awaitEnd(pid)
	// The leader has ended but isn't reaped: its number still stands for this group and no other. What is left of the
	// group goes now, before Wait, so that no descendant holds the pipes open.
	c.signal(syscall.SIGKILL)
	c.hold(0)
	if c.cell.takesAllAlong() {
		return c.exit(cmd, cmd.Wait())
	}
	sweep, stop := context.WithTimeout(context.WithoutCancel(ctx), sweepTime)
	defer stop()
	_, sweepErr := killMarked(sweep, c.mark)
	exit, err := c.exit(cmd, cmd.Wait())
	return exit, errors.Join(err, sweepErr)
}

// serve begins the engine's conversation with the program.
func (c *child) serve(ctx context.Context) {
	if c.service == nil {
		return
	}
	port := c.service.port
	if c.cell.ownNetwork() {
		dial := func(ctx context.Context) (net.Conn, error) { return c.cell.link.dial(ctx, port) }
		c.service.begin(ctx, dial, func() bool { return true }, c.failed)
		return
	}
	c.service.begin(ctx, dialHost(port), func() bool { return listensMarked(port, c.mark) }, c.failed)
}

// start starts the program, or the helper that confines it; unconfined, it is without a network where that is wanted
// and can be had.
func (c *child) start(ctx context.Context) (*exec.Cmd, error) {
	if c.cell == nil && c.noNetwork {
		cmd := c.command(ctx)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Setsid: true, Pdeathsig: syscall.SIGKILL,
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		}
		if err := c.begin(cmd); err == nil {
			return cmd, nil
		}
	}
	for try := 0; ; try++ {
		cmd := c.command(ctx)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		if c.cell != nil {
			cmd.SysProcAttr = c.cell.attributes()
			cmd.ExtraFiles = []*os.File{c.cell.theirs}
		}
		err := c.begin(cmd)
		if err == nil {
			return cmd, nil
		}
		if err := again(ctx, try, err); err != nil {
			return nil, err
		}
	}
}

// again waits before a start that failed with err is tried once more; it returns err where that makes no sense.
func again(ctx context.Context, try int, err error) error {
	if try == maxTries || !passing(err) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(tryAgain << try):
		return nil
	}
}

// A start that a busy machine refused is tried again, waiting 20 ms, then twice as long each time.
const (
	maxTries = 5
	tryAgain = 20 * time.Millisecond
)

// passing reports whether a start failed for a reason that passes: no process or memory to be had just now, or a
// program file that somebody is just writing (an upgrade, or a fork that still holds its descriptor).
func passing(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ETXTBSY)
}

// begin starts cmd with signals held back until the group is known: ctx may be done already.
func (c *child) begin(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.pgid = cmd.Process.Pid
	if c.cell != nil {
		c.cell.started()
	}
	return nil
}

// limit sets the limits of an unconfined child from outside right after its start. For its first instants, commonly
// while it is still being loaded, it so runs under the server's own limits, and so would a descendant that it starts in
// them: these are limits for programs that go astray, not walls against ones that want out. A child that has ended
// already needs none.
func (c *child) limit(pid int) {
	set := func(resource int, n uint64) {
		_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
	}
	set(unix.RLIMIT_CORE, 0)
	set(unix.RLIMIT_NOFILE, maxFiles)
	if c.memory > 0 {
		set(unix.RLIMIT_AS, uint64(c.memory))
	}
}

// awaitEnd blocks until the process has ended and leaves it to be reaped.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// maxRSS returns the largest resident size in bytes, of the program or one of its waited-for children.
func maxRSS(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}

// ownerOf returns whose a file is.
func ownerOf(info os.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return os.Geteuid(), os.Getegid()
}

// foreign returns who owns a folder where that isn't us, else -1.
func foreign(info os.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return int(stat.Uid)
	}
	return -1
}
