package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// groupRoot is where control groups of version 2 are mounted.
const groupRoot = "/sys/fs/cgroup"

// groups makes a control group for each start, below one that was delegated to this server: systemd does that with
// Delegate=memory pids and DelegateSubgroup=server, which keeps the server itself out of the way.
type groups struct {
	dir         string // the delegated group; empty = none
	why         string // why there is none
	controllers []string
	made        atomic.Int64
}

// group is the control group of one start.
type group struct {
	dir string
	fd  *os.File
}

// ownGroups looks for the group that is delegated to this process.
func ownGroups() *groups {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		own = nil
	}
	return findGroups(groupRoot, string(own), []string{"memory", "pids"})
}

// findGroups looks for the delegated group below root, own being the server's groups as in /proc/self/cgroup.
func findGroups(root, own string, controllers []string) *groups {
	g := &groups{controllers: controllers}
	var path string
	found := false
	for line := range strings.Lines(own) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path, found = rest, true
		}
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil || !found || !filepath.IsAbs(path) {
		g.why = "no control groups of version 2 are mounted at " + groupRoot
		return g
	}
	dir := filepath.Join(root, path)
	if path != "/" {
		dir = filepath.Dir(dir) // a group with processes of its own can't have others below it
	}
	if err := g.enable(dir); err != nil {
		g.why = "no control group is delegated to this server (systemd: Delegate=memory pids, DelegateSubgroup=server): " + plain(err)
		return g
	}
	g.dir = dir
	return g
}

var errNoController = errors.New("a controller is missing")

// enable has the controllers in the groups below dir.
func (g *groups) enable(dir string) error {
	probe := filepath.Join(dir, "assay-try")
	if err := os.Mkdir(probe, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // of the kernel's own file system
		return err
	}
	defer func() { _ = unix.Rmdir(probe) }()
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")) //nolint:gosec // the server's own group
	if err != nil {
		return err
	}
	for _, c := range g.controllers {
		if slices.Contains(strings.Fields(string(has)), c) {
			continue
		}
		if err := write(filepath.Join(dir, "cgroup.subtree_control"), "+"+c); err != nil {
			return errors.Join(errNoController, err)
		}
	}
	return nil
}

// start makes a group; nil = there can be none. memory are bytes, 0 = no bound.
func (g *groups) start(memory uint64) (*group, error) {
	if g.dir == "" {
		return nil, nil //nolint:nilnil // nil is a group: none
	}
	dir := filepath.Join(g.dir, "assay-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(g.made.Add(1), 10))
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // of the kernel's own file system
		return nil, err
	}
	out := &group{dir: dir}
	err := out.bound(g.controllers, memory)
	if err == nil {
		out.fd, err = os.Open(dir) //nolint:gosec // made just now
	}
	if err != nil {
		return nil, errors.Join(err, out.end())
	}
	return out, nil
}

func (g *group) bound(controllers []string, memory uint64) error {
	if slices.Contains(controllers, "pids") {
		if err := write(filepath.Join(g.dir, "pids.max"), strconv.Itoa(maxProcesses)); err != nil {
			return err
		}
	}
	if memory == 0 || !slices.Contains(controllers, "memory") {
		return nil
	}
	return write(filepath.Join(g.dir, "memory.max"), strconv.FormatUint(memory, 10))
}

// end kills what is left in the group and removes it.
func (g *group) end() error {
	if g == nil {
		return nil
	}
	if g.fd != nil {
		_ = g.fd.Close()
	}
	err := unix.Rmdir(g.dir)
	if errors.Is(err, unix.EBUSY) {
		_ = write(filepath.Join(g.dir, "cgroup.kill"), "1")
		err = unix.Rmdir(g.dir)
	}
	return err
}

// write writes into one of the kernel's files, which are there.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // below the delegated group
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
