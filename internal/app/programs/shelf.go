package programs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/scan/engine"
)

// Shelf opens the operator's folders that engines judge by, for one run. Its methods are safe for concurrent use; whoever
// made it closes it.
type Shelf struct {
	folders map[string]string // by their names in the configuration

	mu   sync.Mutex
	open []*os.Root
}

// NewShelf names the folders: what is configured, else where the engines' programs keep theirs for this user.
func NewShelf(c config.Config) *Shelf {
	s := &Shelf{folders: map[string]string{"trivy_db": c.TrivyDB, "nuclei_templates": c.NucleiTemplates}}
	if cache, err := os.UserCacheDir(); err == nil && c.TrivyDB == "" {
		s.folders["trivy_db"] = filepath.Join(cache, "trivy")
	}
	if home, err := os.UserHomeDir(); err == nil && c.NucleiTemplates == "" {
		s.folders["nuclei_templates"] = filepath.Join(home, "nuclei-templates")
	}
	return s
}

// Data implements engine.Env.Data. A name that has no folder is fs.ErrNotExist.
func (s *Shelf) Data(name string) (engine.Tree, error) {
	dir := s.folders[name]
	if dir == "" {
		return engine.Tree{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	// The program is shown the folder itself and not a link to it: what it may read is decided on paths.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return engine.Tree{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return engine.Tree{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, root)
	return engine.Tree{Dir: dir, FS: root.FS()}, nil
}

// Close closes what Data opened.
func (s *Shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, root := range s.open {
		errs = append(errs, root.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}
