package template

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// errTaken ends a unit whose due time somebody else has taken, or whose template has changed since it was read.
func errTaken() error {
	return fault.New(fault.Conflict, fault.CodeConflict, "the template has gone on")
}

// start runs a template whose time has come: it judges the orders, and then takes the due time, puts the scans into the
// line and writes down the run in one transaction. A crash leaves all of it or nothing, and nothing is started again.
func (s *Scheduler) start(ctx context.Context, ref Ref, now time.Time) error {
	t, err := s.d.Store.Template(ctx, ref.Org, ref.ID)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return nil // deleted meanwhile
	case err != nil:
		return err
	case t.Schedule == nil || !t.Schedule.Enabled:
		return nil
	}
	times, err := schedule.Parse(t.Schedule.Spec, s.d.Zone)
	if err != nil {
		return s.stop(ctx, t, NotReadable)
	}
	due, following, ok := times.Due(string(t.ID), t.Schedule.Next, now)
	if !ok {
		return nil
	}
	run := &running{
		s: s, t: t,
		taking: Taking{
			Template: t.ID, Version: t.Version, Next: t.Schedule.Next, Due: due, Following: following, Start: times.Start(string(t.ID), following),
		},
		run: Run{ID: uid.TemplateRun(s.d.IDs.New()), Template: t.ID, Due: due},
	}
	actor, reason, err := s.owner(ctx, t)
	if err != nil {
		return err
	}
	if reason != "" {
		return s.stop(ctx, t, reason)
	}
	if err := run.judge(ctx, actor); err != nil {
		return err
	}
	// Names may have taken long: what was allowed before may not be now.
	if actor, reason, err = s.owner(ctx, t); err != nil {
		return err
	}
	if reason != "" {
		return s.stop(ctx, t, reason)
	}
	return run.commit(ctx, actor)
}

// owner returns who the schedule runs as, or why it can't any more.
func (s *Scheduler) owner(ctx context.Context, t Template) (access.Actor, Reason, error) {
	a, err := s.d.Owners.Standing(ctx, t.Org, t.Schedule.RunsAs)
	if err == nil {
		switch {
		case mayLaunch(a) != nil:
			return a, ScopeLost, nil
		case a.MayEngine(t.Engine) != nil:
			return a, EngineLost, nil
		}
		return a, "", nil
	}
	f := fault.Of(err)
	switch {
	case f.Code == fault.CodeKeyRevoked:
		return a, KeyRevoked, nil
	case f.Code == fault.CodeKeySuspended:
		return a, KeySuspended, nil
	case f.Code == fault.CodeKeyExpired:
		return a, KeyExpired, nil
	case f.Kind == fault.Unauthenticated:
		return a, UserDisabled, nil
	case f.Kind == fault.NotFound:
		return a, OwnerGone, nil
	}
	return a, "", err
}

// stop disables the schedule, visibly. A template that was changed meanwhile is left alone.
func (s *Scheduler) stop(ctx context.Context, t Template, why Reason) error {
	ev := audit.Event{Type: event.ScheduleDisabled, Resource: resource(t.ID), Reason: why.Text()}
	err := s.d.Store.Change(ctx, t.Org, ev, func(ctx context.Context, tx Tx) error {
		ok, err := tx.StopSchedule(ctx, t.ID, t.Version, Stopped{Reason: why, At: instant(s.d.Now)})
		if err != nil {
			return err
		}
		if !ok {
			return errTaken()
		}
		return tx.Emit(ctx, event.ScheduleStopped, string(t.ID), StoppedNotice{TemplateID: t.ID, Reason: why})
	})
	if err != nil && fault.KindOf(err) == fault.Conflict {
		return nil
	}
	if err == nil {
		s.d.Log.WarnContext(ctx, "schedule stopped", slog.String("template", string(t.ID)), slog.String("reason", string(why)))
	}
	return err
}

// running is one start on its way.
type running struct {
	s      *Scheduler
	t      Template
	taking Taking
	run    Run
	items  []scan.BatchItem
}

// judge checks the order of each target. Only what a retry can't help is kept as a refusal; a failure of ours ends the
// start, which is tried again.
func (r *running) judge(ctx context.Context, a access.Actor) error {
	o, err := r.t.order(r.s.d.Sealer)
	if err != nil {
		return err
	}
	o.Run = r.run.ID
	orders := make([]scan.Order, len(r.t.Targets))
	for i, target := range r.t.Targets {
		orders[i] = o
		orders[i].Target = target
	}
	r.items = r.s.d.Scans.Judge(ctx, a, orders)
	for _, item := range r.items {
		if f := item.Refused; f != nil && (f.Kind == fault.Internal || f.Kind == fault.Canceled) {
			return f
		}
	}
	return nil
}

// commit takes the due time and everything that belongs to it, or nothing.
func (r *running) commit(ctx context.Context, a access.Actor) error {
	plan, err := r.s.d.Scans.Plan(ctx, a)
	if err != nil {
		return err
	}
	ev := audit.Event{
		Type: event.ScheduleRan, Resource: audit.Resource{Kind: "template_run", ID: string(r.run.ID)}, Reason: "started by its schedule",
		Actor: &audit.Actor{Kind: a.Kind, ID: a.ID, Name: a.Name}, Bulk: true,
	}
	var out Run
	err = r.s.d.Store.Change(ctx, r.t.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		out, err = r.write(ctx, tx, plan)
		return err
	})
	switch {
	case err != nil && fault.KindOf(err) == fault.Conflict:
		return nil
	case err != nil:
		return err
	}
	r.s.d.Scans.Entered()
	r.s.d.Log.InfoContext(ctx, "schedule started a run", slog.String("template", string(r.t.ID)), slog.Time("due", out.Due),
		slog.String("state", string(out.State)), slog.Int("targets", len(out.Items)))
	return nil
}

// write is the unit of a start; it may run twice.
func (r *running) write(ctx context.Context, tx Tx, plan tenant.Plan) (Run, error) {
	out := r.run
	out.At = instant(r.s.d.Now)
	taken, ran, err := tx.TakeRun(ctx, r.taking)
	switch {
	case err != nil:
		return out, err
	case !taken:
		return out, errTaken()
	case ran:
		return out, nil
	}
	skip, err := r.overlap(ctx, tx, &out)
	if err != nil {
		return out, err
	}
	if skip {
		out.State = Skipped
		return out, tx.InsertRun(ctx, out)
	}
	items := slices.Clone(r.items)
	if err := r.s.d.Scans.Enter(ctx, tx, plan, items); err != nil {
		return out, err
	}
	out.conclude(r.t.Targets, items)
	return out, tx.InsertRun(ctx, out)
}

// overlap decides on earlier runs that are still going on: whether this one is skipped, or ends them.
func (r *running) overlap(ctx context.Context, tx Tx, out *Run) (skip bool, err error) {
	if r.t.Schedule.Overlap == schedule.Allow {
		return false, nil
	}
	earlier, err := tx.RunningScans(ctx, r.t.ID)
	if err != nil || r.t.Schedule.Overlap != schedule.Replace {
		return len(earlier) > 0, err
	}
	for _, id := range earlier {
		ended, err := r.s.d.Scans.End(ctx, tx, id)
		if err != nil {
			return false, err
		}
		if ended {
			out.Replaced++
		}
	}
	return false, nil
}

// conclude writes down what became of each target.
func (r *Run) conclude(targets []string, items []scan.BatchItem) {
	r.Items = make([]Item, len(items))
	refused := 0
	for i, item := range items {
		r.Items[i] = Item{Target: targets[i], Scan: item.Scan.ID}
		if f := item.Refused; f != nil {
			refused++
			r.Items[i] = Item{Target: targets[i], Code: f.Code, Message: reason(f)}
		}
	}
	switch refused {
	case 0:
		r.State = Started
	case len(items):
		r.State = Refused
	default:
		r.State = Partial
	}
}

// reason is a refusal in a line.
func reason(f *fault.Error) string {
	if len(f.Fields) == 0 {
		return f.Text
	}
	return f.Fields[0].Location + " " + f.Fields[0].Message
}
