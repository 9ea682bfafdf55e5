package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"assay.dev/assay/internal/word/fault"
)

// fileLock is the exclusive right to write a data folder. The kernel gives it up when the process ends, however it
// ends, so that a stale file never locks anybody out.
type fileLock struct{ f *os.File }

// takeLock takes the lock or says who has it, as an Unavailable fault.
func takeLock(path string) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, internal("the data folder can't be made", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, internal("the lock file of the data folder can't be opened", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close() //nolint:errcheck // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, internal("the data folder can't be locked", err)
		}
		return nil, fault.New(fault.Unavailable, fault.CodeUnavailable,
			"the data folder is in use by another process"+holder(f)+"; stop it, or talk to the server that runs there").Because(err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(internal("the lock file of the data folder can't be written", err), f.Close())
		}
	}
	return &fileLock{f: f}, nil
}

// holder names the process that wrote its number into the file.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

func (l *fileLock) release() error { return l.f.Close() }
