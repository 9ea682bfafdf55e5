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
type Folder struct {
	root  *os.Root
	owner int // to whom what is written belongs; -1 = to the server's user
}

// OpenFolder opens the scratch folder dir. The caller closes it.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder can't be opened").Because(err)
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder can't be opened").Because(errors.Join(err, root.Close()))
	}
	return &Folder{root: root, owner: foreign(info)}, nil
}

// Close lets the folder go.
func (f *Folder) Close() error { return f.root.Close() }

// Write implements engine.Files. Folders on the way are made. What is written belongs to the folder's owner, whom the
// run's programs run as.
func (f *Folder) Write(name string, content []byte) error {
	return f.create(name, func(file *os.File) error {
		_, err := file.Write(content)
		return err
	})
}

// Copy implements engine.FileCopier: the kernel copies from file to file, sharing blocks where the file system can.
func (f *Folder) Copy(name string, from fs.File) error {
	return f.create(name, func(file *os.File) error {
		_, err := io.Copy(file, from)
		return err
	})
}

// create makes a file and lets fill write it.
func (f *Folder) create(name string, fill func(*os.File) error) error {
	if !filepath.IsLocal(name) {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrInvalid}
	}
	if err := f.makeFolders(filepath.Dir(name)); err != nil {
		return err
	}
	// Never into a file that is there: it may be another name of one elsewhere.
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if f.owner >= 0 {
		err = file.Chown(f.owner, f.owner)
	}
	if err == nil {
		err = fill(file)
	}
	return errors.Join(err, file.Close())
}

func (f *Folder) makeFolders(dir string) error {
	if dir == "." {
		return nil
	}
	if err := f.makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if f.owner >= 0 {
		return f.root.Lchown(dir, f.owner, f.owner)
	}
	return nil
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
