package nikto

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of a run.
const (
	reachTime = 20 * time.Second // for the target to answer one request
	maxText   = 4 << 20          // bytes of standard output that are kept
	maxStderr = 64 << 10
)

// Run implements engine.Engine. Nikto exits with 0 whatever happened: the verdict comes from what it prints and from its
// report.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	if req.Target.URL() == nil {
		return engine.Verdict{}, fault.New(fault.Unsupported, fault.CodeTargetType, "Nikto looks at URLs")
	}
	env.Progress(0, "reaching the target")
	if v, there := knock(ctx, env, req, true); !there {
		return v, nil
	}
	proxy, err := env.Proxy(ctx)
	if err != nil {
		return engine.Verdict{}, err
	}
	w := newWatch(env.Progress)
	var stderr bytes.Buffer
	limits := manifest().Limits
	exit, err := launch(ctx, env, engine.Process{
		Args: arguments(req, env.Work, proxy), Stdout: w, Stderr: &engine.Head{To: &stderr, Left: maxStderr},
		First: engine.Interrupt, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory, Network: engine.NetworkProxy,
	})
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return engine.Verdict{}, manifest().Missing().Because(err)
	}
	if err != nil {
		return engine.Verdict{}, err
	}
	sum := &summary{text: w.said(), stderr: stderr.String(), canceled: exit.Canceled || ctx.Err() != nil, version: versionOf(w.said())}
	if err := sum.keep(env, w); err != nil {
		return engine.Verdict{}, err
	}
	if !sum.canceled {
		_, there := knock(ctx, env, req, false)
		sum.gone = !there && ctx.Err() == nil
	}
	v := sum.verdict(req)
	if v.Outcome == engine.Failed {
		env.Log.WarnContext(ctx, "nikto ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled),
			slog.String("stderr", finding.Line(sum.stderr, 500)), slog.String("stdout", finding.Line(sum.text, 500)))
	}
	return v, nil
}

// knock asks the target for one page, or only connects to it. Nikto can't tell a dead target: behind the run's proxy
// everything answers, be it with "Bad Gateway".
func knock(ctx context.Context, env engine.Env, req engine.Request, ask bool) (v engine.Verdict, there bool) {
	within, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	target := req.Target.URL()
	conn, err := env.Dial.DialContext(within, "tcp", net.JoinHostPort(target.Hostname(), strconv.Itoa(req.Target.Port())))
	if err == nil {
		_ = conn.Close()
		if !ask || answers(within, env, req) {
			return engine.Verdict{}, true
		}
	}
	look := engine.TargetLook{Target: target.String(), State: engine.LookUnreachable}
	switch {
	case ctx.Err() != nil:
		look.State = engine.LookTimedOut
		v = engine.Verdict{Outcome: engine.Failed, Reasons: []string{"The scan was stopped before the target was reached."}}
	case fault.KindOf(err) == fault.Forbidden:
		look.State, look.Reason = engine.LookSkipped, "out of scope"
		v = engine.Verdict{Outcome: engine.Blocked, Reasons: []string{"The target is outside of what may be scanned."}}
	case err != nil:
		v = engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target takes no connection."}}
	default:
		v = engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target takes connections but gives no web page."}}
	}
	v.Looked.Targets = []engine.TargetLook{look}
	return v, false
}

// answers reports whether the target answers a request for its page with anything but "there is nobody behind me".
func answers(ctx context.Context, env engine.Env, req engine.Request) bool {
	tr := &http.Transport{
		Proxy: nil, DialContext: env.Dial.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, //nolint:gosec // weak servers are what is looked for; nothing is sent that could be stolen
	}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address(req.Target.URL()), nil)
	if err != nil {
		return false
	}
	if ua := req.Config.UserAgent; ua != "" {
		r.Header.Set("User-Agent", ua)
	}
	resp, err := c.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusGatewayTimeout
}

// summary is what is known of a run after its end.
type summary struct {
	text, stderr string
	version      string
	canceled     bool
	reported     bool // there is a JSON report
	failed       bool // Nikto says that it couldn't connect
	items        int
	truncated    bool
	gone         bool // the target was dead at the end
}

// keep copies the report and the text into artifacts. The report comes first where there is one; else the text is what
// is parsed.
func (s *summary) keep(env engine.Env, w *watch) error {
	file, err := env.Files.Open(reportFile)
	if err == nil {
		defer func() { _ = file.Close() }()
		info, err := file.Stat()
		s.reported = err == nil && info.Size() > 0
	}
	if s.reported {
		raw, err := env.Artifact(reportFile, "application/json")
		if err != nil {
			return err
		}
		limit := manifest().Limits.MaxOutput
		_ = document(io.TeeReader(io.LimitReader(file, limit+1), raw), func(_ host, i item) error {
			s.items++
			s.failed = s.failed || i.id == failed
			return nil
		})
		s.truncated = raw.Truncated()
	}
	raw, err := env.Artifact("nikto.txt", "text/plain")
	if err != nil {
		return err
	}
	_, err = raw.Write([]byte(w.said()))
	s.truncated = s.truncated || !s.reported && (raw.Truncated() || w.cut)
	return err
}

// verdict decides how much the run's silence is worth.
func (s *summary) verdict(req engine.Request) engine.Verdict {
	v := engine.Verdict{Version: s.version, Coverage: &finding.Coverage{}}
	v.Outcome, v.Reasons = s.outcome()
	look := engine.TargetLook{Target: req.Target.URL().String(), State: engine.LookReached}
	switch v.Outcome {
	case engine.Complete:
		v.Coverage = covered(req)
	case engine.NothingReachable, engine.Blocked:
		look.State = engine.LookUnreachable
	case engine.Failed:
		look.State, look.Reason = engine.LookSkipped, "Nikto didn't get to it"
	case engine.Partial:
		look.State = engine.LookPartial
	}
	v.Looked.Targets = []engine.TargetLook{look}
	if s.version != "" {
		v.Looked.Databases = []engine.Database{{Name: "Nikto's tests", Version: s.version}}
	}
	return v
}

func (s *summary) outcome() (engine.Outcome, []string) {
	both := s.text + "\n" + s.stderr
	tested := regexp.MustCompile(`(?m)^\+ [1-9]\d* host\(s\) tested`).MatchString(s.text)
	const kept = " What it had found by then is kept."
	switch {
	case s.canceled:
		return engine.Partial, []string{"Nikto was stopped before its end." + kept}
	case s.failed, strings.Contains(both, "0 host(s) tested"), strings.Contains(both, "No web server found"):
		return engine.NothingReachable, []string{"Nikto couldn't connect to the target."}
	case strings.Contains(both, "maximum execution time"):
		return engine.Partial, []string{"Nikto was ended by maxTime." + kept}
	case strings.Contains(both, "Error limit ("):
		return engine.Partial, []string{"Nikto gave up after too many errors of the target." + kept}
	case !tested && !s.reported && s.version == "":
		return engine.Failed, []string{"Nikto didn't begin; the server's log has its last words."}
	case !tested:
		return engine.Partial, []string{"Nikto ended early." + kept}
	case !s.reported:
		return engine.Partial, []string{"Nikto left no report; what it had printed was taken instead."}
	case s.truncated:
		return engine.Partial, []string{"The raw output was larger than what is kept; what came after it is missing."}
	case s.gone:
		return engine.Partial, []string{"The target stopped taking connections during the scan."}
	}
	return engine.Complete, nil
}

// covered is where Nikto's silence counts after a whole run with the usual kinds of tests or more: everything below its
// root, but for remote inclusions where they weren't looked for, and for CGI programs in folders that weren't tried.
func covered(req engine.Request) *finding.Coverage {
	o, target := req.Options, req.Target.URL()
	if letters(o.Set("tuning")) != letters(usualTuning()) && len(o.Set("tuning")) < len(tuningNames()) {
		return &finding.Coverage{}
	}
	var rules []string
	for c := '0'; c <= '9'; c++ {
		rules = append(rules, id+":"+string(c)+"*")
	}
	if len(o.Set("tuning")) == len(tuningNames()) {
		rules = append(rules, id+":"+groupInclusion+"/*")
	}
	if o.Text("cgiDirs") == "all" {
		rules = append(rules, id+":"+groupCGI+"/*")
	}
	port := req.Target.Port()
	place := finding.Place{
		Host: finding.CanonicalHost(target.Hostname()), Ports: []finding.PortRange{{Protocol: "tcp", From: port, To: port}}, Rules: rules,
	}
	if root := rootOf(target); root != "" {
		place.Paths = []string{root + "/*", root}
	}
	return &finding.Coverage{Places: []finding.Place{place}}
}

// rootOf is the path that Nikto puts in front of all others, without a slash at its end; empty for the whole site.
func rootOf(target *url.URL) string { return strings.TrimRight(target.Path, "/") }
