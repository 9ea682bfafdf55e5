package nuclei

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// artifactName and mediaType are how the raw output is kept.
const (
	artifactName = "nuclei.jsonl"
	mediaType    = "application/x-ndjson"
)

// Run implements engine.Engine. Nuclei exits with 0 for targets that aren't there: the verdict comes from whether the
// target answers before and after, from the errors that Nuclei notes, and from the templates that it loaded.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	login, err := engine.ParseLogin(req.Config.Authentication)
	if err != nil {
		return engine.Verdict{}, err
	}
	if login.Type == engine.DigestLogin {
		return engine.Verdict{}, fault.Wrong("config.authentication", "has a type that Nuclei doesn't know; it knows basic, bearer and cookie")
	}
	r := &runner{env: env, req: req, login: login}
	r.web(ctx)
	if err := r.library(ctx); err != nil {
		return engine.Verdict{}, err
	}
	if r.stopped = ctx.Err() != nil; r.stopped || r.lib.dir == "" || len(r.live)+len(r.direct()) == 0 {
		return r.verdict(), nil
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	r.raw = raw
	starts, err := r.starts(ctx)
	if err != nil {
		return engine.Verdict{}, err
	}
	for i, s := range starts {
		if err := r.launch(ctx, s, i, len(starts)); err != nil {
			return engine.Verdict{}, err
		}
		if r.stopped {
			break
		}
	}
	if !r.stopped {
		r.after(ctx)
	}
	return r.verdict(), nil
}

// runner is one run under way.
type runner struct {
	env     engine.Env
	req     engine.Request
	login   engine.Login
	lib     library
	raw     engine.Artifact
	places  []place // web servers that the target may have
	live    []place // those that accept connections
	lost    []place // those that did, and don't any more
	runs    []launched
	stopped bool
}

// launched is how one start of Nuclei went.
type launched struct {
	start
	talk
	fits   []template
	exit   engine.Exit
	failed map[string]bool // templates that met errors, by file
	noted  int             // errors
	gone   int             // of those, connections that couldn't be made
}

// web looks which of the target's web servers are there: through the proxy, a server that isn't there looks like one
// that answers with an error page.
func (r *runner) web(ctx context.Context) {
	if !slices.Contains(r.req.Options.Set("protocols"), protoHTTP) {
		return
	}
	r.places = places(r.req)
	r.env.Progress(1, "looking for web servers")
	for _, p := range r.places {
		if r.answers(ctx, p) {
			r.live = append(r.live, p)
		}
	}
}

func (r *runner) answers(ctx context.Context, p place) bool {
	c, err := r.env.Dial.DialContext(ctx, "tcp", p.at)
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was sent
	return true
}

// after looks again.
func (r *runner) after(ctx context.Context) {
	for _, p := range r.live {
		if !r.answers(ctx, p) {
			r.lost = append(r.lost, p)
		}
	}
}

func (r *runner) library(ctx context.Context) error {
	lib, err := openLibrary(r.env, r.req.Options.Set("templateSet"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.env.Log.WarnContext(ctx, "templates not read", slog.Any("error", err))
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the templates can't be read where scans run").Because(err)
	}
	if err == nil && len(lib.folders) > 0 {
		r.lib = lib
	} else {
		r.lib.missing = lib.missing
	}
	return nil
}

// direct are the protocols whose checks connect by themselves. Checks name ports of their own, so that a host on which
// this server listens isn't given to them.
func (r *runner) direct() []string {
	var out []string
	for _, p := range r.req.Options.Set("protocols") {
		if p != protoHTTP && len(r.req.SparedPorts()) == 0 && len(hosts(r.req)) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// starts plans one start for the web and one for what connects by itself.
func (r *runner) starts(ctx context.Context) ([]start, error) {
	var out []start
	if len(r.live) > 0 {
		proxy, err := r.env.Proxy(ctx)
		if err != nil {
			return nil, err
		}
		s := start{protocols: []string{protoHTTP}, proxy: proxy}
		for _, p := range r.live {
			s.targets = append(s.targets, p.url)
		}
		if lines := headers(r.req.Config, r.login); len(lines) > 0 {
			if err := r.env.Files.Write(headerFile, []byte(strings.Join(lines, "\n")+"\n")); err != nil {
				return nil, fault.New(fault.Internal, fault.CodeInternal, "the request headers couldn't be handed over").Because(err)
			}
			s.headers = true
		}
		out = append(out, s)
	}
	if protocols := r.direct(); len(protocols) > 0 {
		out = append(out, start{protocols: protocols, targets: hosts(r.req)})
	}
	for i := range out {
		out[i].errors = fmt.Sprintf(errorFile, i+1)
	}
	return out, nil
}

func (r *runner) launch(ctx context.Context, s start, number, of int) error {
	l := launched{start: s, fits: r.lib.fits(r.req.Options, s.protocols)}
	l.progress = func(requests, total, percent int) {
		// The percentage counts what is planned, not what is answered: it reaches 100 long before the end.
		share := min(max(percent, 0), 99)
		r.env.Progress(5+(number*100+share)*90/(of*100), fmt.Sprintf("%d of about %d requests", requests, max(total, requests)))
	}
	limits := manifest().Limits
	out := newVeil(r.raw, secrets(r.req.Config, r.login))
	p := engine.Process{
		Program: program, Args: s.arguments(r.env, r.req, r.lib), Env: []string{"GOMEMLIMIT=3GiB", "NO_COLOR=1"},
		Stdout: out, Stderr: &l.talk, Reads: []string{r.lib.dir}, Network: engine.NetworkProxy,
		First: engine.Interrupt, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory,
	}
	if s.proxy == "" {
		p.Network = engine.NetworkHost
	}
	exit, err := r.env.Proc.Launch(ctx, p)
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return manifest().Missing().Because(err)
	}
	if err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	l.exit = exit
	r.errors(&l)
	r.stopped = exit.Canceled
	if l.fatal != "" || !l.ended && !exit.Canceled {
		r.env.Log.WarnContext(ctx, "nuclei ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled),
			slog.String("nuclei_error", finding.Line(l.fatal, 300)))
	}
	l.progress = nil
	r.runs = append(r.runs, l)
	return nil
}

// maxErrors bounds the lines of the error file that are read.
const maxErrors = 100_000

// errors reads the file in which Nuclei notes what it couldn't ask.
func (r *runner) errors(l *launched) {
	l.failed = map[string]bool{}
	f, err := r.env.Files.Open(l.start.errors)
	if err != nil {
		return // there were none
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(io.LimitReader(f, 64<<20))
	lines.Buffer(make([]byte, 0, 4<<10), 1<<20)
	for lines.Scan() && l.noted < maxErrors {
		var e struct {
			Template string `json:"template"`
			Kind     string `json:"kind"`
			Error    string `json:"error"`
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		l.noted++
		if strings.HasPrefix(e.Kind, "network-") {
			l.gone++
		}
		if name, err := filepath.Rel(r.lib.dir, e.Template); err == nil {
			l.failed[filepath.ToSlash(name)] = true
		}
	}
}
