package tls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"assay.dev/assay/internal/word/fault"
)

// folder holds what is written, each file whole or not at all.
type folder string

// openFolder makes the folder with mode 0700 where it is missing; one that is open to others is an Invalid fault.
func openFolder(path string) (folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", notWritten(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", notWritten(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", badPair("the folder of certificates and keys is open to others; set its mode to 0700").Because(errors.New(path))
	}
	return folder(path), nil
}

// write replaces a file, with mode 0600.
func (f folder) write(name string, text []byte) error {
	t, err := os.CreateTemp(string(f), ".new-*") // mode 0600
	if err != nil {
		return notWritten(err)
	}
	defer os.Remove(t.Name()) //nolint:errcheck // under its own name the file stays
	_, err = t.Write(text)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return notWritten(err)
	}
	if err := os.Rename(t.Name(), filepath.Join(string(f), name)); err != nil {
		return notWritten(err)
	}
	d, err := os.Open(string(f))
	if err != nil {
		return notWritten(err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return notWritten(err)
	}
	return nil
}

// read reads a file; one that isn't there is fs.ErrNotExist.
func (f folder) read(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(string(f), name)) //nolint:gosec // one of our own names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading what the certificate authority gave: %w", err)
	}
	return b, err
}

func notWritten(err error) error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, "the certificate or its key could not be written to the data folder").Because(err)
}
