// Package scanapi is the scan API under /scan-api/api/v1: scans, results, live events, engines and API keys, in the
// envelope {success, data}.
//
// Handlers are thin: they read, call a service through the interfaces below, and return a view. They must never
// decide who may do what beyond the route's scope, and never touch a store. Start with Routes.
package scanapi

import (
	"context"
	"io"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Base is the prefix of every path of the family.
const Base = "/scan-api/api/v1"

// Scans is what the handlers need of the scan service. Another organization's scan is a NotFound fault.
type Scans interface {
	Submit(ctx context.Context, a access.Actor, o scan.Order) (scan.Scan, error)
	Get(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error)
	List(ctx context.Context, org uid.Org, q scan.Query) (scan.List, error)
	Cancel(ctx context.Context, a access.Actor, id uid.Scan) (scan.Scan, error)
	Children(ctx context.Context, org uid.Org, id uid.Scan) ([]scan.Scan, error)
	SubmitBatch(ctx context.Context, a access.Actor, orders []scan.Order, atomic bool) (scan.Batch, error)
	Batch(ctx context.Context, org uid.Org, id uid.Batch) (scan.Batch, error)
	Edit(ctx context.Context, a access.Actor, id uid.Scan, p scan.Patch) (scan.Scan, error)
	Engines(ctx context.Context, a access.Actor) ([]scan.EngineState, error)
}

// Results is what the handlers need to show what a scan found.
type Results interface {
	Results(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery) (scan.Results, error)
	EachResult(ctx context.Context, org uid.Org, id uid.Scan, q scan.ResultQuery, f func(scan.Result) error) error
	Artifacts(ctx context.Context, org uid.Org, id uid.Scan) ([]scan.Artifact, error)
	ScanAssets(ctx context.Context, org uid.Org, id uid.Scan) ([]asset.Observation, error)
	Looked(ctx context.Context, org uid.Org, id uid.Scan) (engine.Looked, error)
	// Raw opens the engine's own output; NotFound of code RAW_NOT_AVAILABLE where there is none.
	Raw(ctx context.Context, org uid.Org, id uid.Scan) (scan.Artifact, io.ReadCloser, error)
}

// Packages is where a scan's packages come from. whole says that they are all that the engine listed.
type Packages interface {
	Packages(ctx context.Context, of scan.Scan, f func(finding.Package) error) (whole bool, err error)
}

// Events is where a scan's live events come from.
type Events interface {
	Events(ctx context.Context, org uid.Org, subject string, after int64, limit int) ([]event.Event, error)
	// Subscribe returns a channel that is poked when there may be new events, and how to stop.
	Subscribe(org uid.Org, subject string) (<-chan struct{}, func(), error)
}

// Keys is what the handlers need of package access. Faults carry the documented codes.
type Keys interface {
	CreateKey(ctx context.Context, a access.Actor, in access.NewKey) (access.Issued, error)
	Key(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error)
	Keys(ctx context.Context, a access.Actor, p page.Request) (access.Keys, error)
	UpdateKey(ctx context.Context, a access.Actor, id uid.Key, in access.KeyPatch) (access.Key, error)
	RotateKey(ctx context.Context, a access.Actor, id uid.Key, graceHours *int) (access.Issued, error)
	RevokeKey(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error)
	SuspendKey(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error)
	ResumeKey(ctx context.Context, a access.Actor, id uid.Key) (access.Key, error)
}

// Deps are the services behind the routes. Stopping is closed when the server begins to stop: streams end then.
type Deps struct {
	Scans       Scans
	Results     Results
	Packages    Packages // nil = only what findings name is known
	Comparisons Comparisons
	Events      Events
	Keys        Keys
	Templates   Templates
	Usage       Usage
	Version     string // of the product, for documents
	Now         func() time.Time
	Stopping    <-chan struct{}
}

// Routes is the family's part of the table.
func Routes(d Deps) []api.Entry {
	h := &handlers{d: d, streams: newStreams()}
	return slices.Concat(h.scanRoutes(), h.batchRoutes(), h.compareRoutes(), h.resultRoutes(), h.eventRoutes(), h.engineRoutes(), h.usageRoutes(), h.keyRoutes(), h.templateRoutes())
}

type handlers struct {
	d       Deps
	streams *streams
}
