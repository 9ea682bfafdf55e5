package cell

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// enter confines this process and becomes the program. It returns only where that failed.
func enter(s Spec, env []string) int {
	unix.CloseOnExec(Control)
	// What a careless parent left open is not for the program.
	_ = unix.CloseRange(Control+1, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
	walls := -1
	if s.Landlock {
		fd, err := ruleset(s) // with the privileges that open every folder
		if err != nil {
			return fail(StepLandlock, err)
		}
		walls = fd
	}
	if err := limit(s); err != nil {
		return fail(StepLimit, err)
	}
	if err := surrender(s.User, s.Raw); err != nil {
		return fail(StepUser, err)
	}
	if err := unix.Access(s.Dir, unix.X_OK); err != nil {
		return fail(StepReach, err)
	}
	if !s.Process1 { // process 1 takes the program along
		if err := dieWithParent(); err != nil {
			return fail(StepUser, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fail(StepUser, err)
	}
	if walls >= 0 {
		if err := restrict(walls); err != nil {
			return fail(StepLandlock, err)
		}
	}
	// The address space comes last: this process has more than many a program may.
	if s.Memory > 0 {
		if err := setLimit(unix.RLIMIT_AS, s.Memory); err != nil {
			return fail(StepLimit, err)
		}
	}
	return fail(StepExec, syscall.Exec(s.Program, append([]string{s.Program}, s.Args...), env[min(len(Environment()), len(env)):])) //nolint:gosec // what the runner found by bare name in the configured path
}

// limit sets all limits but that of the address space. Where the inherited limit is lower, that one stays.
func limit(s Spec) error {
	if err := setLimit(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	for _, l := range []struct {
		resource int
		n        uint64
	}{{unix.RLIMIT_NOFILE, s.Files}, {unix.RLIMIT_NPROC, s.Procs}, {unix.RLIMIT_FSIZE, s.Size}, {unix.RLIMIT_CPU, s.CPU}} {
		if l.n == 0 {
			continue
		}
		if err := setLimit(l.resource, l.n); err != nil {
			return err
		}
	}
	return nil
}

func setLimit(resource int, n uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return err
	}
	n = min(n, now.Max)
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: n, Max: n})
}
