package wapiti

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/word/fault"
)

// Names and media types of what is kept: the report is what Parse reads.
const (
	reportType = "application/json"
	logName    = "wapiti.log"
	logType    = "text/plain; charset=utf-8"
)

// Times for saving what a stopped run had found. A cancelled scan's processes must be gone within five seconds, the
// grace of the first start among them; a scan that ran out of time has promised nothing of the kind.
const (
	saveCancelled = 2800 * time.Millisecond
	saveLate      = 8 * time.Second
)

// Run implements engine.Engine. Wapiti's exit code says nothing (it is 0 for targets that aren't there and for modules
// that crashed), so the verdict comes from its output. It writes its report at the very end and none at all when it is
// stopped; its findings are in its session folder by then, and a second, short start makes the report of them.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	r := &run{env: env, req: req, re: compile(), sum: newSummary(req.Options.Set("modules"))}
	if v, dead := r.knock(ctx); dead {
		return v, nil
	}
	if err := r.prepare(ctx); err != nil {
		return engine.Verdict{}, err
	}
	r.sum.tell = env.Progress
	exit, err := r.launch(ctx, r.order.args, r.order.secret, manifest().Limits.CancelGrace)
	if err != nil {
		return engine.Verdict{}, err
	}
	if !taken(env.Files, r.order.secret) {
		return engine.Verdict{Version: r.sum.version, Outcome: engine.Failed, Reasons: []string{
			"This installation of Wapiti doesn't take headers from a file, and on its command line others could read them.",
		}}, nil
	}
	saved := false
	if exit.Canceled {
		saved = r.save(ctx)
	}
	held, err := r.keepReport()
	if err != nil {
		return engine.Verdict{}, err
	}
	if !held && !exit.Canceled {
		env.Log.WarnContext(ctx, "wapiti left no report", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled))
	}
	return r.verdict(ctx, outcome{exit: exit, report: held, saved: saved}), nil
}

// run is one run under way.
type run struct {
	env    engine.Env
	req    engine.Request
	re     expressions
	sum    *summary
	proxy  string
	order  order
	report engine.Artifact
	log    engine.Artifact
}

func (r *run) prepare(ctx context.Context) error {
	var err error
	if r.proxy, err = r.env.Proxy(ctx); err != nil {
		return err
	}
	if r.order, err = newOrder(r.req, r.proxy); err != nil {
		return err
	}
	if r.order.cookies != nil {
		if err := r.env.Files.Write(cookiesName, r.order.cookies); err != nil {
			return fault.New(fault.Internal, fault.CodeInternal, "Wapiti's order can't be written").Because(err)
		}
	}
	for _, dir := range []string{sessionDir, configDir} { // a folder that is missing is fatal to Wapiti
		if err := r.env.Files.Write(dir+"/.keep", nil); err != nil {
			return fault.New(fault.Internal, fault.CodeInternal, "Wapiti's folders can't be made").Because(err)
		}
	}
	if r.report, err = r.env.Artifact(reportName, reportType); err != nil {
		return err
	}
	r.log, err = r.env.Artifact(logName, logType)
	return err
}

// knock connects to the target once: behind the run's proxy a dead target would answer with the proxy's 502.
func (r *run) knock(ctx context.Context) (v engine.Verdict, dead bool) {
	err := r.dial(ctx)
	if err == nil {
		return v, false
	}
	state, reason := engine.LookUnreachable, "no connection"
	switch {
	case ctx.Err() != nil:
		state, reason = engine.LookSkipped, ""
		v = engine.Verdict{Outcome: engine.Failed, Reasons: []string{"The scan was stopped before Wapiti was started."}}
	case fault.KindOf(err) == fault.Forbidden:
		state, reason = engine.LookSkipped, "not within the scan's scope"
		v = engine.Verdict{Outcome: engine.Blocked, Reasons: []string{"The target is not within the scan's scope."}}
	default:
		v = engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target takes no connection."}}
	}
	v.Looked = r.sum.looked(r.address(), state, reason)
	return v, true
}

func (r *run) dial(ctx context.Context) error {
	u := r.req.Target.URL()
	if u == nil {
		return fault.Wrong("target", "must be a URL")
	}
	c, err := r.env.Dial.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), strconv.Itoa(r.req.Target.Port())))
	if err != nil {
		return err
	}
	_ = c.Close()
	return nil
}

// launch starts Wapiti once and reads along.
func (r *run) launch(ctx context.Context, args, secret []string, grace time.Duration) (engine.Exit, error) {
	vars, err := handOver(r.env, secret)
	if err != nil {
		return engine.Exit{}, err
	}
	out, stdout := io.Pipe()
	errs, stderr := io.Pipe()
	var readers sync.WaitGroup
	readers.Go(func() { r.sum.lines(out, r.sum.stdout(r.re)) })
	readers.Go(func() { r.sum.lines(errs, r.sum.trace(r.re, true)) })
	masked := redact.NewLines(io.MultiWriter(r.log, stdout), r.order.secrets)
	limits := manifest().Limits
	exit, err := r.env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: args, Env: vars, Stdout: masked, Stderr: stderr,
		First: engine.Terminate, Grace: grace, MaxMemory: limits.MaxMemory, Network: engine.NetworkProxy,
	})
	if ferr := masked.Flush(); err == nil {
		err = ferr
	}
	_ = stdout.Close() // these are always nil
	_ = stderr.Close()
	readers.Wait()
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return exit, manifest().Missing().Because(err)
	}
	return exit, err
}

// save starts Wapiti once more for the report of what the stopped run had found, within what the end of ctx allows.
func (r *run) save(ctx context.Context) bool {
	if len(r.sum.begun) == 0 {
		return false // nothing can have been found
	}
	limit := saveCancelled
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		limit = saveLate
	}
	more, stop := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer stop()
	begun := slices.Clone(r.sum.begun)
	exit, err := r.launch(more, saving(r.req, r.proxy), nil, 0)
	r.sum.begun = begun // its one module was none of the run's
	return err == nil && !exit.Canceled
}

// keepReport copies the report into the artifact; held says whether there was one.
func (r *run) keepReport() (held bool, err error) {
	f, err := r.env.Files.Open(reportName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fault.New(fault.Internal, fault.CodeInternal, "Wapiti's report can't be read").Because(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	masked := redact.NewLines(r.report, jsonForms(r.order.secrets))
	n, err := io.Copy(masked, io.LimitReader(f, manifest().Limits.MaxOutput))
	if err == nil {
		err = masked.Flush()
	}
	if err != nil {
		return false, fault.New(fault.Internal, fault.CodeInternal, "Wapiti's report can't be kept").Because(err)
	}
	return n > 0, nil
}

// outcome is how the starts ended.
type outcome struct {
	exit   engine.Exit
	report bool
	saved  bool
}

// verdict decides how much the run's silence is worth.
func (r *run) verdict(ctx context.Context, o outcome) engine.Verdict {
	s := r.sum
	v := engine.Verdict{Version: s.version}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	state, why := engine.LookReached, ""
	switch {
	case o.exit.Canceled:
		state, why = engine.LookPartial, "stopped"
		add(engine.Partial, "Wapiti was stopped before its end; "+kept(o, len(s.begun)))
	case s.pages == 0 && (s.counted || s.refused):
		state, why = engine.LookUnreachable, "no page"
		add(engine.NothingReachable, "Wapiti got no page from the target.")
	case !o.report && !s.counted:
		state = engine.LookPartial
		add(engine.Failed, "Wapiti ended without a result; the raw output has what it said.")
	case !o.report:
		state = engine.LookPartial
		add(engine.Failed, "Wapiti left no report.")
	default:
		r.doubts(ctx, add)
	}
	if o.report && r.report.Truncated() {
		add(engine.Partial, "The report was larger than what is kept; what came after it is missing.")
	}
	if v.Outcome == "" {
		v.Outcome = engine.Complete
		v.Coverage = r.coverage()
	} else if state == engine.LookReached {
		state = engine.LookPartial
	}
	v.Looked = s.looked(r.address(), state, why)
	return v
}

func kept(o outcome, modules int) string {
	switch {
	case o.saved:
		return "what " + count(modules, "module") + " had found is kept."
	case o.report:
		return "its report had been written."
	}
	return "what it had found could not be saved."
}

// doubts adds what makes a run that came to its end worth less.
func (r *run) doubts(ctx context.Context, add func(engine.Outcome, string)) {
	s := r.sum
	if lost := s.missing(); len(lost) > 0 {
		add(engine.Partial, "These modules crashed, didn't start or aren't in this release: "+strings.Join(lost, ", ")+".")
	}
	if s.skipped > 0 {
		add(engine.Partial, count(s.skipped, "request")+" got no answer.")
	}
	if err := r.dial(ctx); err != nil {
		add(engine.Partial, "The target took no connection any more when the scan ended.")
	}
}

// coverage is all rules of the modules that ran, on the pages that were found.
func (r *run) coverage() *finding.Coverage {
	u := r.req.Target.URL()
	if len(r.sum.paths) == 0 || len(r.sum.paths) > maxPages {
		return nil
	}
	var rules []string
	for _, category := range categories() {
		k, _ := kindOf(category)
		switch {
		case k.rule == "header" && r.sum.ran(k.module):
			for _, name := range []string{"x-frame-options", "x-content-type-options", "strict-transport-security"} {
				rules = append(rules, id+":"+name+"-missing")
			}
		case k.module == "" || r.sum.ran(k.module):
			rules = append(rules, id+":"+k.rule)
		}
	}
	slices.Sort(rules)
	port := r.req.Target.Port()
	return &finding.Coverage{Places: []finding.Place{{
		Host: finding.CanonicalHost(u.Hostname()), Ports: []finding.PortRange{{Protocol: "tcp", From: port, To: port}},
		Rules: slices.Compact(rules), Paths: slices.Sorted(maps.Keys(r.sum.paths)),
	}}}
}

func (r *run) address() string {
	u := r.req.Target.URL()
	if u == nil {
		return r.req.Target.String()
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return bare.String()
}
