//go:build !linux

package runner

import (
	"context"
	"errors"
	"os"
	"syscall"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

const markName = "ASSAY_RUN"

// whyNot is why no property holds here.
const whyNot = "engines with a program of their own run on Linux only"

// run starts nothing: what this package promises of a process and its descendants holds on Linux only.
func (c *child) run(context.Context) (engine.Exit, error) {
	return engine.Exit{Code: -1}, fault.New(fault.Unsupported, fault.CodeUnsupported, whyNot)
}

func maxRSS(*os.ProcessState) int64 { return 0 }

func foreign(os.FileInfo) int { return -1 }

func ownerOf(os.FileInfo) (uid, gid int) { return os.Geteuid(), os.Getegid() }

// again never tries again.
func again(_ context.Context, _ int, err error) error { return errors.Join(err, errors.ErrUnsupported) }

type planned struct{}

type groups struct{}

func ownGroups() *groups { return nil }

// confine confines nothing: there is nothing to start.
type confine struct{}

func (*confine) command(env []string) (file string, args, all []string) { return "", nil, env }
func (*confine) signal(syscall.Signal)                                  {}
func (*confine) exit(out engine.Exit) (engine.Exit, error)              { return out, nil }
func (*confine) close() error                                           { return nil }

func (l *Launcher) cell(context.Context, *child, engine.Process) (*confine, error) { return nil, nil }

func (r *Runner) ownNetworks(context.Context) (bool, error) { return false, nil }

func (r *Runner) owner(context.Context) (int, error) { return -1, nil }

func (r *Runner) tried(context.Context) (map[string]trial, error) {
	out := map[string]trial{}
	for _, p := range titles() {
		out[p.Name] = trial{why: whyNot}
	}
	return out, nil
}

// KillSurvivors finds nothing where nothing can have been started.
func KillSurvivors(context.Context, string) (int, error) { return 0, nil }

// Capabilities returns none.
func Capabilities() engine.Capabilities { return nil }
