package asset

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Statuses of an asset.
const (
	Active  = "active"
	Removed = "removed" // not there any more; its history stays
)

// SourceUser is the source of an asset that a person entered.
const SourceUser = "user"

// Deps is what the inventory works with.
type Deps struct {
	Store Store
	Now   func() time.Time
	IDs   *uid.Source
}

// Service is the inventory of every organization. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns the inventory.
func New(d Deps) *Service { return &Service{d: d} }

// Draft is a new asset as a person writes it.
type Draft struct {
	Kind       Kind
	Name       string
	Note       string
	Tags       []string
	Attributes json.RawMessage // a JSON object; nil or null = none
}

// Patch changes what is not nil. Attributes are replaced as a whole; the JSON null removes them.
type Patch struct {
	Note       *string
	Tags       *[]string
	Attributes *json.RawMessage
	Status     *string
}

// Create adds an asset under its canonical name. One of the same kind and name is a Conflict fault.
func (s *Service) Create(ctx context.Context, org uid.Org, d Draft) (Asset, error) {
	name, err := CanonicalName(d.Kind, d.Name)
	if err != nil {
		return Asset{}, err
	}
	now := s.now()
	a := Asset{
		ID: uid.Asset(s.d.IDs.New()), Kind: d.Kind, Name: name, Source: SourceUser, Status: Active,
		CreatedAt: now, UpdatedAt: now, FirstSeenAt: now, LastSeenAt: now,
	}
	if err := a.apply(Patch{Note: &d.Note, Tags: &d.Tags, Attributes: &d.Attributes}); err != nil {
		return Asset{}, err
	}
	ev := audit.Event{Type: event.AssetCreated, Resource: resource(a.ID)}
	err = s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error { return tx.InsertAsset(ctx, a) })
	if err != nil {
		return Asset{}, err
	}
	return a, nil
}

// Get returns an asset.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Asset) (Asset, error) {
	if !uid.Valid(string(id)) {
		return Asset{}, fault.Missing("asset")
	}
	return s.d.Store.Asset(ctx, org, id)
}

// List returns one page of assets. A limit of 0 is page.DefaultLimit; limits, offsets, kinds and statuses out of bounds
// are Invalid faults.
func (s *Service) List(ctx context.Context, org uid.Org, q Query) (List, error) {
	if q.Kind != "" && !slices.Contains(Kinds(), q.Kind) {
		return List{}, fault.Wrong("kind", "is not a kind of asset; the API document lists them")
	}
	if q.Status != "" && q.Status != Active && q.Status != Removed {
		return List{}, fault.Wrong("status", "must be active or removed")
	}
	if q.Page.Limit == 0 {
		q.Page.Limit = page.DefaultLimit
	}
	if q.Page.Limit < 1 || q.Page.Limit > page.MaxLimit {
		return List{}, fault.Wrong("limit", "must be from 1 to 100")
	}
	if q.Page.Offset < 0 || q.Page.Offset > page.MaxOffset {
		return List{}, fault.Wrong("offset", "must be from 0 to 10,000; use a cursor to go further")
	}
	return s.d.Store.Assets(ctx, org, q)
}

// Update changes an asset and returns it as it is now. Changes of different fields at the same time are all kept.
func (s *Service) Update(ctx context.Context, org uid.Org, id uid.Asset, p Patch) (Asset, error) {
	if !uid.Valid(string(id)) {
		return Asset{}, fault.Missing("asset")
	}
	var a Asset
	ev := audit.Event{Type: event.AssetUpdated, Resource: resource(id)}
	err := s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		if a, err = tx.AssetForUpdate(ctx, id); err != nil {
			return err
		}
		if err := a.apply(p); err != nil {
			return err
		}
		a.UpdatedAt = s.now()
		return tx.UpdateAsset(ctx, a)
	})
	if err != nil {
		return Asset{}, err
	}
	return a, nil
}

// Delete removes an asset from the inventory. A scan that sees it again enters it anew.
func (s *Service) Delete(ctx context.Context, org uid.Org, id uid.Asset) error {
	if !uid.Valid(string(id)) {
		return fault.Missing("asset")
	}
	ev := audit.Event{Type: event.AssetDeleted, Resource: resource(id)}
	return s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error { return tx.DeleteAsset(ctx, id) })
}

// ScanScope returns what the organization's scans may touch.
func (s *Service) ScanScope(ctx context.Context, org uid.Org) (Scope, error) {
	return s.d.Store.ScanScope(ctx, org)
}

// PutScanScope replaces the organization's scan scope by the given rules and returns it in canonical form. Scans that
// run are not stopped; each checks the scope again when it starts.
func (s *Service) PutScanScope(ctx context.Context, org uid.Org, allow, deny []Rule) (Scope, error) {
	scope, err := ParseScope(allow, deny)
	if err != nil {
		return Scope{}, err
	}
	scope.UpdatedAt = s.now()
	ev := audit.Event{Type: event.ScopeUpdated, Resource: audit.Resource{Kind: "scan_scope", ID: string(org)}}
	err = s.d.Store.Change(ctx, org, ev, func(ctx context.Context, tx Tx) error { return tx.PutScanScope(ctx, scope) })
	if err != nil {
		return Scope{}, err
	}
	return scope, nil
}

// now is the clock as the database keeps it.
func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

func resource(id uid.Asset) audit.Resource { return audit.Resource{Kind: "asset", ID: string(id)} }

// apply writes the patch's values, checked, into a.
func (a *Asset) apply(p Patch) (err error) {
	if p.Note != nil {
		if a.Note, err = ParseNote("note", *p.Note); err != nil {
			return err
		}
	}
	if p.Tags != nil {
		if a.Tags, err = ParseTags("tags", *p.Tags); err != nil {
			return err
		}
	}
	if p.Attributes != nil {
		if a.Attributes, err = parseAttributes(*p.Attributes); err != nil {
			return err
		}
	}
	if p.Status != nil {
		if *p.Status != Active && *p.Status != Removed {
			return fault.Wrong("status", "must be active or removed")
		}
		a.Status = *p.Status
	}
	return nil
}

// parseAttributes returns the object without insignificant white space, nil for null and nothing.
func parseAttributes(raw json.RawMessage) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var compact bytes.Buffer
	if raw[0] != '{' || json.Compact(&compact, raw) != nil {
		return nil, fault.Wrong("attributes", "must be a JSON object")
	}
	if compact.Len() > MaxAttributes {
		return nil, fault.Wrong("attributes", "is too large; at most 16 KiB")
	}
	if compact.String() == "{}" {
		return nil, nil
	}
	return compact.Bytes(), nil
}
