package runner

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Containers is how programs of engines are started in containers instead of from the host's path.
type Containers struct {
	// Runtime is the bare name of the program that starts them, "docker" or "podman", looked up in Config.Path.
	Runtime string
	// Images are the images of programs by bare name, each pinned: "registry/name@sha256:HEX". Programs that aren't
	// listed start from the host's path.
	Images map[string]string
}

// Exit codes of docker run and podman run for their own failures.
const (
	exitRuntime = 125 // it couldn't be started: no such image, no such daemon
	exitInvoke  = 126 // the program in the image can't be run
	exitAbsent  = 127 // there is no such program in the image
)

// Bounds of containers.
const (
	runtimeTime = 3 * time.Second // for one order to the runtime besides run
	labelRun    = "assay.run"     // the label that carries the mark
)

func (c Containers) check() error {
	if c.Runtime == "" && len(c.Images) == 0 {
		return nil
	}
	if c.Runtime != "docker" && c.Runtime != "podman" {
		return fault.New(fault.Invalid, fault.CodeValidation, "containers are run by docker or podman")
	}
	for program, image := range c.Images {
		name, digest, ok := strings.Cut(image, "@sha256:")
		if !ok || name == "" || name[0] == '-' || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" || !plainName(program) {
			return fault.New(fault.Invalid, fault.CodeValidation, "an engine's image isn't pinned by a digest")
		}
	}
	return nil
}

// container is one start of a program in a container.
type container struct {
	runtime string   // path of docker or podman
	name    string   // of the container
	args    []string // of the runtime
	env     []string // of the runtime, and by it of the program

	mu     sync.Mutex
	gone   bool           // it takes no more signals
	orders sync.WaitGroup // signals on their way
}

// container returns how p starts in a container; nil = it doesn't.
func (l *Launcher) container(p engine.Process, mark, dir string) (*container, error) {
	image, ok := l.runner.containers.Images[p.Program]
	if !ok {
		return nil, nil //nolint:nilnil // nil is an answer: it starts from the host's path
	}
	runtime, err := l.runner.find(l.runner.containers.Runtime)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(l.run.Work)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder is gone").Because(err)
	}
	uid, gid := ownerOf(info)
	c := &container{runtime: runtime, name: strings.ReplaceAll(mark, ":", "-"), env: l.runtimeEnvironment(mark, p.Env)}
	a := []string{
		"run", "--rm", "-i", "--sig-proxy=false", "--pull", "never", "--name", c.name, "--label", labelRun + "=" + l.runner.mark,
		"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", strconv.Itoa(maxProcesses),
		"--ulimit", "core=0", "--ulimit", "nofile=" + strconv.Itoa(maxFiles), "--user", strconv.Itoa(uid) + ":" + strconv.Itoa(gid),
		"--tmpfs", "/tmp:rw,nosuid,nodev,size=256m", "--volume", l.run.Work + ":" + l.run.Work, "--workdir", dir,
	}
	if l.runner.containers.Runtime == "podman" && os.Geteuid() != 0 {
		a = append(a, "--userns", "keep-id") // else the user outside is root inside, and the scratch folder nobody's
	}
	if p.MaxMemory > 0 {
		memory := strconv.FormatInt(p.MaxMemory, 10)
		a = append(a, "--memory", memory, "--memory-swap", memory)
	}
	a = append(a, network(p.Network)...)
	for _, path := range p.Reads {
		if strings.ContainsAny(path, ":,") {
			return nil, fault.New(fault.Unsupported, fault.CodeUnsupported, "a folder with a colon or comma in its name can't be given to a container")
		}
		if !within(path, l.run.Work) {
			a = append(a, "--volume", path+":"+path+":ro")
		}
	}
	for _, e := range []string{"HOME=" + l.run.Work, "TMPDIR=" + l.run.Work, "LANG=C.UTF-8", "TZ=UTC"} {
		a = append(a, "--env", e)
	}
	for _, e := range p.Env {
		name, _, _ := strings.Cut(e, "=")
		a = append(a, "--env", name) // the value comes from the runtime's environment, where nobody else sees it
	}
	c.args = append(append(a, "--entrypoint", p.Program, image), p.Args...)
	return c, nil
}

// network is what a container gets of it. A network in which only the run's proxy answers can't be had from the
// runtime alone: programs that are to use the proxy get the host's, as where no namespaces can be had.
func network(n engine.Network) []string {
	switch n {
	case engine.NetworkNone:
		return []string{"--network", "none"}
	case engine.NetworkProxy:
		return []string{"--network", "host"}
	case engine.NetworkHost:
		return []string{"--network", "host", "--cap-add", "NET_RAW"}
	}
	return []string{"--network", "none"}
}

// runtimeEnvironment is that of docker or podman themselves, which look up their own settings and sockets, with what
// the engine adds for its program.
func (l *Launcher) runtimeEnvironment(mark string, extra []string) []string {
	env := []string{"PATH=" + strings.Join(l.runner.path, ":"), "LANG=C.UTF-8", markName + "=" + mark}
	if home, err := os.UserHomeDir(); err == nil {
		env = append(env, "HOME="+home)
	}
	if uid := os.Geteuid(); uid > 0 {
		env = append(env, "XDG_RUNTIME_DIR=/run/user/"+strconv.Itoa(uid))
	}
	return append(env, extra...)
}

// signal sends the program a signal by the runtime, without waiting for it.
func (c *container) signal(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.orders.Go(func() { _ = c.order("kill", "--signal", name, c.name) })
}

// remove ends what is left of the container. It is commonly gone.
func (c *container) remove() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.orders.Wait()
	_ = c.order("rm", "--force", c.name)
}

// order gives the runtime one order and waits for it, but not for long.
func (c *container) order(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), runtimeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.runtime, args...) //nolint:gosec // the runtime that the operator chose, with names of ours
	cmd.Env, cmd.WaitDelay = c.env, drain
	return cmd.Run()
}

// exit is how the program ended, by what the runtime's own end says.
func (c *container) exit(out engine.Exit) (engine.Exit, error) {
	out.CPU, out.MaxRSS = 0, 0 // the runtime's, not the program's
	switch {
	case out.Canceled:
	case out.Code == exitRuntime, out.Code == exitInvoke, out.Code == exitAbsent:
		return out, fault.New(fault.Unavailable, fault.CodeEngine, "the engine's container can't be started here; its image must be there (pull it by its digest), and the container runtime must run")
	}
	if out.Code > 128 && out.Code < 128+65 { // as shells tell that a signal ended a program
		out.Code, out.Signaled = -1, true
	}
	return out, nil
}

// RemoveContainers ends the containers that an earlier life of this installation has left, and returns how many. Call
// it beside KillSurvivors. Without a container runtime there are none. An error is Unavailable: the runtime doesn't
// answer.
func (r *Runner) RemoveContainers(ctx context.Context) (int, error) {
	if r.containers.Runtime == "" {
		return 0, nil
	}
	fails := func(err error) (int, error) {
		return 0, fault.New(fault.Unavailable, fault.CodeUnavailable, "the container runtime doesn't answer").Because(err)
	}
	runtime, err := r.find(r.containers.Runtime)
	if err != nil {
		return fails(err)
	}
	env := (&Launcher{runner: r}).runtimeEnvironment(r.mark, nil)
	list := exec.CommandContext(ctx, runtime, "ps", "--all", "--quiet", "--filter", "label="+labelRun+"="+r.mark) //nolint:gosec // the runtime that the operator chose
	list.Env, list.WaitDelay = env, drain
	out, err := list.Output()
	if err != nil {
		return fails(err)
	}
	left := strings.Fields(string(out))
	if len(left) == 0 {
		return 0, nil
	}
	if slices.ContainsFunc(left, func(id string) bool { return !plainName(id) || id[0] == '-' }) {
		return fails(errors.New("it names containers by something else than ids"))
	}
	remove := exec.CommandContext(ctx, runtime, append([]string{"rm", "--force"}, left...)...) //nolint:gosec // the runtime that the operator chose
	remove.Env, remove.WaitDelay, remove.Stdout = env, drain, io.Discard
	if err := remove.Run(); err != nil {
		return fails(err)
	}
	return len(left), nil
}
