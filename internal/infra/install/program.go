package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// lockWait is how long one installation waits for another.
const lockWait = 10 * time.Minute

// lock makes installations into one folder wait for each other, of other processes too.
func (i *Installer) lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(i.d.Dir, 0o755); err != nil { //nolint:gosec // programs that engines run must be readable by the user they run as
		return nil, broken("the folder of engines can't be made", err)
	}
	f, err := os.OpenFile(filepath.Join(i.d.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, broken("the folder of engines can't be locked", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, broken("the folder of engines can't be locked", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "another installation is under way; try again").Because(ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run starts a program and waits for its end; what it said last is the cause of a failure. First is looked in before
// all other folders.
func (i *Installer) run(ctx context.Context, first string, p engine.Process) error {
	start, err := i.d.Start(first)
	if err != nil {
		return err
	}
	said := &last{}
	p.Stdout, p.Stderr, p.Network = said, said, engine.NetworkHost
	exit, err := start.Launch(ctx, p)
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "this recipe needs "+p.Program+", which isn't installed here").Because(err)
	case err != nil:
		return err
	case exit.Canceled:
		return fault.Of(context.Canceled)
	case exit.Code != 0:
		return fault.New(fault.Internal, fault.CodeInternal, p.Program+" couldn't do it").Because(errors.New(said.text()))
	}
	return nil
}

// system installs packages of the system where it may, and else says by which command they are installed.
func (i *Installer) system(ctx context.Context, r engine.Recipe, receipt *Receipt) error {
	var names []string
	for _, p := range i.parts(r) {
		if !plainID(p.Name) {
			return fault.New(fault.Internal, fault.CodeInternal, "a package's name isn't a plain one")
		}
		names = append(names, p.Name)
	}
	args := append([]string{"install", "--yes", "--no-install-recommends", "--"}, names...)
	if !i.d.Root {
		receipt.Commands = []string{"apt-get install --no-install-recommends " + strings.Join(names, " ")}
		return nil
	}
	i.d.Tell("apt-get " + strings.Join(args, " "))
	return i.run(ctx, "", engine.Process{Program: "apt-get", Args: args, Env: []string{"DEBIAN_FRONTEND=noninteractive"}})
}

// container pulls images by digest with whichever of podman and docker there is.
func (i *Installer) container(ctx context.Context, r engine.Recipe, receipt *Receipt) error {
	var failed error
	for _, p := range i.parts(r) {
		image := p.Name + "@sha256:" + p.SHA256
		if strings.HasPrefix(image, "-") {
			return fault.New(fault.Internal, fault.CodeInternal, "an image's name begins with '-'")
		}
		receipt.Commands = append(receipt.Commands, "docker pull "+image)
		for _, tool := range []string{"podman", "docker"} {
			i.d.Tell(tool + " pull " + image)
			if failed = i.run(ctx, "", engine.Process{Program: tool, Args: []string{"pull", image}}); failed == nil {
				break
			}
		}
		if failed != nil {
			return failed
		}
	}
	receipt.Commands = nil
	return nil
}

// link makes name lead to file. A program that was linked before is replaced at once; a jar gets a starter.
func link(file, name string) error {
	fresh := name + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return broken("the program can't be linked", err)
	}
	var err error
	if strings.HasSuffix(file, ".jar") {
		if strings.ContainsAny(file, "'\n") {
			return fault.New(fault.Invalid, fault.CodeValidation, "the data folder's name holds a quote or a line break, with which no starter can be written")
		}
		err = os.WriteFile(fresh, []byte("#!/bin/sh\nexec java -jar '"+file+"' \"$@\"\n"), 0o755) //nolint:gosec // a program is to be run
	} else {
		err = os.Symlink(file, fresh)
	}
	if err == nil {
		err = os.Rename(fresh, name)
	}
	if err != nil {
		return broken("the program can't be linked", err)
	}
	return nil
}

// last keeps the last 4 KiB that were written.
type last struct{ buf bytes.Buffer }

// Write implements io.Writer and never fails.
func (l *last) Write(p []byte) (int, error) {
	l.buf.Write(p)
	if over := l.buf.Len() - 4<<10; over > 0 {
		l.buf.Next(over)
	}
	return len(p), nil
}

func (l *last) text() string { return strings.TrimSpace(strings.ToValidUTF8(l.buf.String(), "?")) }
