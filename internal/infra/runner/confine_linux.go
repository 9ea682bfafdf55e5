package runner

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"assay.dev/assay/internal/infra/runner/cell"
	"assay.dev/assay/internal/scan/engine"
)

// confine is the confinement of one start: the helper in place of the program.
type confine struct {
	plan     *plan
	spec     cell.Spec
	helper   string
	launcher *Launcher

	group  *group // nil = none
	link   *link
	theirs *os.File // the helper's end of the link, nil once it has it

	mu      sync.Mutex
	proxies []proxied
}

// proxied is a listener of the forward proxy within the program's network.
type proxied struct {
	l    net.Listener
	done <-chan struct{}
}

// errUnclear says that the helper ended without telling how the program did.
var errUnclear = errors.New("sandbox: it ended without a word")

// cell returns how p is confined; nil = not.
func (l *Launcher) cell(ctx context.Context, c *child, p engine.Process) (*confine, error) {
	k := kindOwn
	if p.Network == engine.NetworkHost {
		k = kindHost
	}
	plan, err := l.runner.planFor(ctx, k)
	if err != nil || plan == nil {
		return nil, err
	}
	spec := plan.spec
	spec.Program, spec.Args, spec.Dir = c.file, c.args, c.dir
	v := l.runner.viewOf(c.file, l.run.Work, c.dir, p.Reads)
	spec.Show, spec.Read, spec.Write = v.show, v.read, v.write
	spec.Memory = uint64(max(p.MaxMemory, 0))
	spec.CPU = processorTime(ctx)
	if spec.Loopback && p.Network == engine.NetworkProxy && l.run.Proxy != nil {
		spec.Proxy = l.proxyPort()
	}
	return newConfine(l, plan, spec, l.runner.helper)
}

// processorTime is the most that a program could use until its deadline on all processors.
func processorTime(ctx context.Context) uint64 {
	left := 24 * time.Hour
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline) //nolint:forbidigo // a deadline of ctx is on this clock
	}
	return uint64(math.Ceil(max(left, 0).Seconds())+60) * uint64(runtime.NumCPU()) //nolint:gosec // positive
}

func newConfine(l *Launcher, p *plan, spec cell.Spec, helper string) (*confine, error) {
	c := &confine{plan: p, spec: spec, helper: helper, launcher: l}
	var err error
	if c.group, err = l.runner.groups.start(spec.Memory); err != nil {
		return nil, err
	}
	if c.link, c.theirs, err = newLink(c.takeListener); err != nil {
		return nil, errors.Join(err, c.group.end())
	}
	return c, nil
}

// attributes are how the helper is cloned.
func (c *confine) attributes() *syscall.SysProcAttr {
	a := c.plan.attributes()
	if c.group != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(c.group.fd.Fd())
	}
	return a
}

// command is how the helper is started, env being what the program gets.
func (c *confine) command(env []string) (file string, args, all []string) {
	return c.helper, c.spec.Argv(cell.StageHold), append(cell.Environment(), env...)
}

// started begins to listen to the helper.
func (c *confine) started() {
	c.letGo()
	go c.link.read()
}

func (c *confine) letGo() {
	if c.theirs != nil {
		_ = c.theirs.Close()
		c.theirs = nil
	}
}

func (c *confine) takeListener(l net.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proxies = append(c.proxies, proxied{l, c.launcher.serveProxy(l)})
}

// signal sends the program's group a signal.
func (c *confine) signal(s syscall.Signal) { c.link.signal(s) }

// exit completes how the program ended by what the helper said.
func (c *confine) exit(out engine.Exit) (engine.Exit, error) {
	c.link.close()
	switch {
	case c.link.failed != nil:
		return engine.Exit{Code: -1, Canceled: out.Canceled}, c.link.failed
	case c.link.ended:
		out.Code, out.Signaled = c.link.status.ExitStatus(), c.link.status.Signaled()
		return out, nil
	case out.Signaled: // killed with all that it holds
		return out, nil
	}
	return out, errUnclear
}

// close lets go of sockets. The program has ended, or was never started.
func (c *confine) close() error {
	if c == nil {
		return nil
	}
	c.letGo()
	_ = c.link.conn.Close() // commonly closed
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.proxies {
		_ = p.l.Close()
		<-p.done
	}
	c.proxies = nil
	return c.group.end()
}

// takesAllAlong reports whether the helper's end is the end of all descendants.
func (c *confine) takesAllAlong() bool { return c != nil && c.spec.Process1 }

// ownNetwork reports whether the program's loopback is its own.
func (c *confine) ownNetwork() bool { return c != nil && c.spec.Loopback }
