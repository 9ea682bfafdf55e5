package runner

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// maxGrace bounds the time between the first signal and the kill, so that a cancelled scan's processes are gone
// within the five seconds that the API promises (decisions C6), drain included.
const maxGrace = 4 * time.Second

// drain is how long pipes may stay open after the program has ended, held by descendants that left its group.
const drain = 500 * time.Millisecond

// Bounds of every program.
const (
	maxFiles     = 4096 // open at once; nmap and nuclei want a socket per probe
	maxProcesses = 2048 // with threads
)

// Launcher starts the programs of one run; it implements engine.Launcher. It is safe for concurrent use.
type Launcher struct {
	runner *Runner
	mark   string // "<installation>:<scan>"
	run    Run
	starts atomic.Int64 // tells the starts of one run apart, so that one's end doesn't end another

	proxy onceProxy
}

// Launch starts p and waits for its end. When ctx is done the process group gets p.First and, after p.Grace (at most
// four seconds), SIGKILL; Exit.Canceled tells. Whatever is left of the group after the program's own end is killed
// too, as is every descendant that left the group but carries this run's mark.
//
// The program is confined as far as this machine allows; see Runner.Holds. Where the operator requires more than that,
// nothing starts: ENGINE_NOT_AVAILABLE.
//
// An exit code other than 0 is no error. Errors are: ENGINE_NOT_AVAILABLE (no such program), Internal (it can't be
// started, a descendant can't be killed, or a writer refused its output: the program is then stopped).
func (l *Launcher) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	mark := l.mark + ":" + strconv.FormatInt(l.starts.Add(1), 10)
	env, err := l.environment(mark, p.Env)
	if err != nil {
		return engine.Exit{Code: -1}, err
	}
	dir := cmp.Or(p.Dir, l.run.Work)
	box, err := l.container(p, mark, dir)
	if err != nil {
		return engine.Exit{Code: -1}, err
	}
	file := ""
	if box == nil {
		if file, err = l.runner.find(p.Program); err != nil {
			return engine.Exit{Code: -1}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return engine.Exit{Code: -1, Canceled: true}, nil //nolint:nilerr // being cancelled is an outcome, not an error
	}
	if err := l.runner.insist(ctx); err != nil {
		return engine.Exit{Code: -1}, err
	}
	// A program whose output can't be kept has nothing more to tell: a writer's error ends it.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := &child{
		file: file, args: p.Args, env: env, dir: dir, mark: mark, box: box,
		stdout: &sink{to: p.Stdout, failed: stop}, stderr: &sink{to: p.Stderr, failed: stop},
		first: firstSignal(p.First), grace: min(max(p.Grace, 0), maxGrace), memory: p.MaxMemory, noNetwork: p.Network == engine.NetworkNone,
		failed: stop,
	}
	if p.Listens != 0 && p.Ready != nil {
		c.service = &service{port: p.Listens, ready: p.Ready}
	}
	exit, err := l.attempt(ctx, c, p)
	if werr := errors.Join(c.stdout.close(), c.stderr.close()); werr != nil {
		return exit, fault.New(fault.Internal, fault.CodeInternal, "the engine's output couldn't be kept").Because(werr)
	}
	switch {
	case err == nil:
		return exit, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		exit.Canceled = true
		return exit, nil
	}
	if told, ok := errors.AsType[*fault.Error](err); ok {
		return exit, told
	}
	return exit, fault.New(fault.Internal, fault.CodeInternal, "the engine's program couldn't be run").Because(err)
}

// attempt runs the child confined as p may be. A program file that just couldn't be started is tried again.
func (l *Launcher) attempt(ctx context.Context, c *child, p engine.Process) (exit engine.Exit, err error) {
	if c.box != nil {
		defer c.box.remove() //nolint:contextcheck // it must happen although ctx is done
		// These would be the runtime's own process's; and it needs its share of the time that a cancel may take.
		c.memory, c.noNetwork, c.grace = 0, false, min(c.grace, maxGrace-drain)
		exit, err = c.run(ctx)
		return exit, errors.Join(err, c.service.close())
	}
	for try := 0; ; try++ {
		if c.cell, err = l.cell(ctx, c, p); err != nil {
			return engine.Exit{Code: -1}, err
		}
		exit, err = c.run(ctx)
		err = errors.Join(err, c.service.close(), c.cell.close())
		if c.cell == nil || err == nil || again(ctx, try, err) != nil {
			return exit, err
		}
	}
}

// firstSignal maps the engine's wish. A server that was started in the background by a shell without job control
// ignores SIGINT, and its children inherit that; SIGTERM reaches them all the same.
func firstSignal(s engine.Signal) syscall.Signal {
	if s == engine.Interrupt && !signal.Ignored(os.Interrupt) {
		return syscall.SIGINT
	}
	return syscall.SIGTERM
}

func signalName(s syscall.Signal) string {
	if s == syscall.SIGINT {
		return "INT"
	}
	return "TERM"
}

// child is one process on its way.
type child struct {
	file, dir, mark string
	args, env       []string
	stdout, stderr  *sink
	first           syscall.Signal
	grace           time.Duration
	memory          int64
	noNetwork       bool
	service         *service   // nil = it serves nothing
	cell            *confine   // nil = it is not confined
	box             *container // nil = it starts from the host's path
	failed          func()     // ends the program

	mu       sync.Mutex
	pgid     int // 0 once the leader may have been reaped: the number may be another group's then
	canceled atomic.Bool
}

// command makes the command. Its end by ctx is: the first signal to the group, and after the grace the kill.
func (c *child) command(ctx context.Context) *exec.Cmd {
	file, args, env := c.file, c.args, c.env
	switch {
	case c.box != nil:
		file, args, env = c.box.runtime, c.box.args, c.box.env
	case c.cell != nil:
		file, args, env = c.cell.command(c.env)
	}
	cmd := exec.CommandContext(ctx, file, args...) //nolint:gosec // the file is found by bare name in the configured path; the arguments are the engine's typed values
	cmd.Dir, cmd.Env = c.dir, env
	late := c.grace
	if c.box != nil {
		late += drain // for the runtime to see the container's end
	}
	cmd.Stdin = nil // reads as /dev/null
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.Cancel = func() error { //nolint:contextcheck // it happens because ctx is done
		c.canceled.Store(true)
		switch {
		case c.box != nil:
			c.box.signal(signalName(c.first))
			time.AfterFunc(c.grace, func() { c.box.signal("KILL") })
		case c.cell != nil:
			c.cell.signal(c.first)
		default:
			c.signal(c.first)
		}
		time.AfterFunc(late, func() { c.signal(syscall.SIGKILL) })
		return nil
	}
	cmd.WaitDelay = late + drain
	return cmd
}

func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pgid > 0 {
		// ESRCH means that the group is gone, which is what we want.
		_ = syscall.Kill(-c.pgid, s)
	}
}

// hold sets or clears the group that signals go to.
func (c *child) hold(pgid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pgid = pgid
}

// exit reads how the program ended. err is what Wait said of it.
func (c *child) exit(cmd *exec.Cmd, err error) (engine.Exit, error) {
	out := engine.Exit{Code: -1, Canceled: c.canceled.Load()}
	state := cmd.ProcessState
	if state == nil {
		return out, err
	}
	out.Code = state.ExitCode()
	if ws, ok := state.Sys().(syscall.WaitStatus); ok {
		out.Signaled = ws.Signaled()
	}
	out.CPU = state.UserTime() + state.SystemTime()
	out.MaxRSS = maxRSS(state)
	switch {
	case c.box != nil:
		return c.box.exit(out)
	case c.cell != nil:
		return c.cell.exit(out)
	}
	return out, nil
}

// sink passes output on until the writer fails and drops the rest, so that a full disk neither blocks the program nor
// kills it with SIGPIPE before its group is stopped in order.
type sink struct {
	to     io.Writer // nil drops everything
	failed func()

	mu    sync.Mutex
	cause error
}

// Write implements io.Writer and never fails.
func (s *sink) Write(b []byte) (int, error) {
	if s.to == nil || s.err() != nil {
		return len(b), nil
	}
	if _, err := s.to.Write(b); err != nil {
		s.mu.Lock()
		s.cause = err
		s.mu.Unlock()
		s.failed()
	}
	return len(b), nil
}

// close drops whatever a straggling descendant may still write, so that the caller's writer is its own again, and
// returns the writer's error.
func (s *sink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cause := s.cause
	s.cause = io.ErrClosedPipe
	return cause
}

func (s *sink) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}
