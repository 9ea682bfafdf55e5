package zap

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Names of jobs, as the automation framework has them, for both drivers.
const (
	jobSpider  = "spider"
	jobAjax    = "spiderAjax"
	jobPassive = "passiveScan-wait"
	jobActive  = "activeScan"
)

// ajaxBrowser is the browser that crawls: without a screen, since scans have none.
const ajaxBrowser = "firefox-headless"

const (
	maxRules = 2_000
	patience = 3 // calls in a row that may go without an answer
)

// job is one step, and the part of the whole that it is, in percent.
type job struct {
	kind     string
	phase    string
	from, to int
}

// jobs are the steps that an order asks for.
func jobs(o engine.Options) []job {
	var out []job
	add := func(ordered bool, kind, phase string) {
		if ordered {
			out = append(out, job{kind: kind, phase: phase})
		}
	}
	full := o.Text("plan") == planFull
	add(o.Bool("spider"), jobSpider, "crawling")
	add(o.Bool("ajaxSpider"), jobAjax, "crawling with a browser")
	add(true, jobPassive, "judging answers")
	add(full, jobActive, "attacking")
	at := 5
	for i := range out {
		share := 93 / len(out)
		if full { // attacks take most of the time
			share = 30 / max(len(out)-1, 1)
		}
		out[i].from, out[i].to = at, at+share
		at += share
	}
	out[len(out)-1].to = 98
	return out
}

// steps leads ZAP step by step.
func (s *session) steps(ctx context.Context) error {
	for _, j := range jobs(s.req.Options) {
		s.tell(j.from, j.phase)
		ended, err := s.step(ctx, j)
		s.set(j.kind, ended)
		if err != nil {
			return err
		}
	}
	return nil
}

// set notes how a step ended.
func (s *session) set(kind string, ended step) {
	switch kind {
	case jobSpider:
		s.end.Spider = ended
	case jobAjax:
		s.end.Ajax = ended
	case jobPassive:
		s.end.Passive = ended
	case jobActive:
		s.end.Active = ended
	}
}

// bound makes ZAP's context of the target's site, and protected mode, in which ZAP itself attacks nothing else.
func (s *session) bound(ctx context.Context) error {
	o := s.req.Options
	calls := [][]string{
		{"context/action/newContext", "contextName", contextName},
		{"context/action/includeInContext", "contextName", contextName, "regex", within(s.target, o.Bool("subtreeOnly"))},
		{"core/action/setMode", "mode", "protect"},
		{"spider/action/setOptionMaxDuration", "Integer", strconv.Itoa(o.Int("maxSpiderMinutes"))},
		{"spider/action/setOptionMaxDepth", "Integer", strconv.Itoa(o.Int("maxDepth"))},
		{"spider/action/setOptionThreadCount", "Integer", strconv.Itoa(threads(s.req))},
	}
	for _, regex := range avoided(o.Set("avoid")) {
		calls = append(calls,
			[]string{"context/action/excludeFromContext", "contextName", contextName, "regex", regex},
			[]string{"spider/action/excludeFromScan", "regex", regex},
			[]string{"ascan/action/excludeFromScan", "regex", regex})
	}
	if o.Text("plan") == planFull {
		calls = append(calls,
			[]string{"ascan/action/setOptionThreadPerHost", "Integer", strconv.Itoa(threads(s.req))},
			[]string{"ascan/action/setOptionDelayInMs", "Integer", strconv.Itoa(o.Int("delayMs"))},
			[]string{"ascan/action/setOptionMaxScanDurationInMins", "Integer", strconv.Itoa(o.Int("maxScanMinutes"))},
			[]string{"ascan/action/setOptionMaxRuleDurationInMins", "Integer", strconv.Itoa(o.Int("maxRuleMinutes"))},
			[]string{
				"ascan/action/addScanPolicy", "scanPolicyName", contextName,
				"attackStrength", o.Text("attackStrength"), "alertThreshold", o.Text("alertThreshold"),
			})
	}
	for _, c := range calls {
		if err := s.api.act(ctx, c[0], c[1:]...); err != nil {
			return s.unset(ctx, err, "what the options ask for; "+finding.Line(c[0], 80)+" was refused")
		}
	}
	return nil
}

// step does one step. An error means that no further step makes sense.
func (s *session) step(ctx context.Context, j job) (step, error) {
	switch j.kind {
	case jobSpider:
		return s.crawl(ctx, j)
	case jobAjax:
		return s.browse(ctx, j)
	case jobPassive:
		return s.judge(ctx, j)
	case jobActive:
		return s.attack(ctx, j)
	}
	return "", nil
}

func (s *session) crawl(ctx context.Context, j job) (step, error) {
	o := s.req.Options
	scan, err := s.api.field(ctx, "spider/action/scan", "scan", "url", s.target.String(), "maxChildren", strconv.Itoa(o.Int("maxChildren")),
		"recurse", strconv.FormatBool(o.Bool("recurse")), "contextName", contextName, "subtreeOnly", strconv.FormatBool(o.Bool("subtreeOnly")))
	if err != nil {
		return s.broken(ctx, err, "The spider")
	}
	ended, err := s.await(ctx, watch{
		job: j, limit: minutes(o.Int("maxSpiderMinutes")), name: "The spider",
		look: func(ctx context.Context) (int, string, error) {
			n, err := s.api.number(ctx, "spider/view/status", "status", "scanId", scan)
			return n, strconv.Itoa(n) + s.traffic(ctx), err
		},
		stop: func(ctx context.Context) error { return s.api.act(ctx, "spider/action/stop", "scanId", scan) },
	})
	s.countURLs(ctx)
	return ended, err
}

func (s *session) browse(ctx context.Context, j job) (step, error) {
	o := s.req.Options
	for _, c := range [][]string{
		{"ajaxSpider/action/setOptionBrowserId", "String", ajaxBrowser},
		{"ajaxSpider/action/setOptionNumberOfBrowsers", "Integer", "1"},
		{"ajaxSpider/action/setOptionMaxDuration", "Integer", strconv.Itoa(o.Int("maxSpiderMinutes"))},
		{"ajaxSpider/action/scan", "url", s.target.String(), "contextName", contextName, "subtreeOnly", strconv.FormatBool(o.Bool("subtreeOnly"))},
	} {
		if err := s.api.act(ctx, c[0], c[1:]...); err != nil {
			return s.broken(ctx, err, "The Ajax Spider")
		}
	}
	return s.await(ctx, watch{
		job: j, limit: minutes(o.Int("maxSpiderMinutes")), name: "The Ajax Spider",
		look: func(ctx context.Context) (int, string, error) {
			status, err := s.api.field(ctx, "ajaxSpider/view/status", "status")
			if err == nil && status != "running" {
				return 100, "", nil
			}
			return 0, s.traffic(ctx), err
		},
		stop: func(ctx context.Context) error { return s.api.act(ctx, "ajaxSpider/action/stop") },
	})
}

// judge waits until the passive rules have seen every answer.
func (s *session) judge(ctx context.Context, j job) (step, error) {
	if len(s.rules.Passive) == 0 {
		s.miss("passive")
		return stepMissing, nil
	}
	first := -1
	return s.await(ctx, watch{
		job: j, name: "The passive scan",
		look: func(ctx context.Context) (int, string, error) {
			n, err := s.api.number(ctx, "pscan/view/recordsToScan", "recordsToScan")
			if err != nil {
				return 0, "", err
			}
			first = max(first, n)
			if n == 0 {
				return 100, "", nil
			}
			return 99 * (first - n) / first, strconv.Itoa(n), nil
		},
		stop: func(context.Context) error { return nil },
	})
}

func (s *session) attack(ctx context.Context, j job) (step, error) {
	if s.active == 0 {
		s.miss("active")
	}
	o := s.req.Options
	scan, err := s.api.field(ctx, "ascan/action/scan", "scan", "url", s.target.String(), "recurse", strconv.FormatBool(o.Bool("recurse")),
		"inScopeOnly", "true", "scanPolicyName", contextName)
	if err != nil {
		return s.broken(ctx, err, "The active scan")
	}
	ended, err := s.await(ctx, watch{
		job: j, limit: minutes(o.Int("maxScanMinutes")), name: "The active scan",
		look: func(ctx context.Context) (int, string, error) {
			n, err := s.api.number(ctx, "ascan/view/status", "status", "scanId", scan)
			return n, strconv.Itoa(n) + s.traffic(ctx), err
		},
		stop: func(ctx context.Context) error { return s.api.act(ctx, "ascan/action/stop", "scanId", scan) },
	})
	s.completed(ctx, scan)
	if ended == stepDone && s.active == 0 {
		ended = stepMissing
	}
	return ended, err
}

// miss says that a kind of rules isn't installed.
func (s *session) miss(kind string) {
	reason := "This ZAP has no " + kind + " rules, so that nothing was judged by them; install its add-on " + kind[:1] + "scanrules."
	if !slices.Contains(s.notes, reason) {
		s.notes = append(s.notes, reason)
	}
}

// broken takes a step that couldn't begin.
func (s *session) broken(ctx context.Context, err error, name string) (step, error) {
	switch {
	case ctx.Err() != nil:
		return stepStopped, err
	case missing(err):
		s.notes = append(s.notes, name+" isn't installed in this ZAP.")
		return stepMissing, nil
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		return stepFailed, err // ZAP itself is gone
	}
	s.cause = err
	s.notes = append(s.notes, name+" was refused by ZAP: "+finding.Line(refused.code, 40)+".")
	return stepFailed, nil
}

// watch is how a step is awaited.
type watch struct {
	job   job
	name  string
	limit time.Duration // ZAP's own for the step; 0 = none
	look  func(context.Context) (percent int, life string, err error)
	stop  func(context.Context) error
}

// await polls a step until it is done, stops moving, or ctx ends. Between polls alerts are read.
func (s *session) await(ctx context.Context, w watch) (step, error) {
	began := s.env.Now()
	moved, read, before, silent := began, began, "", 0
	idle := max(minutes(s.req.Options.Int("idleMinutes")), time.Second)
	for {
		percent, life, err := w.look(ctx)
		now := s.env.Now()
		switch {
		case ctx.Err() != nil:
			return stepStopped, ctx.Err()
		case missing(err):
			return s.broken(ctx, err, w.name)
		case err != nil:
			if silent++; silent >= patience {
				return stepFailed, err
			}
		case percent >= 100 && w.limit > 0 && now.Sub(began) >= w.limit:
			s.notes = append(s.notes, w.name+" was ended by its time limit.")
			return stepCut, nil
		case percent >= 100:
			return stepDone, nil
		default:
			silent = 0
			s.tell(w.job.from+(w.job.to-w.job.from)*max(percent, 0)/100, w.job.phase)
		}
		if life != before {
			before, moved = life, now
		}
		if now.Sub(moved) >= idle {
			s.notes = append(s.notes, w.name+" made no progress for idleMinutes and was stopped.")
			s.cause = errors.Join(s.cause, w.stop(ctx))
			return stepHung, nil
		}
		if now.Sub(read) >= streamEvery {
			read = now
			_ = s.collect(ctx) // what can't be read now is read at the end
		}
		if !rest(ctx, pollEvery) {
			return stepStopped, ctx.Err()
		}
	}
}

// traffic is a sign of life: how many messages ZAP has sent and kept.
func (s *session) traffic(ctx context.Context) string {
	n, err := s.api.field(ctx, "core/view/numberOfMessages", "numberOfMessages")
	if err != nil {
		return ""
	}
	return "/" + n
}

func (s *session) countURLs(ctx context.Context) {
	var answer struct {
		URLs []json.RawMessage `json:"urls"`
	}
	if err := s.api.view(ctx, "core/view/urls", &answer, "baseurl", s.target.Scheme+"://"+s.target.Host); err == nil {
		s.end.URLs = len(answer.URLs)
	}
}

// completed asks which active rules came to their end.
func (s *session) completed(ctx context.Context, scan string) {
	var answer struct {
		Progress []json.RawMessage `json:"scanProgress"`
	}
	if err := s.api.view(ctx, "ascan/view/scanProgress", &answer, "scanId", scan); err != nil {
		return
	}
	for _, part := range answer.Progress {
		var host struct {
			Process []struct {
				Plugin []word `json:"Plugin"` // name, id, quality, status, …
			} `json:"HostProcess"`
		}
		if json.Unmarshal(part, &host) != nil {
			continue // the host's name
		}
		for _, p := range host.Process {
			if len(p.Plugin) > 3 && strings.EqualFold(string(p.Plugin[3]), "complete") && ruleID(string(p.Plugin[1])) && len(s.rules.Active) < maxRules {
				s.rules.Active = append(s.rules.Active, string(p.Plugin[1]))
			}
		}
	}
	slices.Sort(s.rules.Active)
	s.rules.Active = slices.Compact(s.rules.Active)
}

// stopAll stops whatever goes on, so that ZAP's last alerts can be read.
func (s *session) stopAll(ctx context.Context) {
	for _, call := range []string{"ascan/action/stopAllScans", "spider/action/stopAllScans"} {
		_ = s.api.act(ctx, call) // it is ended soon anyway
	}
	if s.req.Options.Bool("ajaxSpider") {
		_ = s.api.act(ctx, "ajaxSpider/action/stop")
	}
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

func asHalt(err error, h **halt) bool { return errors.As(err, h) }

// ruleID reports whether s is the number of a rule.
func ruleID(s string) bool {
	return s != "" && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}
