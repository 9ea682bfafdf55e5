package phase_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/phase"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

var errCrash = errors.New("crashed")

// saga is one parent under whatever may happen to it.
type saga struct {
	*house

	t        *rapid.T
	parent   uid.Scan
	pending  []job.Scan // admitted, not yet run
	begun    []job.Scan // begun and left
	progress int
}

func TestWhateverHappensAParentComesToItsEndOnce(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	h := newHouse(t, testkit.SQLite(t, testkit.WithClock(clock)), clock)
	rapid.Check(t, func(t *rapid.T) {
		s := &saga{house: h, t: t}
		h.fail, h.after, h.jobs = nil, nil, nil
		h.answers = s.random
		o := order("192.0.2.7")
		o.Timeout = rapid.IntRange(30, 600).Draw(t, "timeout")
		s.parent = h.submit(o).ID
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			s.step()
			s.check()
		}
		h.fail, h.after = nil, nil
		for _, j := range s.pending {
			s.run(j)
		}
		for _, j := range s.begun {
			s.interruptOne(context.Background(), j)
		}
		s.ended(h.finish(s.parent))
	})
}

// random is what any engine may answer.
func (s *saga) random(id string, _ engine.Request) answer {
	a := answer{outcome: rapid.SampledFrom([]engine.Outcome{engine.Complete, engine.Complete, engine.Partial, engine.NothingReachable, engine.Failed, engine.Blocked}).Draw(s.t, id)}
	for n := range rapid.IntRange(0, 3).Draw(s.t, "origins") {
		a.items = append(a.items, web("192.0.2.7", 8000+n), flaw(id+":a", 89, finding.High, finding.Location{
			Host: "192.0.2.7", Port: 8000 + n, URL: fmt.Sprintf("http://192.0.2.7:%d/a", 8000+n), Method: "GET", Parameter: "id",
		}))
	}
	return a
}

func (s *saga) step() {
	ctx := context.Background()
	switch rapid.SampledFrom([]string{"look", "look", "admit", "run", "run", "crash before", "crash after", "restart", "cancel child", "interrupt", "start", "time", "cancel parent"}).Draw(s.t, "step") {
	case "look":
		s.phases.Look(ctx)
	case "admit":
		s.pending = append(s.pending, s.admit()...)
	case "run":
		if len(s.pending) > 0 {
			i := rapid.IntRange(0, len(s.pending)-1).Draw(s.t, "which")
			j := s.pending[i]
			s.pending = slices.Delete(s.pending, i, i+1)
			s.run(j)
		}
	case "crash before":
		s.fail = func() error { return errCrash }
		s.phases.Look(ctx)
		s.fail = nil
	case "crash after":
		n := rapid.IntRange(1, 3).Draw(s.t, "after")
		s.after = func() error {
			if n--; n == 0 {
				return errCrash
			}
			return nil
		}
		s.phases.Look(ctx)
		s.after = nil
	case "restart":
		s.build()
	case "cancel child":
		if list := s.children(s.parent); len(list) > 0 {
			c := rapid.SampledFrom(list).Draw(s.t, "child")
			_, _ = s.orders.Cancel(ctx, s.actor(), c.ID) // it may have ended
		}
	case "start":
		if len(s.pending) > 0 {
			s.begin(ctx)
		}
	case "interrupt":
		s.interrupt(ctx)
	case "time":
		s.clock.Advance(time.Duration(rapid.IntRange(1, 60).Draw(s.t, "seconds")) * time.Second)
	case "cancel parent":
		if rapid.IntRange(0, 4).Draw(s.t, "really") == 0 {
			_, _ = s.orders.Cancel(ctx, s.actor(), s.parent)
		}
	}
}

// begin has a worker begin a child that nobody goes on with: its lease will end.
func (s *saga) begin(ctx context.Context) {
	j := s.pending[0]
	s.pending = s.pending[1:]
	_ = s.db.Scans().Change(ctx, j.Org, audit.Event{Type: event.ScanStartedBy}, func(ctx context.Context, tx scan.Tx) error {
		return tx.StartScan(ctx, j.Scan, j.Fence, s.clock.Now())
	})
	s.begun = append(s.begun, j)
}

// interrupt has a worker die over a child: it goes back into the line.
func (s *saga) interrupt(ctx context.Context) {
	if len(s.pending) == 0 {
		return
	}
	j := s.pending[0]
	s.pending = s.pending[1:]
	s.interruptOne(ctx, j)
}

func (s *saga) interruptOne(ctx context.Context, j job.Scan) {
	ev := audit.Event{Type: event.ScanRequeued}
	_ = s.db.Scans().Change(ctx, j.Org, ev, func(ctx context.Context, tx scan.Tx) error {
		return tx.RequeueScan(ctx, j.Scan, j.Fence, true)
	})
}

// check holds what is true at any moment.
func (s *saga) check() {
	p, list := s.get(s.parent), s.children(s.parent)
	if p.Progress < s.progress || (p.Progress > 99 && p.Status != scan.Completed) {
		s.t.Fatalf("progress went from %d to %d in %s", s.progress, p.Progress, p.Status)
	}
	s.progress = p.Progress
	if len(list) > phase.MaxChildren {
		s.t.Fatalf("%d children", len(list))
	}
	seen := map[string]bool{}
	for _, c := range list {
		key := c.Stage + c.Engine + c.Target
		if seen[key] {
			s.t.Fatalf("twice: %s", key)
		}
		seen[key] = true
		if p.Status.Terminal() && !c.Status.Terminal() {
			s.t.Fatalf("the parent is %s and a child %s", p.Status, c.Status)
		}
		if at := slices.Index(p.Course.Phases, c.Stage); at < 0 || at >= p.Course.Begun {
			s.t.Fatalf("a child of phase %s, which hasn't begun", c.Stage)
		}
		target, err := asset.ParseTarget(c.Target, c.TargetType)
		if err != nil || (target.Addr().String() != "192.0.2.7") {
			s.t.Fatalf("a child looks at %s", c.Target)
		}
	}
}

// ended holds what is true at the end.
func (s *saga) ended(p scan.Scan) {
	s.check()
	told, findings := false, 0
	for _, c := range s.children(s.parent) {
		told = told || c.Outcome == engine.Complete || c.Outcome == engine.Partial
		findings += c.Summary.Total
	}
	timedOut := p.Error != nil && strings.Contains(p.Error.Message, "timeout")
	if told && p.Status == scan.Failed && !timedOut {
		s.t.Fatalf("failed although a child has told something: %v", p.Reasons)
	}
	if !told && findings == 0 && p.Status == scan.Completed && (p.Outcome == engine.Complete || p.Outcome == engine.Partial) {
		s.t.Fatalf("%s although no child has told anything", p.Outcome)
	}
	results := s.results(s.parent)
	if len(results) != p.Summary.Total || len(results) > findings || (findings > 0 && len(results) == 0) {
		s.t.Fatalf("%d results, counted %d, of %d findings", len(results), p.Summary.Total, findings)
	}
	if len(s.looked(s.parent).Targets) == 0 {
		s.t.Fatal("nothing says what was looked at")
	}
	s.clock.Advance(time.Hour)
	if due, err := s.db.Phases().Due(context.Background(), s.clock.Now(), 100); err != nil || len(due) != 0 {
		s.t.Fatalf("an ended parent is still due: %v (%v)", due, err)
	}
}
