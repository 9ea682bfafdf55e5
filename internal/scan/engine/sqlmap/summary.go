package sqlmap

import (
	"bytes"
	"net/url"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// summary is what the log says of how it went.
type summary struct {
	tell  func(percent int, phase string)
	start page // what is tested where the log names no page

	version   string
	finished  bool // sqlmap says that it ended
	aborted   bool // and that it was told to
	canceled  bool
	crashed   bool
	connected bool // an answer was looked at
	refused   bool // sqlmap couldn't connect at all
	login     bool // the target asks for a login
	firewall  bool
	nothing   bool // no parameter to test was found
	gateway   int  // answers that only the run's proxy gives for a target that is gone
	params    int  // parameters that were tested
	points    int  // injection points
	expected  int  // pages
	looks     []engine.TargetLook
	paths     map[string]bool // of pages that were begun
	last      int
	tests     int // of the present page
}

func newSummary(req engine.Request, crawls bool) *summary {
	s := &summary{start: page{method: "GET", address: req.Target.String()}, expected: 1, paths: map[string]bool{}}
	if !crawls {
		s.begin(s.start)
	}
	return s
}

func (s *summary) watcher() watcher {
	return watcher{
		version:  func(v string) { s.version = label(v, 32) },
		page:     s.begin,
		count:    func(_, of int) { s.expected = max(s.expected, of) },
		log:      s.message,
		other:    s.gone,
		injected: func(page, point, facts) { s.points++ },
		finished: func() { s.finished = true },
	}
}

// begin ends the look at the page before and begins the next.
func (s *summary) begin(p page) {
	s.settle()
	s.tests = 0
	name := p.address
	if u, err := url.Parse(p.address); err == nil {
		name = address(u)
		if len(s.paths) <= maxPaths {
			s.paths[pathOf(u)] = true
		}
	}
	if len(s.looks) < engine.MaxTargetLooks {
		s.looks = append(s.looks, engine.TargetLook{Target: label(p.method+" "+name, 255), State: engine.LookPartial})
	}
	s.progress("testing parameters")
}

// settle says of the present page that it was looked at to its end.
func (s *summary) settle() {
	if n := len(s.looks); n > 0 && s.looks[n-1].State == engine.LookPartial && s.looks[n-1].Reason == "" {
		s.looks[n-1].State = engine.LookReached
	}
}

func (s *summary) present(state engine.LookState, reason string) {
	if n := len(s.looks); n > 0 {
		s.looks[n-1].State, s.looks[n-1].Reason = state, reason
	}
}

func (s *summary) message(_, m string) {
	has := func(part string) bool { return strings.Contains(m, part) }
	switch {
	case strings.HasPrefix(m, "testing connection"):
		s.progress("connecting")
	case strings.HasPrefix(m, "starting crawler"), strings.HasPrefix(m, "searching for "):
		s.progress("looking for pages")
	case strings.HasPrefix(m, "found a total of "):
		number, _, _ := strings.Cut(strings.TrimPrefix(m, "found a total of "), " ")
		s.expected = max(s.expected, whole(number))
	case strings.HasPrefix(m, "testing if the target URL content is stable"), strings.HasPrefix(m, "target URL content is"):
		s.connected = true
	case strings.HasPrefix(m, "testing for SQL injection on"):
		s.connected = true
		s.params++
		s.progress("testing parameters")
	case strings.HasPrefix(m, "testing '"):
		s.tests++
		s.progress("testing parameters")
	case strings.HasPrefix(m, "the back-end DBMS is"):
		s.progress("identifying the database")
	default:
		s.trouble(m, has)
	}
}

// trouble reads what weakens the verdict.
func (s *summary) trouble(m string, has func(string) bool) {
	switch {
	case has("unable to connect to the target URL") && !has("going to retry"), has("connection timed out to the target URL") && !has("going to retry"),
		has("can't establish SSL connection") && !has("going to retry"):
		if s.params == 0 && !s.connected {
			s.refused = true
		}
		if has("skipping to the next") {
			s.present(engine.LookUnreachable, "no answer")
		}
	case has("user aborted"), has("user quit"):
		s.aborted = true
	case has("unhandled exception occurred"):
		s.crashed = true
	case has("not authorized, try to provide"):
		s.login = true
		s.present(engine.LookPartial, "asks for a login")
	case has("protected by some kind of WAF/IPS") && !has("checking if"):
		s.firewall = true
	case has("no usable links found"), has("no parameter(s) found for testing"), has("there were no forms found"):
		s.nothing = true
	case strings.HasPrefix(m, "skipping 'http") && len(s.looks) < engine.MaxTargetLooks:
		s.settle()
		s.looks = append(s.looks, engine.TargetLook{Target: label(strings.Trim(strings.TrimPrefix(m, "skipping "), "'"), 255), State: engine.LookSkipped, Reason: "sqlmap passed it over"})
	}
}

// gone counts "502 (Bad Gateway) - 3 times", the line below "HTTP error codes detected".
func (s *summary) gone(line string) {
	if _, rest, ok := strings.Cut(line, "502 (Bad Gateway) - "); ok {
		number, _, _ := strings.Cut(rest, " ")
		s.gateway += max(whole(number), 1)
	}
}

// progress never goes back: pages count equally, and each test within one takes a part of what is left of it.
func (s *summary) progress(phase string) {
	percent := 2
	if phase == "looking for pages" {
		percent = 5
	}
	if n := len(s.looks); n > 0 && s.connected || n > 1 {
		done := float64(n-1) + float64(s.tests)/float64(s.tests+15)
		percent = 10 + int(88*done/float64(max(s.expected, n)))
	}
	s.last = min(max(s.last, percent), 99)
	if s.tell != nil {
		s.tell(s.last, phase)
	}
}

// complete reports whether everything that was begun was looked at to its end.
func (s *summary) complete() bool {
	if !s.finished || s.aborted || s.canceled || s.crashed || s.refused || s.gateway > 0 {
		return false
	}
	for _, l := range s.looks {
		if l.State != engine.LookReached {
			return false
		}
	}
	return true
}

// verdict decides how much the run's silence is worth.
func (s *summary) verdict(truncated bool) engine.Verdict {
	if s.finished && !s.aborted && !s.canceled {
		s.settle()
	}
	if s.refused && !s.connected {
		s.present(engine.LookUnreachable, "no connection")
	}
	v := engine.Verdict{Version: s.version, Looked: engine.Looked{Targets: s.looks}}
	if s.version != "" {
		v.Looked.Databases = []engine.Database{{Name: "sqlmap payloads", Version: s.version}}
	}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	tested := count(s.params, "parameter") + " had been tested."
	switch {
	case s.canceled:
		add(engine.Partial, "sqlmap was stopped before its end; "+tested)
	case s.refused && !s.connected:
		add(engine.NothingReachable, "sqlmap could not connect to the target.")
	case s.gateway > 0 && s.params == 0:
		add(engine.NothingReachable, "The target gave no answer.")
	case (!s.finished || s.crashed) && s.params == 0:
		add(engine.Failed, "sqlmap ended without a result; the raw output has what it said.")
	case !s.finished || s.crashed || s.aborted:
		add(engine.Partial, "sqlmap ended early; "+tested)
	case s.login && s.params == 0:
		add(engine.Partial, "The target asks for a login; nothing behind it was tested.")
	}
	s.doubts(add, truncated)
	if v.Outcome == "" {
		v.Outcome = engine.Complete
	}
	return v
}

// doubts adds what makes an otherwise whole run worth less.
func (s *summary) doubts(add func(engine.Outcome, string), truncated bool) {
	if s.gateway > 0 && s.params > 0 {
		add(engine.Partial, "The target stopped answering for "+count(s.gateway, "request")+".")
	}
	unreached, passed := 0, 0
	for _, l := range s.looks {
		switch l.State {
		case engine.LookUnreachable:
			unreached++
		case engine.LookSkipped:
			passed++
		case engine.LookReached, engine.LookPartial, engine.LookTimedOut:
		}
	}
	if passed > 0 {
		add(engine.Partial, count(passed, "page")+" passed over by sqlmap.")
	}
	if unreached > 0 && s.connected {
		add(engine.Partial, count(unreached, "page")+" gave no answer.")
	}
	if truncated {
		add(engine.Partial, "The raw output was larger than what is kept; what came after it is missing.")
	}
	if s.firewall {
		add(engine.Complete, "The target answers as if a web application firewall stood before it, which may hide injections.")
	}
	if s.params == 0 && s.finished && !s.refused && s.gateway == 0 && !s.login && !s.crashed {
		add(engine.Complete, "No parameter to test was found: give a URL with a query, or crawl further.")
	}
}

// address is a URL without query and fragment.
func address(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: pathOf(u), RawPath: u.RawPath}
	return bare.String()
}

// crash watches standard error for a Python traceback.
type crash struct{ sum *summary }

// Write implements io.Writer and never fails.
func (c *crash) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Traceback (most recent call last)")) {
		c.sum.crashed = true
	}
	return len(p), nil
}
