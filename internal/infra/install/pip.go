package install

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// pip makes a virtual environment in place and installs the locked wheels into it. Wheels are unpacked, never built, so
// that no code of theirs runs; each must have a hash of the lock, and nothing beside the lock is installed.
func (i *Installer) pip(ctx context.Context, m engine.Manifest, r engine.Recipe, place string) (string, error) {
	venv, lock := filepath.Join(place, "venv"), filepath.Join(place, "requirements.txt")
	if err := os.WriteFile(lock, []byte(r.Lock), 0o644); err != nil { //nolint:gosec // nothing in it is secret
		return "", broken("the list of wheels can't be written", err)
	}
	i.d.Tell("making a virtual environment of Python")
	if err := i.run(ctx, "", engine.Process{Program: "python3", Args: []string{"-m", "venv", venv}}); err != nil {
		return "", err
	}
	i.d.Tell("installing the locked wheels")
	err := i.run(ctx, filepath.Join(venv, "bin"), engine.Process{Program: "python", Args: []string{
		"-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--require-hashes", "--no-deps",
		"--only-binary", ":all:", "--requirement", lock,
	}})
	if err != nil {
		return "", err
	}
	if r.Program == "" || !strings.Contains(r.Program, "/") {
		return executable(filepath.Join(venv, "bin"), nameOf(m, r))
	}
	sites, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages"))
	if err != nil || len(sites) != 1 {
		return "", fault.New(fault.Internal, fault.CodeInternal, "the virtual environment has another form than expected").Because(err)
	}
	return executable(sites[0], r.Program)
}

// nameOf returns the executable within what was unpacked.
func nameOf(m engine.Manifest, r engine.Recipe) string {
	if r.Program != "" {
		return r.Program
	}
	return m.Program
}

// executable returns the path of a regular file within dir, by a name that leads nowhere else, made executable.
func executable(dir, name string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", broken("what was unpacked can't be read", err)
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", fault.New(fault.Internal, fault.CodeInternal, "the program isn't in what was unpacked").Because(err)
	}
	if info.Mode().Perm()&0o111 != 0o111 {
		if err := root.Chmod(name, 0o755); err != nil {
			return "", broken("the program can't be made executable", err)
		}
	}
	return filepath.Join(dir, filepath.FromSlash(name)), nil
}
