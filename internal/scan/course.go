package scan

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Course is the way of a parent: a scan that other scans, its children, carry out (package phase). No worker runs a
// parent and no lease holds it; it is a row that the ends of its children bring on.
type Course struct {
	Engines []string            `json:"engines"`         // that its children may use
	Named   bool                `json:"named,omitempty"` // the order named them, so that one that can't run is missed
	Phases  []string            `json:"phases"`          // to go through, in order
	Begun   int                 `json:"begun"`           // how many of them have been
	Left    []engine.TargetLook `json:"left,omitempty"`  // what was left out on the way, and why
	// Idle is how long it has stood still, since it began, because all of its open children waited for their turn, which
	// its timeout doesn't count; IdleSince is since when it stands still now, zero where it doesn't.
	Idle      time.Duration `json:"idle,omitempty"`
	IdleSince time.Time     `json:"idleSince,omitzero"`
}

// FamilyTx are the writes that reach a parent's children.
type FamilyTx interface {
	// CancelChildren cancels the queued and running children of a scan, at most 500, and returns them as cancelled.
	CancelChildren(ctx context.Context, parent uid.Scan, at time.Time) ([]Scan, error)
}

// conduct returns the course of an order whose engine has others work for it, nil where the engine itself is to run.
func conduct(a access.Actor, e engine.Engine, options engine.Options, known []engine.Engine) (*Course, error) {
	c, ok := e.(engine.Conductor)
	if !ok {
		return nil, nil //nolint:nilnil // most scans are no parents
	}
	score, ok, err := c.Conducts(options)
	if err != nil || !ok {
		return nil, err
	}
	course := &Course{Named: len(score.Engines) > 0, Phases: score.Phases}
	for _, k := range known {
		id := k.Manifest().ID
		if course.Named && !slices.Contains(score.Engines, id) {
			continue
		}
		if err := a.MayEngine(id); err == nil {
			course.Engines = append(course.Engines, id)
		} else if course.Named {
			return nil, err
		}
	}
	return course, nil
}

// Derive makes the child that an order of a parent would become, which is nowhere kept yet: checked as Submit does, but
// for keys and quota, which the parent's own order has passed. Config comes from the parent, as far as the engine takes
// it, sealed anew.
func (s *Service) Derive(ctx context.Context, parent Scan, o Order) (Scan, error) {
	e, ok := s.engines[o.Engine]
	if !ok {
		return Scan{}, fault.New(fault.Unavailable, fault.CodeEngine, "this server doesn't have the engine")
	}
	a := access.Actor{Org: parent.Org, Kind: audit.ActorSystem, ID: "system"}
	var err error
	if o.Config, err = s.inherit(parent, e.Manifest()); err != nil {
		return Scan{}, err
	}
	out, target, err := s.prepare(a, o)
	if err != nil {
		return Scan{}, err
	}
	if err := s.admit(ctx, a.Org, target, o); err != nil {
		return Scan{}, err
	}
	out.Course, out.Parent, out.CreatedBy, out.Ordered = nil, parent.ID, parent.CreatedBy, parent.CreatedAt
	return out, nil
}

// inherit returns those fields of the parent's config that the engine takes.
func (s *Service) inherit(parent Scan, m engine.Manifest) (map[string]json.RawMessage, error) {
	if len(parent.Sealed) == 0 {
		return nil, nil
	}
	whole, err := s.d.Sealer.Open(parent.Org, sealName(parent.ID), parent.Sealed)
	if err != nil {
		return nil, err
	}
	var config map[string]json.RawMessage
	if err := decode(whole, &config); err != nil {
		return nil, err
	}
	for name := range config {
		if !slices.Contains(m.Config, engine.ConfigField(name)) {
			delete(config, name)
		}
	}
	return config, nil
}

// Reach is what the gate says of a target under the organization's scope, as when a scan of it starts.
func (s *Service) Reach(ctx context.Context, org uid.Org, target asset.Target) (Reach, error) {
	scope, err := s.d.Store.ScanScope(ctx, org)
	if err != nil {
		return Reach{}, err
	}
	return s.d.Gate.Open(ctx, target, scope)
}

// Children returns a scan's children in the order in which they were made; none where it has none.
func (s *Service) Children(ctx context.Context, org uid.Org, id uid.Scan) ([]Scan, error) {
	return s.d.Store.Children(ctx, org, id)
}

// cancel ends a scan, with what is open of its children, within the unit, and tells of it.
func cancel(ctx context.Context, tx EndTx, id uid.Scan, at time.Time) (Scan, error) {
	out, err := tx.CancelScan(ctx, id, at)
	if err != nil {
		return out, err
	}
	if out.Course != nil {
		if err := EndChildren(ctx, tx, id, at); err != nil {
			return out, err
		}
	}
	return out, tx.Emit(ctx, event.ScanCancelled, string(id), out.Notice())
}

// EndChildren cancels the open children of a scan within the caller's unit, and tells of it.
func EndChildren(ctx context.Context, tx EndTx, id uid.Scan, at time.Time) error {
	ended, err := tx.CancelChildren(ctx, id, at)
	if err != nil {
		return err
	}
	for _, c := range ended {
		if err := tx.Emit(ctx, event.ScanCancelled, string(c.ID), c.Notice()); err != nil {
			return err
		}
	}
	return nil
}
