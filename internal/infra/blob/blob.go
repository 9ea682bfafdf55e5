// Package blob keeps large immutable content by its SHA-256: raw engine output first of all. One folder an
// organization, so that equal content of two organizations stays two files and a digest is no oracle across them.
// Content is sealed at rest, each blob by a key of its own that is closed under the organization's.
//
// It knows nothing of what it keeps, and gives nothing out without the organization. Start with Store, then seal.go.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Store is a folder of blobs. It is safe for concurrent use by the one process that holds the data
// folder's lock.
type Store struct {
	root *os.Root
	keys Keys
	// names is held while a name appears or goes, so that a blob written anew is never taken for an old one.
	names sync.Mutex
}

// Open takes the folder, making it with mode 0700 where it is missing, and removes leavings of writes that a crash cut
// off. keys seals what is written. The caller closes the store.
func Open(dir string, keys Keys) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the artifact folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the artifact folder: %w", err)
	}
	left, err := fs.Glob(root.FS(), "*/new-*")
	if err == nil {
		for _, name := range left {
			err = errors.Join(err, root.Remove(name))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("clearing the artifact folder: %w", err), root.Close())
	}
	return &Store{root: root, keys: keys}, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// Writer takes one blob. Exactly one of Commit and Abort must be called.
type Writer struct {
	s    *Store
	org  uid.Org
	tmp  string
	file *os.File
	seal io.WriteCloser // seals into file
	sum  hash.Hash
	size int64
}

// Create begins a blob of the organization. id must be unique among blobs being written (a scan's id and a name).
func (s *Store) Create(org uid.Org, id string) (*Writer, error) {
	if !uid.Valid(string(org)) || !plain(id) {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "an artifact needs an organization and a plain name")
	}
	if err := s.root.Mkdir(string(org), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making the organization's artifact folder: %w", err)
	}
	tmp := filepath.Join(string(org), "new-"+id)
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating an artifact: %w", err)
	}
	w := &Writer{s: s, org: org, tmp: tmp, file: f, sum: sha256.New()}
	if w.seal, err = age.Encrypt(f, lock{s.keys, org}); err != nil {
		return nil, errors.Join(fmt.Errorf("sealing an artifact: %w", err), w.Abort())
	}
	return w, nil
}

// plain reports whether id is a name that can't mean another folder.
func plain(id string) bool {
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return id != ""
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.seal.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Size returns the bytes written so far, as they are read back.
func (w *Writer) Size() int64 { return w.size }

// Commit makes the blob durable and returns the digest of what was written, in lower-case hex.
func (w *Writer) Commit() (string, error) {
	digest := hex.EncodeToString(w.sum.Sum(nil))
	err := errors.Join(w.seal.Close(), w.file.Sync(), w.file.Close())
	if err == nil {
		err = w.s.name(w.tmp, filepath.Join(string(w.org), digest))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("keeping an artifact: %w", err), w.remove())
	}
	return digest, w.s.syncFolder(string(w.org))
}

// name gives a finished blob its name.
func (s *Store) name(tmp, name string) error {
	s.names.Lock()
	defer s.names.Unlock()
	return s.root.Rename(tmp, name)
}

// Abort drops the blob.
func (w *Writer) Abort() error { return errors.Join(w.file.Close(), w.remove()) }

func (w *Writer) remove() error {
	if err := w.s.root.Remove(w.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dropping an artifact: %w", err)
	}
	return nil
}

// syncFolder makes a rename durable.
func (s *Store) syncFolder(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return fmt.Errorf("opening the artifact folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open returns the blob for reading; the caller closes it. A blob that isn't there is a NotFound fault.
func (s *Store) Open(_ context.Context, org uid.Org, digest string) (io.ReadSeekCloser, error) {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size || !uid.Valid(string(org)) {
		return nil, fault.Missing("the artifact")
	}
	f, err := s.root.Open(filepath.Join(string(org), digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Missing("the artifact")
	}
	if err != nil {
		return nil, fmt.Errorf("opening an artifact: %w", err)
	}
	return lock{s.keys, org}.open(f)
}

// Each calls f with the digests of an organization's blobs, in no order, at most limit at a time, and stops with f's
// error. Blobs that come or go meanwhile may be left out.
func (s *Store) Each(org uid.Org, limit int, f func(digests []string) error) error {
	if !uid.Valid(string(org)) {
		return fault.Missing("the artifact")
	}
	dir, err := s.root.Open(string(org))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening an artifact folder: %w", err)
	}
	defer dir.Close() //nolint:errcheck // it was only read
	for {
		entries, err := dir.ReadDir(limit)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading an artifact folder: %w", err)
		}
		digests := make([]string, 0, len(entries))
		for _, e := range entries {
			if isDigest(e.Name()) {
				digests = append(digests, e.Name())
			}
		}
		if len(digests) > 0 {
			if err := f(digests); err != nil {
				return err
			}
		}
		if err != nil || len(entries) == 0 {
			return nil
		}
	}
}

// Remove removes a blob whose content was last written before the time, and reports whether it did. One that is written
// anew meanwhile stays, because it is younger then.
func (s *Store) Remove(org uid.Org, digest string, before time.Time) (bool, error) {
	if !isDigest(digest) || !uid.Valid(string(org)) {
		return false, fault.Missing("the artifact")
	}
	name := filepath.Join(string(org), digest)
	s.names.Lock()
	defer s.names.Unlock()
	info, err := s.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking at an artifact: %w", err)
	case !info.ModTime().Before(before):
		return false, nil
	}
	if err := s.root.Remove(name); err != nil {
		return false, fmt.Errorf("removing an artifact: %w", err)
	}
	return true, nil
}

func isDigest(name string) bool {
	raw, err := hex.DecodeString(name)
	return err == nil && len(raw) == sha256.Size && strings.ToLower(name) == name
}
