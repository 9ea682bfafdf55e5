package scan

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Order is a scan as it was asked for, unchecked.
type Order struct {
	Target     string
	TargetType asset.TargetType // empty = inferred
	Engine     string           // scanType
	Name       string
	Priority   Priority // empty = normal
	Options    map[string]json.RawMessage
	Config     map[string]json.RawMessage
	Tags       []string
	Timeout    int             // seconds; 0 = DefaultTimeout
	Asset      uid.Asset       // empty = none
	Template   uid.Template    // that it comes from; only package template sets it
	Run        uid.TemplateRun // of the template's schedule; likewise
	// CallbackURL is told of the scan's end, signed with the organization's callback secret; empty = nobody is.
	CallbackURL string
}

// Submit checks an order and puts the scan into the line. The checks, in this order, and their faults: scanType known
// (VALIDATION_ERROR) and allowed (SCAN_TYPE_NOT_ALLOWED); fields, target (VALIDATION_ERROR) and its type
// (TARGET_TYPE_NOT_SUPPORTED); options and config; engine available (ENGINE_NOT_AVAILABLE); target resolved and within
// scope (TARGET_NOT_ALLOWED); asset; quota (QUOTA_EXCEEDED). A refused order changes nothing.
func (s *Service) Submit(ctx context.Context, a access.Actor, o Order) (Scan, error) {
	out, target, err := s.prepare(a, o)
	if err != nil {
		return Scan{}, err
	}
	if err := s.admit(ctx, a.Org, target, o); err != nil {
		return Scan{}, err
	}
	plan, err := s.plan(ctx, a)
	if err != nil {
		return Scan{}, err
	}
	ev := audit.Event{Type: event.ScanSubmitted, Resource: resource(out.ID)}
	if o.Template != "" {
		ev.Type = event.TemplateLaunched
	}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		if err := s.d.Quota.ScanQuota(ctx, tx, plan); err != nil {
			return err
		}
		if err := tx.InsertScan(ctx, out); err != nil {
			return err
		}
		return tx.Emit(ctx, event.ScanQueued, string(out.ID), out.Notice())
	})
	if err != nil {
		return Scan{}, err
	}
	s.d.Changed()
	return out, nil
}

// prepare checks all of an order that lies within it.
func (s *Service) prepare(a access.Actor, o Order) (Scan, asset.Target, error) {
	e, ok := s.engines[o.Engine]
	if !ok {
		return Scan{}, asset.Target{}, fault.Wrong("scanType", "must be one of "+s.engineIDs())
	}
	if err := a.MayEngine(o.Engine); err != nil {
		return Scan{}, asset.Target{}, err
	}
	m := e.Manifest()
	out, err := s.draft(a, m, o)
	if err != nil {
		return Scan{}, asset.Target{}, err
	}
	target, err := targetOf(m, o.Target, o.TargetType)
	if err != nil {
		return Scan{}, asset.Target{}, err
	}
	out.Target, out.TargetType, out.Host = target.String(), target.Type(), limitedHost(target)
	options, err := s.settle(&out, m, o)
	if err != nil {
		return Scan{}, asset.Target{}, err
	}
	out.Course, err = conduct(a, e, options, s.d.Engines)
	return out, target, err
}

func (s *Service) engineIDs() string {
	ids := make([]string, 0, len(s.d.Engines))
	for _, e := range s.d.Engines {
		ids = append(ids, e.Manifest().ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

// draft checks the fields that every engine's orders share.
func (s *Service) draft(a access.Actor, m engine.Manifest, o Order) (Scan, error) {
	out := Scan{
		ID: uid.Scan(s.d.IDs.New()), Org: a.Org, Engine: m.ID, Priority: o.Priority, Status: Queued, Timeout: o.Timeout, Asset: o.Asset,
		Template: o.Template, Run: o.Run, CreatedBy: a.Principal(), CreatedAt: instant(s.d.Now),
	}
	var err error
	if o.Name != "" {
		if out.Name, err = asset.ParseName("name", o.Name); err != nil {
			return Scan{}, err
		}
	}
	if out.Tags, err = asset.ParseTags("tags", o.Tags); err != nil {
		return Scan{}, err
	}
	if out.Callback, err = s.callback(a, o.CallbackURL); err != nil {
		return Scan{}, err
	}
	switch out.Priority {
	case "":
		out.Priority = Normal
	case Critical, High, Normal, Low:
	default:
		return Scan{}, fault.Wrong("priority", "must be one of critical, high, normal, low")
	}
	if out.Timeout == 0 {
		out.Timeout = DefaultTimeout
	}
	if out.Timeout < MinTimeout || out.Timeout > MaxTimeout {
		return Scan{}, fault.Wrong("timeout", "must be from 10 to 86,400 seconds")
	}
	return out, nil
}

// callback checks the address that wants to hear of the scan's end.
func (s *Service) callback(a access.Actor, address string) (string, error) {
	switch {
	case address == "":
		return "", nil
	case s.d.Callbacks == nil:
		return "", fault.Wrong("callbackUrl", "can't be used on this server")
	}
	return s.d.Callbacks.MayCallback(a, address)
}

// targetOf reads the target. Where no type is given and the inferred one isn't among those of the engine, the engine's
// own types are tried in their order: "app:1.2" is an image to an engine of images, and a domain is a host to others.
func targetOf(m engine.Manifest, text string, typ asset.TargetType) (asset.Target, error) {
	t, err := asset.ParseTarget(text, typ)
	if err == nil && slices.Contains(m.Targets, t.Type()) {
		return t, nil
	}
	if typ == "" {
		for _, own := range m.Targets {
			if t, terr := asset.ParseTarget(text, own); terr == nil {
				return t, nil
			}
		}
	}
	if err != nil {
		return asset.Target{}, err
	}
	return asset.Target{}, wrongType(m, t.Type())
}

func wrongType(m engine.Manifest, typ asset.TargetType) error {
	names := make([]string, len(m.Targets))
	for i, own := range m.Targets {
		names[i] = string(own)
	}
	return fault.New(fault.Invalid, fault.CodeTargetType,
		m.Title+" can't scan a target of type "+string(typ)+"; it takes "+strings.Join(names, ", "))
}

// limitedHost is what the limit of scans per target host counts.
func limitedHost(t asset.Target) string {
	switch {
	case t.Host() != "":
		return t.Host()
	case t.Addr().IsValid():
		return t.Addr().String()
	}
	return t.String()
}

// settle checks options and config and takes them into the scan: options in canonical form, config masked, and the
// whole of it sealed. It returns the options with their defaults.
func (s *Service) settle(out *Scan, m engine.Manifest, o Order) (engine.Options, error) {
	options, err := engine.ParseOptions(m, o.Options, s.d.Capabilities)
	if err != nil {
		return nil, err
	}
	config, err := engine.ParseConfig(m, o.Config)
	if err != nil {
		return nil, err
	}
	given := make(map[string]any, len(o.Options))
	for name := range o.Options {
		given[name] = options[name]
	}
	if out.Options, err = document(given); err != nil {
		return nil, err
	}
	if out.Config, err = document(config.Masked()); err != nil {
		return nil, err
	}
	if len(o.Config) == 0 {
		return options, nil
	}
	whole, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the config can't be kept").Because(err)
	}
	out.Sealed, err = s.d.Sealer.Seal(out.Org, sealName(out.ID), whole)
	return options, err
}

// sealName is the record under which a scan's config is sealed.
func sealName(id uid.Scan) string { return "scan/" + string(id) }

// document is a JSON object, nil where it would be empty.
func document(m map[string]any) (json.RawMessage, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the options can't be kept").Because(err)
	}
	return b, nil
}

// admit asks what lies outside the order: engine, scope and inventory.
func (s *Service) admit(ctx context.Context, org uid.Org, target asset.Target, o Order) error {
	state, err := s.d.Availability.Of(ctx, o.Engine)
	if err != nil {
		return err
	}
	if !state.Available {
		return fault.New(fault.Unavailable, fault.CodeEngine, "the engine can't run here: "+state.Reason)
	}
	scope, err := s.d.Store.ScanScope(ctx, org)
	if err != nil {
		return err
	}
	if _, err := s.d.Gate.Open(ctx, target, scope); err != nil {
		return err
	}
	if o.CallbackURL != "" {
		if err := s.d.Callbacks.CanSign(ctx, org); err != nil {
			return err
		}
	}
	if o.Asset == "" {
		return nil
	}
	missing := fault.Wrong("assetId", "names no asset of this organization")
	if !uid.Valid(string(o.Asset)) {
		return missing
	}
	_, err = s.d.Assets.Asset(ctx, org, o.Asset)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return missing
	}
	return err
}

// plan returns the organization's plan; an actor of the command line carries none.
func (s *Service) plan(ctx context.Context, a access.Actor) (tenant.Plan, error) {
	if a.Plan != "" {
		return tenant.Plan(a.Plan), nil
	}
	o, err := s.d.Store.Organization(ctx, a.Org)
	if err != nil {
		return "", err
	}
	return o.Plan, nil
}
