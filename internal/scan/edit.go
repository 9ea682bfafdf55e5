package scan

import (
	"context"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Patch changes what is set of a scan and leaves the rest. What was scanned, and how, never changes.
type Patch struct {
	Name *string // empty takes the name away
	Tags *[]string
}

// EditTx are the writes of an edit.
type EditTx interface {
	// ScanForUpdate reads a scan as it is inside this unit and holds it until the unit ends; NotFound where there is none.
	ScanForUpdate(ctx context.Context, id uid.Scan) (Scan, error)
	// EditScan writes name and tags of a scan, and nothing else of it.
	EditScan(ctx context.Context, s Scan) error
}

// Edit changes a scan's name and tags, in any state, and returns it. Faults: Invalid, NotFound.
func (s *Service) Edit(ctx context.Context, a access.Actor, id uid.Scan, p Patch) (Scan, error) {
	if !uid.Valid(string(id)) {
		return Scan{}, fault.Missing("scan")
	}
	var name string
	var tags []string
	var err error
	if p.Name != nil && *p.Name != "" {
		if name, err = asset.ParseName("name", *p.Name); err != nil {
			return Scan{}, err
		}
	}
	if p.Tags != nil {
		if tags, err = asset.ParseTags("tags", *p.Tags); err != nil {
			return Scan{}, err
		}
	}
	var out Scan
	ev := audit.Event{Type: event.ScanUpdated, Resource: resource(id)}
	err = s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		if out, err = tx.ScanForUpdate(ctx, id); err != nil {
			return err
		}
		if p.Name != nil {
			out.Name = name
		}
		if p.Tags != nil {
			out.Tags = tags
		}
		return tx.EditScan(ctx, out)
	})
	return out, err
}
