package phase_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
)

// each runs a test on both databases.
func each(t *testing.T, f func(t *testing.T, h *house), gone ...string) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Each(t, func(t *testing.T, db *store.Store) {
		h := newHouse(t, db, clock, gone...)
		f(t, h)
	}, testkit.WithClock(clock))
}

// shop is a web server with a flaw that two engines see.
func shop(id string, req engine.Request) answer {
	at := finding.Location{Host: "192.0.2.7", Port: 8080, Protocol: "tcp", URL: "http://192.0.2.7:8080/item?id=1", Method: "GET", Parameter: "id"}
	switch id {
	case "sentinel":
		return answer{items: []engine.Item{web("192.0.2.7", 8080), flaw("sentinel:header", 693, finding.Low, finding.Location{Host: "192.0.2.7", Port: 8080, URL: "http://192.0.2.7:8080/"})}}
	case "wapiti":
		return answer{items: []engine.Item{flaw("wapiti:sqli", 89, finding.High, at)}}
	case "sqlmap":
		return answer{items: []engine.Item{flaw("sqlmap:boolean", 89, finding.Critical, at)}}
	}
	return answer{}
}

func TestLaterPhasesLookAtWhatEarlierOnesFound(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		o := order("192.0.2.7", "ports", `"8080"`)
		o.Tags, o.Priority, o.Name, o.Timeout = []string{"nightly"}, scan.High, "shop", 1000
		o.Config = map[string]json.RawMessage{"headers": json.RawMessage(`{"X-Token":"hidden"}`)}
		s := h.submit(o)
		if s.Course == nil || s.Status != scan.Queued {
			t.Fatalf("submitted as %+v", s)
		}
		ended := h.finish(s.ID)
		if ended.Status != scan.Completed || ended.Outcome != engine.Complete || ended.Progress != 100 {
			t.Errorf("ended as %s, %s, %v", ended.Status, ended.Outcome, ended.Reasons)
		}
		children := h.children(s.ID)
		want := []string{
			"inventory sentinel 192.0.2.7", "inventory nmap 192.0.2.7",
			"surface wapiti http://192.0.2.7:8080/", "surface zap http://192.0.2.7:8080/", "surface nikto http://192.0.2.7:8080/",
			"vulnerability nuclei http://192.0.2.7:8080/", "vulnerability sqlmap http://192.0.2.7:8080/item?id=1",
			"vulnerability sqlmap http://192.0.2.7:8080/",
		}
		if diff := cmp.Diff(want, told(children)); diff != "" {
			t.Errorf("children:\n%s", diff)
		}
		for _, c := range children {
			if c.Parent != s.ID || c.Priority != scan.High || c.Name != "shop" || !slices.Equal(c.Tags, o.Tags) || c.CreatedBy != s.CreatedBy || c.Course != nil {
				t.Errorf("a child inherits badly: %+v", c)
			}
			if c.Timeout > 1000 || c.Timeout < scan.MinTimeout || (c.Stage == engine.PhaseInventory && c.Timeout != 400) {
				t.Errorf("%s may take %d s of the parent's 1000", c.Engine, c.Timeout)
			}
			if sealed, err := (sealer{}).Open(h.org, "scan/"+string(c.ID), c.Sealed); err != nil || !strings.Contains(string(sealed), "hidden") {
				t.Errorf("a child's config isn't sealed for itself: %v", err)
			}
			if strings.Contains(string(c.Config), "hidden") {
				t.Error("a child shows a header's value")
			}
		}
		if got := string(children[1].Options); got != `{"ports":"8080","versionIntensity":2}` {
			t.Errorf("nmap is given %s", got)
		}
		h.mergedShop(t, s)
	})
}

// mergedShop checks the parent's results, its list entry and what it cost.
func (h *house) mergedShop(t *testing.T, s scan.Scan) {
	t.Helper()
	var flaws []scan.Result
	for _, r := range h.results(s.ID) {
		if slices.Contains(r.CWE, 89) {
			flaws = append(flaws, r)
		}
	}
	if len(flaws) != 1 {
		t.Fatalf("%d results for one SQL injection", len(flaws))
	}
	if f := flaws[0]; !slices.Equal(f.Engines, []string{"sqlmap", "wapiti"}) || f.Severity != finding.Critical || f.Confidence != finding.Certain || len(f.Members) != 2 || f.Members[0].Why == "" {
		t.Errorf("the flaw is %v, %s, %s, %+v", f.Engines, f.Severity, f.Confidence, f.Members)
	}
	if got := h.get(s.ID).Summary; got.Total != 2 || got.Critical != 1 || got.Low != 1 {
		t.Errorf("counted %+v", got)
	}
	l, err := h.orders.List(t.Context(), h.org, scan.Query{})
	if err != nil || len(l.Items) != 1 {
		t.Errorf("%d scans are listed (%v)", len(l.Items), err)
	}
	if used, err := h.db.Usage().Used(t.Context(), h.org, usage.MetricScans, usage.Period(h.clock.Now())); err != nil || used != 1 {
		t.Errorf("one order cost %d scans (%v)", used, err)
	}
}

func TestQuickIsOneOrdinaryRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		s := h.submit(order("192.0.2.7", "depth", `"quick"`))
		if s.Course != nil {
			t.Fatal("a quick look has others work for it")
		}
		if ended := h.finish(s.ID); ended.Outcome != engine.Complete || len(h.children(s.ID)) != 0 {
			t.Errorf("ended as %+v", ended)
		}
	})
}

func TestEnginesThatCannotRunAreToldOf(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		s := h.submit(order("192.0.2.7"))
		if ended := h.finish(s.ID); ended.Outcome != engine.Complete {
			t.Errorf("an engine that nobody asked for makes the outcome %s: %v", ended.Outcome, ended.Reasons)
		}
		var skipped []string
		for _, l := range h.looked(s.ID).Targets {
			if l.State == engine.LookSkipped {
				skipped = append(skipped, l.Reason)
			}
		}
		if len(skipped) != 1 || !strings.Contains(skipped[0], "zap") || !strings.Contains(skipped[0], "not installed") {
			t.Errorf("left out: %q", skipped)
		}
		named := h.submit(order("192.0.2.7", "engines", `["sentinel","zap"]`))
		if ended := h.finish(named.ID); ended.Outcome != engine.Partial || !strings.Contains(strings.Join(ended.Reasons, " "), "zap") {
			t.Errorf("an engine that was asked for is missing, and the outcome is %s: %v", ended.Outcome, ended.Reasons)
		}
		if got := told(h.children(named.ID)); !slices.Equal(got, []string{"inventory sentinel 192.0.2.7"}) {
			t.Errorf("children %v", got)
		}
	}, "zap")
}

func TestKeysBoundTheEngines(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		a := h.actor()
		a.Engines = []string{"sentinel", "wapiti"}
		s, err := h.orders.Submit(t.Context(), a, order("192.0.2.7"))
		if err != nil {
			t.Fatal(err)
		}
		h.finish(s.ID)
		if got := told(h.children(s.ID)); !slices.Equal(got, []string{"inventory sentinel 192.0.2.7", "surface wapiti http://192.0.2.7:8080/"}) {
			t.Errorf("children %v", got)
		}
		if _, err := h.orders.Submit(t.Context(), a, order("192.0.2.7", "engines", `["nmap"]`)); fault.Of(err).Code != fault.CodeScanType {
			t.Errorf("an engine that the key doesn't allow: %v", err)
		}
	})
}

func TestAFailureMakesItPartial(t *testing.T) {
	t.Parallel()
	failed := answer{err: fault.New(fault.Internal, fault.CodeInternal, "it broke")}
	dead := answer{outcome: engine.NothingReachable}
	for name, tc := range map[string]struct {
		sentinel, nmap answer
		status         scan.Status
		outcome        engine.Outcome
	}{
		"one fails":                 {answer{}, failed, scan.Completed, engine.Partial},
		"all fail":                  {failed, failed, scan.Failed, engine.Failed},
		"nobody answers":            {dead, dead, scan.Completed, engine.NothingReachable},
		"nobody answers, one fails": {dead, failed, scan.Completed, engine.NothingReachable},
		"one sees nobody":           {answer{}, dead, scan.Completed, engine.Partial},
		"blocked":                   {answer{outcome: engine.Blocked}, failed, scan.Completed, engine.Blocked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock()
			h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
			h.answers = func(id string, _ engine.Request) answer {
				if id == "nmap" {
					return tc.nmap
				}
				return tc.sentinel
			}
			s := h.submit(order("192.0.2.7"))
			ended := h.finish(s.ID)
			if ended.Status != tc.status || ended.Outcome != tc.outcome || (ended.Error != nil) != (tc.status == scan.Failed) {
				t.Errorf("ended as %s, %s, %+v, %v", ended.Status, ended.Outcome, ended.Error, ended.Reasons)
			}
			if len(h.looked(s.ID).Targets) == 0 {
				t.Error("nothing says what was looked at")
			}
		})
	}
}

func TestCancellingEndsTheChildrenAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		s := h.submit(order("192.0.2.7"))
		h.look()
		jobs := h.admit()
		h.run(jobs[0]) // sentinel has told, nmap is on its way
		if _, err := h.orders.Cancel(t.Context(), h.actor(), s.ID); err != nil {
			t.Fatal(err)
		}
		for _, c := range h.children(s.ID)[1:] {
			if c.Status != scan.Cancelled {
				t.Errorf("%s is %s", c.Engine, c.Status)
			}
		}
		h.run(jobs[1])
		ended := h.finish(s.ID)
		if ended.Status != scan.Cancelled || ended.Outcome != engine.Partial || ended.Summary.Total != 1 || len(h.results(s.ID)) != 1 {
			t.Errorf("ended as %s, %s with %+v", ended.Status, ended.Outcome, ended.Summary)
		}
		if got := h.children(s.ID); len(got) != 2 {
			t.Errorf("a cancelled parent went on: %v", told(got))
		}
		if _, err := h.orders.Cancel(t.Context(), h.actor(), s.ID); fault.Of(err).Code != fault.CodeNotCancellable {
			t.Errorf("cancelled twice: %v", err)
		}
	})
}

func TestATimeoutEndsTheChildren(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		o := order("192.0.2.7")
		o.Timeout = 60
		s := h.submit(o)
		h.look()
		jobs := h.admit()
		h.run(jobs[0])
		h.start(jobs[1])
		h.look()
		h.clock.Advance(2 * time.Minute)
		h.look()
		if c := h.children(s.ID)[1]; c.Status != scan.Cancelled {
			t.Fatalf("the other child is %s", c.Status)
		}
		ended := h.finish(s.ID)
		if ended.Status != scan.Failed || ended.Error.Code != fault.CodeScanTimeout || ended.Outcome != engine.Partial || len(h.results(s.ID)) != 1 {
			t.Errorf("ended as %+v with %d results", ended, len(h.results(s.ID)))
		}
	})
}

func TestWaitingInTheLineCostsNoTime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		o := order("192.0.2.7")
		o.Timeout = 60
		s := h.submit(o)
		h.look()
		h.clock.Advance(time.Hour) // everything is taken
		h.look()
		if p := h.get(s.ID); p.Status != scan.Queued || !p.StartedAt.IsZero() {
			t.Errorf("nothing of it has begun, and it is %s", p.Status)
		}
		jobs := h.admit()
		h.run(jobs[0])
		h.look()
		if p := h.get(s.ID); p.Status != scan.Running || p.StartedAt.IsZero() {
			t.Errorf("it has begun, and is %s", p.Status)
		}
		h.clock.Advance(slowLook)
		h.look()
		h.clock.Advance(time.Hour) // the second child has to wait
		h.run(jobs[1])
		if ended := h.finish(s.ID); ended.Outcome != engine.Complete {
			t.Errorf("ended as %s, %s: %v", ended.Status, ended.Outcome, ended.Reasons)
		}
	})
}

// slowLook is longer than any time between two looks.
const slowLook = 15 * time.Second

func TestTheOldestOrderGoesFirst(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	h.answers = shop
	first := h.submit(order("192.0.2.7"))
	h.look()
	for _, j := range h.admit() {
		h.run(j)
	}
	for range 5 {
		clock.Advance(time.Second)
		h.submit(scan.Order{Engine: "nmap", Target: "192.0.2.7"})
	}
	h.look() // the next phase
	if jobs := h.admit(); h.get(jobs[0].Scan).Parent != first.ID {
		t.Error("the order's second phase stands behind what was ordered after it")
	}
}

func TestParentsHoldNoPlaceInTheLine(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.answers = shop
		for range 20 { // far more than may run at once
			h.submit(order("192.0.2.7"))
		}
		h.look()
		jobs := h.admit()
		if len(jobs) == 0 {
			t.Fatal("the parents take the places of their children")
		}
		var last scan.Scan
		l, err := h.orders.List(t.Context(), h.org, scan.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			h.run(j)
		}
		for _, s := range l.Items {
			last = h.finish(s.ID)
		}
		if last.Outcome != engine.Complete {
			t.Errorf("ended as %+v", last)
		}
	})
}

func TestBoundsHoldAndAreToldOf(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	h.answers = func(id string, _ engine.Request) answer {
		var a answer
		for n := range 200 {
			if id == "sentinel" {
				a.items = append(a.items, web("192.0.2.1", 8000+n))
			}
			if id == "wapiti" {
				a.items = append(a.items, flaw("wapiti:x", 79, finding.High, finding.Location{URL: "http://192.0.2.1:8000/p" + string(rune('a'+n%26)) + strings.Repeat("x", n/26), Parameter: "q", Method: "GET"}))
			}
		}
		return a
	}
	s := h.submit(order("192.0.2.0/24"))
	h.finish(s.ID)
	count := map[string]int{}
	for _, c := range h.children(s.ID) {
		count[c.Stage]++
		count[c.Engine]++
		count["all"]++
	}
	if count["all"] > phase.MaxChildren || count["wapiti"] > phase.MaxOrigins || count["sqlmap"] > phase.MaxPages || count["wapiti"] == 0 || count["sqlmap"] == 0 {
		t.Errorf("children: %v", count)
	}
	var left []string
	for _, l := range h.looked(s.ID).Targets {
		if strings.Contains(l.Reason, "were left out") {
			left = append(left, l.Reason)
		}
	}
	if len(left) < 3 {
		t.Errorf("what was left out isn't told: %q", left)
	}
}

func TestPhasesMayBeChosen(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	h.answers = shop
	s := h.submit(order("http://192.0.2.7:8080/item?id=1", "phases", `["vulnerability"]`))
	h.finish(s.ID)
	want := []string{"vulnerability nuclei http://192.0.2.7:8080/item?id=1", "vulnerability sqlmap http://192.0.2.7:8080/item?id=1"}
	if diff := cmp.Diff(want, told(h.children(s.ID))); diff != "" {
		t.Errorf("children:\n%s", diff)
	}
}

func TestDomainsFeedTheirNames(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	h.answers = func(id string, _ engine.Request) answer {
		if id != "sublist3r" {
			return answer{}
		}
		var a answer
		for _, name := range []string{"shop.example.org", "rebound.example.org", "elsewhere.test", "example.org.evil.test", "example.org", "SHOP.example.org."} {
			a.items = append(a.items, engine.Item{Asset: &asset.Observation{Kind: asset.KindDomain, Name: name}})
		}
		return a
	}
	o := order("example.org", "phases", `["inventory","surface"]`)
	o.TargetType = asset.TypeDomain
	s := h.submit(o)
	h.finish(s.ID)
	want := []string{"inventory sentinel example.org", "inventory sublist3r example.org", "inventory harvester example.org", "surface sentinel shop.example.org"}
	if diff := cmp.Diff(want, told(h.children(s.ID))); diff != "" {
		t.Errorf("children:\n%s", diff)
	}
}
