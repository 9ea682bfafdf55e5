// Package runner starts the programs of scan engines, and is the only package that starts a process.
//
// A program gets no shell, no inherited environment, no standard input and no terminal; it runs in a session and
// process group of its own, in a private scratch folder, under limits, and is gone with all of its descendants when
// its run ends, is cancelled or runs out of time. Where the program assay-sandbox is there, it is also confined: in
// namespaces, without privileges, to the files and the network that it needs; what the kernel refuses is told by
// Runner.Holds and never given up silently.
//
// The package must never know an engine: what to start, with which arguments, is the engine's business, and what
// output means is its parser's. Start with Runner.Launcher and launch.go; then plan_linux.go for what a start is
// confined by, cell for how, and survivor_linux.go for what a killed server leaves behind.
package runner

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"assay.dev/assay/internal/word/fault"
)

// Config is what a Runner needs.
type Config struct {
	// Path are the absolute folders in which programs are looked up, in order; they are also the programs' PATH.
	// Empty = the system's usual folders.
	Path []string
	// Scratch is the folder that holds the scratch folders of runs. It is made 0700 where it is missing.
	Scratch string
	// Mark tells this installation's processes from all others; make it with Mark.
	Mark string
	// Helper is the path of the program assay-sandbox; empty = there is none, and programs run unconfined.
	Helper string
	// Sandbox says what to do where programs can't be confined as they should be; empty = Best.
	Sandbox Mode
	// User is whom programs run as where the server is root; 0 = DefaultUser.
	User int
	// Hides are paths that no program may read although they may lie in a folder that it reads: the server's data,
	// keys. The scratch folders of other runs are always among them.
	Hides []string
	// Reads are folders that every program may read: where engines are installed. They may lie in what is hidden.
	Reads []string
	// Containers are programs that start in containers instead.
	Containers Containers
}

// Runner starts programs for runs. It is safe for concurrent use.
type Runner struct {
	path    []string
	scratch string
	mark    string

	helper string
	mode   Mode
	user   int
	hides  []string
	reads  []string

	containers Containers
	groups     *groups // nil where nothing is confined

	plans    [2]planned // by kind
	insisted sync.Mutex
	missing  []string // what Require found wanting; nil = not tried yet
}

// New checks the configuration and makes the scratch folder. It starts nothing and kills nothing: call KillSurvivors
// and ClearScratch first thing after it.
func New(c Config) (*Runner, error) {
	if c.Mark == "" || !plainName(c.Mark) {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the runner needs a mark of letters, digits and hyphens")
	}
	if !filepath.IsAbs(c.Scratch) {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the runner's scratch folder must be an absolute path")
	}
	path := c.Path
	if len(path) == 0 {
		path = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	for _, dir := range path {
		if !filepath.IsAbs(dir) || strings.ContainsRune(dir, filepath.ListSeparator) {
			return nil, fault.New(fault.Invalid, fault.CodeValidation, "the engines' path must hold absolute folders only")
		}
	}
	if err := os.MkdirAll(c.Scratch, 0o700); err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the folder for scans under way can't be made").Because(err)
	}
	// The folder is shown to programs by its real path.
	scratch, err := filepath.EvalSymlinks(c.Scratch)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the folder for scans under way can't be found").Because(err)
	}
	r := &Runner{path: path, scratch: scratch, mark: c.Mark, helper: c.Helper, mode: cmp.Or(c.Sandbox, Best), user: cmp.Or(c.User, DefaultUser)}
	if !slices.Contains([]Mode{Best, Require, Off}, r.mode) || r.user < 1 {
		return nil, fault.New(fault.Invalid, fault.CodeValidation, "the sandbox is best, require or off, and its user isn't root")
	}
	if err := c.Containers.check(); err != nil {
		return nil, err
	}
	r.containers = c.Containers
	if r.helper != "" && r.mode != Off {
		r.groups = ownGroups()
	}
	r.hides, r.reads = cleaned(append(c.Hides, scratch)), cleaned(c.Reads)
	return r, nil
}

// cleaned returns absolute paths, by name and by where their links lead.
func cleaned(paths []string) []string {
	var out []string
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			continue
		}
		path = filepath.Clean(path)
		out = append(out, path)
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			out = append(out, real)
		}
	}
	return out
}

// Mark returns the mark of the installation whose data lie in dir: the same after every restart, another for every
// other folder.
func Mark(dir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(dir)))
	return "assay-" + hex.EncodeToString(sum[:8])
}

// Run is one run for which programs are started.
type Run struct {
	Scan string // the scan's id
	Work string // its scratch folder, made by Scratch: the programs' working folder, HOME and TMPDIR
	// Proxy serves the run's forward proxy on a listener until that is closed; nil = the run has none.
	Proxy func(net.Listener) error
}

// Launcher returns what one run starts its programs with. The caller closes it.
func (r *Runner) Launcher(run Run) *Launcher {
	return &Launcher{runner: r, mark: r.mark + ":" + run.Scan, run: run}
}

// find returns the absolute path of a program by its bare name. A program that isn't there is Unavailable,
// ENGINE_NOT_AVAILABLE.
func (r *Runner) find(program string) (string, error) {
	if program == "" || program[0] == '.' || strings.ContainsAny(program, "/\x00") {
		return "", fault.New(fault.Internal, fault.CodeInternal, "an engine named its program by something that isn't a bare name")
	}
	for _, dir := range r.path {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fault.New(fault.Unavailable, fault.CodeEngine, "the program that this engine needs is not installed where scans run")
}

// environment returns the whole environment of a child: the allow-list, the run's mark and what the engine adds.
func (l *Launcher) environment(mark string, extra []string) ([]string, error) {
	env := []string{
		"PATH=" + strings.Join(l.runner.path, string(filepath.ListSeparator)),
		"HOME=" + l.run.Work,
		"TMPDIR=" + l.run.Work,
		"LANG=C.UTF-8",
		"TZ=UTC",
		markName + "=" + mark,
	}
	for _, e := range extra {
		name, _, ok := strings.Cut(e, "=")
		if !ok || fixed(name) || strings.ContainsRune(e, 0) {
			return nil, fault.New(fault.Internal, fault.CodeInternal, "an engine set an environment variable that it may not set")
		}
		env = append(env, e)
	}
	return env, nil
}

// fixed reports whether an engine may not set the variable: the allow-list's own, and what makes the loader run
// other code than the program's.
func fixed(name string) bool {
	switch name {
	case "", "PATH", "HOME", "TMPDIR", "LANG", "TZ", markName:
		return true
	}
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_")
}

func plainName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	})
}
