package runner

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"assay.dev/assay/internal/word/fault"
)

// Scratch makes the private folder of one run, 0700 and empty, and returns it with what removes it. What an earlier
// attempt at the scan has left is removed first. It belongs to the user that the run's programs run as. Faults are
// Internal.
//
//nolint:contextcheck,nolintlint // asking once whom programs run as takes milliseconds, and no scan's end must spoil the answer
func (r *Runner) Scratch(scan string) (dir string, remove func() error, err error) {
	if !plainName(scan) {
		return "", nil, fault.New(fault.Internal, fault.CodeInternal, "a scratch folder is named by a scan's id")
	}
	dir = filepath.Join(r.scratch, scan)
	if err := removeAll(dir); err != nil {
		return "", nil, fault.New(fault.Internal, fault.CodeInternal, "an earlier scratch folder couldn't be removed").Because(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder couldn't be made").Because(err)
	}
	owner, err := r.owner(context.Background())
	if err == nil && owner >= 0 {
		err = os.Chown(dir, owner, owner)
	}
	if err != nil {
		return "", nil, fault.New(fault.Internal, fault.CodeInternal, "the scan's scratch folder couldn't be given to its user").Because(errors.Join(err, removeAll(dir)))
	}
	return dir, func() error { return removeAll(dir) }, nil
}

// ClearScratch removes the scratch folders that an earlier life of the server has left, and returns how many. Call it
// at start, after KillSurvivors and before the first Scratch.
func (r *Runner) ClearScratch() (int, error) {
	entries, err := os.ReadDir(r.scratch)
	if err != nil {
		return 0, fault.New(fault.Internal, fault.CodeInternal, "the folder for scans under way can't be read").Because(err)
	}
	removed := 0
	var failed error
	for _, e := range entries {
		if err := removeAll(filepath.Join(r.scratch, e.Name())); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		removed++
	}
	if failed != nil {
		return removed, fault.New(fault.Internal, fault.CodeInternal, "some scratch folders couldn't be removed").Because(failed)
	}
	return removed, nil
}

// removeAll removes a tree that an engine has written, also where it took the right to enter its own folders away. It
// follows no symbolic link.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	opened := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, _ error) error {
		if e == nil || !e.IsDir() {
			return nil
		}
		return root.Chmod(name, 0o700)
	})
	return errors.Join(root.Close(), opened, os.RemoveAll(dir))
}
