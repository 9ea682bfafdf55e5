// Package install gets the programs of scan engines by the recipes that their manifests hold, into a folder of the
// server's own.
//
// What it fetches is pinned by digest and checked before it is unpacked or used; packages of the system are the
// exception, because the distribution signs them. It runs no code of what it installs: pip takes wheels only, archives
// are unpacked by this package. It must never decide which engine exists or what a recipe says, and it starts programs
// by the launcher that it is given. Start with Installer.Install, then pip.go, archive.go and unpack.go.
package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Deps is what installing needs.
type Deps struct {
	// Dir is the absolute folder of installed engines; programs are linked in its folder "bin".
	Dir string
	// Start returns what programs are started with, which looks in the folder first before anywhere else; empty = nowhere
	// else first.
	Start func(first string) (engine.Launcher, error)
	Web   http.RoundTripper // for archives
	Now   func() time.Time
	// Platform is "linux/amd64"; parts of other platforms are passed over.
	Platform string
	Root     bool         // packages of the system may be installed
	Tell     func(string) // progress, one line each
}

// Installer installs engines. Installations into one folder wait for each other.
type Installer struct{ d Deps }

// New returns an installer. It makes nothing before the first Install.
func New(d Deps) *Installer {
	if d.Tell == nil {
		d.Tell = func(string) {}
	}
	return &Installer{d: d}
}

// Receipt is what was installed and how.
type Receipt struct {
	ID          string        `json:"id"`
	Method      engine.Method `json:"method"`
	Program     string        `json:"program"` // the name in "bin"
	Version     string        `json:"version,omitempty"`
	Recipe      string        `json:"recipe"` // digest of the recipe
	InstalledAt time.Time     `json:"installedAt"`
	// Commands are what the operator runs instead where this server may not: nothing was installed then.
	Commands []string `json:"commands,omitempty"`
}

// Bin returns the folder in which installed programs are linked.
func Bin(dir string) string { return filepath.Join(dir, "bin") }

// Pick returns the recipe that Install follows: of the method, or the first that fits this platform where method is
// empty. No such recipe is Unsupported.
func (i *Installer) Pick(m engine.Manifest, method engine.Method) (engine.Recipe, error) {
	for _, r := range m.Recipes {
		if (method == "" || r.Method == method) && len(i.parts(r)) > 0 {
			return r, nil
		}
	}
	if m.Program == "" {
		return engine.Recipe{}, fault.New(fault.Unsupported, fault.CodeUnsupported, m.Title+" is part of Assay and needs no program")
	}
	if method != "" {
		return engine.Recipe{}, fault.New(fault.Unsupported, fault.CodeUnsupported, "there is no recipe of this method for "+m.Title+" on this platform")
	}
	return engine.Recipe{}, fault.New(fault.Unsupported, fault.CodeUnsupported, "there is no recipe for "+m.Title+" on this platform. "+m.Install)
}

// parts returns the recipe's parts for this platform.
func (i *Installer) parts(r engine.Recipe) []engine.Part {
	var out []engine.Part
	for _, p := range r.Parts {
		if p.Platform == "" || p.Platform == i.d.Platform {
			out = append(out, p)
		}
	}
	return out
}

// Install follows the recipe. What was there before stays until the new one is whole, and is then removed. A digest that
// doesn't match, and whatever else is wrong with what was fetched, is a fault, and nothing of it is kept.
func (i *Installer) Install(ctx context.Context, m engine.Manifest, r engine.Recipe) (Receipt, error) {
	if !plainID(m.ID) || !plainID(m.Program) {
		return Receipt{}, fault.New(fault.Internal, fault.CodeInternal, "the engine's id or program isn't a plain name")
	}
	if err := checkPins(r); err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{ID: m.ID, Method: r.Method, Program: m.Program, Recipe: digestOf(r), InstalledAt: i.d.Now().UTC()}
	if parts := i.parts(r); len(parts) > 0 {
		receipt.Version = parts[0].Version
	}
	switch r.Method {
	case engine.MethodSystem:
		return receipt, i.system(ctx, r, &receipt)
	case engine.MethodContainer:
		return receipt, i.container(ctx, r, &receipt)
	case engine.MethodPip, engine.MethodArchive:
	default:
		return Receipt{}, fault.New(fault.Internal, fault.CodeInternal, "the recipe's method is unknown")
	}
	done, err := i.lock(ctx)
	if err != nil {
		return Receipt{}, err
	}
	defer done()
	home := filepath.Join(i.d.Dir, m.ID)
	// A place of its own each time: what is there runs until the link leads away from it.
	place := filepath.Join(home, receipt.Recipe[:16]+"-"+strconv.FormatInt(receipt.InstalledAt.UnixNano(), 36))
	if err := errors.Join(os.RemoveAll(place), os.MkdirAll(place, 0o755), os.MkdirAll(Bin(i.d.Dir), 0o755)); err != nil { //nolint:gosec // programs that engines run must be readable by the user they run as
		return Receipt{}, broken("the engine's folder can't be made", err)
	}
	var file string
	if r.Method == engine.MethodPip {
		file, err = i.pip(ctx, m, r, place)
	} else {
		file, err = i.archives(ctx, m, r, place)
	}
	if err == nil {
		err = link(file, filepath.Join(Bin(i.d.Dir), m.Program))
	}
	if err == nil {
		err = writeReceipt(home, receipt)
	}
	if err != nil {
		return Receipt{}, errors.Join(err, os.RemoveAll(place))
	}
	return receipt, keepOnly(home, filepath.Base(place))
}

// keepOnly removes what earlier installations have left.
func keepOnly(home, name string) error {
	entries, err := os.ReadDir(home)
	if err != nil {
		return broken("the engine's folder can't be read", err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != name {
			if err := os.RemoveAll(filepath.Join(home, e.Name())); err != nil {
				return broken("an earlier installation can't be removed", err)
			}
		}
	}
	return nil
}

// Installed returns what is installed of an engine; ok is false where nothing is.
func (i *Installer) Installed(id string) (r Receipt, ok bool, err error) {
	if !plainID(id) {
		return Receipt{}, false, nil
	}
	b, err := os.ReadFile(filepath.Join(i.d.Dir, id, receiptFile)) //nolint:gosec // the id is a plain name
	if errors.Is(err, fs.ErrNotExist) {
		return Receipt{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return Receipt{}, false, broken("what is installed can't be read", err)
	}
	return r, true, nil
}

// Remove removes an installed engine. One that this package didn't install is NotFound.
func (i *Installer) Remove(ctx context.Context, id string) error {
	r, ok, err := i.Installed(id)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.NotFound, fault.CodeNotFound, "this engine wasn't installed by `assay engine install`; packages of the system are removed by its package manager")
	}
	done, err := i.lock(ctx)
	if err != nil {
		return err
	}
	defer done()
	if plainID(r.Program) {
		at := filepath.Join(Bin(i.d.Dir), r.Program)
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return broken("the program's link can't be removed", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(i.d.Dir, id)); err != nil {
		return broken("the engine's folder can't be removed", err)
	}
	return nil
}

const receiptFile = "receipt.json"

func writeReceipt(home string, r Receipt) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(home, receiptFile), append(b, '\n'), 0o644) //nolint:gosec // nothing in it is secret
	}
	if err != nil {
		return broken("what was installed can't be written down", err)
	}
	return nil
}

// checkPins refuses a recipe that would fetch something unpinned.
func checkPins(r engine.Recipe) error {
	if r.Method == engine.MethodSystem {
		return nil
	}
	if r.Method == engine.MethodPip {
		if !strings.Contains(r.Lock, "--hash=sha256:") {
			return fault.New(fault.Internal, fault.CodeInternal, "the recipe has no hashes, and nothing is fetched without")
		}
		return nil
	}
	for _, p := range r.Parts {
		if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != sha256.Size {
			return fault.New(fault.Internal, fault.CodeInternal, "the recipe has no digest, and nothing is fetched without")
		}
	}
	return nil
}

// digestOf names a recipe, so that another version of it is another place.
func digestOf(r engine.Recipe) string {
	var doc any = r
	b, err := json.Marshal(doc)
	if err != nil {
		return strings.Repeat("0", 64) // texts always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// plainID reports whether a name can be a file of its own in any folder of ours.
func plainID(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(name) && !slices.Contains([]string{"bin", receiptFile}, name)
}

func broken(text string, cause error) error {
	return fault.New(fault.Internal, fault.CodeInternal, text).Because(cause)
}
