package template

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/schedule"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Scans is what templates need of scan.Service.
type Scans interface {
	Check(a access.Actor, o scan.Order) (scan.Scan, error)
	Judge(ctx context.Context, a access.Actor, orders []scan.Order) []scan.BatchItem
	Plan(ctx context.Context, a access.Actor) (tenant.Plan, error)
	Enter(ctx context.Context, tx scan.EntryTx, plan tenant.Plan, items []scan.BatchItem) error
	End(ctx context.Context, tx scan.EndTx, id uid.Scan) (bool, error)
	Entered()
	Submit(ctx context.Context, a access.Actor, o scan.Order) (scan.Scan, error)
}

// Sealer keeps secrets of a record at rest.
type Sealer interface {
	Seal(org uid.Org, record string, plain []byte) ([]byte, error)
	Open(org uid.Org, record string, sealed []byte) ([]byte, error)
}

// Deps is what a Service is made of; all are required but Changed.
type Deps struct {
	Store  Store
	Scans  Scans
	Sealer Sealer
	Zone   schedule.Zone
	Now    func() time.Time
	IDs    *uid.Source
	// Changed is called after a commit that may have moved the next start; it must not block. nil = nobody listens.
	Changed func()
}

// Service keeps templates and launches them. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Service{d: d}
}

// Create keeps a new template. Its faults are those of scan.Service.Submit as far as they can be told beforehand, with
// the targets named as targets[i]; Conflict for a name that is taken; Forbidden INSUFFICIENT_SCOPE where an enabled
// schedule would do what the actor may not.
func (s *Service) Create(ctx context.Context, a access.Actor, d Draft) (Template, error) {
	now := instant(s.d.Now)
	t := Template{ID: uid.Template(idPrefix + s.d.IDs.New()), Org: a.Org, CreatedBy: a.Principal(), CreatedAt: now, UpdatedAt: now, Version: 1}
	times, err := s.fill(ctx, a, &t, d, nil)
	if err != nil {
		return Template{}, err
	}
	t.Schedule = timed(t, times, nil, now)
	ev := audit.Event{Type: event.TemplateCreated, Resource: resource(t.ID)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error { return tx.InsertTemplate(ctx, t) })
	if err != nil {
		return Template{}, err
	}
	s.d.Changed()
	return t, nil
}

// Get returns a template; another organization's, and an id that is none, are NotFound faults.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Template) (Template, error) {
	if !ValidID(string(id)) {
		return Template{}, missing()
	}
	return s.d.Store.Template(ctx, org, id)
}

// List returns one page of templates.
func (s *Service) List(ctx context.Context, org uid.Org, q Query) (List, error) {
	return s.d.Store.Templates(ctx, org, q)
}

// Runs returns one page of what a template's schedule has started; NotFound where there is no such template.
func (s *Service) Runs(ctx context.Context, org uid.Org, id uid.Template, p page.Request) (Runs, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return Runs{}, err
	}
	return s.d.Store.Runs(ctx, org, id, p)
}

// Replace puts the draft in the place of all that a template is; faults as Create's, and NotFound. A masked value of
// the config, sent back as it was shown, keeps what is stored. From now on the schedule runs in the name of the actor;
// where its times are what they were, the next due time stays.
func (s *Service) Replace(ctx context.Context, a access.Actor, id uid.Template, d Draft) (Template, error) {
	before, err := s.Get(ctx, a.Org, id)
	if err != nil {
		return Template{}, err
	}
	next := before
	times, err := s.fill(ctx, a, &next, d, &before)
	if err != nil {
		return Template{}, err
	}
	next.UpdatedAt = instant(s.d.Now)
	var out Template
	ev := audit.Event{Type: event.TemplateUpdated, Resource: resource(id)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		now, err := tx.TemplateForUpdate(ctx, id)
		if err != nil {
			return err
		}
		if now.Version != before.Version { // kept secrets may be others by now
			return fault.New(fault.Conflict, fault.CodeConflict, "the template was changed at the same time; read it and try again")
		}
		out = next
		out.Schedule = timed(next, times, now.Schedule, next.UpdatedAt)
		out.Version++
		return tx.ReplaceTemplate(ctx, out)
	})
	if err != nil {
		return Template{}, err
	}
	s.d.Changed()
	return out, nil
}

// Delete removes a template and the history of its schedule and returns it as it was; its scans stay. NotFound where
// there is none.
func (s *Service) Delete(ctx context.Context, a access.Actor, id uid.Template) (Template, error) {
	if !ValidID(string(id)) {
		return Template{}, missing()
	}
	var out Template
	ev := audit.Event{Type: event.TemplateDeleted, Resource: resource(id)}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		if out, err = tx.TemplateForUpdate(ctx, id); err != nil {
			return err
		}
		return tx.DeleteTemplate(ctx, id)
	})
	if err != nil {
		return Template{}, err
	}
	s.d.Changed()
	return out, nil
}

// Launch submits a scan of the template with what over gives in place of it; options and config are merged key by key.
// The target must be given. The actor needs templates:read beside scans:create, and the engine is held to its key.
// Faults as scan.Service.Submit's, and NotFound.
func (s *Service) Launch(ctx context.Context, a access.Actor, id uid.Template, over scan.Order) (scan.Scan, error) {
	if err := a.May(access.TemplatesRead); err != nil {
		return scan.Scan{}, err
	}
	t, err := s.Get(ctx, a.Org, id)
	if err != nil {
		return scan.Scan{}, err
	}
	if over.Target == "" {
		return scan.Scan{}, fault.Wrong("target", "is required")
	}
	o, err := t.order(s.d.Sealer)
	if err != nil {
		return scan.Scan{}, err
	}
	return s.d.Scans.Submit(ctx, a, merge(o, over))
}

// timed returns the template's schedule with its next due time; before is the one that it replaces, nil = none. A next
// due time stays where the times are what they were, so that a change of something else neither loses nor doubles a run.
func timed(t Template, times schedule.Schedule, before *Schedule, now time.Time) *Schedule {
	if t.Schedule == nil {
		return nil
	}
	out := *t.Schedule
	from := now
	if before != nil {
		out.Last = before.Last
		if before.Last.After(from) { // our clock is behind that of who ran it
			from = before.Last
		}
	}
	if !out.Enabled {
		return &out
	}
	out.Next = times.Next(from)
	if before != nil && before.Enabled && before.Cron == out.Cron && before.TimeZone == out.TimeZone {
		out.Next = before.Next
	}
	out.Start = times.Start(string(t.ID), out.Next)
	return &out
}

// order is the template as an order without a target.
func (t Template) order(sealer Sealer) (scan.Order, error) {
	o := scan.Order{
		TargetType: t.TargetType, Engine: t.Engine, Name: t.Name, Priority: t.Priority, Tags: t.Tags, Timeout: t.Timeout, Template: t.ID,
	}
	if len(t.Options) > 0 {
		if err := json.Unmarshal(t.Options, &o.Options); err != nil {
			return o, fault.Of(err)
		}
	}
	var err error
	o.Config, err = t.config(sealer)
	return o, err
}

// config opens the sealed config; nil where there is none.
func (t Template) config(sealer Sealer) (map[string]json.RawMessage, error) {
	if t.Sealed == nil {
		return nil, nil
	}
	whole, err := sealer.Open(t.Org, record(t.ID), t.Sealed)
	if err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(whole, &out); err != nil {
		return nil, fault.Of(err)
	}
	return out, nil
}

// merge lays over on top of o.
func merge(o, over scan.Order) scan.Order {
	out := over
	out.Template, out.Run = o.Template, o.Run
	choose(&out.TargetType, o.TargetType)
	choose(&out.Engine, o.Engine)
	choose(&out.Name, o.Name)
	choose(&out.Priority, o.Priority)
	choose(&out.Timeout, o.Timeout)
	if over.Tags == nil {
		out.Tags = o.Tags
	}
	out.Options, out.Config = merged(o.Options, over.Options), merged(o.Config, over.Config)
	return out
}

func choose[T comparable](to *T, from T) {
	var zero T
	if *to == zero {
		*to = from
	}
}

func merged(under, over map[string]json.RawMessage) map[string]json.RawMessage {
	if len(under) == 0 {
		return over
	}
	out := make(map[string]json.RawMessage, len(under)+len(over))
	maps.Copy(out, under)
	maps.Copy(out, over)
	return out
}
