package zap

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Times of the driver.
const (
	startTime   = 3 * time.Minute // for ZAP to answer at all
	pollEvery   = 400 * time.Millisecond
	streamEvery = 10 * time.Second // alerts are read while steps go on, so that a kill costs little
	closingTime = 2 * time.Minute  // to read the last alerts
	page        = 100              // alerts asked for at a time
)

// contextName is the name of ours for ZAP's context and policy.
const contextName = "assay"

// session leads one ZAP through one scan. All of it runs on one goroutine; what it found out is read after that.
type session struct {
	env engine.Env
	req engine.Request
	out *recorder
	api *client

	target  *url.URL
	version string
	addons  []engine.Database
	rules   rulesRecord
	active  int // active rules that are installed
	end     ending
	reached bool
	told    int // alerts that were written
	lost    bool
	percent int
	stopped bool // by a cancel or the deadline
	halted  *halt
	notes   []string // reasons for a partial outcome
	cause   error    // for the log
}

func newSession(env engine.Env, req engine.Request, out *recorder) *session {
	return &session{env: env, req: req, out: out, target: req.Target.URL()}
}

// halt ends a run before its steps.
type halt struct {
	outcome engine.Outcome
	reason  string
}

// Error implements error.
func (h *halt) Error() string { return h.reason }

// lead does everything. run ends with a cancel or the deadline, life with the program.
func (s *session) lead(run, life context.Context) {
	ctx, cancel := context.WithCancel(run)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	err := s.work(ctx)
	s.stopped = run.Err() != nil
	most := closingTime
	if s.stopped {
		most = windUp - 300*time.Millisecond
	}
	closing, done := context.WithTimeout(life, most)
	defer done()
	switch h := (*halt)(nil); {
	case err == nil || s.stopped:
	case asHalt(err, &h):
		s.halted = h
	default:
		s.cause = err
	}
	if s.version == "" {
		_ = s.api.act(closing, "core/action/shutdown") // it may have come up in the meantime
		return
	}
	if s.stopped {
		_ = s.collect(closing) // first of all: a step may take longer to stop than there is time
		s.stopAll(closing)
	}
	if err := s.collect(closing); err != nil && s.cause == nil {
		s.cause, s.lost = err, true
	}
	s.note(record{Rules: &s.rules})
	s.note(record{End: &s.end})
	_ = s.api.act(closing, "core/action/shutdown") // else it is killed
}

// work is the run up to its last step.
func (s *session) work(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.note(record{Run: &runRecord{
		Version: s.version, Target: s.target.String(), Plan: s.req.Options.Text("plan"), Driver: s.req.Options.Text("driver"),
	}})
	if err := s.arrange(ctx); err != nil {
		return err
	}
	lead := s.automate
	if s.req.Options.Text("driver") != driverAutomation {
		// Before the first request: ZAP doesn't ask again whether what it has seen by then is in scope.
		if err := s.bound(ctx); err != nil {
			return err
		}
		lead = s.steps
	}
	s.tell(4, "reaching the target")
	if err := s.reach(ctx); err != nil {
		return err
	}
	if err := lead(ctx); err != nil {
		return err
	}
	if _, there := knock(ctx, s.env, s.req); !there && ctx.Err() == nil {
		s.notes = append(s.notes, "The target stopped taking connections during the scan.")
		s.end.Gone = true
	}
	return nil
}

// ready waits until ZAP answers.
func (s *session) ready(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		version, err := s.api.field(within, "core/view/version", "version")
		if err == nil {
			s.version = finding.Line(version, 32)
			return nil
		}
		if refusedAs(err, "bad_api_key") {
			return &halt{engine.Failed, "Something else than this scan's ZAP answers at its port."}
		}
		if !rest(within, pollEvery) {
			return err
		}
	}
}

// arrange makes the settings that the order needs. What can't be set ends the run: a limit or a header that is
// silently left out would make another scan than was ordered.
func (s *session) arrange(ctx context.Context) error {
	on, err := s.api.field(ctx, "network/view/isHttpProxyEnabled", "isHttpProxyEnabled")
	if err != nil || on != "true" {
		return &halt{engine.Failed, "This ZAP doesn't take the scan's proxy; its network add-on is missing or too old."}
	}
	if ua := s.req.Config.UserAgent; ua != "" {
		if err := s.api.act(ctx, "network/action/setDefaultUserAgent", "userAgent", ua); err != nil {
			return s.unset(ctx, err, "config.userAgent")
		}
	}
	if n := s.req.Config.RateLimit; n > 0 {
		if err := s.api.act(ctx, "network/action/addRateLimitRule", "description", contextName, "enabled", "true",
			"matchRegex", "true", "matchString", ".*", "requestsPerSecond", strconv.Itoa(n), "groupBy", "rule"); err != nil {
			return s.unset(ctx, err, "config.rateLimit")
		}
	}
	for i, h := range s.req.Config.Headers {
		if err := s.api.act(ctx, "replacer/action/addRule", "description", contextName+strconv.Itoa(i), "enabled", "true",
			"matchType", "REQ_HEADER", "matchRegex", "false", "matchString", h.Name, "replacement", h.Value.Reveal()); err != nil {
			return s.unset(ctx, err, "config.headers, for which it needs the replacer add-on")
		}
	}
	s.learn(ctx)
	return ctx.Err()
}

func (s *session) unset(ctx context.Context, err error, what string) error {
	if ctx.Err() != nil {
		return err
	}
	s.cause = err
	return &halt{engine.Failed, "This ZAP can't do " + what + "."}
}

// learn asks which rules there are. Parts that aren't installed are named in the verdict.
func (s *session) learn(ctx context.Context) {
	type scanners struct {
		Scanners []struct {
			ID      word `json:"id"`
			Enabled word `json:"enabled"`
		} `json:"scanners"`
	}
	var passive, active scanners
	if err := s.api.view(ctx, "pscan/view/scanners", &passive); err == nil {
		for _, r := range passive.Scanners {
			if r.Enabled != "false" && len(s.rules.Passive) < maxRules && ruleID(string(r.ID)) {
				s.rules.Passive = append(s.rules.Passive, string(r.ID))
			}
		}
	}
	if err := s.api.view(ctx, "ascan/view/scanners", &active); err == nil {
		for _, r := range active.Scanners {
			if r.Enabled != "false" {
				s.active++
			}
		}
	}
	slices.Sort(s.rules.Passive)
	s.rules.Passive = slices.Compact(s.rules.Passive)
	var addons struct {
		Installed []struct {
			ID      word `json:"id"`
			Version word `json:"version"`
		} `json:"installedAddons"`
	}
	if err := s.api.view(ctx, "autoupdate/view/installedAddons", &addons); err != nil {
		return
	}
	for _, a := range addons.Installed {
		if name := string(a.ID); judges(name) && len(s.addons) < engine.MaxDatabases {
			s.addons = append(s.addons, engine.Database{Name: finding.Line(name, 64), Version: finding.Line(string(a.Version), 32)})
		}
	}
	slices.SortFunc(s.addons, func(a, b engine.Database) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.addons {
		switch s.addons[i].Name {
		case "pscanrules":
			s.addons[i].Entries = len(s.rules.Passive)
		case "ascanrules":
			s.addons[i].Entries = s.active
		}
	}
}

// judges reports whether an add-on holds rules or data that ZAP judges by.
func judges(addon string) bool {
	return strings.HasPrefix(addon, "ascanrules") || strings.HasPrefix(addon, "pscanrules") ||
		addon == "retire" || addon == "domxss" || addon == "wappalyzer" || addon == "commonlib"
}

// reach makes the first request through ZAP: the target must answer it, and the page is in ZAP's tree of the site then,
// from which steps begin.
func (s *session) reach(ctx context.Context) error {
	var answer struct {
		Messages []struct {
			Header word `json:"responseHeader"`
		} `json:"accessUrl"`
	}
	err := s.api.view(ctx, "core/action/accessUrl", &answer, "url", s.target.String(), "followRedirects", "false")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, m := range answer.Messages {
		s.reached = s.reached || alive(string(m.Header))
	}
	if err != nil {
		s.cause = err
	}
	if !s.reached {
		return &halt{engine.NothingReachable, "The target takes connections but gives no web page."}
	}
	s.cause = nil
	return nil
}

// alive reports whether a response's head comes from the target: the run's proxy, and gateways in front of dead
// applications, answer 502 and 504, ZAP notes connections that broke as status 0.
func alive(head string) bool {
	_, rest, ok := strings.Cut(head, " ")
	if !ok || !strings.HasPrefix(head, "HTTP/") || len(rest) < 3 {
		return false
	}
	status, err := strconv.Atoi(rest[:3])
	return err == nil && status >= 100 && status != 502 && status != 504
}

// collect reads the alerts that weren't read yet.
func (s *session) collect(ctx context.Context) error {
	for !s.out.to.Truncated() {
		var answer struct {
			Alerts []json.RawMessage `json:"alerts"`
		}
		if err := s.api.view(ctx, "alert/view/alerts", &answer, "start", strconv.Itoa(s.told), "count", strconv.Itoa(page)); err != nil {
			return err
		}
		for _, raw := range answer.Alerts {
			a := &alert{}
			if json.Unmarshal(raw, a) == nil {
				s.note(record{Alert: a})
			} else {
				s.lost = true
			}
		}
		s.told += len(answer.Alerts)
		if len(answer.Alerts) < page {
			return nil
		}
	}
	return nil
}

func (s *session) note(r record) {
	if err := s.out.write(r); err != nil {
		s.cause, s.lost = err, true
	}
}

// tell reports progress, which never goes back.
func (s *session) tell(percent int, phase string) {
	s.percent = max(s.percent, min(percent, 99))
	s.env.Progress(s.percent, phase)
}

// rest waits; it is false when ctx has ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
