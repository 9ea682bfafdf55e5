package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/word/fault"
)

// markName is the environment variable that every program started here carries, and every descendant that keeps its
// environment: "<installation>:<scan>:<start>".
const markName = "ASSAY_RUN"

// maxPasses bounds how often /proc is read: a process may fork between being seen and being killed.
const maxPasses = 20

// KillSurvivors kills every process that an earlier life of this installation has left, found by the mark in its
// environment, and returns how many. Call it at start, holding the installation's lock and before any scan is given
// out: a killed server takes its children with it by the parent-death signal, but not their children, nor programs
// with file capabilities, for which the kernel drops that signal. Only processes of the same user are seen. An error
// is Internal: some would not die until ctx was done.
func KillSurvivors(ctx context.Context, mark string) (int, error) {
	if !plainName(mark) {
		return 0, fault.New(fault.Internal, fault.CodeInternal, "the mark of leftover processes is malformed")
	}
	n, err := killMarked(ctx, mark)
	if err != nil {
		return n, fault.New(fault.Internal, fault.CodeInternal, "processes of an earlier run couldn't be ended").Because(err)
	}
	return n, nil
}

// killMarked kills until a whole pass over /proc finds no process whose mark is mark or begins with "mark:".
func killMarked(ctx context.Context, mark string) (int, error) {
	killed := 0
	for range maxPasses {
		pids, err := processes()
		if err != nil {
			return killed, err
		}
		found := 0
		for _, pid := range pids {
			hit, err := killOne(ctx, pid, mark)
			if hit {
				found++
			}
			if err != nil {
				return killed + found, err
			}
		}
		killed += found
		if found == 0 {
			return killed, nil
		}
	}
	return killed, errors.New("marked processes kept appearing")
}

// processes lists the process numbers of this machine, other than our own.
func processes() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killOne kills pid if it carries the mark, and waits for its end. The process is held by a descriptor before its
// environment is read, so that a number given to another process in between is never hit.
func killOne(ctx context.Context, pid int, mark string) (bool, error) {
	if !carries(pid, mark) {
		return false, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false, nil //nolint:nilerr // it has ended
	}
	defer func() { _ = unix.Close(fd) }()
	if !carries(pid, mark) {
		return false, nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return false, nil
		}
		return false, err
	}
	return true, awaitDeath(ctx, fd)
}

// carries reports whether the process was started with the mark. A zombie has no environment and needs no kill.
func carries(pid int, mark string) bool {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		value, ok := bytes.CutPrefix(entry, []byte(markName+"="))
		if !ok {
			continue
		}
		rest, ok := bytes.CutPrefix(value, []byte(mark))
		return ok && (len(rest) == 0 || rest[0] == ':')
	}
	return false
}

// awaitDeath waits until the process behind fd has ended, or ctx is done.
func awaitDeath(ctx context.Context, fd int) error {
	const step = 50 * time.Millisecond
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
	for {
		n, err := unix.Poll(fds, int(step/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
