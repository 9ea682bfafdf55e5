package template

import (
	"context"
	"encoding/json"
	"strconv"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/fault"
)

// Draft is a template as somebody wrote it down, unchecked.
type Draft struct {
	Name        string
	Description string
	Engine      string
	TargetType  asset.TargetType
	Priority    scan.Priority // empty = normal
	Options     map[string]json.RawMessage
	Config      map[string]json.RawMessage
	Tags        []string
	Timeout     int // seconds; 0 = scan.DefaultTimeout
	Targets     []string
	Schedule    *Plan
}

// Plan is a schedule as somebody wrote it down.
type Plan struct {
	schedule.Spec

	Enabled bool
}

// order is what the draft orders, without a target.
func (d Draft) order() scan.Order {
	return scan.Order{
		TargetType: d.TargetType, Engine: d.Engine, Name: d.Name, Priority: d.Priority, Options: d.Options, Config: d.Config,
		Tags: d.Tags, Timeout: d.Timeout,
	}
}

// fill checks the draft and writes it into t, whose id and organization stand; it returns the times of the schedule
// where there is one. before is what the draft replaces, nil = nothing.
func (s *Service) fill(ctx context.Context, a access.Actor, t *Template, d Draft, before *Template) (times schedule.Schedule, err error) {
	if t.Name, err = asset.ParseName("name", d.Name); err != nil {
		return times, err
	}
	if t.Description, err = asset.ParseNote("description", d.Description); err != nil {
		return times, err
	}
	if err := s.unmask(&d, before); err != nil {
		return times, err
	}
	like, err := s.d.Scans.Check(a, d.order())
	if err != nil {
		return times, err
	}
	t.Engine, t.TargetType, t.Priority, t.Timeout, t.Tags = like.Engine, d.TargetType, like.Priority, like.Timeout, like.Tags
	t.Options, t.Config, t.Sealed = like.Options, like.Config, nil
	if t.Schedule, times, err = s.plan(a, d); err != nil {
		return times, err
	}
	if t.Targets, err = s.targets(ctx, a, d); err != nil {
		return times, err
	}
	if len(d.Config) == 0 {
		return times, nil
	}
	whole, err := json.Marshal(d.Config)
	if err != nil {
		return times, fault.New(fault.Internal, fault.CodeInternal, "the config can't be kept").Because(err)
	}
	t.Sealed, err = s.d.Sealer.Seal(t.Org, record(t.ID), whole)
	return times, err
}

// unmask puts stored secrets where the draft holds masks.
func (s *Service) unmask(d *Draft, before *Template) error {
	var stored map[string]json.RawMessage
	var err error
	if before != nil {
		if stored, err = before.config(s.d.Sealer); err != nil {
			return err
		}
	}
	d.Config, err = engine.Unmask(d.Config, stored)
	return err
}

// plan checks the schedule. One that is enabled starts scans in the actor's name, so the actor must be able to.
func (s *Service) plan(a access.Actor, d Draft) (out *Schedule, times schedule.Schedule, err error) {
	if d.Schedule == nil {
		return nil, times, nil
	}
	var f *fault.Error
	wrong := func(location, message string) {
		if f == nil {
			f = fault.Wrong(location, message)
			return
		}
		f = f.With(location, message)
	}
	for _, w := range d.Schedule.Check(s.d.Zone) {
		wrong("schedule."+w.Location, w.Message)
	}
	if len(d.Targets) == 0 {
		wrong("targets", "must hold at least one target where there is a schedule")
	}
	if f != nil {
		return nil, times, f
	}
	if d.Schedule.Enabled {
		if err := mayLaunch(a); err != nil {
			return nil, times, err
		}
	}
	if times, err = schedule.Parse(d.Schedule.Spec, s.d.Zone); err != nil {
		return nil, times, err
	}
	return &Schedule{Spec: times.Spec(), Enabled: d.Schedule.Enabled, RunsAs: a.Principal()}, times, nil
}

// mayLaunch reports whether the actor may launch templates (decisions G11).
func mayLaunch(a access.Actor) error {
	if err := a.May(access.ScansCreate); err != nil {
		return err
	}
	return a.May(access.TemplatesRead)
}

// targets checks each target as its scan will be, but for the engine's being there, which is the server's affair.
func (s *Service) targets(ctx context.Context, a access.Actor, d Draft) ([]string, error) {
	if len(d.Targets) == 0 {
		return nil, nil
	}
	if len(d.Targets) > MaxTargets {
		return nil, fault.Wrong("targets", "must hold at most "+strconv.Itoa(MaxTargets)+" targets")
	}
	orders := make([]scan.Order, len(d.Targets))
	for i, target := range d.Targets {
		orders[i] = d.order()
		orders[i].Target = target
		if target == "" {
			return nil, fault.Wrong("targets["+strconv.Itoa(i)+"]", "must not be empty")
		}
	}
	judged := s.d.Scans.Judge(ctx, a, orders)
	var f *fault.Error
	out := make([]string, len(judged))
	seen := map[string]int{}
	for i, item := range judged {
		at := "targets[" + strconv.Itoa(i) + "]"
		if r := item.Refused; r != nil && r.Code != fault.CodeEngine {
			f = refusal(f, r, at)
			continue
		}
		out[i] = item.Scan.Target
		if out[i] == "" {
			out[i] = d.Targets[i]
		}
		if _, twice := seen[out[i]]; twice {
			f = refusal(f, fault.Wrong(at, "is there twice"), at)
		}
		seen[out[i]] = i
	}
	if f != nil {
		return nil, f
	}
	return out, nil
}

// refusal adds why a target is refused to f. The fault's code is that of the refusals where they share one.
func refusal(f, r *fault.Error, at string) *fault.Error {
	message := r.Text
	if len(r.Fields) > 0 {
		message = r.Fields[0].Message
	}
	switch {
	case f == nil:
		f = fault.New(r.Kind, r.Code, r.Text).After(r.RetryAfter)
	case f.Code != r.Code:
		mixed := fault.New(fault.Invalid, fault.CodeValidation, "some targets can't be scanned")
		mixed.Fields = f.Fields
		f = mixed
	}
	return f.With(at, message)
}
