package phase

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

// errMoved says that a parent or its children have changed since they were looked at; the next look sees them.
func errMoved() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "the scan has gone on meanwhile")
}

// Advance looks at one parent and does what is to be done with it. Doing it twice, at once or after a crash, does it
// once: what it was decided on is checked again inside the unit.
func (s *Service) Advance(ctx context.Context, t Turn) error {
	parent, err := s.d.Store.Scan(ctx, t.Org, t.Scan)
	if err != nil {
		return err
	}
	children, err := s.d.Store.Children(ctx, t.Org, t.Scan)
	if err != nil {
		return err
	}
	switch now := instant(s.d.Now); Decide(parent, children, now) {
	case Begin:
		return s.begin(ctx, t, parent, children)
	case Stop:
		return s.stop(ctx, t, now)
	case Merge:
		return s.merge(ctx, parent, children)
	case Rest:
		return s.d.Store.Change(ctx, t.Org, audit.Bookkeeping("when a scan of several engines is looked at next"), func(ctx context.Context, tx Tx) error {
			return tx.EndTurn(ctx, t.Scan)
		})
	case Wait:
	}
	return s.await(ctx, t, parent, children)
}

// await tells how far the parent is and looks again in a while.
func (s *Service) await(ctx context.Context, t Turn, parent scan.Scan, children []scan.Scan) error {
	now := instant(s.d.Now)
	if parent.Status.Terminal() {
		return s.settle(ctx, t, now.Add(pace)) // a child's last words are to come
	}
	was, before, course := mark(parent, children), parent, *parent.Course
	parent.Course = &course
	clock(&parent, children, now)
	next := now.Add(pace)
	if !slices.ContainsFunc(children, func(c scan.Scan) bool { return c.Status == scan.Running }) {
		next = now.Add(slow)
	}
	parent.Progress, parent.Phase = progress(parent, children), standing(parent, children)
	typ := event.ScanProgress
	ev := audit.Bookkeeping("lease and progress of a running scan")
	switch {
	case before.Status == scan.Queued && parent.Status == scan.Running:
		typ, ev = event.ScanStarted, audit.Event{Type: event.ScanStartedBy, Resource: resource(t.Scan)}
	case parent.Progress == before.Progress && parent.Phase == before.Phase:
		typ = "" // nothing to tell
		if course.Idle == before.Course.Idle && course.IdleSince.Equal(before.Course.IdleSince) {
			return s.settle(ctx, t, next)
		}
	}
	return s.d.Store.Change(ctx, t.Org, ev, func(ctx context.Context, tx Tx) error {
		if held, family, err := tx.HoldParent(ctx, t.Scan); err != nil || mark(held, family) != was {
			return cmp.Or(err, errMoved())
		}
		if err := tx.AdvanceParent(ctx, parent); err != nil {
			return err
		}
		if typ != "" {
			if err := tx.Emit(ctx, typ, string(t.Scan), parent.Notice()); err != nil {
				return err
			}
		}
		return tx.SettleTurn(ctx, t, next)
	})
}

// stop ends the children of a parent whose time is over or that was cancelled.
func (s *Service) stop(ctx context.Context, t Turn, now time.Time) error {
	ev := audit.Event{Type: event.ScanFinished, Resource: resource(t.Scan), Reason: "its scans are ended"}
	return s.d.Store.Change(ctx, t.Org, ev, func(ctx context.Context, tx Tx) error {
		parent, children, err := tx.HoldParent(ctx, t.Scan)
		if err != nil {
			return err
		}
		if Decide(parent, children, now) != Stop {
			return errMoved()
		}
		return scan.EndChildren(ctx, tx, t.Scan, now) // which makes it the parent's turn again
	})
}

// begin makes the children of the next phase.
func (s *Service) begin(ctx context.Context, t Turn, parent scan.Scan, children []scan.Scan) error {
	was := mark(parent, children)
	course := *parent.Course
	course.Left = slices.Clone(course.Left)
	now := instant(s.d.Now)
	parent.Course = &course
	clock(&parent, children, now)
	made, err := s.children(ctx, parent, children, course.Phases[course.Begun])
	if err != nil {
		return err
	}
	course.Begun++
	if len(made) > 0 && !parent.StartedAt.IsZero() {
		course.IdleSince = now
	}
	parent.Progress, parent.Phase = progress(parent, slices.Concat(children, made)), standing(parent, made)
	next := now // a phase without children is over
	if len(made) > 0 {
		next = now.Add(pace)
	}
	ev := audit.Event{Type: event.ScanPhaseBegun, Resource: resource(t.Scan), Reason: fmt.Sprintf("%s: %d scans", course.Phases[course.Begun-1], len(made))}
	err = s.d.Store.Change(ctx, t.Org, ev, func(ctx context.Context, tx Tx) error {
		if held, family, err := tx.HoldParent(ctx, t.Scan); err != nil || mark(held, family) != was {
			return cmp.Or(err, errMoved())
		}
		if err := tx.InsertScans(ctx, made); err != nil {
			return err
		}
		if err := tell(ctx, tx, made); err != nil {
			return err
		}
		if err := tx.AdvanceParent(ctx, parent); err != nil {
			return err
		}
		if parent.Status == scan.Running {
			if err := tx.Emit(ctx, event.ScanProgress, string(t.Scan), parent.Notice()); err != nil {
				return err
			}
		}
		return tx.SettleTurn(ctx, t, next)
	})
	if err == nil {
		s.d.Changed()
		if len(made) == 0 {
			s.Wake()
		}
	}
	return err
}

// mark is what a decision about a parent rests on, as one text.
func mark(parent scan.Scan, children []scan.Scan) string {
	var b strings.Builder
	fmt.Fprint(&b, parent.Status, parent.Course.Begun)
	for _, c := range children {
		b.WriteString(" " + string(c.ID) + string(c.Status))
	}
	return b.String()
}

// children drafts the scans of a phase, within all bounds, and notes in the course what is left out.
func (s *Service) children(ctx context.Context, parent scan.Scan, before []scan.Scan, phase string) ([]scan.Scan, error) {
	root, err := asset.ParseTarget(parent.Target, parent.TargetType)
	if err != nil {
		return nil, err
	}
	d := &drafting{s: s, parent: parent, phase: phase, root: root, room: min(perPhase(phase), MaxChildren-len(before)), options: optionsOf(parent)}
	d.timeout = d.share(instant(s.d.Now))
	extent := Extent{Root: root}
	if root.Host() != "" && phase != engine.PhaseInventory {
		reach, err := s.d.Orders.Reach(ctx, parent.Org, root)
		if err != nil {
			d.left(root.String(), "it can't be reached any more: "+fault.Of(err).Text)
			return nil, nil //nolint:nilerr // the phase has no children, and says why
		}
		extent.Addrs = reach.Addrs
	}
	feed, err := s.feed(ctx, parent.Org, extent, before)
	if err != nil {
		return nil, err
	}
	for _, step := range steps(phase, d.depth(), root.Type()) {
		if err := d.take(ctx, step, feed); err != nil {
			return nil, err
		}
	}
	if phase == engine.PhaseInventory && parent.Course.Named {
		d.unfit()
	}
	return d.made, nil
}

// drafting is the making of one phase's children.
type drafting struct {
	s       *Service
	parent  scan.Scan
	phase   string
	root    asset.Target
	room    int
	timeout int
	options map[string]json.RawMessage
	made    []scan.Scan
	gone    map[string]string // engines that can't run, with the reason
}

// take makes the children of one step.
func (d *drafting) take(ctx context.Context, step Step, feed *Feed) error {
	if !slices.Contains(d.parent.Course.Engines, step.Engine) {
		return nil // not chosen, or not for this key
	}
	targets, typ, most := []string{d.root.String()}, d.root.Type(), 1
	switch step.From {
	case FromRoot:
	case FromNames:
		targets, typ, most = feed.Names, asset.TypeDomain, MaxNames
	case FromOrigins:
		targets, typ, most = feed.Origins, asset.TypeURL, MaxOrigins
	case FromPages:
		targets, typ, most = feed.Pages, asset.TypeURL, MaxPages
	}
	if len(targets) == 0 {
		d.left(d.root.String(), step.Engine+": nothing was found that it could look at")
		return nil
	}
	for i, target := range targets {
		if i == most || d.room == 0 {
			d.left(d.root.String(), fmt.Sprintf("%s: %d of %d places were left out, which are more than one scan looks at", step.Engine, len(targets)-i, len(targets)))
			return nil
		}
		if err := d.child(ctx, step, target, typ); err != nil {
			return err
		}
	}
	return nil
}

// child makes one child, or notes why there is none.
func (d *drafting) child(ctx context.Context, step Step, target string, typ asset.TargetType) error {
	if why, ok := d.gone[step.Engine]; ok {
		d.left(target, why)
		return nil
	}
	o := scan.Order{
		Engine: step.Engine, Target: target, TargetType: typ, Name: d.parent.Name, Priority: d.parent.Priority, Tags: d.parent.Tags,
		Timeout: d.timeout, Asset: d.parent.Asset, Options: map[string]json.RawMessage{},
	}
	for name, value := range step.Options {
		o.Options[name] = json.RawMessage(value)
	}
	for _, name := range step.Inherit {
		if value, ok := d.options[name]; ok {
			o.Options[name] = value
		}
	}
	c, err := d.s.d.Orders.Derive(ctx, d.parent, o)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		f := fault.Of(err)
		why := step.Engine + ": " + f.Text
		if len(f.Fields) > 0 {
			why = step.Engine + ": " + f.Fields[0].Location + " " + f.Fields[0].Message
		}
		if f.Code == fault.CodeEngine {
			if d.gone == nil {
				d.gone = map[string]string{}
			}
			d.gone[step.Engine] = why
		}
		d.left(target, why)
		return nil
	}
	if slices.ContainsFunc(d.made, func(o scan.Scan) bool { return o.Engine == c.Engine && o.Target == c.Target }) {
		return nil // an earlier step looks there
	}
	c.Stage = d.phase
	d.made = append(d.made, c)
	d.room--
	return nil
}

// unfit notes engines that the order named and that have no step for its target.
func (d *drafting) unfit() {
	var fit []string
	for _, p := range d.parent.Course.Phases {
		for _, s := range steps(p, d.depth(), d.root.Type()) {
			fit = append(fit, s.Engine)
		}
	}
	for _, id := range d.parent.Course.Engines {
		if !slices.Contains(fit, id) {
			d.left(d.root.String(), id+": it has no part in such an order")
		}
	}
}

// left notes what was left out, each once.
func (d *drafting) left(target, why string) {
	look := engine.TargetLook{Target: target, State: engine.LookSkipped, Reason: finding.Line(why, 300)}
	if c := d.parent.Course; len(c.Left) < maxLeft && !slices.Contains(c.Left, look) {
		c.Left = append(c.Left, look)
	}
}

// share is a child's timeout in seconds: its phase's part of what is left of the parent's time.
func (d *drafting) share(now time.Time) int {
	left := int(deadline(d.parent, now).Sub(now) / time.Second)
	sum := 0
	for _, p := range d.parent.Course.Phases[d.parent.Course.Begun:] {
		sum += weight(p)
	}
	if sum == 0 {
		return max(left, scan.MinTimeout)
	}
	return min(max(left*weight(d.phase)/sum, scan.MinTimeout), scan.MaxTimeout)
}

func (d *drafting) depth() string {
	var depth string
	if json.Unmarshal(d.options["depth"], &depth) != nil {
		return standard
	}
	return cmp.Or(depth, standard)
}

func optionsOf(parent scan.Scan) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if json.Unmarshal(parent.Options, &out) != nil {
		return map[string]json.RawMessage{}
	}
	return maps.Clone(out)
}
