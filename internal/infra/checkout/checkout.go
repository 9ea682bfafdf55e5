// Package checkout fetches a repository's newest state for a scan, by the git program.
//
// What git fetches is a stranger's, so it gets nothing of the host's: no configuration, no hooks, no credential helpers,
// no filters, no submodules, no large-file storage, no symbolic links, no protocol but http and https, and no way out but
// the scan's proxy. Size, number of files and time are bounded before anything is written out. A credential travels in
// the environment, never in arguments. The package starts git through the launcher it is given and looks at nothing
// itself. Start with Fetch.
package checkout

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// Bounds of a repository; Order may only set lower ones.
const (
	MaxPack  = 1 << 30 // bytes on the wire and in the packs
	MaxBytes = 4 << 30 // bytes of all files
	MaxFiles = 300_000
	MaxTime  = 15 * time.Minute
)

// Names within the scratch folder.
const (
	packFolder = "checkout.git"
	treeFolder = "checkout"
)

// Order is what to fetch and with what.
type Order struct {
	URL   string // http or https, without userinfo
	Work  string // the run's scratch folder
	Proc  engine.Launcher
	Proxy func(context.Context) (string, error)
	// Header is one request header, "Authorization: …", sent to the repository's server; empty = none.
	Header secret.Text
	// Lower bounds than the package's; 0 = those.
	MaxPack, MaxBytes int64
	MaxFiles          int
}

// Fetch clones the repository's default branch without history and writes its files out. The caller closes the root that
// Tree.FS reads; what lies on the disk goes with the scratch folder. Faults are Unavailable (no git here, or the server
// doesn't give the repository), Invalid for a repository over the bounds, and what the launcher says.
func Fetch(ctx context.Context, o Order) (engine.Tree, *os.Root, error) {
	if !strings.HasPrefix(o.URL, "https://") && !strings.HasPrefix(o.URL, "http://") {
		return engine.Tree{}, nil, fault.Wrong("target", "is not the URL of a repository")
	}
	o.bounds()
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	g := git{o: o}
	if err := g.clone(ctx); err != nil {
		return engine.Tree{}, nil, err
	}
	if err := g.measure(ctx); err != nil {
		return engine.Tree{}, nil, err
	}
	revision, err := g.write(ctx)
	if err != nil {
		return engine.Tree{}, nil, err
	}
	dir := filepath.Join(o.Work, treeFolder)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return engine.Tree{}, nil, broken(err)
	}
	if err := root.Remove(".git"); err != nil && !errors.Is(err, fs.ErrNotExist) { // the pointer to git's own folder
		return engine.Tree{}, nil, broken(errors.Join(err, root.Close()))
	}
	return engine.Tree{Dir: dir, FS: root.FS(), Revision: revision}, root, nil
}

func (o *Order) bounds() {
	lower := func(given, most int64) int64 {
		if given <= 0 || given > most {
			return most
		}
		return given
	}
	o.MaxPack, o.MaxBytes = lower(o.MaxPack, MaxPack), lower(o.MaxBytes, MaxBytes)
	o.MaxFiles = int(lower(int64(o.MaxFiles), MaxFiles))
}

// git runs the program with what every call is given.
type git struct{ o Order }

// settings hold for every call, whatever a repository says.
func settings() []string {
	var args []string
	for _, s := range []string{
		"core.hooksPath=/dev/null", "core.symlinks=false", "core.fsmonitor=false", "core.longpaths=true", "core.protectNTFS=true",
		"core.protectHFS=true", "core.attributesFile=/dev/null", "credential.helper=", "protocol.allow=never", "protocol.http.allow=always",
		"protocol.https.allow=always", "http.followRedirects=initial", "transfer.fsckObjects=true", "fetch.fsckObjects=true",
		"submodule.recurse=false", "filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false", "gc.auto=0",
		"maintenance.auto=false", "advice.detachedHead=false", "safe.bareRepository=all", "uploadpack.packObjectsHook=",
	} {
		args = append(args, "-c", s)
	}
	return args
}

// run starts git once.
func (g git) run(ctx context.Context, p engine.Process, args ...string) (engine.Exit, error) {
	p.Program, p.Args = "git", append(settings(), args...)
	p.Env = append(p.Env,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
		"GIT_LFS_SKIP_SMUDGE=1", "GIT_OPTIONAL_LOCKS=0", "GIT_ALLOW_PROTOCOL=http:https", "GIT_PROTOCOL_FROM_USER=0")
	p.First, p.Grace, p.MaxMemory = engine.Terminate, time.Second, 4<<30
	exit, err := g.o.Proc.Launch(ctx, p)
	if fault.Of(err) != nil && err != nil && fault.Of(err).Code == fault.CodeEngine {
		return exit, fault.New(fault.Unavailable, fault.CodeEngine, "git is not installed where scans run; install the package git").Because(err)
	}
	return exit, err
}

// clone fetches one commit without its history, watched for its size.
func (g git) clone(ctx context.Context) error {
	proxy, err := g.o.Proxy(ctx)
	if err != nil {
		return err
	}
	var said tail
	p := engine.Process{Stderr: &said, Network: engine.NetworkProxy}
	if header := g.o.Header.Reveal(); header != "" {
		p.Env = []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=" + header}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(ctx, filepath.Join(g.o.Work, packFolder), g.o.MaxPack, func() { stop(errTooLarge) })
	}()
	exit, err := g.run(ctx, p, "-c", "http.proxy=http://"+proxy, "clone", "--quiet", "--no-checkout", "--depth", "1",
		"--single-branch", "--no-tags", "--template=", "--separate-git-dir", packFolder, "--", g.o.URL, treeFolder)
	tooLarge := errors.Is(context.Cause(ctx), errTooLarge)
	stop(nil)
	<-watched
	switch {
	case err != nil:
		return err
	case tooLarge:
		return over("is a repository that is too large to be looked at")
	case exit.Canceled:
		return fault.Of(context.DeadlineExceeded)
	case exit.Code != 0:
		return refusal(said.String())
	}
	return nil
}

// errTooLarge ends a clone.
var errTooLarge = errors.New("too large")

// watch calls full when the folder has grown over the bound, looked at twice a second until ctx ends.
func watch(ctx context.Context, dir string, most int64, full func()) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if size(dir) > most {
			full()
			return
		}
	}
}

// size sums up a folder that somebody is writing; what vanishes meanwhile doesn't count.
func size(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, ierr := d.Info(); ierr == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// measure counts what would be written out, before it is.
func (g git) measure(ctx context.Context) error {
	count := &counter{files: g.o.MaxFiles, bytes: g.o.MaxBytes}
	exit, err := g.run(ctx, engine.Process{Stdout: count, Network: engine.NetworkNone}, "--git-dir", packFolder, "ls-tree", "-r", "-l", "-z", "--full-tree", "HEAD")
	switch {
	case count.over:
		return over("is a repository with too many or too large files to be looked at")
	case err != nil:
		return err
	case exit.Canceled:
		return fault.Of(context.DeadlineExceeded)
	case exit.Code != 0:
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the repository is empty")
	}
	return nil
}

// write puts the files into the folder that the clone has made: it belongs to whom git runs as, which isn't us.
func (g git) write(ctx context.Context) (revision string, err error) {
	exit, err := g.run(ctx, engine.Process{Network: engine.NetworkNone}, "--git-dir", packFolder, "--work-tree", treeFolder, "checkout", "--quiet", "--force", "HEAD", "--", ".")
	if err == nil && exit.Code != 0 {
		err = fault.New(fault.Unavailable, fault.CodeUnavailable, "the repository's files can't be written out")
	}
	if err != nil {
		return "", err
	}
	var out tail
	if exit, err = g.run(ctx, engine.Process{Stdout: &out, Network: engine.NetworkNone}, "--git-dir", packFolder, "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	revision = strings.TrimSpace(out.String())
	if exit.Code != 0 || len(revision) < 40 || strings.Trim(revision, "0123456789abcdef") != "" {
		return "", fault.New(fault.Unavailable, fault.CodeUnavailable, "the repository has no commit")
	}
	return revision, nil
}

// counter reads `ls-tree -l -z`: mode, type, object, size, a tab, the path, a zero byte. It refuses to go on over its
// bounds, which ends git.
type counter struct {
	files int
	bytes int64
	over  bool
	rest  []byte
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		i := bytes.IndexByte(c.rest, 0)
		if i < 0 {
			break
		}
		head, _, _ := strings.Cut(string(c.rest[:i]), "\t")
		words := strings.Fields(head)
		if c.files--; len(words) == 4 {
			if n, err := strconv.ParseInt(words[3], 10, 64); err == nil {
				c.bytes -= n
			}
		}
		c.rest = c.rest[i+1:]
	}
	if c.files < 0 || c.bytes < 0 || len(c.rest) > 64<<10 {
		c.over = true
		return 0, errTooLarge
	}
	return len(b), nil
}

// tail keeps the first kilobytes of what a program says.
type tail struct{ b bytes.Buffer }

// Write implements io.Writer and never fails.
func (t *tail) Write(b []byte) (int, error) {
	if room := 8<<10 - t.b.Len(); room > 0 {
		t.b.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

func (t *tail) String() string { return t.b.String() }

// refusal turns git's words into ours. They are compared, never repeated: a server puts text of its own there.
func refusal(said string) *fault.Error {
	text := "the repository couldn't be fetched"
	lines := bufio.NewScanner(io.LimitReader(strings.NewReader(said), 8<<10))
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "fatal: ") && !strings.HasPrefix(line, "error: ") && !strings.HasPrefix(line, "remote: ") {
			continue
		}
		switch {
		case strings.Contains(line, "could not read Username"), strings.Contains(line, "Authentication failed"):
			text = "the repository wants a login"
		case strings.Contains(line, "not found"), strings.Contains(line, "returned error: 404"):
			text = "there is no such repository, or it wants a login"
		case strings.Contains(line, "certificate"):
			text = "the repository's server has a certificate that isn't trusted here"
		case strings.Contains(line, "CONNECT tunnel failed"), strings.Contains(line, "Proxy CONNECT aborted"), strings.Contains(line, "returned error: 403"):
			text = "the repository's server refuses, or isn't within the scan's scope"
		case strings.Contains(line, "Failed to connect"), strings.Contains(line, "returned error: 502"):
			text = "the repository's server doesn't answer"
		}
	}
	return fault.New(fault.Unavailable, fault.CodeUnavailable, text)
}

func over(text string) *fault.Error { return fault.Wrong("target", text) }

func broken(err error) *fault.Error {
	return fault.New(fault.Internal, fault.CodeInternal, "the scratch folder can't be used").Because(err)
}
