package trivy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// artifactName and mediaType are how the raw output is kept.
const (
	artifactName = "trivy.json"
	mediaType    = "application/json"
)

// Run implements engine.Engine. Trivy writes its report at its end or not at all, and exits with 0 for a folder that
// isn't there: the verdict comes from whether the report is whole, and from what it had to look with.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	r := &runner{env: env, req: req}
	if err := r.prepare(ctx); err != nil {
		return engine.Verdict{}, err
	}
	if len(r.plan.scanners) == 0 {
		return r.verdict(), nil
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	r.raw = raw
	env.Progress(5, "starting")
	r.version, r.exit, err = versionOf(ctx, env)
	switch {
	case err != nil:
		return engine.Verdict{}, missing(err)
	case foul(r.version):
		return engine.Verdict{}, fault.New(fault.Unavailable, fault.CodeEngine, "Trivy "+r.version+" was published by an attacker (CVE-2026-33634). Remove it. "+manifest().Install)
	case r.exit.Canceled:
		return r.verdict(), nil
	}
	if err := r.launch(ctx); err != nil {
		return engine.Verdict{}, err
	}
	if r.plan.image && r.log.javaMissing() && !r.exit.Canceled && !r.shape.begun() {
		if err := r.again(ctx); err != nil {
			return engine.Verdict{}, err
		}
	}
	return r.verdict(), nil
}

// runner is one run under way.
type runner struct {
	env     engine.Env
	req     engine.Request
	raw     engine.Artifact
	plan    plan
	reads   []string
	tree    fs.FS // of folders and repositories
	db      database
	hasDB   bool
	version string
	exit    engine.Exit
	shape   shape
	log     logTail
}

// prepare finds the files, the database and the credentials.
func (r *runner) prepare(ctx context.Context) error {
	r.plan = plan{
		scanners: slices.Clone(r.req.Options.Set("scanners")), cache: filepath.Join(r.env.Work, cacheName), options: r.req.Options,
		image: r.req.Target.Type() == asset.TypeImage, target: reference(r.req.Target),
	}
	if !r.plan.image {
		tree, err := r.env.Tree(ctx)
		if err != nil {
			return err
		}
		r.plan.target, r.reads, r.tree = tree.Dir, []string{tree.Dir}, tree.FS
	} else if err := r.signIn(); err != nil {
		return err
	}
	if !slices.Contains(r.plan.scanners, scanVuln) {
		return nil
	}
	if r.db, r.hasDB = openDatabase(ctx, r.env); r.hasDB {
		r.env.Progress(1, "taking the vulnerability database")
		if err := r.db.provide(r.env.Files); err != nil {
			r.env.Log.WarnContext(ctx, "advisory database not copied", slog.Any("error", err))
			r.hasDB = false
		}
	}
	if !r.hasDB {
		r.plan.scanners = slices.DeleteFunc(r.plan.scanners, func(s string) bool { return s == scanVuln })
	}
	return nil
}

// signIn writes the credentials of the registry where its client looks for them.
func (r *runner) signIn() error {
	file, err := credentials(r.req)
	if err != nil || file == nil {
		return err
	}
	if err := r.env.Files.Write(signInFile, file); err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the registry's credentials couldn't be handed over").Because(err)
	}
	return nil
}

// again starts Trivy once more after it gave up on a Java archive, which needs a database of its own.
func (r *runner) again(ctx context.Context) error {
	had, err := r.db.provideJava(r.env.Files)
	if err != nil {
		r.env.Log.WarnContext(ctx, "java database not copied", slog.Any("error", err))
	}
	r.plan.noJava = !had || err != nil
	return r.launch(ctx)
}

func (r *runner) launch(ctx context.Context) error {
	limits := manifest().Limits
	p := engine.Process{
		Program: program, Args: r.plan.arguments(), Env: environment(), Reads: r.reads, Network: engine.NetworkNone,
		First: engine.Interrupt, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory,
	}
	if r.plan.image {
		addr, err := r.env.Proxy(ctx)
		if err != nil {
			return err
		}
		p.Env, p.Network = proxied(addr), engine.NetworkProxy
	}
	r.shape, r.log = shape{}, logTail{progress: r.env.Progress}
	r.env.Progress(10, "looking")
	out, ended := r.output()
	p.Stdout, p.Stderr = io.MultiWriter(out, &r.shape), &r.log
	var err error
	r.exit, err = r.env.Proc.Launch(ctx, p)
	failed := ended()
	if err = cmp.Or(err, failed); err != nil {
		return missing(err)
	}
	if !r.shape.whole() && !r.exit.Canceled {
		r.env.Log.WarnContext(ctx, "trivy ended without a report", slog.Int("exit_code", r.exit.Code),
			slog.Bool("signaled", r.exit.Signaled), slog.String("trivy_error", finding.Line(r.log.fatal(), 500)))
	}
	return nil
}

// missing says how to get the program where it isn't there.
func missing(err error) error {
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return manifest().Missing().Because(err)
	}
	return err
}

// logTail keeps the end of Trivy's log and tells its phases.
type logTail struct {
	progress func(int, string)
	kept     []byte
	line     []byte
	at       int
}

// maxLog bounds what is kept of the log.
const maxLog = 16 << 10

// Write implements io.Writer and never fails.
func (l *logTail) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[max(0, len(p)-maxLog):]...)
	if over := len(l.kept) - maxLog; over > 0 {
		l.kept = slices.Delete(l.kept, 0, over)
	}
	for _, c := range p {
		if c != '\n' {
			if len(l.line) < 512 {
				l.line = append(l.line, c)
			}
			continue
		}
		l.phase(string(l.line))
		l.line = l.line[:0]
	}
	return len(p), nil
}

// phase moves on by what Trivy says that it is doing; it says nothing of how much is left.
func (l *logTail) phase(text string) {
	for _, p := range []struct {
		sign    string
		percent int
		name    string
	}{
		{"scanning is enabled", 15, "reading files"},
		{"Detected OS", 55, "comparing packages"},
		{"language-specific files", 60, "comparing packages"},
		{"Detecting vulnerabilities", 75, "comparing packages"},
		{"Detected config files", 90, "checking configuration"},
	} {
		if p.percent > l.at && strings.Contains(text, p.sign) {
			l.at = p.percent
			l.progress(p.percent, p.name)
		}
	}
}

// fatal returns what Trivy gave up with, "" where it didn't.
func (l *logTail) fatal() string {
	_, text, _ := strings.Cut(string(l.kept), "FATAL")
	return strings.TrimSpace(text)
}

// javaMissing reports whether it gave up for want of the database of Java archives.
func (l *logTail) javaMissing() bool { return strings.Contains(l.fatal(), "Java DB") }

// shape follows the brackets of a JSON document, to tell a whole one from one that was cut off.
type shape struct {
	depth    int
	seen     bool // the outermost object has been opened
	over     bool // and closed
	bad      bool // something else is there
	inString bool
	escaped  bool
}

// Write implements io.Writer and never fails.
func (s *shape) Write(p []byte) (int, error) {
	for _, c := range p {
		s.step(c)
	}
	return len(p), nil
}

func (s *shape) step(c byte) {
	switch {
	case s.inString:
		s.inString = s.escaped || c != '"'
		s.escaped = !s.escaped && c == '\\'
	case c == ' ' || c == '\n' || c == '\r' || c == '\t':
	case s.over || !s.seen && c != '{':
		s.bad = true
	case c == '"':
		s.inString = true
	case c == '{' || c == '[':
		s.seen = true
		s.depth++
	case c == '}' || c == ']':
		s.depth--
		s.over = s.depth == 0
	}
}

// whole reports whether one complete object was written and nothing else.
func (s *shape) whole() bool { return s.over && !s.bad }

// begun reports whether anything was written.
func (s *shape) begun() bool { return s.seen || s.bad }
