package runner

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/infra/runner/cell"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// kind tells starts apart by what they need of the network.
type kind int

const (
	kindOwn  kind = iota // a network of its own
	kindHost             // the host's, with raw packets where the server may send them
)

// Bounds of a confined program beside those that its engine sets.
const (
	maxFileSize = 8 << 30
	// maxProcessesShared holds for programs that are counted with all that their user runs.
	maxProcessesShared = 8192
)

// plan is how starts of one kind are confined on this machine.
type plan struct {
	flags uintptr   // namespaces
	spec  cell.Spec // what holds for every start
	// lost are the system's reasons for what isn't had, by property.
	lost map[string]string
}

// planned is a plan that is made at its first use.
type planned struct {
	mu   sync.Mutex
	plan *plan
}

const (
	withoutNetwork = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	everything     = withoutNetwork | unix.CLONE_NEWUSER | unix.CLONE_NEWNET
)

// planFor returns how to confine starts of a kind; nil = not at all.
func (r *Runner) planFor(ctx context.Context, k kind) (*plan, error) {
	if r.helper == "" || r.mode == Off {
		return nil, nil //nolint:nilnil // nil is a plan: to do nothing
	}
	p := &r.plans[k]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan != nil {
		return p.plan, nil
	}
	made := wish(k, os.Geteuid() == 0, Capabilities(), r.user)
	for {
		err := r.try(ctx, made)
		if err == nil {
			p.plan = made
			return made, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if passing(err) || !made.without(err) {
			return nil, fault.New(fault.Internal, fault.CodeInternal, "the sandbox of engines can't be set up").Because(err)
		}
	}
}

// wish is the strongest plan.
func wish(k kind, root bool, can engine.Capabilities, user int) *plan {
	p := &plan{flags: everything, lost: map[string]string{}, spec: cell.Spec{
		Process1: true, Owner: true, Mounts: true, Loopback: true, Landlock: true, User: -1,
		Files: maxFiles, Procs: maxProcesses, Size: maxFileSize,
	}}
	if root {
		p.spec.User = user
	}
	if k == kindHost {
		p.flags, p.spec.Loopback = p.flags&^unix.CLONE_NEWNET, false
	}
	if k == kindHost && can.Has(engine.NetRaw) {
		// Raw packets on the host's network are for members of the host's user namespace only.
		p.spec.Raw = true
		p.dropOwner()
		if !root {
			p.dropSpaces()
		}
	}
	return p
}

func (p *plan) dropOwner() {
	p.flags &^= unix.CLONE_NEWUSER
	p.spec.Owner, p.spec.Procs = false, maxProcessesShared
}

func (p *plan) dropSpaces() {
	p.dropOwner()
	p.flags = 0
	p.spec.Process1, p.spec.Mounts, p.spec.Loopback, p.spec.OldProc = false, false, false, false
}

// without takes from the plan what err says can't be had. False: there is nothing left to take.
func (p *plan) without(err error) bool {
	var step *stepError
	if !errors.As(err, &step) {
		return p.withoutSpaces(err)
	}
	why := step.step + ": " + step.errno.Error()
	switch {
	case step.step == cell.StepNetwork && p.spec.Loopback:
		p.spec.Loopback = false
		p.flags &^= unix.CLONE_NEWNET
		p.lose(why, PropertyProxy, PropertyNamespaces)
	case step.step == cell.StepProc && p.spec.Mounts && !p.spec.OldProc:
		p.spec.OldProc = true
		p.lose(why, PropertyProcesses)
	case (step.step == cell.StepMount || step.step == cell.StepProc) && p.spec.Mounts:
		p.spec.Mounts = false
		p.lose(why, PropertyNamespaces, PropertyProcesses)
	case step.step == cell.StepLandlock && p.spec.Landlock:
		p.spec.Landlock = false
		p.lose(why, PropertyReads, PropertyWrites)
	case (step.step == cell.StepUser || step.step == cell.StepReach) && p.spec.User >= 0:
		p.spec.User = -1
		p.lose(why, PropertyUser)
	default:
		return false
	}
	return true
}

// withoutSpaces takes namespaces from the plan that the kernel won't make: first the user's, without which root can
// still make the others.
func (p *plan) withoutSpaces(err error) bool {
	switch {
	case p.flags == 0:
		return false
	case p.spec.Owner && os.Geteuid() == 0:
		p.dropOwner()
		p.lose("clone: "+plain(err), PropertyNamespaces)
	default:
		p.dropSpaces()
		p.lose("clone: "+plain(err), PropertyNamespaces, PropertyProcesses, PropertyProxy, PropertyDeath)
	}
	return true
}

func (p *plan) lose(why string, properties ...string) {
	for _, name := range properties {
		if p.lost[name] == "" {
			p.lost[name] = why
		}
	}
}

// plain is the system's own word for an error, without a path.
func plain(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return "refused"
}

// try starts the helper by the plan with nothing to do.
func (r *Runner) try(ctx context.Context, p *plan) error {
	_, err := r.rehearse(ctx, p, cell.StagePass, nil, &bytes.Buffer{})
	return err
}

// rehearse runs a stage of the helper as if it were an engine's program.
func (r *Runner) rehearse(ctx context.Context, p *plan, stage string, args []string, out *bytes.Buffer) (engine.Exit, error) {
	work, err := os.MkdirTemp(r.scratch, "trial-")
	if err != nil {
		return engine.Exit{}, err
	}
	defer func() { _ = removeAll(work) }()
	if p.spec.User >= 0 {
		if err := os.Chown(work, p.spec.User, p.spec.User); err != nil {
			return engine.Exit{}, &stepError{step: cell.StepUser, errno: unix.EPERM}
		}
	}
	l := r.Launcher(Run{Scan: "trial", Work: work, Proxy: welcome})
	mark := l.mark + ":" + filepath.Base(work)
	env, err := l.environment(mark, nil)
	if err != nil {
		return engine.Exit{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := &child{
		env: env, dir: work, mark: mark, stdout: &sink{to: out, failed: stop}, stderr: &sink{failed: stop},
		first: syscall.SIGTERM, failed: stop,
	}
	spec := p.spec
	spec.Program, spec.Args, spec.Dir = cell.Self, append([]string{stage}, args...), work
	v := r.viewOf(r.helper, work, work, nil)
	spec.Show, spec.Read, spec.Write = v.show, v.read, v.write
	if spec.Loopback {
		spec.Proxy = ProxyPort
	}
	if c.cell, err = newConfine(l, p, spec, r.helper); err != nil {
		return engine.Exit{}, err
	}
	exit, err := c.run(ctx)
	return exit, errors.Join(err, c.cell.close(), c.stdout.close())
}

// welcome is a forward proxy that takes connections and does nothing with them.
func welcome(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil //nolint:nilerr // it was closed
		}
		_ = conn.Close()
	}
}

// attributes are how the helper is cloned by the plan.
func (p *plan) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: p.flags}
	uid, gid := os.Geteuid(), os.Getegid()
	if p.flags&unix.CLONE_NEWUSER == 0 {
		return a
	}
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	if p.spec.User >= 0 {
		also := syscall.SysProcIDMap{ContainerID: p.spec.User, HostID: p.spec.User, Size: 1}
		a.UidMappings, a.GidMappings = append(a.UidMappings, also), append(a.GidMappings, also)
		a.GidMappingsEnableSetgroups = true
	}
	if uid != 0 {
		// Root in the namespace has them all; another needs those for setting it up to survive the helper's start.
		a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SYS_RESOURCE, unix.CAP_SETPCAP}
	}
	return a
}

// ownNetworks reports whether programs get networks of their own.
func (r *Runner) ownNetworks(ctx context.Context) (bool, error) {
	p, err := r.planFor(ctx, kindOwn)
	return p != nil && p.spec.Loopback, err
}

// owner returns whom scratch folders belong to; -1 = the server's user.
func (r *Runner) owner(ctx context.Context) (int, error) {
	p, err := r.planFor(ctx, kindOwn)
	if err != nil || p == nil {
		return -1, err
	}
	return p.spec.User, nil
}
