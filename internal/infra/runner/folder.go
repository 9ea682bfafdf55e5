package runner

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"assay.dev/assay/internal/word/fault"
)

// Folder is a run's scratch folder for the engine's own reading and writing; it implements engine.Files. What programs
// made in it is hostile: links aren't followed out of it, and only regular files are read.
type Folder struct{ root *os.Root }

// OpenFolder opens the scratch folder dir. The caller closes it.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder can't be opened").Because(err)
	}
	return &Folder{root: root}, nil
}

// Close lets the folder go.
func (f *Folder) Close() error { return f.root.Close() }

// Write implements engine.Files. Folders on the way are made.
func (f *Folder) Write(name string, content []byte) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := f.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return f.root.WriteFile(name, content, 0o600)
}

// Copy implements engine.FileCopier: the kernel copies from file to file, sharing blocks where the file system can.
func (f *Folder) Copy(name string, from fs.File) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := f.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	to, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// Open implements engine.Files.
func (f *Folder) Open(name string) (fs.File, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not make us wait for its writer
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
