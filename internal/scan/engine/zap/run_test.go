package zap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

const example = "http://www.example.org/"

func run(t *testing.T, s *stand, req engine.Request) engine.Verdict {
	t.Helper()
	v, err := New().Run(t.Context(), s.env(t), req)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(s.percents) || len(s.percents) > 0 && s.percents[len(s.percents)-1] > 99 {
		t.Errorf("progress %v", s.percents)
	}
	return v
}

func TestFullScanByEitherDriver(t *testing.T) {
	for _, driver := range []string{"rest", "automation"} {
		t.Run(driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				req := request(t, example, `{"plan":"full","driver":"`+driver+`"}`, `{}`)
				v := run(t, s, req)
				if v.Outcome != engine.Complete || v.Version != "2.17.0" || len(v.Reasons) != 0 {
					t.Fatalf("%+v", v)
				}
				if len(v.Looked.Databases) != 2 || v.Looked.Databases[1].Entries != 3 || v.Looked.Targets[0].State != engine.LookReached {
					t.Errorf("looked %+v", v.Looked)
				}
				if len(s.percents) < 20 {
					t.Errorf("progress %v", s.percents)
				}
				got := parse(t, s.raw[artifactName].Bytes(), req)
				if len(got.Findings) != 6 {
					t.Errorf("%d findings", len(got.Findings))
				}
				for _, rule := range []string{"zap:10038-1", "zap:10010", "zap:40018", "zap:40012"} {
					if !got.Coverage.Covers(rule, finding.Location{Host: "www.example.org", Port: 80}) {
						t.Errorf("%s isn't covered by %+v", rule, got.Coverage)
					}
				}
				if got.Coverage.Covers("zap:40003", finding.Location{Host: "www.example.org", Port: 80}) {
					t.Error("a rule that wasn't there is covered")
				}
				if driver == "automation" && (s.raw[planFile] == nil || s.raw[planFile].String() != s.file(t, planFile) || s.order[0] != artifactName) {
					t.Errorf("the plan isn't kept: %v", s.order)
				}
			})
		})
	}
}

func TestBaselineDoesNotAttack(t *testing.T) {
	for _, driver := range []string{"rest", "automation"} {
		t.Run(driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				v := run(t, s, request(t, example, `{"driver":"`+driver+`"}`, `{}`))
				if v.Outcome != engine.Complete {
					t.Errorf("%+v", v)
				}
				if strings.Contains(strings.Join(s.calls, "\n"), "ascan/action/scan?") || strings.Contains(s.file(t, planFile), "activeScan") {
					t.Error("it attacked")
				}
			})
		})
	}
}

// TestVerdicts: each row changes one thing about the daemon or the target.
func TestVerdicts(t *testing.T) {
	refused := func(int) error { return syscall.ECONNREFUSED }
	for name, c := range map[string]struct {
		change  func(*stand)
		options string
		want    engine.Outcome
		reason  string
		starts  bool
	}{
		"dead target": {func(s *stand) { s.dial = refused }, `{}`, engine.NothingReachable, "takes no connection", false},
		"out of scope": {func(s *stand) {
			s.dial = func(int) error { return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "no") }
		}, `{}`, engine.Blocked, "outside", false},
		"no web server":     {func(s *stand) { s.page = "HTTP/1.1 502 Bad Gateway\r\n\r\n" }, `{}`, engine.NothingReachable, "no web page", true},
		"broken connection": {func(s *stand) { s.page = "HTTP/1.0 0\r\n\r\n" }, `{}`, engine.NothingReachable, "no web page", true},
		"dies in between": {func(s *stand) {
			s.dial = func(n int) error { return map[bool]error{true: syscall.ECONNREFUSED}[n > 1] }
		}, `{}`, engine.Partial, "stopped taking connections", true},
		"never answers":       {func(s *stand) { s.mute = true }, `{}`, engine.Failed, "didn't start", true},
		"killed in the scan":  {func(s *stand) { s.dieAt = 60 }, `{"plan":"full"}`, engine.Partial, "stopped answering", true},
		"killed in the plan":  {func(s *stand) { s.dieAt = 60 }, `{"plan":"full","driver":"automation"}`, engine.Partial, "stopped answering", true},
		"hangs":               {func(s *stand) { s.hangAt = 40 }, `{"plan":"full"}`, engine.Partial, "no progress", true},
		"hangs in the plan":   {func(s *stand) { s.hangAt = 40 }, `{"plan":"full","driver":"automation"}`, engine.Partial, "no progress", true},
		"spider's time limit": {func(s *stand) { s.spider = time.Minute }, `{"maxSpiderMinutes":1}`, engine.Partial, "time limit", true},
		"attack's time limit": {func(s *stand) { s.active = time.Minute }, `{"plan":"full","maxScanMinutes":1}`, engine.Partial, "time limit", true},
		"plan's time limit":   {func(*stand) {}, `{"plan":"full","maxScanMinutes":2,"driver":"automation"}`, engine.Partial, "time limit", true},
		"no passive rules":    {func(s *stand) { s.passive = 0 }, `{}`, engine.Partial, "passive", true},
		"no active rules":     {func(s *stand) { s.attacks = 0 }, `{"plan":"full"}`, engine.Partial, "ascanrules", true},
		"no browser":          {func(s *stand) { s.refuse = map[string]string{"ajaxSpider": "no_implementor"} }, `{"ajaxSpider":true}`, engine.Partial, "Ajax Spider isn't installed", true},
		"no automation":       {func(s *stand) { s.refuse = map[string]string{"automation": "x"} }, `{"driver":"automation"}`, engine.Failed, "automation", true},
		"no proxy":            {func(s *stand) { s.refuse = map[string]string{"network": "x"} }, `{}`, engine.Failed, "proxy", true},
		"spider refuses":      {func(s *stand) { s.refuse = map[string]string{"spider/action/scan": "url_not_in_context"} }, `{}`, engine.Partial, "url_not_in_context", true},
		"cut output":          {func(s *stand) { s.cut = true }, `{}`, engine.Partial, "larger than what is kept", true},
		"stubborn":            {func(s *stand) { s.stubborn = true }, `{}`, engine.Complete, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				c.change(s)
				req := request(t, example, c.options, `{}`)
				v := run(t, s, req)
				if v.Outcome != c.want || !strings.Contains(strings.Join(v.Reasons, " "), c.reason) || (v.Outcome != engine.Complete && len(v.Reasons) == 0) {
					t.Errorf("%+v; want %s", v, c.want)
				}
				if started := s.proc.Program != ""; started != c.starts {
					t.Errorf("started: %v", started)
				}
				if len(v.Looked.Targets) != 1 || v.Outcome != engine.Complete && v.Looked.Targets[0].State == engine.LookReached {
					t.Errorf("looked %+v", v.Looked)
				}
				if raw := s.raw[artifactName]; raw != nil && c.want != engine.Complete && c.reason != "passive" && c.reason != "larger than what is kept" &&
					!strings.Contains(c.options, "full") && !strings.Contains(c.options, "ajax") && len(parse(t, raw.Bytes(), req).Coverage.Places) > 0 {
					t.Errorf("covers after %s", v.Outcome)
				}
			})
		})
	}
}

func TestHungScanKeepsItsAlertsAndCoversOnlyWhatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.hangAt = 60
		req := request(t, example, `{"plan":"full","idleMinutes":3}`, `{}`)
		run(t, s, req)
		got := parse(t, s.raw[artifactName].Bytes(), req)
		at := finding.Location{Host: "www.example.org", Port: 80}
		if len(got.Findings) != 6 || !got.Coverage.Covers("zap:40012", at) || got.Coverage.Covers("zap:40018", at) {
			t.Errorf("%d findings, %+v", len(got.Findings), got.Coverage)
		}
		if !slices.ContainsFunc(s.calls, func(c string) bool { return strings.HasPrefix(c, "POST ascan/action/stop?") }) {
			t.Error("the scan wasn't stopped")
		}
	})
}

func TestCancelStopsTheScanAndKeepsItsAlerts(t *testing.T) {
	for _, driver := range []string{"rest", "automation"} {
		t.Run(driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				ctx, cancel := context.WithCancel(t.Context())
				s.onCall = func(path string) {
					if path == "ascan/view/status" || path == "ascan/view/scans" {
						s.mu.Lock()
						defer s.mu.Unlock()
						if s.percent("ascan") >= 60 {
							cancel()
						}
					}
				}
				req := request(t, example, `{"plan":"full","driver":"`+driver+`"}`, `{}`)
				began := time.Now()
				v, err := New().Run(ctx, s.env(t), req)
				if err != nil || v.Outcome != engine.Partial || len(v.Reasons) == 0 {
					t.Fatalf("%+v, %v", v, err)
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("took %s", took)
				}
				got := parse(t, s.raw[artifactName].Bytes(), req)
				if len(got.Findings) != 6 || !strings.Contains(s.raw[artifactName].String(), `"end"`) {
					t.Errorf("%d findings in %s", len(got.Findings), s.raw[artifactName])
				}
				calls := strings.Join(s.calls, "\n")
				if !strings.Contains(calls, "ascan/action/stopAllScans") || !strings.Contains(calls, "core/action/shutdown") {
					t.Error(calls)
				}
			})
		})
	}
}

func TestCancelWithinTheGrace(t *testing.T) {
	for _, state := range []string{"booting", "deaf"} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var canceled time.Time
				stop := func() { canceled = time.Now(); cancel() }
				if state == "booting" {
					s.boot = time.Hour
					time.AfterFunc(5*time.Second, stop)
				} else {
					s.stubborn = true
					s.onCall = func(path string) {
						if path == "spider/view/status" && canceled.IsZero() {
							stop()
						}
					}
				}
				v, err := New().Run(ctx, s.env(t), request(t, example, `{}`, `{}`))
				if err != nil || v.Outcome == engine.Complete || v.Outcome == engine.NothingReachable || len(v.Reasons) == 0 {
					t.Errorf("%+v, %v", v, err)
				}
				if took := time.Since(canceled); took > manifest().Limits.CancelGrace {
					t.Errorf("it took %s to end", took)
				}
			})
		})
	}
}

func TestConfigReachesZAPAndSecretsOnlyItsAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.alerts = append(s.alerts, `{"pluginId":"10999","alertRef":"10999","name":"Echo","risk":"Low","confidence":"Medium","url":"http://www.example.org/x?k=CANARY-3f9a","evidence":"seen: CANARY-3f9a","cweid":200}`)
		req := request(t, example, `{"plan":"full"}`, `{"rateLimit":7,"maxParallelism":1,"userAgent":"assay/1","headers":{"Authorization":"Bearer CANARY-3f9a"}}`)
		if v := run(t, s, req); v.Outcome != engine.Complete {
			t.Fatalf("%+v", v)
		}
		bodies := strings.Join(s.bodies, "\n")
		for _, want := range []string{
			"replacement=Bearer+CANARY-3f9a", "userAgent=assay%2F1", "requestsPerSecond=7", "setOptionThreadPerHost Integer=1", "regex=%5Ehttp%3A%2F%2Fwww",
			"attackStrength=MEDIUM",
		} {
			if !strings.Contains(bodies, want) {
				t.Errorf("%s wasn't sent", want)
			}
		}
		for what, text := range map[string]string{
			"argv": strings.Join(append(s.proc.Args, s.proc.Env...), " "), "raw": s.raw[artifactName].String(), "log": s.log.String(),
			"URLs": strings.Join(s.calls, " "), "settings": s.file(t, configFile), "plan": s.file(t, planFile),
		} {
			if strings.Contains(text, "CANARY") {
				t.Errorf("%s holds the header's value", what)
			}
			if what != "settings" && strings.Contains(text, s.key()) {
				t.Errorf("%s holds the API's key", what)
			}
		}
		if s.proc.Network != engine.NetworkProxy || s.proc.Listens == 0 || !strings.Contains(s.file(t, configFile), "httpProxy.port=3128") {
			t.Errorf("%+v", s.proc)
		}
	})
	for field, config := range map[string]string{
		"replacer/action/addRule": `{"headers":{"X-A":"b"}}`, "network/action/addRateLimitRule": `{"rateLimit":1}`, "network/action/setDefaultUserAgent": `{"userAgent":"x"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStand(t)
			s.refuse = map[string]string{field: "no_implementor"}
			if v := run(t, s, request(t, example, `{}`, config)); v.Outcome != engine.Failed || !strings.Contains(v.Reasons[0], "config.") {
				t.Errorf("%s: %+v", field, v)
			}
		})
	}
}

func TestManyAlertsAreReadByPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.alerts = nil
		for i := range 2050 {
			s.alerts = append(s.alerts, fmt.Sprintf(`{"pluginId":"40012","alertRef":"40012","name":"XSS","risk":"High","confidence":"Medium","method":"GET","url":"http://www.example.org/p%d","param":"q","cweid":"79"}`, i))
		}
		req := request(t, example, `{"plan":"full"}`, `{}`)
		run(t, s, req)
		if got := parse(t, s.raw[artifactName].Bytes(), req); len(got.Findings) != 2050 {
			t.Errorf("%d findings", len(got.Findings))
		}
		if n := bytes.Count(s.raw[artifactName].Bytes(), []byte("\n")); n != 2053 {
			t.Errorf("%d records", n)
		}
	})
}

func TestFaultsOfTheLauncher(t *testing.T) {
	s := newStand(t)
	s.launched = fault.New(fault.Unavailable, fault.CodeEngine, "no such program")
	_, err := New().Run(t.Context(), s.env(t), request(t, example, `{}`, `{}`))
	if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) || !strings.Contains(fmt.Sprint(err), "Java 17") {
		t.Errorf("got %v", err)
	}
	checker, ok := New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	if a := checker.Check(t.Context(), s.env(t)); a.Available || !strings.Contains(a.Reason, "Java 17") {
		t.Errorf("%+v", a)
	}
	s.launched = nil
	if a := checker.Check(t.Context(), s.env(t)); !a.Available || a.Version != "2.17.0" {
		t.Errorf("%+v", a)
	}
	for said, want := range map[string]bool{"1 [main] INFO org.parosproxy.paros.Constant - x\n": true, "": false} {
		slow := newStand(t)
		slow.said, slow.late = said, true
		if a := checker.Check(t.Context(), slow.env(t)); a.Available != want || a.Version != "" || (a.Reason == "") != want {
			t.Errorf("%q: %+v", said, a)
		}
	}
	if s.proc.Network != engine.NetworkNone {
		t.Error("a check needs no network")
	}
}

func TestPlanHoldsTheOrderAndNothingElse(t *testing.T) {
	req := request(t, `http://www.example.org/a'b:%20c/env:/x?y={z}`, `{"plan":"full","subtreeOnly":true,"avoid":["delete","logout"],"attackStrength":"HIGH","maxDepth":2,"ajaxSpider":true}`, `{"maxParallelism":1}`)
	const want = `env:
  contexts:
    - name: "assay"
      urls: ["http://www.example.org/a'b:%20c/env:/x?y={z}"]
      includePaths: ["^http://www\\.example\\.org/a'b:%20c/env:/.*$"]
`
	got := string(plan(req))
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s", got)
	}
	for _, line := range []string{"threadPerHost: 1", "maxDepth: 2", "defaultStrength: high", "- type: spiderAjax", "maxScanDurationInMins: 50", "failOnError: false"} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in\n%s", line, got)
		}
	}
}
